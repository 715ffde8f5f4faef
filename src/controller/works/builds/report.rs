//! What is said of builds, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::time::Timestamp;

/// How a build stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// The newest image is made of what there is now.
    Current,
    Building,
    /// Something is needed first.
    Waiting,
    /// The last try failed; the newest good image stands.
    Failed,
    Paused,
}

impl BuildState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Current => "current",
            Self::Building => "building",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Paused => "paused",
        }
    }
}

/// One build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildReport {
    /// `shop/builds.app`.
    pub name: String,
    pub state: BuildState,
    /// Why it is so, for people.
    pub why: String,
    /// The newest good image.
    pub image: Option<ImageReport>,
    /// Older good ones that are kept, newest first.
    pub kept: Vec<ImageReport>,
    /// In the making.
    pub building: Option<Building>,
    pub failed: Option<FailedReport>,
    /// What it was asked for last by hand, and what became of it.
    pub answer: Option<Answered>,
    /// Builds that make its base images.
    pub stands_on: Vec<String>,
    /// Base images by their name in the Dockerfile, and what they are now.
    pub bases: BTreeMap<String, String>,
    /// Ids of builds whose log is kept, newest first.
    pub logs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub tag: String,
    /// What the registry calls it, when it was pushed.
    pub digest: Option<String>,
    pub commit: Option<String>,
    pub at: Timestamp,
    pub took_ms: u64,
    pub causes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Building {
    pub id: String,
    pub since: Timestamp,
    /// `build`, `push`.
    pub stage: String,
    pub causes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedReport {
    pub id: String,
    pub at: Timestamp,
    pub why: String,
    /// It is tried again without a change.
    pub transient: bool,
    pub tries: u32,
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub number: u64,
    /// `None`: not yet.
    pub outcome: Option<OutcomeReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeReport {
    /// `built`, `unchanged`, `current`, `failed`, `refused`.
    pub result: String,
    pub id: Option<String>,
    pub image: Option<String>,
    pub why: Option<String>,
}

/// What to build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildRequest {
    /// Empty: look at all, and build what is due.
    pub names: Vec<String>,
    /// Another branch, for images that nobody runs by itself.
    pub reference: Option<String>,
    pub no_push: bool,
}

/// It was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildAccepted {
    pub number: u64,
    /// Whole names.
    pub names: Vec<String>,
}

/// A part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    pub text: String,
    /// Where the next part begins. Bytes.
    pub next: u64,
}
