//! What evenkeel does beside running it: probes, protection.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn what_is_watched_is_read_in_every_form() {
    check_good(&good());
}

#[test]
fn what_cannot_be_watched_is_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let check = "/policy/probe/check";
    let probe = "/policy/probe";
    let within = "/policy/update/healthy_within_ms";
    let plain = json!({
        "check": { "tcp": { "port": 80 } }, "interval_ms": 10_000, "timeout_ms": 5_000, "start_period_ms": 0,
        "threshold": 3, "success": 1, "on_failure": "report",
    });
    vec![
        Good("probe = { tcp = { port = 80 } }", probe, plain.clone()),
        Good("[services.web.probe]\ntcp.port = \"${PORT}\"", check, json!({ "tcp": { "port": 8080 } })),
        Good("healthcheck = { disable = true }\nprobe = { tcp = { port = 80 } }", probe, plain),
        Good("probe = { http = { port = 80 } }", check, json!({ "http": { "port": 80, "path": "/", "headers": {}, "status": [200, 399] } })),
        Good("probe = { http = { port = 80, path = \"/healthz?full=1\", status = 204 } }", check, json!({ "http": { "port": 80, "path": "/healthz?full=1", "headers": {}, "status": [204, 204] } })),
        Good("probe = { http = { port = 80, status = \"200-299\", headers = { Host = \"${NAME}.example\", X-Try = 1 } } }", check, json!({ "http": { "port": 80, "path": "/", "headers": { "Host": "web.example", "X-Try": "1" }, "status": [200, 299] } })),
        Good("probe = { exec = { command = \"pg_isready -q\" } }", check, json!({ "exec": { "command": ["pg_isready", "-q"] } })),
        Good("probe = { exec = { command = [\"pg_isready\"], user = \"postgres\" } }", check, json!({ "exec": { "command": ["pg_isready"], "user": "postgres" } })),
        Good("probe = { tcp = { port = 80 }, interval = \"30s\", timeout = \"500ms\" }", "/policy/probe/interval_ms", json!(30_000)),
        Good("probe = { tcp = { port = 80 }, interval = \"30s\", timeout = \"500ms\" }", "/policy/probe/timeout_ms", json!(500)),
        Good("probe = { tcp = { port = 80 }, start_period = \"5m\" }", "/policy/probe/start_period_ms", json!(300_000)),
        Good("probe = { tcp = { port = 80 }, start_period = \"5m\" }", within, json!(360_000)),
        Good("probe = { tcp = { port = 80 }, threshold = 5, success = 2 }", "/policy/probe/threshold", json!(5)),
        Good("probe = { tcp = { port = 80 }, threshold = 5, success = 2 }", "/policy/probe/success", json!(2)),
        Good("probe = { tcp = { port = 80 }, on_failure = \"restart\" }", "/policy/probe/on_failure", json!("restart")),
        Good("network_mode = \"none\"\nprobe = { exec = { command = \"ok\" } }", check, json!({ "exec": { "command": ["ok"] } })),
        Good("pre_start = [{ command = \"./manage.py migrate\" }]", "/container/lifecycle/pre_start", json!([{ "exec": { "command": ["./manage.py", "migrate"] } }])),
        Good("pre_start = [{ command = [\"a b\"], image = \"tools\", timeout = \"10m\" }]", "/container/lifecycle/pre_start", json!([{ "exec": { "command": ["a b"] }, "image": "tools:latest", "timeout_ms": 600_000 }])),
        Good("post_start = [{ command = \"a\", user = \"root\", privileged = true, working_dir = \"/app\", environment = { N = 1 } }]", "/container/lifecycle/post_start", json!([{ "exec": { "command": ["a"], "user": "root", "privileged": true, "working_dir": "/app", "environment": { "N": "1" } } }])),
        Good("post_start = [{ command = \"a\", environment = [\"TOKEN\", \"A=b\"] }]", "/container/lifecycle/post_start/0/exec/environment", json!({ "TOKEN": "from-dotenv", "A": "b" })),
        Good("pre_stop = [{ command = \"a\" }, { command = \"b\", timeout = \"3s\" }]", "/container/lifecycle/pre_stop", json!([{ "exec": { "command": ["a"] } }, { "exec": { "command": ["b"] }, "timeout_ms": 3_000 }])),
        Good("pre_stop = { command = \"a\" }", "/container/lifecycle/pre_stop", json!([{ "exec": { "command": ["a"] } }])),
        Good("hooks = { after_update = [{ command = \"a\" }] }", "/policy/hooks", json!({ "after_update": [{ "exec": { "command": ["a"] } }] })),
        Good("[[services.web.hooks.before_switch]]\ncommand = [\"./smoke-test\"]\ntimeout = \"60s\"\non_error = \"continue\"", "/policy/hooks", json!({ "before_switch": [{ "exec": { "command": ["./smoke-test"] }, "timeout_ms": 60_000, "on_error": "continue" }] })),
        Good("protect = true", "/policy/protect", json!(true)),
        Good("protect = \"${YES}\"", "/policy/protect", json!(true)),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("probe = true", "bad-type", "true", "takes a table"),
        Bad("probe = { interval = \"5s\" }", "bad-probe", "probe", "does not say what to try"),
        Bad("probe = { tcp = { port = 80 }, exec = { command = \"ok\" } }", "bad-probe", "exec", "says both tcp and exec"),
        Bad("probe = { tcp = {} }", "bad-probe", "{}", "names no port"),
        Bad("probe = { tcp = { port = 0 } }", "out-of-range", "0", "at least 1"),
        Bad("probe = { http = { port = 80, path = \"healthz\" } }", "bad-probe", "\"healthz\"", "begins with `/`"),
        Bad("probe = { http = { port = 80, status = 42 } }", "bad-probe", "42", "is not a status of HTTP"),
        Bad("probe = { http = { port = 80, status = \"299-200\" } }", "bad-probe", "\"299-200\"", "is not a status of HTTP"),
        Bad("probe = { http = { port = 80, headers = { \"a b\" = \"c\" } } }", "bad-probe", "\"a b\"", "cannot be a header"),
        Bad("probe = { http = { port = 80, hosts = 1 } }", "unknown-key", "hosts", "unknown key `hosts`"),
        Bad("probe = { exec = { user = \"me\" } }", "missing-command", "{ user = \"me\" }", "has no command"),
        Bad("probe = { exec = { command = [] } }", "missing-command", "[]", "is empty"),
        Bad("probe = { tcp = { port = 80 }, interval = 5 }", "unit-missing", "5", "needs a unit"),
        Bad("probe = { tcp = { port = 80 }, interval = \"1ms\" }", "out-of-range", "\"1ms\"", "at least \"100ms\""),
        Bad("probe = { tcp = { port = 80 }, threshold = 0 }", "out-of-range", "0", "at least 1"),
        Bad("probe = { tcp = { port = 80 }, on_failure = \"reboot\" }", "bad-choice", "\"reboot\"", "one of: report, restart"),
        Bad("probe = { tcp = { port = 80 } }\nhealthcheck = { test = \"true\" }", "probe-and-healthcheck", "probe", "both a healthcheck and a probe"),
        Bad("network_mode = \"none\"\nprobe = { tcp = { port = 80 } }", "probe-unreachable", "probe", "has no network"),
        Bad("pre_start = [\"./migrate\"]", "bad-type", "\"./migrate\"", "takes a table"),
        Bad("pre_start = [{ user = \"me\" }]", "missing-command", "{ user = \"me\" }", "has no command"),
        Bad("post_start = [{ command = \"a\", image = \"tools\" }]", "unknown-key", "image", "unknown key `image`"),
        Bad("post_start = [{ command = \"a\", timeout = 5 }]", "unit-missing", "5", "needs a unit"),
        Bad("pre_stop = [{ command = \"a && b\" }]", "bad-command", "&", "needs a shell"),
        Bad("pre_stop = [{ command = \"a\", timeout = \"0s\" }]", "out-of-range", "\"0s\"", "at least"),
        Bad("hooks = { before = [] }", "unknown-key", "before", "unknown key `before`"),
        Bad("hooks = { on_failure = [{ command = \"a\", on_error = \"ignore\" }] }", "bad-choice", "\"ignore\"", "one of: abort, continue"),
        Bad("protect = 1", "bad-type", "1", "true or false"),
        Bad("protect = true\ndeploy.replicas = 0", "protected-and-zero", "0", "no replicas would remove it"),
    ]
}
