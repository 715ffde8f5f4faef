//! Hooks.

use super::{Example as E, Shape};

const IN_A_CONTAINER: &[E] = &[
    E("command", "", "command = [\"./warm-up\", \"--all\"]"),
    E("environment", "", "command = \"./warm-up\"\nenvironment = { DEPTH = 2 }"),
    E("privileged", "`false`", "command = \"./warm-up\"\nprivileged = true"),
    E("timeout", "`\"5m\"`, before a stop the grace period", "command = \"./warm-up\"\ntimeout = \"30s\""),
    E("user", "the container's", "command = \"./warm-up\"\nuser = \"1000\""),
    E("working_dir", "the container's", "command = \"./warm-up\"\nworking_dir = \"/app\""),
];

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "PreStartHook",
        at: "services.<name>.pre_start",
        header: "[[services.web.pre_start]]",
        keys: &[
            E("command", "", "command = [\"./manage.py\", \"migrate\"]"),
            E("environment", "", "command = \"./migrate\"\nenvironment = { VERBOSE = 1 }"),
            E("image", "the service's", "command = \"flyway migrate\"\nimage = \"flyway/flyway:11\""),
            E("privileged", "`false`", "command = \"./migrate\"\nprivileged = true"),
            E("timeout", "`\"1h\"`", "command = \"./migrate\"\ntimeout = \"10m\""),
            E("user", "the service's", "command = \"./migrate\"\nuser = \"1000\""),
            E("working_dir", "the service's", "command = \"./migrate\"\nworking_dir = \"/app\""),
        ],
    },
    Shape {
        name: "LifecycleHook",
        at: "services.<name>.post_start, services.<name>.pre_stop",
        header: "[[services.web.post_start]]",
        keys: IN_A_CONTAINER,
    },
    Shape {
        name: "Hooks",
        at: "services.<name>.hooks",
        header: "[services.web.hooks]",
        keys: &[
            E("after_rollback", "", "after_rollback = [{ command = \"./announce back\" }]"),
            E("after_update", "", "after_update = [{ command = \"./announce new\", timeout = \"10s\" }]"),
            E("before_switch", "", "before_switch = [{ command = [\"./smoke-test\"], timeout = \"60s\" }]"),
            E("before_update", "", "before_update = [{ command = \"./backup\", image = \"backup:1\" }]"),
            E("on_failure", "", "on_failure = [{ command = \"./page-someone\" }]"),
        ],
    },
    Shape {
        name: "UpdateHook",
        at: "services.<name>.hooks.before_update, ...",
        header: "[[services.web.hooks.before_switch]]",
        keys: &[
            E("command", "", "command = [\"./smoke-test\", \"--quick\"]"),
            E(
                "environment",
                "",
                "command = \"./smoke-test\"\nenvironment = { URL = \"http://localhost:8080\" }",
            ),
            E("image", "", "command = \"check http://web:8080\"\nimage = \"tools:1\""),
            E("on_error", "`\"abort\"`", "command = \"./smoke-test\"\non_error = \"continue\""),
            E("privileged", "`false`", "command = \"./smoke-test\"\nprivileged = true"),
            E("timeout", "`\"5m\"`", "command = \"./smoke-test\"\ntimeout = \"60s\""),
            E("user", "the container's", "command = \"./smoke-test\"\nuser = \"1000\""),
            E("working_dir", "the container's", "command = \"./smoke-test\"\nworking_dir = \"/app\""),
        ],
    },
];
