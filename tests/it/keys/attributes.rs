//! The rarer keys of a service.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    vec![
        Good("tty = true", "/container/extra/tty", json!(true)),
        Good("tty = \"${YES}\"\nstdin_open = \"${YES}\"", "/container/extra", json!({ "stdin_open": true, "tty": true })),
        Good("stdin_open = true", "/container/extra", json!({ "stdin_open": true })),
        Good("domainname = \"Example.org\"", "/container/extra/domainname", json!("Example.org")),
        Good("domainname = \"${NAME}.example\"", "/container/extra/domainname", json!("web.example")),
        Good("mac_address = \"02-42-AC-11-00-05\"", "/container/extra/mac_address", json!("02:42:ac:11:00:05")),
        Good("mac_address = \"02:42:ac:11:00:05\"\nnetwork_mode = \"bridge\"", "/container/extra/mac_address", json!("02:42:ac:11:00:05")),
        Good("group_add = [\"mail\", 44, \"44\"]", "/container/extra/group_add", json!(["44", "mail"])),
        Good("group_add = [\"${NAME}\"]", "/container/extra/group_add", json!(["web"])),
        Good("runtime = \"runsc\"", "/container/extra/runtime", json!("runsc")),
        Good("runtime = \"${NAME}\"", "/container/extra/runtime", json!("web")),
        Good("storage_opt = { size = \"1G\" }", "/container/extra/storage_opt", json!({ "size": "1G" })),
        Good("[services.web.storage_opt]\nsize = 120", "/container/extra/storage_opt/size", json!("120")),
        Good("dns_opt = [\"use-vc\", \"ndots:2\", \"use-vc\"]", "/container/extra/dns_opt", json!(["use-vc", "ndots:2"])),
        Good("dns_opt = []", "/container/dns", json!([])),
        Good("dns_search = \"example.org\"", "/container/extra/dns_search", json!(["example.org"])),
        Good("dns_search = [\"b.org\", \"a.org\"]", "/container/extra/dns_search", json!(["b.org", "a.org"])),
        Good("oom_kill_disable = true", "/container/extra/oom_kill_disable", json!(true)),
        Good("oom_score_adj = -500", "/container/extra/oom_score_adj", json!(-500)),
        Good("oom_score_adj = 0\ntty = true", "/container/extra", json!({ "tty": true })),
        Good("mem_swappiness = 0", "/container/extra/mem_swappiness", json!(0)),
        Good("mem_swappiness = -1\noom_kill_disable = true", "/container/extra", json!({ "oom_kill_disable": true })),
        Good("cpu_rt_period = \"400ms\"", "/live/resources/cpu_rt_period", json!(400_000)),
        Good("cpu_rt_runtime = 95000\ncpu_rt_period = 100000", "/live/resources/cpu_rt_runtime", json!(95_000)),
        Good("cgroup = \"host\"", "/container/extra/cgroup", json!("host")),
        Good("cgroup = \"private\"", "/container/extra/cgroup", json!("private")),
        Good("cgroup_parent = \"m-executor-abcd\"", "/container/extra/cgroup_parent", json!("m-executor-abcd")),
        Good("cgroup_parent = \"${NAME}.slice\"", "/container/extra/cgroup_parent", json!("web.slice")),
        Good("uts = \"host\"", "/container/extra/uts", json!("host")),
        Good("userns_mode = \"host\"", "/container/extra/userns_mode", json!("host")),
        Good("ipc = \"shareable\"", "/container/extra/ipc", json!("shareable")),
        Good("ipc = \"service:db\"", "/container/extra/ipc", json!({ "service": "db" })),
        Good("ipc = \"service:db\"", "/policy/depends_on/db", json!({ "condition": "service_started", "restart": true, "required": true })),
        Good("ipc = \"container:other\"", "/container/extra/ipc", json!({ "container": "other" })),
        Good("pid = \"host\"", "/container/extra/pid", json!("host")),
        Good("pid = \"service:db\"\ndepends_on = { db = \"service_healthy\" }", "/policy/depends_on/db/condition", json!("service_healthy")),
        Good("volumes_from = [\"db\", \"cache:ro\", \"container:old:rw\"]", "/container/extra/volumes_from", json!([
            { "from": { "service": "db" } }, { "from": { "service": "cache" }, "read_only": true }, { "from": { "container": "old" } },
        ])),
        Good("volumes_from = [\"db\"]", "/policy/depends_on/db/restart", json!(false)),
        Good("links = [\"db:database\", \"cache\"]", "networks", json!(["shop_default (default) link db:database"])),
        Good("links = [\"cache\"]", "/policy/depends_on/cache", json!({ "condition": "service_started", "restart": false, "required": true })),
        Good("links = [\"db:one\", \"db:two\"]\nnetworks = [\"front\", \"back\"]", "networks", json!(["shared (back) link db:one link db:two", "shop_front (front) link db:one link db:two"])),
        Good("links = [\"db:database\"]\nnetwork_mode = \"bridge\"", "/container/extra/links", json!([{ "to": { "service": "db" }, "alias": "database" }])),
        Good("external_links = [\"redis_1:redis\", \"plain\"]", "networks", json!(["shop_default (default) link redis_1:redis"])),
        Good("external_links = [\"redis_1\"]\nnetwork_mode = \"bridge\"", "/container/extra/links", json!([{ "to": { "container": "redis_1" }, "alias": "redis_1" }])),
        Good("device_cgroup_rules = [\"c 1:3 mr\", \"a 7:* rmw\"]", "/container/extra/device_cgroup_rules", json!(["c 1:3 mr", "a 7:* rmw"])),
        Good("gpus = \"all\"", "/container/extra/device_requests", json!([{ "count": -1, "capabilities": ["gpu"] }])),
        Good("gpus = [{ driver = \"3dfx\", count = 2 }]", "/container/extra/device_requests", json!([{ "driver": "3dfx", "count": 2, "capabilities": ["gpu"] }])),
        Good("deploy.resources.reservations.devices = [{ capabilities = [\"gpu\", \"utility\"], device_ids = [\"0\"], driver = \"nvidia\", options = { virtualization = false } }]", "/container/extra/device_requests", json!([
            { "driver": "nvidia", "count": 0, "device_ids": ["0"], "capabilities": ["gpu", "utility"], "options": { "virtualization": "false" } },
        ])),
        Good("deploy.resources.reservations.devices = [{ capabilities = [\"tpu\"] }]", "/container/extra/device_requests/0/count", json!(-1)),
        Good("[services.web.blkio_config]\nweight = 300\nweight_device = [{ path = \"/dev/sda\", weight = 400 }]", "/container/extra/blkio", json!({ "weight": 300, "weight_device": { "/dev/sda": 400 } })),
        Good("blkio_config = { device_read_bps = [{ path = \"/dev/sdb\", rate = \"12mb\" }], device_write_iops = [{ path = \"/dev/sdb\", rate = 30 }] }", "/container/extra/blkio", json!({ "read_bps": { "/dev/sdb": 12 << 20 }, "write_iops": { "/dev/sdb": 30 } })),
        Good("security_opt = [\"systempaths=unconfined\"]", "/container/extra/unmasked", json!(true)),
        Good("label_file = \"app.labels\"", "/container/labels", json!({ "app.one": "1", "app.two": "two words" })),
        Good("label_file = [\"app.labels\", \"./more.labels\"]\nlabels = { \"app.one\" = \"mine\" }", "/container/labels", json!({ "app.one": "mine", "app.two": "later" })),
        Good("annotations = {}", "/container/labels", json!({})),
        Good("annotations = []", "/container/labels", json!({})),
        Good("use_api_socket = false", "mounts", json!([])),
        Good("networks.front = { link_local_ips = [\"169.254.8.8\"], driver_opts = { a.b = 1 } }", "networks", json!(["shop_front (front) local 169.254.8.8 a.b=1"])),
        Good("volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", bind = { recursive = \"disabled\" } }]", "mounts", json!(["bind /a create disabled -> /b"])),
        Good("volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", bind = { recursive = \"enabled\", create_host_path = false } }]", "mounts", json!(["bind /a -> /b"])),
        Good("volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\" }]", "mounts", json!(["bind /a create -> /b"])),
        Good("volumes = [{ type = \"volume\", target = \"/b\", volume = { labels = { team.name = \"web\" } } }]", "mounts", json!(["volume anonymous team.name=web -> /b"])),
        Good("deploy.rollback_config = { order = \"start-first\", parallelism = 2, delay = \"5s\", monitor = \"1m\" }", "/policy/update/rollback", json!({ "order": "start-first", "parallelism": 2, "delay_ms": 5000, "monitor_ms": 60_000 })),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("tty = \"yes\"", "bad-type", "\"yes\"", "true without quotes"),
        Bad("domainname = \"a b\"", "bad-name", "\"a b\"", "not a domain's name"),
        Bad("mac_address = \"02:42\"", "bad-address", "\"02:42\"", "not a hardware address"),
        Bad("mac_address = \"02:42:ac:11:00:05\"\nnetwork_mode = \"host\"", "network-mode-conflict", "mac_address", "no interface of its own"),
        Bad("group_add = [true]", "bad-type", "true", "a name or a number"),
        Bad("dns_opt = [1]", "bad-type", "1", "\"1\""),
        Bad("dns_search = 1", "bad-type", "1", "dns_search = [\"example.org\"]"),
        Bad("oom_score_adj = 1001", "out-of-range", "1001", "at most 1000"),
        Bad("mem_swappiness = 101", "out-of-range", "101", "at most 100"),
        Bad("cpu_rt_period = \"1\"\ncpu_rt_runtime = 2", "out-of-range", "2", "at most the period"),
        Bad("cgroup = \"shared\"", "bad-choice", "\"shared\"", "one of: host, private"),
        Bad("uts = \"hots\"", "bad-choice", "\"hots\"", "did you mean \"host\"?"),
        Bad("uts = \"host\"\nhostname = \"x\"", "conflicting-values", "hostname", "the host's own name"),
        Bad("userns_mode = \"keep-id\"", "bad-choice", "\"keep-id\"", "one of: host"),
        Bad("ipc = \"public\"", "bad-choice", "\"public\"", "service:<name>"),
        Bad("ipc = \"service:dbb\"", "unknown-dependency", "dbb", "did you mean `db`"),
        Bad("pid = \"private\"", "bad-choice", "\"private\"", "one of: host, service:<name>, container:<name>"),
        Bad("pid = \"service:web\"", "dependency-cycle", "web", "wait for itself"),
        Bad("volumes_from = [\"db:rx\"]", "bad-mount", "\"db:rx\"", "[container:]name[:ro]"),
        Bad("volumes_from = [\"dbs\"]", "unknown-dependency", "dbs", "did you mean `db`"),
        Bad("links = [\"dbs:x\"]", "unknown-dependency", "dbs", "did you mean `db`"),
        Bad("links = [\"db:\"]", "bad-link", "\"db:\"", "\"service:alias\""),
        Bad("links = [\"db\"]\nnetwork_mode = \"host\"", "network-mode-conflict", "links", "no network of its own"),
        Bad("external_links = \"redis\"", "bad-type", "\"redis\"", "external_links = [\"redis_1:redis\"]"),
        Bad("device_cgroup_rules = [\"c 1:3\"]", "bad-device", "\"c 1:3\"", "<major>:<minor>"),
        Bad("gpus = \"some\"", "bad-type", "\"some\"", "gpus = \"all\""),
        Bad("gpus = [{ count = 1, device_ids = [\"0\"] }]", "conflicting-values", "1", "drop one of the two"),
        Bad("deploy.resources.reservations.devices = [{ count = 1 }]", "missing-key", "{ count = 1 }", "capabilities = [\"gpu\"]"),
        Bad("deploy.resources.limits.devices = []", "unsupported-key", "devices", "deploy.resources.reservations"),
        Bad("blkio_config = { weight = 5 }", "out-of-range", "5", "from 10 to 1000"),
        Bad("blkio_config = { device_read_bps = [{ rate = 1 }] }", "missing-key", "{ rate = 1 }", "add path"),
        Bad("security_opt = [\"systempaths=all\"]", "bad-choice", "\"systempaths=all\"", "systempaths=unconfined"),
        Bad("label_file = \"missing.labels\"", "missing-file", "\"missing.labels\"", "does not exist"),
        Bad("label_file = \"bad.labels\"", "reserved-label", "\"bad.labels\"", "com.docker.compose.project"),
        Bad("annotations = { a = 1 }", "engine-too-old", "annotations", "needs Docker Engine 24 (API 1.43)"),
        Bad("annotations = 1", "bad-type", "1", "a table or a list"),
        Bad("devices = [\"vendor.com/class=one\"]", "engine-too-old", "devices", "needs Docker Engine 25 (API 1.44)"),
        Bad("networks.front.mac_address = \"02:42:ac:11:00:05\"", "engine-too-old", "mac_address", "needs Docker Engine 25 (API 1.44)"),
        Bad("networks.front.gw_priority = 1", "engine-too-old", "gw_priority", "needs Docker Engine 28 (API 1.48)"),
        Bad("networks.front.interface_name = \"eth5\"", "engine-too-old", "interface_name", "needs Docker Engine 28.1 (API 1.49)"),
        Bad("networks.front.link_local_ips = [\"x\"]", "bad-address", "\"x\"", "not an IP address"),
        Bad("volumes = [{ type = \"image\", source = \"a\", target = \"/b\" }]", "engine-too-old", "type", "needs Docker Engine 28 (API 1.48)"),
        Bad("volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", read_only = true, bind = { recursive = \"readonly\" } }]", "engine-too-old", "recursive", "needs Docker Engine 25 (API 1.44)"),
        Bad("volumes = [{ type = \"bind\", source = \"/a\", target = \"/b\", bind = { recursive = \"all\" } }]", "bad-choice", "\"all\"", "one of: enabled, disabled, writable, readonly"),
        Bad("volumes = [{ type = \"volume\", source = \"data\", target = \"/b\", volume = { labels = { a = 1 } } }]", "bad-mount", "labels", "under [volumes]"),
        Bad("use_api_socket = true", "api-socket", "use_api_socket", "[policy.guard] api_socket = true"),
        Bad("deploy.rollback_config = { order = \"sideways\" }", "bad-choice", "\"sideways\"", "one of: stop-first, start-first, auto"),
        Bad("deploy.rollback_config = { failure_action = \"pause\" }", "unsupported-key", "failure_action", "tried again"),
    ]
}

#[test]
fn the_rarer_keys_become_what_they_say() {
    check_good(&good());
}

#[test]
fn faults_in_the_rarer_keys_are_told_where_they_are() {
    check_bad(&bad());
}
