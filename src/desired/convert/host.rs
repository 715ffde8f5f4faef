//! What a container gets of its host: `extra_hosts`, `dns`, `ulimits`, `sysctls`, `logging`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::node::Value;
use crate::desired::spec::{Logging, Ulimit};

use super::keys::Parent;
use super::networks::address;
use super::read::{Field, Fields, Reader};

/// `host:address` lines, sorted by host: the order of two hosts in a hosts file says nothing.
pub(super) fn extra_hosts(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    match &field.node.value {
        Value::Array(items) => {
            for item in items {
                let item = field.item(item);
                let Some(text) = reader.text(&item) else { continue };
                // `=` first: an IPv6 address is full of colons.
                let Some((host, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
                    let message = format!("`{text}` has no address");
                    reader.error("bad-address", item.node, message, "write \"host:address\"");
                    continue;
                };
                let span = item.node.part(host.len() + 1, text.len());
                lines.extend(extra_host(reader, item.node.span.clone(), host, span, address));
            }
        }
        Value::Table(table) => {
            for (host, entry) in Fields::new(table, field.path.clone()).all() {
                for item in reader.one_or_many(&entry, "host = \"10.0.0.5\"").unwrap_or_default() {
                    let Some(address) = reader.text(&item) else { continue };
                    lines.extend(extra_host(
                        reader,
                        entry.key.clone(),
                        host,
                        item.node.span.clone(),
                        address,
                    ));
                }
            }
        }
        _ => reader.wrong_type(field, "a list or a table", "extra_hosts = [\"db:10.0.0.5\"]"),
    }
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    lines.dedup();
    lines.into_iter().map(|(host, address)| format!("{host}:{address}")).collect()
}

fn extra_host(
    reader: &mut Reader<'_, '_>,
    at: Span,
    host: &str,
    span: Span,
    text: &str,
) -> Option<(String, String)> {
    let host = host.trim();
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == ':') {
        let message = format!("`{host}` is not a host's name");
        reader.report(Diagnostic::error("bad-address", at, message, "write \"host:address\""));
        return None;
    }
    let text = text.trim();
    if text == "host-gateway" {
        return Some((host.to_owned(), text.to_owned()));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let Ok(address) = bare.parse::<IpAddr>() else {
        let message = format!("`{text}` is not an address");
        let label = "write an IP address, or host-gateway";
        reader.report(Diagnostic::error("bad-address", span, message, label));
        return None;
    };
    Some((host.to_owned(), address.to_string()))
}

pub(super) fn dns(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Vec<String> {
    let mut servers = Vec::new();
    for item in reader.one_or_many(field, "dns = [\"1.1.1.1\"]").unwrap_or_default() {
        if let Some(server) = address::<IpAddr>(reader, &item, "an IP address", "1.1.1.1")
            && !servers.contains(&server)
        {
            servers.push(server);
        }
    }
    servers
}

/// The names that the engine knows (setrlimit(2), lower case).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub(super) fn ulimits(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeMap<String, Ulimit> {
    let mut all = BTreeMap::new();
    let Some(fields) = reader.table(field, "ulimits = { nofile = 65536 }") else { return all };
    for (name, entry) in fields.all() {
        if !ULIMITS.contains(&name) {
            reader.bad_choice(entry.key.clone(), name, "ulimit", &ULIMITS, None);
            continue;
        }
        if let Some(limit) = ulimit(reader, &entry) {
            all.insert(name.to_owned(), limit);
        }
    }
    all
}

fn ulimit(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Ulimit> {
    let Value::Table(table) = &field.node.value else {
        let both = reader.whole(field, -1, i64::MAX)?;
        return Some(Ulimit { soft: both, hard: both });
    };
    let fields = Fields::new(table, field.path.clone());
    reader.check(&fields, "Ulimit", &[]);
    let mut part = |key: &str| match fields.get(key) {
        Some(field) => reader.whole(&field, -1, i64::MAX),
        None => {
            let message = format!("`{}` has no `{key}`", field.path);
            reader.error(
                "missing-key",
                field.node,
                message,
                "write { soft = 1024, hard = 4096 }, or one number",
            );
            None
        }
    };
    let (soft, hard) = (part("soft"), part("hard"));
    let limit = Ulimit { soft: soft?, hard: hard? };
    if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
        let message = format!("`{}`: the soft limit is above the hard one", field.path);
        reader.error("out-of-range", field.node, message, "soft is at most hard");
        return None;
    }
    Some(limit)
}

/// Only settings that a container has for itself: the engine refuses the others.
pub(super) fn sysctls(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> BTreeMap<String, String> {
    const OWN: [&str; 5] = ["net.", "kernel.msg", "kernel.shm", "kernel.sem", "fs.mqueue."];
    let mut all = BTreeMap::new();
    for pair in reader.pairs(field, true) {
        // The kernel takes both separators; the engine's way is the dot.
        let name = if pair.name.contains('.') { pair.name.clone() } else { pair.name.replace('/', ".") };
        let own = OWN.iter().any(|prefix| name.starts_with(prefix))
            || matches!(name.as_str(), "kernel.domainname" | "kernel.hostname");
        if !own {
            let message = format!("`{name}` is a setting of the whole host");
            let label =
                "a container can only have its own net.*, kernel.msg*, kernel.shm*, kernel.sem, fs.mqueue.*";
            reader.report(
                Diagnostic::error("bad-sysctl", pair.span, message, label).help("set it on the host itself"),
            );
            continue;
        }
        all.insert(name, pair.text);
    }
    all
}

pub(super) fn logging(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> Option<Logging> {
    let field = service.get("logging")?;
    let fields = reader.table(&field, "logging = { driver = \"local\" }")?;
    let parents = [Parent { path: &service.path, shape: "Service" }, Parent { path: "", shape: "File" }];
    reader.check(&fields, "Logging", &parents);
    let driver = fields.get("driver").and_then(|field| reader.filled(&field).map(str::to_owned));
    let options = fields.get("options").map(|field| reader.options(&field)).unwrap_or_default();
    (driver.is_some() || !options.is_empty()).then_some(Logging { driver, options })
}
