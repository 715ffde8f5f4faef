//! Replicas, limits and updates.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "Deploy",
        at: "services.<name>.deploy",
        header: "[services.web.deploy]",
        keys: &[
            E("labels", "", "labels = { team = \"web\" }"),
            E("mode", "`\"replicated\"`", "mode = \"global\""),
            E("placement", "", "placement = { constraints = [\"node.labels.role == web\"] }"),
            E("replicas", "1", "replicas = 3"),
            E("resources", "", "resources = { limits = { memory = \"512m\" } }"),
            E("restart_policy", "", "restart_policy = { condition = \"on-failure\", max_attempts = 3 }"),
            E("rollback_config", "", "rollback_config = { parallelism = 1 }"),
            E("update_config", "", "update_config = { order = \"start-first\" }"),
        ],
    },
    Shape {
        name: "Placement",
        at: "services.<name>.deploy.placement",
        header: "[services.web.deploy.placement]",
        keys: &[E("constraints", "every host", "constraints = [\"node.hostname != nyc1\"]")],
    },
    Shape {
        name: "Resources",
        at: "services.<name>.deploy.resources",
        header: "[services.web.deploy.resources]",
        keys: &[
            E("limits", "", "limits = { cpus = 0.5, memory = \"512m\" }"),
            E("reservations", "", "reservations = { memory = \"128m\" }"),
        ],
    },
    Shape {
        name: "Limits",
        at: "services.<name>.deploy.resources.limits",
        header: "[services.web.deploy.resources.limits]",
        keys: &[
            E("cpus", "no limit", "cpus = 0.5"),
            E("memory", "no limit", "memory = \"512m\""),
            E("pids", "no limit", "pids = 200"),
        ],
    },
    Shape {
        name: "Reservations",
        at: "services.<name>.deploy.resources.reservations",
        header: "[services.web.deploy.resources.reservations]",
        keys: &[
            E("devices", "", "devices = [{ driver = \"nvidia\", count = 1, capabilities = [\"gpu\"] }]"),
            E("memory", "", "memory = \"128m\""),
        ],
    },
    Shape {
        name: "UpdateConfig",
        at: "services.<name>.deploy.update_config",
        header: "[services.web.deploy.update_config]",
        keys: &[
            E("delay", "`0s`", "delay = \"5s\""),
            E("failure_action", "`\"rollback\"`", "failure_action = \"pause\""),
            E("max_failure_ratio", "0", "max_failure_ratio = 0.25"),
            E("monitor", "`10s`", "monitor = \"30s\""),
            E("order", "`\"stop-first\"`", "order = \"start-first\""),
            E("parallelism", "1", "parallelism = 2"),
        ],
    },
    Shape {
        name: "RollbackConfig",
        at: "services.<name>.deploy.rollback_config",
        header: "[services.web.deploy.rollback_config]",
        keys: &[
            E("delay", "as in `update_config`", "delay = \"5s\""),
            E("monitor", "as in `update_config`", "monitor = \"30s\""),
            E("order", "as in `update_config`", "order = \"start-first\""),
            E("parallelism", "0, which is all", "parallelism = 1"),
        ],
    },
    Shape {
        name: "DeviceRequest",
        at: "services.<name>.deploy.resources.reservations.devices[]",
        header: "[[services.web.deploy.resources.reservations.devices]]",
        keys: &[
            E("capabilities", "", "capabilities = [\"gpu\", \"utility\"]"),
            E("count", "`\"all\"`", "capabilities = [\"gpu\"]\ncount = 2"),
            E("device_ids", "any", "capabilities = [\"gpu\"]\ndevice_ids = [\"0\", \"3\"]"),
            E("driver", "any", "capabilities = [\"gpu\"]\ndriver = \"nvidia\""),
            E("options", "", "capabilities = [\"gpu\"]\noptions = { virtualization = \"false\" }"),
        ],
    },
    Shape {
        name: "BlkioConfig",
        at: "services.<name>.blkio_config",
        header: "[services.web.blkio_config]",
        keys: &[
            E("device_read_bps", "no limit", "device_read_bps = [{ path = \"/dev/sda\", rate = \"12mb\" }]"),
            E("device_read_iops", "no limit", "device_read_iops = [{ path = \"/dev/sda\", rate = 120 }]"),
            E("device_write_bps", "no limit", "device_write_bps = [{ path = \"/dev/sda\", rate = \"1mb\" }]"),
            E("device_write_iops", "no limit", "device_write_iops = [{ path = \"/dev/sda\", rate = 30 }]"),
            E("weight", "500", "weight = 300"),
            E("weight_device", "", "weight_device = [{ path = \"/dev/sda\", weight = 400 }]"),
        ],
    },
    Shape {
        name: "WeightDevice",
        at: "services.<name>.blkio_config.weight_device[]",
        header: "[[services.web.blkio_config.weight_device]]",
        keys: &[
            E("path", "", "path = \"/dev/sda\"\nweight = 400"),
            E("weight", "", "path = \"/dev/sda\"\nweight = 400"),
        ],
    },
    Shape {
        name: "RateDevice",
        at: "services.<name>.blkio_config.device_read_bps[]",
        header: "[[services.web.blkio_config.device_read_bps]]",
        keys: &[
            E("path", "", "path = \"/dev/sda\"\nrate = \"12mb\""),
            E("rate", "", "path = \"/dev/sda\"\nrate = \"12mb\""),
        ],
    },
    Shape {
        name: "RestartPolicy",
        at: "services.<name>.deploy.restart_policy",
        header: "[services.web.deploy.restart_policy]",
        keys: &[
            E("condition", "`\"any\"`", "condition = \"on-failure\""),
            E("max_attempts", "without end", "condition = \"on-failure\"\nmax_attempts = 3"),
        ],
    },
];
