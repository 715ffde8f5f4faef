//! The rows.

use serde_json::json;

use super::Row::{self, Request, Spec, Told};

const OLDEST: (u32, u32) = (1, 41);

pub fn all() -> Vec<Row> {
    [process(), connections(), storage(), limits(), rights(), policy(), without()]
        .into_iter()
        .flatten()
        .collect()
}

#[rustfmt::skip]
fn process() -> Vec<Row> {
    vec![
        Request("image", "image = \"app:2\"", OLDEST, "/Image", json!(format!("sha256:{}", "a".repeat(64)))),
        Request("command", "command = \"serve --port 80\"", OLDEST, "/Cmd", json!(["serve", "--port", "80"])),
        Request("entrypoint", "entrypoint = [\"/bin/app\"]", OLDEST, "/Entrypoint", json!(["/bin/app"])),
        Request("environment", "environment = { A = 1, B = \"x\" }", OLDEST, "/Env", json!(["A=1", "B=x"])),
        Request("env_file", "env_file = [{ path = \"raw.env\", format = \"raw\" }, \"more.env\"]", OLDEST, "/Env", json!(["B=later", "D=$THREE", "Q='kept'"])),
        Request("labels", "labels = { a.b = 1 }", OLDEST, "/Labels/a.b", json!("1")),
        Request("label_file", "label_file = \"app.labels\"", OLDEST, "/Labels/app.two", json!("two words")),
        Request("annotations", "annotations = { a.b = 1 }", (1, 43), "/HostConfig/Annotations", json!({ "a.b": "1" })),
        Request("user", "user = \"1000:1000\"", OLDEST, "/User", json!("1000:1000")),
        Request("group_add", "group_add = [\"mail\", 44]", OLDEST, "/HostConfig/GroupAdd", json!(["44", "mail"])),
        Request("working_dir", "working_dir = \"/srv\"", OLDEST, "/WorkingDir", json!("/srv")),
        Request("hostname", "hostname = \"box\"", OLDEST, "/Hostname", json!("box")),
        Request("domainname", "domainname = \"example.org\"", OLDEST, "/Domainname", json!("example.org")),
        Request("tty", "tty = true", OLDEST, "/Tty", json!(true)),
        Request("stdin_open", "stdin_open = true", OLDEST, "/OpenStdin", json!(true)),
        Request("init", "init = true", OLDEST, "/HostConfig/Init", json!(true)),
        Request("runtime", "runtime = \"runsc\"", OLDEST, "/HostConfig/Runtime", json!("runsc")),
        Request("stop_signal", "stop_signal = \"quit\"", OLDEST, "/StopSignal", json!("SIGQUIT")),
        Request("stop_grace_period", "stop_grace_period = \"1m30s\"", OLDEST, "/StopTimeout", json!(90)),
        Request("healthcheck", "healthcheck = { test = \"true\", interval = \"1s\", retries = 2 }", OLDEST, "/Healthcheck", json!({ "Test": ["CMD-SHELL", "true"], "Interval": 1_000_000_000, "Retries": 2 })),
        Request("healthcheck", "healthcheck = { test = \"true\", start_interval = \"1s\" }", (1, 44), "/Healthcheck/StartInterval", json!(1_000_000_000)),
        Spec("platform", "platform = \"aarch64\"", "/container/platform", json!("linux/arm64")),
        Spec("container_name", "container_name = \"the-web\"", "/live/container_name", json!("the-web")),
        Request("extends", "extends = \"db\"", OLDEST, "/HostConfig/RestartPolicy/Name", json!("no")),
    ]
}

#[rustfmt::skip]
fn connections() -> Vec<Row> {
    let endpoint = "/NetworkingConfig/EndpointsConfig/id-of-shop_front";
    let at = |tail: &str| -> &'static str { Box::leak(format!("{endpoint}/{tail}").into_boxed_str()) };
    vec![
        Request("ports", "ports = [\"127.0.0.1:8080:80\"]", OLDEST, "/HostConfig/PortBindings", json!({ "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }] })),
        Request("expose", "expose = [\"53/udp\"]", OLDEST, "/ExposedPorts", json!({ "53/udp": {} })),
        Request("networks", "networks.front.aliases = [\"www\"]", OLDEST, at("Aliases"), json!(["web", "www"])),
        Request("networks", "networks.front = { ipv4_address = \"10.5.0.7\", link_local_ips = [\"169.254.8.8\"] }", OLDEST, at("IPAMConfig"), json!({ "IPv4Address": "10.5.0.7", "LinkLocalIPs": ["169.254.8.8"] })),
        Request("networks", "networks.front.driver_opts = { a.b = 1 }", OLDEST, at("DriverOpts"), json!({ "a.b": "1" })),
        Request("networks", "networks.front.mac_address = \"02:42:AC:11:00:05\"", (1, 44), at("MacAddress"), json!("02:42:ac:11:00:05")),
        Request("networks", "networks.front.gw_priority = 7", (1, 48), at("GwPriority"), json!(7)),
        Request("networks", "networks.front.interface_name = \"eth5\"", (1, 49), at("DriverOpts"), json!({ "com.docker.network.endpoint.ifname": "eth5" })),
        Request("network_mode", "network_mode = \"service:db\"", OLDEST, "/HostConfig/NetworkMode", json!("container:dbdbdb")),
        Request("mac_address", "mac_address = \"02:42:AC:11:00:05\"", OLDEST, "/MacAddress", json!("02:42:ac:11:00:05")),
        Request("links", "links = [\"db:database\"]\nnetworks = [\"front\"]", OLDEST, at("Links"), json!(["db:database"])),
        Request("links", "links = [\"db:database\"]\nnetwork_mode = \"bridge\"", OLDEST, "/HostConfig/Links", json!(["dbdbdb:database"])),
        Request("external_links", "external_links = [\"old_1:old\"]\nnetworks = [\"front\"]", OLDEST, at("Links"), json!(["old_1:old"])),
        Request("external_links", "external_links = [\"old_1:old\"]\nnetwork_mode = \"bridge\"", OLDEST, "/HostConfig/Links", json!(["old_1:old"])),
        Request("extra_hosts", "extra_hosts = [\"a=1.2.3.4\"]", OLDEST, "/HostConfig/ExtraHosts", json!(["a:1.2.3.4"])),
        Request("dns", "dns = \"1.1.1.1\"", OLDEST, "/HostConfig/Dns", json!(["1.1.1.1"])),
        Request("dns_opt", "dns_opt = [\"use-vc\"]", OLDEST, "/HostConfig/DnsOptions", json!(["use-vc"])),
        Request("dns_search", "dns_search = \"example.org\"", OLDEST, "/HostConfig/DnsSearch", json!(["example.org"])),
    ]
}

#[rustfmt::skip]
fn storage() -> Vec<Row> {
    let mount = "/HostConfig/Mounts/0";
    let at = |tail: &str| -> &'static str { Box::leak(format!("{mount}/{tail}").into_boxed_str()) };
    vec![
        Request("volumes", "volumes = [\"./a:/b:ro\"]", OLDEST, "/HostConfig/Binds", json!(["/srv/desired/shop/a:/b:ro"])),
        Request("volumes", "volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", bind = { create_host_path = false } }]", OLDEST, mount, json!({ "Type": "bind", "Source": "/a", "Target": "/b" })),
        Request("volumes", "volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", bind = { recursive = \"disabled\" } }]", OLDEST, at("BindOptions"), json!({ "NonRecursive": true })),
        Request("volumes", "volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", read_only = true, bind = { recursive = \"writable\" } }]", (1, 44), at("BindOptions"), json!({ "ReadOnlyNonRecursive": true, "CreateMountpoint": true })),
        Request("volumes", "volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", read_only = true, bind = { recursive = \"readonly\" } }]", (1, 44), at("BindOptions"), json!({ "Propagation": "rprivate", "ReadOnlyForceRecursive": true, "CreateMountpoint": true })),
        Request("volumes", "volumes = [{ type = \"volume\", source = \"data\", target = \"/b\", volume = { subpath = \"in\" } }]", (1, 45), at("VolumeOptions"), json!({ "Subpath": "in" })),
        Request("volumes", "volumes = [{ type = \"volume\", target = \"/b\", volume = { labels = { a = 1 } } }]", OLDEST, at("VolumeOptions"), json!({ "Labels": { "a": "1" } })),
        Request("volumes", "volumes = [{ type = \"image\", source = \"files:1\", target = \"/b\", image = { subpath = \"in\" } }]", (1, 48), mount, json!({ "Type": "image", "Source": "files:1", "Target": "/b", "ImageOptions": { "Subpath": "in" } })),
        Request("volumes_from", "volumes_from = [\"db:ro\", \"container:old\"]", OLDEST, "/HostConfig/VolumesFrom", json!(["dbdbdb:ro", "old"])),
        Spec("secrets", "secrets = [\"password\"]", "mounts", json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /run/secrets/password ro"])),
        Spec("configs", "configs = [\"ini\"]", "mounts", json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /ini ro"])),
        Request("tmpfs", "tmpfs = \"/run:size=1m\"", OLDEST, "/HostConfig/Tmpfs", json!({ "/run": "size=1m" })),
        Request("shm_size", "shm_size = \"64m\"", OLDEST, "/HostConfig/ShmSize", json!(64 << 20)),
        Request("storage_opt", "storage_opt = { size = \"1G\" }", OLDEST, "/HostConfig/StorageOpt", json!({ "size": "1G" })),
    ]
}

#[rustfmt::skip]
fn limits() -> Vec<Row> {
    vec![
        Request("mem_limit", "mem_limit = \"64m\"", OLDEST, "/HostConfig/Memory", json!(64 << 20)),
        Request("mem_reservation", "mem_reservation = \"32m\"", OLDEST, "/HostConfig/MemoryReservation", json!(32 << 20)),
        Request("memswap_limit", "memswap_limit = -1", OLDEST, "/HostConfig/MemorySwap", json!(-1)),
        Request("mem_swappiness", "mem_swappiness = 0", OLDEST, "/HostConfig/MemorySwappiness", json!(0)),
        Request("oom_kill_disable", "oom_kill_disable = true", OLDEST, "/HostConfig/OomKillDisable", json!(true)),
        Request("oom_score_adj", "oom_score_adj = -500", OLDEST, "/HostConfig/OomScoreAdj", json!(-500)),
        Request("cpus", "cpus = 0.5", OLDEST, "/HostConfig/NanoCpus", json!(500_000_000)),
        Request("cpu_shares", "cpu_shares = 512", OLDEST, "/HostConfig/CpuShares", json!(512)),
        Request("cpu_period", "cpu_period = \"20ms\"", OLDEST, "/HostConfig/CpuPeriod", json!(20_000)),
        Request("cpu_quota", "cpu_quota = 10000", OLDEST, "/HostConfig/CpuQuota", json!(10_000)),
        Request("cpu_rt_period", "cpu_rt_period = \"400ms\"", OLDEST, "/HostConfig/CpuRealtimePeriod", json!(400_000)),
        Request("cpu_rt_runtime", "cpu_rt_runtime = 95000", OLDEST, "/HostConfig/CpuRealtimeRuntime", json!(95_000)),
        Request("cpuset", "cpuset = \"0-1\"", OLDEST, "/HostConfig/CpusetCpus", json!("0-1")),
        Request("pids_limit", "pids_limit = 99", OLDEST, "/HostConfig/PidsLimit", json!(99)),
        Request("blkio_config", "blkio_config = { weight = 300 }", OLDEST, "/HostConfig/BlkioWeight", json!(300)),
        Request("blkio_config", "blkio_config = { weight_device = [{ path = \"/dev/sda\", weight = 400 }] }", OLDEST, "/HostConfig/BlkioWeightDevice", json!([{ "Path": "/dev/sda", "Weight": 400 }])),
        Request("blkio_config", "blkio_config = { device_read_bps = [{ path = \"/dev/sda\", rate = \"1k\" }] }", OLDEST, "/HostConfig/BlkioDeviceReadBps", json!([{ "Path": "/dev/sda", "Rate": 1024 }])),
        Request("blkio_config", "blkio_config = { device_write_bps = [{ path = \"/dev/sda\", rate = 9 }] }", OLDEST, "/HostConfig/BlkioDeviceWriteBps", json!([{ "Path": "/dev/sda", "Rate": 9 }])),
        Request("blkio_config", "blkio_config = { device_read_iops = [{ path = \"/dev/sda\", rate = 8 }] }", OLDEST, "/HostConfig/BlkioDeviceReadIOps", json!([{ "Path": "/dev/sda", "Rate": 8 }])),
        Request("blkio_config", "blkio_config = { device_write_iops = [{ path = \"/dev/sda\", rate = 7 }] }", OLDEST, "/HostConfig/BlkioDeviceWriteIOps", json!([{ "Path": "/dev/sda", "Rate": 7 }])),
        Request("ulimits", "ulimits = { nofile = { soft = 1, hard = 2 } }", OLDEST, "/HostConfig/Ulimits", json!([{ "Name": "nofile", "Soft": 1, "Hard": 2 }])),
        Request("cgroup_parent", "cgroup_parent = \"m.slice\"", OLDEST, "/HostConfig/CgroupParent", json!("m.slice")),
    ]
}

#[rustfmt::skip]
fn rights() -> Vec<Row> {
    let gpu = json!([{ "Driver": "nvidia", "Count": 1, "Capabilities": [["gpu"]] }]);
    vec![
        Request("read_only", "read_only = true", OLDEST, "/HostConfig/ReadonlyRootfs", json!(true)),
        Request("privileged", "privileged = true", OLDEST, "/HostConfig/Privileged", json!(true)),
        Request("cap_add", "cap_add = [\"net_admin\"]", OLDEST, "/HostConfig/CapAdd", json!(["NET_ADMIN"])),
        Request("cap_drop", "cap_drop = [\"ALL\"]", OLDEST, "/HostConfig/CapDrop", json!(["ALL"])),
        Request("security_opt", "security_opt = [\"seccomp=seccomp.json\"]", OLDEST, "/HostConfig/SecurityOpt", json!(["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"])),
        Request("security_opt", "security_opt = [\"writable-cgroups=true\"]", (1, 48), "/HostConfig/SecurityOpt", json!(["writable-cgroups=true"])),
        Request("security_opt", "security_opt = [\"systempaths=unconfined\"]", OLDEST, "/HostConfig/MaskedPaths", json!([])),
        Request("security_opt", "security_opt = [\"systempaths=unconfined\"]", OLDEST, "/HostConfig/ReadonlyPaths", json!([])),
        Request("devices", "devices = [\"/dev/a:/dev/b:r\"]", OLDEST, "/HostConfig/Devices", json!([{ "PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r" }])),
        Request("devices", "devices = [\"vendor.com/class=one\", { source = \"vendor.com/class=two\" }]", (1, 44), "/HostConfig/DeviceRequests", json!([{ "Driver": "cdi", "DeviceIDs": ["vendor.com/class=one", "vendor.com/class=two"] }])),
        Request("device_cgroup_rules", "device_cgroup_rules = [\"c 1:3 mr\"]", OLDEST, "/HostConfig/DeviceCgroupRules", json!(["c 1:3 mr"])),
        Request("gpus", "gpus = \"all\"", OLDEST, "/HostConfig/DeviceRequests", json!([{ "Count": -1, "Capabilities": [["gpu"]] }])),
        Request("gpus", "gpus = [{ driver = \"nvidia\", count = 1 }]", OLDEST, "/HostConfig/DeviceRequests", gpu.clone()),
        Request("sysctls", "sysctls = { net.core.somaxconn = 1024 }", OLDEST, "/HostConfig/Sysctls", json!({ "net.core.somaxconn": "1024" })),
        Request("logging", "logging = { driver = \"local\", options = { max-size = \"1m\" } }", OLDEST, "/HostConfig/LogConfig", json!({ "Type": "local", "Config": { "max-size": "1m" } })),
        Request("ipc", "ipc = \"service:db\"", OLDEST, "/HostConfig/IpcMode", json!("container:dbdbdb")),
        Request("ipc", "ipc = \"shareable\"", OLDEST, "/HostConfig/IpcMode", json!("shareable")),
        Request("pid", "pid = \"service:cache\"", OLDEST, "/HostConfig/PidMode", json!("container:cachecachecache")),
        Request("pid", "pid = \"host\"", OLDEST, "/HostConfig/PidMode", json!("host")),
        Request("uts", "uts = \"host\"", OLDEST, "/HostConfig/UTSMode", json!("host")),
        Request("userns_mode", "userns_mode = \"host\"", OLDEST, "/HostConfig/UsernsMode", json!("host")),
        Request("cgroup", "cgroup = \"host\"", OLDEST, "/HostConfig/CgroupnsMode", json!("host")),
        Request("use_api_socket", "use_api_socket = true", OLDEST, "/HostConfig/Mounts", json!([{ "Type": "bind", "Source": "/var/run/docker.sock", "Target": "/var/run/docker.sock" }])),
        Request("deploy", "deploy.resources.reservations.devices = [{ driver = \"nvidia\", count = 1, capabilities = [\"gpu\"] }]", OLDEST, "/HostConfig/DeviceRequests", gpu),
        Request("deploy", "deploy.labels = { a = 1 }", OLDEST, "/Labels/a", json!("1")),
    ]
}

#[rustfmt::skip]
fn policy() -> Vec<Row> {
    vec![
        Spec("depends_on", "depends_on = [\"db\"]", "/policy/depends_on/db/condition", json!("service_started")),
        Spec("deploy", "deploy = { replicas = 3 }", "/policy/replicas", json!(3)),
        Spec("deploy", "deploy.update_config = { order = \"start-first\", parallelism = 2, delay = \"1s\", failure_action = \"pause\", monitor = \"5s\", max_failure_ratio = 0.5 }", "/policy/update", json!({
            "order": "start-first", "parallelism": 2, "delay_ms": 1000, "failure_action": "pause", "monitor_ms": 5000, "healthy_within_ms": 180_000, "max_failure_permille": 500,
        })),
        Spec("deploy", "deploy.rollback_config = { parallelism = 1, delay = \"1s\", monitor = \"2s\", order = \"stop-first\" }", "/policy/update/rollback", json!({ "order": "stop-first", "parallelism": 1, "delay_ms": 1000, "monitor_ms": 2000 })),
        Spec("scale", "scale = 2", "/policy/replicas", json!(2)),
        Spec("restart", "restart = \"on-failure:3\"", "/live/restart", json!({ "on-failure": { "max_retries": 3 } })),
        Spec("pull_policy", "pull_policy = \"every_12h\"", "/policy/pull", json!({ "every": 43_200 })),
        Spec("post_start", "post_start = [{ command = [\"a\"] }]", "/container/lifecycle/post_start/0/exec/command", json!(["a"])),
        Spec("pre_start", "pre_start = [{ command = [\"a\"] }]", "/container/lifecycle/pre_start/0/exec/command", json!(["a"])),
        Spec("pre_stop", "pre_stop = [{ command = [\"a\"] }]", "/container/lifecycle/pre_stop/0/exec/command", json!(["a"])),
        Spec("profiles", "profiles = []", "/policy/replicas", json!(1)),
    ]
}

#[rustfmt::skip]
fn without() -> Vec<Row> {
    vec![
        Told("attach", "attach = false", "unsupported-key", "compose up"),
        Told("cpu_count", "cpu_count = 1", "unsupported-key", "Windows only"),
        Told("cpu_percent", "cpu_percent = 1", "unsupported-key", "Windows only"),
        Told("credential_spec", "credential_spec = {}", "unsupported-key", "Windows only"),
        Told("isolation", "isolation = \"default\"", "unsupported-key", "Windows only"),
        Told("develop", "develop = {}", "unsupported-key", "compose watch"),
        Told("models", "models = []", "unsupported-key", "Model Runner"),
        Told("provider", "provider = {}", "unsupported-key", "another program"),
        Told("pull_refresh_after", "pull_refresh_after = \"1d\"", "unsupported-key", "every_<duration>"),
        // Read and checked; an image that is built is for `builds` to make.
        Told("build", "build = { context = \".\", dokcerfile = \"x\" }", "unknown-key", "dockerfile"),
    ]
}
