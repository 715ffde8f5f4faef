//! `[services.<name>]` and what is below it. Compose's keys with Compose's meaning.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::value::*;

/// A service: one image, run as one or more containers.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Service {
    /// The image: `"nginx:1.27"`. Without a tag it is `:latest`; a digest pins it: `"nginx:1.27@sha256:..."`.
    pub image: Option<Filled>,
    /// When the image is pulled: `missing` (the default), `always`, `never`, `daily`, `weekly`, or `every_<duration>`
    /// such as `every_12h`.
    pub pull_policy: Option<Pull>,
    /// Replaces the image's command. Text is split at blanks as Compose does it, without a shell; `[]` is no command.
    pub command: Option<Command>,
    /// Replaces the image's entrypoint, and drops the image's command unless `command` is given.
    pub entrypoint: Option<Command>,
    /// Environment variables.
    pub environment: Option<Environment>,
    /// Files with environment variables, read in order; `environment` wins over them.
    pub env_file: Option<OneOrManyOf<EnvFile>>,
    /// Published ports: `"8080:80"`, `"127.0.0.1:8080:80/udp"`, `"8000-8010:8000-8010"`, `"80"` for any free host port.
    pub ports: Option<ShortOrLong<Port>>,
    /// Ports the container listens on, published nowhere.
    pub expose: Option<Vec<ExposedPort>>,
    /// Mounts: `"./folder:/path:ro"`, `"volume:/path"`, `"/path"` for an anonymous volume.
    pub volumes: Option<ShortOrLong<Mount>>,
    /// Memory-backed folders: `"/run"` or `"/tmp:size=64m,mode=1777"`.
    pub tmpfs: Option<OneOrMany>,
    /// Networks to join; the project's `default` when there is none.
    pub networks: Option<NamesOr<Endpoint>>,
    /// Instead of `networks`: `bridge`, `host`, `none`, `service:<name>` or `container:<name>`.
    pub network_mode: Option<NetworkMode>,
    /// Services that come first: `["db"]`, or `{ db = "service_healthy" }`.
    pub depends_on: Option<DependsOn>,
    /// How to tell that the container works.
    pub healthcheck: Option<Healthcheck>,
    /// What happens when the container ends: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:<times>`.
    pub restart: Option<Restart>,
    /// The container's name instead of `<project>-<service>-<n>`; only for one replica.
    pub container_name: Option<Filled>,
    /// The container's own host name.
    pub hostname: Option<Filled>,
    /// User, and group behind a colon: `"1000:1000"`.
    pub user: Option<Filled>,
    /// Working directory, absolute.
    pub working_dir: Option<Filled>,
    /// Run a small init process that reaps children and passes on signals.
    pub init: Option<Flag>,
    /// Labels of the container. Dotted keys are one name: `traefik.enable = true`.
    pub labels: Option<Labels>,
    /// The signal that asks the container to stop: `"SIGTERM"`.
    pub stop_signal: Option<Filled>,
    /// How long the container may take to stop before it is killed: `"10s"`.
    pub stop_grace_period: Option<DurationText>,
    /// Replicas, limits, and how updates go.
    pub deploy: Option<Deploy>,
    /// How many containers; the same as `deploy.replicas`.
    pub scale: Option<Count>,
    /// Most memory: `"512m"`; the same as `deploy.resources.limits.memory`.
    pub mem_limit: Option<Size>,
    /// Memory that stays the container's when the host runs short.
    pub mem_reservation: Option<Size>,
    /// Memory and swap together, -1 for any amount of swap.
    pub memswap_limit: Option<SizeOrUnlimited>,
    /// Most cores: `0.5`; the same as `deploy.resources.limits.cpus`.
    pub cpus: Option<Cores>,
    /// Weight against other containers when cores are scarce (1024 is usual).
    pub cpu_shares: Option<Count>,
    /// The scheduler's period, in microseconds or as a duration.
    pub cpu_period: Option<Microseconds>,
    /// Time on the cores within a period, in microseconds or as a duration.
    pub cpu_quota: Option<Microseconds>,
    /// Which cores: `"0-3"` or `"0,2"`.
    pub cpuset: Option<Filled>,
    /// Most processes and threads, -1 for any number.
    pub pids_limit: Option<Limit>,
    /// Where the container's output goes.
    pub logging: Option<Logging>,
    /// Make the container's root file system read-only.
    pub read_only: Option<Flag>,
    /// Capabilities to add: `["NET_ADMIN"]`.
    pub cap_add: Option<Texts>,
    /// Capabilities to drop: `["ALL"]`.
    pub cap_drop: Option<Texts>,
    /// Give the container everything the host can do.
    pub privileged: Option<Flag>,
    /// Security options: `["no-new-privileges"]`, `"label=..."`, `"apparmor=..."`, `"seccomp=unconfined"`, `"seccomp=files/profile.json"`.
    pub security_opt: Option<Texts>,
    /// Lines for the container's hosts file: `["db:10.0.0.5"]`; `host-gateway` stands for the host.
    pub extra_hosts: Option<ExtraHosts>,
    /// Name servers.
    pub dns: Option<OneOrMany>,
    /// Devices of the host: `"/dev/ttyUSB0:/dev/ttyUSB0:rw"`.
    pub devices: Option<ShortOrLong<Device>>,
    /// Limits of the kernel per process: `nofile = 65536`.
    pub ulimits: Option<BTreeMap<String, UlimitValue>>,
    /// Kernel settings of the container's own namespaces: `net.core.somaxconn = 1024`.
    pub sysctls: Option<Labels>,
    /// Size of `/dev/shm`: `"256m"`.
    pub shm_size: Option<Size>,
    /// Platform of the image: `"linux/arm64"`.
    pub platform: Option<Filled>,
    /// Another service of the project whose keys this one starts from: `"base"`.
    pub extends: Option<Extends>,
    /// Which hosts run it: names, patterns, `label=value`, and `!` for all but these.
    pub on_hosts: Option<OneOrMany>,
    /// Run it only on hosts that have one of these profiles.
    pub profiles: Option<OneOrMany>,
    /// Watch it and report, and change nothing.
    pub paused: Option<Flag>,
}

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

/// Replicas, limits, and how updates go.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Deploy {
    /// How many containers on each host that is meant.
    pub replicas: Option<Count>,
    /// `replicated` (the default): `replicas` of them on each host that is meant; `global`: one.
    pub mode: Option<DeployMode>,
    /// Which hosts are meant, in Swarm's words.
    pub placement: Option<Placement>,
    /// Limits and reservations.
    pub resources: Option<Resources>,
    /// How an update goes.
    pub update_config: Option<UpdateConfig>,
    /// Labels; here they go on the container too, under `labels`.
    pub labels: Option<Labels>,
    /// The long form of `restart`, which it overrides.
    pub restart_policy: Option<RestartPolicy>,
}

/// Which hosts are meant, in Swarm's words.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Placement {
    /// All must hold: `["node.labels.zone == eu", "node.hostname != fra2"]`.
    pub constraints: Option<OneOrMany>,
}

/// Limits and reservations.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// What the container never gets more of.
    pub limits: Option<Limits>,
    /// What stays the container's.
    pub reservations: Option<Reservations>,
}

/// Upper limits.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// Cores: `"0.5"`.
    pub cpus: Option<Cores>,
    /// Memory: `"512m"`.
    pub memory: Option<Size>,
    /// Processes and threads.
    pub pids: Option<Limit>,
}

/// Reservations.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reservations {
    /// Memory: `"256m"`.
    pub memory: Option<Size>,
}

/// How an update goes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpdateConfig {
    /// `stop-first` (the default), `start-first`, or `auto`: start-first where old and new provably do not collide.
    pub order: Option<Order>,
    /// Containers replaced at a time (1); 0 is all.
    pub parallelism: Option<Count>,
    /// Pause between two of them.
    pub delay: Option<DurationText>,
    /// `rollback` (the default), `pause` or `continue`.
    pub failure_action: Option<OnUpdateFailure>,
    /// How long a new container without a healthcheck must run to count as good (`10s`).
    pub monitor: Option<DurationText>,
    /// Part of the containers that may fail: `0.25`.
    pub max_failure_ratio: Option<Ratio>,
}

/// The long form of `restart`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any` (the default); Compose also takes `restart`'s words here.
    pub condition: Option<RestartCondition>,
    /// Most restarts, with `on-failure`.
    pub max_attempts: Option<Count>,
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

/// A list whose items are short text (or numbers) or a table of the long form.
#[derive(Debug, Clone)]
pub struct ShortOrLong<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ShortOrLong<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ShortOr{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        // Only ports have a number as short form.
        let short = if T::schema_name() == "Port" {
            json_schema!({ "type": ["string", "integer"], "minimum": 1, "maximum": 65535 })
        } else {
            json_schema!({ "type": "string" })
        };
        json_schema!({
            "type": "array",
            "items": { "if": { "type": "object" }, "then": long, "else": short },
        })
    }
}

/// One text, or a list whose items are text or a table of the long form.
#[derive(Debug, Clone)]
pub struct OneOrManyOf<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrManyOf<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({
            "type": ["string", "array"],
            "items": { "if": { "type": "object" }, "then": long, "else": { "type": "string" } },
        })
    }
}

/// A list of names, or a table with an entry per name.
#[derive(Debug, Clone)]
pub struct NamesOr<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for NamesOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("NamesOr{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "additionalProperties": long,
        })
    }
}

/// A list of services, or a table with a condition or a table per service.
#[derive(Debug, Clone)]
pub struct DependsOn;

impl JsonSchema for DependsOn {
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Dependency>();
        let short = generator.subschema_for::<Condition>();
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "additionalProperties": { "if": { "type": "object" }, "then": long, "else": short },
        })
    }
}

/// A limit for both, or soft and hard.
#[derive(Debug, Clone)]
pub struct UlimitValue;

impl JsonSchema for UlimitValue {
    fn schema_name() -> Cow<'static, str> {
        "UlimitValue".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Ulimit>();
        let short = generator.subschema_for::<Limit>();
        json_schema!({ "if": { "type": "object" }, "then": long, "else": short })
    }
}

/// A service's network when it has none of its own.
#[derive(Debug, Clone)]
pub struct NetworkMode;

impl JsonSchema for NetworkMode {
    fn schema_name() -> Cow<'static, str> {
        "NetworkMode".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [
                { "enum": ["bridge", "host", "none", "default"] },
                { "pattern": "^(service|container):.+$" },
                { "pattern": "\\$" },
            ],
        })
    }
}
