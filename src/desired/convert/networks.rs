//! `networks` and `network_mode`.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::ServiceName;
use crate::desired::node::Value;
use crate::desired::spec::{Endpoint, NetworkMode};
use crate::desired::suggest::nearest;

use super::depends;
use super::extra::mac_address;
use super::keys::Parent;
use super::read::{Field, Fields, Reader};

/// The network every service without `networks` joins.
const DEFAULT: &str = "default";

pub(super) struct Networks {
    pub mode: NetworkMode,
    /// By the engine's name.
    pub endpoints: BTreeMap<String, Endpoint>,
}

pub(super) fn networks(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    own: &ServiceName,
) -> Option<Networks> {
    if let Some(field) = service.get("network_mode") {
        let mode = mode(reader, &field, own);
        if let Some(networks) = service.get("networks") {
            let message = format!("{} has both `network_mode` and `networks`", service.path);
            let diagnostic = Diagnostic::error(
                "network-mode-and-networks",
                field.key.clone(),
                message,
                "drop one of the two",
            );
            reader.report(diagnostic.also(networks.key.clone(), "networks of its own"));
            return None;
        }
        let mode = mode?;
        refuse_conflicts(reader, service, &field, &mode);
        return Some(Networks { mode, endpoints: BTreeMap::new() });
    }
    let mut endpoints = BTreeMap::new();
    if let Some(field) = service.get("networks") {
        match &field.node.value {
            Value::Array(items) => {
                for item in items {
                    let item = field.item(item);
                    let Some(key) = reader.text(&item) else { continue };
                    if let Some(name) = known(reader, item.node.span.clone(), key) {
                        endpoints.insert(name, Endpoint { key: key.to_owned(), ..Endpoint::default() });
                    }
                }
            }
            Value::Table(table) => {
                for (key, entry) in Fields::new(table, field.path.clone()).all() {
                    let name = known(reader, entry.key.clone(), key);
                    let endpoint = endpoint(reader, service, &entry, key);
                    if let (Some(name), Some(endpoint)) = (name, endpoint) {
                        endpoints.insert(name, endpoint);
                    }
                }
            }
            _ => reader.wrong_type(&field, "a list or a table", "networks = [\"front\"]"),
        }
    }
    if endpoints.is_empty() {
        // Compose's rule for no networks, and for an empty list of them.
        let name = engine_name(reader, DEFAULT);
        endpoints.insert(name, Endpoint { key: DEFAULT.to_owned(), ..Endpoint::default() });
    }
    Some(Networks { mode: NetworkMode::Networks, endpoints })
}

fn engine_name(reader: &Reader<'_, '_>, key: &str) -> String {
    let context = reader.context;
    context
        .networks
        .get(key)
        .map_or_else(|| format!("{}_{key}", context.project), |declared| declared.name.clone())
}

/// The engine's name of a declared network; `default` needs no declaration.
fn known(reader: &mut Reader<'_, '_>, span: Span, key: &str) -> Option<String> {
    let context = reader.context;
    if key == DEFAULT || context.networks.contains_key(key) {
        return Some(engine_name(reader, key));
    }
    let near = nearest(key, context.networks.keys().map(String::as_str));
    let label = near.map_or_else(|| "not in [networks]".to_owned(), |near| format!("did you mean `{near}`?"));
    let message = format!("network `{key}` is not declared in project `{}`", context.project);
    let mut diagnostic = Diagnostic::error("undeclared-network", span, message, label);
    if near.is_none() {
        diagnostic = diagnostic.help(format!("declare it: [networks] {key} = {{}}"));
    }
    reader.report(diagnostic.help(format!("a network made elsewhere: [networks.{key}] external = true")));
    None
}

fn endpoint(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    field: &Field<'_>,
    key: &str,
) -> Option<Endpoint> {
    let fields = reader.table(field, &format!("{key} = {{}}"))?;
    let parents = [Parent { path: &service.path, shape: "Service" }];
    reader.check(&fields, "Endpoint", &parents);
    let mut aliases = BTreeSet::new();
    if let Some(field) = fields.get("aliases") {
        for item in reader.list(&field, "aliases = [\"name\"]").unwrap_or_default() {
            aliases.extend(reader.filled(&item).map(str::to_owned));
        }
    }
    let ipv4_address = match fields.get("ipv4_address") {
        None => None,
        Some(field) => Some(address::<std::net::Ipv4Addr>(reader, &field, "an IPv4 address", "10.5.0.7")?),
    };
    let ipv6_address = match fields.get("ipv6_address") {
        None => None,
        Some(field) => Some(address::<std::net::Ipv6Addr>(reader, &field, "an IPv6 address", "2001:db8::7")?),
    };
    let priority = match fields.get("priority") {
        None => 0,
        Some(field) => reader.whole(&field, i32::MIN.into(), i32::MAX.into())?,
    };
    let priority = i32::try_from(priority).unwrap_or_default();
    let endpoint = Endpoint {
        aliases,
        ipv4_address,
        ipv6_address,
        key: key.to_owned(),
        priority,
        ..Endpoint::default()
    };
    rarer(reader, &fields, endpoint)
}

/// What few endpoints have.
fn rarer(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, mut endpoint: Endpoint) -> Option<Endpoint> {
    if let Some(field) = fields.get("mac_address") {
        reader.needs_api(&field, (1, 44), "25", true);
        endpoint.mac_address = Some(mac_address(reader, &field)?);
    }
    if let Some(field) = fields.get("link_local_ips") {
        for item in reader.list(&field, "link_local_ips = [\"169.254.8.8\"]").unwrap_or_default() {
            let found = address::<std::net::IpAddr>(reader, &item, "an IP address", "169.254.8.8");
            endpoint.link_local_ips.extend(found);
        }
    }
    if let Some(field) = fields.get("driver_opts") {
        endpoint.driver_opts = reader.options(&field);
    }
    if let Some(field) = fields.get("gw_priority") {
        reader.needs_api(&field, (1, 48), "28", true);
        endpoint.gw_priority = reader.whole(&field, i32::MIN.into(), i32::MAX.into())?;
    }
    if let Some(field) = fields.get("interface_name") {
        reader.needs_api(&field, (1, 49), "28.1", true);
        let name = interface_name(reader, &field)?;
        endpoint.driver_opts.insert(INTERFACE_NAME.to_owned(), name);
    }
    Some(endpoint)
}

/// The driver's option that Compose's `interface_name` stands for.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

fn interface_name(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    /// The kernel's limit.
    const MOST: usize = 15;
    let text = reader.filled(field)?;
    let good = text.len() <= MOST
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if !good {
        let message = format!("`{text}` is not an interface's name");
        reader.error("bad-name", field.node, message, "at most 15 characters, without blanks, `/` and `:`");
    }
    good.then(|| text.to_owned())
}

/// An address in its canonical spelling.
pub(super) fn address<A: std::str::FromStr + std::fmt::Display>(
    reader: &mut Reader<'_, '_>,
    field: &Field<'_>,
    what: &str,
    example: &str,
) -> Option<String> {
    let text = reader.filled(field)?;
    let found = text.parse::<A>().ok().map(|address| address.to_string());
    if found.is_none() {
        let message = format!("`{text}` is not {what}");
        reader.error("bad-address", field.node, message, format!("write for example \"{example}\""));
    }
    found
}

fn mode(reader: &mut Reader<'_, '_>, field: &Field<'_>, own: &ServiceName) -> Option<NetworkMode> {
    let text = reader.text(field)?;
    match text.split_once(':') {
        Some(("service", name)) => {
            let span = field.node.part("service:".len(), text.len());
            return depends::known(reader, span, name, Some(own), true).map(NetworkMode::Service);
        }
        Some(("container", name)) if !name.is_empty() => {
            return Some(NetworkMode::Container(name.to_owned()));
        }
        _ => {}
    }
    Some(match text {
        // The engine's own word for its default, which is the bridge on Linux.
        "bridge" | "default" => NetworkMode::Bridge,
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        _ => {
            let words = ["bridge", "host", "none", "service:<name>", "container:<name>"];
            if reader.context.networks.contains_key(text) {
                let message = format!("`{text}` is not a network mode");
                let label = format!("write networks = [\"{text}\"]");
                reader.error("bad-choice", field.node, message, label);
            } else {
                reader.bad_choice(field.node.span.clone(), text, "network mode", &words, None);
            }
            return None;
        }
    })
}

/// What the engine refuses beside a network mode (a container without a network of its own has no name or names to
/// resolve in it, and no ports), and what it takes and then ignores.
fn refuse_conflicts(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    mode_field: &Field<'_>,
    mode: &NetworkMode,
) {
    let shared = matches!(mode, NetworkMode::Service(_) | NetworkMode::Container(_));
    if shared {
        for key in ["ports", "expose", "hostname", "dns", "extra_hosts"] {
            let Some(field) = service.get(key) else { continue };
            if matches!(&field.node.value, Value::Array(items) if items.is_empty()) {
                continue;
            }
            let message = format!("`{}` cannot be combined with this network_mode", field.path);
            let label = "belongs to the container whose network is shared";
            let diagnostic = Diagnostic::error("network-mode-conflict", field.key.clone(), message, label);
            reader
                .report(diagnostic.also(mode_field.node.span.clone(), "shares another container's network"));
        }
    }
    if (shared || matches!(mode, NetworkMode::Host | NetworkMode::None))
        && let Some(field) = service.get("mac_address")
    {
        let message = format!("`{}` cannot be combined with this network_mode", field.path);
        let label = "there is no interface of its own for it";
        let diagnostic = Diagnostic::error("network-mode-conflict", field.key.clone(), message, label);
        reader.report(diagnostic.also(mode_field.node.span.clone(), "network mode"));
    }
    if matches!(mode, NetworkMode::Host | NetworkMode::None)
        && let Some(field) = service.get("ports")
        && !matches!(&field.node.value, Value::Array(items) if items.is_empty())
    {
        let (message, label) = if *mode == NetworkMode::Host {
            ("published ports have no effect with the host's network", "its ports are the host's own already")
        } else {
            ("published ports have no effect without a network", "nothing can reach it")
        };
        let diagnostic = Diagnostic::warning("network-mode-conflict", field.key.clone(), message, label);
        reader.report(diagnostic.also(mode_field.node.span.clone(), "network mode"));
    }
}
