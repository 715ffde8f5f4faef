//! Answers of the engine as observations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answers;
use super::labels::{self, NotOurs};
use super::{baked, resources};
use crate::state::observed::{
    ContainerId, ContainerStatus, ContainerSummary, EndpointFacts, Health, ImageFacts, ImageId,
    ObservedContainer, ObservedEndpoint, ObservedNetwork, ObservedVolume, OwnLabels,
};
use crate::state::prune::{StoredContainer, StoredImage};
use crate::state::time::{EngineStamp, Timestamp};

/// Bytes kept of a health check's last output.
const HEALTH_LOG_CAP: usize = 2048;

/// One container, if it is ours.
///
/// # Errors
/// Why its labels do not make it ours.
pub fn container(answer: &answers::Container, owner: &str) -> Result<ObservedContainer, NotOurs> {
    Ok(container_as(answer, labels::decode(&answer.config.labels, owner)?))
}

/// One container as if it carried these labels of ours.
#[must_use]
pub fn container_as(answer: &answers::Container, labels: OwnLabels) -> ObservedContainer {
    let state = &answer.state;
    ObservedContainer {
        id: ContainerId(answer.id.clone()),
        name: plain_name(&answer.name),
        labels,
        status: status(state),
        exit_code: state.exit_code,
        error: state.error.clone(),
        oom_killed: state.oom_killed,
        started_at: stamp(&state.started_at),
        finished_at: stamp(&state.finished_at),
        created_at: stamp(&answer.created).unwrap_or_default(),
        restart_count: u32::try_from(answer.restart_count).unwrap_or_default(),
        health: state.health.as_ref().map_or(Health::None, |health| health_word(&health.status)),
        health_log: health_log(state),
        restart: resources::observed_restart(&answer.host_config.restart_policy),
        resources: resources::observed(&answer.host_config),
        networks: networks(answer),
        network_mode: network_mode(answer),
        tied: tied(&answer.host_config),
        image: ImageId(answer.image.clone()),
        volumes: volumes(answer),
        stop_timeout: answer.config.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        probe: None,
        baked: Some(Arc::new(baked::container(answer))),
    }
}

/// The state in our words. The flags decide where the word is one that we do not know: Podman has `stopped`, `initialized`
/// and `configured`, and the next engine may have others.
#[must_use]
pub fn status(state: &answers::ContainerState) -> ContainerStatus {
    if state.dead {
        return ContainerStatus::Dead;
    }
    status_word(&state.status).unwrap_or(match state {
        _ if state.restarting => ContainerStatus::Restarting,
        _ if state.paused => ContainerStatus::Paused,
        _ if state.running => ContainerStatus::Running,
        _ => ContainerStatus::Exited,
    })
}

fn status_word(word: &str) -> Option<ContainerStatus> {
    Some(match word {
        "created" | "configured" | "initialized" => ContainerStatus::Created,
        "running" | "stopping" => ContainerStatus::Running,
        "restarting" => ContainerStatus::Restarting,
        "paused" => ContainerStatus::Paused,
        "exited" | "stopped" => ContainerStatus::Exited,
        "dead" => ContainerStatus::Dead,
        "removing" => ContainerStatus::Removing,
        _ => return None,
    })
}

fn health_word(word: &str) -> Health {
    match word {
        "starting" => Health::Starting,
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => Health::None,
    }
}

fn health_log(state: &answers::ContainerState) -> String {
    let last = state.health.as_ref().and_then(|health| health.log.last());
    let output = last.map(|result| result.output.trim_end()).unwrap_or_default();
    let mut end = output.len().min(HEALTH_LOG_CAP);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    output.get(..end).unwrap_or_default().to_owned()
}

/// Networks by name. The engine adds the container's short id to the aliases before API 1.44: nobody asked for that one.
fn networks(answer: &answers::Container) -> BTreeMap<String, ObservedEndpoint> {
    let id = ContainerId(answer.id.clone());
    let endpoint = |found: &answers::Endpoint| ObservedEndpoint {
        network_id: found.network_id.clone(),
        aliases: found.aliases.iter().filter(|alias| *alias != id.short()).cloned().collect(),
        settings: EndpointFacts {
            ipv4_address: some_text(&found.ipam_config.ipv4_address),
            ipv6_address: some_text(&found.ipam_config.ipv6_address),
            link_local_ips: found.ipam_config.link_local_ips.iter().cloned().collect(),
            driver_opts: found.driver_opts.clone(),
            gw_priority: found.gw_priority,
            links: found.links.iter().cloned().collect(),
            mac_address: some_text(&found.mac_address),
        },
    };
    answer.network_settings.networks.iter().map(|(name, found)| (name.clone(), endpoint(found))).collect()
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The containers that its request named: by id, and by name where the engine tells no more (links).
fn tied(host: &answers::HostConfig) -> BTreeSet<String> {
    let namespaces = [&host.ipc_mode, &host.pid_mode].into_iter();
    let namespaces = namespaces.filter_map(|mode| mode.strip_prefix("container:"));
    let volumes = host.volumes_from.iter().filter_map(|line| line.split(':').next());
    let links = host.links.iter().filter_map(|line| line.split(':').next()?.strip_prefix('/'));
    namespaces.chain(volumes).chain(links).map(str::to_owned).collect()
}

/// We name a network by its id in the request, and the engine reports back what it was given.
fn network_mode(answer: &answers::Container) -> String {
    let mode = &answer.host_config.network_mode;
    let mut networks = answer.network_settings.networks.iter();
    match networks.find(|(_, endpoint)| endpoint.network_id == *mode) {
        Some((name, _)) => name.clone(),
        None => mode.clone(),
    }
}

fn volumes(answer: &answers::Container) -> BTreeMap<String, String> {
    answer
        .mounts
        .iter()
        .filter(|mount| mount.r#type == "volume" && !mount.name.is_empty())
        .map(|mount| (mount.destination.clone(), mount.name.clone()))
        .collect()
}

/// A stamp of the engine; the year 1 is its word for "never".
fn stamp(text: &str) -> Option<EngineStamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanoseconds = i64::try_from(time.as_nanosecond()).ok()?;
    (nanoseconds > 0).then_some(EngineStamp(nanoseconds))
}

fn plain_name(name: &str) -> String {
    name.strip_prefix('/').unwrap_or(name).to_owned()
}

/// One row of the list.
#[must_use]
pub fn summary(row: answers::ListedContainer) -> ContainerSummary {
    let mut names: Vec<String> = row.names.iter().map(|name| plain_name(name)).collect();
    // Names with a slash inside are links that another container has to this one.
    names.sort_by_key(|name| name.contains('/'));
    ContainerSummary {
        id: ContainerId(row.id),
        names,
        labels: row.labels,
        // The list only selects what is inspected: of a word that we do not know, assume that it may hold its ports.
        status: status_word(&row.state).unwrap_or(ContainerStatus::Running),
        image: ImageId(row.image_id),
        host_ports: row.ports.into_iter().filter_map(|port| Some((port.public_port?, port.r#type))).collect(),
    }
}

/// A row of the engine's list, for what is there beside what is ours.
#[must_use]
pub fn stored_container(row: answers::ListedContainer) -> StoredContainer {
    let volumes = row.mounts.iter().filter(|mount| mount.r#type == "volume");
    StoredContainer {
        volumes: volumes.map(|mount| mount.name.clone()).collect(),
        created: Timestamp(row.created.saturating_mul(1000)),
        labels: row.labels.clone(),
        name: row
            .names
            .iter()
            .map(|name| plain_name(name))
            .find(|name| !name.contains('/'))
            .unwrap_or_default(),
        image: ImageId(row.image_id.clone()),
        // Of a word that we do not know, assume that it runs.
        status: status_word(&row.state).unwrap_or(ContainerStatus::Running),
        id: ContainerId(row.id),
    }
}

#[must_use]
pub fn stored_image(row: answers::ListedImage) -> StoredImage {
    // Older engines write what has no name so.
    let named = |names: Vec<String>| names.into_iter().filter(|name| !name.starts_with("<none>")).collect();
    StoredImage {
        id: row.id,
        tags: named(row.repo_tags),
        digests: named(row.repo_digests)
            .into_iter()
            .filter(|name: &String| !name.contains("<none>"))
            .collect(),
        created: Timestamp(row.created.saturating_mul(1000)),
        size: u64::try_from(row.size).unwrap_or_default(),
        labels: row.labels,
    }
}

#[must_use]
pub fn image(answer: answers::Image) -> ImageFacts {
    let defaults = baked::image(&answer.config);
    let check = answer.config.healthcheck.map(|check| check.test).unwrap_or_default();
    ImageFacts {
        id: ImageId(answer.id),
        digests: answer.repo_digests,
        tags: answer.repo_tags,
        has_healthcheck: check.first().is_some_and(|first| !first.is_empty() && first != "NONE"),
        size: u64::try_from(answer.size).unwrap_or_default(),
        architecture: match answer.variant.as_str() {
            "" => answer.architecture,
            variant => format!("{}/{variant}", answer.architecture),
        },
        volumes: answer.config.volumes.into_keys().collect(),
        defaults: Some(Arc::new(defaults)),
    }
}

/// Tags of exactly one repository, by tag.
#[must_use]
pub fn tags_of(repository: &str, images: Vec<answers::ListedImage>) -> BTreeMap<String, ImageId> {
    let mut tags = BTreeMap::new();
    for image in images {
        for reference in &image.repo_tags {
            let tag = reference.strip_prefix(repository).and_then(|rest| rest.strip_prefix(':'));
            if let Some(tag) = tag {
                tags.insert(tag.to_owned(), ImageId(image.id.clone()));
            }
        }
    }
    tags
}

#[must_use]
pub fn network(answer: answers::Network) -> ObservedNetwork {
    ObservedNetwork {
        id: answer.id,
        name: answer.name,
        driver: answer.driver,
        labels: answer.labels,
        // Swarm's load-balancer endpoints (`lb-...`, `ep-...`) are in the list too; they are no containers.
        containers: answer
            .containers
            .into_keys()
            .filter(|id| is_id(id))
            .map(ContainerId)
            .collect::<BTreeSet<_>>(),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[must_use]
pub fn volume(answer: answers::Volume) -> ObservedVolume {
    ObservedVolume { name: answer.name, driver: answer.driver, labels: answer.labels }
}
