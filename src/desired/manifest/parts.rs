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
    /// `bind`, `volume`, `tmpfs` or `image`.
    #[schemars(rename = "type")]
    pub kind: MountKind,
    /// The host's path, the volume's name, or the image; none for tmpfs and anonymous volumes.
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
    /// Options of an image.
    pub image: Option<ImageOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BindOptions {
    /// How mounts below it travel.
    pub propagation: Option<Propagation>,
    /// Make the folder on the host if it is missing (`true`).
    pub create_host_path: Option<Flag>,
    /// What becomes of mounts below it: `enabled` (they come along), `disabled`, `writable`, `readonly`. The last two are for
    /// `read_only` binds and need API 1.44.
    pub recursive: Option<Recursive>,
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
    /// Labels of an anonymous volume.
    pub labels: Option<Labels>,
}

/// Options of an image mount.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ImageOptions {
    /// Mount only this path of the image.
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
    /// The network with the highest one gives the default route. Needs API 1.48.
    pub gw_priority: Option<Whole>,
    /// A fixed hardware address. Needs API 1.44.
    pub mac_address: Option<Filled>,
    /// More addresses, that only the same link reaches.
    pub link_local_ips: Option<Texts>,
    /// Options of the network's driver.
    pub driver_opts: Option<Options>,
    /// What the interface is called in the container: `"eth5"`. Needs API 1.49.
    pub interface_name: Option<Filled>,
}

/// Devices asked for by what they can do.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeviceRequest {
    /// What they must be able to do: `["gpu"]`.
    pub capabilities: Option<Texts>,
    /// The driver: `"nvidia"`.
    pub driver: Option<Filled>,
    /// How many; `"all"` when left out.
    pub count: Option<CountOrAll>,
    /// Which ones, instead of a number.
    pub device_ids: Option<Texts>,
    /// Options of the driver.
    pub options: Option<Options>,
}

/// Weights and limits of block devices.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BlkioConfig {
    /// Share of the time of all devices, 10 to 1000.
    pub weight: Option<Count>,
    /// The same for one device: `{ path = "/dev/sda", weight = 400 }`.
    pub weight_device: Option<Vec<WeightDevice>>,
    /// Most bytes read a second: `{ path = "/dev/sda", rate = "12mb" }`.
    pub device_read_bps: Option<Vec<RateDevice>>,
    /// Most bytes written a second.
    pub device_write_bps: Option<Vec<RateDevice>>,
    /// Most reads a second: `{ path = "/dev/sda", rate = 120 }`.
    pub device_read_iops: Option<Vec<RateDevice>>,
    /// Most writes a second.
    pub device_write_iops: Option<Vec<RateDevice>>,
}

/// A device's weight.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WeightDevice {
    /// The host's device.
    pub path: Filled,
    /// 10 to 1000.
    pub weight: Count,
}

/// A device's limit.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RateDevice {
    /// The host's device.
    pub path: Filled,
    /// Bytes or operations a second.
    pub rate: Size,
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
    /// The host's device, or a CDI name such as `vendor.com/class=device`.
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
