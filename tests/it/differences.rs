//! What differs between two files, field by field, in the words of a file: what `plan` shows and history gives as the reason.

use evenkeel::desired::Wanted;
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::state::diff::{Effect, differences};

use crate::rig::{id, loaded, shop};

fn spec(text: &str) -> ServiceSpec {
    let file = format!(
        "[services.db]\nimage = \"db:1\"\n[services.cache]\nimage = \"cache:1\"\n\
        [networks]\nfront = {{}}\nback = {{}}\n[volumes]\ndata = {{}}\n[services.web]\nimage = \"web:1\"\n{text}"
    );
    let state = loaded(&shop(&file));
    match state.services.get(&id("web")).unwrap() {
        Wanted::Run(revision) => ServiceSpec::clone(&revision.spec),
        Wanted::Frozen(problems) => panic!("{problems:#?}"),
    }
}

/// `path  old -> new`, with what it costs behind.
fn shown(old: &str, new: &str) -> Vec<String> {
    let line = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
    let cost = |effect| match effect {
        Effect::Replace => "",
        Effect::Live => " (in place)",
        Effect::None => " (no container)",
    };
    let found = differences(&spec(old), &spec(new)).into_iter();
    found
        .map(|one| format!("{}  {} -> {}{}", one.path, line(one.old), line(one.new), cost(one.effect)))
        .collect()
}

#[test]
fn every_field_is_told_in_the_words_of_a_file() {
    // (before, after, what is told)
    let table: &[(&str, &str, &[&str])] = &[
        ("", "", &[]),
        (
            "command = 'serve'",
            "command = ['serve', '--port', '80']",
            &[r#"command  ["serve"] -> ["serve", "--port", "80"]"#],
        ),
        ("", "entrypoint = []", &["entrypoint  not set -> []"]),
        (
            "environment.A = '1'",
            "environment.B = '2'",
            &["environment.A  sha256:6b86b273 -> not set", "environment.B  not set -> sha256:d4735e3a"],
        ),
        ("labels.a = '1'", "labels.a = '2'", &["labels.a  1 -> 2"]),
        ("user = '1000'", "user = 'app'", &["user  1000 -> app"]),
        ("init = true", "init = false", &["init  true -> false"]),
        ("read_only = true", "", &["read_only  true -> false"]),
        ("stop_grace_period = '90s'", "", &["stop_grace_period  1m30s -> not set"]),
        (
            "healthcheck = { test = ['CMD', 'true'], interval = '300ms', retries = 3 }",
            "healthcheck = { test = ['CMD', 'true'], interval = '5s', retries = 3, timeout = '1s' }",
            &["healthcheck.interval  300ms -> 5s", "healthcheck.timeout  not set -> 1s"],
        ),
        (
            "",
            "healthcheck.test = 'curl localhost'",
            &[r#"healthcheck  the image's own -> ["CMD-SHELL", "curl localhost"]"#],
        ),
        (
            "healthcheck.interval = '5s'",
            "healthcheck.disable = true",
            &["healthcheck  the image's own, with other times -> none"],
        ),
        (
            "ports = ['8080:80']",
            "ports = ['127.0.0.1:8081:80', '53:53/udp']",
            &[r#"ports  ["8080:80"] -> ["53:53/udp", "127.0.0.1:8081:80"]"#],
        ),
        ("expose = ['80']", "expose = ['80', '53/udp']", &[r#"expose  ["80"] -> ["53/udp", "80"]"#]),
        (
            "volumes = ['data:/data']",
            "volumes = ['data:/data:ro', '/srv:/srv', '/cache']",
            &[
                "volumes[/data]  volume shop_data -> volume shop_data, ro",
                "volumes[/cache]  not set -> an anonymous volume",
                "volumes[/srv]  not set -> /srv",
            ],
        ),
        (
            "volumes = [{ type = 'tmpfs', target = '/t', tmpfs = { size = '1g', mode = 0o700 } }]",
            "volumes = [{ type = 'bind', source = '/a', target = '/t', bind = { propagation = 'rshared', create_host_path = false, recursive = 'disabled' } }]",
            &["volumes[/t]  tmpfs, size 1g, mode 0700 -> /a, without mounts below, must exist, rshared"],
        ),
        ("tmpfs = '/run:size=1m'", "tmpfs = '/run:size=2m'", &["tmpfs[/run]  size=1m -> size=2m"]),
        (
            "network_mode = 'host'",
            "network_mode = 'service:db'",
            &[
                "network_mode  host -> service:db",
                "depends_on.db  not set -> service_started, restart (no container)",
            ],
        ),
        (
            "logging = { driver = 'local', options = { max-size = '1m' } }",
            "logging = { driver = 'local', options = { max-size = '2m' } }",
            &["logging.options.max-size  1m -> 2m"],
        ),
        ("", "logging.driver = 'none'", &["logging.driver  not set -> none"]),
        ("cap_drop = ['ALL']", "", &[r#"cap_drop  ["ALL"] -> []"#]),
        ("devices = ['/dev/null']", "", &[r#"devices  ["/dev/null:/dev/null:rwm"] -> []"#]),
        ("ulimits.nofile = 5", "ulimits.nofile = { soft = 5, hard = 10 }", &["ulimits.nofile  5 -> 5:10"]),
        ("sysctls.net.core.somaxconn = 1024", "", &["sysctls.net.core.somaxconn  1024 -> not set"]),
        ("shm_size = '64m'", "shm_size = 100", &["shm_size  64m -> 100b"]),
        ("restart = 'always'", "restart = 'on-failure:3'", &["restart  always -> on-failure:3 (in place)"]),
        ("mem_limit = '512m'", "mem_limit = '1g'", &["mem_limit  512m -> 1g (in place)"]),
        (
            "mem_limit = '1g'\nmemswap_limit = '2g'",
            "mem_limit = '1g'\nmemswap_limit = -1",
            &["memswap_limit  2g -> -1 (in place)"],
        ),
        ("cpus = 0.5", "cpus = 2", &["cpus  0.5 -> 2 (in place)"]),
        ("cpu_period = '100ms'", "cpu_period = '50ms'", &["cpu_period  100ms -> 50ms (in place)"]),
        ("pids_limit = 10", "pids_limit = -1", &["pids_limit  10 -> not set (in place)"]),
        (
            "networks = ['front']",
            "networks = ['back']",
            &[
                "networks.shop_front  joined -> not set (in place)",
                "networks.shop_back  not set -> joined (in place)",
            ],
        ),
        (
            "networks.front = {}",
            "networks.front.aliases = ['www']",
            &[r#"networks.shop_front.aliases  [] -> ["www"] (in place)"#],
        ),
        ("container_name = 'one'", "container_name = 'two'", &["container_name  one -> two (in place)"]),
        ("scale = 2", "deploy.replicas = 3", &["deploy.replicas  2 -> 3 (no container)"]),
        (
            "pull_policy = 'daily'",
            "pull_policy = 'never'",
            &["pull_policy  every_1d -> never (no container)"],
        ),
        (
            "depends_on = ['db']",
            "depends_on.cache = { condition = 'service_healthy', restart = true, required = false }",
            &[
                "depends_on.db  service_started -> not set (no container)",
                "depends_on.cache  not set -> service_healthy, restart, not required (no container)",
            ],
        ),
        (
            "deploy.update_config = { order = 'auto', delay = '5s', max_failure_ratio = 0.25 }",
            "deploy.update_config = { failure_action = 'pause', parallelism = 2, monitor = '1m' }",
            &[
                "deploy.update_config.order  auto -> stop-first (no container)",
                "deploy.update_config.parallelism  1 -> 2 (no container)",
                "deploy.update_config.delay  5s -> 0s (no container)",
                "deploy.update_config.failure_action  rollback -> pause (no container)",
                "deploy.update_config.monitor  10s -> 1m (no container)",
                "deploy.update_config.max_failure_ratio  0.25 -> 0 (no container)",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (old, new, expected) in table {
        let told = shown(old, new);
        if told != *expected {
            wrong.push(format!("from `{old}` to `{new}`: {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_replaces_is_told_first_and_what_is_long_is_cut() {
    let long = format!("command = ['{}']\nmem_limit = '1g'", "x".repeat(1_000));
    let told = shown("mem_limit = '2g'", &long);
    assert!(told[0].starts_with("command  not set -> [\"xxx") && told[0].ends_with("..."), "{told:?}");
    assert!(told[0].len() < 250 && told[1] == "mem_limit  2g -> 1g (in place)", "{told:?}");
}
