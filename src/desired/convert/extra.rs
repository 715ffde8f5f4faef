//! The rarer keys of a service.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceName;
use crate::desired::node::Value;
use crate::desired::spec::Extra;

use super::deploy::Deploy;
use super::networks::Networks;
use super::read::{Field, Fields, Reader};
use super::{blkio, hardware, links, namespaces};

pub(super) fn extra(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    deploy: &Deploy<'_>,
    own: &ServiceName,
    networks: Option<&mut Networks>,
    cdi: Vec<String>,
) -> Extra {
    let mut extra = Extra::default();
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        service.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let flag = |reader: &mut Reader<'_, '_>, key: &str| {
        service.get(key).and_then(|field| reader.flag(&field)).unwrap_or(false)
    };
    extra.annotations = annotations(reader, service);
    extra.blkio = blkio::blkio(reader, service);
    extra.cgroup_parent = text(reader, "cgroup_parent");
    extra.device_cgroup_rules = hardware::cgroup_rules(reader, service);
    extra.device_requests = hardware::requests(reader, service, deploy, cdi);
    extra.dns_opt = texts(reader, service, "dns_opt", "dns_opt = [\"use-vc\"]");
    extra.dns_search = texts(reader, service, "dns_search", "dns_search = [\"example.org\"]");
    extra.domainname = service.get("domainname").and_then(|field| domainname(reader, &field));
    extra.group_add = groups(reader, service);
    extra.mac_address = service.get("mac_address").and_then(|field| mac_address(reader, &field));
    extra.mem_swappiness = service
        .get("mem_swappiness")
        .and_then(|field| reader.whole(&field, -1, 100))
        .and_then(|number| u8::try_from(number).ok());
    extra.oom_kill_disable = flag(reader, "oom_kill_disable");
    extra.oom_score_adj = service
        .get("oom_score_adj")
        .and_then(|field| reader.whole(&field, -1000, 1000))
        .and_then(|number| i32::try_from(number).ok())
        .filter(|number| *number != 0);
    extra.runtime = text(reader, "runtime");
    extra.stdin_open = flag(reader, "stdin_open");
    extra.storage_opt = service.get("storage_opt").map(|field| reader.options(&field)).unwrap_or_default();
    extra.tty = flag(reader, "tty");
    namespaces::namespaces(reader, service, own, &mut extra);
    extra.volumes_from = links::volumes_from(reader, service, own);
    extra.links = links::links(reader, service, own, networks);
    extra
}

fn annotations(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> BTreeMap<String, String> {
    let Some(field) = service.get("annotations") else { return BTreeMap::new() };
    let pairs = reader.pairs(&field, true);
    if !pairs.is_empty() {
        reader.needs_api(&field, (1, 43), "24", true);
    }
    pairs.into_iter().map(|pair| (pair.name, pair.text)).collect()
}

/// A list of texts, or one alone; each once, in order.
fn texts(reader: &mut Reader<'_, '_>, service: &Fields<'_>, key: &str, right: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let Some(field) = service.get(key) else { return all };
    for item in reader.one_or_many(&field, right).unwrap_or_default() {
        if let Some(text) = reader.filled(&item)
            && !all.iter().any(|known| known == text)
        {
            all.push(text.to_owned());
        }
    }
    all
}

/// Names or numbers.
fn groups(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let Some(field) = service.get("group_add") else { return all };
    for item in reader.list(&field, "group_add = [\"mail\"]").unwrap_or_default() {
        match &item.node.value {
            Value::Integer(number) if *number >= 0 => {
                all.insert(number.to_string());
            }
            Value::String(_) => all.extend(reader.filled(&item).map(|text| text.trim().to_owned())),
            _ => reader.wrong_type(&item, "a name or a number", "\"mail\""),
        }
    }
    all
}

fn domainname(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let good = |part: &str| {
        let inner = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(good) {
        let message = format!("`{text}` is not a domain's name");
        reader.error("bad-name", field.node, message, "letters, digits, `-` and dots");
        return None;
    }
    Some(text.to_owned())
}

/// Six bytes in hexadecimal, in lower case and with colons.
pub(super) fn mac_address(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(hex) {
        let message = format!("`{text}` is not a hardware address");
        reader.error("bad-address", field.node, message, "write for example \"02:42:ac:11:00:05\"");
        return None;
    }
    Some(parts.join(":").to_ascii_lowercase())
}

/// The engine's socket, where the host's files allow it.
pub(super) fn api_socket(reader: &mut Reader<'_, '_>, service: &Fields<'_>) -> bool {
    let Some(field) = service.get("use_api_socket") else { return false };
    let Some(true) = reader.flag(&field) else { return false };
    if !reader.context.api_socket {
        let message = format!("`{}` gives it the engine, and with that the whole host", field.path);
        let diagnostic =
            Diagnostic::error("api-socket", field.key.clone(), message, "not allowed on this host");
        reader.report(diagnostic.help("to allow it, in fleet.toml: [policy.guard] api_socket = true"));
        return false;
    }
    true
}
