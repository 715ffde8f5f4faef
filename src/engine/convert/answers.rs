//! What we read of the engine's answers: only the fields we use, every one optional, every word open.
//!
//! An answer with fields missing, `null` where a list should be, or words no one has heard of yet is still read
//! (RELIABILITY.md E18; a closed enum would lose a whole list for one word).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads `null` as the default, as Go's encoder writes empty maps and lists.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$attr])* #[serde(deserialize_with = "nullable")] pub $field: $type,)*
        }
    };
}

/// Words of a command. Engines give them back as a list; images of long ago have one text.
pub type Words = Vec<String>;

answer!(Version {
    version: String,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    os: String,
    arch: String,
});
answer!(Info {
    #[serde(rename = "ID")]
    id: String,
    docker_root_dir: String,
    system_time: String,
    live_restore_enabled: bool,
    #[serde(rename = "NCPU")]
    cpus: u32,
});
answer!(
    /// A row of `/containers/json`.
    ListedContainer {
        id: String,
        names: Vec<String>,
        labels: BTreeMap<String, String>,
        state: String,
        #[serde(rename = "ImageID")]
        image_id: String,
        ports: Vec<ListedPort>,
        /// Seconds since 1970.
        created: i64,
        mounts: Vec<MountPoint>,
    }
);
answer!(ListedPort { public_port: Option<u16>, r#type: String });
answer!(Container {
    id: String,
    name: String,
    created: String,
    image: String,
    restart_count: i64,
    state: ContainerState,
    config: ContainerConfig,
    host_config: HostConfig,
    network_settings: NetworkSettings,
    mounts: Vec<MountPoint>,
});
answer!(ContainerState {
    status: String,
    running: bool,
    paused: bool,
    restarting: bool,
    dead: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i64,
    error: String,
    started_at: String,
    finished_at: String,
    health: Option<HealthState>,
});
answer!(HealthState { status: String, log: Vec<HealthResult> });
answer!(HealthResult { exit_code: i64, output: String });
answer!(ContainerConfig {
    labels: BTreeMap<String, String>,
    stop_timeout: Option<i64>,
    tty: bool,
    open_stdin: bool,
    domainname: String,
    mac_address: String,
    image: String,
    cmd: Words,
    entrypoint: Words,
    env: Vec<String>,
    user: String,
    working_dir: String,
    hostname: String,
    stop_signal: String,
    exposed_ports: BTreeMap<String, Value>,
    healthcheck: Option<HealthConfig>,
});
answer!(HealthConfig {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
});
answer!(HostConfig {
    init: Option<bool>,
    mounts: Vec<WantedMount>,
    tmpfs: BTreeMap<String, String>,
    port_bindings: BTreeMap<String, Option<Vec<BoundPort>>>,
    log_config: LogConfig,
    readonly_rootfs: bool,
    privileged: bool,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
    security_opt: Vec<String>,
    extra_hosts: Vec<String>,
    dns: Vec<String>,
    devices: Vec<DeviceMapping>,
    ulimits: Vec<UlimitValue>,
    sysctls: BTreeMap<String, String>,
    shm_size: i64,
    auto_remove: bool,
    network_mode: String,
    restart_policy: RestartPolicy,
    memory: i64,
    memory_reservation: i64,
    memory_swap: i64,
    nano_cpus: i64,
    cpu_shares: i64,
    cpu_period: i64,
    cpu_quota: i64,
    cpuset_cpus: String,
    pids_limit: Option<i64>,
    cpu_realtime_period: i64,
    cpu_realtime_runtime: i64,
    ipc_mode: String,
    pid_mode: String,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
    cgroupns_mode: String,
    cgroup_parent: String,
    annotations: BTreeMap<String, String>,
    storage_opt: BTreeMap<String, String>,
    runtime: String,
    group_add: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    device_cgroup_rules: Vec<String>,
    device_requests: Vec<WantedDevice>,
    memory_swappiness: Option<i64>,
    oom_kill_disable: bool,
    oom_score_adj: i64,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    blkio_weight: i64,
    blkio_weight_device: Vec<DeviceWeight>,
    blkio_device_read_bps: Vec<DeviceRate>,
    blkio_device_write_bps: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Vec<DeviceRate>,
    /// `/name of the other:/own name/alias`.
    links: Vec<String>,
    volumes_from: Vec<String>,
});
answer!(RestartPolicy { name: String, maximum_retry_count: i64 });
answer!(NetworkSettings { networks: BTreeMap<String, Endpoint> });
answer!(Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    aliases: Vec<String>,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "IPAMConfig")]
    ipam_config: EndpointAddresses,
    links: Vec<String>,
    driver_opts: BTreeMap<String, String>,
    gw_priority: i64,
    mac_address: String,
});
answer!(MadeExec { id: String });
answer!(Exec {
    #[serde(rename = "ID")]
    id: String,
    running: bool,
    exit_code: Option<i64>,
});
answer!(
    /// What was asked for, not what was given.
    EndpointAddresses {
        #[serde(rename = "IPv4Address")]
        ipv4_address: String,
        #[serde(rename = "IPv6Address")]
        ipv6_address: String,
        #[serde(rename = "LinkLocalIPs")]
        link_local_ips: Vec<String>,
    }
);
answer!(MountPoint {
    r#type: String,
    name: String,
    source: String,
    destination: String,
    #[serde(rename = "RW")]
    writable: Option<bool>,
    propagation: String,
});
answer!(WantedMount { r#type: String, target: String, tmpfs_options: TmpfsOptions });
answer!(WantedDevice {
    driver: String,
    count: i64,
    #[serde(rename = "DeviceIDs")]
    device_ids: Vec<String>,
    capabilities: Vec<Vec<String>>,
    options: BTreeMap<String, String>,
});
answer!(DeviceWeight { path: String, weight: i64 });
answer!(DeviceRate { path: String, rate: i64 });
answer!(TmpfsOptions { size_bytes: i64, mode: i64 });
answer!(BoundPort { host_ip: String, host_port: String });
answer!(LogConfig { r#type: String, config: BTreeMap<String, String> });
answer!(DeviceMapping { path_on_host: String, path_in_container: String, cgroup_permissions: String });
answer!(UlimitValue { name: String, soft: i64, hard: i64 });
answer!(Image {
    id: String,
    repo_digests: Vec<String>,
    repo_tags: Vec<String>,
    size: i64,
    architecture: String,
    variant: String,
    config: ImageConfig,
});
answer!(ImageConfig {
    healthcheck: Option<HealthConfig>,
    volumes: BTreeMap<String, Value>,
    entrypoint: Words,
    cmd: Words,
    env: Vec<String>,
    labels: BTreeMap<String, String>,
    user: String,
    working_dir: String,
    stop_signal: String,
    exposed_ports: BTreeMap<String, Value>,
});
answer!(Created { id: String });
answer!(
    /// A row of `/images/json`.
    ListedImage {
        id: String,
        repo_tags: Vec<String>,
        repo_digests: Vec<String>,
        /// Seconds since 1970.
        created: i64,
        size: i64,
        labels: BTreeMap<String, String>,
    }
);
answer!(Network {
    id: String,
    name: String,
    driver: String,
    labels: BTreeMap<String, String>,
    containers: BTreeMap<String, Value>,
});
answer!(Volume { name: String, driver: String, labels: BTreeMap<String, String> });
answer!(ListedVolumes { volumes: Vec<Volume> });
answer!(Event { r#type: String, action: String, actor: EventActor });
answer!(EventActor {
    #[serde(rename = "ID")]
    id: String,
    attributes: BTreeMap<String, String>,
});
answer!(
    /// What the engine says about a request that it refuses.
    Refusal {
        #[serde(rename = "message")]
        message: String,
    }
);

/// An answer that says at least what it is about. With every field optional, `{}` would read as a container without labels,
/// and so as one that is not ours: a garbled answer must not be taken for a fact.
pub trait Answer {
    fn is_complete(&self) -> bool;
}

macro_rules! complete {
    ($($name:ident by $field:ident),* $(,)?) => {
        $(impl Answer for $name {
            fn is_complete(&self) -> bool {
                !self.$field.is_empty()
            }
        })*
    };
}

complete!(
    Version by api_version, ListedContainer by id, Container by id, Created by id, Image by id, ListedImage by id,
    Network by id, Volume by name, MadeExec by id, Exec by id,
);

impl Answer for Info {
    /// Podman leaves the id out, and the rest has defaults.
    fn is_complete(&self) -> bool {
        true
    }
}

/// A container's inspect as it is, for what is read of it only now and then.
impl Answer for Value {
    fn is_complete(&self) -> bool {
        self.get("Id").and_then(Value::as_str).is_some_and(|id| !id.is_empty())
    }
}

impl Answer for ListedVolumes {
    /// None at all is `null` here.
    fn is_complete(&self) -> bool {
        self.volumes.is_complete()
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn is_complete(&self) -> bool {
        self.iter().all(Answer::is_complete)
    }
}
