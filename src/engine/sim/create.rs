//! Making containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::app::CheckTimes;
use super::container::{Container, WantedPort};
use super::fault::Op;
use super::host::Host;
use crate::desired::ident::is_name;
use crate::desired::spec::{ContainerSpec, MountSource, NetworkMode, RestartPolicy};
use crate::engine::convert::labels;
use crate::engine::{EngineError, EventKind, Result};
use crate::state::observed::{
    ContainerId, ContainerStatus, EndpointFacts, Health, ImageFacts, ImageId, ObservedEndpoint,
    ObservedVolume, OwnLabels,
};
use crate::state::plan::{Creation, Failure};

/// Somebody else's container, for conflicts of names and ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    pub name: String,
    pub image: String,
    pub labels: BTreeMap<String, String>,
    pub ports: BTreeSet<WantedPort>,
    pub restart: RestartPolicy,
    pub running: bool,
}

impl Host {
    pub(super) fn run_create(&mut self, creation: &Creation) -> Result<ContainerId> {
        let refuse =
            |kind, text: String| Err(EngineError::new(Op::Create.as_str(), &creation.name, kind, text));
        if !is_name(&creation.name) {
            return refuse(Failure::Invalid, format!("Invalid container name ({})", creation.name));
        }
        let Some(image) = self.images.get(&creation.image.id).cloned() else {
            return refuse(Failure::NotFound, format!("No such image: {}", creation.image.id.0));
        };
        if let Some(holder) = self.named(&creation.name) {
            // A lost answer of an earlier call: this is what it made.
            if is_the_same(holder, &creation.labels) {
                return Ok(holder.id.clone());
            }
            let text = format!(
                "Conflict. The container name \"/{}\" is already in use by container \"{}\".",
                creation.name, holder.id.0
            );
            return refuse(Failure::Conflict, text);
        }
        for reference in mounted_images(&creation.spec) {
            if super::image::resolve(&self.images, reference).is_none() {
                return refuse(Failure::NotFound, format!("No such image: {reference}"));
            }
        }
        if let Some(gone) = creation.tied.values().find(|id| !self.containers.contains_key(*id)) {
            return refuse(Failure::NotFound, format!("No such container: {}", gone.0));
        }
        if self.disk_full {
            return refuse(Failure::NoSpace, "mkdir: no space left on device".to_owned());
        }
        // Networks that are not there are the start's affair.
        let container = self.build(creation, &image);
        Ok(self.put(container))
    }

    fn build(&mut self, creation: &Creation, image: &ImageFacts) -> Container {
        let spec = &creation.spec;
        let volumes = self.provide_volumes(creation, image);
        let (network_mode, networks) = self.join(creation);
        let check = CheckTimes::of(&spec.healthcheck, image.has_healthcheck);
        let blank = self.blank(image.id.clone());
        let known = Creation { image: image.clone(), ..creation.clone() };
        let baked = super::baked::baked(&known, &blank.id, &network_mode, &volumes).map(Arc::new);
        Container {
            name: creation.name.clone(),
            own: Some(creation.labels.clone()),
            labels: labels::of_container(&spec.labels, &creation.labels),
            check,
            health: if check.is_some() { self.profile.health_before_the_first_start } else { Health::None },
            resources: creation.live.resources.clone(),
            first_network: networks.get(&network_mode).map(|at| at.network_id.clone()),
            networks,
            network_mode,
            parent: creation.parent.clone(),
            tied: tied(creation),
            volumes,
            stop_timeout: spec.stop_grace_period,
            ports: wanted_ports(spec),
            baked,
            script: match &creation.labels.hook {
                None => self.script_of(&spec.image, &image.id),
                Some(_) => self.script_of_command(&spec.image, &image.id, spec.command.as_deref()),
            },
            ..blank
        }
    }

    /// What a hook's own container does: its command, and that ends.
    fn script_of_command(
        &self,
        reference: &str,
        image: &ImageId,
        command: Option<&[String]>,
    ) -> super::app::Behaviour {
        let (takes, code) = self.script_of(reference, image).command(command.unwrap_or_default());
        super::app::Behaviour::exits(takes, code)
    }

    fn script_of(&self, reference: &str, image: &ImageId) -> super::app::Behaviour {
        let by_name = self.scripts.get(&super::image::full_reference(reference));
        by_name.or_else(|| self.scripts.get(&image.0)).unwrap_or(&self.default_script).clone()
    }

    /// Volumes by target: named ones are made when missing, anonymous ones always unless they are handed over.
    fn provide_volumes(&mut self, creation: &Creation, image: &ImageFacts) -> BTreeMap<String, String> {
        let spec = &creation.spec;
        let mut wanted: BTreeMap<String, Option<String>> = BTreeMap::new();
        for target in &image.volumes {
            wanted.insert(target.clone(), None);
        }
        for (target, mount) in &spec.mounts {
            wanted.remove(target);
            if let MountSource::Volume { name, .. } = &mount.source {
                wanted.insert(target.clone(), name.clone());
            }
        }
        wanted.retain(|target, _| !spec.tmpfs.contains_key(target));
        let mut volumes = BTreeMap::new();
        for (target, name) in wanted {
            let name = name
                .or_else(|| creation.inherited.get(&target).cloned())
                .unwrap_or_else(|| self.next_id("volume"));
            self.volumes.entry(name.clone()).or_insert_with(|| ObservedVolume {
                name: name.clone(),
                driver: "local".to_owned(),
                labels: BTreeMap::new(),
            });
            volumes.insert(target, name);
        }
        volumes
    }

    /// The network mode as reported, and the endpoints.
    fn join(&self, creation: &Creation) -> (String, BTreeMap<String, ObservedEndpoint>) {
        let builtin = |name: &str| {
            let found = self.networks.iter().find(|(_, network)| network.name == name);
            let endpoint = found
                .map(|(id, _)| ObservedEndpoint { network_id: id.clone(), ..ObservedEndpoint::default() });
            endpoint.map(|endpoint| (name.to_owned(), endpoint)).into_iter().collect()
        };
        match &creation.spec.network_mode {
            NetworkMode::Host => ("host".to_owned(), builtin("host")),
            NetworkMode::None => ("none".to_owned(), builtin("none")),
            NetworkMode::Container(name) => (format!("container:{name}"), BTreeMap::new()),
            NetworkMode::Service(name) => {
                let target = creation.parent.as_ref().map_or(name.as_str(), |id| id.0.as_str());
                (format!("container:{target}"), BTreeMap::new())
            }
            NetworkMode::Bridge => ("default".to_owned(), builtin("bridge")),
            NetworkMode::Networks => {
                let service = creation.labels.service.service.as_str();
                let serves = creation.labels.hook.is_none() && creation.labels.job.is_none();
                let own_name = serves.then(|| service.to_owned());
                let endpoints: BTreeMap<String, ObservedEndpoint> = creation
                    .live
                    .networks
                    .iter()
                    .filter_map(|(name, endpoint)| {
                        let network_id = creation.network_ids.get(name)?.clone();
                        let mut aliases = endpoint.aliases.clone();
                        aliases.extend(own_name.clone());
                        let settings = EndpointFacts::asked(endpoint);
                        Some((name.clone(), ObservedEndpoint { network_id, aliases, settings }))
                    })
                    .collect();
                let first = creation
                    .live
                    .networks
                    .iter()
                    .max_by(|a, b| a.1.priority.cmp(&b.1.priority).then_with(|| b.0.cmp(a.0)))
                    .map_or("default", |(name, _)| name.as_str());
                (first.to_owned(), endpoints)
            }
        }
    }

    /// A container without anything.
    pub(super) fn blank(&mut self, image: ImageId) -> Container {
        Container {
            id: ContainerId(self.next_id("container")),
            name: String::new(),
            own: None,
            labels: BTreeMap::new(),
            image,
            status: ContainerStatus::Created,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: None,
            finished_at: None,
            created_at: self.stamp(),
            restart_count: 0,
            health: Health::None,
            check: None,
            restart: RestartPolicy::No,
            resources: crate::desired::spec::Resources::default(),
            networks: BTreeMap::new(),
            network_mode: "default".to_owned(),
            first_network: None,
            parent: None,
            tied: BTreeMap::new(),
            volumes: BTreeMap::new(),
            stop_timeout: None,
            baked: None,
            ports: BTreeSet::new(),
            held: BTreeSet::new(),
            script: super::app::Behaviour::default(),
            manually_stopped: false,
            run_since: 0,
            restart_at: None,
            backoff: 0,
            stopping: None,
            log: Vec::new(),
        }
    }

    fn put(&mut self, container: Container) -> ContainerId {
        let id = container.id.clone();
        self.containers.insert(id.clone(), container.into());
        self.emit_container(&id, "create");
        id
    }

    /// Makes somebody else's container, past every script and fault.
    pub fn foreign(&mut self, foreign: Foreign) -> ContainerId {
        let image = super::image::made_up(&foreign.image);
        let image = self.load_image(image);
        let container = Container {
            name: foreign.name,
            labels: foreign.labels,
            ports: foreign.ports,
            restart: foreign.restart,
            ..self.blank(image)
        };
        let id = self.put(container);
        if foreign.running {
            // A port that is taken leaves it `created`, as on any engine.
            let _ = self.run_start(&id);
        }
        id
    }

    /// Looks at one container of ours.
    pub fn inspect(&mut self, id: &ContainerId) -> Result<Option<crate::state::observed::ObservedContainer>> {
        if self.alive && self.hung.contains(id) {
            return self.hang_read(Op::Inspect, id);
        }
        self.read(Op::Inspect, id.short(), |host| match host.containers.get(id) {
            None => Ok(None),
            Some(container) => container.observed().map(Some).ok_or_else(|| {
                let text = "it carries no label of evenkeel's: it belongs to somebody else";
                EngineError::new(Op::Inspect.as_str(), &container.name, Failure::Conflict, text)
            }),
        })
    }

    /// Looks at any container, as if it carried these labels of ours.
    pub fn inspect_as(
        &mut self,
        id: &ContainerId,
        labels: &OwnLabels,
    ) -> Result<Option<crate::state::observed::ObservedContainer>> {
        self.read(Op::Inspect, id.short(), |host| {
            Ok(host.containers.get(id).map(|container| container.observed_as(labels.clone())))
        })
    }

    /// The list, oldest last, as the engine gives it.
    pub fn list(
        &mut self,
        filter: &crate::engine::ContainerFilter,
    ) -> Result<Vec<crate::state::observed::ContainerSummary>> {
        self.read(Op::List, "containers", |host| {
            let matches = |container: &&Container| {
                filter.labels.iter().all(|(key, value)| container.labels.get(key) == Some(value))
                    && (filter.ids.is_empty() || filter.ids.contains(&container.id))
            };
            let mut found: Vec<&Container> =
                host.containers.values().map(|one| &**one).filter(matches).collect();
            found.sort_by_key(|container| std::cmp::Reverse(container.created_at));
            Ok(found.into_iter().map(Container::summary).collect())
        })
    }

    pub(super) fn emit_volume(&mut self, name: &str, action: &str) {
        self.emit(EventKind::Volume, action, name, BTreeMap::new());
    }
}

fn tied(creation: &Creation) -> BTreeMap<ContainerId, bool> {
    let mut tied = BTreeMap::new();
    for (name, tie) in creation.spec.extra.ties() {
        if let Some(id) = creation.tied.get(name) {
            *tied.entry(id.clone()).or_insert(false) |= tie.needs_running();
        }
    }
    tied
}

fn mounted_images(spec: &ContainerSpec) -> impl Iterator<Item = &String> {
    spec.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Image { reference, .. } => Some(reference),
        _ => None,
    })
}

/// The ports a spec publishes. A container in the host's or another one's namespace publishes none.
pub(super) fn wanted_ports(spec: &ContainerSpec) -> BTreeSet<WantedPort> {
    if !matches!(spec.network_mode, NetworkMode::Networks | NetworkMode::Bridge) {
        return BTreeSet::new();
    }
    let wanted = spec.ports.iter().map(|binding| WantedPort {
        ip: binding.host_ip,
        range: binding.host_port,
        protocol: binding.container.protocol,
    });
    wanted.collect()
}

/// The very slot and revision that is asked for, and whole.
fn is_the_same(holder: &Container, wanted: &OwnLabels) -> bool {
    let half_gone = matches!(holder.status, ContainerStatus::Dead | ContainerStatus::Removing);
    !half_gone
        && holder.own.as_ref().is_some_and(|own| {
            own.owner == wanted.owner
                && own.service == wanted.service
                && own.slot == wanted.slot
                && own.revision == wanted.revision
                && own.hook == wanted.hook
                && own.job == wanted.job
        })
}
