//! Replicas, limits, restarts, updates.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn replicas_limits_and_updates_are_read_in_every_form() {
    check_good(&good());
}

#[test]
fn impossible_limits_are_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let restart = "/live/restart";
    let update = "/policy/update";
    vec![
        Good("", "/policy/replicas", json!(1)),
        Good("deploy.replicas = 3", "/policy/replicas", json!(3)),
        Good("deploy = { replicas = 0 }", "/policy/replicas", json!(0)),
        Good("scale = 2", "/policy/replicas", json!(2)),
        Good("scale = 2\ndeploy.replicas = 2", "/policy/replicas", json!(2)),
        Good("deploy.replicas = \"${THREE}\"", "/policy/replicas", json!(3)),
        Good("", restart, json!("no")),
        Good("restart = \"no\"", restart, json!("no")),
        Good("restart = \"always\"", restart, json!("always")),
        Good("restart = \"unless-stopped\"", restart, json!("unless-stopped")),
        Good("restart = \"on-failure\"", restart, json!({ "on-failure": { "max_retries": 0 } })),
        Good("restart = \"on-failure:3\"", restart, json!({ "on-failure": { "max_retries": 3 } })),
        Good("deploy.restart_policy = {}", restart, json!("always")),
        Good("deploy.restart_policy.condition = \"none\"", restart, json!("no")),
        Good("deploy = { mode = \"replicated\", replicas = 2 }", "/policy/replicas", json!(2)),
        Good("deploy.mode = \"global\"", "/policy/replicas", json!(1)),
        Good("deploy.placement.constraints = [\"node.hostname == fra1\"]", "/policy/replicas", json!(1)),
        Good("paused = true", "/policy/replicas", json!(1)),
        Good("deploy.restart_policy.condition = \"unless-stopped\"", restart, json!("unless-stopped")),
        Good("deploy.restart_policy.condition = \"always\"", restart, json!("always")),
        Good("deploy.restart_policy.condition = \"any\"", restart, json!("always")),
        Good("deploy.restart_policy = { condition = \"on-failure\", max_attempts = 4 }", restart, json!({ "on-failure": { "max_retries": 4 } })),
        Good("restart = \"always\"\ndeploy.restart_policy.condition = \"any\"", restart, json!("always")),
        Good("mem_limit = \"512m\"", "/live/resources/memory", json!(536_870_912)),
        Good("mem_limit = 0", "/live/resources/memory", json!(null)),
        Good("deploy.resources.limits.memory = \"1g\"", "/live/resources/memory", json!(1_073_741_824)),
        Good("mem_limit = \"1g\"\ndeploy.resources.limits.memory = \"1024mb\"", "/live/resources/memory", json!(1_073_741_824)),
        Good("mem_reservation = \"64m\"", "/live/resources/memory_reservation", json!(67_108_864)),
        Good("deploy.resources.reservations.memory = \"64m\"", "/live/resources/memory_reservation", json!(67_108_864)),
        Good("mem_limit = \"1g\"\nmemswap_limit = \"2g\"", "/live/resources/memory_swap", json!(2_147_483_648_i64)),
        Good("mem_limit = \"1g\"\nmemswap_limit = -1", "/live/resources/memory_swap", json!(-1)),
        Good("memswap_limit = 0", "/live/resources/memory_swap", json!(null)),
        Good("cpus = 0.5", "/live/resources/nano_cpus", json!(500_000_000)),
        Good("cpus = \"0.5\"", "/live/resources/nano_cpus", json!(500_000_000)),
        Good("cpus = \"${HALF}\"", "/live/resources/nano_cpus", json!(500_000_000)),
        Good("cpus = 0.1", "/live/resources/nano_cpus", json!(100_000_000)),
        Good("cpus = 2", "/live/resources/nano_cpus", json!(2_000_000_000)),
        Good("deploy.resources.limits.cpus = \"1.25\"", "/live/resources/nano_cpus", json!(1_250_000_000)),
        Good("cpus = 0.29\ndeploy.resources.limits.cpus = \"0.290\"", "/live/resources/nano_cpus", json!(290_000_000)),
        Good("cpu_shares = 512", "/live/resources/cpu_shares", json!(512)),
        Good("cpu_shares = 0", "/live/resources/cpu_shares", json!(null)),
        Good("cpu_period = 50000", "/live/resources/cpu_period", json!(50_000)),
        Good("cpu_period = \"20ms\"", "/live/resources/cpu_period", json!(20_000)),
        Good("cpu_quota = 25000", "/live/resources/cpu_quota", json!(25_000)),
        Good("cpu_quota = \"25ms\"", "/live/resources/cpu_quota", json!(25_000)),
        Good("cpu_quota = -1", "/live/resources/cpu_quota", json!(null)),
        Good("cpuset = \"0-3, 5\"", "/live/resources/cpuset", json!("0-3,5")),
        Good("cpuset = \"0\"", "/live/resources/cpuset", json!("0")),
        Good("pids_limit = 200", "/live/resources/pids", json!(200)),
        Good("pids_limit = -1", "/live/resources/pids", json!(null)),
        Good("deploy.resources.limits.pids = 100", "/live/resources/pids", json!(100)),
        Good("deploy.labels = { a = 1, b = 2 }\nlabels = { b = 3 }", "/container/labels", json!({ "a": "1", "b": "3" })),
        Good("", update, json!({ "order": "stop-first", "parallelism": 1, "delay_ms": 0, "failure_action": "rollback", "monitor_ms": 10_000, "healthy_within_ms": 180_000, "max_failure_permille": 0 })),
        Good("deploy.update_config = { order = \"start-first\", parallelism = 0, delay = \"5s\", failure_action = \"pause\", monitor = \"1m\", max_failure_ratio = 0.25 }", update,
            json!({ "order": "start-first", "parallelism": 0, "delay_ms": 5000, "failure_action": "pause", "monitor_ms": 60_000, "healthy_within_ms": 180_000, "max_failure_permille": 250 })),
        Good("deploy.update_config.order = \"auto\"", "/policy/update/order", json!("auto")),
        Good("deploy.update_config.failure_action = \"continue\"", "/policy/update/failure_action", json!("continue")),
        Good("deploy.update_config.max_failure_ratio = 1", "/policy/update/max_failure_permille", json!(1000)),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("deploy = 3", "bad-type", "3", "deploy = { replicas = 2 }"),
        Bad("deploy.replicas = -1", "out-of-range", "-1", "at least 0"),
        Bad("deploy.replicas = \"3\"", "bad-type", "\"3\"", "3 without quotes"),
        Bad("deploy.replicas = 1.5", "bad-type", "1.5", "takes a whole number"),
        Bad("deploy.replica = 1", "unknown-key", "replica", "did you mean `replicas`?"),
        Bad("deploy.placement.constraint = []", "unknown-key", "constraint", "did you mean `constraints`?"),
        Bad("deploy.placement.constraints = 7", "bad-type", "7", "a list"),
        Bad("deploy.mode = \"global-job\"", "unsupported-value", "\"global-job\"", "a job"),
        Bad("deploy = { mode = \"global\", replicas = 2 }", "conflicting-values", "2", "one container on each host"),
        Bad("paused = \"maybe\"", "bad-type", "\"maybe\"", "true or false"),
        Bad("deploy.mode = \"replicate\"", "bad-choice", "\"replicate\"", "did you mean \"replicated\"?"),
        Bad("deploy.endpoint_mode = \"vip\"", "unsupported-key", "endpoint_mode", "Swarm"),
        Bad("deploy.resources.reservations.cpus = \"1\"", "unsupported-key", "cpus", "cannot reserve cores"),
        Bad("deploy.restart_policy = { condition = \"on-failure\", delay = \"5s\" }", "unsupported-key", "delay", "chooses the delay itself"),
        Bad("scale = 3\ndeploy.replicas = 2", "conflicting-values", "3", "drop one of the two"),
        Bad("scale = \"many\"", "bad-type", "\"many\"", "takes a whole number"),
        Bad("deploy.replicas = 2\nports = [\"80:80\"]", "port-and-replicas", "2", "replicas"),
        Bad("restart = \"allways\"", "bad-choice", "\"allways\"", "one of: no, always, on-failure, on-failure:<times>, unless-stopped"),
        Bad("restart = false", "bad-type", "false", "write \"no\""),
        Bad("restart = \"on-failure:x\"", "bad-choice", "x", "not a number of restarts"),
        Bad("restart = \"on-failure:\"", "bad-choice", "", "not a number of restarts"),
        Bad("restart = \"no\"\ndeploy.restart_policy.condition = \"any\"", "overridden-value", "\"no\"", "as in Compose"),
        Bad("deploy.restart_policy.condition = \"on_failure\"", "bad-choice", "\"on_failure\"", "did you mean \"on-failure\"?"),
        Bad("deploy.restart_policy.max_attempts = 3", "conflicting-values", "3", "on-failure"),
        Bad("mem_limit = \"512\\u2009m\"", "bad-size", "\"512\\u2009m\"", "is not a size"),
        Bad("mem_limit = \"1m\"", "out-of-range", "\"1m\"", "6 MiB"),
        Bad("mem_limit = \"1g\"\ndeploy.resources.limits.memory = \"2g\"", "conflicting-values", "\"1g\"", "drop one of the two"),
        Bad("mem_limit = \"64m\"\nmem_reservation = \"128m\"", "out-of-range", "\"128m\"", "more is reserved"),
        Bad("mem_reservation = [1]", "bad-type", "[1]", "takes a size"),
        Bad("memswap_limit = \"1g\"", "out-of-range", "\"1g\"", "needs a memory limit"),
        Bad("mem_limit = \"1g\"\nmemswap_limit = \"512m\"", "out-of-range", "\"512m\"", "together"),
        Bad("cpus = \"half\"", "bad-number", "\"half\"", "not a number of cores"),
        Bad("cpus = -1", "bad-number", "-1", "negative"),
        Bad("cpus = 0.001", "out-of-range", "0.001", "hundredth"),
        Bad("cpus = \"0.3333333333333\"", "bad-number", "\"0.3333333333333\"", "billionths"),
        Bad("cpus = 1\ncpu_quota = 1000", "conflicting-values", "1000", "cannot be combined"),
        Bad("cpu_period = 10", "out-of-range", "10", "at least 1000"),
        Bad("cpu_quota = \"1us\"", "out-of-range", "\"1us\"", "at least 1000"),
        Bad("cpu_shares = \"a lot\"", "bad-type", "\"a lot\"", "takes a whole number"),
        Bad("cpuset = \"3-1\"", "bad-number", "\"3-1\"", "not a list of cores"),
        Bad("cpuset = 3", "bad-type", "3", "write \"3\""),
        Bad("pids_limit = -2", "out-of-range", "-2", "at least -1"),
        Bad("pids_limit = 5\ndeploy.resources.limits.pids = 6", "conflicting-values", "5", "drop one"),
        Bad("deploy.update_config.order = \"startfirst\"", "bad-choice", "\"startfirst\"", "did you mean \"start-first\"?"),
        Bad("deploy.update_config.failure_action = \"roll\"", "bad-choice", "\"roll\"", "did you mean \"rollback\"?"),
        Bad("deploy.update_config.delay = 5", "unit-missing", "5", "write \"5s\""),
        Bad("deploy.update_config.max_failure_ratio = 2", "out-of-range", "2", "between 0 and 1"),
        Bad("deploy.update_config.parallel = 2", "unknown-key", "parallel", "did you mean `parallelism`?"),
        Bad("[services.web.deploy.resources.limits]\nmemory = \"1g\"\nreplicas = 2", "key-after-table", "replicas", "a key of services.web.deploy"),
    ]
}
