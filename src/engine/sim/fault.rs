//! Faults as data: what goes wrong with the next calls of an operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::container::Container;
use super::copy_on_write::CopyOnWrite;
use crate::state::observed::ContainerId;
use crate::state::plan::Failure;

/// Every call of the engine, for scripts and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Facts,
    List,
    Inspect,
    InspectImage,
    RepositoryTags,
    Networks,
    Volume,
    Events,
    Logs,
    InspectExec,
    Pull,
    Tag,
    Untag,
    Create,
    Start,
    Stop,
    SetRestart,
    SetResources,
    Deliver,
    Rename,
    Remove,
    Connect,
    Disconnect,
    CreateNetwork,
    RemoveNetwork,
    CreateVolume,
    MakeExec,
    StartExec,
}

impl Op {
    /// The engine's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::List => "list",
            Self::Inspect => "inspect",
            Self::InspectImage => "inspect image",
            Self::RepositoryTags => "list images",
            Self::Networks => "list networks",
            Self::Volume => "inspect volume",
            Self::Events => "events",
            Self::Logs => "logs",
            Self::Pull => "pull",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::SetRestart | Self::SetResources => "update",
            Self::Deliver => "deliver",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::CreateNetwork => "create network",
            Self::RemoveNetwork => "remove network",
            Self::CreateVolume => "create volume",
            Self::InspectExec => "inspect command",
            Self::MakeExec => "make command",
            Self::StartExec => "start command",
        }
    }

    /// Changes the host, so its answer can be unknown.
    #[must_use]
    pub fn writes(self) -> bool {
        self >= Self::Pull
    }
}

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: this call is let through.
    Pass,
    /// The request is never executed and no answer comes.
    Lost,
    /// Executed, but no answer comes.
    DoneButUnknown,
    /// No answer comes; executed this many milliseconds later, unless the engine dies before (RELIABILITY.md fact 1).
    DoneLater(u64),
    /// Not executed, and the engine says so.
    Error(Failure),
    /// Executed, after this many milliseconds.
    Slow(u64),
    /// A read that shows what was true when the fault was scripted (RELIABILITY.md fact 5).
    StaleRead,
    /// The engine dies; it is down until [`super::Host::restart`].
    EngineDies(Moment),
}

/// When within a call the engine dies. The caller never learns: its answer is unknown each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything was done.
    Before,
    /// In the middle, with what RELIABILITY.md E6 found afterwards: a leaked port in `start`, a dead container in `remove`.
    Midway,
    /// When all was done but the answer.
    After,
}

/// A scripted fault with what it needs to be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scripted {
    pub fault: Fault,
    /// With `StaleRead`: the containers as they were.
    pub view: Option<Arc<BTreeMap<ContainerId, CopyOnWrite<Container>>>>,
}
