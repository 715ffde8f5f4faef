//! What the engine reports, in our words. Converted at the border (`engine/convert.rs`); nothing here knows the engine's API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baked::{Baked, ImageDefaults};
use super::jobs::RunId;
use super::record::RevisionId;
use super::space::Space;
use super::time::EngineStamp;
use crate::desired::hash::SpecHash;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::spec::{Resources, RestartPolicy};

/// Names of the labels on everything we create. No secret and no spec text: label values leak into the event stream.
pub mod label {
    pub const OWNER: &str = "dev.evenkeel.owner";
    pub const PROJECT: &str = "dev.evenkeel.project";
    pub const SERVICE: &str = "dev.evenkeel.service";
    pub const SLOT: &str = "dev.evenkeel.slot";
    pub const REVISION: &str = "dev.evenkeel.revision";
    pub const SPEC: &str = "dev.evenkeel.spec";
    pub const IMAGE_ID: &str = "dev.evenkeel.image.id";
    pub const IMAGE_REF: &str = "dev.evenkeel.image.ref";
    pub const IMAGE_DIGEST: &str = "dev.evenkeel.image.digest";
    pub const SOURCE: &str = "dev.evenkeel.source";
    /// On a hook's own container: which hook.
    pub const HOOK: &str = "dev.evenkeel.hook";
    /// On a container of a job, in place of the service: its name, and which of its runs.
    pub const JOB: &str = "dev.evenkeel.job";
    pub const RUN: &str = "dev.evenkeel.run";
    /// On a container that is never started for a service: files are copied out of its image, for this artifact.
    pub const COPY: &str = "dev.evenkeel.copy";
    /// On networks and volumes: the key in the project and the hash of the definition.
    pub const NETWORK: &str = "dev.evenkeel.network";
    pub const VOLUME: &str = "dev.evenkeel.volume";
    pub const DEFINITION: &str = "dev.evenkeel.definition";
    /// Labels that start like this are ours alone: a spec that sets one is refused.
    pub const RESERVED: &str = "dev.evenkeel.";
    pub const COMPOSE_PROJECT: &str = "com.docker.compose.project";
    pub const COMPOSE_SERVICE: &str = "com.docker.compose.service";
    pub const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
    pub const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";
    pub const COMPOSE_NETWORK: &str = "com.docker.compose.network";
    pub const COMPOSE_VOLUME: &str = "com.docker.compose.volume";
    /// Compose lists no container without it.
    pub const COMPOSE_HASH: &str = "com.docker.compose.config-hash";
    /// Where a project was started, and from which files.
    pub const COMPOSE_FILES: &str = "com.docker.compose.project.config_files";
}

/// 64 hex digits. Everything but `create` addresses containers by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

/// A command that was made in a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecId(pub String);

impl ExecId {
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// How far a command in a container is. Not running and without a code: it was never started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSeen {
    pub running: bool,
    pub code: Option<i64>,
}

/// `sha256:<64 hex digits>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub String);

impl ContainerId {
    /// The first twelve digits, as `docker ps` shows them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl ImageId {
    #[must_use]
    pub fn short(&self) -> &str {
        let digits = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        digits.get(..12).unwrap_or(digits)
    }
}

/// Identity that our labels carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLabels {
    /// The instance that made it.
    pub owner: String,
    pub service: ServiceId,
    pub slot: u32,
    pub revision: RevisionId,
    pub spec: SpecHash,
    pub image: ImageId,
    pub image_ref: String,
    pub image_digest: Option<String>,
    pub source: String,
    /// It serves nothing: it is a hook's own container (`pre-start-1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// It is no service's: `service` names a job, and this is the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    Created,
    Running,
    /// Between two starts of a crash loop; the engine calls it running too.
    Restarting,
    Paused,
    Exited,
    /// Half removed (the engine was killed in `rm`); only removable.
    Dead,
    Removing,
}

impl ContainerStatus {
    /// Holds its ports and names, or may at any moment.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Restarting | Self::Paused)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check.
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// One container of ours, from a fresh inspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedContainer {
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    pub labels: OwnLabels,
    pub status: ContainerStatus,
    pub exit_code: i64,
    /// The engine's text for a start that failed; kept in the container.
    pub error: String,
    pub oom_killed: bool,
    /// `None`: never started.
    pub started_at: Option<EngineStamp>,
    pub finished_at: Option<EngineStamp>,
    pub created_at: EngineStamp,
    pub restart_count: u32,
    /// Meaningful only while running: an exited container keeps its last health (RELIABILITY.md E21).
    pub health: Health,
    /// The last output of the health check, capped, for messages.
    pub health_log: String,
    pub restart: RestartPolicy,
    pub resources: Resources,
    /// By the engine's name of the network.
    pub networks: BTreeMap<String, ObservedEndpoint>,
    /// As reported: `default`, `host`, `none`, `container:<id>`, a network's name.
    pub network_mode: String,
    /// Other containers that its request named, beside the one in `network_mode`: by id, links by name.
    #[serde(default)]
    pub tied: BTreeSet<String>,
    /// The image it was created from.
    pub image: ImageId,
    /// Volumes by target, anonymous ones included: handed over to a successor.
    pub volumes: BTreeMap<String, String>,
    /// Seconds the engine waits at `stop` before it kills.
    pub stop_timeout: Option<u32>,
    /// What its probes found, where it has any; laid over what the engine reports (`state::probe`), whose `health` it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<super::probe::ProbeSeen>,
    /// How it was made. `None`: not known, as in a saved observation, which has no values of variables in it.
    #[serde(skip)]
    pub baked: Option<Arc<Baked>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedEndpoint {
    pub network_id: String,
    pub aliases: BTreeSet<String>,
    #[serde(default)]
    pub settings: EndpointFacts,
}

/// What was asked for at an endpoint beside its aliases, and the hardware address that it got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointFacts {
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
    pub link_local_ips: BTreeSet<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub gw_priority: i64,
    pub links: BTreeSet<String>,
    /// `None` while it does not run.
    pub mac_address: Option<String>,
}

/// One row of the engine's list. May be stale (RELIABILITY.md fact 5): it only selects what to inspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSummary {
    pub id: ContainerId,
    /// Every name without the leading slash; the first is the container's own.
    pub names: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub status: ContainerStatus,
    pub image: ImageId,
    /// Published host ports, for messages that name who holds one: `(port, protocol)`.
    pub host_ports: BTreeSet<(u16, String)>,
}

/// What we must know of an image before a container is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    pub id: ImageId,
    /// `name@sha256:...` entries the engine knows.
    pub digests: Vec<String>,
    pub tags: Vec<String>,
    pub has_healthcheck: bool,
    /// Bytes.
    pub size: u64,
    pub architecture: String,
    /// Targets of `VOLUME` lines: these become anonymous volumes.
    pub volumes: BTreeSet<String>,
    /// What it gives to its containers. `None`: not known, as in a saved observation.
    #[serde(skip)]
    pub defaults: Option<Arc<ImageDefaults>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    /// Ids of the containers attached (running ones only: that is all the engine lists).
    pub containers: BTreeSet<ContainerId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedVolume {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
}

/// One life of the engine process as seen from here. Grows whenever the connection to it was lost and found again; a window
/// that spans two sessions proves nothing, and a request of an earlier one can no longer be executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EngineSession(pub u64);

/// Who holds a name that one of our containers needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameHolder {
    pub id: ContainerId,
    /// The owner label of another instance, if it has one.
    pub owner: Option<String>,
    /// The Compose project it belongs to, if any.
    pub compose_project: Option<String>,
}

/// Everything one pass for one service looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedService {
    pub session: EngineSession,
    /// Ours, this service, every slot and revision; by id.
    pub containers: Vec<ObservedContainer>,
    /// Ours, and a hook's own; they serve nothing.
    pub hooks: Vec<ObservedContainer>,
    /// Commands of hooks that are on their way, as the engine knows them; `None`: it does not.
    pub execs: BTreeMap<ExecId, Option<ExecSeen>>,
    /// Images of hooks that have one of their own.
    pub hook_images: BTreeMap<String, Option<ImageFacts>>,
    /// Foreign containers that hold a name we want.
    pub name_holders: BTreeMap<String, NameHolder>,
    /// The wanted reference as the engine resolves it now; `None`: not on this host.
    pub image: Option<ImageFacts>,
    /// Images of kept revisions that are still on the host.
    pub kept_images: BTreeMap<ImageId, ImageFacts>,
    /// Tags in our keep repository (`hash8`), and what they point at.
    pub keep_tags: BTreeMap<String, ImageId>,
    /// Networks the target joins, by name: every network that has the name.
    pub networks: BTreeMap<String, Vec<ObservedNetwork>>,
    /// Volumes the target mounts, by name.
    pub volumes: BTreeMap<String, Option<ObservedVolume>>,
    /// With `network_mode = "service:x"`: the container of x to join.
    pub parent: Option<Parent>,
    /// Containers of services that the target names in another way: `Extra::ties`.
    pub tied: BTreeMap<ServiceName, Parent>,
    /// Images that the target mounts, as the engine has them.
    pub mounted_images: BTreeMap<String, bool>,
    /// Networks and volumes of these names are somebody else's, and what to do about it (`network::foreign`).
    pub foreign: BTreeMap<String, String>,
    pub dependencies: BTreeMap<ServiceName, DependencyState>,
    /// Room where the engine keeps its files, when that can be told from here.
    pub disk_free: Option<Space>,
}

/// The serving container of a service that this one shares something with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub id: ContainerId,
    pub name: String,
    pub running: bool,
    pub started_at: Option<EngineStamp>,
}

/// How far a dependency is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyState {
    /// It exists in the desired state of this host.
    pub desired: bool,
    pub progress: DependencyProgress,
    /// Identity and last start of its serving containers: a change means "replaced or restarted".
    pub serving: BTreeMap<ContainerId, Option<EngineStamp>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyProgress {
    /// Nothing known or nothing runs yet.
    Pending,
    /// Every slot runs.
    Running,
    /// Every slot runs and is healthy. `false` in `has_check` of a running one never becomes this.
    Healthy,
    /// Runs, and there is no check to wait for.
    RunningWithoutCheck,
    /// Exited with 0.
    Completed,
    /// Exited otherwise, or rejected with nothing to go back to.
    Failed,
}
