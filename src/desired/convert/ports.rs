//! `ports` and `expose`.

use std::collections::BTreeSet;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::{ContainerPort, PortBinding, Protocol};

use super::port::{Piece, PortFault, address_of, bindings, parse_port, protocol_of, range, range_from};
use super::read::{Field, Fields, Reader};

const FORM: &str = "form: \"[ip:]host:container[/udp]\"";

impl Reader<'_, '_> {
    pub(super) fn port_fault(&mut self, field: &Field<'_>, fault: PortFault, form: &'static str) {
        let span = field.node.part(fault.start, fault.end);
        self.report(Diagnostic::error("bad-port", span, fault.message, fault.label).help(form));
    }
}

pub(super) fn ports(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeSet<PortBinding> {
    let mut all = BTreeSet::new();
    for item in reader.list(field, "ports = [\"8080:80\"]").unwrap_or_default() {
        let found = match &item.node.value {
            Value::Table(_) => long(reader, &item),
            Value::Integer(port) => short(reader, &item, &port.to_string()),
            Value::String(text) => short(reader, &item, text),
            _ => {
                reader.wrong_type(&item, "text or a table", "\"8080:80\"");
                None
            }
        };
        for binding in found.unwrap_or_default() {
            let held = binding.fixed().and_then(|_| {
                all.iter().find(|other: &&PortBinding| same_host_port(other, &binding) && **other != binding)
            });
            if let (Some(port), Some(_)) = (binding.fixed(), held) {
                let protocol = binding.container.protocol.as_str();
                let message = format!("host port {port}/{protocol} is published twice in `{}`", item.path);
                let help = "one host port leads to one container port";
                let label = "published before for another container port";
                reader.report(
                    Diagnostic::error("port-clash", item.node.span.clone(), message, label).help(help),
                );
                continue;
            }
            all.insert(binding);
        }
    }
    all
}

fn same_host_port(one: &PortBinding, other: &PortBinding) -> bool {
    let any = one.host_ip.is_none() || other.host_ip.is_none() || one.host_ip == other.host_ip;
    any && one.fixed().is_some()
        && one.fixed() == other.fixed()
        && one.container.protocol == other.container.protocol
}

fn short(reader: &mut Reader<'_, '_>, item: &Field<'_>, text: &str) -> Option<Vec<PortBinding>> {
    match parse_port(text) {
        Ok(bindings) => Some(bindings),
        Err(fault) => {
            // A bare number has no quote in front of it: point at all of it.
            let fault = if item.node.as_str().is_some() {
                fault
            } else {
                PortFault { start: 0, end: text.len(), ..fault }
            };
            if item.node.as_str().is_some() {
                reader.port_fault(item, fault, FORM);
            } else {
                let PortFault { message, label, .. } = fault;
                reader
                    .report(Diagnostic::error("bad-port", item.node.span.clone(), message, label).help(FORM));
            }
            None
        }
    }
}

fn long(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<Vec<PortBinding>> {
    let fields = reader.table(item, "{ target = 80, published = 8080 }")?;
    reader.check(&fields, "Port", &[]);
    // These two say something to people only; they still must be what they claim.
    for key in ["name", "app_protocol"] {
        fields.get(key).and_then(|field| reader.text(&field).map(|_| ()));
    }
    if let Some(mode) = fields.get("mode") {
        reader.choice(&mode, "port mode", manifest::PortMode::WORDS);
    }
    let protocol = match fields.get("protocol") {
        None => Some(Protocol::Tcp),
        Some(field) => reader.text(&field).map(str::to_owned).and_then(|text| {
            let lower = text.to_ascii_lowercase();
            let found =
                [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| p.as_str() == lower);
            if found.is_none() {
                reader.bad_choice(
                    field.node.span.clone(),
                    &text,
                    "protocol",
                    manifest::Transport::WORDS,
                    None,
                );
            }
            found
        }),
    };
    let host_ip = match fields.get("host_ip") {
        None => Some(None),
        Some(field) => {
            let text = reader.text(&field)?;
            match address_of(Piece { text, at: 0 }) {
                Ok(ip) => Some(ip),
                Err(fault) => {
                    reader.port_fault(&field, fault, "form: host_ip = \"127.0.0.1\"");
                    None
                }
            }
        }
    };
    let published = match fields.get("published") {
        None => Some(None),
        Some(field) => port_value(reader, &field, "host port", 0).map(Some),
    };
    let Some(target) = fields.get("target") else {
        let message = format!("`{}` has an entry without `target`", item.path);
        reader.error("missing-key", item.node, message, "add the container's port: target = 80");
        return None;
    };
    let target_range = port_value(reader, &target, "container port", 1)?;
    if target_range.0 != target_range.1 {
        reader.error("bad-port", target.node, "the long form publishes one container port", "write a number");
        return None;
    }
    bindings(target_range, published?.filter(|range| range.1 != 0), host_ip?, protocol?)
}

/// A number, or text with a number or a range.
fn port_value(reader: &mut Reader<'_, '_>, field: &Field<'_>, what: &str, least: u16) -> Option<(u16, u16)> {
    let form = "form: { target = 80, published = 8080 }";
    match &field.node.value {
        Value::Integer(port) => {
            let text = port.to_string();
            let found = range_from(Piece { text: &text, at: 0 }, what, least);
            if let Err(fault) = &found {
                let diagnostic = Diagnostic::error(
                    "bad-port",
                    field.node.span.clone(),
                    fault.message.clone(),
                    fault.label.clone(),
                );
                reader.report(diagnostic.help(form));
            }
            found.ok()
        }
        Value::String(text) if text.is_empty() && least == 0 => Some((0, 0)),
        Value::String(text) => match range_from(Piece { text, at: 0 }, what, least) {
            Ok(range) => Some(range),
            Err(fault) => {
                reader.port_fault(field, fault, form);
                None
            }
        },
        _ => {
            reader.wrong_type(field, "a port", "for example 8080");
            None
        }
    }
}

/// `expose`, ranges expanded, without those in `published`.
pub(super) fn expose(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    published: &BTreeSet<PortBinding>,
) -> BTreeSet<ContainerPort> {
    const FORM: &str = "form: \"port[-port][/udp]\"";
    let mut all = BTreeSet::new();
    let Some(field) = fields.get("expose") else { return all };
    for item in reader.list(&field, "expose = [\"8000\"]").unwrap_or_default() {
        let found = match &item.node.value {
            Value::Integer(port) => {
                let text = port.to_string();
                exposed(&text).map_err(|fault| PortFault { start: 0, end: 0, ..fault })
            }
            Value::String(text) => exposed(text),
            _ => {
                reader.wrong_type(&item, "a port", "\"8000\"");
                continue;
            }
        };
        match found {
            Ok(ports) => all.extend(ports),
            Err(fault) if item.node.as_str().is_some() => reader.port_fault(&item, fault, FORM),
            Err(PortFault { message, label, .. }) => {
                reader
                    .report(Diagnostic::error("bad-port", item.node.span.clone(), message, label).help(FORM));
            }
        }
    }
    all.retain(|port| !published.iter().any(|binding| binding.container == *port));
    all
}

fn exposed(text: &str) -> Result<impl Iterator<Item = ContainerPort> + use<>, PortFault> {
    let whole = Piece { text, at: 0 };
    if let Some((published, _)) = whole.rsplit(':') {
        return Err(published.fault("`expose` publishes nothing on the host", "write it under `ports`"));
    }
    let (ports, protocol) = match whole.rsplit('/') {
        Some((ports, protocol)) => (ports, protocol_of(protocol)?),
        None => (whole, Protocol::Tcp),
    };
    let (first, last) = range(ports, "container port")?;
    Ok((first..=last).map(move |port| ContainerPort { port, protocol }))
}
