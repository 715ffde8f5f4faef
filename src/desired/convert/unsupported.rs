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
        "Deploy" => (&[][..], DEPLOY_HARMLESS),
        "Reservations" => (RESERVATIONS, RESERVATIONS_HARMLESS),
        "RestartPolicy" => (&[][..], RESTART_POLICY_HARMLESS),
        "Include" => (INCLUDE, &[][..]),
        "RollbackConfig" => (&[][..], ROLLBACK_HARMLESS),
        "Mount" => (MOUNT, &[][..]),
        "Limits" => (LIMITS, &[][..]),
        "File" => (FILE, FILE_HARMLESS),
        "Secret" => (SECRET, PROVIDED_HARMLESS),
        "Config" => (&[][..], PROVIDED_HARMLESS),
        "Placement" => (&[][..], PLACEMENT_HARMLESS),
        _ => return None,
    };
    found(list, false).or_else(|| found(harmless, true))
}

const SERVICE: &[(&str, &str)] = &[
    ("models", "Docker Model Runner has no engine API to run it with"),
    ("provider", "it hands the service to another program, which cannot be converged"),
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

const DEPLOY_HARMLESS: &[(&str, &str)] = &[("endpoint_mode", "ignored: it belongs to Docker Swarm")];

const INCLUDE: &[(&str, &str)] = &[
    ("project_directory", "relative paths start at the file that contains them"),
    ("env_file", "variables are those of the project that includes it"),
];

const ROLLBACK_HARMLESS: &[(&str, &str)] = &[
    ("failure_action", "ignored: a way back that fails is tried again, with growing pauses"),
    ("max_failure_ratio", "ignored: every container is put back"),
];

const PLACEMENT_HARMLESS: &[(&str, &str)] = &[
    ("preferences", "ignored: nothing is spread across hosts, each takes what is meant for it"),
    ("max_replicas_per_node", "ignored: `replicas` is the number on each host already"),
];

const LIMITS: &[(&str, &str)] =
    &[("devices", "devices are reserved: write them under `deploy.resources.reservations`")];

const RESERVATIONS: &[(&str, &str)] =
    &[("generic_resources", "it belongs to Docker Swarm"), ("pids", "the engine cannot reserve processes")];

const RESERVATIONS_HARMLESS: &[(&str, &str)] =
    &[("cpus", "ignored: the engine cannot reserve cores; `cpu_shares` weighs them")];

const RESTART_POLICY_HARMLESS: &[(&str, &str)] = &[
    ("delay", "ignored: the engine chooses the delay itself, 100 ms, doubled up to a minute"),
    ("window", "ignored: the engine decides itself when a start counts, after 10 s"),
];

const MOUNT: &[(&str, &str)] = &[("cluster", "it belongs to Docker Swarm")];

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

const FILE: &[(&str, &str)] = &[("models", "Docker Model Runner has no engine API to run it with")];

const FILE_HARMLESS: &[(&str, &str)] = &[("version", "ignored, as by Compose: drop the line")];

const JOB: &[(&str, &str)] = &[
    ("restart", "a job ends: `retries` says how often it is tried again"),
    ("ports", "nobody waits for a job at a port"),
    ("scale", "a job has one container a run"),
    ("container_name", "each run has a name of its own, `<project>-<job>-<time>`"),
    ("rollout", "each run begins in the image that is current then"),
    ("extends", "what jobs share is said in [defaults.jobs]"),
];

const BUILD_HARMLESS: &[(&str, &str)] = &[("isolation", "ignored: Windows only")];
