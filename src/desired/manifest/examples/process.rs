//! What is below a service and about its process.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "EnvFile",
        at: "services.<name>.env_file[]",
        header: "[services.web]",
        keys: &[
            E("format", "", "env_file = [{ path = \"app.env\", format = \"raw\" }]"),
            E("path", "", "env_file = [{ path = \"app.env\" }]"),
            E("required", "`true`", "env_file = [{ path = \"local.env\", required = false }]"),
        ],
    },
    Shape {
        name: "Healthcheck",
        at: "services.<name>.healthcheck",
        header: "[services.db.healthcheck]",
        keys: &[
            E("disable", "`false`", "disable = true"),
            E("interval", "`30s`", "interval = \"10s\""),
            E("retries", "3", "retries = 5"),
            E("start_interval", "`5s`", "start_interval = \"1s\"\nstart_period = \"20s\""),
            E("start_period", "`0s`", "start_period = \"20s\""),
            E("test", "the image's", "test = [\"CMD\", \"pg_isready\", \"-U\", \"shop\"]"),
            E("timeout", "`30s`", "timeout = \"3s\""),
        ],
    },
    Shape {
        name: "Dependency",
        at: "services.<name>.depends_on.<service>",
        header: "[services.web.depends_on.db]",
        keys: &[
            E("condition", "`\"service_started\"`", "condition = \"service_healthy\""),
            E("required", "`true`", "required = false"),
            E("restart", "`false`", "restart = true"),
        ],
    },
    Shape {
        name: "Logging",
        at: "services.<name>.logging",
        header: "[services.web.logging]",
        keys: &[
            E("driver", "the engine's", "driver = \"json-file\""),
            E("options", "", "options = { max-size = \"10m\", max-file = 3 }"),
        ],
    },
    Shape {
        name: "Device",
        at: "services.<name>.devices[]",
        header: "[services.web]",
        keys: &[
            E("permissions", "`\"rwm\"`", "devices = [{ source = \"/dev/ttyUSB0\", permissions = \"rw\" }]"),
            E("source", "", "devices = [{ source = \"/dev/ttyUSB0\" }]"),
            E(
                "target",
                "the same as `source`",
                "devices = [{ source = \"/dev/ttyUSB1\", target = \"/dev/ttyUSB0\" }]",
            ),
        ],
    },
    Shape {
        name: "Ulimit",
        at: "services.<name>.ulimits.<name>",
        header: "[services.web.ulimits]",
        keys: &[
            E("hard", "", "nofile = { soft = 1024, hard = 65536 }"),
            E("soft", "", "core = { soft = 0, hard = -1 }"),
        ],
    },
];
