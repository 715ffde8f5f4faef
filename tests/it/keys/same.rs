//! Two spellings of one wish are one spec: neither hash nor anything else may differ.

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::spec::{ServiceSpec, SourcePlace};

use super::spec;

fn without_place(lines: &str) -> ServiceSpec {
    ServiceSpec { source: SourcePlace::default(), ..spec(lines) }
}

#[rustfmt::skip]
const SAME: &[(&str, &str)] = &[
    ("image = \"nginx\"", "image = \"docker.io/library/nginx:latest\""),
    ("command = \"a 'b c'\"", "command = [\"a\", \"b c\"]"),
    ("entrypoint = \"a b\"", "entrypoint = [\"a\", \"b\"]"),
    ("environment = { A = 1, B = true }", "environment = [\"B=true\", \"A=1\"]"),
    ("environment = { A = 1 }", "[services.web.environment]\nA = \"1\""),
    ("env_file = \"more.env\"", "environment = { B = \"later\" }"),
    ("env_file = \"more.env\"", "env_file = [{ path = \"./more.env\" }]"),
    ("labels = { a.b = 1 }", "labels = [\"a.b=1\"]"),
    ("labels = { a.b = 1 }", "deploy.labels = { \"a.b\" = \"1\" }"),
    ("ports = [\"8080:80\"]", "ports = [{ target = 80, published = 8080, protocol = \"tcp\", mode = \"host\" }]"),
    ("ports = [\"1-2:3-4\"]", "ports = [\"2:4\", \"1:3/tcp\"]"),
    ("ports = [80]", "ports = [\"80\"]"),
    ("ports = [\"[::1]:1:2\"]", "ports = [{ target = 2, published = \"1\", host_ip = \"::1\" }]"),
    ("expose = [80, 81]", "expose = [\"80-81/tcp\"]"),
    ("volumes = [\"./a:/b\"]", "volumes = [{ type = \"bind\", source = \"./a\", target = \"/b/\", bind = { create_host_path = true } }]"),
    ("volumes = [\"./a:/b\"]", "volumes = [{ type = \"bind\", source = \"./a\", target = \"/b\" }]"),
    ("volumes = [\"./a:/b\"]", "volumes = [\"/srv/desired/shop/a/:/b:rw\"]"),
    ("volumes = [\"data:/b:ro\"]", "volumes = [{ type = \"volume\", source = \"data\", target = \"/b\", read_only = true }]"),
    ("volumes = [\"/b\"]", "volumes = [{ type = \"volume\", target = \"/b\" }]"),
    ("volumes = [\"/a:/a\", \"/b:/b\"]", "volumes = [\"/b:/b\", \"/a:/a:rprivate\"]"),
    ("tmpfs = \"/run:size=1m,mode=700\"", "tmpfs = [\"/run:mode=700,size=1m\"]"),
    ("networks = [\"front\", \"back\"]", "networks = { back = {}, front = {} }"),
    ("networks = []", ""),
    ("network_mode = \"bridge\"", "network_mode = \"default\""),
    ("depends_on = [\"db\"]", "depends_on = { db = \"service_started\" }"),
    ("depends_on = [\"db\"]", "depends_on = { db = { condition = \"service_started\", restart = false, required = true } }"),
    ("healthcheck = { test = \"x\" }", "healthcheck = { test = [\"CMD-SHELL\", \"x\"] }"),
    ("healthcheck = { test = \"x\", interval = \"90s\" }", "healthcheck = { test = \"x\", interval = \"1m30s\" }"),
    ("healthcheck = { disable = true }", "healthcheck = { test = [\"NONE\"] }"),
    ("restart = \"no\"", ""),
    ("restart = \"on-failure:3\"", "deploy.restart_policy = { condition = \"on-failure\", max_attempts = 3 }"),
    ("stop_signal = \"term\"", "stop_signal = \"15\""),
    ("stop_grace_period = \"60s\"", "stop_grace_period = \"1m\""),
    ("scale = 2", "deploy.replicas = 2"),
    ("mem_limit = \"1g\"", "deploy.resources.limits.memory = 1073741824"),
    ("cpus = 0.3", "deploy.resources.limits.cpus = \"0.30\""),
    ("pids_limit = 9", "deploy.resources.limits.pids = 9"),
    ("mem_reservation = \"64m\"", "deploy.resources.reservations.memory = \"65536k\""),
    ("cap_add = [\"CAP_NET_ADMIN\", \"SYS_TIME\"]", "cap_add = [\"sys_time\", \"net_admin\"]"),
    ("security_opt = [\"no-new-privileges\"]", "security_opt = [\"no-new-privileges:true\"]"),
    ("extra_hosts = [\"b:1.1.1.1\", \"a=::1\"]", "extra_hosts = { a = \"[::1]\", b = \"1.1.1.1\" }"),
    ("dns = \"1.1.1.1\"", "dns = [\"1.1.1.1\"]"),
    ("devices = [\"/dev/a\"]", "devices = [{ source = \"/dev/a\", target = \"/dev/a\", permissions = \"mwr\" }]"),
    ("ulimits.nofile = 5", "ulimits.nofile = { soft = 5, hard = 5 }"),
    ("sysctls.net.core.somaxconn = 5", "sysctls = [\"net.core.somaxconn=5\"]"),
    ("logging = {}", ""),
    ("shm_size = \"1m\"", "shm_size = \"1024k\""),
    ("platform = \"arm64\"", "platform = \"linux/arm64/v8\""),
    ("read_only = false\nprivileged = false", ""),
    ("deploy.update_config.monitor = \"10s\"", "deploy.update_config.order = \"stop-first\""),
    ("working_dir = \"/a/\"", "working_dir = \"/a\""),
    ("pull_policy = \"every_24h\"", "pull_policy = \"daily\""),
];

#[test]
fn two_spellings_are_one_spec() {
    for (one, other) in SAME {
        let (left, right) = (without_place(one), without_place(other));
        assert_eq!(left, right, "{one}\n  is not\n{other}");
        assert_eq!(SpecHash::of(&left.container), SpecHash::of(&right.container), "{one}");
    }
}

#[test]
fn two_wishes_are_two_specs() {
    for (one, other) in [
        ("", "command = []"),
        ("", "init = false"),
        ("environment = [\"A\"]", "environment = [\"A=\"]"),
        ("ports = [\"80\"]", "ports = [\"80:80\"]"),
        ("ports = [\"80:80\"]", "ports = [\"0.0.0.0:80:80\"]"),
        (
            "volumes = [\"./a:/a\"]",
            "volumes = [{ type = \"bind\", source = \"./a\", target = \"/a\", bind = { create_host_path = false } }]",
        ),
        ("tmpfs = \"/a\"", "volumes = [{ type = \"tmpfs\", target = \"/a\" }]"),
        ("security_opt = [\"no-new-privileges=false\"]", ""),
    ] {
        let (left, right) = (without_place(one), without_place(other));
        assert_ne!(SpecHash::of(&left.container), SpecHash::of(&right.container), "{one} and {other}");
    }
}
