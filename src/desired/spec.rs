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

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ident::{ProjectName, ServiceName};
use super::secret::Sensitive;
use super::snapshot::Commit;

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
}

/// What the engine changes without a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSpec {
    pub restart: RestartPolicy,
    pub resources: Resources,
    /// Networks joined, by the engine's name of the network. Empty when `network_mode` is not `Networks`.
    pub networks: BTreeMap<String, Endpoint>,
    /// `container_name`: replaces Compose's `<project>-<service>-<n>`.
    pub container_name: Option<String>,
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
}

/// One network a service joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Aliases beside the service's own name, which every endpoint has (the shell adds it).
    pub aliases: BTreeSet<String>,
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
    /// `<project>` key of the network (`default` when none was named), to find its [`NetworkSpec`].
    pub key: String,
    /// Higher first: the network joined first gives the default gateway (Compose's `priority`).
    pub priority: i32,
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

/// What evenkeel itself acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub replicas: u32,
    pub pull: PullPolicy,
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    pub update: UpdateConfig,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    #[default]
    Missing,
    Always,
    Never,
    /// Compose's `daily`, `weekly`, `every_<duration>`: seconds.
    Every(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub condition: DependencyCondition,
    /// Restart this service after evenkeel replaced or restarted the dependency.
    pub restart: bool,
    /// `false`: a missing or failed dependency is no obstacle.
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// `deploy.update_config` with DESIGN.md's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateConfig {
    pub order: UpdateOrder,
    /// Slots replaced at a time; 0 is all of them.
    pub parallelism: u32,
    /// Milliseconds between batches.
    pub delay_ms: u64,
    pub failure_action: FailureAction,
    /// Milliseconds a container without a healthcheck must run (one with a check ends earlier, when healthy).
    pub monitor_ms: u64,
    /// Milliseconds until a container with a healthcheck must be healthy.
    pub healthy_within_ms: u64,
    /// Failed slots tolerated, in thousandths of all slots (Compose's `max_failure_ratio`).
    pub max_failure_permille: u32,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self {
            order: UpdateOrder::StopFirst,
            parallelism: 1,
            delay_ms: 0,
            failure_action: FailureAction::Rollback,
            monitor_ms: 10_000,
            healthy_within_ms: 180_000,
            max_failure_permille: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    StopFirst,
    StartFirst,
    /// start-first where an overlap is provably safe, else stop-first.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    Rollback,
    Pause,
    Continue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healthcheck {
    /// The image's own check, if it has one.
    Inherit,
    /// `disable = true` or `test = ["NONE"]`.
    Disabled,
    /// Fields left `None` come from the image's check, else from the engine's defaults.
    Set(HealthcheckSpec),
}

/// Durations in nanoseconds, the engine's unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthcheckSpec {
    /// `["CMD", ...]` or `["CMD-SHELL", "..."]`; empty: the image's test with the timings below.
    pub test: Vec<String>,
    pub interval: Option<u64>,
    pub timeout: Option<u64>,
    pub start_period: Option<u64>,
    /// API 1.44.
    pub start_interval: Option<u64>,
    pub retries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    pub port: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    pub container: ContainerPort,
    /// `None`: every address.
    pub host_ip: Option<std::net::IpAddr>,
    /// First and last host port the engine may take; `None`: any free one.
    pub host_port: Option<(u16, u16)>,
}

impl PortBinding {
    /// The one fixed host port, if this binding has exactly one: what two containers cannot hold at a time.
    #[must_use]
    pub fn fixed(&self) -> Option<u16> {
        self.host_port.filter(|(first, last)| first == last).map(|(first, _)| first)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: MountSource,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    Bind {
        /// Absolute path on the host.
        path: String,
        /// Create the directory on the host if it is missing (Compose's short form does; the long form when asked).
        create: bool,
        /// `rprivate`, `rshared`, ...
        propagation: Option<String>,
        /// SELinux relabelling: `z` or `Z`.
        selinux: Option<char>,
        /// Digest of what the repository says is in there; a change of it replaces, because a container does not see files
        /// that take the place of those it has open. `None`: not from a repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
    },
    Volume {
        /// The engine's name of the volume; `None`: anonymous, handed over to the successor.
        name: Option<String>,
        /// The key in the project's `[volumes]`; `None` for an anonymous one.
        key: Option<String>,
        no_copy: bool,
        /// API 1.45.
        subpath: Option<String>,
    },
    /// Long-form tmpfs mounts only; short ones are in `ContainerSpec::tmpfs`.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The networks in [`LiveSpec::networks`].
    Networks,
    /// The engine's default bridge.
    Bridge,
    Host,
    None,
    /// The network namespace of another service of the project: recreated whenever that one's container is.
    Service(ServiceName),
    /// The network namespace of a container by name, not ours to follow.
    Container(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host: String,
    pub container: String,
    pub permissions: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

/// A network of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    pub project: ProjectName,
    /// The key in the project's `[networks]` (`default` for the implied one).
    pub key: String,
    /// The engine's name: `<project>_<key>` unless `name` was given.
    pub name: String,
    /// Made elsewhere: must exist, is never created, changed or removed.
    pub external: bool,
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub enable_ipv6: bool,
    pub ipam: Ipam,
    pub labels: BTreeMap<String, String>,
    pub source: SourcePlace,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    pub driver: Option<String>,
    pub config: Vec<IpamPool>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamPool {
    pub subnet: Option<String>,
    pub ip_range: Option<String>,
    pub gateway: Option<String>,
    pub aux_addresses: BTreeMap<String, String>,
}

/// A named volume of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub project: ProjectName,
    pub key: String,
    /// The engine's name: `<project>_<key>` unless `name` was given.
    pub name: String,
    pub external: bool,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub source: SourcePlace,
}
