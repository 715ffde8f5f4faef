//! `[policy.write_back]`: where tags that were chosen are written back to.

use super::policy::at_root;
use super::unknown_key;
use crate::desired::DesiredState;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::fleet::table_of;
use crate::desired::node::{Node, Value};
use crate::desired::work::WriteBack;

pub(super) fn write_back(node: &Node, root: Option<&mut DesiredState>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = table_of(node, "policy.write_back", diagnostics) else { return };
    if !at_root(node, "policy.write_back", root.is_some(), diagnostics) {
        return;
    }
    let Some(state) = root else { return };
    let mut found = WriteBack::default();
    let mut sound = true;
    for entry in &table.entries {
        let key = entry.key.as_str();
        let text = match (key, &entry.value.value) {
            ("branch" | "author" | "message", Value::String(text)) => text,
            ("branch" | "author" | "message", _) => {
                let message = format!("`policy.write_back.{key}` takes text, not {}", entry.value.kind());
                let span = entry.value.span.clone();
                diagnostics.push(Diagnostic::error("bad-type", span, message, "write text in quotes"));
                sound = false;
                continue;
            }
            (key, _) if key.starts_with("x-") => continue,
            (key, _) => {
                let known = ["branch", "author", "message"];
                diagnostics.push(unknown_key(key, &entry.key_span, "policy.write_back", &known));
                sound = false;
                continue;
            }
        };
        let wrong = match key {
            "branch" => {
                found.branch = Some(text.clone());
                let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
                let bad = text.starts_with(['-', '/', '.']) || text.ends_with(['/', '.']) || text.is_empty();
                let bad = bad || text.contains("..") || text.contains("//") || text.contains("@{");
                let bad = bad || text.ends_with(".lock") || text.chars().any(odd);
                bad.then(|| "it is no name of a branch".to_owned())
            }
            "author" => {
                found.author = author(text);
                found.author.is_none().then(|| "write \"Name <mail@example.com>\"".to_owned())
            }
            _ => {
                found.message = Some(text.clone());
                unknown_word(text)
            }
        };
        if let Some(why) = wrong {
            let message = format!("`policy.write_back.{key}` cannot be used: {why}");
            diagnostics.push(Diagnostic::error(
                "bad-choice",
                entry.value.span.clone(),
                message,
                "not understood",
            ));
            sound = false;
        }
    }
    if sound {
        state.works.write_back.insert(String::new(), found);
    }
}

/// Name and address of `Name <mail@example.com>`.
fn author(text: &str) -> Option<(String, String)> {
    let (name, mail) = text.trim().strip_suffix('>')?.split_once('<')?;
    let (name, mail) = (name.trim(), mail.trim());
    let odd = |c: char| c.is_control() || matches!(c, '<' | '>');
    let good = !name.is_empty() && !mail.is_empty() && !name.chars().chain(mail.chars()).any(odd);
    good.then(|| (name.to_owned(), mail.to_owned()))
}

/// What is wrong with a message: it is empty, or names what is not known.
fn unknown_word(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("it is empty".to_owned());
    }
    let words = text.split("${").skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    let unknown = words.into_iter().find(|word| !WriteBack::WORDS.contains(word))?;
    Some(format!("`${{{unknown}}}` is not known in it; there are: {}", WriteBack::WORDS.join(", ")))
}
