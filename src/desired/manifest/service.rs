//! `[services.<name>]`. Compose's keys with Compose's meaning; its tables are in `parts` and `deploy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::build::{BuildPolicy, BuildSection};
use super::deploy::Deploy;
use super::forms::*;
use super::hooks::{Hooks, LifecycleHook, PreStartHook};
use super::parts::*;
use super::policy::{ImagePolicy, Rollout};
use super::provided::Grant;
use super::value::*;
use super::watch::Probe;

/// A service: one image, run as one or more containers.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Service {
    /// The image: `"nginx:1.27"`. Without a tag it is `:latest`; a digest pins it: `"nginx:1.27@sha256:..."`.
    pub image: Option<Filled>,
    /// Picks the image's tag; `image` has none then.
    pub image_policy: Option<ImagePolicy>,
    /// Makes the image here: a folder or a repository, or a table.
    pub build: Option<TextOr<BuildSection>>,
    /// When `build` is made anew, and what becomes of it.
    pub build_policy: Option<BuildPolicy>,
    /// How an update goes, beyond `deploy.update_config`.
    pub rollout: Option<Rollout>,
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
    /// Mount everything that another service mounts: `["db:ro"]`, or a container: `["container:name"]`.
    pub volumes_from: Option<Texts>,
    /// Options of the storage driver: `size = "1G"`.
    pub storage_opt: Option<Options>,
    /// Memory-backed folders: `"/run"` or `"/tmp:size=64m,mode=1777"`.
    pub tmpfs: Option<OneOrMany>,
    /// Secrets as files: `"db-password"` is `/run/secrets/db-password`, readable by everybody in the container.
    pub secrets: Option<ShortOrLong<Grant>>,
    /// Configs as files: `"app.ini"` is `/app.ini`.
    pub configs: Option<ShortOrLong<Grant>>,
    /// Networks to join; the project's `default` when there is none.
    pub networks: Option<NamesOr<Endpoint>>,
    /// Instead of `networks`: `bridge`, `host`, `none`, `service:<name>` or `container:<name>`.
    pub network_mode: Option<NetworkMode>,
    /// Other names for services, that only this one sees: `["db:database"]`. They come first.
    pub links: Option<Texts>,
    /// Other names for containers made elsewhere: `["redis_1:redis"]`.
    pub external_links: Option<Texts>,
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
    /// The container's own domain name.
    pub domainname: Option<Filled>,
    /// The container's own hardware address: `"02:42:ac:11:00:05"`.
    pub mac_address: Option<Filled>,
    /// User, and group behind a colon: `"1000:1000"`.
    pub user: Option<Filled>,
    /// More groups of the process, by name or number.
    pub group_add: Option<Vec<NameOrNumber>>,
    /// Working directory, absolute.
    pub working_dir: Option<Filled>,
    /// Run a small init process that reaps children and passes on signals.
    pub init: Option<Flag>,
    /// Give the process a terminal.
    pub tty: Option<Flag>,
    /// Keep its standard input open.
    pub stdin_open: Option<Flag>,
    /// The runtime that the engine starts it with: `"runsc"`.
    pub runtime: Option<Filled>,
    /// Labels of the container. Dotted keys are one name: `traefik.enable = true`.
    pub labels: Option<Labels>,
    /// Files with labels, read in order, in the form of an `env_file`; `labels` wins over them.
    pub label_file: Option<OneOrMany>,
    /// Annotations for the runtime. Needs API 1.43.
    pub annotations: Option<Labels>,
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
    /// The period of real-time scheduling, in microseconds or as a duration (cgroup v1 only).
    pub cpu_rt_period: Option<Microseconds>,
    /// Time within it for real-time processes, in microseconds or as a duration (cgroup v1 only).
    pub cpu_rt_runtime: Option<Microseconds>,
    /// How willingly its memory is swapped out, 0 to 100 (cgroup v1 only).
    pub mem_swappiness: Option<Limit>,
    /// Never kill it for want of memory (cgroup v1 only).
    pub oom_kill_disable: Option<Flag>,
    /// How likely it is killed when memory runs short, -1000 to 1000.
    pub oom_score_adj: Option<Whole>,
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
    /// Give it the engine's socket. Only where `[policy.guard] api_socket = true`.
    pub use_api_socket: Option<Flag>,
    /// Whose memory and queues it shares: `private`, `shareable`, `host`, `none`, `service:<name>`, `container:<name>`.
    pub ipc: Option<Ipc>,
    /// Whose processes it sees: `host`, `service:<name>`, `container:<name>`.
    pub pid: Option<PidMode>,
    /// `host`: it has the host's name, and can change it.
    pub uts: Option<HostOnly>,
    /// `host`: users are the host's, where the engine maps them.
    pub userns_mode: Option<HostOnly>,
    /// The cgroups it sees: `private` (its own) or `host`.
    pub cgroup: Option<CgroupNamespace>,
    /// The cgroup that its own is made in.
    pub cgroup_parent: Option<Filled>,
    /// Security options: `["no-new-privileges"]`, `"label=..."`, `"apparmor=..."`, `"seccomp=unconfined"`, `"seccomp=files/profile.json"`,
    /// `"systempaths=unconfined"`, `"writable-cgroups=true"` (Docker Engine 28).
    pub security_opt: Option<Texts>,
    /// Lines for the container's hosts file: `["db:10.0.0.5"]`; `host-gateway` stands for the host.
    pub extra_hosts: Option<ExtraHosts>,
    /// Name servers.
    pub dns: Option<OneOrMany>,
    /// Options of the resolver: `["use-vc", "no-tld-query"]`.
    pub dns_opt: Option<Texts>,
    /// Domains in which short names are looked up.
    pub dns_search: Option<OneOrMany>,
    /// Devices of the host: `"/dev/ttyUSB0:/dev/ttyUSB0:rw"`.
    pub devices: Option<ShortOrLong<Device>>,
    /// Rules for devices that come later: `["c 13:* rwm"]`.
    pub device_cgroup_rules: Option<Texts>,
    /// Graphics processors: `"all"`, or requests as in `deploy.resources.reservations.devices`.
    pub gpus: Option<Gpus>,
    /// Weights and limits of block devices.
    pub blkio_config: Option<BlkioConfig>,
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
    /// How evenkeel itself finds out that it works, where there is no healthcheck.
    pub probe: Option<Probe>,
    /// Run once for every new version before any container of it, in a container of its own: `[{ command = "./migrate" }]`.
    pub pre_start: Option<TableOrList<PreStartHook>>,
    /// Run in every container that evenkeel has started.
    pub post_start: Option<TableOrList<LifecycleHook>>,
    /// Run in every container that evenkeel is about to stop, within its grace period.
    pub pre_stop: Option<TableOrList<LifecycleHook>>,
    /// Run around an update.
    pub hooks: Option<Hooks>,
    /// Never remove it, and replace it only after `evenkeel approve`.
    pub protect: Option<Flag>,
}
