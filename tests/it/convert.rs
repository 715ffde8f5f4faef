//! The border to the engine's API, as tables: each field of a spec and the request it becomes, answers of several engines and what
//! they are taken for.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::{ProjectName, ServiceId, ServiceName};
use evenkeel::desired::secret::Sensitive;
use evenkeel::desired::spec::{
    ContainerPort, ContainerSpec, Device, Endpoint, Healthcheck, HealthcheckSpec, Ipam, IpamPool, LiveSpec,
    Logging, Mount, MountSource, NetworkMode, NetworkSpec, PortBinding, Protocol, Resources, RestartPolicy,
    Ulimit, VolumeSpec,
};
use evenkeel::engine::convert::{answers, create, labels, network, observed, resources};
use evenkeel::state::observed::{
    ContainerId, ContainerStatus, Health, ImageFacts, ImageId, ObservedContainer, OwnLabels, label,
};
use evenkeel::state::plan::Creation;
use evenkeel::state::record::RevisionId;
use evenkeel::state::time::EngineStamp;
use serde_json::{Value, json};

const API: (u32, u32) = (1, 41);

fn image_id(digit: &str) -> ImageId {
    ImageId(format!("sha256:{}", digit.repeat(64)))
}

/// The plainest creation: slot 2 of `shop/web`, no network.
fn plain() -> Creation {
    let spec = ContainerSpec {
        image: "web:1".to_owned(),
        platform: None,
        command: None,
        entrypoint: None,
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        user: None,
        working_dir: None,
        hostname: None,
        init: None,
        stop_signal: None,
        stop_grace_period: None,
        healthcheck: Healthcheck::Inherit,
        ports: BTreeSet::new(),
        expose: BTreeSet::new(),
        mounts: BTreeMap::new(),
        tmpfs: BTreeMap::new(),
        network_mode: NetworkMode::None,
        logging: None,
        read_only: false,
        privileged: false,
        cap_add: BTreeSet::new(),
        cap_drop: BTreeSet::new(),
        security_opt: BTreeSet::new(),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        devices: Vec::new(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        shm_size: None,
    };
    let hash = SpecHash::of(&spec);
    let image = image_id("a");
    Creation {
        name: "shop-web-2".to_owned(),
        live: LiveSpec::default(),
        labels: OwnLabels {
            owner: "host-1".to_owned(),
            service: ServiceId::new("shop", "web").unwrap(),
            slot: 2,
            revision: RevisionId::of(&hash, &image),
            spec: hash,
            image: image.clone(),
            image_ref: "web:1".to_owned(),
            image_digest: Some("web@sha256:00".to_owned()),
            source: "shop/web.toml:3".to_owned(),
        },
        spec,
        image: ImageFacts {
            id: image,
            digests: Vec::new(),
            tags: vec!["web:1".to_owned()],
            has_healthcheck: false,
            size: 1,
            architecture: "amd64".to_owned(),
            volumes: BTreeSet::from(["/var/lib/web/".to_owned()]),
        },
        network_ids: BTreeMap::from([
            ("shop_a".to_owned(), "1a".to_owned()),
            ("shop_b".to_owned(), "1b".to_owned()),
        ]),
        parent: None,
        inherited: BTreeMap::new(),
    }
}

fn body_for(creation: &Creation, api: (u32, u32)) -> Value {
    serde_json::to_value(create::request(creation, api, None).unwrap().body).unwrap()
}

type Adjust = fn(&mut Creation);
type Row = (&'static str, Adjust, &'static str, Value);

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn port(container: u16, protocol: Protocol, ip: Option<&str>, host: Option<(u16, u16)>) -> PortBinding {
    PortBinding {
        container: ContainerPort { port: container, protocol },
        host_ip: ip.map(|ip| ip.parse().unwrap()),
        host_port: host,
    }
}

fn bind(
    path: &str,
    create: bool,
    propagation: Option<&str>,
    selinux: Option<char>,
    read_only: bool,
) -> Mount {
    let propagation = propagation.map(str::to_owned);
    Mount { source: MountSource::Bind { path: path.to_owned(), create, propagation, selinux }, read_only }
}

fn volume(name: Option<&str>, no_copy: bool, subpath: Option<&str>) -> Mount {
    let (name, subpath) = (name.map(str::to_owned), subpath.map(str::to_owned));
    Mount { source: MountSource::Volume { name, key: None, no_copy, subpath }, read_only: false }
}

fn mounted(creation: &mut Creation, target: &str, mount: Mount) {
    creation.spec.mounts.insert(target.to_owned(), mount);
}

fn checked(creation: &mut Creation, check: HealthcheckSpec) {
    creation.spec.healthcheck = Healthcheck::Set(check);
}

fn joined(creation: &mut Creation, name: &str, endpoint: Endpoint) {
    creation.spec.network_mode = NetworkMode::Networks;
    creation.live.networks.insert(name.to_owned(), endpoint);
}

/// What a process is and how it runs.
fn process_rows() -> Vec<Row> {
    vec![
        ("image by id", |_| {}, "/Image", json!(format!("sha256:{}", "a".repeat(64)))),
        ("command unset", |_| {}, "/Cmd", Value::Null),
        ("command", |c| c.spec.command = Some(texts(&["a", "b"])), "/Cmd", json!(["a", "b"])),
        ("command none", |c| c.spec.command = Some(vec![]), "/Cmd", json!([])),
        ("entrypoint unset", |_| {}, "/Entrypoint", Value::Null),
        ("entrypoint", |c| c.spec.entrypoint = Some(texts(&["/e"])), "/Entrypoint", json!(["/e"])),
        ("entrypoint none", |c| c.spec.entrypoint = Some(vec![]), "/Entrypoint", json!([])),
        ("environment unset", |_| {}, "/Env", Value::Null),
        (
            "environment",
            |c| {
                c.spec.environment = BTreeMap::from([
                    ("B".to_owned(), None),
                    ("A".to_owned(), Some(Sensitive::new("x=y z"))),
                    ("C".to_owned(), Some(Sensitive::new(""))),
                ]);
            },
            "/Env",
            json!(["A=x=y z", "B", "C="]),
        ),
        ("user", |c| c.spec.user = Some("1000:1000".into()), "/User", json!("1000:1000")),
        ("working_dir", |c| c.spec.working_dir = Some("/srv".into()), "/WorkingDir", json!("/srv")),
        ("hostname", |c| c.spec.hostname = Some("box".into()), "/Hostname", json!("box")),
        ("init unset", |_| {}, "/HostConfig/Init", Value::Null),
        ("init", |c| c.spec.init = Some(true), "/HostConfig/Init", json!(true)),
        ("init off", |c| c.spec.init = Some(false), "/HostConfig/Init", json!(false)),
        ("stop_signal", |c| c.spec.stop_signal = Some("SIGQUIT".into()), "/StopSignal", json!("SIGQUIT")),
        ("stop_grace_period", |c| c.spec.stop_grace_period = Some(90), "/StopTimeout", json!(90)),
        ("stop_grace_period unset", |_| {}, "/StopTimeout", Value::Null),
        ("healthcheck inherited", |_| {}, "/Healthcheck", Value::Null),
        (
            "healthcheck disabled",
            |c| c.spec.healthcheck = Healthcheck::Disabled,
            "/Healthcheck",
            json!({"Test": ["NONE"]}),
        ),
        (
            "healthcheck",
            |c| {
                checked(
                    c,
                    HealthcheckSpec {
                        test: texts(&["CMD-SHELL", "true"]),
                        interval: Some(5),
                        timeout: Some(4),
                        start_period: Some(3),
                        start_interval: Some(2),
                        retries: Some(1),
                    },
                );
            },
            "/Healthcheck",
            json!({"Test": ["CMD-SHELL", "true"], "Interval": 5, "Timeout": 4, "StartPeriod": 3, "StartInterval": 2, "Retries": 1}),
        ),
        (
            "healthcheck with the image's test",
            |c| checked(c, HealthcheckSpec { interval: Some(7), ..HealthcheckSpec::default() }),
            "/Healthcheck",
            json!({"Interval": 7}),
        ),
        ("no tty", |_| {}, "/Tty", Value::Null),
    ]
}

/// Labels: the spec's, Compose's, ours.
fn label_rows() -> Vec<Row> {
    vec![
        ("label", |c| c.spec.labels = pairs(&[("a.b", "c")]), "/Labels/a.b", json!("c")),
        (
            "ours win",
            |c| c.spec.labels = pairs(&[(label::OWNER, "thief")]),
            "/Labels/dev.evenkeel.owner",
            json!("host-1"),
        ),
        ("project", |_| {}, "/Labels/dev.evenkeel.project", json!("shop")),
        ("service", |_| {}, "/Labels/dev.evenkeel.service", json!("web")),
        ("slot", |_| {}, "/Labels/dev.evenkeel.slot", json!("2")),
        ("image id", |_| {}, "/Labels/dev.evenkeel.image.id", json!(format!("sha256:{}", "a".repeat(64)))),
        ("image ref", |_| {}, "/Labels/dev.evenkeel.image.ref", json!("web:1")),
        ("image digest", |_| {}, "/Labels/dev.evenkeel.image.digest", json!("web@sha256:00")),
        ("no digest", |c| c.labels.image_digest = None, "/Labels/dev.evenkeel.image.digest", Value::Null),
        ("source", |_| {}, "/Labels/dev.evenkeel.source", json!("shop/web.toml:3")),
        ("compose project", |_| {}, "/Labels/com.docker.compose.project", json!("shop")),
        ("compose service", |_| {}, "/Labels/com.docker.compose.service", json!("web")),
        ("compose number", |_| {}, "/Labels/com.docker.compose.container-number", json!("2")),
        ("compose oneoff", |_| {}, "/Labels/com.docker.compose.oneoff", json!("False")),
    ]
}

/// Ports and networks.
fn network_rows() -> Vec<Row> {
    fn one_port(c: &mut Creation, port: PortBinding) {
        c.spec.ports.insert(port);
    }
    vec![
        (
            "fixed port",
            |c| one_port(c, port(80, Protocol::Tcp, None, Some((8080, 8080)))),
            "/HostConfig/PortBindings",
            json!({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ),
        (
            "a published port is exposed",
            |c| one_port(c, port(80, Protocol::Tcp, None, Some((8080, 8080)))),
            "/ExposedPorts",
            json!({"80/tcp": {}}),
        ),
        (
            "any port",
            |c| one_port(c, port(53, Protocol::Udp, None, None)),
            "/HostConfig/PortBindings",
            json!({"53/udp": [{"HostIp": "", "HostPort": ""}]}),
        ),
        (
            "range",
            |c| one_port(c, port(9, Protocol::Sctp, None, Some((7000, 7009)))),
            "/HostConfig/PortBindings/9~1sctp/0/HostPort",
            json!("7000-7009"),
        ),
        (
            "address",
            |c| one_port(c, port(80, Protocol::Tcp, Some("127.0.0.1"), Some((1, 1)))),
            "/HostConfig/PortBindings/80~1tcp/0/HostIp",
            json!("127.0.0.1"),
        ),
        (
            "IPv6 address",
            |c| one_port(c, port(80, Protocol::Tcp, Some("::1"), Some((1, 1)))),
            "/HostConfig/PortBindings/80~1tcp/0/HostIp",
            json!("::1"),
        ),
        (
            "two bindings of one port",
            |c| {
                one_port(c, port(80, Protocol::Tcp, None, Some((81, 81))));
                one_port(c, port(80, Protocol::Tcp, None, Some((82, 82))));
            },
            "/HostConfig/PortBindings/80~1tcp/1/HostPort",
            json!("82"),
        ),
        (
            "expose",
            |c| {
                c.spec.expose.insert(ContainerPort { port: 90, protocol: Protocol::Tcp });
            },
            "/ExposedPorts",
            json!({"90/tcp": {}}),
        ),
        (
            "exposed in another's namespace means nothing",
            |c| {
                c.spec.expose.insert(ContainerPort { port: 90, protocol: Protocol::Tcp });
                c.spec.network_mode = NetworkMode::Container("vpn".to_owned());
            },
            "/ExposedPorts",
            Value::Null,
        ),
        ("no network", |_| {}, "/HostConfig/NetworkMode", json!("none")),
        ("bridge", |c| c.spec.network_mode = NetworkMode::Bridge, "/HostConfig/NetworkMode", json!("bridge")),
        ("host", |c| c.spec.network_mode = NetworkMode::Host, "/HostConfig/NetworkMode", json!("host")),
        (
            "of a service",
            |c| {
                c.spec.network_mode = NetworkMode::Service(ServiceName::new("vpn").unwrap());
                c.parent = Some(ContainerId("f".repeat(64)));
            },
            "/HostConfig/NetworkMode",
            json!(format!("container:{}", "f".repeat(64))),
        ),
        (
            "of a container",
            |c| c.spec.network_mode = NetworkMode::Container("vpn".to_owned()),
            "/HostConfig/NetworkMode",
            json!("container:vpn"),
        ),
        (
            "a network by id",
            |c| joined(c, "shop_a", Endpoint::default()),
            "/HostConfig/NetworkMode",
            json!("1a"),
        ),
        (
            "the service's name is its alias",
            |c| joined(c, "shop_a", Endpoint::default()),
            "/NetworkingConfig/EndpointsConfig",
            json!({"1a": {"NetworkID": "1a", "Aliases": ["web"]}}),
        ),
        (
            "aliases and addresses",
            |c| {
                let endpoint = Endpoint {
                    aliases: BTreeSet::from(["www".to_owned()]),
                    ipv4_address: Some("10.0.0.5".to_owned()),
                    ipv6_address: Some("fd00::5".to_owned()),
                    ..Endpoint::default()
                };
                joined(c, "shop_a", endpoint);
            },
            "/NetworkingConfig/EndpointsConfig/1a",
            json!({"NetworkID": "1a", "Aliases": ["web", "www"],
                "IPAMConfig": {"IPv4Address": "10.0.0.5", "IPv6Address": "fd00::5"}}),
        ),
        (
            "of two networks the first by priority",
            |c| {
                joined(c, "shop_a", Endpoint::default());
                joined(c, "shop_b", Endpoint { priority: 5, ..Endpoint::default() });
            },
            "/NetworkingConfig/EndpointsConfig",
            json!({"1b": {"NetworkID": "1b", "Aliases": ["web"]}}),
        ),
        (
            "in another mode networks are not joined",
            |c| {
                joined(c, "shop_a", Endpoint::default());
                c.spec.network_mode = NetworkMode::Host;
            },
            "/NetworkingConfig",
            Value::Null,
        ),
    ]
}

/// Mounts: what stands in `Binds`, and what in `Mounts`.
fn mount_rows() -> Vec<Row> {
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
fn host_rows() -> Vec<Row> {
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
        ("cap_add", |c| drop(c.spec.cap_add.insert("A".into())), "/HostConfig/CapAdd", json!(["A"])),
        ("cap_drop", |c| drop(c.spec.cap_drop.insert("B".into())), "/HostConfig/CapDrop", json!(["B"])),
        (
            "security_opt",
            |c| drop(c.spec.security_opt.insert("no-new-privileges".into())),
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

#[test]
fn each_field_of_a_spec_becomes_its_field_of_the_request() {
    let rows = [process_rows(), label_rows(), network_rows(), mount_rows(), host_rows()].concat();
    assert!(rows.len() >= 90, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, adjust, pointer, expected) in rows {
        let mut creation = plain();
        adjust(&mut creation);
        let body = body_for(&creation, API);
        let found = body.pointer(pointer).cloned().unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}: {pointer} is {found}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plain_request_says_nothing_that_nobody_asked_for() {
    let body = body_for(&plain(), API);
    let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["HostConfig", "Image", "Labels"]));
    assert_eq!(body["HostConfig"], json!({"NetworkMode": "none", "RestartPolicy": {"Name": "no"}}));
}

#[test]
fn newer_engines_make_a_host_path_with_a_colon_too() {
    let mut creation = plain();
    mounted(&mut creation, "/t", bind("/h:1", true, None, None, false));
    let mount = body_for(&creation, (1, 42))["HostConfig"]["Mounts"][0].clone();
    assert_eq!(mount["BindOptions"], json!({"CreateMountpoint": true}));
}

#[test]
fn further_networks_are_joined_in_the_order_of_their_priority() {
    let mut creation = plain();
    creation.network_ids.insert("shop_c".to_owned(), "1c".to_owned());
    for (name, priority) in [("shop_a", 1), ("shop_b", 9), ("shop_c", 1)] {
        joined(&mut creation, name, Endpoint { priority, ..Endpoint::default() });
    }
    let request = create::request(&creation, API, None).unwrap();
    let order: Vec<_> = request.then_connect.iter().map(|joined| joined.network_id.as_str()).collect();
    assert_eq!(order, ["1a", "1c"]);
    creation.network_ids.remove("shop_c");
    assert!(create::request(&creation, API, None).unwrap_err().contains("shop_c"));
}

#[test]
fn no_command_takes_the_images_entrypoint_along_and_nothing_else_does() {
    let image = Some(texts(&["/entry"]));
    for (command, entrypoint, expected) in [
        (Some(vec![]), None, json!(["/entry"])),
        (Some(texts(&["x"])), None, Value::Null),
        (None, None, Value::Null),
        (Some(vec![]), Some(texts(&["/own"])), json!(["/own"])),
    ] {
        let mut creation = plain();
        (creation.spec.command, creation.spec.entrypoint) = (command, entrypoint);
        let body =
            serde_json::to_value(create::request(&creation, API, image.clone()).unwrap().body).unwrap();
        assert_eq!(body.get("Entrypoint").cloned().unwrap_or_default(), expected);
    }
}

#[test]
fn a_network_and_a_volume_are_made_as_defined_and_carry_whose_they_are() {
    let project = ProjectName::new("shop").unwrap();
    let spec = NetworkSpec {
        project: project.clone(),
        key: "front".to_owned(),
        name: "shop_front".to_owned(),
        external: false,
        driver: Some("bridge".to_owned()),
        options: pairs(&[("mtu", "1400")]),
        internal: true,
        attachable: true,
        enable_ipv6: true,
        ipam: Ipam {
            driver: None,
            config: vec![IpamPool {
                subnet: Some("10.5.0.0/24".to_owned()),
                ip_range: Some("10.5.0.0/25".to_owned()),
                gateway: Some("10.5.0.1".to_owned()),
                aux_addresses: pairs(&[("router", "10.5.0.2")]),
            }],
            options: BTreeMap::new(),
        },
        labels: pairs(&[("a", "b")]),
        source: Default::default(),
    };
    let body = serde_json::to_value(network::create(&spec, "host-1")).unwrap();
    let mut labels = body["Labels"].clone();
    let definition = labels.as_object_mut().unwrap().remove(label::DEFINITION).unwrap();
    assert_eq!(definition.as_str().unwrap().len(), 64);
    assert_eq!(
        labels,
        json!({"a": "b", "dev.evenkeel.owner": "host-1", "dev.evenkeel.project": "shop", "dev.evenkeel.network": "front",
            "com.docker.compose.project": "shop", "com.docker.compose.network": "front"})
    );
    assert_eq!(
        body["IPAM"],
        json!({"Config": [{"Subnet": "10.5.0.0/24", "IPRange": "10.5.0.0/25", "Gateway": "10.5.0.1",
            "AuxiliaryAddresses": {"router": "10.5.0.2"}}]})
    );
    for (pointer, expected) in [
        ("/Name", json!("shop_front")),
        ("/Driver", json!("bridge")),
        ("/Internal", json!(true)),
        ("/Attachable", json!(true)),
        ("/EnableIPv6", json!(true)),
        ("/Options", json!({"mtu": "1400"})),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}");
    }
    let spec = VolumeSpec {
        project,
        key: "data".to_owned(),
        name: "shop_data".to_owned(),
        external: false,
        driver: Some("local".to_owned()),
        driver_opts: pairs(&[("type", "nfs")]),
        labels: BTreeMap::new(),
        source: Default::default(),
    };
    let body = serde_json::to_value(network::create_volume(&spec, "host-1")).unwrap();
    assert_eq!((&body["Name"], &body["DriverOpts"]), (&json!("shop_data"), &json!({"type": "nfs"})));
    assert_eq!(body["Labels"][label::VOLUME], json!("data"));
    assert_eq!(body["Labels"][label::COMPOSE_VOLUME], json!("data"));
}

#[test]
fn labels_read_back_as_written_and_any_that_is_missing_or_odd_is_refused() {
    let own = plain().labels;
    let written = labels::of_container(&BTreeMap::new(), &own);
    assert_eq!(labels::decode(&written, "host-1").unwrap(), own);
    for name in [
        label::OWNER,
        label::PROJECT,
        label::SERVICE,
        label::SLOT,
        label::REVISION,
        label::SPEC,
        label::IMAGE_ID,
        label::IMAGE_REF,
        label::SOURCE,
    ] {
        let mut without = written.clone();
        without.remove(name);
        labels::decode(&without, "host-1").expect_err(name);
    }
    for (name, odd) in [
        (label::OWNER, "host-2"),
        (label::PROJECT, "../x"),
        (label::SERVICE, ""),
        (label::SLOT, "0"),
        (label::SLOT, "02"),
        (label::SLOT, "-1"),
        (label::SLOT, "99999999999"),
        (label::REVISION, "abc"),
        (label::SPEC, "ABC"),
        (label::IMAGE_ID, "web:1"),
    ] {
        let mut changed = written.clone();
        changed.insert(name.to_owned(), odd.to_owned());
        let why = labels::decode(&changed, "host-1").expect_err(odd).to_string();
        assert!(why.contains(odd) || why.contains(name), "{why}");
    }
}

/// An inspect answer of a container of ours, with parts replaced.
fn inspected(patch: &Value) -> ObservedContainer {
    let labels = labels::of_container(&BTreeMap::new(), &plain().labels);
    let mut answer = json!({
        "Id": "5f".repeat(32), "Name": "/shop-web-2", "Created": "2026-11-22T05:33:02.5Z", "Image": image_id("a").0,
        "RestartCount": 2,
        "State": {"Status": "running", "Running": true, "StartedAt": "2026-11-22T05:33:03.000000001Z",
            "FinishedAt": "0001-01-01T00:00:00Z", "ExitCode": 0, "Error": "", "OOMKilled": false, "Dead": false},
        "Config": {"Labels": labels, "StopTimeout": 5, "Tty": false, "Env": ["SECRET=x"]},
        "HostConfig": {"NetworkMode": "1a", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
        "NetworkSettings": {"Networks": {"shop_a": {"NetworkID": "1a", "Aliases": ["web", "5f5f5f5f5f5f"]}}},
        "Mounts": [{"Type": "volume", "Name": "v1", "Destination": "/data"}, {"Type": "bind", "Source": "/x", "Destination": "/x"}],
    });
    merge(&mut answer, patch);
    let answer: answers::Container = serde_json::from_value(answer).unwrap();
    observed::container(&answer, "host-1").unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[test]
fn an_inspected_container_is_read_whole() {
    let found = inspected(&json!({}));
    assert_eq!((found.id.short(), found.name.as_str()), ("5f5f5f5f5f5f", "shop-web-2"));
    assert_eq!(
        (found.status, found.restart_count, found.stop_timeout),
        (ContainerStatus::Running, 2, Some(5))
    );
    assert_eq!(found.started_at, Some(EngineStamp(1_795_325_583_000_000_001)));
    assert_eq!((found.finished_at, found.created_at), (None, EngineStamp(1_795_325_582_500_000_000)));
    assert_eq!(found.networks["shop_a"].aliases, BTreeSet::from(["web".to_owned()]), "without the short id");
    assert_eq!(found.network_mode, "shop_a");
    assert_eq!(found.volumes, pairs(&[("/data", "v1")]));
    assert_eq!(
        (found.resources, found.restart, found.health),
        (Resources::default(), RestartPolicy::No, Health::None)
    );
}

#[test]
fn states_of_every_engine_have_one_meaning() {
    use ContainerStatus::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    for (state, expected) in [
        (json!({"Status": "created", "Running": false}), Created),
        (json!({"Status": "restarting", "Running": true, "Restarting": true}), Restarting),
        (json!({"Status": "paused", "Running": true, "Paused": true}), Paused),
        (json!({"Status": "exited", "Running": false}), Exited),
        (json!({"Status": "removing", "Running": false}), Removing),
        (json!({"Status": "dead", "Running": false, "Dead": true}), Dead),
        (json!({"Status": "exited", "Running": false, "Dead": true}), Dead),
        (json!({"Status": "stopped", "Running": false}), Exited),
        (json!({"Status": "configured", "Running": false}), Created),
        (json!({"Status": "stopping", "Running": true}), Running),
        (json!({"Status": "hibernating", "Running": true}), Running),
        (json!({"Status": "hibernating", "Running": false}), Exited),
        (json!({"Status": null, "Running": true, "Paused": true}), Paused),
    ] {
        assert_eq!(inspected(&json!({"State": state})).status, expected, "{state}");
    }
}

#[test]
fn health_is_read_with_the_last_words_of_the_check() {
    let log = json!([{"ExitCode": 0, "Output": "first"}, {"ExitCode": 1, "Output": "connection refused\n"}]);
    for (word, expected) in [
        ("starting", Health::Starting),
        ("healthy", Health::Healthy),
        ("unhealthy", Health::Unhealthy),
        ("none", Health::None),
        ("", Health::None),
    ] {
        let found = inspected(&json!({"State": {"Health": {"Status": word, "Log": log}}}));
        assert_eq!((found.health, found.health_log.as_str()), (expected, "connection refused"), "{word}");
    }
    let long = json!({"State": {"Health": {"Status": "healthy", "Log": [{"Output": "ä".repeat(3000)}]}}});
    assert!(inspected(&long).health_log.len() <= 2048);
    assert_eq!(inspected(&json!({"State": {"Health": {"Status": "healthy", "Log": null}}})).health_log, "");
}

#[test]
fn limits_are_read_without_the_engines_own_additions() {
    let none = Resources::default();
    let mib = |count: u64| count << 20;
    for (host, expected) in [
        (json!({}), none.clone()),
        (
            json!({"Memory": 0, "MemorySwap": 0, "NanoCpus": 0, "CpuShares": 0, "CpusetCpus": "", "PidsLimit": null}),
            none.clone(),
        ),
        (json!({"PidsLimit": 0}), none.clone()),
        (json!({"PidsLimit": -1, "CpuQuota": -1, "MemoryReservation": -1}), none.clone()),
        (
            json!({"Memory": mib(64), "MemorySwap": mib(128)}),
            Resources { memory: Some(mib(64)), ..none.clone() },
        ),
        (
            json!({"Memory": mib(64), "MemorySwap": mib(128) + 1}),
            Resources { memory: Some(mib(64)), memory_swap: Some(128 << 20), ..none.clone() },
        ),
        (
            json!({"Memory": mib(64), "MemorySwap": -1}),
            Resources { memory: Some(mib(64)), memory_swap: Some(-1), ..none.clone() },
        ),
        (json!({"MemorySwap": -1}), Resources { memory_swap: Some(-1), ..none.clone() }),
        (json!({"Memory": 1u64 << 60, "MemorySwap": 1u64 << 61}), none.clone()),
        (json!({"NanoCpus": 1_999_999_999}), none.clone()),
        (json!({"NanoCpus": 2_000_000_000}), Resources { nano_cpus: Some(2_000_000_000), ..none.clone() }),
        (json!({"CpuShares": 1023}), none.clone()),
        (json!({"CpuShares": 1024}), Resources { cpu_shares: Some(1024), ..none.clone() }),
        (json!({"CpuPeriod": 100_001}), none.clone()),
        (json!({"CpusetCpus": "0-3,0"}), none.clone()),
        (json!({"CpusetCpus": "0,0"}), none.clone()),
        (json!({"CpusetCpus": "0-3"}), Resources { cpuset: Some("0-3".to_owned()), ..none.clone() }),
    ] {
        assert_eq!(inspected(&json!({ "HostConfig": host })).resources, expected, "{host}");
    }
}

#[test]
fn an_update_sends_what_differs_and_takes_limits_off_by_raising_them() {
    let none = Resources::default();
    let some = Resources {
        memory: Some(64 << 20),
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(9),
        cpuset: Some("0".to_owned()),
        pids: Some(5),
        ..none.clone()
    };
    let sent = |wanted: &Resources, current: &Resources| {
        serde_json::to_value(resources::update(wanted, current, 4)).unwrap()
    };
    assert_eq!(sent(&some, &some), json!({}));
    assert_eq!(
        sent(&some, &none),
        json!({"Memory": 64 << 20, "MemorySwap": 128 << 20, "NanoCpus": 500_000_000, "CpuShares": 9, "CpusetCpus": "0", "PidsLimit": 5})
    );
    let lifted = sent(&none, &some);
    let host: answers::HostConfig = serde_json::from_value(lifted.clone()).unwrap();
    assert_eq!(resources::observed(&host), none, "{lifted}");
}

#[test]
fn restart_policies_are_read_by_their_words() {
    for (word, count, expected) in [
        ("", 0, RestartPolicy::No),
        ("no", 0, RestartPolicy::No),
        ("always", 0, RestartPolicy::Always),
        ("unless-stopped", 0, RestartPolicy::UnlessStopped),
        ("on-failure", 3, RestartPolicy::OnFailure { max_retries: 3 }),
        ("on-failure", -1, RestartPolicy::OnFailure { max_retries: 0 }),
        ("on-full-moon", 0, RestartPolicy::Always),
    ] {
        let host = json!({"RestartPolicy": {"Name": word, "MaximumRetryCount": count}});
        assert_eq!(inspected(&json!({ "HostConfig": host })).restart, expected, "{word}");
    }
}

#[test]
fn an_image_is_read_with_its_check_and_its_volumes() {
    for (check, expected) in [
        (json!(null), false),
        (json!({"Test": null}), false),
        (json!({"Test": ["NONE"]}), false),
        (json!({"Test": ["CMD", "x"]}), true),
    ] {
        let answer = json!({"Id": "sha256:00", "RepoTags": null, "RepoDigests": ["web@sha256:1"], "Size": 5,
            "Architecture": "arm64", "Variant": "v8", "Config": {"Healthcheck": check, "Volumes": {"/data": {}}}});
        let found = observed::image(serde_json::from_value(answer).unwrap());
        assert_eq!(found.has_healthcheck, expected, "{check}");
        assert_eq!((found.architecture.as_str(), found.size), ("arm64/v8", 5));
        assert_eq!(found.volumes, BTreeSet::from(["/data".to_owned()]));
        assert_eq!((found.tags, found.digests), (Vec::new(), texts(&["web@sha256:1"])));
    }
}

#[test]
fn tags_are_those_of_exactly_one_repository() {
    let images = json!([
        {"Id": "sha256:1", "RepoTags": ["evenkeel/shop-web:aaaa", "evenkeel/shop-web2:bbbb", "web:1"]},
        {"Id": "sha256:2", "RepoTags": ["evenkeel/shop-web:cccc"]},
        {"Id": "sha256:3", "RepoTags": null},
    ]);
    let found = observed::tags_of("evenkeel/shop-web", serde_json::from_value(images).unwrap());
    let expected = [("aaaa", "sha256:1"), ("cccc", "sha256:2")];
    assert_eq!(found, expected.map(|(tag, id)| (tag.to_owned(), ImageId(id.to_owned()))).into());
}

#[test]
fn a_row_of_the_list_leads_with_its_own_name_and_its_published_ports() {
    let row = json!({"Id": "a", "Names": ["/other/alias", "/web"], "State": "running", "ImageID": "sha256:1",
        "Labels": {"x": "y"}, "Ports": [{"PrivatePort": 80, "Type": "tcp"}, {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]});
    let found = observed::summary(serde_json::from_value(row).unwrap());
    assert_eq!(found.names, ["web", "other/alias"]);
    assert_eq!(found.host_ports, BTreeSet::from([(8080, "tcp".to_owned())]));
    assert_eq!((found.status, found.labels), (ContainerStatus::Running, pairs(&[("x", "y")])));
}
