//! One table of `[hosts]`.

use std::collections::{BTreeMap, BTreeSet};

use super::table_of;
use crate::desired::convert;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::items;
use crate::desired::node::{Node, Table, Value};
use crate::desired::toplevel::unknown_key;
use crate::desired::work::schedule;

const KEYS: [&str; 6] = ["labels", "vars", "profiles", "timezone", "paused", "endpoint"];

/// A host of the fleet.
#[derive(Debug, Default, Clone)]
pub(in crate::desired) struct Host {
    pub labels: BTreeMap<String, String>,
    pub vars: Table,
    pub profiles: BTreeSet<String>,
    /// Where it is said that nothing is to be changed there.
    pub paused: Option<Span>,
    /// The time zone in which schedules are read there.
    pub timezone: Option<String>,
}

impl Host {
    pub(super) fn read(table: &Table, place: &str, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut host = Self::default();
        for entry in &table.entries {
            let inner = format!("{place}.{}", entry.key);
            match entry.key.as_str() {
                "labels" => {
                    if let Some(labels) = table_of(&entry.value, &inner, diagnostics) {
                        flatten(labels, "", &inner, &mut host.labels, diagnostics);
                    }
                }
                "vars" => {
                    if let Some(vars) = table_of(&entry.value, &inner, diagnostics) {
                        host.vars = vars.clone();
                    }
                }
                "profiles" => host.profiles = profiles(&entry.value, &inner, diagnostics),
                "timezone" => host.timezone = timezone(&entry.value, &inner, diagnostics),
                "paused" => match entry.value.value {
                    Value::Boolean(paused) => host.paused = paused.then(|| entry.key_span.clone()),
                    _ => wrong_type(&entry.value, &inner, "true or false", diagnostics),
                },
                "endpoint" => endpoint(&entry.value, &entry.key_span, &inner, diagnostics),
                key if key.starts_with("x-") => {}
                key => diagnostics.push(unknown_key(key, &entry.key_span, place, &KEYS)),
            }
        }
        host
    }
}

fn wrong_type(node: &Node, place: &str, expected: &str, diagnostics: &mut Vec<Diagnostic>) {
    let message = format!("`{place}` takes {expected}, not {}", node.kind());
    let label = format!("write {expected}");
    diagnostics.push(Diagnostic::error("bad-type", node.span.clone(), message, label));
}

fn profiles(node: &Node, place: &str, diagnostics: &mut Vec<Diagnostic>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in items(node) {
        match item.as_str() {
            Some(name) => {
                names.insert(name.to_owned());
            }
            None => wrong_type(item, place, "names in quotes", diagnostics),
        }
    }
    names
}

/// Schedules are read in it.
fn timezone(node: &Node, place: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let Some(name) = node.as_str() else {
        wrong_type(node, place, "text", diagnostics);
        return None;
    };
    let known = schedule::zone(name);
    if known.is_none() {
        diagnostics.push(convert::unknown_zone(node.span.clone(), name));
    }
    known.map(str::to_owned)
}

/// Which engine a daemon converges is for whoever runs it to say, never for a file that many hosts read: a commit must not
/// be able to point it at another host.
fn endpoint(node: &Node, key: &Span, place: &str, diagnostics: &mut Vec<Diagnostic>) {
    if node.as_str().is_none() {
        return wrong_type(node, place, "text", diagnostics);
    }
    let message = format!("`{place}` has no effect: no host reaches another one's engine");
    let diagnostic = Diagnostic::warning("unsupported-key", key.clone(), message, "not read");
    diagnostics.push(
        diagnostic.help("the engine is the one in the host's own settings: docker_host, or DOCKER_HOST"),
    );
}

/// `a.b = 1` is one label.
fn flatten(
    table: &Table,
    prefix: &str,
    place: &str,
    labels: &mut BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for entry in &table.entries {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        match (&entry.value.value, entry.value.scalar()) {
            (Value::Table(inner), _) => flatten(inner, &key, place, labels, diagnostics),
            (_, Some(text)) => {
                labels.insert(key, text);
            }
            (_, None) => wrong_type(&entry.value, &format!("{place}.{key}"), "text", diagnostics),
        }
    }
}
