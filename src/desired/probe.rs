//! Probes: how evenkeel itself finds out that a container works, where nothing inside of it does. Compose has none.
//!
//! A probe touches no container, so it is policy: a change of it is in force at once and replaces nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::Sensitive;

/// `[services.X.probe]`. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub check: ProbeCheck,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// Failures before the first success do not count for this long.
    pub start_period_ms: u64,
    /// Failures in a row that make it failing.
    pub threshold: u32,
    /// Successes in a row that make it well.
    pub success: u32,
    pub on_failure: OnProbeFailure,
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeCheck {
    /// A GET to the container's address. Redirects are answers, and are not followed.
    Http {
        port: u16,
        path: String,
        /// Values may be secrets.
        headers: BTreeMap<String, Sensitive>,
        /// First and last status that is a success.
        status: (u16, u16),
    },
    /// A connection to the container's address, closed as soon as it stands.
    Tcp { port: u16 },
    /// A command in the container that ends with 0.
    Exec(Exec),
}

impl ProbeCheck {
    /// Short and stable: a label of metrics, and for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Exec(_) => "exec",
        }
    }
}

/// What a failing probe of a service that has proved itself leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnProbeFailure {
    /// It is told.
    #[default]
    Report,
    /// The container is stopped and started, with growing pauses.
    Restart,
}

/// A command in a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Beside the container's own. Values may be secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<Sensitive>>,
}
