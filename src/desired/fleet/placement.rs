//! `deploy.placement.constraints`: Swarm's expressions, decided for this host alone. Nothing is scheduled across hosts: a service
//! whose constraints hold runs here, whatever other hosts do.

use super::{Fleet, Host};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::items;
use crate::desired::interpolate::{self, Scope};
use crate::desired::node::{Node, Table};
use crate::desired::snapshot::{HostFacts, Platform};
use crate::desired::suggest::nearest;

/// What may stand on the left.
const ATTRIBUTES: [&str; 4] =
    ["node.hostname", "node.labels.<name>", "node.platform.os", "node.platform.arch"];

/// `node.labels.zone == eu`, taken apart.
struct Constraint<'a> {
    attribute: &'a str,
    equal: bool,
    value: &'a str,
}

/// Do all constraints of `deploy.placement` hold here? One that cannot be understood is reported, and holds: its service then
/// freezes instead of being taken for one that is meant for other hosts.
pub(in crate::desired) fn placed_here(
    service: &Table,
    fleet: &Fleet,
    facts: &HostFacts,
    scope: &dyn Scope,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let below = |table: &Table, key: &str| table.get(key)?.value.as_table().cloned();
    let placement = below(service, "deploy").and_then(|deploy| below(&deploy, "placement"));
    let Some(list) = placement.as_ref().and_then(|placement| placement.get("constraints")) else {
        return true;
    };
    // All of them are looked at, so that every mistake is told.
    let mut here = true;
    for item in items(&list.value) {
        here &= holds(item, fleet, facts, scope, diagnostics);
    }
    here
}

fn holds(
    item: &Node,
    fleet: &Fleet,
    facts: &HostFacts,
    scope: &dyn Scope,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    // What is no text is reported by the conversion, and so is a variable that is not set.
    let Some(text) = item.as_str() else { return true };
    let expanded = interpolate::expand(text, scope);
    if expanded.gap {
        return true;
    }
    match Constraint::parse(&expanded.text, item.span.clone()) {
        // What a variable stands for is not repeated in a message.
        Ok(constraint) if expanded.replaced => constraint.holds(item, fleet, facts, &mut Vec::new()),
        Ok(constraint) => constraint.holds(item, fleet, facts, diagnostics),
        Err(_) if expanded.replaced => {
            let message = format!("`{}` is not a constraint", text.escape_debug());
            let label = "what its variables stand for is not \"attribute == value\"";
            diagnostics.push(Diagnostic::error("bad-constraint", item.span.clone(), message, label));
            true
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            true
        }
    }
}

impl<'a> Constraint<'a> {
    fn parse(text: &'a str, span: Span) -> Result<Self, Box<Diagnostic>> {
        let split = |operator: &str| text.split_once(operator);
        let parts = match (split("!="), split("==")) {
            (Some((left, right)), _) => Some((left, false, right)),
            (None, Some((left, right))) => Some((left, true, right)),
            (None, None) => None,
        };
        let shown = text.escape_debug();
        let Some((attribute, equal, value)) = parts else {
            let message = format!("`{shown}` is not a constraint");
            let diagnostic = Diagnostic::error("bad-constraint", span, message, "neither `==` nor `!=`");
            return Err(Box::new(diagnostic.help("as in \"node.labels.zone == eu\"")));
        };
        let (attribute, value) = (attribute.trim(), value.trim());
        if attribute.is_empty() || value.is_empty() {
            let message = format!("`{shown}` is not a constraint");
            let label = if value.is_empty() { "nothing to compare with" } else { "nothing to compare" };
            return Err(Box::new(Diagnostic::error("bad-constraint", span, message, label)));
        }
        let labelled = attribute.strip_prefix("node.labels.").is_some_and(|name| !name.is_empty());
        if !labelled && !ATTRIBUTES.contains(&attribute) {
            return Err(Box::new(unknown_attribute(attribute, span)));
        }
        Ok(Self { attribute, equal, value })
    }

    /// Compared as Swarm compares: whatever the case of letters; a label that a host does not have is empty.
    fn holds(
        &self,
        item: &Node,
        fleet: &Fleet,
        facts: &HostFacts,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let same = |known: &str| known.eq_ignore_ascii_case(self.value);
        let listed = !fleet.hosts.is_empty();
        let found = match (self.attribute.strip_prefix("node.labels."), self.attribute) {
            (Some(label), _) => {
                let has = |host: &Host| host.labels.get(label).is_some_and(|known| same(known));
                if listed && !fleet.hosts.values().any(has) {
                    let message = format!("no host in fleet.toml has the label `{label}={}`", self.value);
                    let text = if self.equal { "holds nowhere" } else { "holds everywhere" };
                    let diagnostic = Diagnostic::warning("unknown-host", item.span.clone(), message, text);
                    diagnostics.push(diagnostic.help(fleet.known()));
                }
                fleet.host().is_some_and(has)
            }
            (None, "node.hostname") => {
                if listed && !fleet.hosts.keys().any(|name| same(name)) {
                    diagnostics.push(fleet.unknown(self.value, item.span.clone()));
                }
                same(&facts.name)
            }
            // Where no engine was asked (`validate`), either may be: what it needs is checked, then.
            (None, attribute) => match &facts.platform {
                None => return true,
                Some(Platform { os, .. }) if attribute == "node.platform.os" => same(os),
                Some(Platform { architecture, .. }) => {
                    canonical(architecture).eq_ignore_ascii_case(canonical(self.value))
                }
            },
        };
        found == self.equal
    }
}

/// The kernel's names for architectures, and the images': the same is meant.
fn canonical(architecture: &str) -> &str {
    const SAME: [(&str, &str); 6] = [
        ("x86_64", "amd64"),
        ("x86-64", "amd64"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("armhf", "arm"),
        ("i686", "386"),
    ];
    SAME.iter()
        .find(|(kernel, _)| kernel.eq_ignore_ascii_case(architecture))
        .map_or(architecture, |(_, image)| image)
}

fn unknown_attribute(attribute: &str, span: Span) -> Diagnostic {
    let swarm = ["node.id", "node.role", "node.ip"].contains(&attribute) || attribute.starts_with("engine.");
    let message = format!("`{}` cannot be compared here", attribute.escape_debug());
    let label = match nearest(attribute, ATTRIBUTES) {
        _ if swarm => "there is no swarm: hosts are told apart by name and label".to_owned(),
        Some(known) => format!("did you mean `{known}`?"),
        None => "not an attribute of a host".to_owned(),
    };
    Diagnostic::error("bad-constraint", span, message, label).help(format!(
        "there are: {}; labels stand in fleet.toml, [hosts.<name>.labels]",
        ATTRIBUTES.join(", ")
    ))
}
