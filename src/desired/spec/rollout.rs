//! How an update goes, beyond Compose's words.

use serde::{Deserialize, Serialize};

/// `rollout`. Order and parallelism, which a strategy implies, are in [`super::UpdateConfig`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    pub strategy: Strategy,
    pub switch: Switch,
    /// Milliseconds an old container goes on beside the new one that took over.
    pub drain_ms: u64,
    /// Milliseconds the stopped old containers stay, when that is longer than the watch.
    pub keep_old_ms: u64,
}

impl Rollout {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Slot by slot, as `update_config` says.
    #[default]
    Rolling,
    /// Every old container is down before a new one starts.
    Recreate,
    /// Every new container has proved itself before an old one leaves.
    BlueGreen,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    #[default]
    Health,
    /// The service's name moves. Not run by this version: such a service is left as it is.
    Alias,
}
