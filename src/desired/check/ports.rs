//! Host ports that two containers would hold at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Found, span_at, value_at};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::items;
use crate::desired::load::{Draft, Settled};
use crate::desired::node::Node;
use crate::desired::spec::{PortBinding, Protocol};

/// A fixed port of a service: which service by its place in the list, what it publishes, and where that is written.
type Claim<'a> = (usize, &'a PortBinding, &'a Span);

/// Services whose replicas would all hold one port.
pub(super) fn shared(drafts: &[Draft]) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let Some(spec) = draft.spec.as_ref().filter(|spec| spec.policy.replicas > 1) else { continue };
        for binding in &spec.container.ports {
            let Some(port) = binding.fixed() else { continue };
            found.push(shared_port(number, draft, binding, port, spec.policy.replicas));
        }
    }
    found
}

/// Where the ports of a service are written, in their order.
pub(super) fn places(draft: &Draft) -> Vec<Span> {
    let ports = draft.spec.as_ref().map(|spec| &spec.container.ports);
    ports.into_iter().flatten().map(|binding| place(draft, binding)).collect()
}

pub(super) fn check(services: &[&Settled], host: &str) -> Vec<Found> {
    let mut claims: BTreeMap<(u16, Protocol), Vec<Claim<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    for (number, service) in services.iter().enumerate() {
        let Some(spec) = service.spec() else { continue };
        for (binding, place) in spec.container.ports.iter().zip(&service.ports) {
            let Some(port) = binding.fixed() else { continue };
            claims.entry((port, binding.container.protocol)).or_default().push((number, binding, place));
        }
    }
    for ((port, protocol), claims) in claims.iter_mut().filter(|(_, claims)| claims.len() > 1) {
        // In the order of the files, whatever the projects are called.
        claims.sort_by_key(|(number, ..)| services.get(*number).map(|service| service.header.clone()));
        let mut seen: BTreeMap<Option<IpAddr>, Claim<'_>> = BTreeMap::new();
        for claim in claims.iter() {
            match holder(&seen, claim.1.host_ip) {
                Some(first) => found.extend(clash(services, first, *claim, *port, *protocol, host)),
                None => {
                    seen.insert(claim.1.host_ip, *claim);
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
    services: &[&Settled],
    first: Claim<'_>,
    second: Claim<'_>,
    port: u16,
    protocol: Protocol,
    host: &str,
) -> Option<Found> {
    let (one, two) = (services.get(first.0)?, services.get(second.0)?);
    let message = format!("host port {port}/{} is published twice on host `{host}`", protocol.as_str());
    let on = match first.1.host_ip {
        None => "on every address".to_owned(),
        Some(address) => format!("on {address}"),
    };
    let diagnostic =
        Diagnostic::error("port-clash", second.2.clone(), message, format!("here for {}", two.id))
            .also(first.2.clone(), format!("and here for {}, {on}", one.id));
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
