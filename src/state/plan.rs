//! Steps: one engine call each, each with its cause. A plan is what may be done before anything must be looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::hooks::run::HookKey;
use super::observed::{ContainerId, ExecId, ImageFacts, ImageId, OwnLabels};
use super::record::RevisionId;
use crate::desired::ident::ServiceName;
use crate::desired::probe::Exec;
use crate::desired::spec::{
    ContainerSpec, Endpoint, LiveFile, LiveSpec, NetworkSpec, Resources, RestartPolicy, VolumeSpec,
};

/// One call to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Pull {
        image: String,
        platform: Option<String>,
    },
    /// Tag the image of a revision so that it stays.
    Keep {
        image: ImageId,
        repository: String,
        tag: String,
    },
    /// Remove tags of a dropped revision (`repository:tag`); the image goes when nothing else names or uses it.
    Untag {
        reference: String,
    },
    CreateNetwork(Box<NetworkSpec>),
    CreateVolume(Box<VolumeSpec>),
    Create(Box<Creation>),
    Start {
        id: ContainerId,
    },
    /// `grace`: seconds until the engine kills.
    Stop {
        id: ContainerId,
        grace: Option<u32>,
    },
    /// Give (promote) or take (demote) a restart policy.
    SetRestart {
        id: ContainerId,
        policy: RestartPolicy,
    },
    SetResources {
        id: ContainerId,
        resources: Resources,
    },
    /// Put new content into files that the container has open, and tell it. Without a signal: before it is started.
    Deliver {
        id: ContainerId,
        files: BTreeMap<String, LiveFile>,
        signal: Option<String>,
    },
    Rename {
        id: ContainerId,
        name: String,
    },
    /// By the network's id; the name is for people.
    Connect {
        id: ContainerId,
        network: String,
        network_id: String,
        endpoint: Endpoint,
        aliases: BTreeSet<String>,
    },
    Disconnect {
        id: ContainerId,
        network: String,
        network_id: String,
    },
    /// Make a command of a hook in a container; nothing runs yet.
    MakeExec {
        key: HookKey,
        id: ContainerId,
        exec: Box<Exec>,
    },
    /// Start a command that was made, and follow it to its end.
    StartExec {
        key: HookKey,
        id: ContainerId,
        exec: ExecId,
        limit_ms: u64,
    },
    /// Save the last log lines of a container that is about to go, as evidence against its revision.
    SaveLogs {
        id: ContainerId,
        revision: RevisionId,
    },
    /// Never with its volumes, and forced only when the engine calls it dead.
    Remove {
        id: ContainerId,
        dead: bool,
    },
    RemoveNetwork {
        id: String,
        name: String,
    },
}

/// Everything a create request needs beyond the engine's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    pub name: String,
    pub spec: ContainerSpec,
    /// Resources and networks; the restart policy is `no` until the gate has passed.
    pub live: LiveSpec,
    pub labels: OwnLabels,
    pub image: ImageFacts,
    /// Network ids by name: names are not unique on old engines.
    pub network_ids: BTreeMap<String, String>,
    /// `container:<id>` for `network_mode = "service:x"`.
    pub parent: Option<ContainerId>,
    /// Containers that the request names beside that one, by service.
    pub tied: BTreeMap<ServiceName, ContainerId>,
    /// Anonymous volumes of the predecessor by target.
    pub inherited: BTreeMap<String, String>,
}

/// A step with why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub step: Step,
    /// The slot it serves; `None`: the whole service.
    pub slot: Option<u32>,
    pub cause: Cause,
    /// Tidying up: when it fails, nothing that serves waits for its backoff.
    pub housekeeping: bool,
}

/// Why a step is planned, in words that fit behind "because".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause(pub String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is due: wait for a trigger.
    AwaitChange,
    At(super::time::Mono),
    /// The plan was carried out (or there is more to decide): look at once.
    Again,
}

/// How an engine call ended, as far as a decision may depend on it. Never told from message text outside `engine/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The object is not there.
    NotFound,
    /// A name is taken, or the state does not allow it.
    Conflict,
    /// The same is being done already.
    InProgress,
    /// The engine refuses the request for good: a bad command, a bad mount, a missing file.
    Invalid,
    /// The port is held by another container or process.
    PortBusy,
    NoSpace,
    Unauthorized,
    /// The registry could not be reached or answered with an error of its own.
    Registry,
    /// The request was never taken: the engine is away.
    Unreachable,
    /// No answer: it may have happened, or may yet.
    Unknown,
    /// Everything else the engine reports about itself.
    Internal,
}

impl Failure {
    /// Short and stable, for reasons of conditions and labels of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::InProgress => "InProgress",
            Self::Invalid => "Invalid",
            Self::PortBusy => "PortBusy",
            Self::NoSpace => "NoSpace",
            Self::Unauthorized => "Unauthorized",
            Self::Registry => "Registry",
            Self::Unreachable => "Unreachable",
            Self::Unknown => "Unknown",
            Self::Internal => "Internal",
        }
    }

    /// Trying again without a change of the spec cannot help.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::Invalid)
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Created(ContainerId),
    /// The last log lines that `SaveLogs` read.
    Logs(String),
    /// The command that `MakeExec` made.
    Made(ExecId),
    /// How the command ended that `StartExec` started, and what it printed last; `None`: it goes on.
    Ended {
        code: Option<i64>,
        output: String,
    },
    Failed {
        kind: Failure,
        text: String,
    },
    /// An earlier step of the plan failed, so this one was not sent.
    NotTried,
}

/// What must be observed for a service beside its own containers; a pure function of what is wanted and remembered
/// (`state::lookups`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Reference of the image to resolve locally.
    pub image: Option<String>,
    /// Ids of images of kept revisions.
    pub kept_images: BTreeSet<ImageId>,
    /// Repository of our keep tags.
    pub keep_repository: String,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    /// Commands of hooks whose end is not known.
    pub execs: BTreeSet<ExecId>,
    /// References of images that hooks have of their own.
    pub hook_images: BTreeSet<String>,
    /// Container names that must be free or ours.
    pub names: BTreeSet<String>,
    /// The service whose network namespace is shared.
    pub parent: Option<crate::desired::ident::ServiceId>,
    /// Other services whose containers are named in the request.
    pub tied: BTreeSet<ServiceName>,
    /// Images that are mounted.
    pub mounted_images: BTreeSet<String>,
    pub dependencies: BTreeSet<crate::desired::ident::ServiceName>,
}
