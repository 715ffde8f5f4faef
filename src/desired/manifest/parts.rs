//! The tables below a service.

use schemars::JsonSchema;

use super::value::*;

/// The long form of an `env_file` entry.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnvFile {
    /// The file, relative to the TOML file.
    pub path: Filled,
    /// `false`: it may be missing.
    pub required: Option<Flag>,
    /// `raw` takes values as they stand, without quotes or variables.
    pub format: Option<EnvFileFormat>,
}

/// The long form of a port.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Port {
    /// The container's port.
    pub target: PortNumber,
    /// The host's port or range; any free one when left out.
    pub published: Option<Published>,
    /// The host's address to listen on.
    pub host_ip: Option<Text>,
    /// `tcp` (the default), `udp` or `sctp`.
    pub protocol: Option<Transport>,
    /// Compose's `host` or `ingress`; the same on one host.
    pub mode: Option<PortMode>,
    /// A name for people.
    pub name: Option<Text>,
    /// What is spoken, for people: `"http"`.
    pub app_protocol: Option<Text>,
}

/// The long form of a mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[schemars(rename = "type")]
    pub kind: MountKind,
    /// The host's path, or the volume's name; none for tmpfs and anonymous volumes.
    pub source: Option<Filled>,
    /// The path in the container.
    pub target: Filled,
    /// Mount it read-only.
    pub read_only: Option<Flag>,
    /// Has no effect on Linux.
    pub consistency: Option<Consistency>,
    /// Options of a bind.
    pub bind: Option<BindOptions>,
    /// Options of a volume.
    pub volume: Option<VolumeOptions>,
    /// Options of a tmpfs.
    pub tmpfs: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BindOptions {
    /// How mounts below it travel.
    pub propagation: Option<Propagation>,
    /// Make the folder on the host if it is missing.
    pub create_host_path: Option<Flag>,
    /// SELinux relabelling.
    pub selinux: Option<Selinux>,
}

/// Options of a volume mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct VolumeOptions {
    /// Do not fill a new volume with the image's files.
    pub nocopy: Option<Flag>,
    /// Mount only this path of the volume. Needs API 1.45.
    pub subpath: Option<Filled>,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TmpfsOptions {
    /// Most memory it takes.
    pub size: Option<Size>,
    /// Its permission bits: `0o1777`.
    pub mode: Option<Mode>,
}

/// How a service joins a network.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Endpoint {
    /// More names in this network, beside the service's own.
    pub aliases: Option<Texts>,
    /// A fixed address; the network needs a subnet then.
    pub ipv4_address: Option<Filled>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<Filled>,
    /// Networks with a higher one are joined first; the first gives the default route.
    pub priority: Option<Whole>,
}

/// What is waited for at a dependency.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: Option<Condition>,
    /// Restart this service after the dependency was replaced or restarted.
    pub restart: Option<Flag>,
    /// `false`: go on without it.
    pub required: Option<Flag>,
}

/// How to tell that a container works.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Healthcheck {
    /// Text for the image's shell, `["CMD", ...]`, `["CMD-SHELL", "..."]`, or `["NONE"]` to switch the image's check off.
    pub test: Option<Command>,
    /// Time between two checks (the engine's default is `30s`).
    pub interval: Option<DurationText>,
    /// How long one check may take (`30s`).
    pub timeout: Option<DurationText>,
    /// Failures in a row that make it unhealthy (3).
    pub retries: Option<Count>,
    /// Time to start up, in which failures do not count (`0s`).
    pub start_period: Option<DurationText>,
    /// Time between two checks during the start period. Needs API 1.44.
    pub start_interval: Option<DurationText>,
    /// Switch the image's check off.
    pub disable: Option<Flag>,
}

/// Where output goes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Logging {
    /// The engine's log driver: `"json-file"`, `"local"`, `"journald"`, ...
    pub driver: Option<Filled>,
    /// The driver's options: `max-size = "10m"`.
    pub options: Option<Options>,
}

/// The long form of a device.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Device {
    /// The host's device.
    pub source: Filled,
    /// Its path in the container; the same when left out.
    pub target: Option<Filled>,
    /// Any of `r`, `w`, `m`; all when left out.
    pub permissions: Option<Filled>,
}

/// Soft and hard limit.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Ulimit {
    /// What counts; -1 is no limit.
    pub soft: Limit,
    /// What the process may raise it to; -1 is no limit.
    pub hard: Limit,
}
