//! The file itself and what stands above the objects.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "File",
        at: "the file itself",
        header: "",
        keys: &[
            E(
                "artifacts",
                "",
                "[artifacts.static]\nfrom = \"services.web\"\npath = \"/srv/html\"\nto = \"/var/www/docs\"",
            ),
            E("builds", "", "[builds.docs]\ncontext = \"./docs\"\nimage = \"acme/docs\""),
            E("configs", "", "[configs]\nproxy-ini = { file = \"files/app.ini\" }"),
            E(
                "credentials",
                "",
                "[credentials.\"registry.example.com\"]\nusername = \"ci\"\npassword = \"secret:registry\"\n\n[secrets]\nregistry = { external = true }",
            ),
            E("defaults", "", "[defaults.services]\nrestart = \"unless-stopped\""),
            E("hosts", "", "# fleet.toml\n[hosts]\nfra1 = { labels = { role = \"web\" } }"),
            E("ignore", "", "# fleet.toml\nignore = [\"**/traefik-*.toml\"]"),
            E("include", "", "include = [\"../common/cache.toml\"]"),
            E(
                "jobs",
                "",
                "[jobs.report]\nimage = \"shop:1.8\"\nschedule = \"30 2 * * *\"\ncommand = \"report\"",
            ),
            E("name", "the folder's name", "name = \"shop\""),
            E("networks", "", "[networks]\ncache = {}"),
            E(
                "notify",
                "",
                "[notify.ops]\nurl = \"https://ntfy.example.com/shop\"\nevents = [\"update.rolled-back\"]",
            ),
            E("on_hosts", "every host", "on_hosts = [\"role=web\", \"!nyc1\"]"),
            E("override", "`false`", "override = true\n[services.web]\nimage = \"shop:1.9\""),
            E("policy", "", "[policy]\nunset_variables = \"warn\""),
            E("reset", "", "override = true\nreset = [\"services.db.healthcheck\"]"),
            E("secrets", "", "[secrets]\nsmtp = { external = true }"),
            E("services", "", "[services.cache]\nimage = \"redis:7\""),
            E("vars", "", "[vars]\nTAG = \"1.8\"\n\n[services.web]\nimage = \"shop:${TAG}\""),
            E("volumes", "", "[volumes]\nlogs = {}"),
        ],
    },
    Shape {
        name: "Include",
        at: "include[]",
        header: "",
        keys: &[E("path", "", "[[include]]\npath = \"../common/cache.toml\"")],
    },
    Shape {
        name: "Defaults",
        at: "defaults",
        header: "",
        keys: &[
            E("builds", "", "[defaults.builds]\npush = true"),
            E("jobs", "", "[defaults.jobs]\noverlap = \"queue\"\ntimezone = \"Europe/Berlin\""),
            E("services", "", "[defaults.services]\nlogging = { driver = \"local\" }"),
        ],
    },
    Shape {
        name: "Policy",
        at: "policy",
        header: "# fleet.toml\n[policy]",
        keys: &[
            E("drift", "", "drift = { limits = \"report\", state = \"ignore\" }"),
            E("env_allow", "nothing", "env_allow = [\"SHOP_*\", \"TOKEN\"]"),
            E("guard", "", "guard = { max_removals = 5 }"),
            E("interval", "`intervals.resync` of the daemon", "interval = \"30s\""),
            E("paused", "`false`", "paused = true"),
            E("paused_until", "", "paused_until = 2026-09-01T08:00:00Z"),
            E("prune", "", "prune = { networks = false }"),
            E("unset_variables", "`\"error\"`", "unset_variables = \"warn\""),
            E(
                "window",
                "at any time",
                "window = { schedule = \"* 2-4 * * mon-thu\", timezone = \"Europe/Berlin\" }",
            ),
            E("write_back", "", "write_back = {}"),
        ],
    },
    Shape {
        name: "WindowTable",
        at: "policy.window",
        header: "# fleet.toml\n[policy.window]",
        keys: &[
            E("schedule", "", "schedule = \"* 2-4 * * mon-thu\""),
            E("timezone", "the host's", "schedule = \"* 2-4 * * *\"\ntimezone = \"Europe/Berlin\""),
        ],
    },
    Shape {
        name: "WriteBack",
        at: "policy.write_back",
        header: "# fleet.toml\n[policy.write_back]",
        keys: &[
            E("author", "`evenkeel <evenkeel@HOST>`", "author = \"evenkeel <ops@example.com>\""),
            E("branch", "the one that is followed", "branch = \"evenkeel/images\""),
            E(
                "message",
                "`\"${service}: ${image} ${tag}\"`",
                "message = \"chore: ${service} runs ${tag} (was ${old})\"",
            ),
        ],
    },
    Shape {
        name: "Prune",
        at: "policy.prune",
        header: "# fleet.toml\n[policy.prune]",
        keys: &[
            E("containers", "`true`", "containers = false"),
            E("images", "", "images = { keep = 2, older_than = \"72h\" }"),
            E("networks", "`true`", "networks = false"),
            E("volumes", "`false`", "volumes = false"),
        ],
    },
    Shape {
        name: "PruneImagesTable",
        at: "policy.prune.images",
        header: "# fleet.toml\n[policy.prune.images]",
        keys: &[E("keep", "", "keep = 2"), E("older_than", "", "older_than = \"72h\"")],
    },
    Shape {
        name: "GuardPolicy",
        at: "policy.guard",
        header: "# fleet.toml\n[policy.guard]",
        keys: &[
            E("api_socket", "`false`", "api_socket = true"),
            E("empty_state", "`\"refuse\"`", "empty_state = \"allow\""),
            E("max_removals", "half of what runs, at least one", "max_removals = 5"),
            E("unmanaged", "`\"ignore\"`", "unmanaged = \"report\""),
        ],
    },
    Shape {
        name: "DriftTable",
        at: "policy.drift",
        header: "[policy.drift]",
        keys: &[
            E("config", "`\"heal\"`", "config = \"report\""),
            E("limits", "`\"heal\"`", "limits = \"report\""),
            E("name", "`\"heal\"`", "name = \"ignore\""),
            E("networks", "`\"heal\"`", "networks = \"report\""),
            E("restart", "`\"heal\"`", "restart = \"report\""),
            E("state", "`\"heal\"`", "state = \"report\""),
        ],
    },
    Shape {
        name: "Host",
        at: "hosts.<name>",
        header: "# fleet.toml\n[hosts.fra1]",
        keys: &[
            E("labels", "", "labels = { role = \"web\", zone = \"eu\" }"),
            E("paused", "`false`", "paused = true"),
            E("profiles", "", "profiles = [\"backup\"]"),
            E("timezone", "the host's own", "timezone = \"Europe/Berlin\""),
            E("vars", "", "vars = { DOMAIN = \"eu.example.com\" }"),
        ],
    },
];
