//! The top of a state file: which tables there are, and the settings that are not about one object.

use super::DesiredState;
use super::diagnostic::{Diagnostic, Span};
use super::files::{FLEET, StateFile};
use super::fleet::table_of;
use super::node::{Entry, Node, Table, Value};
use super::spec::{DriftAction, DriftGroup};
use super::suggest::nearest;

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

/// Something the language has and this version does not.
pub(super) fn not_yet(what: &str, span: &Span) -> Diagnostic {
    let message = format!("`{what}` is not supported by this version");
    Diagnostic::error("unsupported-key", span.clone(), message, "would have no effect")
        .help("take it out; nothing that this version does not understand is skipped silently")
}

/// Something that is harmless without effect.
fn without_effect(what: &str, span: &Span) -> Diagnostic {
    let message = format!("`{what}` has no effect in this version");
    Diagnostic::warning("unsupported-key", span.clone(), message, "not read")
}

/// Checks `[policy]` of one project; for the root's, takes guard and prune over into the state.
pub(super) fn policy(policy: &Table, mut root: Option<&mut DesiredState>, diagnostics: &mut Vec<Diagnostic>) {
    for entry in &policy.entries {
        let place = format!("policy.{}", entry.key);
        match entry.key.as_str() {
            "unset_variables" => {
                if !matches!(entry.value.as_str(), Some("error" | "warn")) {
                    let message = "`policy.unset_variables` is \"error\" or \"warn\"";
                    let label = "not one of the two";
                    diagnostics.push(Diagnostic::error(
                        "bad-choice",
                        entry.value.span.clone(),
                        message,
                        label,
                    ));
                }
            }
            "env_allow" => {
                for item in super::files::items(&entry.value).iter().filter(|item| item.as_str().is_none()) {
                    let message = format!("`policy.env_allow` takes names of variables, not {}", item.kind());
                    diagnostics.push(Diagnostic::error(
                        "bad-type",
                        item.span.clone(),
                        message,
                        "a name in quotes",
                    ));
                }
            }
            "drift" => drift(&entry.value, diagnostics),
            "guard" => guard(&entry.value, root.as_deref_mut(), diagnostics),
            "prune" => prune(&entry.value, root.as_deref_mut(), diagnostics),
            "paused" => {
                if !matches!(entry.value.value, Value::Boolean(_)) {
                    let message = format!("`policy.paused` takes true or false, not {}", entry.value.kind());
                    let label = "write true or false";
                    diagnostics.push(Diagnostic::error("bad-type", entry.value.span.clone(), message, label));
                }
            }
            "interval" => diagnostics.push(without_effect(&place, &entry.key_span)),
            "paused_until" | "window" => diagnostics.push(not_yet(&place, &entry.key_span)),
            key if key.starts_with("x-") => {}
            key => diagnostics.push(unknown_key(
                key,
                &entry.key_span,
                "policy",
                &[
                    "interval",
                    "paused",
                    "paused_until",
                    "unset_variables",
                    "env_allow",
                    "prune",
                    "guard",
                    "drift",
                    "window",
                ],
            )),
        }
    }
}

/// What is done about changes of others, by group.
fn drift(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = table_of(node, "policy.drift", diagnostics) else { return };
    for entry in &table.entries {
        let key = entry.key.as_str();
        if key.starts_with("x-") {
            continue;
        }
        let known = DriftGroup::ALL.map(DriftGroup::as_str);
        if !known.contains(&key) {
            diagnostics.push(unknown_key(key, &entry.key_span, "policy.drift", &known));
            continue;
        }
        let span = entry.value.span.clone();
        match entry.value.as_str() {
            Some(word) if DriftAction::parse(word).is_some() => {}
            Some(_) => {
                let message = format!("`policy.drift.{key}` is \"heal\", \"report\" or \"ignore\"");
                diagnostics.push(Diagnostic::error("bad-choice", span, message, "not one of the three"));
            }
            None => {
                let message = format!("`policy.drift.{key}` takes a word, not {}", entry.value.kind());
                let label = "write \"heal\", \"report\" or \"ignore\"";
                diagnostics.push(Diagnostic::error("bad-type", span, message, label));
            }
        }
    }
}

/// Reports a host-wide table of `[policy]` that is not at the root; true when it is.
fn at_root(entry: &Node, place: &str, root: bool, diagnostics: &mut Vec<Diagnostic>) -> bool {
    if !root {
        let message = format!("`{place}` holds for the whole host, so it belongs into fleet.toml");
        diagnostics.push(Diagnostic::error("misplaced", entry.span.clone(), message, "not read here"));
    }
    root
}

fn guard(node: &Node, root: Option<&mut DesiredState>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = table_of(node, "policy.guard", diagnostics) else { return };
    if !at_root(node, "policy.guard", root.is_some(), diagnostics) {
        return;
    }
    let Some(state) = root else { return };
    for entry in &table.entries {
        let place = format!("policy.guard.{}", entry.key);
        let span = entry.value.span.clone();
        match (entry.key.as_str(), &entry.value.value) {
            ("max_removals", Value::Integer(number)) if u32::try_from(*number).is_ok() => {
                state.guard.max_removals = u32::try_from(*number).ok();
            }
            ("max_removals", _) => {
                let message = "`policy.guard.max_removals` is a number of services";
                diagnostics.push(Diagnostic::error(
                    "bad-type",
                    span,
                    message,
                    "write a whole number, 0 or more",
                ));
            }
            ("empty_state", Value::String(text)) if text == "refuse" || text == "allow" => {
                state.guard.allow_empty = text == "allow";
            }
            ("empty_state", _) => {
                let message = "`policy.guard.empty_state` is \"refuse\" or \"allow\"";
                diagnostics.push(Diagnostic::error("bad-choice", span, message, "not one of the two"));
            }
            ("unmanaged", Value::String(text)) if text == "ignore" || text == "report" => {
                state.guard.report_unmanaged = text == "report";
            }
            ("unmanaged", _) => {
                let message = "`policy.guard.unmanaged` is \"ignore\" or \"report\"";
                diagnostics.push(Diagnostic::error("bad-choice", span, message, "not one of the two"));
            }
            ("api_socket", Value::Boolean(_)) => {}
            ("api_socket", _) => {
                let message = format!("`{place}` takes true or false, not {}", entry.value.kind());
                diagnostics.push(Diagnostic::error("bad-type", span, message, "write true or false"));
            }
            (key, _) if key.starts_with("x-") => {}
            (key, _) => diagnostics.push(unknown_key(
                key,
                &entry.key_span,
                "policy.guard",
                &["max_removals", "empty_state", "unmanaged", "api_socket"],
            )),
        }
    }
}

fn prune(node: &Node, root: Option<&mut DesiredState>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(table) = table_of(node, "policy.prune", diagnostics) else { return };
    if !at_root(node, "policy.prune", root.is_some(), diagnostics) {
        return;
    }
    let Some(state) = root else { return };
    for entry in &table.entries {
        let place = format!("policy.prune.{}", entry.key);
        match (entry.key.as_str(), &entry.value.value) {
            ("containers", Value::Boolean(on)) => state.guard.prune_containers = *on,
            ("networks", Value::Boolean(on)) => state.guard.prune_networks = *on,
            ("volumes", Value::Boolean(false)) => {}
            ("volumes", Value::Boolean(true)) => {
                let message = "volumes are never removed by convergence";
                let label = "the only value is false";
                diagnostics.push(Diagnostic::error("bad-choice", entry.value.span.clone(), message, label));
            }
            ("containers" | "networks" | "volumes", _) => {
                let message = format!("`{place}` takes true or false, not {}", entry.value.kind());
                diagnostics.push(Diagnostic::error(
                    "bad-type",
                    entry.value.span.clone(),
                    message,
                    "write true or false",
                ));
            }
            ("images", _) => diagnostics.push(without_effect(&place, &entry.key_span)),
            (key, _) if key.starts_with("x-") => {}
            (key, _) => diagnostics.push(unknown_key(
                key,
                &entry.key_span,
                "policy.prune",
                &["containers", "networks", "images", "volumes"],
            )),
        }
    }
}
