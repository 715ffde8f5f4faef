//! The top of a state file: which tables there are, and the settings that are not about one object.

mod policy;
mod write_back;

use super::diagnostic::{Diagnostic, Span};
use super::files::{FLEET, StateFile};
use super::fleet::table_of;
use super::node::{Entry, Node, Table, Value};
use super::suggest::nearest;

pub(super) use policy::policy;

/// Keys of any state file.
const KNOWN: [&str; 18] = [
    "services",
    "networks",
    "volumes",
    "configs",
    "secrets",
    "credentials",
    "jobs",
    "builds",
    "artifacts",
    "notify",
    "vars",
    "defaults",
    "policy",
    "name",
    "override",
    "reset",
    "on_hosts",
    "include",
];

/// Keys of fleet.toml alone.
const FLEET_ONLY: [&str; 2] = ["hosts", "ignore"];

/// Reports everything at the top of a file that is not understood.
pub(super) fn check(file: &StateFile, diagnostics: &mut Vec<Diagnostic>) {
    if is_foreign(&file.table) {
        diagnostics.extend(foreign(&file.table));
        return;
    }
    for entry in &file.table.entries {
        check_entry(file, entry, diagnostics);
    }
    if file.table.get("reset").is_some() && !file.refines {
        let span = file.table.get("reset").map(|entry| entry.key_span.clone()).unwrap_or_default();
        let message = "`reset` clears what other files say, so only an override file may use it";
        let diagnostic = Diagnostic::error("misplaced", span, message, "not in a plain file");
        diagnostics.push(diagnostic.help("begin this file with: override = true"));
    }
}

fn check_entry(file: &StateFile, entry: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let key = entry.key.as_str();
    let expected = match key {
        "services" | "networks" | "volumes" | "configs" | "secrets" | "credentials" | "jobs" | "builds"
        | "artifacts" | "notify" | "vars" | "policy" => {
            table_of(&entry.value, key, diagnostics);
            return;
        }
        "defaults" => {
            check_defaults(&entry.value, diagnostics);
            return;
        }
        "override" if !matches!(entry.value.value, Value::Boolean(_)) => "true or false",
        "reset" | "on_hosts" | "ignore"
            if !matches!(entry.value.value, Value::Array(_) | Value::String(_)) =>
        {
            "a list"
        }
        _ if FLEET_ONLY.contains(&key) && file.path != FLEET => {
            let message = format!("`{key}` belongs into fleet.toml, at the root");
            diagnostics.push(Diagnostic::error(
                "misplaced",
                entry.key_span.clone(),
                message,
                "not read here",
            ));
            return;
        }
        _ if KNOWN.contains(&key) || FLEET_ONLY.contains(&key) || key.starts_with("x-") => return,
        _ => {
            diagnostics.push(unknown_top(entry));
            return;
        }
    };
    let message = format!("`{key}` takes {expected}, not {}", entry.value.kind());
    diagnostics.push(Diagnostic::error(
        "bad-type",
        entry.value.span.clone(),
        message,
        format!("write {expected}"),
    ));
}

fn check_defaults(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = table_of(node, "defaults", diagnostics) else { return };
    for entry in &table.entries {
        match entry.key.as_str() {
            "services" | "jobs" | "builds" => {
                table_of(&entry.value, &format!("defaults.{}", entry.key), diagnostics);
            }
            key if key.starts_with("x-") => {}
            key => diagnostics.push(unknown_key(
                key,
                &entry.key_span,
                "defaults",
                &["services", "jobs", "builds"],
            )),
        }
    }
}

/// Nothing in it is ours, and nothing looks like a typing error of ours.
pub(super) fn is_foreign(table: &Table) -> bool {
    !table.entries.is_empty()
        && table.entries.iter().all(|entry| {
            let key = entry.key.as_str();
            let all = || KNOWN.into_iter().chain(FLEET_ONLY);
            !key.starts_with("x-") && !all().any(|known| known == key) && nearest(key, all()).is_none()
        })
}

fn foreign(table: &Table) -> Option<Diagnostic> {
    let first = table.entries.first()?;
    let what = if first.value.as_table().is_some() { "table" } else { "key" };
    let message = format!("not a desired-state file: unknown {what} `{}`", first.key.escape_debug());
    Some(
        Diagnostic::error("foreign-toml", first.key_span.clone(), message, "looks like another program's settings").help(
            "a TOML file that a service mounts is skipped by itself; for others: move it below files/, or add it to `ignore` in fleet.toml",
        ),
    )
}

fn unknown_top(entry: &Entry) -> Diagnostic {
    let message = format!("unknown key `{}` at the top of the file", entry.key.escape_debug());
    let all = KNOWN.into_iter().chain(FLEET_ONLY);
    let label = match nearest(&entry.key, all) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "not a key of a state file".to_owned(),
    };
    let diagnostic = Diagnostic::error("unknown-key", entry.key_span.clone(), message, label);
    match entry.key.as_str() {
        "version" => diagnostic.help("Compose's `version` says nothing any more: leave it out"),
        "image" | "ports" | "volumes" | "environment" | "command" | "restart" => {
            diagnostic.help("it is a key of a service: begin with [services.<name>]")
        }
        _ => diagnostic,
    }
}

/// A key that a table does not have.
pub(super) fn unknown_key(key: &str, span: &Span, place: &str, known: &[&str]) -> Diagnostic {
    let message = format!("unknown key `{}` in {place}", key.escape_debug());
    let label = match nearest(key, known.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "not known here".to_owned(),
    };
    Diagnostic::error("unknown-key", span.clone(), message, label)
        .help(format!("there are: {}", known.join(", ")))
}
