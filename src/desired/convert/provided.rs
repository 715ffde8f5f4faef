//! `[configs.<name>]` and `[secrets.<name>]`: where the content comes from.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::{ProjectName, is_name};
use crate::desired::node::{Node, Value};
use crate::desired::provided::{Ask, Cipher, Content, Origin, ProvidedId, ProvidedKind};
use crate::desired::snapshot::FileContent;
use crate::desired::spec::LiveFile;
use crate::desired::suggest::nearest;

use super::keys::Parent;
use super::objects::{errors, place};
use super::read::{Field, Fields, Reader};
use super::{Context, paths, scalar};

/// The secrets and configs of a project, as far as they could be understood.
pub type Definitions = BTreeMap<(ProvidedKind, String), Definition>;

/// One of them.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its header.
    pub header: Span,
    /// Where its content is named: what cannot be opened is told there.
    pub place: Span,
    /// Every file with a part in it.
    pub files: BTreeSet<String>,
    /// `None`: it is wrong, and that is among the faults.
    pub ask: Option<Ask>,
    pub faults: Vec<Diagnostic>,
}

/// What a service turned out to use, beside what is in its spec.
#[derive(Debug, Default)]
pub struct Granted {
    pub used: BTreeSet<(ProvidedKind, String)>,
    /// By the path in the container.
    pub live: BTreeMap<String, LiveFile>,
}

/// Where a conversion leaves it.
pub type GrantedCell = RefCell<Granted>;

/// The keys that say where the content comes from, in the order of the documentation.
const SOURCES: [&str; 6] = ["file", "content", "environment", "age", "sops", "external"];

/// Reads one definition. All faults are in it.
#[must_use]
pub fn definition(
    project: &ProjectName,
    kind: ProvidedKind,
    key: &str,
    node: &Node,
    context: &Context<'_>,
) -> Definition {
    let mut faults = Vec::new();
    let mut found = Definition {
        header: node.as_table().map_or(&node.span, |table| &table.header).clone(),
        place: node.span.clone(),
        files: BTreeSet::from([node.span.file.to_string()]),
        ask: None,
        faults: Vec::new(),
    };
    let mut reader = Reader { context, diagnostics: &mut faults };
    let origin = read(&mut reader, kind, key, node, &mut found);
    found.ask = origin
        .filter(|_| errors(&faults) == 0)
        .map(|origin| Ask { id: ProvidedId { project: project.clone(), kind, key: key.to_owned() }, origin });
    found.faults = faults;
    found
}

fn read(
    reader: &mut Reader<'_, '_>,
    kind: ProvidedKind,
    key: &str,
    node: &Node,
    found: &mut Definition,
) -> Option<Origin> {
    let path = format!("{}.{key}", kind.table());
    let field = Field { node, key: &node.span, path: path.clone() };
    let fields = reader.table(&field, &format!("{key} = {{ file = \"...\" }}"))?;
    let shape = if kind == ProvidedKind::Secret { "Secret" } else { "Config" };
    reader.check(&fields, shape, &[Parent { path: "", shape: "File" }]);
    found.files.extend(place(&fields).files);
    if !is_name(key) {
        let message = format!("`{}` cannot be the name of a {}", key.escape_debug(), kind.word());
        let label = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
        reader.report(Diagnostic::error("bad-name", found.header.clone(), message, label));
    }
    let source = only_source(reader, kind, &fields, found)?;
    found.place = source.node.span.clone();
    match source.name() {
        "content" => reader.text(&source).map(|text| Origin::Here(Content::new(text.as_bytes()))),
        "environment" => variable(reader, &source),
        "external" => store(reader, key, &fields, &source),
        "age" => file(reader, &source, Some(Cipher::Age), found),
        "sops" => file(reader, &source, Some(Cipher::Sops), found),
        _ => file(reader, &source, None, found),
    }
}

/// Exactly one of the keys that say where the content comes from.
fn only_source<'t>(
    reader: &mut Reader<'_, '_>,
    kind: ProvidedKind,
    fields: &Fields<'t>,
    found: &Definition,
) -> Option<Field<'t>> {
    let known =
        crate::desired::manifest::keys(if kind == ProvidedKind::Secret { "Secret" } else { "Config" });
    let keys: Vec<&str> = SOURCES.into_iter().filter(|key| known.contains(*key)).collect();
    let is_off = |field: &Field<'_>| field.node.value == Value::Boolean(false);
    let mut given = keys
        .iter()
        .filter_map(|key| fields.get(key))
        .filter(|field| field.name() != "external" || !is_off(field));
    let first = given.next();
    let Some(first) = first else {
        // A key that is no source of this kind has been reported as such.
        if errors(reader.diagnostics) == 0 {
            let message = format!("`{}` does not say where it comes from", fields.path);
            let label = format!("add one of {}", keys.join(", "));
            let help = match kind {
                ProvidedKind::Secret => "for example age = \"files/password.age\", or external = true",
                ProvidedKind::Config => "for example file = \"files/app.ini\", or content = \"...\"",
            };
            reader
                .report(Diagnostic::error("source-missing", found.header.clone(), message, label).help(help));
        }
        return None;
    };
    if let Some(second) = given.next() {
        let message =
            format!("`{}` has two sources: `{}` and `{}`", fields.path, first.name(), second.name());
        let diagnostic =
            Diagnostic::error("source-given-twice", second.key.clone(), message, "second source");
        reader.report(diagnostic.also(first.key.clone(), "first source").help("keep one of them"));
        return None;
    }
    Some(first)
}

fn variable(reader: &mut Reader<'_, '_>, source: &Field<'_>) -> Option<Origin> {
    let name = reader.filled(source)?;
    if name.contains(['=', '$']) || name.chars().any(char::is_whitespace) {
        let message = format!("`{}` takes the name of a variable", source.path);
        reader.error("bad-variable", source.node, message, "such as \"DB_PASSWORD\", without `$`");
        return None;
    }
    // It is named here, and that is the permission which `policy.env_allow` gives elsewhere.
    let own = || reader.context.host.environment.get(name).cloned();
    let value = (reader.context.variables)(name).or_else(own);
    Some(Origin::Variable(name.to_owned(), value.map(|value| Content::new(value.into_bytes()))))
}

fn store(reader: &mut Reader<'_, '_>, key: &str, fields: &Fields<'_>, source: &Field<'_>) -> Option<Origin> {
    let older = source.node.as_table().and_then(|table| table.get("name"));
    if older.is_none() && !source.node.as_str().is_some_and(scalar::is_true) {
        reader.flag(source)?;
    }
    let named = fields.get("name");
    let name = match (&named, older) {
        (Some(field), _) => reader.filled(field)?,
        (None, Some(entry)) => entry.value.as_str()?,
        (None, None) => key,
    };
    if !is_name(name) {
        let place = named.map_or_else(|| source.node.span.clone(), |field| field.node.span.clone());
        let message = format!("`{}` cannot be the name of a secret of the host", name.escape_debug());
        let label = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
        reader.report(Diagnostic::error("bad-name", place, message, label));
        return None;
    }
    Some(Origin::Store(name.to_owned()))
}

/// A file of the desired state, whose content is in the snapshot, or one of the host.
fn file(
    reader: &mut Reader<'_, '_>,
    source: &Field<'_>,
    cipher: Option<Cipher>,
    found: &mut Definition,
) -> Option<Origin> {
    let text = reader.filled(source)?;
    let Some(path) = paths::below_root(reader.context, &source.node.span.file, text) else {
        return match paths::on_host(reader.context, &source.node.span.file, text) {
            Ok(path) => Some(Origin::HostFile(cipher, path)),
            Err(why) => {
                let message = format!("`{text}` is not a path of the host");
                reader.error("bad-path", source.node, message, why);
                None
            }
        };
    };
    found.files.insert(path.clone());
    let fault = match (reader.context.read)(&path) {
        Some(FileContent::Read(bytes)) => {
            let content = Content::new(&**bytes);
            return Some(match cipher {
                Some(cipher) => Origin::Sealed(cipher, path, content),
                None => Origin::Here(content),
            });
        }
        Some(FileContent::Unreadable(why)) => {
            let message = format!("`{path}` cannot be read");
            Diagnostic::error("unreadable-file", source.node.span.clone(), message, why.clone())
        }
        None => {
            let message = format!("`{path}` does not exist");
            let diagnostic =
                Diagnostic::error("missing-file", source.node.span.clone(), message, "no such file");
            match cipher {
                Some(Cipher::Age) => {
                    diagnostic.help(format!("to make it: evenkeel secret encrypt FILE > {path}"))
                }
                _ => diagnostic.help("paths start at the folder of the file that says them"),
            }
        }
    };
    reader.report(fault);
    None
}

/// What is declared under the kind, for a message about one that is not.
pub(super) fn undeclared(reader: &mut Reader<'_, '_>, kind: ProvidedKind, key: &str, place: Span) {
    let known = |kind: ProvidedKind| {
        let keys = reader.context.definitions.keys().filter(move |(other, _)| *other == kind);
        keys.map(|(_, key)| key.as_str())
    };
    let other = if kind == ProvidedKind::Secret { ProvidedKind::Config } else { ProvidedKind::Secret };
    let is_other = known(other).any(|name| name == key);
    let near = nearest(key, known(kind)).map(str::to_owned);
    let label = match &near {
        _ if is_other => format!("it is one of the {}", other.table()),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("not in [{}]", kind.table()),
    };
    let or = if near.is_some() || is_other { "or " } else { "" };
    let message = format!("{} `{key}` is not declared in project `{}`", kind.word(), reader.context.project);
    let slug = if kind == ProvidedKind::Secret { "undeclared-secret" } else { "undeclared-config" };
    let how = if kind == ProvidedKind::Secret { "age = \"files/...age\"" } else { "file = \"files/...\"" };
    let help = format!("{or}declare it: [{}.{key}] {how}", kind.table());
    reader.report(Diagnostic::error(slug, place, message, label).help(help));
}
