//! `ports` and `expose`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::{ContainerPort, PortBinding, Protocol};

use super::read::{Field, Fields, Reader};

const FORM: &str = "form: \"[ip:]host:container[/udp]\"";

/// A part of a port's text that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFault {
    /// Bytes of the text.
    pub start: usize,
    pub end: usize,
    pub message: String,
    /// What stands there: `host port`.
    pub label: String,
}

/// A piece of a text that remembers where it stood.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Piece<'t> {
    fn fault(self, message: impl Into<String>, label: impl Into<String>) -> PortFault {
        let (start, end) = (self.at, self.at + self.text.len());
        PortFault { start, end, message: message.into(), label: label.into() }
    }

    fn split(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        Some((Self { text: left, at: self.at }, Self { text: right, at: self.at + left.len() + 1 }))
    }

    fn rsplit(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.rsplit_once(separator)?;
        Some((Self { text: left, at: self.at }, Self { text: right, at: self.at + left.len() + 1 }))
    }
}

/// Reads the short form `[ip:][host[-host]:]container[-container][/protocol]`, ranges expanded.
///
/// # Errors
/// The part that cannot be, and why.
pub fn parse_port(text: &str) -> Result<Vec<PortBinding>, PortFault> {
    let whole = Piece { text, at: 0 };
    let (rest, protocol) = match whole.rsplit('/') {
        Some((rest, protocol)) => (rest, protocol_of(protocol)?),
        None => (whole, Protocol::Tcp),
    };
    let (address, container) = match rest.rsplit(':') {
        Some((address, container)) => (Some(address), container),
        None => (None, rest),
    };
    let (ip, host) = match address {
        None => (None, None),
        Some(address) => match address.rsplit(':') {
            // `[::1]` alone is an address without a port: `[::1]:80` has no host port to give.
            Some(_) if address.text.ends_with(']') => {
                return Err(address.fault(
                    "the host port between address and container port is missing",
                    "write \"[ip]::container\" for any free port",
                ));
            }
            Some((ip, host)) => (Some(ip), Some(host)),
            None if address.text.contains('.') => {
                return Err(address.fault(
                    "the host port between address and container port is missing",
                    "write \"ip::container\" for any free port",
                ));
            }
            None => (None, Some(address)),
        },
    };
    let host_ip = ip.map(address_of).transpose()?.flatten();
    let container = range(container, "container port")?;
    let host = match host {
        Some(host) if !host.text.is_empty() => Some((range_from(host, "host port", 0)?, host)),
        _ => None,
    };
    if container.0 == 0 {
        return Err(rest.fault("container port 0 does not exist", "container port"));
    }
    bindings(container, host.map(|(range, _)| range), host_ip, protocol).ok_or_else(|| {
        let piece = host.map_or(whole, |(_, piece)| piece);
        piece.fault("host and container range differ in length", "host ports")
    })
}

/// One binding per container port. A host range over one container port leaves the choice to the engine.
fn bindings(
    container: (u16, u16),
    host: Option<(u16, u16)>,
    host_ip: Option<IpAddr>,
    protocol: Protocol,
) -> Option<Vec<PortBinding>> {
    let binding = |port: u16, host_port: Option<(u16, u16)>| PortBinding {
        container: ContainerPort { port, protocol },
        host_ip,
        host_port,
    };
    let ports = container.0..=container.1;
    Some(match host {
        // Port 0 is the kernel's word for "any free one".
        None | Some((0, 0)) => ports.map(|port| binding(port, None)).collect(),
        Some(host) if container.0 == container.1 => vec![binding(container.0, Some(host))],
        Some((first, last)) if last - first == container.1 - container.0 => {
            ports.zip(first..=last).map(|(port, host)| binding(port, Some((host, host)))).collect()
        }
        Some(_) => return None,
    })
}

/// Prints a binding in the short form, so that [`parse_port`] reads the same back.
#[must_use]
pub fn print_port(binding: &PortBinding) -> String {
    let ContainerPort { port, protocol } = &binding.container;
    let ip = match binding.host_ip {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
        Some(IpAddr::V4(ip)) => format!("{ip}:"),
        None => String::new(),
    };
    let host = match binding.host_port {
        Some((first, last)) if first == last => format!("{first}:"),
        Some((first, last)) => format!("{first}-{last}:"),
        None if ip.is_empty() => String::new(),
        None => ":".to_owned(),
    };
    let suffix = if *protocol == Protocol::Tcp { String::new() } else { format!("/{}", protocol.as_str()) };
    format!("{ip}{host}{port}{suffix}")
}

fn protocol_of(piece: Piece<'_>) -> Result<Protocol, PortFault> {
    match piece.text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(piece.fault(format!("`{}` is not a protocol", piece.text), "one of: tcp, udp, sctp")),
    }
}

fn address_of(piece: Piece<'_>) -> Result<Option<IpAddr>, PortFault> {
    let text = piece.text;
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(Some).map_err(|_| {
        let label =
            if text == "localhost" { "write 127.0.0.1" } else { "an address such as 127.0.0.1 or [::1]" };
        piece.fault(format!("`{text}` is not an address to publish at"), label)
    })
}

fn range(piece: Piece<'_>, what: &str) -> Result<(u16, u16), PortFault> {
    range_from(piece, what, 1)
}

fn range_from(piece: Piece<'_>, what: &str, least: u16) -> Result<(u16, u16), PortFault> {
    let Some((first, last)) = piece.split('-') else {
        let port = number(piece, what, least)?;
        return Ok((port, port));
    };
    let (from, to) = (number(first, what, 1)?, number(last, what, 1)?);
    if from > to {
        return Err(
            piece.fault(format!("the {what} range ends before it begins"), format!("write {to}-{from}"))
        );
    }
    Ok((from, to))
}

fn number(piece: Piece<'_>, what: &str, least: u16) -> Result<u16, PortFault> {
    let text = piece.text;
    if text.is_empty() {
        return Err(piece.fault(format!("the {what} is missing"), what));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(piece.fault(format!("{what} `{text}` is not a number"), what));
    }
    match text.parse::<u16>() {
        Ok(port) if port >= least => Ok(port),
        Ok(_) => Err(piece.fault(format!("{what} {text} does not exist"), what)),
        Err(_) => Err(piece.fault(format!("{what} {text} is above 65535"), what)),
    }
}

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
