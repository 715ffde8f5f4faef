//! `[credentials."<host>"]`: logins at registries and Git servers.

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::node::Node;
use crate::desired::provided::{Credential, ProvidedId, ProvidedKind, UNOPENED, Word};

use super::Context;
use super::keys::Parent;
use super::objects::errors;
use super::provided::undeclared;
use super::read::{Field, Fields, Reader};

const SECRET: &str = "secret:";

/// The login of one host; `None` when an error was found (all are reported).
#[must_use]
pub fn credential(
    host: &str,
    node: &Node,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Credential> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let field = Field { node, key: &node.span, path: format!("credentials.\"{host}\"") };
    let fields = reader.table(&field, "{ username = \"...\", password = \"secret:<name>\" }")?;
    reader.check(&fields, "Credential", &[Parent { path: "", shape: "File" }]);
    let header = fields.table.header.clone();
    check_host(&mut reader, host, &header);
    let mut word = |key: &str| fields.get(key).and_then(|field| word(&mut reader, &field));
    let credential = Credential {
        username: word("username"),
        password: word("password"),
        token: word("token"),
        ssh_key: word("ssh_key"),
        place: header.file.to_string(),
    };
    check_whole(&mut reader, &fields, &header);
    (errors(diagnostics) == before).then_some(credential)
}

/// Written out, or `secret:<name>`.
fn word(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Word> {
    let text = reader.filled(field)?;
    let Some(name) = text.strip_prefix(SECRET) else {
        if field.name() != "username" && !field.node.interpolated {
            let message = format!("`{}` is written out in the file", field.path);
            let label = "whoever may read the file may use it";
            let diagnostic = Diagnostic::warning("plain-credential", field.key.clone(), message, label);
            reader
                .report(diagnostic.help(format!("make it a secret: {} = \"{SECRET}<name>\"", field.name())));
        }
        return Some(Word::Plain(text.to_owned()));
    };
    let kind = ProvidedKind::Secret;
    let Some(found) = reader.context.definitions.get(&(kind, name.to_owned())) else {
        undeclared(reader, kind, name, field.node.part(SECRET.len(), text.len()));
        return None;
    };
    reader.context.granted.borrow_mut().used.insert((kind, name.to_owned()));
    let answer = found.ask.as_ref().and_then(|ask| reader.context.host.answers.get(ask));
    let content = answer.and_then(|answer| answer.as_ref().ok()).map_or(UNOPENED, String::as_str);
    let id = ProvidedId { project: reader.context.project.clone(), kind, key: name.to_owned() };
    Some(Word::Secret(id, content.to_owned()))
}

/// As images and Git addresses write it: a host, with its port if it has one.
fn check_host(reader: &mut Reader<'_, '_>, host: &str, place: &Span) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    if host.is_empty() || !host.chars().all(plain) {
        let message = format!("`{}` is not a host", host.escape_debug());
        let bare = host.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
        let label = if !bare.is_empty() && bare.chars().all(plain) {
            format!("write [credentials.\"{bare}\"]")
        } else {
            "such as \"registry.example.com:5000\"".to_owned()
        };
        reader.report(Diagnostic::error("bad-host", place.clone(), message, label));
    }
}

fn check_whole(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, header: &Span) {
    let has = |key: &str| fields.get(key).is_some();
    let fault = match (has("username"), has("password"), has("token"), has("ssh_key")) {
        (_, false, false, false) => Some("there is no `password`, `token` or `ssh_key` in it"),
        (_, true, true, _) => Some("`password` and `token` are two ways to say the same: keep one"),
        (false, true, false, _) => Some("a password needs a `username`"),
        _ => None,
    };
    if let Some(fault) = fault {
        let message = format!("`{}` is not a login", fields.path);
        reader.report(Diagnostic::error("bad-credential", header.clone(), message, fault));
    }
}
