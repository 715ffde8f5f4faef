//! Several files, one definition: Compose's rules for override files, `reset`, and `[defaults]`.
//!
//! Merging happens before variables are replaced, so that a value that is replaced, or a default that is not taken, needs no
//! variables.

mod lists;
mod settings;

pub(super) use settings::{conflicting, settle};

use super::node::{Entry, Node, Table, Value};

/// How the two values of a key become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Tables by key, lists one after the other, everything else replaced.
    Plain,
    /// The later one, whole.
    Replace,
    /// `K=V` lines or a table, by key; `flat`: dotted keys are one name.
    Mapping { flat: bool },
    /// A list of names or a table by name.
    Named(&'static str),
    /// Text stands for a list of one.
    OneOrMany,
    /// A list where items with the same key replace each other.
    Unique(lists::Identity),
    /// Replaced when the driver differs.
    Logging,
}

/// Which rule Compose has for the key at `path` of a service, network or volume.
fn rule(path: &[&str]) -> Rule {
    use lists::Identity;
    match path {
        ["command" | "entrypoint"] | ["healthcheck", "test"] => Rule::Replace,
        ["environment"] | ["args"] | ["build", "args"] => Rule::Mapping { flat: false },
        ["labels" | "annotations" | "sysctls" | "driver_opts"]
        | ["build" | "deploy", "labels"]
        | ["logging", "options"] => Rule::Mapping { flat: true },
        ["extra_hosts"] => Rule::Mapping { flat: true },
        ["depends_on"] => Rule::Named("service_started"),
        ["networks"] => Rule::Named(""),
        ["dns" | "dns_search" | "dns_opt" | "env_file" | "label_file" | "tmpfs"] => Rule::OneOrMany,
        ["ports"] => Rule::Unique(Identity::Port),
        ["volumes" | "devices"] => Rule::Unique(Identity::Target),
        ["secrets" | "configs"] => Rule::Unique(Identity::Source),
        ["logging"] => Rule::Logging,
        _ => Rule::Plain,
    }
}

/// Applies `over` to `base`, as an override file does.
pub(super) fn refine(base: &mut Table, over: &Table) {
    refine_at(base, over, &mut Vec::new());
}

fn refine_at<'a>(base: &mut Table, over: &'a Table, path: &mut Vec<&'a str>) {
    for entry in &over.entries {
        path.push(&entry.key);
        match base.entries.iter_mut().find(|known| known.key == entry.key) {
            None => base.entries.push(entry.clone()),
            Some(known) => {
                combine(&mut known.value, &entry.value, path);
                // Messages about what came out should lead to the file that spoke last.
                known.key_span = entry.key_span.clone();
            }
        }
        path.pop();
    }
}

fn combine<'a>(base: &mut Node, over: &'a Node, path: &mut Vec<&'a str>) {
    match rule(path) {
        Rule::Replace => *base = over.clone(),
        Rule::Mapping { flat } => lists::mapping(base, over, flat),
        Rule::Named(empty) => lists::named(base, over, empty),
        Rule::OneOrMany => {
            lists::many(base);
            let mut over = over.clone();
            lists::many(&mut over);
            lists::append(base, &over, lists::Identity::Equal);
        }
        Rule::Unique(identity) => lists::append(base, over, identity),
        Rule::Logging if other_driver(base, over) => *base = over.clone(),
        Rule::Logging | Rule::Plain => match (&mut base.value, &over.value) {
            (Value::Table(table), Value::Table(more)) => refine_at(table, more, path),
            (Value::Array(_), Value::Array(_)) => lists::append(base, over, lists::Identity::Equal),
            _ => *base = over.clone(),
        },
    }
}

/// Do both name a logging driver, and not the same one?
fn other_driver(base: &Node, over: &Node) -> bool {
    let driver = |node: &Node| -> Option<String> {
        Some(node.as_table()?.get("driver")?.value.as_str().unwrap_or_default().to_owned())
    };
    matches!((driver(base), driver(over)), (Some(a), Some(b)) if a != b)
}

/// Supplies from `defaults` what `base` leaves out: maps by key, everything else only when absent.
pub(super) fn fill(base: &mut Table, defaults: &Table) {
    fill_at(base, defaults, &mut Vec::new());
}

/// Keys that exclude each other: a service that has one takes no default for the other.
const EXCLUSIVE: [(&str, &str); 2] = [("network_mode", "networks"), ("networks", "network_mode")];

fn fill_at<'a>(base: &mut Table, defaults: &'a Table, path: &mut Vec<&'a str>) {
    for entry in &defaults.entries {
        let excluded = path.is_empty()
            && EXCLUSIVE.iter().any(|(key, other)| entry.key == *key && base.get(other).is_some());
        if excluded {
            continue;
        }
        path.push(&entry.key);
        match base.entries.iter_mut().find(|known| known.key == entry.key) {
            None => base.entries.push(entry.clone()),
            Some(known) => fill_value(known, entry, path),
        }
        path.pop();
    }
}

fn fill_value<'a>(known: &mut Entry, default: &'a Entry, path: &mut Vec<&'a str>) {
    match rule(path) {
        Rule::Mapping { flat } => {
            let mut merged = default.value.clone();
            lists::mapping(&mut merged, &known.value, flat);
            merged.span = known.value.span.clone();
            known.value = merged;
        }
        Rule::Replace => {}
        Rule::Logging if other_driver(&known.value, &default.value) => {}
        _ => {
            if let (Value::Table(table), Value::Table(more)) = (&mut known.value.value, &default.value.value)
            {
                fill_at(table, more, path);
            }
        }
    }
}

/// Removes what stands at a dotted path (`services.web.ports` below `services`); false when nothing does. Names may
/// hold dots themselves.
pub(super) fn reset(table: &mut Table, path: &str) -> bool {
    if let Some(at) = table.entries.iter().position(|entry| entry.key == path) {
        table.entries.remove(at);
        return true;
    }
    table.entries.iter_mut().any(|entry| {
        let below = path.strip_prefix(&entry.key).and_then(|rest| rest.strip_prefix('.'));
        let Some(below) = below else { return false };
        match &mut entry.value.value {
            Value::Table(inner) => reset(inner, below),
            Value::Array(items) => {
                let before = items.len();
                items.retain(|item| lists::line_key(item) != Some(below));
                items.len() < before
            }
            _ => false,
        }
    })
}

/// Equal whatever their places.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Table(a), Value::Table(b)) => {
            a.entries.len() == b.entries.len()
                && a.entries
                    .iter()
                    .all(|entry| b.get(&entry.key).is_some_and(|b| same(&entry.value, &b.value)))
        }
        (a, b) => a == b,
    }
}
