//! Host ports that two containers would hold at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Found, span_at, value_at};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::items;
use crate::desired::load::Draft;
use crate::desired::node::Node;
use crate::desired::spec::{PortBinding, Protocol};

pub(super) fn check(drafts: &[Draft], host: &str) -> Vec<Found> {
    let mut claims: BTreeMap<(u16, Protocol), Vec<(usize, &PortBinding)>> = BTreeMap::new();
    let mut found = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let Some(spec) = &draft.spec else { continue };
        for binding in &spec.container.ports {
            let Some(port) = binding.fixed() else { continue };
            claims.entry((port, binding.container.protocol)).or_default().push((number, binding));
            if spec.policy.replicas > 1 {
                found.push(shared_port(number, draft, binding, port, spec.policy.replicas));
            }
        }
    }
    for ((port, protocol), claims) in &mut claims {
        // In the order of the files, whatever the projects are called.
        claims.sort_by_key(|(number, _)| drafts.get(*number).map(|draft| draft.header.clone()));
        let mut seen: BTreeMap<Option<IpAddr>, (usize, &PortBinding)> = BTreeMap::new();
        for (number, binding) in claims.iter() {
            match holder(&seen, binding.host_ip) {
                Some(first) => found.extend(clash(drafts, first, (*number, binding), *port, *protocol, host)),
                None => {
                    seen.insert(binding.host_ip, (*number, binding));
                }
            }
        }
    }
    found
}

/// Who holds a port number on an address already. Without an address it is every one of both families; `0.0.0.0` and `::`
/// are every one of theirs. A look-up each, for a thousand services may use one port on a thousand addresses.
fn holder<T: Copy>(seen: &BTreeMap<Option<IpAddr>, T>, address: Option<IpAddr>) -> Option<T> {
    let Some(address) = address else { return seen.values().next().copied() };
    let every: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let known = [None, Some(every), Some(address)].iter().find_map(|key| seen.get(key)).copied();
    known.or_else(|| {
        let mut family =
            seen.iter().filter(|(key, _)| key.is_some_and(|key| key.is_ipv4() == address.is_ipv4()));
        family.next().filter(|_| address.is_unspecified()).map(|(_, holder)| *holder)
    })
}

/// Where a binding is written: its item in `ports`, as far as that can be told.
pub(super) fn place(draft: &Draft, binding: &PortBinding) -> Span {
    let Some(node) = value_at(draft, &["ports"]) else { return draft.header.clone() };
    let found = items(node).iter().find(|item| publishes(item, binding));
    found.map_or_else(|| node.span.clone(), |item| item.span.clone())
}

/// Does an item of `ports` publish this host port on this address? Short form `[ip:]host:container[/protocol]`.
fn publishes(item: &Node, binding: &PortBinding) -> bool {
    let Some(port) = binding.fixed() else { return false };
    let (published, protocol) = match item.as_table() {
        Some(table) => {
            let part = |key: &str| table.get(key).and_then(|entry| entry.value.scalar());
            (part("published").unwrap_or_default(), part("protocol"))
        }
        None => {
            let text = item.scalar().unwrap_or_default();
            let (ports, protocol) = match text.rsplit_once('/') {
                Some((ports, protocol)) => (ports.to_owned(), Some(protocol.to_owned())),
                None => (text, None),
            };
            let before = ports.rsplit_once(':').map_or("", |(before, _)| before);
            (before.rsplit(':').next().unwrap_or_default().to_owned(), protocol)
        }
    };
    let protocol = protocol.filter(|p| !p.is_empty()).unwrap_or_else(|| "tcp".to_owned());
    let within = match published.split_once('-') {
        Some((first, last)) => {
            let bound = |text: &str| text.trim().parse::<u16>();
            matches!((bound(first), bound(last)), (Ok(first), Ok(last)) if (first..=last).contains(&port))
        }
        None => published.trim().parse::<u16>() == Ok(port),
    };
    within && protocol.eq_ignore_ascii_case(binding.container.protocol.as_str())
}

fn clash(
    drafts: &[Draft],
    first: (usize, &PortBinding),
    second: (usize, &PortBinding),
    port: u16,
    protocol: Protocol,
    host: &str,
) -> Option<Found> {
    let (one, two) = (drafts.get(first.0)?, drafts.get(second.0)?);
    let message = format!("host port {port}/{} is published twice on host `{host}`", protocol.as_str());
    let on = match first.1.host_ip {
        None => "on every address".to_owned(),
        Some(address) => format!("on {address}"),
    };
    let diagnostic =
        Diagnostic::error("port-clash", place(two, second.1), message, format!("here for {}", two.id))
            .also(place(one, first.1), format!("and here for {}, {on}", one.id));
    Some(Found { diagnostic, freezes: vec![first.0, second.0] })
}

fn shared_port(number: usize, draft: &Draft, binding: &PortBinding, port: u16, replicas: u32) -> Found {
    let span = match value_at(draft, &["scale"]) {
        Some(node) => node.span.clone(),
        None => span_at(draft, &["deploy", "replicas"]),
    };
    let message = format!("{replicas} containers cannot share host port {port}");
    let last = port.saturating_add(u16::try_from(replicas - 1).unwrap_or(u16::MAX));
    let target = binding.container.port;
    let diagnostic = Diagnostic::error("port-and-replicas", span, message, "drop the host port, or replicas")
        .also(place(draft, binding), "only one container can hold it")
        .help(format!("a port for each: \"{port}-{last}:{target}\", or any free one: \"{target}\""));
    Found { diagnostic, freezes: vec![number] }
}
