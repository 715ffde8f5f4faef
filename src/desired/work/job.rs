//! Work that runs and ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::image::ImageSource;
use super::schedule::Schedule;
use crate::desired::ident::ServiceName;
use crate::desired::secret::Sensitive;
use crate::desired::spec::{ServiceSpec, SourcePlace};

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    pub runs: Runs,
    pub trigger: Trigger,
    /// IANA name; `None`: the host's.
    pub timezone: Option<String>,
    pub overlap: Overlap,
    pub catch_up: bool,
    pub start_within_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub retries: u32,
    pub retry_delay_ms: u64,
    pub jitter_ms: u64,
    pub keep: KeepRuns,
    pub paused: bool,
    pub source: SourcePlace,
}

impl JobSpec {
    /// With `on_change` a job runs once for each.
    #[must_use]
    pub fn definition(&self) -> String {
        super::definition("job", &Self { source: SourcePlace::default(), paused: false, ..self.clone() })
    }
}

/// What a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// A container of its own, made like that of a service.
    Container { spec: Box<ServiceSpec>, image: ImageSource },
    /// A command in a running container of a service.
    Exec(Exec),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub service: ServiceName,
    pub command: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub environment: BTreeMap<String, Option<Sensitive>>,
    pub privileged: bool,
}

/// What makes a job run beside a call by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    Hand,
    Schedule(Schedule),
    After(BTreeMap<ServiceName, Ending>),
    Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Succeeded,
    Failed,
    Finished,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    #[default]
    Skip,
    Queue,
    Replace,
    Allow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepRuns {
    pub success: u32,
    pub failure: u32,
}

impl Default for KeepRuns {
    fn default() -> Self {
        Self { success: 3, failure: 5 }
    }
}
