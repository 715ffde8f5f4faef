//! The keys of a compose file and what each takes: what may be null, what is text whatever it looks like, what is known at all.

/// What a key takes. Values that do not fit are carried over as they are: judging them is the loader's business.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Carried over as it is.
    Any,
    /// Text, also where it looks like a number.
    Text,
    Number,
    Bool,
    /// Names and texts; no value is empty text. `dotted`: our own files may take the names apart at their dots.
    Texts {
        dotted: bool,
    },
    /// Names and texts; a name without value takes it from outside.
    Passed,
    /// Things by their names; no value is one with nothing to say.
    Named(&'static Shape),
    /// One, or a list.
    List(&'static Shape),
    Table(&'static [(&'static str, Shape)]),
    /// A table, or a short form of it, which is text.
    Short(&'static Shape),
}

use Shape::{Any, Bool, List, Named, Number, Passed, Short, Table, Text, Texts};

const DOTTED: Shape = Texts { dotted: true };
const PLAIN: Shape = Texts { dotted: false };
const WORDS: Shape = List(&Text);

pub(super) const FILE: Shape = Table(&[
    ("name", Text),
    ("version", Any),
    ("include", List(&Short(&INCLUDE))),
    ("services", Named(&SERVICE)),
    ("networks", Named(&NETWORK)),
    ("volumes", Named(&VOLUME)),
    ("configs", Named(&CONFIG)),
    ("secrets", Named(&CONFIG)),
    ("models", Named(&Any)),
]);

const INCLUDE: Shape = Table(&[("path", WORDS), ("project_directory", Text), ("env_file", WORDS)]);

const SERVICE: Shape = Table(&[
    ("annotations", DOTTED),
    ("attach", Bool),
    ("blkio_config", Any),
    ("build", Short(&BUILD)),
    ("cap_add", WORDS),
    ("cap_drop", WORDS),
    ("cgroup", Text),
    ("cgroup_parent", Text),
    ("command", WORDS),
    ("configs", List(&Short(&GRANT))),
    ("container_name", Text),
    ("cpu_count", Number),
    ("cpu_percent", Number),
    ("cpu_period", Any),
    ("cpu_quota", Any),
    ("cpu_rt_period", Any),
    ("cpu_rt_runtime", Any),
    ("cpu_shares", Number),
    ("cpus", Number),
    ("cpuset", Text),
    ("credential_spec", Any),
    ("depends_on", Named(&Table(&[("condition", Text), ("required", Bool), ("restart", Bool)]))),
    ("deploy", DEPLOY),
    ("develop", Any),
    ("device_cgroup_rules", WORDS),
    ("devices", List(&Any)),
    ("dns", WORDS),
    ("dns_opt", WORDS),
    ("dns_search", WORDS),
    ("domainname", Text),
    ("entrypoint", WORDS),
    ("env_file", List(&Short(&Table(&[("path", Text), ("required", Bool), ("format", Text)])))),
    ("environment", Passed),
    ("expose", List(&Any)),
    ("extends", Short(&Table(&[("file", Text), ("service", Text)]))),
    ("external_links", WORDS),
    ("extra_hosts", PLAIN),
    ("gpus", Any),
    ("group_add", WORDS),
    ("healthcheck", HEALTHCHECK),
    ("hostname", Text),
    ("image", Text),
    ("init", Bool),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", WORDS),
    ("labels", DOTTED),
    ("links", WORDS),
    ("logging", Table(&[("driver", Text), ("options", DOTTED)])),
    ("mac_address", Text),
    ("mem_limit", Any),
    ("mem_reservation", Any),
    ("mem_swappiness", Number),
    ("memswap_limit", Any),
    ("models", Any),
    ("network_mode", Text),
    ("networks", Named(&ENDPOINT)),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Number),
    ("pid", Text),
    ("pids_limit", Number),
    ("platform", Text),
    ("ports", List(&Short(&PORT))),
    ("post_start", List(&HOOK)),
    ("pre_start", List(&HOOK)),
    ("pre_stop", List(&HOOK)),
    ("privileged", Bool),
    ("profiles", WORDS),
    ("provider", Any),
    ("pull_policy", Text),
    ("pull_refresh_after", Text),
    ("read_only", Bool),
    ("restart", Text),
    ("runtime", Text),
    ("scale", Number),
    ("secrets", List(&Short(&GRANT))),
    ("security_opt", WORDS),
    ("shm_size", Any),
    ("stdin_open", Bool),
    ("stop_grace_period", Any),
    ("stop_signal", Text),
    ("storage_opt", PLAIN),
    ("sysctls", DOTTED),
    ("tmpfs", WORDS),
    ("tty", Bool),
    ("ulimits", Named(&LIMIT)),
    ("use_api_socket", Bool),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volumes", List(&Short(&MOUNT))),
    ("volumes_from", WORDS),
    ("working_dir", Text),
]);

const BUILD: Shape = Table(&[
    ("additional_contexts", PLAIN),
    ("args", Passed),
    ("cache_from", WORDS),
    ("cache_to", WORDS),
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("entitlements", WORDS),
    ("extra_hosts", PLAIN),
    ("isolation", Text),
    ("labels", DOTTED),
    ("network", Text),
    ("no_cache", Bool),
    ("no_cache_filter", WORDS),
    ("platforms", WORDS),
    ("privileged", Bool),
    ("provenance", Any),
    ("pull", Bool),
    ("sbom", Any),
    ("secrets", List(&Short(&GRANT))),
    ("shm_size", Any),
    ("ssh", Passed),
    ("tags", WORDS),
    ("target", Text),
    ("ulimits", Named(&LIMIT)),
]);

const LIMIT: Shape = Table(&[("soft", Number), ("hard", Number)]);

const GRANT: Shape =
    Table(&[("source", Text), ("target", Text), ("uid", Text), ("gid", Text), ("mode", Any)]);

const HOOK: Shape = Table(&[
    ("command", WORDS),
    ("user", Text),
    ("privileged", Bool),
    ("working_dir", Text),
    ("environment", Passed),
    ("image", Text),
    ("per_replica", Bool),
]);

const HEALTHCHECK: Shape = Table(&[
    ("disable", Bool),
    ("interval", Any),
    ("retries", Number),
    ("start_interval", Any),
    ("start_period", Any),
    ("test", WORDS),
    ("timeout", Any),
]);

const DEPLOY: Shape = Table(&[
    ("endpoint_mode", Text),
    ("labels", DOTTED),
    ("mode", Text),
    (
        "placement",
        Table(&[("constraints", WORDS), ("max_replicas_per_node", Number), ("preferences", List(&Any))]),
    ),
    ("replicas", Number),
    ("resources", Table(&[("limits", RESOURCES), ("reservations", RESOURCES)])),
    (
        "restart_policy",
        Table(&[("condition", Text), ("delay", Any), ("max_attempts", Number), ("window", Any)]),
    ),
    ("rollback_config", UPDATE),
    ("update_config", UPDATE),
]);

const RESOURCES: Shape = Table(&[
    ("cpus", Number),
    ("devices", List(&Any)),
    ("generic_resources", List(&Any)),
    ("memory", Any),
    ("pids", Number),
]);

const UPDATE: Shape = Table(&[
    ("delay", Any),
    ("failure_action", Text),
    ("max_failure_ratio", Number),
    ("monitor", Any),
    ("order", Text),
    ("parallelism", Number),
]);

const ENDPOINT: Shape = Table(&[
    ("aliases", WORDS),
    ("driver_opts", DOTTED),
    ("gw_priority", Number),
    ("interface_name", Text),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", WORDS),
    ("mac_address", Text),
    ("priority", Number),
]);

const PORT: Shape = Table(&[
    ("app_protocol", Text),
    ("host_ip", Text),
    ("mode", Text),
    ("name", Text),
    ("protocol", Text),
    ("published", Text),
    ("target", Number),
]);

const MOUNT: Shape = Table(&[
    (
        "bind",
        Table(&[("create_host_path", Bool), ("propagation", Text), ("recursive", Text), ("selinux", Text)]),
    ),
    ("cluster", Any),
    ("consistency", Text),
    ("image", Table(&[("subpath", Text)])),
    ("read_only", Bool),
    ("source", Text),
    ("target", Text),
    ("tmpfs", Table(&[("mode", Any), ("size", Any)])),
    ("type", Text),
    ("volume", Table(&[("labels", DOTTED), ("nocopy", Bool), ("subpath", Text)])),
]);

const NETWORK: Shape = Table(&[
    ("attachable", Bool),
    ("driver", Text),
    ("driver_opts", DOTTED),
    ("enable_ipv4", Bool),
    ("enable_ipv6", Bool),
    ("external", Bool),
    ("internal", Bool),
    (
        "ipam",
        Table(&[
            (
                "config",
                List(&Table(&[
                    ("aux_addresses", Named(&Text)),
                    ("gateway", Text),
                    ("ip_range", Text),
                    ("subnet", Text),
                ])),
            ),
            ("driver", Text),
            ("options", PLAIN),
        ]),
    ),
    ("labels", DOTTED),
    ("name", Text),
]);

const VOLUME: Shape = Table(&[
    ("driver", Text),
    ("driver_opts", DOTTED),
    ("external", Bool),
    ("labels", DOTTED),
    ("name", Text),
]);

const CONFIG: Shape = Table(&[
    ("content", Text),
    ("driver", Text),
    ("driver_opts", DOTTED),
    ("environment", Text),
    ("external", Bool),
    ("file", Text),
    ("labels", DOTTED),
    ("name", Text),
    ("template_driver", Text),
]);
