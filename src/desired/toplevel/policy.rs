//! `[policy]`: what evenkeel itself may do, and when.

use super::unknown_key;
use super::write_back::write_back;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::fleet::table_of;
use crate::desired::node::{Node, Table, Value};
use crate::desired::spec::{DriftAction, DriftGroup};
use crate::desired::{DesiredState, PruneImages, timing};

/// Checks `[policy]` of one project; for the root's, takes guard and prune over into the state.
pub(in crate::desired) fn policy(
    policy: &Table,
    mut root: Option<&mut DesiredState>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for entry in &policy.entries {
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
                for item in
                    crate::desired::files::items(&entry.value).iter().filter(|item| item.as_str().is_none())
                {
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
            "write_back" => write_back(&entry.value, root.as_deref_mut(), diagnostics),
            "paused" => {
                if !matches!(entry.value.value, Value::Boolean(_)) {
                    let message = format!("`policy.paused` takes true or false, not {}", entry.value.kind());
                    let label = "write true or false";
                    diagnostics.push(Diagnostic::error("bad-type", entry.value.span.clone(), message, label));
                }
            }
            "interval" => drop(timing::interval(&entry.value, diagnostics)),
            "paused_until" => drop(timing::paused_until(&entry.value, diagnostics)),
            "window" => drop(timing::window(&entry.value, None, diagnostics)),
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
                    "write_back",
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
pub(super) fn at_root(entry: &Node, place: &str, root: bool, diagnostics: &mut Vec<Diagnostic>) -> bool {
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
            ("images", _) => state.guard.images = images(&entry.value, diagnostics),
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

/// `images = { keep = 2, older_than = "72h" }`.
fn images(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<PruneImages> {
    let table = table_of(node, "policy.prune.images", diagnostics)?;
    let mut images = PruneImages::default();
    for entry in &table.entries {
        let span = entry.value.span.clone();
        match (entry.key.as_str(), &entry.value.value) {
            ("keep", Value::Integer(number)) if u32::try_from(*number).is_ok() => {
                images.keep = u32::try_from(*number).ok();
            }
            ("keep", _) => {
                let message = "`policy.prune.images.keep` is a number of revisions";
                let label = "write a whole number, 0 or more";
                diagnostics.push(Diagnostic::error("bad-type", span, message, label));
            }
            ("older_than", _) => {
                images.older_than_ms =
                    timing::duration_ms(&entry.value, "policy.prune.images.older_than", diagnostics);
            }
            (key, _) if key.starts_with("x-") => {}
            (key, _) => diagnostics.push(unknown_key(
                key,
                &entry.key_span,
                "policy.prune.images",
                &["keep", "older_than"],
            )),
        }
    }
    Some(images)
}
