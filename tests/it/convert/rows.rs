//! One row per wish about a process, its labels, ports and networks: the wish, how it is said, and the request's field.

use super::*;

pub(super) type Adjust = fn(&mut Creation);
pub(super) type Row = (&'static str, Adjust, &'static str, Value);

fn port(container: u16, protocol: Protocol, ip: Option<&str>, host: Option<(u16, u16)>) -> PortBinding {
    PortBinding {
        container: ContainerPort { port: container, protocol },
        host_ip: ip.map(|ip| ip.parse().unwrap()),
        host_port: host,
    }
}

pub(super) fn volume(name: Option<&str>, no_copy: bool, subpath: Option<&str>) -> Mount {
    let (name, subpath) = (name.map(str::to_owned), subpath.map(str::to_owned));
    Mount {
        source: MountSource::Volume { name, key: None, no_copy, subpath, labels: BTreeMap::new() },
        read_only: false,
    }
}

fn checked(creation: &mut Creation, check: HealthcheckSpec) {
    creation.spec.healthcheck = Healthcheck::Set(check);
}

/// What a process is and how it runs.
pub(super) fn process_rows() -> Vec<Row> {
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
pub(super) fn label_rows() -> Vec<Row> {
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
pub(super) fn network_rows() -> Vec<Row> {
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
