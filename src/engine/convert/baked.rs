//! How a container was made, and what an image gives, as answers of the engine tell it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{answers, extra};
use crate::desired::secret::Sensitive;
use crate::desired::spec::{
    ContainerPort, Device, HealthcheckSpec, Mount, MountSource, PortBinding, Protocol, Ulimit,
};
use crate::state::baked::{Baked, ImageDefaults};

#[must_use]
pub fn container(answer: &answers::Container) -> Baked {
    let (config, host) = (&answer.config, &answer.host_config);
    Baked {
        image: config.image.clone(),
        command: config.cmd.clone(),
        entrypoint: config.entrypoint.clone(),
        environment: environment(&config.env),
        labels: config.labels.clone(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        hostname: config.hostname.clone(),
        init: host.init,
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        healthcheck: config.healthcheck.as_ref().map(check),
        ports: host.port_bindings.iter().flat_map(bindings).collect(),
        exposed: exposed(&config.exposed_ports),
        mounts: mounts(answer),
        tmpfs: host.tmpfs.clone(),
        network_mode: host.network_mode.clone(),
        log_driver: host.log_config.r#type.clone(),
        log_options: host.log_config.config.clone(),
        read_only: host.readonly_rootfs,
        privileged: host.privileged,
        cap_add: host.cap_add.iter().cloned().collect(),
        cap_drop: host.cap_drop.iter().cloned().collect(),
        security_opt: host.security_opt.iter().cloned().collect(),
        extra_hosts: host.extra_hosts.clone(),
        dns: host.dns.clone(),
        devices: host.devices.iter().map(device).collect(),
        ulimits: host
            .ulimits
            .iter()
            .map(|limit| (limit.name.clone(), Ulimit { soft: limit.soft, hard: limit.hard }))
            .collect(),
        sysctls: host.sysctls.clone(),
        shm_size: u64::try_from(host.shm_size).unwrap_or_default(),
        extra: extra::read(config, host),
        unmasked: match (&host.masked_paths, &host.readonly_paths) {
            (Some(masked), Some(read_only)) => Some(masked.is_empty() && read_only.is_empty()),
            _ => None,
        },
        auto_remove: host.auto_remove,
        others: BTreeSet::new(),
    }
}

#[must_use]
pub fn image(config: &answers::ImageConfig) -> ImageDefaults {
    ImageDefaults {
        command: config.cmd.clone(),
        entrypoint: config.entrypoint.clone(),
        environment: environment(&config.env),
        labels: config.labels.clone(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config.healthcheck.as_ref().map(check),
        exposed: exposed(&config.exposed_ports),
    }
}

/// A bare name takes the image's variable away: it is in the report and in no process.
fn environment(lines: &[String]) -> BTreeMap<String, Sensitive> {
    let pair =
        |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), Sensitive::new(value)));
    lines.iter().filter_map(pair).collect()
}

fn check(check: &answers::HealthConfig) -> HealthcheckSpec {
    let time = |ns: i64| u64::try_from(ns).ok().filter(|ns| *ns > 0);
    HealthcheckSpec {
        test: check.test.clone(),
        interval: time(check.interval),
        timeout: time(check.timeout),
        start_period: time(check.start_period),
        start_interval: time(check.start_interval),
        retries: u32::try_from(check.retries).ok().filter(|count| *count > 0),
    }
}

/// `80/tcp`, or `80` alone.
fn port(text: &str) -> Option<ContainerPort> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some(ContainerPort { port: port.parse().ok()?, protocol })
}

fn exposed(ports: &BTreeMap<String, Value>) -> BTreeSet<ContainerPort> {
    ports.keys().filter_map(|text| port(text)).collect()
}

fn bindings((text, bound): (&String, &Option<Vec<answers::BoundPort>>)) -> Vec<PortBinding> {
    let Some(container) = port(text) else { return Vec::new() };
    let binding = |bound: &answers::BoundPort| PortBinding {
        container: container.clone(),
        host_ip: bound.host_ip.parse().ok(),
        host_port: range(&bound.host_port),
    };
    bound.iter().flatten().map(binding).collect()
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (first.parse().ok()?, last.parse().ok()?);
    (range != (0, 0)).then_some(range)
}

fn device(device: &answers::DeviceMapping) -> Device {
    Device {
        host: device.path_on_host.clone(),
        container: device.path_in_container.clone(),
        permissions: if device.cgroup_permissions.is_empty() {
            "rwm".to_owned()
        } else {
            device.cgroup_permissions.clone()
        },
    }
}

/// What is mounted, whichever of its two lists the request had it in. What an engine mounts by itself is not among it.
fn mounts(answer: &answers::Container) -> BTreeMap<String, Mount> {
    let mut found = BTreeMap::new();
    for point in &answer.mounts {
        let source = match point.r#type.as_str() {
            "bind" => MountSource::Bind {
                path: point.source.clone(),
                create: true,
                propagation: Some(point.propagation.clone())
                    .filter(|word| !word.is_empty() && word != "rprivate" && word != "private"),
                selinux: None,
                content: None,
                recursive: None,
            },
            "volume" => MountSource::Volume {
                name: Some(point.name.clone()).filter(|name| !name.is_empty()),
                key: None,
                no_copy: false,
                subpath: None,
                labels: BTreeMap::new(),
            },
            _ => continue,
        };
        let mount = Mount { source, read_only: point.writable == Some(false) };
        found.insert(point.destination.clone(), mount);
    }
    for mount in answer.host_config.mounts.iter().filter(|mount| mount.r#type == "tmpfs") {
        let some = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let source = MountSource::Tmpfs {
            size: some(mount.tmpfs_options.size_bytes),
            mode: some(mount.tmpfs_options.mode).and_then(|mode| u32::try_from(mode).ok()),
        };
        found.insert(mount.target.clone(), Mount { source, read_only: false });
    }
    found
}

/// Fields of an inspect that something was said in and that [`container`] does not read: neither empty nor what an engine says by itself.
#[must_use]
pub fn others(inspect: &Value) -> BTreeSet<String> {
    let part = |part: &str| inspect.get(part).and_then(Value::as_object);
    let config =
        part("Config").into_iter().flatten().filter(|(name, _)| !CONFIG_READ.contains(&name.as_str()));
    let host =
        part("HostConfig").into_iter().flatten().filter(|(name, _)| !HOST_READ.contains(&name.as_str()));
    config
        .chain(host)
        .filter(|(name, value)| says_something(name, value))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Read in [`container`], or of no meaning for a container that is started again.
const CONFIG_READ: [&str; 25] = [
    "Domainname",
    "OpenStdin",
    "Tty",
    "Hostname",
    "Labels",
    "StopTimeout",
    "Cmd",
    "Entrypoint",
    "Env",
    "User",
    "WorkingDir",
    "StopSignal",
    "ExposedPorts",
    "Healthcheck",
    "Image",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "StdinOnce",
    "Volumes",
    "OnBuild",
    "ArgsEscaped",
    "Shell",
    "NetworkDisabled",
    "MacAddress",
];
const HOST_READ: [&str; 60] = [
    "Annotations",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "CgroupParent",
    "DeviceCgroupRules",
    "DeviceRequests",
    "DnsOptions",
    "DnsSearch",
    "GroupAdd",
    "IpcMode",
    "MemorySwappiness",
    "OomKillDisable",
    "PidMode",
    "Runtime",
    "StorageOpt",
    "UTSMode",
    "UsernsMode",
    "Init",
    "Mounts",
    "Tmpfs",
    "PortBindings",
    "LogConfig",
    "ReadonlyRootfs",
    "Privileged",
    "CapAdd",
    "CapDrop",
    "SecurityOpt",
    "ExtraHosts",
    "Dns",
    "Devices",
    "Ulimits",
    "Sysctls",
    "ShmSize",
    "AutoRemove",
    "NetworkMode",
    "RestartPolicy",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "CpuShares",
    "CpuPeriod",
    "CpuQuota",
    "CpusetCpus",
    "PidsLimit",
    "ContainerIDFile",
    "Binds",
    "ConsoleSize",
    "MaskedPaths",
    "ReadonlyPaths",
    "CgroupnsMode",
    "VolumeDriver",
    "Links",
    "OomScoreAdj",
    "KernelMemory",
    "KernelMemoryTCP",
];

fn says_something(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
        Value::String(text) => {
            let usual: &[&str] = match name {
                "Isolation" => &["default"],
                _ => &[],
            };
            !text.is_empty() && !usual.contains(&text.as_str())
        }
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
