//! One test's own corner of the engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::docker::{Seen, aim, docker, engine_answers, inspect, labelled, try_docker, try_labelled};
use super::machine;

pub const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// Short waits instead of the defaults for people, so that tests end; nothing else differs from a daemon in use.
const SHORT: [(&str, &str); 3] = [
    ("EVENKEEL_LIMITS_DISK_FLOOR", "1MiB"),
    ("EVENKEEL_LIMITS_DISK_PRESSURE", "1MiB"),
    ("EVENKEEL_LOG_LEVEL", "debug"),
];

pub struct Host {
    /// Project and instance at once: nothing else on the engine is called so.
    pub project: String,
    pub desired: PathBuf,
    pub state: PathBuf,
    pub docker_host: Option<String>,
    /// How long files must be still before what left them goes. One second; more where a test must not depend on its own speed.
    pub removal_quiet: &'static str,
    /// What evenkeel is run by: nothing, or `nsenter` with its words.
    pub prefix: Vec<String>,
    /// Whether the desired state is [`Self::desired`]; `false`: what the settings or the arguments say.
    pub directory: AtomicBool,
    /// Further variables of evenkeel's environment.
    pub environment: Vec<(String, String)>,
    root: TempDir,
}

/// What a command of evenkeel printed, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self::of(&output)
    }
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON: {error}\n{}", self.out))
    }
}

impl Host {
    /// `None` where no engine answers.
    pub fn new() -> Option<Self> {
        if !engine_answers() {
            machine::skip("no Docker engine answers; nothing about a real engine was tested here");
            return None;
        }
        Some(Self::without_engine())
    }

    /// The same without asking for an engine: for what must work without one.
    pub fn without_engine() -> Self {
        let project = format!("ek{:08x}", fastrand::u32(..));
        let root = tempfile::Builder::new().prefix("evenkeel-test-").tempdir().unwrap();
        let desired = root.path().join("desired");
        fs::create_dir_all(desired.join(&project)).unwrap();
        Self {
            desired,
            state: root.path().join("state"),
            docker_host: None,
            removal_quiet: "1s",
            prefix: Vec::new(),
            directory: AtomicBool::new(true),
            environment: Vec::new(),
            project,
            root,
        }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Builds `<project>/app:<tag>` around the test program. Its VERSION is the tag.
    pub fn image(&self, tag: &str, variables: &[(&str, &str)], command: &[&str]) -> String {
        let reference = format!("{}/app:{tag}", self.project);
        self.image_named(&reference, tag, variables, command);
        reference
    }

    pub fn image_named(&self, reference: &str, version: &str, variables: &[(&str, &str)], command: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/images.sh");
        let mut call = Command::new(script);
        call.args(["image", reference, &format!("VERSION={version}")]);
        call.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        call.arg("--").args(command);
        call.env("LABEL", format!("evenkeel-test={}", self.project));
        aim(&mut call);
        let ended = Ended::of(&call.output().unwrap());
        assert_eq!(ended.code, 0, "images.sh: {}", ended.err);
    }

    /// Writes a file of this test's project the way good editors do: aside, then renamed over.
    pub fn write(&self, name: &str, text: &str) {
        self.write_at(&format!("{}/{name}", self.project), text);
    }

    /// The same, relative to the root of the desired state.
    pub fn write_at(&self, path: &str, text: &str) {
        let to = self.desired.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let aside = to.with_file_name(format!(".{}.new", to.file_name().unwrap().to_string_lossy()));
        fs::write(&aside, text).unwrap();
        fs::rename(aside, to).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.desired.join(&self.project).join(name)).unwrap();
    }

    pub fn remove_if_there(&self, name: &str) -> bool {
        fs::remove_file(self.desired.join(&self.project).join(name)).is_ok()
    }

    /// The binary with this host's settings.
    pub fn command(&self) -> Command {
        let words: Vec<&str> = self.prefix.iter().map(String::as_str).chain([BINARY]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
            .env("EVENKEEL_STATE", &self.state)
            .env("EVENKEEL_INSTANCE", &self.project)
            .env("EVENKEEL_CONFIG", self.config())
            .envs(SHORT)
            .env("EVENKEEL_INTERVALS_REMOVAL_QUIET", self.removal_quiet)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.directory.load(Ordering::SeqCst) {
            command.env("EVENKEEL_DESIRED", &self.desired);
        }
        aim(&mut command);
        if let Some(address) = &self.docker_host {
            command.env("DOCKER_HOST", address);
        }
        command
    }

    /// Writes evenkeel.toml, which then says where the desired state comes from.
    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
        self.directory.store(false, Ordering::SeqCst);
    }

    /// An empty file: what the machine has in /etc must not matter here.
    fn config(&self) -> PathBuf {
        let path = self.root.path().join("evenkeel.toml");
        if !path.exists() {
            fs::write(&path, "").unwrap();
        }
        path
    }

    /// Runs one command to its end.
    pub fn evenkeel(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command().args(arguments).output().unwrap())
    }

    /// Starts `evenkeel run`.
    pub fn run(&self) -> Daemon {
        Daemon::start(self, &[])
    }

    pub fn label(&self) -> String {
        format!("dev.evenkeel.owner={}", self.project)
    }

    /// Everything of this instance, in every state.
    pub fn containers(&self) -> Vec<Seen> {
        let mut all = labelled(&self.label());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The containers of one service.
    pub fn of(&self, service: &str) -> Vec<Seen> {
        self.containers().into_iter().filter(|seen| seen.service() == service).collect()
    }

    pub fn running(&self, service: &str) -> Vec<Seen> {
        self.of(service).into_iter().filter(Seen::running).collect()
    }

    /// `<project>-<service>-<n>`, if it runs.
    pub fn serving(&self, service: &str) -> Option<Seen> {
        inspect(&self.name(service)).filter(Seen::running)
    }

    /// The plain name of a service's first container.
    pub fn name(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    /// `project/service`, as commands take it.
    pub fn id(&self, service: &str) -> String {
        format!("{}/{service}", self.project)
    }

    /// What `status --json` says of one service, from a running daemon.
    pub fn status(&self, service: &str) -> Option<serde_json::Value> {
        let ended = self.evenkeel(&["status", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&ended.out).ok()?;
        let rows = all.get("services").and_then(serde_json::Value::as_array).or_else(|| all.as_array())?;
        rows.iter().find(|row| row.get("service").is_some_and(|id| *id == *self.id(service))).cloned()
    }

    /// `ready`, `rolled-back`, ... or nothing yet.
    pub fn condition(&self, service: &str) -> String {
        self.status(service)
            .and_then(|row| Some(row.pointer("/condition/kind")?.as_str()?.to_owned()))
            .unwrap_or_default()
    }

    fn clean(&self) -> Result<(), String> {
        let label = self.label();
        let filter = format!("label={label}");
        let each = |list: &[&str], remove: &[&str]| -> Result<(), String> {
            let found = try_docker(list)?;
            let lines: Vec<&str> = found.lines().collect();
            if lines.is_empty() {
                return Ok(());
            }
            try_docker(&[remove, &lines].concat()).map(drop)
        };
        each(&["ps", "-aq", "--no-trunc", "--filter", &filter], &["rm", "--force"])?;
        let test = format!("label=evenkeel-test={}", self.project);
        each(&["ps", "-aq", "--no-trunc", "--filter", &test], &["rm", "--force"])?;
        for kind in ["network", "volume"] {
            each(&[kind, "ls", "-q", "--filter", &filter], &[kind, "rm"])?;
            each(&[kind, "ls", "-q", "--filter", &test], &[kind, "rm"])?;
        }
        let images = try_docker(&["image", "ls", "-q", "--no-trunc", "--filter", &test])?;
        let mut ids: Vec<&str> = images.lines().collect();
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            try_docker(&[&["image", "rm", "--force"], ids.as_slice()].concat())?;
        }
        Ok(())
    }

    /// A foreign container: not ours, only labelled so that this test's clean-up finds it. Named `name` as it stands.
    pub fn foreign(&self, name: &str, image: &str, options: &[&str]) -> String {
        let label = format!("evenkeel-test={}", self.project);
        let mut arguments = vec!["run", "--detach", "--name", name, "--label", &label];
        arguments.extend(options);
        arguments.push(image);
        docker(&arguments)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- containers of {}", self.project);
            // Nothing may panic in here: a panic during a panic ends the whole run.
            for seen in try_labelled(&self.label()).unwrap_or_default() {
                eprintln!("{} {} {} {}", seen.name, seen.state(), seen.image(), seen.restart_policy());
            }
        }
        if !engine_answers() {
            return;
        }
        // An engine that has just been told to stop something may refuse once; a second look is enough.
        if let Err(error) = self.clean().or_else(|_| self.clean()) {
            eprintln!("{}: not everything could be removed: {error}", self.project);
        }
    }
}
