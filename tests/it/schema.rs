//! The JSON Schema for editors accepts what the loader accepts, and refuses what a schema can refuse.

use evenkeel::desired::snapshot::{FileContent, RelPath, Snapshot};
use evenkeel::desired::{load, manifest};
use serde_json::Value;

use crate::keys::{Bad, Good, all_bad, all_good, file, host};

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&manifest::schema()).unwrap()
}

/// A TOML file as an editor's schema checker sees it.
fn as_json(text: &str) -> Value {
    let value: toml::Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    // A date is text to it.
    crate::compose::of_toml(&value)
}

#[test]
fn the_schema_is_draft_7_and_follows_its_own_rules() {
    let schema = manifest::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let meta = jsonschema::meta::validate(&schema).map_err(|error| error.to_string());
    assert_eq!(meta, Ok(()));
}

#[test]
fn every_key_of_the_language_is_in_the_schema() {
    let service = manifest::keys("Service");
    for key in "image pull_policy command entrypoint environment env_file ports expose volumes networks network_mode depends_on healthcheck \
                restart container_name hostname user working_dir init labels stop_signal stop_grace_period deploy scale mem_limit \
                mem_reservation memswap_limit cpus cpu_shares cpu_period cpu_quota cpuset pids_limit logging read_only tmpfs cap_add \
                cap_drop privileged security_opt extra_hosts dns devices ulimits sysctls shm_size platform"
        .split_whitespace()
    {
        assert!(service.contains(key), "{key}");
    }
    for (shape, keys) in [
        ("File", "name override reset vars defaults policy services networks volumes hosts"),
        ("Deploy", "replicas resources update_config labels restart_policy"),
        ("UpdateConfig", "order parallelism delay failure_action monitor max_failure_ratio"),
        ("Healthcheck", "test interval timeout retries start_period start_interval disable"),
        ("Network", "name driver driver_opts internal attachable enable_ipv6 ipam labels external"),
        ("Volume", "name driver driver_opts labels external"),
    ] {
        for key in keys.split(' ') {
            assert!(manifest::keys(shape).contains(key), "{shape}: {key}");
        }
    }
}

#[test]
fn the_schema_accepts_every_good_row() {
    let validator = validator();
    let mut refused = Vec::new();
    for Good(lines, ..) in all_good() {
        let value = as_json(&file(lines));
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        if !errors.is_empty() {
            refused.push(format!("{lines}\n  {errors:?}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Rows with these slugs are all refused by the schema too, but for the lines listed with them, where what is wrong
/// depends on another value.
const EXPRESSIBLE: [(&str, &[&str]); 6] = [
    ("unknown-key", &[]),
    ("unit-missing", &[]),
    // Only a bind needs a source; what is missing in a table may be said by an override file or by the defaults; `gpus` says itself what its
    // devices can do.
    (
        "missing-key",
        &[
            "volumes = [{ type = \"bind\", target = \"/x\" }]",
            "image = \"redis\"\nimage_policy = {}",
            "deploy.resources.reservations.devices = [{ count = 1 }]",
        ],
    ),
    ("bad-type", &[]),
    ("key-after-table", &["[services.web.environment]\nA = \"b\"\nrestart = \"always\""]),
    ("unsupported-key", &[]),
];

#[test]
fn the_schema_refuses_what_a_schema_can_refuse() {
    let validator = validator();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for Bad(lines, slug, ..) in all_bad() {
        let valid = validator.is_valid(&as_json(&file(lines)));
        refused += usize::from(!valid);
        let expressible = EXPRESSIBLE.iter().any(|(known, but)| *known == slug && !but.contains(&lines));
        if expressible && valid {
            accepted.push(format!("[{slug}] {lines}"));
        }
    }
    assert!(accepted.is_empty(), "accepted:\n{}", accepted.join("\n"));
    assert!(refused >= 110, "only {refused} of the faults are seen by the schema");
}

#[test]
fn variables_are_accepted_wherever_a_value_may_come_from_one() {
    let validator = validator();
    for lines in [
        "init = \"${INIT}\"",
        "scale = \"${N}\"",
        "restart = \"${RESTART:-no}\"",
        "cpus = \"${CPUS}\"",
        "mem_limit = \"${MEM}\"",
        "ports = [\"${PORT}:80\"]",
        "healthcheck = { retries = \"$N\", interval = \"${I}s\" }",
        "pull_policy = \"${PULL}\"",
        "deploy.update_config = { order = \"${ORDER}\", max_failure_ratio = \"${R}\" }",
        "network_mode = \"${MODE}\"",
    ] {
        let value = as_json(&file(lines));
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{lines}: {errors:?}");
    }
}

/// Visits every schema within a schema.
fn visit(schema: &Value, path: &str, check: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(object) => {
            check(path, object);
            for (key, inner) in object {
                visit(inner, &format!("{path}/{key}"), check);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, path, check)),
        _ => {}
    }
}

#[test]
fn every_table_is_closed_but_for_x_keys_and_every_key_is_described() {
    let mut tables = 0;
    visit(&manifest::schema(), "", &mut |path, object| {
        assert_ne!(object.get("type"), Some(&Value::from("null")), "{path}: TOML has no null");
        assert!(
            !object.contains_key("$ref") || object.len() == 1,
            "{path}: draft 7 ignores what stands beside $ref"
        );
        let Some(properties) = object.get("properties").and_then(Value::as_object) else { return };
        if !object.contains_key("description") {
            return;
        }
        tables += 1;
        assert_eq!(object["additionalProperties"], Value::Bool(false), "{path}");
        if object.contains_key("patternProperties") {
            assert!(object["patternProperties"].get("^x-").is_some(), "{path}");
        }
        for (key, property) in properties {
            assert!(
                property.get("description").is_some()
                    || path.ends_with("/external")
                    || path.ends_with("/extends"),
                "{path}: {key} has no description"
            );
        }
    });
    assert!(tables >= 20, "{tables}");
}

/// A shape, what opens its table, and a value for each of its keys.
type Above = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// A value for every key above the services, by shape; each stands in fleet.toml, where all of them may.
const ABOVE: [Above; 9] = [
    (
        "File",
        "",
        &[
            ("name", "\"fleet\""),
            ("override", "false"),
            ("reset", "[]"),
            ("include", "[]"),
            ("ignore", "[\"x/*\"]"),
            ("on_hosts", "[\"fra1\"]"),
            ("vars", "{ A = 1 }"),
            ("defaults", "{}"),
            ("policy", "{}"),
            ("services", "{}"),
            ("networks", "{}"),
            ("volumes", "{}"),
            ("configs", "{}"),
            ("secrets", "{}"),
            ("credentials", "{}"),
            ("hosts", "{ fra1 = {} }"),
            ("jobs", "{}"),
            ("builds", "{}"),
            ("artifacts", "{}"),
            ("notify", "{}"),
        ],
    ),
    (
        "Defaults",
        "[defaults]\n",
        &[
            ("services", "{ init = true }"),
            ("jobs", "{ overlap = \"allow\" }"),
            ("builds", "{ push = true }"),
        ],
    ),
    (
        "Policy",
        "[policy]\n",
        &[
            ("unset_variables", "\"warn\""),
            ("env_allow", "[\"A\"]"),
            ("prune", "{}"),
            ("guard", "{}"),
            ("paused", "true"),
            ("drift", "{ limits = \"report\" }"),
            ("interval", "\"30s\""),
            ("paused_until", "2026-09-01T08:00:00Z"),
            ("window", "{ schedule = \"* 2-4 * * *\" }"),
            ("write_back", "{ branch = \"bot\" }"),
        ],
    ),
    (
        "WindowTable",
        "[policy.window]\n",
        &[("schedule", "\"* 2-4 * * *\""), ("timezone", "\"Europe/Berlin\"\nschedule = \"* 3 * * *\"")],
    ),
    ("PruneImagesTable", "[policy.prune.images]\n", &[("keep", "2"), ("older_than", "\"72h\"")]),
    (
        "DriftTable",
        "[policy.drift]\n",
        &[
            ("limits", "\"heal\""),
            ("restart", "\"report\""),
            ("networks", "\"ignore\""),
            ("name", "\"heal\""),
            ("state", "\"report\""),
            ("config", "\"ignore\""),
        ],
    ),
    (
        "Prune",
        "[policy.prune]\n",
        &[
            ("containers", "false"),
            ("networks", "true"),
            ("images", "{ keep = 2, older_than = \"72h\" }"),
            ("volumes", "false"),
        ],
    ),
    (
        "GuardPolicy",
        "[policy.guard]\n",
        &[
            ("max_removals", "2"),
            ("empty_state", "\"allow\""),
            ("unmanaged", "\"report\""),
            ("api_socket", "true"),
        ],
    ),
    (
        "Host",
        "[hosts.fra1]\n",
        &[
            ("labels", "{ role = \"web\", a.b = 1 }"),
            ("vars", "{ A = 1 }"),
            ("profiles", "[\"x\"]"),
            ("timezone", "\"UTC\""),
            ("paused", "true"),
        ],
    ),
];

#[test]
fn the_loader_knows_the_keys_above_the_services_too() {
    let validator = validator();
    for (shape, header, rows) in ABOVE {
        let rows: std::collections::BTreeMap<&str, &str> = rows.iter().copied().collect();
        for key in manifest::keys(shape) {
            let value = rows.get(key.as_str()).unwrap_or_else(|| panic!("no row for {shape}.{key}"));
            let text = format!("{header}{key} = {value}\n");
            assert!(validator.is_valid(&as_json(&text)), "{text}");
            let files = std::collections::BTreeMap::from([(
                RelPath::new("fleet.toml").unwrap(),
                FileContent::Read(text.clone().into_bytes().into()),
            )]);
            let snapshot = Snapshot { root: "/srv".to_owned(), files, ..Snapshot::default() };
            let (_, diagnostics) = load(&snapshot, &host());
            let unknown: Vec<_> = diagnostics.iter().filter(|told| told.slug.ends_with("-key")).collect();
            assert!(unknown.is_empty(), "{text}{unknown:#?}");
        }
    }
}

fn fixture(folder: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

/// Every TOML file below a folder.
fn toml_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            toml_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "toml") {
            found.push(path);
        }
    }
    found.sort();
}

/// Keys in the examples that the language does not have yet, by the file they stand in.
const NOT_YET: [(&str, &str); 3] =
    [("02-shop.toml", "pre_start"), ("03-blue-green.toml", "hooks"), ("fleet.toml", "interval")];

#[test]
fn the_schema_takes_every_example_of_a_whole_state() {
    let validator = validator();
    let mut files = Vec::new();
    toml_files(&fixture("examples"), &mut files);
    assert!(files.len() >= 11, "{files:?}");
    for path in files {
        let value = as_json(&std::fs::read_to_string(&path).unwrap());
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        let name = path.file_name().unwrap().to_str().unwrap();
        match NOT_YET.iter().find(|(file, _)| *file == name) {
            Some((_, key)) if !errors.is_empty() => {
                assert!(errors.iter().any(|error| error.contains(key)), "{name}: {errors:?}");
            }
            _ => assert!(errors.is_empty(), "{name}: {errors:?}"),
        }
    }
}

/// Fixtures whose fault no schema of one file can see, with the reason.
const BEYOND: [(&str, &str); 18] = [
    ("07-missing-image", "an override file or the defaults may bring the image"),
    ("08-undeclared-volume", "what is declared is in another table, or in another file"),
    ("09-path-without-dot", "a short form is text, and its inside is the loader's to read"),
    ("10-undeclared-network", "what is declared is in another table, or in another file"),
    ("11-unknown-dependency", "the service may be in another file"),
    ("12-dependency-cycle", "a schema follows no references between values"),
    ("13-healthy-without-check", "only the engine knows the image"),
    ("14-bad-port", "a short form is text, and its inside is the loader's to read"),
    ("15-port-clash", "two files"),
    ("16-overlap-impossible", "the port and the strategy may be in two files"),
    ("17-name-and-replicas", "the name and the replicas may be in two files"),
    ("18-tag-and-policy", "the tag and the policy may be in two files"),
    ("22-unset-variable", "variables are anywhere"),
    ("23-defined-twice", "two files"),
    ("25-unknown-host", "the hosts are in fleet.toml"),
    ("26-engine-too-old", "which engine reads it is not in the file"),
    ("28-guard", "what runs is not in the file"),
    ("06-label-both-value-and-table", "it is no TOML: the parser refuses it before any schema is asked"),
];

#[test]
fn the_schema_refuses_every_fixture_whose_fault_it_can_see() {
    let validator = validator();
    let mut seen = 0;
    for entry in std::fs::read_dir(fixture("diagnostics")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut files = Vec::new();
        toml_files(&folder, &mut files);
        let refused = files.iter().any(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            // What is no TOML is refused before a schema is asked; an editor shows both alike.
            toml::from_str::<Value>(&text).is_ok_and(|value| !validator.is_valid(&value))
        });
        let parses =
            files.iter().all(|path| toml::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).is_ok());
        match BEYOND.iter().find(|(known, _)| *known == name) {
            Some((_, reason)) => {
                assert!(!refused, "{name} is refused now; it was left out because: {reason}")
            }
            None => assert!(refused || !parses, "{name} is taken as good"),
        }
        seen += usize::from(refused);
    }
    assert!(seen >= 7, "only {seen} are seen");
}
