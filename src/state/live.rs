//! What the engine changes while a container runs: limits, restart policy, networks, name.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{ObservedContainer, ObservedEndpoint, ObservedService};
use super::plan::Step;
use super::record::Record;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{Endpoint, LiveFile, NetworkMode, Resources, ServiceSpec};

/// Can `update` lead from `old` to `new`? Every limit can be set, changed and taken off (the engine's adapter knows the values that mean
/// "none"), but `cpus` and a quota are two ways to say the same, and the engine refuses to go from one to the other.
#[must_use]
pub fn reachable(old: &Resources, new: &Resources) -> bool {
    let by_cpus = |limits: &Resources| limits.nano_cpus.is_some();
    let by_quota = |limits: &Resources| limits.cpu_quota.is_some() || limits.cpu_period.is_some();
    !(by_cpus(old) && by_quota(new) || by_quota(old) && by_cpus(new))
}

/// Aliases an endpoint of this service should have: the service's own name and those of the spec.
#[must_use]
pub fn aliases(id: &ServiceId, endpoint: &Endpoint) -> BTreeSet<String> {
    let mut all = endpoint.aliases.clone();
    all.insert(id.service.to_string());
    all
}

/// The id of the network to use when a name is held by one or several: ours if one is, else the only one.
#[must_use]
pub fn network_id(observed: &ObservedService, name: &str, owner: &str) -> Option<String> {
    let all = observed.networks.get(name)?;
    let ours = all.iter().find(|network| {
        network.labels.get(super::observed::label::OWNER).is_some_and(|label| label == owner)
    });
    ours.or_else(|| all.first()).map(|network| network.id.clone())
}

/// The step that brings the files which change under a running container to the spec, with its cause. `running`: it is told by a signal;
/// else it will read them when it is started.
#[must_use]
pub fn undelivered(
    spec: &ServiceSpec,
    record: &Record,
    container: &ObservedContainer,
    running: bool,
) -> Option<(Step, String)> {
    let told = record.told.get(&container.id);
    let is_old = |(path, file): &(&String, &LiveFile)| {
        told.and_then(|told| told.get(*path)).is_none_or(|content| *content != file.content)
    };
    let (_, first) = spec.live.files.iter().find(is_old)?;
    // One signal a step: files that want another one come next.
    let same = |(_, file): &(&String, &LiveFile)| !running || file.signal == first.signal;
    let files: BTreeMap<String, LiveFile> = spec
        .live
        .files
        .iter()
        .filter(is_old)
        .filter(same)
        .map(|(path, file)| (path.clone(), file.clone()))
        .collect();
    let shown: BTreeSet<&str> = files.values().map(|file| file.shown.as_str()).collect();
    let shown: Vec<&str> = shown.into_iter().collect();
    let cause = format!("{} changed", shown.join(" and "));
    let signal = running.then(|| first.signal.clone());
    Some((Step::Deliver { id: container.id.clone(), files, signal }, cause))
}

/// The step that brings a running container's limits to the spec.
#[must_use]
pub fn next_limits(spec: &ServiceSpec, container: &ObservedContainer) -> Option<Step> {
    let differs = container.resources != spec.live.resources;
    (differs && reachable(&container.resources, &spec.live.resources))
        .then(|| Step::SetResources { id: container.id.clone(), resources: spec.live.resources.clone() })
}

/// The next step that brings its networks to the spec, with its cause.
#[must_use]
pub fn next_networks(
    id: &ServiceId,
    spec: &ServiceSpec,
    container: &ObservedContainer,
    observed: &ObservedService,
    owner: &str,
) -> Option<(Step, String)> {
    if spec.container.network_mode != NetworkMode::Networks {
        return None;
    }
    next_network(id, spec, container, observed, owner)
}

fn next_network(
    id: &ServiceId,
    spec: &ServiceSpec,
    container: &ObservedContainer,
    observed: &ObservedService,
    owner: &str,
) -> Option<(Step, String)> {
    for (name, endpoint) in &spec.live.networks {
        if observed.foreign.contains_key(name) {
            continue;
        }
        let Some(network_id) = network_id(observed, name, owner) else { continue };
        let wanted = aliases(id, endpoint);
        let connect = |why: &str| {
            let step = Step::Connect {
                id: container.id.clone(),
                network: name.clone(),
                network_id: network_id.clone(),
                endpoint: endpoint.clone(),
                aliases: wanted.clone(),
            };
            Some((step, why.to_owned()))
        };
        match container.networks.get(name) {
            None => return connect("it should be on this network and is not"),
            Some(joined) if joined.network_id != network_id && !joined.network_id.is_empty() => {
                return Some((
                    leave(container, name, &joined.network_id),
                    "the network was made anew".to_owned(),
                ));
            }
            Some(joined) if !same_aliases(container, &joined.aliases, &wanted) => {
                return Some((
                    leave(container, name, &network_id),
                    "its aliases on this network differ from the file".to_owned(),
                ));
            }
            Some(joined) if !same_addresses(joined, endpoint) => {
                return Some((
                    leave(container, name, &network_id),
                    "its address on this network differs from the file".to_owned(),
                ));
            }
            Some(_) => {}
        }
    }
    let extra = container.networks.iter().find(|(name, _)| !spec.live.networks.contains_key(*name))?;
    Some((
        leave(container, extra.0, &extra.1.network_id),
        "the file does not put it on this network".to_owned(),
    ))
}

fn leave(container: &ObservedContainer, network: &str, network_id: &str) -> Step {
    Step::Disconnect {
        id: container.id.clone(),
        network: network.to_owned(),
        network_id: network_id.to_owned(),
    }
}

/// An address that the engine chose is nobody's wish. A container that is down may report none.
fn same_addresses(joined: &ObservedEndpoint, endpoint: &Endpoint) -> bool {
    let same =
        |asked: &Option<String>, seen: &Option<String>| asked.is_none() || seen.is_none() || asked == seen;
    same(&endpoint.ipv4_address, &joined.ipv4_address) && same(&endpoint.ipv6_address, &joined.ipv6_address)
}

/// Old engines add the container's short id to its aliases.
fn same_aliases(
    container: &ObservedContainer,
    observed: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
) -> bool {
    wanted.is_subset(observed)
        && observed.difference(wanted).all(|extra| *extra == container.id.short() || *extra == container.name)
}
