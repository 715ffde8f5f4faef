//! What an engine reports of how a container was made: the answer to a create request, as far as one can ask for it.
//!
//! An engine gives back no echo of what it was asked for: it merges the image's defaults in, fills in its own, and spells some things in
//! another way. What of it differs from a spec is told by `seen`.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::secret::Sensitive;
use crate::desired::spec::{ContainerPort, Device, Extra, HealthcheckSpec, Mount, PortBinding, Ulimit};

/// A container's fields that only a new container can change, the image's defaults among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baked {
    /// The reference it was made from; an id where that was all that was said.
    pub image: String,
    pub command: Vec<String>,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, Sensitive>,
    /// Every label, also those of evenkeel and Compose.
    pub labels: BTreeMap<String, String>,
    pub user: String,
    pub working_dir: String,
    pub hostname: String,
    pub init: Option<bool>,
    pub stop_signal: String,
    pub stop_timeout: Option<u32>,
    pub healthcheck: Option<HealthcheckSpec>,
    pub ports: BTreeSet<PortBinding>,
    pub exposed: BTreeSet<ContainerPort>,
    /// Anonymous volumes by the name that the engine gave them.
    pub mounts: BTreeMap<String, Mount>,
    pub tmpfs: BTreeMap<String, String>,
    /// `default`, `host`, `none`, `container:<id>`, or a network's name or id.
    pub network_mode: String,
    pub log_driver: String,
    pub log_options: BTreeMap<String, String>,
    pub read_only: bool,
    pub privileged: bool,
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    pub security_opt: BTreeSet<String>,
    pub extra_hosts: Vec<String>,
    pub dns: Vec<String>,
    pub devices: Vec<Device>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    /// Bytes.
    pub shm_size: u64,
    /// The rarer fields; what the engine fills in by itself stands there too.
    pub extra: Extra,
    /// Nothing of `/proc` and `/sys` is masked; `None`: it does not say.
    pub unmasked: Option<bool>,
    /// `--rm`: the engine removes it when it ends.
    pub auto_remove: bool,
    /// Fields of the engine's that were set and that are read nowhere above, by the engine's name.
    pub others: BTreeSet<String>,
}

/// What an image gives to a container that does not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    pub command: Vec<String>,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, Sensitive>,
    pub labels: BTreeMap<String, String>,
    pub user: String,
    pub working_dir: String,
    pub stop_signal: String,
    pub healthcheck: Option<HealthcheckSpec>,
    pub exposed: BTreeSet<ContainerPort>,
}
