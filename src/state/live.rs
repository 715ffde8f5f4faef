//! What the engine changes while a container runs: limits, restart policy, networks, name.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{EndpointFacts, ObservedContainer, ObservedNetwork, ObservedService};
use super::plan::Step;
use super::record::Record;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{Endpoint, LiveFile, NetworkMode, Resources, ServiceSpec};

/// Can `update` lead from `old` to `new`? Every limit can be set, changed and taken off (the engine's adapter knows the values that mean
/// "none"), but `cpus` and a quota are two ways to say the same, and the engine refuses to go from one to the other;
/// and nothing takes real-time shares away.
#[must_use]
pub fn reachable(old: &Resources, new: &Resources) -> bool {
    let by_cpus = |limits: &Resources| limits.nano_cpus.is_some();
    let by_quota = |limits: &Resources| limits.cpu_quota.is_some() || limits.cpu_period.is_some();
    let real_time = |old: Option<u64>, new: Option<u64>| old.is_some() && new.is_none();
    !(by_cpus(old) && by_quota(new)
        || by_quota(old) && by_cpus(new)
        || real_time(old.cpu_rt_period, new.cpu_rt_period)
        || real_time(old.cpu_rt_runtime, new.cpu_rt_runtime))
}

impl EndpointFacts {
    /// What the engine reports of an endpoint that was asked for like this.
    #[must_use]
    pub fn asked(endpoint: &Endpoint) -> Self {
        let Endpoint {
            aliases: _,
            key: _,
            priority: _,
            mac_address,
            ipv4_address,
            ipv6_address,
            link_local_ips,
            driver_opts,
            gw_priority,
            links,
        } = endpoint;
        Self {
            ipv4_address: ipv4_address.clone(),
            ipv6_address: ipv6_address.clone(),
            link_local_ips: link_local_ips.clone(),
            driver_opts: driver_opts.clone(),
            gw_priority: *gw_priority,
            links: links.clone(),
            mac_address: mac_address.clone(),
        }
    }
}

/// Is the endpoint as the file says, beside its aliases? The hardware address is not asked here: the engine takes one at creation only.
fn same_settings(found: &EndpointFacts, wanted: &Endpoint, network: Option<&ObservedNetwork>) -> bool {
    let mut wanted = EndpointFacts { mac_address: found.mac_address.clone(), ..EndpointFacts::asked(wanted) };
    if network.is_some_and(|network| network.driver == "overlay") {
        // There the engine writes the address that it gave to where it otherwise has the one that was asked for.
        wanted.ipv4_address = wanted.ipv4_address.or_else(|| found.ipv4_address.clone());
        wanted.ipv6_address = wanted.ipv6_address.or_else(|| found.ipv6_address.clone());
    }
    if same_links(&found.links, &wanted.links) {
        wanted.links.clone_from(&found.links);
    }
    *found == wanted
}

/// Compose links to containers, by their names, and adds names of its own to the one that is asked for, the container's among
/// them. A link to a service says the same of the same name.
fn same_links(found: &BTreeSet<String>, wanted: &BTreeSet<String>) -> bool {
    let of_compose = |line: &&String| {
        line.split_once(':').is_some_and(|(container, _)| found.contains(&format!("{container}:{container}")))
    };
    let alias = |line: &String| line.split_once(':').map(|(_, alias)| alias.to_owned());
    let known: BTreeSet<Option<String>> = found.iter().filter(of_compose).map(alias).collect();
    wanted.iter().all(|line| found.contains(line) || known.contains(&alias(line)))
        && found.iter().all(|line| wanted.contains(line) || of_compose(&line))
}

/// The hardware addresses of its endpoints are those of the file. What does not run has none.
#[must_use]
pub fn same_hardware(container: &ObservedContainer, spec: &ServiceSpec) -> bool {
    spec.live.networks.iter().all(|(name, endpoint)| {
        let found = container.networks.get(name).and_then(|found| found.settings.mac_address.as_ref());
        endpoint.mac_address.is_none() || found.is_none() || found == endpoint.mac_address.as_ref()
    })
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
            Some(joined)
                if !same_settings(&joined.settings, endpoint, of_name(observed, name, &network_id)) =>
            {
                return Some((
                    leave(container, name, &network_id),
                    "its settings on this network differ from the file".to_owned(),
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

fn of_name<'a>(observed: &'a ObservedService, name: &str, id: &str) -> Option<&'a ObservedNetwork> {
    observed.networks.get(name)?.iter().find(|network| network.id == id)
}

fn leave(container: &ObservedContainer, network: &str, network_id: &str) -> Step {
    Step::Disconnect {
        id: container.id.clone(),
        network: network.to_owned(),
        network_id: network_id.to_owned(),
    }
}

/// Names that the engine, or Compose, gives a container on every network: its id, its name, and, with old engines, its host name.
#[must_use]
pub fn is_usual(container: &ObservedContainer, alias: &str) -> bool {
    let hostname = container.baked.as_ref().map(|baked| baked.hostname.as_str());
    alias == container.id.short() || alias == container.name || Some(alias) == hostname
}

fn same_aliases(
    container: &ObservedContainer,
    observed: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
) -> bool {
    wanted.is_subset(observed) && observed.difference(wanted).all(|extra| is_usual(container, extra))
}
