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
        keys: &[E("memory", "", "memory = \"128m\"")],
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
        name: "RestartPolicy",
        at: "services.<name>.deploy.restart_policy",
        header: "[services.web.deploy.restart_policy]",
        keys: &[
            E("condition", "`\"any\"`", "condition = \"on-failure\""),
            E("max_attempts", "without end", "condition = \"on-failure\"\nmax_attempts = 3"),
        ],
    },
];
