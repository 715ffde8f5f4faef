//! What is remembered of a hook.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::desired::hooks::HookPoint;
use crate::state::observed::{ContainerId, ExecId};
use crate::state::record::{Record, RevisionId};
use crate::state::time::Timestamp;

/// Which hook: of which revision, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookKey {
    pub point: HookPoint,
    pub index: u32,
    pub revision: RevisionId,
    /// The container it runs in; `None`: one of its own.
    pub container: Option<ContainerId>,
}

impl HookKey {
    /// `pre-start-1`: in the label and the name of a container of its own.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-{}", self.point.as_str().replace('_', "-"), self.index.saturating_add(1))
    }
}

impl fmt::Display for HookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.point, self.index.saturating_add(1))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    pub key: HookKey,
    pub began: Timestamp,
    /// The command, once the engine has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecId>,
    /// `None`: not known yet.
    pub end: Option<HookEnd>,
    /// The last lines of one that failed. Programs print secrets: for the local socket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEnd {
    Code(i64),
    TimedOut,
    /// It could not be run, for this reason.
    Broken(String),
}

impl HookRun {
    #[must_use]
    pub fn failed(&self) -> bool {
        !matches!(self.end, None | Some(HookEnd::Code(0)))
    }

    /// `pre_start 1 ended with 1`.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.end {
            None => format!("{} runs", self.key),
            Some(HookEnd::Code(code)) => format!("{} ended with {code}", self.key),
            Some(HookEnd::TimedOut) => format!("{} did not end in time", self.key),
            Some(HookEnd::Broken(why)) => format!("{} could not be run: {why}", self.key),
        }
    }
}

/// Hooks whose end is known now and was not before.
pub fn ended<'a>(before: &'a Record, after: &'a Record) -> impl Iterator<Item = &'a HookRun> {
    let open = |run: &&HookRun| {
        let known = before.hooks.iter().find(|earlier| earlier.key == run.key && earlier.began == run.began);
        run.end.is_some() && known.is_none_or(|earlier| earlier.end.is_none())
    };
    after.hooks.iter().filter(open)
}
