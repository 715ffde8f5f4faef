//! The decision: one service, everything known about it, what to do next.
//!
//! There is no workflow to resume: a crash, an edit, an engine event or a timeout all mean "run `decide` once more".

use super::condition::Condition;
use super::observed::ObservedService;
use super::plan::{Next, Planned};
use super::record::{HistoryEntry, Memo, Record};
use super::time::Now;
use crate::desired::Wanted;
use crate::desired::ident::ServiceId;

/// Everything a decision may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub id: &'a ServiceId,
    /// The instance id: what our owner label says.
    pub owner: &'a str,
    /// `None`: no file wants it.
    pub desired: Option<&'a Wanted>,
    /// May an unwanted service go? Decided for the whole host (`guard`), because one service cannot see a mass removal.
    pub removal: Removal<'a>,
    pub observed: &'a ObservedService,
    pub record: &'a Record,
    pub memo: &'a Memo,
    /// Image references that any desired service of the host names: never untagged.
    pub refs_in_use: &'a std::collections::BTreeSet<String>,
    pub now: Now,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal<'a> {
    Allowed,
    /// Why not yet, for people.
    Held(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that must be free where the engine keeps its files before anything is stopped for a replacement.
    pub disk_floor: u64,
    /// Milliseconds a committed revision is watched for late failures.
    pub watch_ms: u64,
    /// Restarts within the watch that reject the revision.
    pub watch_restarts: u32,
    /// Milliseconds a dependency is waited for before the service is called stalled (it goes on waiting).
    pub dependency_ms: u64,
    /// Revisions kept, the good one always among them.
    pub keep_revisions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            disk_floor: 1 << 30,
            watch_ms: 15 * 60_000,
            watch_restarts: 5,
            dependency_ms: 180_000,
            keep_revisions: 5,
        }
    }
}

/// What to do, and what to remember before doing it.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Durable before the first step of the plan is taken.
    pub record: Record,
    pub memo: Memo,
    /// In order. The first that fails ends the plan.
    pub plan: Vec<Planned>,
    /// What follows when the plan is done (or was empty).
    pub next: Next,
    pub condition: Condition,
    pub history: Vec<HistoryEntry>,
}
