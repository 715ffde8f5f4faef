//! `links`, `external_links` and `volumes_from`: other containers by the names of services.

use std::collections::BTreeSet;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceName;
use crate::desired::node::Value;
use crate::desired::spec::{Link, NetworkMode, Other, VolumesFrom};

use super::depends;
use super::networks::Networks;
use super::read::{Field, Fields, Reader};

/// Links of a service. In networks they become names of the endpoints and nothing is returned: there a name leads to whatever
/// container has it now. On the default bridge, which has no names, they are the container's own.
pub(super) fn links(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    own: &ServiceName,
    networks: Option<&mut Networks>,
) -> BTreeSet<Link> {
    let mut all = BTreeSet::new();
    if let Some(field) = service.get("links") {
        for item in reader.list(&field, "links = [\"db:database\"]").unwrap_or_default() {
            all.extend(link(reader, &item, |reader, name| {
                let span = item.node.part(0, name.len());
                depends::known(reader, span, name, Some(own), true).map(Other::Service)
            }));
        }
    }
    if let Some(field) = service.get("external_links") {
        for item in reader.list(&field, "external_links = [\"redis_1:redis\"]").unwrap_or_default() {
            all.extend(link(reader, &item, |_, name| Some(Other::Container(name.to_owned()))));
        }
    }
    let Some(networks) = networks.filter(|_| !all.is_empty()) else { return all };
    match &networks.mode {
        NetworkMode::Bridge => return all,
        NetworkMode::Networks => {
            // A name that is the alias, too, is known in the network anyway.
            let lines: BTreeSet<String> = all
                .into_iter()
                .map(|link| (name_of(&link.to).to_owned(), link.alias))
                .filter(|(name, alias)| name != alias)
                .map(|(name, alias)| format!("{name}:{alias}"))
                .collect();
            networks.endpoints.values_mut().for_each(|endpoint| endpoint.links.clone_from(&lines));
        }
        NetworkMode::Host | NetworkMode::None | NetworkMode::Service(_) | NetworkMode::Container(_) => {
            refuse(reader, service);
        }
    }
    BTreeSet::new()
}

/// The services that `links` names, whatever else is wrong with it.
pub(super) fn targets<'t>(field: &Field<'t>) -> impl Iterator<Item = &'t str> {
    let items = match &field.node.value {
        Value::Array(items) => items.as_slice(),
        _ => &[],
    };
    let text = items.iter().filter_map(|item| item.as_str());
    text.map(|text| text.split_once(':').map_or(text, |(name, _)| name))
}

fn name_of(other: &Other) -> &str {
    match other {
        Other::Service(name) => name.as_str(),
        Other::Container(name) => name,
    }
}

fn refuse(reader: &mut Reader<'_, '_>, service: &Fields<'_>) {
    let mode = service.get("network_mode");
    for field in ["links", "external_links"].into_iter().filter_map(|key| service.get(key)) {
        let message = format!("`{}` cannot be combined with this network_mode", field.path);
        let label = "there is no network of its own for the name";
        let diagnostic = Diagnostic::error("network-mode-conflict", field.key.clone(), message, label);
        reader.report(match &mode {
            Some(mode) => diagnostic.also(mode.node.span.clone(), "network mode"),
            None => diagnostic,
        });
    }
}

/// `name` or `name:alias`.
fn link(
    reader: &mut Reader<'_, '_>,
    item: &Field<'_>,
    to: impl FnOnce(&mut Reader<'_, '_>, &str) -> Option<Other>,
) -> Option<Link> {
    let text = reader.filled(item)?;
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    if name.is_empty() || alias.is_empty() || alias.contains(':') {
        let message = format!("`{text}` is not a link");
        let label = "write the service, or \"service:alias\"";
        reader.error("bad-link", item.node, message, label);
        return None;
    }
    Some(Link { to: to(reader, name)?, alias: alias.to_owned() })
}

/// `name`, `name:ro`, `container:name`, `container:name:ro`.
pub(super) fn volumes_from(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    own: &ServiceName,
) -> Vec<VolumesFrom> {
    let mut all: Vec<VolumesFrom> = Vec::new();
    let Some(field) = service.get("volumes_from") else { return all };
    for item in reader.list(&field, "volumes_from = [\"db:ro\"]").unwrap_or_default() {
        let Some(text) = reader.filled(&item) else { continue };
        let rest = text.strip_prefix("container:");
        let (name, mode) = match rest.unwrap_or(text).split_once(':') {
            Some((name, mode)) => (name, mode),
            None => (rest.unwrap_or(text), "rw"),
        };
        if !matches!(mode, "ro" | "rw") || name.is_empty() {
            let message = format!("`{text}` does not say whose volumes");
            let diagnostic =
                Diagnostic::error("bad-mount", item.node.span.clone(), message, "not understood");
            reader.report(diagnostic.help("form: \"[container:]name[:ro]\""));
            continue;
        }
        let from = if rest.is_some() {
            Other::Container(name.to_owned())
        } else {
            let span = item.node.part(0, name.len());
            let Some(name) = depends::known(reader, span, name, Some(own), true) else { continue };
            Other::Service(name)
        };
        let found = VolumesFrom { from, read_only: mode == "ro" };
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
}
