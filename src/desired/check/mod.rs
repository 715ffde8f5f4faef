//! What only shows when all services of the host are known: cycles, and two that want the same thing.

mod cycles;
mod names;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::DesiredState;
use super::diagnostic::{Diagnostic, Span};
use super::load::{Draft, Settled};
use super::node::{Node, Value};
use super::provided::Credential;
use super::spec::{NetworkMode, NetworkSpec, Strategy, UpdateOrder, VolumeSpec};

/// An error and the services that stay as they are because of it, by their place in the list.
struct Found {
    diagnostic: Diagnostic,
    freezes: Vec<usize>,
}

/// The checks within one project. Services that are part of a problem freeze, all of them: which one is wrong, nobody can tell.
pub(super) fn project(drafts: &mut [Draft], host: &str, told: &mut Vec<Diagnostic>) {
    let mut found = cycles::check(drafts);
    found.extend(elsewhere(drafts, host));
    found.extend(names::shared(drafts));
    found.extend(ports::shared(drafts));
    found.extend(overlaps(drafts));
    for Found { diagnostic, freezes } in found {
        for number in freezes {
            if let Some(draft) = drafts.get_mut(number) {
                draft.frozen.push(diagnostic.clone());
            }
        }
        told.push(diagnostic);
    }
}

/// The checks between all services of the host. Returns what freezes which of them, by its place in the list.
pub(super) fn host(
    services: &[&Settled],
    host: &str,
    told: &mut Vec<Diagnostic>,
) -> BTreeMap<usize, Vec<Diagnostic>> {
    let mut frozen: BTreeMap<usize, Vec<Diagnostic>> = BTreeMap::new();
    let mut found = names::check(services, host);
    found.extend(ports::check(services, host));
    for Found { diagnostic, freezes } in found {
        for number in freezes {
            frozen.entry(number).or_default().push(diagnostic.clone());
        }
        told.push(diagnostic);
    }
    frozen
}

/// The places that the checks between projects may have to tell.
pub(super) fn places(draft: &Draft) -> (Span, Vec<Span>) {
    (names::place(draft), ports::places(draft))
}

/// The value at `path` of a service's table, or the innermost one on the way.
fn value_at<'a>(draft: &'a Draft, path: &[&str]) -> Option<&'a Node> {
    let mut node = None;
    let mut table = Some(&draft.table);
    for key in path {
        let Some(entry) = table.and_then(|table| table.get(key)) else { break };
        node = Some(&entry.value);
        table = entry.value.as_table();
    }
    node
}

fn span_at(draft: &Draft, path: &[&str]) -> Span {
    value_at(draft, path).map_or_else(|| draft.header.clone(), |node| node.span.clone())
}

/// Keys that name another service beside `depends_on`: `service:db`, `db:alias`, `db:ro`.
const TIES: [&str; 5] = ["network_mode", "ipc", "pid", "links", "volumes_from"];

/// Where a service names another one.
fn reference(draft: &Draft, name: &str) -> Span {
    let waits = value_at(draft, &["depends_on"]).and_then(|node| match &node.value {
        Value::Array(items) => {
            items.iter().find(|item| item.as_str() == Some(name)).map(|item| item.span.clone())
        }
        Value::Table(table) => table.get(name).map(|entry| entry.key_span.clone()),
        _ => None,
    });
    let names = |node: &Node| {
        let text = node.as_str()?;
        let text = text.strip_prefix("service:").unwrap_or(text);
        (text.split_once(':').map_or(text, |(name, _)| name) == name).then(|| node.span.clone())
    };
    waits
        .or_else(|| {
            TIES.iter().find_map(|key| {
                let node = value_at(draft, &[key])?;
                super::files::items(node).iter().find_map(names)
            })
        })
        .unwrap_or_else(|| draft.header.clone())
}

/// Services that wait for one that is not meant for this host.
fn elsewhere(drafts: &[Draft], host: &str) -> Vec<Found> {
    let here: BTreeSet<_> = drafts.iter().map(|draft| &draft.id).collect();
    let mut found = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let Some(spec) = &draft.spec else { continue };
        let waits =
            spec.policy.depends_on.iter().filter(|(_, dependency)| dependency.required).map(|(name, _)| name);
        let shares = match &spec.container.network_mode {
            NetworkMode::Service(name) => Some(name),
            _ => None,
        };
        for name in waits.chain(shares) {
            let id = super::ident::ServiceId { project: draft.id.project.clone(), service: name.clone() };
            if here.contains(&id) {
                continue;
            }
            let message = format!(
                "services.{name} is not meant for host `{host}`, so services.{} cannot wait for it",
                draft.id.service
            );
            let diagnostic = Diagnostic::error(
                "dependency-elsewhere",
                reference(draft, name.as_str()),
                message,
                "not here",
            )
            .help("`on_hosts` and `profiles` must let both run, or say: required = false");
            found.push(Found { diagnostic, freezes: vec![number] });
        }
    }
    found
}

/// `order = "start-first"` where old and new cannot be there at the same time.
fn overlaps(drafts: &[Draft]) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let Some(spec) =
            draft.spec.as_ref().filter(|spec| spec.policy.update.order == UpdateOrder::StartFirst)
        else {
            continue;
        };
        let name = &draft.id.service;
        let fixed = spec.container.ports.iter().find_map(|port| Some((port, port.fixed()?)));
        let (what, place, label, help) = match (&spec.container.network_mode, fixed) {
            (NetworkMode::Host, _) => (
                "uses the host's network".to_owned(),
                span_at(draft, &["network_mode"]),
                "both would take the same ports",
                "use a network of its own, or order = \"stop-first\"".to_owned(),
            ),
            (NetworkMode::Service(_) | NetworkMode::Container(_), _) => (
                "shares a network".to_owned(),
                span_at(draft, &["network_mode"]),
                "both would take the same ports",
                "use a network of its own, or order = \"stop-first\"".to_owned(),
            ),
            (_, Some((binding, port))) => (
                format!("publishes host port {port}"),
                ports::place(draft, binding),
                "only one container can hold it",
                format!(
                    "let a proxy publish the port and reach `{name}` over a network, or use order = \"stop-first\""
                ),
            ),
            _ => continue,
        };
        let message = format!("old and new cannot run side by side while services.{name} {what}");
        let blue_green = spec.policy.rollout.strategy == Strategy::BlueGreen;
        let (order, needs, help) = match blue_green {
            true => (
                span_at(draft, &["rollout", "strategy"]),
                "needs two sets at once",
                help.replace("order = \"stop-first\"", "strategy = \"recreate\""),
            ),
            false => (span_at(draft, &["deploy", "update_config", "order"]), "needs both at once", help),
        };
        let diagnostic =
            Diagnostic::error("overlap-impossible", order, message, needs).also(place, label).help(help);
        found.push(Found { diagnostic, freezes: vec![number] });
    }
    found
}

/// Takes a network into the state. Two projects may share one by name, if they agree on what it is.
pub(super) fn declare_network(
    state: &mut DesiredState,
    spec: &Arc<NetworkSpec>,
    place: &Span,
    told: &mut Vec<Diagnostic>,
) {
    match state.networks.get(&spec.name) {
        None => {
            state.networks.insert(spec.name.clone(), Arc::clone(spec));
        }
        // Made elsewhere, says one; made here, says the other: the latter is where it is made.
        Some(known) if known.external && !spec.external => {
            state.networks.insert(spec.name.clone(), Arc::clone(spec));
        }
        Some(_) if spec.external => {}
        Some(known) => {
            let like = NetworkSpec {
                project: spec.project.clone(),
                key: spec.key.clone(),
                source: spec.source.clone(),
                ..(**known).clone()
            };
            if like != **spec {
                let first = format!("{}:{}", known.source.file, known.source.line);
                told.push(two_ways("network", &spec.name, &first, place));
            }
        }
    }
}

/// Takes a volume into the state, like [`declare_network`].
pub(super) fn declare_volume(
    state: &mut DesiredState,
    spec: &Arc<VolumeSpec>,
    place: &Span,
    told: &mut Vec<Diagnostic>,
) {
    match state.volumes.get(&spec.name) {
        None => {
            state.volumes.insert(spec.name.clone(), Arc::clone(spec));
        }
        Some(known) if known.external && !spec.external => {
            state.volumes.insert(spec.name.clone(), Arc::clone(spec));
        }
        Some(_) if spec.external => {}
        Some(known) => {
            let like = VolumeSpec {
                project: spec.project.clone(),
                key: spec.key.clone(),
                source: spec.source.clone(),
                ..(**known).clone()
            };
            if like != **spec {
                let first = format!("{}:{}", known.source.file, known.source.line);
                told.push(two_ways("volume", &spec.name, &first, place));
            }
        }
    }
}

/// Takes a login into the state. Two projects may say the same one.
pub(super) fn declare_credential(
    state: &mut DesiredState,
    host: &str,
    credential: &Credential,
    place: &Span,
    told: &mut Vec<Diagnostic>,
) {
    match state.credentials.get(host) {
        None => {
            state.credentials.insert(host.to_owned(), credential.clone());
        }
        Some(known) => {
            let like = Credential { place: credential.place.clone(), ..known.clone() };
            if like != *credential {
                let message = format!("the login for `{host}` is given in two ways on this host");
                let label = format!("not the same as at {}", known.place);
                let diagnostic = Diagnostic::error("name-clash", place.clone(), message, label);
                told.push(
                    diagnostic.help("a host has one login: say it once, in fleet.toml for all projects"),
                );
            }
        }
    }
}

fn two_ways(kind: &str, name: &str, first: &str, place: &Span) -> Diagnostic {
    let message = format!("the {kind} `{name}` is declared in two ways on this host");
    Diagnostic::error("name-clash", place.clone(), message, format!("not the same as at {first}"))
        .help(format!("let one project declare it, and the others say: external = true, name = \"{name}\""))
}
