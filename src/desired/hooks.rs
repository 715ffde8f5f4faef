//! Hooks: what is run around the life of a container, and around an update.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::probe::Exec;

/// One hook: a command, in a container that runs or, where `image` or the point of time asks for it, in one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub exec: Exec,
    /// Run in a container of its own from this image, which must be on the host or can be pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Milliseconds; `None`: as long as the point of time gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
}

/// What a hook that failed leads to, where it can lead to something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    #[default]
    Abort,
    Continue,
}

impl OnError {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When hooks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Once a revision, before any container of it is made; in a container of its own.
    PreStart,
    /// In a container that evenkeel has just started.
    PostStart,
    /// In a container that evenkeel is about to stop.
    PreStop,
    /// Before the first act of an update; in what serves.
    BeforeUpdate,
    /// When the new one has proved itself and before the old one goes; in the new one.
    BeforeSwitch,
    /// In the new one, when it counts.
    AfterUpdate,
    /// In the previous one, when it serves again.
    AfterRollback,
    /// When an update has failed; in what serves.
    OnFailure,
}

impl HookPoint {
    /// As in the files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreStart => "pre_start",
            Self::PostStart => "post_start",
            Self::PreStop => "pre_stop",
            Self::BeforeUpdate => "before_update",
            Self::BeforeSwitch => "before_switch",
            Self::AfterUpdate => "after_update",
            Self::AfterRollback => "after_rollback",
            Self::OnFailure => "on_failure",
        }
    }

    /// The points of `[services.X.hooks]`.
    pub const OF_UPDATES: [Self; 5] =
        [Self::BeforeUpdate, Self::BeforeSwitch, Self::AfterUpdate, Self::AfterRollback, Self::OnFailure];
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Compose's hooks. They belong to the definition, as in Compose: a change of one makes new containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_start: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
}

impl Lifecycle {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pre_start.is_empty() && self.post_start.is_empty() && self.pre_stop.is_empty()
    }
}

/// `[services.X.hooks]`: policy, so a change touches no container.
pub type Hooks = BTreeMap<HookPoint, Vec<Hook>>;
