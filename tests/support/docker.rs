//! The engine as an independent witness sees it: through Docker's own command line, never through the code under test.

use std::cell::RefCell;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::machine;

thread_local! {
    /// The engine this test's calls go to; `None`: the machine's own.
    static ENGINE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Every test runs in a thread of its own, so this is for the test that says it, and nobody else.
pub fn use_engine(address: Option<String>) {
    ENGINE.set(address);
}

/// Makes a command talk to this test's engine.
pub fn aim(command: &mut Command) {
    match ENGINE.with_borrow(Clone::clone).or_else(machine::address) {
        Some(address) => command.env("DOCKER_HOST", address),
        None => command.env_remove("DOCKER_HOST"),
    };
}

/// Runs `docker` and returns what it printed, trimmed; an error is what it complained.
pub fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("docker");
    aim(&mut command);
    let output = command.args(arguments).output().map_err(|error| format!("docker: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The same, where a failure is the test's failure.
pub fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap_or_else(|error| panic!("docker {}: {error}", arguments.join(" ")))
}

/// Whether an engine answers; asked once.
pub fn engine_answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| try_docker(&["version", "--format", "{{.Server.Version}}"]).is_ok())
}

/// A container as `docker inspect` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    pub json: Value,
}

impl Seen {
    fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
    pub fn state(&self) -> &str {
        self.text("/State/Status")
    }
    pub fn running(&self) -> bool {
        self.state() == "running"
    }
    pub fn healthy(&self) -> bool {
        self.text("/State/Health/Status") == "healthy"
    }
    /// The reference it was made from. Ours are created by id, so that a tag that moves in between makes no difference.
    pub fn image(&self) -> &str {
        match self.label("dev.evenkeel.image.ref") {
            "" => self.text("/Config/Image"),
            reference => reference,
        }
    }
    pub fn started_at(&self) -> &str {
        self.text("/State/StartedAt")
    }
    pub fn finished_at(&self) -> &str {
        self.text("/State/FinishedAt")
    }
    pub fn restart_policy(&self) -> &str {
        self.text("/HostConfig/RestartPolicy/Name")
    }
    pub fn network_mode(&self) -> &str {
        self.text("/HostConfig/NetworkMode")
    }
    pub fn memory(&self) -> i64 {
        self.json.pointer("/HostConfig/Memory").and_then(Value::as_i64).unwrap_or_default()
    }
    pub fn label(&self, name: &str) -> &str {
        self.json
            .pointer("/Config/Labels")
            .and_then(|labels| labels.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
    pub fn service(&self) -> &str {
        self.label("dev.evenkeel.service")
    }
    pub fn variable(&self, name: &str) -> Option<&str> {
        let all = self.json.pointer("/Config/Env").and_then(Value::as_array)?;
        all.iter().filter_map(Value::as_str).find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A fresh look at one container by name or id.
pub fn inspect(container: &str) -> Option<Seen> {
    let text = try_docker(&["container", "inspect", container]).ok()?;
    seen(&text).into_iter().next()
}

/// The id of an image, if it is here.
pub fn inspect_image(reference: &str) -> Option<String> {
    try_docker(&["image", "inspect", "--format", "{{.Id}}", reference]).ok()
}

/// Every container with this label, in every state.
pub fn labelled(label: &str) -> Vec<Seen> {
    try_labelled(label).unwrap_or_else(|error| panic!("containers with the label {label}: {error}"))
}

pub fn try_labelled(label: &str) -> Result<Vec<Seen>, String> {
    let ids = try_docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &format!("label={label}")])?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // One of them may go between the two calls; then those that are left are looked at one by one.
    let mut arguments = vec!["container", "inspect"];
    arguments.extend(ids.lines());
    Ok(match try_docker(&arguments) {
        Ok(text) => seen(&text),
        Err(_) => ids.lines().filter_map(inspect).collect(),
    })
}

fn seen(text: &str) -> Vec<Seen> {
    let all: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    all.into_iter()
        .map(|json| Seen {
            id: json.pointer("/Id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            name: json
                .pointer("/Name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            json,
        })
        .collect()
}

/// What the engine did to containers with this label since a moment, as `action name` lines. The engine keeps 256 events.
pub fn events(label: &str, since: &str) -> Vec<String> {
    let now = docker_now();
    let text = docker(&[
        "events",
        "--since",
        since,
        "--until",
        &now,
        "--filter",
        "type=container",
        "--filter",
        &format!("label={label}"),
        "--format",
        "{{.Action}} {{index .Actor.Attributes \"name\"}}",
    ]);
    text.lines().filter(|line| !line.starts_with("exec_")).map(str::to_owned).collect()
}

/// Now, as `events` takes it: seconds since 1970 with fraction.
pub fn docker_now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}
