//! The checks, in the order in which one would mend what they find.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Finding, repositories, secrets};
use crate::cli::context::chain;
use crate::cli::look::{self, Desired};
use crate::cli::sources;
use crate::config::{Listen, Settings};
use crate::controller::clock;
use crate::controller::store::Store;
use crate::engine::{EngineFacts, OLDEST_API};
use crate::metrics::client::Client;
use crate::metrics::server::Server;
use crate::state::plan::Failure;

/// Clocks further apart than this make histories hard to read. Milliseconds.
const CLOCK_TOLERANCE: u64 = 5_000;
/// 2026-01-01: a clock before the program was written is wrong.
const PROGRAM_WRITTEN: i64 = 1_767_225_600_000;

pub(super) async fn all(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let daemon = daemon(settings, &mut findings).await;
    let facts = engine(settings, &mut findings).await;
    if let Some(facts) = &facts {
        findings.push(disk(settings, facts));
    }
    findings.push(time(facts.as_ref()));
    findings.extend(repositories::all(settings));
    let loaded = look::desired(settings, facts.as_ref());
    let secret = loaded.as_ref().map(|loaded| secrets::all(settings, &loaded.state)).unwrap_or_default();
    findings.push(desired(settings, loaded));
    findings.extend(secret);
    findings.push(state(settings, daemon));
    findings.push(port(settings, daemon).await);
    findings.push(credentials(&docker_config()));
    findings
}

/// Whether a daemon answers.
async fn daemon(settings: &Settings, findings: &mut Vec<Finding>) -> bool {
    let client = match Client::find(&settings.socket).await {
        Ok(Some(client)) => client,
        Ok(None) => {
            findings
                .push(Finding::ok("daemon", "none runs (evenkeel run, or the system's service, starts it)"));
            return false;
        }
        Err(error) => {
            let fix = "run evenkeel as the user that runs the daemon";
            findings.push(Finding::fail("daemon", chain(&error), fix));
            return true;
        }
    };
    let path = settings.socket.display();
    findings.push(match client.status().await {
        Ok(report) if report.host.version != env!("CARGO_PKG_VERSION") => Finding::warn(
            "daemon",
            format!(
                "version {} answers on {path}, this is {}",
                report.host.version,
                env!("CARGO_PKG_VERSION")
            ),
            "restart the daemon after an upgrade",
        ),
        Ok(report) => Finding::ok("daemon", format!("instance {} answers on {path}", report.host.instance)),
        Err(error) => Finding::fail("daemon", chain(&error), "look at its log, then restart it"),
    });
    true
}

async fn engine(settings: &Settings, findings: &mut Vec<Finding>) -> Option<EngineFacts> {
    let asked = match look::engine(settings) {
        Ok(engine) => engine.facts().await.map_err(|error| (error.kind, error.to_string())),
        Err(error) => Err((Failure::Unreachable, error)),
    };
    match asked {
        Ok(facts) => {
            let (major, minor) = facts.api;
            let found = format!("{} with API {major}.{minor} answers", facts.version);
            findings.push(if facts.api < OLDEST_API {
                let fix = format!(
                    "upgrade the engine: API {}.{} (Docker 20.10) is the oldest that will do",
                    OLDEST_API.0, OLDEST_API.1
                );
                Finding::fail("engine", found, fix)
            } else {
                Finding::ok("engine", found)
            });
            Some(facts)
        }
        Err((_, found)) => {
            findings.push(Finding::fail("engine", found, unreachable_fix(&socket_path(settings))));
            None
        }
    }
}

/// The engine's socket, when it is one.
fn socket_path(settings: &Settings) -> Option<PathBuf> {
    let given = settings.docker_host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
    let address =
        given.filter(|text| !text.is_empty()).unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    address.strip_prefix("unix://").map(PathBuf::from)
}

fn unreachable_fix(socket: &Option<PathBuf>) -> String {
    let Some(path) = socket else {
        return "is the address right (DOCKER_HOST, --docker-host), the engine up, and DOCKER_CERT_PATH set where it wants TLS?"
            .to_owned();
    };
    if !path.exists() {
        return format!(
            "{} is not there: install and start an engine (systemctl start docker), or set DOCKER_HOST",
            path.display()
        );
    }
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Err(_) => {
            format!("{} may not be opened: run as root or as a member of the group docker", path.display())
        }
        Ok(()) => {
            "the socket is there, but nobody serves it: start the engine (systemctl start docker)".to_owned()
        }
    }
}

fn disk(settings: &Settings, facts: &EngineFacts) -> Finding {
    let (floor, root) = (settings.limits.disk_floor, &facts.root_dir);
    let Some(space) = look::space(Path::new(root)) else {
        return Finding::warn(
            "disk",
            format!("cannot see {root} from here"),
            "fine where the engine is elsewhere; else run as root, so that a full disk is noticed before a replacement",
        );
    };
    let found = format!("{} of {} free in {root}", megabytes(space.free), megabytes(space.total));
    if space.free < floor {
        let found = format!("{found}, and at least {} must be", megabytes(floor));
        return Finding::fail(
            "disk",
            found,
            "free some (evenkeel prune --dry-run shows what may go): nothing is replaced until then; limits.disk_floor sets the limit",
        );
    }
    if let Some(wanted) = settings.limits.disk_pressure.lacks(space) {
        let found = format!("{found}: pressure below {}", megabytes(wanted));
        return Finding::fail(
            "disk",
            found,
            "free some (evenkeel prune --dry-run shows what may go): nothing is pulled or built until then; limits.disk_pressure sets the limit",
        );
    }
    let least = floor.max(settings.limits.disk_pressure.of(space.total));
    if space.free < least.saturating_mul(3) {
        return Finding::warn(
            "disk",
            found,
            format!("pulls, builds and replacements stop below {}", megabytes(least)),
        );
    }
    Finding::ok("disk", found)
}

fn megabytes(bytes: u64) -> String {
    if bytes >= 10 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

fn time(facts: Option<&EngineFacts>) -> Finding {
    let here = clock::wall();
    if here.0 < PROGRAM_WRITTEN {
        return Finding::fail(
            "clock",
            format!("it is {here} here"),
            "set the clock: certificates and histories depend on it",
        );
    }
    let Some(there) = facts.and_then(|facts| facts.clock) else {
        return Finding::ok("clock", format!("it is {here} here"));
    };
    let apart = here.0.abs_diff(there.0);
    if apart > CLOCK_TOLERANCE {
        let found = format!("it is {here} here and {there} at the engine, {} s apart", apart / 1000);
        return Finding::warn("clock", found, "keep both by NTP; evenkeel's own waits do not depend on it");
    }
    Finding::ok("clock", format!("it is {here} here, and at the engine"))
}

fn desired(settings: &Settings, loaded: Result<Desired, String>) -> Finding {
    let path = sources::shown(settings);
    let Desired { state, problems, .. } = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            return Finding::fail(
                "desired state",
                error,
                "set --desired (EVENKEEL_DESIRED) to the directory of your files",
            );
        }
    };
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let found = format!("{path}: {} services, {} projects", state.services.len(), state.projects.len());
    if errors > 0 {
        let found = format!("{found}, {errors} errors, {} files that do not load", state.broken.len());
        return Finding::fail("desired state", found, "evenkeel validate shows each with its place");
    }
    if state.services.is_empty() {
        return Finding::warn(
            "desired state",
            format!("{path}: no services"),
            "write one: see docs/desired-state.md",
        );
    }
    Finding::ok("desired state", found)
}

fn state(settings: &Settings, daemon: bool) -> Finding {
    let path = settings.state.display();
    if daemon {
        return Finding::ok("state", format!("{path}: the daemon has it"));
    }
    let fix = "run as root, or set --state (EVENKEEL_STATE) to a directory of your own";
    if !settings.state.exists() {
        let above =
            settings.state.ancestors().skip(1).find(|above| above.exists() || above.as_os_str().is_empty());
        let above = above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match access(above, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Finding::ok("state", format!("{path}: not there yet; the first run makes it")),
            Err(error) => {
                Finding::fail("state", format!("{path} cannot be made: {}: {error}", above.display()), fix)
            }
        };
    }
    if let Err(error) = access(&settings.state, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return Finding::fail("state", format!("{path}: {error}"), fix);
    }
    // Only what is there is opened: a look makes no database.
    if !settings.state.join("state.db").exists() {
        return Finding::ok("state", format!("{path}: empty; the first run fills it"));
    }
    match Store::open(&settings.state, &settings.instance) {
        Ok(_lock_is_given_back) => {
            Finding::ok("state", format!("{path}: readable, writable, nobody has it locked"))
        }
        Err(error) => {
            Finding::fail("state", chain(&error), "see docs/operations.md, \"When something is wrong\"")
        }
    }
}

async fn port(settings: &Settings, daemon: bool) -> Finding {
    let Listen::On(address) = settings.listen else {
        return Finding::ok("listen", "off: no metrics and no status over TCP");
    };
    if daemon {
        return Finding::ok("listen", format!("{address}: the daemon's"));
    }
    match Server::bind(Some(address), None).await {
        Ok(_) => Finding::ok("listen", format!("{address} is free")),
        Err(error) => Finding::fail("listen", error.to_string(), "or stop what has it"),
    }
}

/// Docker's `config.json`, where registry credentials are.
fn docker_config() -> PathBuf {
    let named = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| OsString::from("/root"))).join(".docker");
    named.unwrap_or_else(home).join("config.json")
}

fn credentials(config: &Path) -> Finding {
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::ok(
                "credentials",
                format!("no {}: registries are asked anonymously", config.display()),
            );
        }
        Err(error) => {
            let fix = "private images cannot be pulled until it can be read";
            return Finding::warn("credentials", format!("{}: {error}", config.display()), fix);
        }
    };
    let Ok(parsed) = serde_json::from_str::<serde_json::Value>(&text) else {
        return Finding::fail(
            "credentials",
            format!("{} is no JSON", config.display()),
            "mend it, or log in again: docker login",
        );
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<String> = helpers(&parsed)
        .into_iter()
        .filter(|name| !std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
        .collect();
    if missing.is_empty() {
        return Finding::ok("credentials", format!("{}: every helper it names is there", config.display()));
    }
    let fix = "install them, or put them on the PATH of the daemon: pulls from their registries fail";
    Finding::fail("credentials", format!("{} names {}, not found", config.display(), missing.join(", ")), fix)
}

/// Programs that `credsStore` and `credHelpers` name.
fn helpers(config: &serde_json::Value) -> BTreeSet<String> {
    let store = config.get("credsStore").and_then(|name| name.as_str());
    let each = config.get("credHelpers").and_then(|map| map.as_object());
    let each = each.into_iter().flat_map(|map| map.values()).filter_map(|name| name.as_str());
    store
        .into_iter()
        .chain(each)
        .filter(|name| !name.is_empty())
        .map(|name| format!("docker-credential-{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn helpers_are_found_wherever_they_are_named() {
        let config =
            serde_json::json!({"credsStore": "pass", "credHelpers": {"a.example": "ecr-login", "b": "pass"}});
        let names: Vec<String> = helpers(&config).into_iter().collect();
        assert_eq!(names, ["docker-credential-ecr-login", "docker-credential-pass"]);
        assert!(helpers(&serde_json::json!([])).is_empty());
    }

    #[test]
    fn a_missing_helper_fails_and_no_file_at_all_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let table = [
            (None, Level::Ok),
            (Some("{}"), Level::Ok),
            (Some("{\"credsStore\":\"no-such-helper\"}"), Level::Fail),
            (Some("{"), Level::Fail),
        ];
        for (text, expected) in table {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            assert_eq!(credentials(&path).level, expected, "{text:?}");
        }
    }

    #[test]
    fn a_clock_from_before_this_program_is_wrong() {
        assert_eq!(time(None).level, Level::Ok);
        let far = EngineFacts { clock: Some(crate::state::time::Timestamp(0)), ..EngineFacts::default() };
        assert_eq!(time(Some(&far)).level, Level::Warn);
    }
}
