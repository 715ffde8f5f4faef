//! A copy of a real host to try things on: what `plan` runs the decisions against.

use std::collections::BTreeSet;

use super::app::{Behaviour, CheckTimes};
use super::container::{Container, HostPort, WantedPort};
use super::host::{Host, Network};
use crate::desired::spec::{Protocol, RestartPolicy};
use crate::engine::{ContainerFilter, Observe, Result};
use crate::state::observed::{
    ContainerStatus, ContainerSummary, Health, ObservedContainer, ObservedNetwork, label,
};
use crate::state::plan::{Failure, Lookups};

/// A check that tells at once: a plan is not about waiting.
const SOON: CheckTimes = CheckTimes { interval: 1000, start_period: 0, retries: 3 };
/// Milliseconds that a copied host has been up: whatever ran then has long proved itself.
const UP_FOR: u64 = 86_400_000;

/// Beyond what a simulation comes to: when the copied host is a simulated one, what is made in the copy has ids of its own.
const FIRST_SERIAL: u64 = 1 << 40;

/// What to copy beside the containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// References and ids.
    pub images: BTreeSet<String>,
    /// Repositories whose tags are copied.
    pub repositories: BTreeSet<String>,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
}

impl Wants {
    /// Adds what a service's decision looks at.
    pub fn add(&mut self, lookups: &Lookups) {
        self.images.extend(lookups.image.clone());
        self.images.extend(lookups.hook_images.iter().cloned());
        self.images.extend(lookups.kept_images.iter().map(|id| id.0.clone()));
        if !lookups.keep_repository.is_empty() {
            self.repositories.insert(lookups.keep_repository.clone());
        }
        self.networks.extend(lookups.networks.iter().cloned());
        self.volumes.extend(lookups.volumes.iter().cloned());
    }
}

/// Copies what an engine reports into a host: every container (in full only those with the owner's label), and the images,
/// networks and volumes of `wants`. In the copy applications go on as they are and new ones turn out well, and what is not here can
/// be pulled: [`Host::assumed_images`] says which images were made up for that.
///
/// # Errors
/// Those of the reads; a container that goes away meanwhile is left out.
pub async fn seed(observe: &dyn Observe, owner: &str, wants: &Wants) -> Result<Host> {
    let mut host = Host::any_image();
    host.facts = observe.facts().await?.into();
    host.facts.simulated = true;
    host.now = UP_FOR;
    host.serial = FIRST_SERIAL;
    host.networks.clear();
    for row in observe.list_containers(&ContainerFilter::default()).await? {
        let own = row.labels.get(label::OWNER).is_some_and(|by| by == owner);
        if !own {
            host.copy_foreign(row);
            continue;
        }
        match observe.inspect(&row.id).await {
            Ok(Some(seen)) => host.copy(&row, seen),
            Ok(None) => {}
            // Our owner label and not ours after all: other labels are missing or made up.
            Err(error) if error.kind == Failure::Conflict => host.copy_foreign(row),
            Err(error) => return Err(error),
        }
    }
    copy_images(observe, wants, &mut host).await?;
    copy_networks(observe, owner, wants, &mut host).await?;
    for name in wants.volumes.iter() {
        if let Some(volume) = observe.volume(name).await? {
            host.volumes.insert(name.clone(), volume);
        }
    }
    Ok(host)
}

async fn copy_images(observe: &dyn Observe, wants: &Wants, host: &mut Host) -> Result<()> {
    let mut references = wants.images.clone();
    references.extend(host.containers.values().map(|container| container.image.0.clone()));
    for repository in &wants.repositories {
        let tags = observe.repository_tags(repository).await?;
        references.extend(tags.into_values().map(|id| id.0));
    }
    for reference in references {
        if let Some(facts) = observe.inspect_image(&reference).await? {
            host.images.insert(facts.id.clone(), facts);
        }
    }
    Ok(())
}

async fn copy_networks(observe: &dyn Observe, owner: &str, wants: &Wants, host: &mut Host) -> Result<()> {
    let mut found = observe.owned_networks(owner).await?;
    let builtin = ["bridge", "host", "none"].map(str::to_owned);
    let joined = host.containers.values().flat_map(|container| container.networks.keys().cloned());
    let names: BTreeSet<String> = wants.networks.iter().cloned().chain(builtin).chain(joined).collect();
    for name in names {
        found.extend(observe.networks_named(&name).await?);
    }
    for ObservedNetwork { id, name, driver, labels, containers: _ } in found {
        host.networks.insert(id, Network { name, driver, labels });
    }
    Ok(())
}

impl Host {
    fn copy(&mut self, row: &ContainerSummary, seen: ObservedContainer) {
        let latest = [Some(seen.created_at), seen.started_at, seen.finished_at];
        for stamp in latest.into_iter().flatten() {
            self.last_stamp = self.last_stamp.max(stamp.0);
        }
        let parent = seen.network_mode.strip_prefix("container:");
        let parent = parent.map(|id| crate::state::observed::ContainerId(id.to_owned()));
        let held = held_ports(row);
        let blank = self.blank(seen.image);
        // A hook's own container is on its way to an end, and a good one.
        let is_hook = seen.labels.hook.is_some();
        let container = Container {
            id: seen.id.clone(),
            name: seen.name,
            own: Some(seen.labels),
            labels: row.labels.clone(),
            status: seen.status,
            exit_code: seen.exit_code,
            error: seen.error,
            oom_killed: seen.oom_killed,
            started_at: seen.started_at,
            finished_at: seen.finished_at,
            created_at: seen.created_at,
            restart_count: seen.restart_count,
            health: seen.health,
            check: (seen.health != Health::None).then_some(SOON),
            restart: seen.restart,
            resources: seen.resources,
            networks: seen.networks,
            network_mode: seen.network_mode,
            parent,
            // Which of them must run to let it start is not told.
            tied: seen.tied.into_iter().map(|id| (crate::state::observed::ContainerId(id), false)).collect(),
            volumes: seen.volumes,
            stop_timeout: seen.stop_timeout,
            baked: seen.baked,
            ports: held.iter().map(wanted).collect(),
            held,
            script: if is_hook { Behaviour::exits(0, 0) } else { goes_on(seen.health) },
            // Whatever is on its way turns out well from here; the others did what they do long ago.
            run_since: if seen.health == Health::Starting || is_hook { self.now } else { 0 },
            ..blank
        };
        self.containers.insert(seen.id, container.into());
    }

    fn copy_foreign(&mut self, row: ContainerSummary) {
        let held = held_ports(&row);
        let blank = self.blank(row.image);
        let container = Container {
            id: row.id.clone(),
            name: row.names.first().cloned().unwrap_or_default(),
            labels: row.labels,
            status: row.status,
            // Its policy is not in the list; one that never acts keeps the copy still.
            restart: RestartPolicy::No,
            ports: held.iter().map(wanted).collect(),
            held,
            ..blank
        };
        self.containers.insert(row.id, container.into());
    }
}

/// The application of a container as it was found: its health stays what it is, one that was starting turns healthy.
fn goes_on(health: Health) -> Behaviour {
    match health {
        Health::Unhealthy => Behaviour::never_healthy(),
        _ => Behaviour::default(),
    }
}

fn held_ports(row: &ContainerSummary) -> BTreeSet<HostPort> {
    if !matches!(row.status, ContainerStatus::Running | ContainerStatus::Paused) {
        return BTreeSet::new();
    }
    let port = |(port, protocol): &(u16, String)| HostPort {
        ip: None,
        port: *port,
        protocol: match protocol.as_str() {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
    };
    row.host_ports.iter().map(port).collect()
}

fn wanted(held: &HostPort) -> WantedPort {
    WantedPort { ip: held.ip, range: Some((held.port, held.port)), protocol: held.protocol }
}
