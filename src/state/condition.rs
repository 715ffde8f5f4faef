//! Where a service stands, for people, metrics and dependents.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use crate::desired::snapshot::Commit;

/// One word for where a service stands. The words are those of the metric `evenkeel_service_condition{condition}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// As wanted, nothing to do.
    Ready,
    /// Ran and ended with 0, and its restart policy leaves it so.
    Completed,
    /// On the way: something is being done or a gate is open.
    Progressing,
    /// Something else must happen first: a dependency, a network, the engine, a registry.
    Waiting,
    /// Runs, but not all of it or not well: unhealthy, crash-looping after its watch, a slot missing.
    Degraded,
    /// The wanted revision failed and was put back; the previous one serves.
    RolledBack,
    /// Failed with nothing to go back to, or cannot be done until someone acts.
    Failed,
    /// The operator holds it.
    Held,
    /// The files say that nothing is to be changed: watched, reported, and left as it is.
    Paused,
    /// Another revision is wanted, and somebody has to approve it first; what serves goes on.
    AwaitingApproval,
    /// Another revision is wanted, and its window is closed; what serves goes on.
    AwaitingWindow,
    /// Its file does not load: left as it is.
    Frozen,
    /// Not wanted any more; waits for consent (guard) or for the quiet period.
    Orphaned,
    /// Not wanted any more and gone.
    Removed,
}

impl ConditionKind {
    pub const ALL: [Self; 14] = [
        Self::Ready,
        Self::Completed,
        Self::Progressing,
        Self::Waiting,
        Self::Degraded,
        Self::RolledBack,
        Self::Failed,
        Self::Held,
        Self::Paused,
        Self::AwaitingApproval,
        Self::AwaitingWindow,
        Self::Frozen,
        Self::Orphaned,
        Self::Removed,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Completed => "completed",
            Self::Progressing => "progressing",
            Self::Waiting => "waiting",
            Self::Degraded => "degraded",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::AwaitingApproval => "awaiting-approval",
            Self::AwaitingWindow => "awaiting-window",
            Self::Frozen => "frozen",
            Self::Orphaned => "orphaned",
            Self::Removed => "removed",
        }
    }

    /// `apply` may stop waiting: nothing more happens by itself.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Progressing | Self::Waiting)
    }
}

/// A condition with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub kind: ConditionKind,
    /// Stable, in CamelCase as Kubernetes writes them: `GatePending`, `ImagePullFailed`, `NameConflict`.
    pub reason: String,
    /// A sentence for people, with the next step where there is one.
    pub message: String,
}

impl Condition {
    #[must_use]
    pub fn new(kind: ConditionKind, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, reason: reason.to_owned(), message: message.into() }
    }
}

/// What `status` shows of one service; also the row of `/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub service: String,
    pub condition: Condition,
    /// When the condition (kind and reason) last changed.
    pub since: Timestamp,
    pub desired_replicas: u32,
    pub running: u32,
    pub ready: u32,
    pub image: String,
    pub revision: Option<String>,
    pub revision_number: Option<u64>,
    pub rejected: Option<String>,
    /// Short id of the revision that waits for `evenkeel approve`, or for its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<String>,
    pub order: String,
    /// Where it is defined: `shop/web.toml:3`.
    pub source: String,
    /// The commit that brought what serves, when it came from a repository.
    #[serde(default)]
    pub commit: Option<Commit>,
    pub containers: Vec<ContainerStatusRow>,
    /// When it is looked at again by itself; milliseconds from now.
    pub next_look_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatusRow {
    pub name: String,
    pub id: String,
    pub slot: u32,
    pub state: String,
    pub health: String,
    pub restarts: u32,
    pub revision: String,
    pub serving: bool,
    /// What its last probe came to; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}
