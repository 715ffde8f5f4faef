//! Keys that exist, in Compose or in evenkeel's plans, and that this version does not act on. None is dropped silently.

/// What is to be said of a known key that is not acted on.
pub(super) struct Unsupported {
    /// Why, as the label at the key.
    pub reason: &'static str,
    /// The key changes nothing on one Linux engine: a warning is enough.
    pub harmless: bool,
}

/// Looks a key up that `shape` does not have.
pub(super) fn find(shape: &str, key: &str) -> Option<Unsupported> {
    let found = |list: &[(&str, &'static str)], harmless| {
        let entry = list.iter().find(|(name, _)| *name == key)?;
        Some(Unsupported { reason: entry.1, harmless })
    };
    let (list, harmless) = match shape {
        "Service" => (SERVICE, SERVICE_HARMLESS),
        "Job" => {
            return found(JOB, false)
                .or_else(|| found(SERVICE, false))
                .or_else(|| found(SERVICE_HARMLESS, true));
        }
        "BuildSection" | "Build" => (&[][..], BUILD_HARMLESS),
        "Deploy" => (DEPLOY, DEPLOY_HARMLESS),
        "Reservations" => (RESERVATIONS, RESERVATIONS_HARMLESS),
        "RestartPolicy" => (&[][..], RESTART_POLICY_HARMLESS),
        "Endpoint" => (ENDPOINT, &[][..]),
        "Network" => (NETWORK, &[][..]),
        "BindOptions" => (BIND, &[][..]),
        "VolumeOptions" => (VOLUME, &[][..]),
        "Mount" => (MOUNT, &[][..]),
        "Limits" => (LIMITS, &[][..]),
        "File" => (FILE, FILE_HARMLESS),
        "Policy" => (POLICY, &[][..]),
        "Prune" => (PRUNE, &[][..]),
        "GuardPolicy" => (GUARD, &[][..]),
        "Secret" => (SECRET, PROVIDED_HARMLESS),
        "Config" => (&[][..], PROVIDED_HARMLESS),
        "Placement" => (&[][..], PLACEMENT_HARMLESS),
        _ => return None,
    };
    found(list, false).or_else(|| found(harmless, true))
}

const LATER: &str = "this version does not support it yet";

const SERVICE: &[(&str, &str)] = &[
    ("annotations", LATER),
    ("blkio_config", LATER),
    ("cgroup", LATER),
    ("cgroup_parent", LATER),
    ("cpu_rt_period", LATER),
    ("cpu_rt_runtime", LATER),
    ("device_cgroup_rules", LATER),
    ("dns_opt", LATER),
    ("dns_search", LATER),
    ("domainname", LATER),
    ("external_links", "not supported yet: join a common network instead"),
    ("gpus", LATER),
    ("group_add", LATER),
    ("ipc", LATER),
    ("label_file", "not supported yet: write them under `labels`"),
    ("links", "not supported yet: services of a network already find each other by name"),
    ("mac_address", LATER),
    ("mem_swappiness", LATER),
    ("models", "Docker Model Runner has no engine API to run it with"),
    ("oom_kill_disable", LATER),
    ("oom_score_adj", LATER),
    ("pid", LATER),
    ("provider", "it hands the service to another program, which cannot be converged"),
    ("runtime", LATER),
    ("stdin_open", LATER),
    ("storage_opt", LATER),
    ("tty", LATER),
    ("use_api_socket", "not supported yet: mount the engine's socket with `volumes` if you must"),
    ("userns_mode", LATER),
    ("uts", LATER),
    ("volumes_from", "not supported yet: mount the same volumes in both services"),
];

const SERVICE_HARMLESS: &[(&str, &str)] = &[
    ("attach", "ignored: it steers what `compose up` prints"),
    ("cpu_count", "ignored: Windows only"),
    ("cpu_percent", "ignored: Windows only"),
    ("credential_spec", "ignored: Windows only"),
    ("develop", "ignored: only `compose watch` acts on it"),
    ("isolation", "ignored: Windows only"),
    ("pull_refresh_after", "ignored: write pull_policy = \"every_<duration>\""),
];

const DEPLOY: &[(&str, &str)] =
    &[("rollback_config", "not supported yet: a rollback is one plain start of the previous container")];

const DEPLOY_HARMLESS: &[(&str, &str)] = &[("endpoint_mode", "ignored: it belongs to Docker Swarm")];

const PLACEMENT_HARMLESS: &[(&str, &str)] = &[
    ("preferences", "ignored: nothing is spread across hosts, each takes what is meant for it"),
    ("max_replicas_per_node", "ignored: `replicas` is the number on each host already"),
];

const LIMITS: &[(&str, &str)] = &[("devices", LATER)];

const RESERVATIONS: &[(&str, &str)] = &[
    ("devices", LATER),
    ("generic_resources", "it belongs to Docker Swarm"),
    ("pids", "the engine cannot reserve processes"),
];

const RESERVATIONS_HARMLESS: &[(&str, &str)] =
    &[("cpus", "ignored: the engine cannot reserve cores; `cpu_shares` weighs them")];

const RESTART_POLICY_HARMLESS: &[(&str, &str)] = &[
    ("delay", "ignored: the engine chooses the delay itself, 100 ms, doubled up to a minute"),
    ("window", "ignored: the engine decides itself when a start counts, after 10 s"),
];

const ENDPOINT: &[(&str, &str)] = &[
    ("link_local_ips", LATER),
    ("mac_address", LATER),
    ("driver_opts", LATER),
    ("gw_priority", "not supported yet: `priority` decides which network gives the default route"),
    ("interface_name", LATER),
];

const NETWORK: &[(&str, &str)] = &[("enable_ipv4", LATER)];

const BIND: &[(&str, &str)] = &[("recursive", LATER)];

const VOLUME: &[(&str, &str)] = &[("labels", LATER)];

const MOUNT: &[(&str, &str)] = &[("image", LATER), ("cluster", "it belongs to Docker Swarm")];

const SECRET: &[(&str, &str)] = &[(
    "content",
    "a value that stands in the files is no secret: encrypt it (`evenkeel secret encrypt`), or put it on the host (`evenkeel secret set`)",
)];

const PROVIDED_HARMLESS: &[(&str, &str)] = &[
    ("labels", "ignored: there is no object of the engine to put them on"),
    ("driver", "ignored: it belongs to Docker Swarm"),
    ("driver_opts", "ignored: it belongs to Docker Swarm"),
    ("template_driver", "ignored: it belongs to Docker Swarm"),
];

const FILE: &[(&str, &str)] = &[
    ("include", "not supported yet: all files of a folder are one project anyway"),
    ("models", "Docker Model Runner has no engine API to run it with"),
];

const FILE_HARMLESS: &[(&str, &str)] = &[("version", "ignored, as by Compose: drop the line")];

const POLICY: &[(&str, &str)] =
    &[("interval", LATER), ("paused_until", "not supported yet: write paused = true"), ("window", LATER)];

const PRUNE: &[(&str, &str)] = &[
    ("images", "not supported yet: images of kept revisions stay, others of ours go"),
    ("volumes", "volumes are never removed"),
];

const GUARD: &[(&str, &str)] = &[("unmanaged", LATER), ("api_socket", LATER)];

const JOB: &[(&str, &str)] = &[
    ("restart", "a job ends: `retries` says how often it is tried again"),
    ("ports", "nobody waits for a job at a port"),
    ("scale", "a job has one container a run"),
    ("container_name", "each run has a name of its own, `<project>-<job>-<time>`"),
    ("rollout", "each run begins in the image that is current then"),
    ("extends", "what jobs share is said in [defaults.jobs]"),
];

const BUILD_HARMLESS: &[(&str, &str)] = &[("isolation", "ignored: Windows only")];
