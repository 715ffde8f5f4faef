//! The spec of a service: normalised and valid by construction.
//!
//! A [`ServiceSpec`] has three parts, by what a change of it costs:
//! - [`ContainerSpec`]: baked into a container when it is created. Its hash is the [`SpecHash`](super::hash::SpecHash); a change replaces.
//! - [`LiveSpec`]: the engine changes it while the container runs (`POST /containers/{id}/update`, rename, network
//!   connect). No hash: it is compared value by value with what the engine reports.
//! - [`Policy`]: read by evenkeel only; a change touches no container (Compose's own hash leaves these out too).
//!
//! Everything is in canonical form (defaults filled in where Compose fixes them, maps sorted, durations in
//! nanoseconds, sizes in bytes, host paths absolute), so that two spellings of one wish are one spec.

mod drift;
mod extra;
mod live;
mod mounts;
mod objects;
mod parts;
mod policy;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hooks::Lifecycle;
use super::secret::Sensitive;
use super::snapshot::Commit;

pub use drift::*;
pub use extra::*;
pub use live::*;
pub use mounts::*;
pub use objects::*;
pub use parts::*;
pub use policy::*;
pub use rollout::*;

/// What one service should be on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub container: ContainerSpec,
    pub live: LiveSpec,
    pub policy: Policy,
    /// Where the service was defined, for people: `shop/web.toml:3`. Not hashed.
    pub source: SourcePlace,
}

/// Where something was defined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlace {
    /// Path below the desired-state root.
    pub file: String,
    /// 1-based line of the service's header.
    pub line: u32,
    /// Every file that had a part in this service (override files, `.env`, `env_file`s); a fault in one freezes it.
    #[serde(default)]
    pub files: BTreeSet<String>,
    /// The commit that brought the definition as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

impl SourcePlace {
    /// For a label: `shop/web.toml:3`, and with a commit `shop/web.toml:3@<its whole id> Ada: Use 1.28`.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.commit {
            Some(Commit { id, author, subject, .. }) => {
                format!("{}:{}@{id} {author}: {subject}", self.file, self.line)
            }
            None => format!("{}:{}", self.file, self.line),
        }
    }

    /// For people: `shop/web.toml:3`, and with a commit `shop/web.toml:3 in 1a2b3c4d by Ada: Use 1.28`.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.commit {
            Some(commit) => format!("{}:{} in {commit}", self.file, self.line),
            None => format!("{}:{}", self.file, self.line),
        }
    }
}

/// What the engine bakes into a container at creation. A change of any field means a new container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The reference as written, with the tag filled in (`nginx` becomes `nginx:latest`).
    pub image: String,
    /// `?platform=` on pull and create: `linux/arm64`.
    pub platform: Option<String>,
    /// `None`: the image's CMD. `Some([])`: no CMD at all.
    pub command: Option<Vec<String>>,
    /// `None`: the image's ENTRYPOINT. `Some([])`: none.
    pub entrypoint: Option<Vec<String>>,
    /// Values may be secrets: they are never printed, only compared. A `None` value unsets the image's variable.
    pub environment: BTreeMap<String, Option<Sensitive>>,
    pub labels: BTreeMap<String, String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub init: Option<bool>,
    pub stop_signal: Option<String>,
    /// Whole seconds, rounded up (the engine's unit). `None`: the engine's 10 s.
    pub stop_grace_period: Option<u32>,
    pub healthcheck: Healthcheck,
    /// Published ports, ranges expanded.
    pub ports: BTreeSet<PortBinding>,
    /// `80/tcp`; published ports are not repeated here.
    pub expose: BTreeSet<ContainerPort>,
    /// Ordered by target: at most one mount per target.
    pub mounts: BTreeMap<String, Mount>,
    /// `tmpfs` mounts by target, with their options (`size=64m,mode=1777`), empty for none.
    pub tmpfs: BTreeMap<String, String>,
    pub network_mode: NetworkMode,
    pub logging: Option<Logging>,
    pub read_only: bool,
    pub privileged: bool,
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    pub security_opt: BTreeSet<String>,
    /// `host:address` lines in the engine's form, in order.
    pub extra_hosts: Vec<String>,
    pub dns: Vec<String>,
    pub devices: Vec<Device>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    /// Bytes.
    pub shm_size: Option<u64>,
    /// Compose's hooks.
    #[serde(default, skip_serializing_if = "Lifecycle::is_empty")]
    pub lifecycle: Lifecycle,
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra: Extra,
}

/// For fields that came later: they are left out while they say nothing, so that what was written before them reads the same.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
