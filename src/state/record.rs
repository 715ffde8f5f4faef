//! What we remember of a service: intent, what was good, what failed, what is unsettled, holds. The store keeps it; `decide`
//! gets it and gives it back changed. What exists and what it runs is the engine's to say, never the record's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hooks::run::{HookKey, HookRun};
use super::observed::{ContainerId, EngineSession, ImageId};
use super::time::{EngineStamp, Mono, Timestamp};
use crate::desired::hash::SpecHash;
use crate::desired::hooks::HookPoint;
use crate::desired::snapshot::Commit;
use crate::desired::spec::{DriftGroup, LiveSpec, ServiceSpec};

/// A revision: a spec and the image it resolved to. A tag that moved is another revision. 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionId(String);

impl RevisionId {
    #[must_use]
    pub fn of(spec: &SpecHash, image: &ImageId) -> Self {
        let mut digest = Sha256::new();
        digest.update(spec.as_str());
        digest.update(b"\n");
        digest.update(&image.0);
        Self(hex::encode(digest.finalize()))
    }
    /// Reads a label or a stored value: 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        SpecHash::parse(text).map(|hash| Self(hash.as_str().to_owned()))
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// What people see and type, and what names and tags carry.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The durable memory of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Kept revisions, oldest first.
    pub revisions: Vec<KeptRevision>,
    /// The last one that passed its gate.
    pub good: Option<RevisionId>,
    /// The one being rolled out, from before its first act until commit or rejection.
    pub intent: Option<RevisionId>,
    /// Digest of the whole desired spec the last decision was about; a change ends rejections and rollback holds.
    pub wish: Option<String>,
    pub hold: Option<Hold>,
    /// Calls whose answer never came and that may still be executed.
    pub unsettled: Vec<Unsettled>,
    /// Containers that evenkeel itself stopped and has not started since: their exit says nothing about them.
    pub stopped: BTreeSet<ContainerId>,
    /// The revision that ran to its end with 0 where the restart policy leaves it so: not started again.
    pub completed: Option<RevisionId>,
    /// The revision that failed while the way back is still being walked.
    pub rolling_back: Option<RevisionId>,
    /// The wanted revision that waits for somebody's word or its window, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Awaiting>,
    /// The revision that somebody has approved, until it has proved itself or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<RevisionId>,
    /// The revision that somebody lets begin outside of its window, until it has proved itself or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hurried: Option<RevisionId>,
    /// Hooks that began, and how they ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// Containers that were started by us and whose `post_start` is not over.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub to_greet: BTreeSet<ContainerId>,
    /// Hooks of updates that are over, to be run when nothing else is to be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<(HookPoint, RevisionId)>,
    /// Containers we created: proof of ownership beside the label when someone renamed one.
    pub containers: BTreeSet<ContainerId>,
    /// The revision whose late failures still count, until its watch ends.
    pub watch: Option<Watch>,
    /// Containers of dependencies with `restart = true` that this service's containers were started under.
    pub started_under: BTreeMap<String, BTreeMap<ContainerId, Option<EngineStamp>>>,
    /// Which content of the files that change while it runs each container was told of last, by their path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<ContainerId, BTreeMap<String, String>>,
    /// File (relative) that defined the service when it was last desired: tells a broken file's services.
    pub source: String,
    /// Revisions ever made, for a number people can talk about.
    pub sequence: u64,
    /// Adopted containers with the names they had then: nobody renames one because it was adopted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub adopted: BTreeMap<ContainerId, String>,
    /// What was last seen in effect, by container: drift is what differs from this and from what is wanted alike.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub applied: BTreeMap<ContainerId, Applied>,
    /// Groups of fields that others changed and that are left so: told once.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drift: BTreeSet<DriftGroup>,
    /// Containers that are replaced because they are not made as their spec says, with the cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<ContainerId, String>,
    /// Fields for which containers were replaced so, and when the newest of these containers was made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced_for: BTreeMap<String, EngineStamp>,
}

/// What was in effect in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub live: LiveSpec,
    /// Ids of its networks by name: one that was made anew has another.
    pub networks: BTreeMap<String, String>,
}

/// Somebody and evenkeel, setting the same fields to different values in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fight {
    /// Times it was set right.
    pub count: u32,
    pub last: Mono,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRevision {
    pub id: RevisionId,
    /// 1, 2, 3, ... per service.
    pub number: u64,
    pub hash: SpecHash,
    #[serde(with = "shared")]
    pub spec: Arc<ServiceSpec>,
    pub image: ImageId,
    pub digest: Option<String>,
    /// evenkeel pulled its reference, so it may remove it again when the revision is dropped.
    pub pulled: bool,
    pub verdict: RevisionVerdict,
    /// Why it came: `shop/web.toml:3 changed image`.
    pub cause: String,
    pub since: Timestamp,
    pub good_since: Option<Timestamp>,
    /// Last lines of the failed container's log, capped; shown by `why`.
    pub evidence: Option<String>,
}

/// As the value itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        T::serialize(value, to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionVerdict {
    /// Not proved yet.
    Candidate,
    Good,
    /// Failed; not tried again until the desired state of the service changes or `retry`.
    Rejected {
        reason: String,
        at: Timestamp,
    },
}

/// The operator's word that stands above the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Stay on this revision; `None`: stay on whatever is good.
    pub revision: Option<RevisionId>,
    /// A rollback by hand ends when the desired state of the service is no longer this; a plain hold does not.
    pub until_wish_changes: Option<String>,
    /// Wall-clock end of `hold --for`.
    pub expires: Option<Timestamp>,
    pub reason: String,
    pub since: Timestamp,
}

/// A revision that is wanted and not approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    pub revision: RevisionId,
    pub since: Timestamp,
    /// Nobody's word is needed: it waits for its window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub window: bool,
}

/// A call that may have happened, may not have, or may yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    pub container: ContainerId,
    pub op: UnsettledOp,
    pub session: EngineSession,
    /// `StartedAt` before the call: a later one proves that it happened, unless it was repeated.
    pub started_at: Option<EngineStamp>,
    /// Another call of the same kind was open beside it: what the engine shows may be the other one's doing, so only the answer,
    /// the container's removal, or the end of the engine process settles it (RELIABILITY.md 5.5).
    #[serde(default)]
    pub repeated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnsettledOp {
    Start,
    /// Giving a container its restart policy: executed late, it would re-arm a container that must stay down.
    Promote,
}

/// After the commit: failures still count against the revision for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub revision: RevisionId,
    /// The revision to go back to.
    pub previous: Option<RevisionId>,
}

/// What a daemon knows only while it lives. Losing it is safe: windows and backoff start anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memo {
    pub gates: BTreeMap<ContainerId, GateWindow>,
    /// Starts tried per container.
    pub starts: BTreeMap<ContainerId, Attempts>,
    pub pull: Option<Attempts>,
    /// The last pull that succeeded for the wanted reference.
    pub pulled: Option<(String, Mono)>,
    /// Any other step that failed; cleared by the next that succeeds.
    pub trouble: Option<Attempts>,
    /// Tidying up that failed (a rename, an untag): retried on its own, nothing waits for it.
    pub housekeeping: Option<Attempts>,
    pub watch_since: Option<Mono>,
    /// Restarts by the engine when the watch began, by container.
    pub watch_base: BTreeMap<ContainerId, u32>,
    /// Starts by us during the watch: they count like the engine's restarts.
    pub watch_starts: u32,
    pub waiting_since: Option<Mono>,
    /// A container that the engine could not start was made anew, and none has been started since.
    pub remade: bool,
    /// The last slot that passed its gate in this rollout, for `delay`.
    pub slot_passed_at: Option<Mono>,
    /// Since when hooks that run have been seen to run.
    pub hooks: BTreeMap<HookKey, Mono>,
    /// When this rollout's first act was, for durations.
    pub rollout_since: Option<Mono>,
    /// What others change back again and again.
    pub fights: BTreeMap<DriftGroup, Fight>,
}

/// One uninterrupted look at one start of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateWindow {
    pub since: Mono,
    pub session: EngineSession,
    pub started_at: Option<EngineStamp>,
    pub restart_count: u32,
    pub passed: bool,
    /// When it passed.
    pub passed_at: Option<Mono>,
    /// A look found it ended: should it run again, by a start that was asked for long ago, that is another window.
    pub ended: bool,
}

/// Tries of one thing that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    pub count: u32,
    pub last: Mono,
    pub kind: super::plan::Failure,
    pub text: String,
}

/// One line of a service's history. The store numbers and keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub revision: Option<RevisionId>,
    pub number: Option<u64>,
    pub event: HistoryEvent,
    pub image: String,
    pub reason: String,
    /// The commit that brought the revision, when it came from a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryEvent {
    Started,
    Committed,
    Rejected,
    RolledBack,
    Held,
    Released,
    Retried,
    /// A revision waits for somebody's word.
    Awaiting,
    Approved,
    HookRan,
    HookFailed,
    Updated,
    Repaired,
    Removed,
    /// Taken over as it ran.
    Adopted,
    /// Somebody outside changed it, and it is left so.
    Drifted,
    /// Given back: it runs on, and evenkeel has nothing to do with it any more.
    Disowned,
}
