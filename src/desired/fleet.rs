//! `[hosts]` of fleet.toml and `on_hosts`: what is meant for this host.

use std::collections::{BTreeMap, BTreeSet};

use globset::Glob;

use super::diagnostic::Diagnostic;
use super::files::items;
use super::node::{Node, Table, Value};
use super::snapshot::HostFacts;
use super::suggest::nearest;

/// The hosts that share this desired state.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// Empty when no host is listed: then every host takes what has no selector.
    pub hosts: BTreeMap<String, Host>,
    /// This host.
    pub name: String,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Host {
    pub labels: BTreeMap<String, String>,
    pub vars: Table,
    pub profiles: BTreeSet<String>,
}

impl Fleet {
    /// Reads `[hosts]`. What is wrong with it goes to `diagnostics`.
    pub fn read(hosts: Option<&Node>, facts: &HostFacts, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut fleet = Self { hosts: BTreeMap::new(), name: facts.name.clone() };
        let Some(node) = hosts else { return fleet };
        let Some(table) = table_of(node, "hosts", diagnostics) else { return fleet };
        for entry in &table.entries {
            let place = format!("hosts.{}", entry.key);
            let Some(table) = table_of(&entry.value, &place, diagnostics) else { continue };
            fleet.hosts.insert(entry.key.clone(), Host::read(table, &place, diagnostics));
        }
        if !fleet.hosts.is_empty() && !fleet.hosts.contains_key(&fleet.name) {
            let names: Vec<&str> = fleet.hosts.keys().map(String::as_str).collect();
            let message = format!("this host, `{}`, is not listed in fleet.toml", fleet.name);
            let label = match nearest(&fleet.name, names.iter().copied()) {
                Some(name) => format!("is it `{name}`?"),
                None => "not among these".to_owned(),
            };
            let diagnostic = Diagnostic::error("unlisted-host", table.header.clone(), message, label)
                .help(format!("known: {}; say which one this is: --host NAME", names.join(", ")))
                .help(format!("or add it: [hosts.{}]", fleet.name));
            diagnostics.push(diagnostic);
        }
        fleet
    }

    pub fn host(&self) -> Option<&Host> {
        self.hosts.get(&self.name)
    }

    /// Does `on_hosts` mean this host? Any selector may match, and none that begins with `!`.
    pub fn selects(&self, on_hosts: &Node, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let (mut wanted, mut any, mut refused) = (false, false, false);
        for item in items(on_hosts) {
            let Some(text) = item.as_str() else {
                let message = format!("`on_hosts` takes names of hosts, not {}", item.kind());
                let label = "a name, a pattern, or label=value";
                diagnostics.push(Diagnostic::error("bad-type", item.span.clone(), message, label));
                continue;
            };
            match text.strip_prefix('!') {
                Some(selector) => refused |= self.matches(item, selector.trim(), diagnostics),
                None => {
                    any = true;
                    wanted |= self.matches(item, text.trim(), diagnostics);
                }
            }
        }
        (wanted || !any) && !refused
    }

    fn matches(&self, item: &Node, selector: &str, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let Some((label, value)) = selector.split_once('=') else {
            return self.matches_name(item, selector, diagnostics);
        };
        let has = |host: &Host| host.labels.get(label.trim()).is_some_and(|known| known == value.trim());
        if !self.hosts.is_empty() && !self.hosts.values().any(has) {
            let message = format!("no host in fleet.toml has the label `{selector}`");
            let label = "matches nothing";
            diagnostics.push(
                Diagnostic::warning("unknown-host", item.span.clone(), message, label).help(self.known()),
            );
        }
        self.host().is_some_and(has)
    }

    fn matches_name(&self, item: &Node, selector: &str, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let glob = match Glob::new(selector) {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                let message = format!("`{}` is not a pattern for hosts", selector.escape_debug());
                let label = error.kind().to_string();
                diagnostics.push(Diagnostic::error("bad-glob", item.span.clone(), message, label));
                return false;
            }
        };
        if !self.hosts.is_empty() && !self.hosts.keys().any(|name| glob.is_match(name)) {
            let message = format!("no host `{}` in fleet.toml", selector.escape_debug());
            let label = match nearest(selector, self.hosts.keys().map(String::as_str)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "not listed there".to_owned(),
            };
            let diagnostic = Diagnostic::error("unknown-host", item.span.clone(), message, label);
            diagnostics.push(diagnostic.help(self.known()));
        }
        glob.is_match(&self.name)
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        format!("known: {}; by label: \"role=web\"", names.join(", "))
    }
}

impl Host {
    fn read(table: &Table, place: &str, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut host = Self::default();
        for entry in &table.entries {
            let inner = format!("{place}.{}", entry.key);
            match entry.key.as_str() {
                "labels" => {
                    if let Some(labels) = table_of(&entry.value, &inner, diagnostics) {
                        host.labels.clear();
                        flatten(labels, "", &mut host.labels);
                    }
                }
                "vars" => {
                    if let Some(vars) = table_of(&entry.value, &inner, diagnostics) {
                        host.vars = vars.clone();
                    }
                }
                "profiles" => {
                    host.profiles = items(&entry.value)
                        .iter()
                        .filter_map(|item| item.as_str().map(str::to_owned))
                        .collect();
                }
                // Only jobs and windows read it.
                "timezone" => {}
                "paused" if entry.value.value == Value::Boolean(false) => {}
                "paused" | "endpoint" => diagnostics.push(super::toplevel::not_yet(&inner, &entry.key_span)),
                key if key.starts_with("x-") => {}
                key => diagnostics.push(super::toplevel::unknown_key(
                    key,
                    &entry.key_span,
                    place,
                    &["labels", "vars", "profiles", "timezone", "paused", "endpoint"],
                )),
            }
        }
        host
    }
}

/// The table a value should be, or a diagnostic.
pub(super) fn table_of<'a>(
    node: &'a Node,
    place: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'a Table> {
    let table = node.as_table();
    if table.is_none() {
        let message = format!("`{place}` takes a table, not {}", node.kind());
        diagnostics.push(Diagnostic::error("bad-type", node.span.clone(), message, "a table belongs here"));
    }
    table
}

fn flatten(table: &Table, prefix: &str, labels: &mut BTreeMap<String, String>) {
    for entry in &table.entries {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        match &entry.value.value {
            Value::Table(inner) => flatten(inner, &key, labels),
            _ => {
                if let Some(text) = entry.value.scalar() {
                    labels.insert(key, text);
                }
            }
        }
    }
}
