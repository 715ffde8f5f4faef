//! The machine's own engine under test. Everything made carries a name of this test alone and is removed with it.

use std::net::TcpListener;
use std::process::Command;

use async_trait::async_trait;
use evenkeel::engine::docker::{Docker, connect};
use evenkeel::engine::sim::Profile;
use evenkeel::engine::{CountUp, Engine, Observe};
use evenkeel::state::observed::{ContainerId, ImageFacts};

use crate::bench::{App, Bench, MEMORY, Registry, Told};
use crate::support::Host;
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::registry::Registry as OnLoopback;
use crate::support::{machine, wait};

pub struct Real {
    engine: Docker,
    host: Host,
}

impl Real {
    /// `None` where no engine answers; the test then says that it was skipped.
    pub async fn new() -> Option<Self> {
        Self::at(machine::address().as_deref())
    }

    /// The engine at another address, to which this thread's `docker` calls go already.
    pub fn at(address: Option<&str>) -> Option<Self> {
        let host = Host::new()?;
        let engine = connect(address, &host.project).unwrap();
        Some(Self { engine, host })
    }

    /// An image of its own that nothing uses.
    pub fn other_image(&self, reference: &str) {
        self.host.image_named(reference, "other", &[], &["ok"]);
    }

    fn label(&self) -> String {
        format!("evenkeel-test={}", self.host.project)
    }
}

/// How the test program is told to behave.
fn told(app: App) -> Told {
    let set = |pairs: &[(&str, String)]| Told {
        environment: pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        check: ["CMD", "/program", "check"].map(str::to_owned).to_vec(),
        ..Told::default()
    };
    match app {
        App::Serves => set(&[]),
        App::IgnoresTerm => set(&[("IGNORE_TERM", "1".to_owned())]),
        App::EndsSlowly(ms) => set(&[("TERM_DELAY_MS", ms.to_string())]),
        App::Exits { after, code } => {
            set(&[("EXIT_AFTER_MS", after.to_string()), ("EXIT_CODE", code.to_string())])
        }
        App::HealthyAfter(ms) => set(&[("HEALTHY_AFTER_MS", ms.to_string())]),
        App::NeverHealthy => set(&[("NEVER_HEALTHY", "1".to_owned())]),
        App::AilsAfter(ms) => set(&[("UNHEALTHY_AFTER_MS", ms.to_string())]),
        App::EatsMemory => set(&[("ALLOC_MB", (4 * (MEMORY >> 20)).to_string())]),
        App::NoSuchCommand => {
            Told { entrypoint: Some(vec!["/no/such/command".to_owned()]), ..Told::default() }
        }
    }
}

#[async_trait]
impl Bench for Real {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn counted(&self) -> &dyn CountUp {
        &self.engine
    }

    fn project(&self) -> &str {
        &self.host.project
    }

    async fn profile(&self) -> Profile {
        let version = self.engine.facts().await.unwrap().version;
        Profile::of(&version).unwrap_or_else(|| panic!("Docker {version} is older than what was measured"))
    }

    async fn image(&self, app: App) -> (ImageFacts, Told) {
        let reference = self.host.image("1", &[], &["serve"]);
        let facts = self.engine.inspect_image(&reference).await.unwrap().unwrap();
        (facts, told(app))
    }

    async fn image_with_declarations(&self) -> ImageFacts {
        let plain = self.host.image("1", &[], &["serve"]);
        let reference = format!("{}/declares:1", self.host.project);
        let made = docker(&["create", "--label", &self.label(), "--network", "none", &plain]);
        let label = format!("LABEL {}", self.label());
        let change = ["--change", "VOLUME /data", "--change", &label, "--change"];
        let check = "HEALTHCHECK --interval=300ms --retries=2 CMD [\"/program\", \"check\"]";
        docker(&[&["commit"], change.as_slice(), &[check, &made, &reference]].concat());
        docker(&["rm", &made]);
        self.engine.inspect_image(&reference).await.unwrap().unwrap()
    }

    fn registry(&self) -> Option<Box<dyn Registry>> {
        let registry = OnLoopback::start(self.host.root())?;
        Some(Box::new(Published { registry, label: self.label(), project: self.host.project.clone() }))
    }

    fn unreachable_image(&self) -> String {
        // Port 1 of loopback: refused at once, and never asked for over the network.
        "127.0.0.1:1/nothing:1".to_owned()
    }

    fn free_port(&self) -> u16 {
        wait::free_port()
    }

    fn is_free(&self, port: u16) -> bool {
        TcpListener::bind(("0.0.0.0", port)).is_ok()
    }

    fn listen(&self, port: u16) -> Box<dyn Send> {
        Box::new(TcpListener::bind(("0.0.0.0", port)).unwrap())
    }

    fn foreign_container(&self, name: &str) {
        let reference = self.host.image("1", &[], &["serve"]);
        docker(&["create", "--name", name, "--label", &self.label(), "--network", "none", &reference]);
    }

    fn foreign_network(&self, name: &str) -> bool {
        // The command line forbids a second one of a name; the engine's API is asked directly.
        let body = serde_json::json!({ "Name": name, "CheckDuplicate": false,
            "Labels": { "evenkeel-test": self.host.project } });
        let output = Command::new("curl")
            .args(["--silent", "--fail", "--unix-socket"])
            .arg(machine::socket())
            .args(["--header", "Content-Type: application/json", "--data", &body.to_string()])
            .arg("http://engine/v1.41/networks/create")
            .output()
            .unwrap();
        output.status.success()
    }

    fn foreign_volume(&self, name: &str) {
        docker(&["volume", "create", "--label", &self.label(), name]);
    }

    fn remove_network(&self, id: &str) {
        docker(&["network", "rm", id]);
    }

    async fn ready(&self, id: &ContainerId) {
        wait::wait_for("the application says that it serves", || {
            try_docker(&["logs", &id.0]).ok().filter(|said| said.contains("serves port"))
        });
    }

    fn docker_kill(&self, id: &ContainerId) {
        // Refused by some engines while it is paused or between two starts.
        let _ = try_docker(&["kill", &id.0]);
    }

    fn docker_pause(&self, id: &ContainerId) {
        docker(&["pause", &id.0]);
    }

    fn docker_unpause(&self, id: &ContainerId) {
        docker(&["unpause", &id.0]);
    }

    fn docker_rm_f(&self, id: &ContainerId) {
        docker(&["rm", "--force", &id.0]);
    }

    fn docker_rmi_f(&self, reference: &str) {
        docker(&["image", "rm", "--force", reference]);
    }

    fn crash(&self, id: &ContainerId) -> bool {
        let pid = inspect(&id.0).and_then(|seen| seen.json.pointer("/State/Pid")?.as_u64()).unwrap();
        let here =
            std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&id.0));
        // Only a process that is this container's for sure, and only where this test may.
        here && Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // A container that a test left in a loop or paused would hold up the removal of its networks.
        let owner = format!("label={}", self.host.label());
        let ids = try_docker(&["ps", "--all", "--quiet", "--filter", &owner]).unwrap_or_default();
        for id in ids.lines() {
            let _ = try_docker(&["rm", "--force", "--volumes", id]);
        }
    }
}

/// A registry on loopback. Its images are made on the engine, pushed and forgotten there.
struct Published {
    registry: OnLoopback,
    label: String,
    project: String,
}

impl Registry for Published {
    fn publish(&mut self, repository: &str, tag: &str, version: &str) -> String {
        let reference = self.reference(repository, tag);
        let plain = format!("{}/app:1", self.project);
        let made = docker(&["create", "--label", &self.label, "--network", "none", &plain]);
        let (label, version) = (format!("LABEL {}", self.label), format!("ENV VERSION={version}"));
        docker(&["commit", "--change", &label, "--change", &version, &made, &reference]);
        docker(&["rm", &made]);
        self.registry.take(&reference);
        reference
    }

    fn reference(&self, repository: &str, tag: &str) -> String {
        self.registry.reference(&format!("{repository}:{tag}"))
    }

    fn lock(&mut self) {
        self.registry.lock();
    }

    fn down(&mut self) {
        self.registry.down();
    }
}
