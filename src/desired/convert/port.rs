//! The short form of a port, read and printed.

use std::net::IpAddr;

use crate::desired::spec::{ContainerPort, PortBinding, Protocol};

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
pub(super) struct Piece<'t> {
    pub text: &'t str,
    pub at: usize,
}

impl<'t> Piece<'t> {
    pub(super) fn fault(self, message: impl Into<String>, label: impl Into<String>) -> PortFault {
        let (start, end) = (self.at, self.at + self.text.len());
        PortFault { start, end, message: message.into(), label: label.into() }
    }

    fn split(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        Some((Self { text: left, at: self.at }, Self { text: right, at: self.at + left.len() + 1 }))
    }

    pub(super) fn rsplit(self, separator: char) -> Option<(Self, Self)> {
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
pub(super) fn bindings(
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

pub(super) fn protocol_of(piece: Piece<'_>) -> Result<Protocol, PortFault> {
    match piece.text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(piece.fault(format!("`{}` is not a protocol", piece.text), "one of: tcp, udp, sctp")),
    }
}

pub(super) fn address_of(piece: Piece<'_>) -> Result<Option<IpAddr>, PortFault> {
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

pub(super) fn range(piece: Piece<'_>, what: &str) -> Result<(u16, u16), PortFault> {
    range_from(piece, what, 1)
}

pub(super) fn range_from(piece: Piece<'_>, what: &str, least: u16) -> Result<(u16, u16), PortFault> {
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
