//! The same for mounts, limits and what else the host lends a container.

use super::rows::{Row, volume};
use super::*;

/// Mounts: what stands in `Binds`, and what in `Mounts`.
pub(super) fn mount_rows() -> Vec<Row> {
    vec![
        (
            "a host path that may be made",
            |c| mounted(c, "/t", bind("/h", true, None, None, false)),
            "/HostConfig/Binds",
            json!(["/h:/t"]),
        ),
        (
            "with options",
            |c| mounted(c, "/t", bind("/h", true, Some("rshared"), Some('z'), true)),
            "/HostConfig/Binds",
            json!(["/h:/t:ro,z,rshared"]),
        ),
        (
            "a host path that must be there",
            |c| mounted(c, "/t", bind("/h", false, Some("rslave"), None, true)),
            "/HostConfig/Mounts",
            json!([{"Type": "bind", "Source": "/h", "Target": "/t", "ReadOnly": true, "BindOptions": {"Propagation": "rslave"}}]),
        ),
        (
            "SELinux labels only Binds can say",
            |c| mounted(c, "/t", bind("/h", false, None, Some('Z'), false)),
            "/HostConfig/Binds",
            json!(["/h:/t:Z"]),
        ),
        (
            "a colon only Mounts can say",
            |c| mounted(c, "/t", bind("/h:1", true, None, None, false)),
            "/HostConfig/Mounts",
            json!([{"Type": "bind", "Source": "/h:1", "Target": "/t"}]),
        ),
        (
            "named volume",
            |c| mounted(c, "/t", volume(Some("shop_data"), true, None)),
            "/HostConfig/Mounts",
            json!([{"Type": "volume", "Source": "shop_data", "Target": "/t", "VolumeOptions": {"NoCopy": true}}]),
        ),
        (
            "part of a volume",
            |c| mounted(c, "/t", volume(Some("shop_data"), false, Some("in"))),
            "/HostConfig/Mounts/0/VolumeOptions",
            json!({"Subpath": "in"}),
        ),
        (
            "anonymous volume",
            |c| mounted(c, "/t", volume(None, false, None)),
            "/HostConfig/Mounts",
            json!([{"Type": "volume", "Target": "/t"}]),
        ),
        (
            "anonymous volume of the predecessor",
            |c| {
                mounted(c, "/t", volume(None, false, None));
                c.inherited = pairs(&[("/t", "old")]);
            },
            "/HostConfig/Mounts/0/Source",
            json!("old"),
        ),
        (
            "a named volume is not replaced by what the predecessor had",
            |c| {
                mounted(c, "/t", volume(Some("shop_data"), false, None));
                c.inherited = pairs(&[("/t", "old")]);
            },
            "/HostConfig/Mounts/0/Source",
            json!("shop_data"),
        ),
        (
            "the image's volume is handed over",
            |c| c.inherited = pairs(&[("/var/lib/web", "old")]),
            "/HostConfig/Mounts",
            json!([{"Type": "volume", "Source": "old", "Target": "/var/lib/web"}]),
        ),
        (
            "but not over what the spec mounts there",
            |c| {
                c.spec.tmpfs = pairs(&[("/var/lib/web", "")]);
                c.inherited = pairs(&[("/var/lib/web", "old")]);
            },
            "/HostConfig/Mounts",
            Value::Null,
        ),
        (
            "and not where the new image has none",
            |c| c.inherited = pairs(&[("/gone", "old")]),
            "/HostConfig/Mounts",
            Value::Null,
        ),
        (
            "long tmpfs",
            |c| {
                let source = MountSource::Tmpfs { size: Some(65_536), mode: Some(0o1777) };
                mounted(c, "/t", Mount { source, read_only: true });
            },
            "/HostConfig/Mounts",
            json!([{"Type": "tmpfs", "Target": "/t", "ReadOnly": true, "TmpfsOptions": {"SizeBytes": 65_536, "Mode": 0o1777}}]),
        ),
        (
            "short tmpfs",
            |c| c.spec.tmpfs = pairs(&[("/t", "size=1m")]),
            "/HostConfig/Tmpfs",
            json!({"/t": "size=1m"}),
        ),
    ]
}

/// The rest of the host's side.
pub(super) fn host_rows() -> Vec<Row> {
    const MIB: u64 = 1 << 20;
    vec![
        (
            "restart is always no",
            |c| c.live.restart = RestartPolicy::Always,
            "/HostConfig/RestartPolicy",
            json!({"Name": "no"}),
        ),
        (
            "logging",
            |c| {
                let options = pairs(&[("max-size", "1m")]);
                c.spec.logging = Some(Logging { driver: Some("local".to_owned()), options });
            },
            "/HostConfig/LogConfig",
            json!({"Type": "local", "Config": {"max-size": "1m"}}),
        ),
        ("read_only", |c| c.spec.read_only = true, "/HostConfig/ReadonlyRootfs", json!(true)),
        ("privileged", |c| c.spec.privileged = true, "/HostConfig/Privileged", json!(true)),
        ("not privileged", |_| {}, "/HostConfig/Privileged", Value::Null),
        (
            "cap_add",
            |c| {
                c.spec.cap_add.insert("A".into());
            },
            "/HostConfig/CapAdd",
            json!(["A"]),
        ),
        (
            "cap_drop",
            |c| {
                c.spec.cap_drop.insert("B".into());
            },
            "/HostConfig/CapDrop",
            json!(["B"]),
        ),
        (
            "security_opt",
            |c| {
                c.spec.security_opt.insert("no-new-privileges".into());
            },
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges"]),
        ),
        (
            "extra_hosts",
            |c| c.spec.extra_hosts = texts(&["a:1.2.3.4"]),
            "/HostConfig/ExtraHosts",
            json!(["a:1.2.3.4"]),
        ),
        (
            "dns",
            |c| c.spec.dns = texts(&["9.9.9.9", "1.1.1.1"]),
            "/HostConfig/Dns",
            json!(["9.9.9.9", "1.1.1.1"]),
        ),
        (
            "devices",
            |c| {
                c.spec.devices = vec![Device {
                    host: "/dev/a".to_owned(),
                    container: "/dev/b".to_owned(),
                    permissions: "rwm".to_owned(),
                }];
            },
            "/HostConfig/Devices",
            json!([{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rwm"}]),
        ),
        (
            "ulimits",
            |c| c.spec.ulimits = BTreeMap::from([("nofile".to_owned(), Ulimit { soft: -1, hard: 9 })]),
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": -1, "Hard": 9}]),
        ),
        (
            "sysctls",
            |c| c.spec.sysctls = pairs(&[("net.core.somaxconn", "9")]),
            "/HostConfig/Sysctls",
            json!({"net.core.somaxconn": "9"}),
        ),
        ("shm_size", |c| c.spec.shm_size = Some(MIB), "/HostConfig/ShmSize", json!(MIB)),
        ("memory", |c| c.live.resources.memory = Some(64 * MIB), "/HostConfig/Memory", json!(64 * MIB)),
        ("memory unset", |_| {}, "/HostConfig/Memory", Value::Null),
        (
            "memory_reservation",
            |c| c.live.resources.memory_reservation = Some(MIB),
            "/HostConfig/MemoryReservation",
            json!(MIB),
        ),
        (
            "swap left to the engine",
            |c| c.live.resources.memory = Some(64 * MIB),
            "/HostConfig/MemorySwap",
            Value::Null,
        ),
        (
            "swap",
            |c| {
                c.live.resources.memory = Some(64 * MIB);
                c.live.resources.memory_swap = Some(100 << 20);
            },
            "/HostConfig/MemorySwap",
            json!(100 << 20),
        ),
        (
            "swap that is the engine's default, in so many words",
            |c| {
                c.live.resources.memory = Some(64 * MIB);
                c.live.resources.memory_swap = Some(128 << 20);
            },
            "/HostConfig/MemorySwap",
            json!((128 << 20) + 1),
        ),
        (
            "cpus",
            |c| c.live.resources.nano_cpus = Some(1_500_000_000),
            "/HostConfig/NanoCpus",
            json!(1_500_000_000),
        ),
        ("cpu_shares", |c| c.live.resources.cpu_shares = Some(512), "/HostConfig/CpuShares", json!(512)),
        (
            "cpu_period",
            |c| c.live.resources.cpu_period = Some(50_000),
            "/HostConfig/CpuPeriod",
            json!(50_000),
        ),
        ("cpu_quota", |c| c.live.resources.cpu_quota = Some(25_000), "/HostConfig/CpuQuota", json!(25_000)),
        ("cpuset", |c| c.live.resources.cpuset = Some("0-1".into()), "/HostConfig/CpusetCpus", json!("0-1")),
        ("pids", |c| c.live.resources.pids = Some(99), "/HostConfig/PidsLimit", json!(99)),
    ]
}
