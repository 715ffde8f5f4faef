//! What the engine changes while a container runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::is_default;

/// What the engine changes without a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSpec {
    pub restart: RestartPolicy,
    pub resources: Resources,
    /// Networks joined, by the engine's name of the network. Empty when `network_mode` is not `Networks`.
    pub networks: BTreeMap<String, Endpoint>,
    /// `container_name`: replaces Compose's `<project>-<service>-<n>`.
    pub container_name: Option<String>,
    /// Files whose content is changed under a running container, which is then sent a signal; by their path on the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, LiveFile>,
}

/// A secret or config with `on_change = "<signal>"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LiveFile {
    /// The name of its content.
    pub content: String,
    /// `SIGHUP`.
    pub signal: String,
    /// For people: `secret tls`.
    pub shown: String,
}

/// Limits, all of which `update` changes in place. `None` is "no limit", which the engine reports as 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes.
    pub memory_reservation: Option<u64>,
    /// Bytes; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// Billionths of a core.
    pub nano_cpus: Option<u64>,
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds.
    pub cpu_quota: Option<i64>,
    pub cpuset: Option<String>,
    pub pids: Option<i64>,
    /// Microseconds; only where the kernel has real-time groups (cgroup v1).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_period: Option<u64>,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_runtime: Option<u64>,
}

/// One network a service joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Aliases beside the service's own name, which every endpoint has (the shell adds it).
    pub aliases: BTreeSet<String>,
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
    /// `<project>` key of the network (`default` when none was named), to find its [`NetworkSpec`](super::NetworkSpec).
    pub key: String,
    /// Higher first: the network joined first gives the default gateway (Compose's `priority`).
    pub priority: i32,
    /// API 1.44.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mac_address: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub link_local_ips: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// The network with the highest one gives the default gateway. API 1.48.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gw_priority: i64,
    /// `name:alias`: another name that only this container has for a name of the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub links: BTreeSet<String>,
}

/// Compose's restart policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    UnlessStopped,
    OnFailure {
        /// 0: without end.
        max_retries: u32,
    },
}
