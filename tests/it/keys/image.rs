//! How an image is chosen or made, and how an update goes beyond Compose's words. What these keys become when they are right
//! is in `tests/it/works.rs`: a service with them is not run yet.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn rollouts_are_read_in_every_form() {
    check_good(&good());
}

#[test]
fn policies_that_cannot_work_are_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let rollout = "/policy/rollout";
    let update = "/policy/update";
    vec![
        Good("rollout = { strategy = \"recreate\" }", "/policy/rollout/strategy", json!("recreate")),
        Good("rollout = { strategy = \"recreate\" }", "/policy/update/parallelism", json!(0)),
        Good("rollout = { strategy = \"recreate\" }", "/policy/update/order", json!("stop-first")),
        Good("rollout.strategy = \"blue-green\"", "/policy/update/order", json!("start-first")),
        Good("rollout.strategy = \"blue-green\"", "/policy/update/parallelism", json!(0)),
        Good("rollout = { strategy = \"blue-green\", switch = \"health\", drain = \"10s\", keep_old = \"15m\" }", rollout,
            json!({ "strategy": "blue-green", "switch": "health", "drain_ms": 10_000, "keep_old_ms": 900_000 })),
        Good("rollout.strategy = \"blue-green\"\ndeploy.update_config = { order = \"start-first\", parallelism = 0 }", "/policy/update/order", json!("start-first")),
        Good("rollout = { strategy = \"rolling\", keep_old = \"1m\" }\ndeploy.update_config.parallelism = 2", "/policy/update/parallelism", json!(2)),
        Good("rollout.approve = true", "/policy/approve", json!(true)),
        Good("rollout.healthy_within = \"5m\"", "/policy/update/healthy_within_ms", json!(300_000)),
        Good("rollout = { strategy = \"rolling\", drain = \"3s\" }\ndeploy.update_config.order = \"auto\"", "/policy/rollout/drain_ms", json!(3_000)),
        // What says nothing is not there, so that what runs already is what it was.
        Good("rollout = {}", "/policy", json!({ "replicas": 1, "pull": "missing", "depends_on": {}, "update": {
            "order": "stop-first", "parallelism": 1, "delay_ms": 0, "failure_action": "rollback", "monitor_ms": 10_000,
            "healthy_within_ms": 180_000, "max_failure_permille": 0 } })),
        Good("rollout.strategy = \"rolling\"", update, json!({ "order": "stop-first", "parallelism": 1, "delay_ms": 0,
            "failure_action": "rollback", "monitor_ms": 10_000, "healthy_within_ms": 180_000, "max_failure_permille": 0 })),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("rollout.strategy = \"blue\"", "bad-choice", "\"blue\"", "one of: rolling, recreate, blue-green"),
        Bad("rollout.switch = \"port\"", "unsupported-value", "\"port\"", "let a proxy publish the port"),
        Bad("rollout.switch = \"alias\"", "conflicting-values", "\"alias\"", "needs strategy = \"blue-green\""),
        Bad("rollout.approve = \"yes\"", "bad-type", "\"yes\"", "write true without quotes"),
        Bad("rollout.drian = \"1s\"", "unknown-key", "drian", "did you mean `drain`?"),
        Bad("rollout.drain = 10", "unit-missing", "10", "write \"10s\""),
        Bad("rollout.keep_old = \"fast\"", "bad-duration", "\"fast\"", "not a duration"),
        Bad("rollout.strategy = \"blue-green\"\ndeploy.update_config.order = \"stop-first\"", "conflicting-values", "\"stop-first\"", "which is start-first with all at once"),
        Bad("rollout.strategy = \"recreate\"\ndeploy.update_config.parallelism = 2", "conflicting-values", "2", "which is stop-first with all at once"),
        Bad("rollout.strategy = \"blue-green\"\nnetwork_mode = \"host\"", "overlap-impossible", "\"blue-green\"", "use a network of its own, or strategy = \"recreate\""),
        Bad("image = \"redis:7\"\nimage_policy = { semver = \"^7\" }", "tag-and-policy", ":7", "the tag is given twice: `7` here"),
        Bad("image = \"registry:5000/redis:7\"\nimage_policy = { semver = \"^7\" }", "tag-and-policy", ":7", "remove this tag"),
        Bad("image = \"redis@sha256:0000000000000000000000000000000000000000000000000000000000000000\"\nimage_policy = { semver = \"^7\" }", "tag-and-policy",
            "@sha256:0000000000000000000000000000000000000000000000000000000000000000", "pinned by its digest"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"=>7\" }", "bad-range", "=>7", "did you mean \">=7\"?"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"v7\" }", "bad-range", "v7", "did you mean \"7\"?"),
        Bad("image = \"redis\"\nimage_policy = { semver = \">=7 <8\" }", "bad-range", ">=7 <8", "did you mean \">=7, <8\"?"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"seven\" }", "bad-range", "seven", "not understood"),
        Bad("image = \"redis\"\nimage_policy = {}", "missing-key", "{}", "one of: semver, timestamp, number, text, same_as"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"^7\", timestamp = true }", "conflicting-values", "timestamp", "both pick the tag"),
        Bad("image = \"redis\"\nimage_policy = { timestamp = false }", "bad-choice", "false", "picks nothing"),
        Bad("image = \"redis\"\nimage_policy = { timestamp = \"%H:%M\" }", "bad-format", "\"%H:%M\"", "year, month and day are needed"),
        Bad("image = \"redis\"\nimage_policy = { timestamp = \"%Y%\" }", "bad-format", "\"%Y%\"", "not the form of a time"),
        Bad("image = \"redis\"\nimage_policy = { number = '^build-\\d+$' }", "bad-regex", "'^build-\\d+$'", "has no group"),
        Bad("image = \"redis\"\nimage_policy = { text = '^(a' }", "bad-regex", "'^(a'", "not a regular expression: unclosed group"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"^7\", match = '[' }", "bad-regex", "'['", "not a regular expression"),
        Bad("image = \"redis\"\nimage_policy = { timestamp = true, prerelease = true }", "misplaced", "prerelease", "belongs to `semver`"),
        Bad("image = \"redis\"\nimage_policy = { same_as = \"services.dbb\" }", "unknown-dependency", "dbb", "did you mean `db`"),
        Bad("image = \"redis\"\nimage_policy = { same_as = \"db\" }", "bad-reference", "\"db\"", "write \"services.db\""),
        Bad("image = \"redis\"\nimage_policy = { same_as = \"services.web\" }", "bad-reference", "\"services.web\"", "names itself"),
        Bad("image = \"redis\"\nimage_policy = { semver = \"^7\", min_age = 3 }", "unit-missing", "3", "write \"3s\""),
        Bad("build = \".\"\nimage_policy = { semver = \"^7\" }", "conflicting-values", "image_policy", "makes the image"),
        Bad("build = { context = \".\", dockerfil = \"x\" }", "unknown-key", "dockerfil", "did you mean `dockerfile`?"),
        Bad("build = { context = \".\", dockerfile = \"x\", dockerfile_inline = \"FROM y\" }", "conflicting-values", "dockerfile", "drop one of the two"),
        Bad("build = \"https://example.com/src.tar.gz\"", "bad-context", "\"https://example.com/src.tar.gz\"", "archives are not fetched"),
        Bad("build = \"https://example.com/x.git#main:../y\"", "bad-path", "\"https://example.com/x.git#main:../y\"", "leads out of the repository"),
        Bad("build = 7", "bad-type", "7", "takes a table"),
        Bad("build_policy = { push = true }", "misplaced", "build_policy", "nothing is built here"),
        Bad("build = \".\"\nbuild_policy = { tag = \"a b\" }", "bad-tag", "\"a b\"", "is not a tag"),
        Bad("build = \".\"\nbuild_policy = { track = [\"sourc\"] }", "bad-choice", "\"sourc\"", "did you mean \"source\"?"),
        Bad("build = \".\"\nbuild_policy = { keep = 0 }", "out-of-range", "0", "at least 1"),
        Bad("build = \".\"\nbuild_policy = { ref = { semver = \"=>2\" } }", "bad-range", "=>2", "did you mean \">=2\"?"),
    ]
}
