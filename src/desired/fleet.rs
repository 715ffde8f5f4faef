//! `[hosts]` of fleet.toml and `on_hosts`: what is meant for this host.

mod host;
mod placement;

use std::collections::BTreeMap;

use globset::Glob;

use super::diagnostic::{Diagnostic, Span};
use super::files::items;
use super::node::{Node, Table};
use super::pauses::Pause;
use super::snapshot::HostFacts;
use super::suggest::nearest;

pub(super) use host::Host;
pub(super) use placement::placed_here;

/// The hosts that share this desired state.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// Empty when no host is listed: then every host takes what has no selector.
    pub hosts: BTreeMap<String, Host>,
    /// This host.
    pub name: String,
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

    /// Where it is said that this host is to be left as it is.
    pub fn paused(&self) -> Option<Pause> {
        let place = self.host()?.paused.as_ref()?;
        Some(Pause::at(format!("{}, hosts.{}", place.file, self.name)))
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
            let known = Diagnostic::warning("unknown-host", item.span.clone(), message, "matches nothing");
            diagnostics.push(known.help(self.known()));
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
            diagnostics.push(self.unknown(selector, item.span.clone()));
        }
        glob.is_match(&self.name)
    }

    /// A name that no host has.
    fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let message = format!("no host `{}` in fleet.toml", name.escape_debug());
        let label = match nearest(name, self.hosts.keys().map(String::as_str)) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "not listed there".to_owned(),
        };
        Diagnostic::error("unknown-host", span, message, label).help(self.known())
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        format!("known: {}; by label: \"role=web\"", names.join(", "))
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
