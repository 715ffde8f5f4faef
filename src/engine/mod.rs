//! SHELL, outbound: the container engine in our words. `docker` (bollard) and `sim` (the simulated engine) implement it; nobody else
//! knows an engine's API, and no error is told by its text outside this folder.

pub mod adopted;
pub mod build;
pub mod convert;
pub mod copy;
pub mod disk;
pub mod docker;
pub mod error;
pub mod files;
pub mod recorded;
pub mod registry;
pub mod sim;
pub mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::state::observed::{
    ContainerId, ContainerSummary, ExecId, ExecSeen, ImageFacts, ImageId, ObservedContainer, ObservedNetwork,
    ObservedVolume, OwnLabels,
};
use crate::state::plan::{Creation, Failure};
use crate::state::time::Timestamp;
pub use error::EngineError;

pub type Result<T> = std::result::Result<T, EngineError>;

/// What the engine is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// `20.10.24`.
    pub version: String,
    /// The API version spoken, `(1, 41)`: the engine's own, at most the newest we tested.
    pub api: (u32, u32),
    /// The engine's own identity; another one at the same address is another host.
    pub id: String,
    pub root_dir: String,
    pub os: String,
    pub architecture: String,
    pub live_restore: bool,
    /// Simulated: nothing it reports is real.
    pub simulated: bool,
    /// What its clock showed when it answered, for `doctor`; nothing is decided by it.
    pub clock: Option<Timestamp>,
}

/// Something happened in the engine. Only says where to look: events are lossy, unordered and never decide anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    pub kind: EventKind,
    /// `start`, `die`, `destroy`, `health_status`, ...
    pub action: String,
    /// Container id, network or volume name.
    pub object: String,
    /// Labels of a container (its attributes); owner, project and service are all that is read.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Container,
    Network,
    Volume,
    Image,
}

/// Which containers to list; always all states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// `key=value` labels, all of which must match. Empty: every container on the host.
    pub labels: BTreeMap<String, String>,
    /// Only these, where there are any.
    pub ids: BTreeSet<ContainerId>,
}

/// One line (or chunk) of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    pub stderr: bool,
    pub bytes: bytes::Bytes,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    /// Last lines; `None`: all.
    pub tail: Option<usize>,
    pub timestamps: bool,
    /// Seconds since 1970.
    pub since: Option<i64>,
}

/// Progress of a pull, for a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    pub layer: String,
    pub status: String,
    pub current: u64,
    pub total: u64,
}

/// Reading. `plan`, `status` and `doctor` are given no more than this, so they cannot write.
#[async_trait]
pub trait Observe: Send + Sync + 'static {
    /// Asks the engine who it is. Also the liveness probe: deadline 5 s.
    async fn facts(&self) -> Result<EngineFacts>;
    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>>;
    /// A fresh look at one container. `Ok(None)`: the engine says that it does not exist. A container without our labels is
    /// an error of kind `Conflict`: it must not be looked at as if it were ours.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>>;
    /// The same of any container, as if it carried these labels of ours: for what was, or may be, adopted.
    async fn inspect_as(&self, id: &ContainerId, labels: &OwnLabels) -> Result<Option<ObservedContainer>> {
        let _ = labels;
        let text = "what others made cannot be looked at here";
        Err(EngineError::new("inspect", id.short(), Failure::Conflict, text))
    }
    /// What was adopted or given back, where that is known. To change it is to change what the engine seems to report.
    fn adopted(&self) -> Option<&adopted::Shared> {
        None
    }
    /// By reference or id.
    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>>;
    /// Tags of one local repository (without registry look-up), and what they point at.
    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>>;
    /// Every network of exactly this name (old engines allow several).
    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>>;
    /// Every network with our owner label.
    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>>;
    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>>;
    /// A command that was made in a container. `Ok(None)`: the engine does not know it (any more): its container was stopped, or it
    /// ended long ago.
    async fn inspect_exec(&self, _exec: &ExecId) -> Result<Option<ExecSeen>> {
        Ok(None)
    }
    /// Starts when the engine has accepted the subscription: whatever happens after this call returned is in the stream or
    /// ends it. The stream ends with an error or `None` when the connection is lost.
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>>;
    /// Whether the engine that answers now is the very process that the events of an earlier stream came from. `false` where that
    /// cannot be shown.
    async fn is_same_process(&self) -> Result<bool> {
        Ok(false)
    }
    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>>;
}

/// What a try of a container came to: why it failed, in words for people.
pub type ProbeAnswer = std::result::Result<(), String>;

/// How a command in a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecEnd {
    /// `None`: it had not ended when its time was up, and goes on.
    pub code: Option<i64>,
    /// The end of what it printed.
    pub output: Vec<u8>,
}

fn no_commands(op: &'static str, object: &str) -> EngineError {
    EngineError::new(op, object, Failure::Invalid, "this engine runs no commands in containers")
}

/// Everything of a kind that there is, whoever made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub images: BTreeSet<ImageId>,
    pub networks: Vec<ObservedNetwork>,
    pub volumes: Vec<ObservedVolume>,
}

/// Counting up: for an observation that is saved before anybody knows what will be asked of it. Nothing else needs it.
#[async_trait]
pub trait CountUp: Observe {
    async fn inventory(&self) -> Result<Inventory>;
}

/// Writing. Every method is one request (or one idempotent group), runs to its end even when the caller goes away, and treats
/// "already so" as done. Containers are addressed by id; names occur in `create` and `rename` only.
#[async_trait]
pub trait Engine: Observe {
    /// Returns when the image is there and verified. Errors inside a successful stream are errors here.
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts>;
    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()>;
    /// Removes a reference; the image itself goes only when nothing else names or uses it. A missing one is fine.
    async fn untag(&self, reference: &str) -> Result<()>;
    /// Creates with restart policy `no`, first endpoint in the request and the others connected after it. A name held by a
    /// container with the very same labels of ours is that container (a lost answer of an earlier call).
    async fn create(&self, creation: &Creation) -> Result<ContainerId>;
    async fn start(&self, id: &ContainerId) -> Result<()>;
    /// Deadline: grace + 30 s.
    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()>;
    /// Makes a command in a container that runs; nothing is started yet.
    async fn create_exec(&self, id: &ContainerId, _exec: &Exec) -> Result<ExecId> {
        Err(no_commands("make a command in", id.short()))
    }
    /// Starts a command that was made, and waits for its end, `limit` at most. An engine starts it once: a second call waits for the
    /// first one's end.
    async fn start_exec(&self, exec: &ExecId, _limit: Duration) -> Result<ExecEnd> {
        Err(no_commands("start command", exec.short()))
    }
    /// Tries whether a container works. An error: nobody could try; a container that fails is an answer.
    async fn probe(&self, id: &ContainerId, _check: &ProbeCheck, _timeout: Duration) -> Result<ProbeAnswer> {
        Err(no_commands("probe", id.short()))
    }
    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()>;
    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()>;
    /// Puts new content, by its name, into files that the container has mounted (by their path on the host), and sends it a signal. Without
    /// one it need not run.
    async fn deliver(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()>;
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()>;
    /// Keeps volumes, always. `force` only for a container the engine calls dead.
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()>;
    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()>;
    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()>;
    /// Returns the id; an existing network of this name with our owner label is returned instead of a second one made.
    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String>;
    async fn remove_network(&self, id: &str) -> Result<()>;
    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()>;
}

/// Deadline of a call that only reads.
pub const READ_DEADLINE: Duration = Duration::from_secs(30);
/// Deadline of a call that writes, but for pull and stop.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(120);
/// The oldest API version with everything that is used here: Docker 20.10.
pub const OLDEST_API: (u32, u32) = (1, 41);
/// The newest API version this code was tested against; a newer engine is asked to speak this one.
pub const NEWEST_TESTED_API: (u32, u32) = (1, 51);
