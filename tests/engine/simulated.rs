//! The simulated engine under test, in tokio's paused time.

use async_trait::async_trait;
use evenkeel::engine::sim::{Behaviour, Foreign, Host, HostPort, Profile, Sim, made_up, realtime};
use evenkeel::engine::{CountUp, Engine};
use evenkeel::state::observed::{ContainerId, ImageFacts};
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, Registry, Told};

pub struct Simulated {
    pub sim: Sim,
    clock: tokio::task::JoinHandle<()>,
}

impl Simulated {
    pub fn new() -> Self {
        Self::like(Profile::default())
    }

    /// Where engines differ, like this one.
    pub fn like(profile: Profile) -> Self {
        let mut host = Host::new();
        host.profile = profile;
        let sim = Sim::from(host);
        let clock = realtime(&sim);
        Self { sim, clock }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

/// The script of an application.
fn script(app: App) -> Behaviour {
    let behaviour = match app {
        App::Serves => Behaviour::default(),
        App::IgnoresTerm => Behaviour::ignores_term(),
        App::EndsSlowly(ms) => Behaviour { stop_takes: ms, ..Behaviour::default() },
        App::Exits { after, code } => Behaviour::exits(after, code),
        App::HealthyAfter(ms) => Behaviour::healthy_after(ms),
        App::NeverHealthy => Behaviour::never_healthy(),
        App::AilsAfter(ms) => Behaviour::ails_after(ms),
        App::EatsMemory => Behaviour { oom: true, ..Behaviour::exits(100, 137) },
        App::NoSuchCommand => {
            Behaviour::cannot_start(Failure::Invalid, "exec: \"/no/such/command\": no such file or directory")
        }
    };
    Behaviour { output: vec!["version 1 serves port 8080".to_owned()], ..behaviour }
}

#[async_trait]
impl Bench for Simulated {
    fn engine(&self) -> &dyn Engine {
        &self.sim
    }

    fn counted(&self) -> &dyn CountUp {
        &self.sim
    }

    fn project(&self) -> &str {
        "contract"
    }

    async fn profile(&self) -> Profile {
        self.sim.with(|host| host.profile)
    }

    async fn image(&self, app: App) -> (ImageFacts, Told) {
        let name: String =
            format!("{app:?}").chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let reference = format!("contract/{name}:1");
        let facts = self.sim.with(|host| {
            host.script(&reference, script(app));
            if host.resolve(&reference).is_none() {
                host.load_image(made_up(&reference));
            }
            host.resolve(&reference).cloned().unwrap()
        });
        (facts, Told { check: vec!["CMD".to_owned(), "check".to_owned()], ..Told::default() })
    }

    async fn image_with_declarations(&self) -> ImageFacts {
        let facts = ImageFacts {
            has_healthcheck: true,
            volumes: std::collections::BTreeSet::from(["/data".to_owned()]),
            ..made_up("contract/declares:1")
        };
        self.sim.with(|host| host.load_image(facts.clone()));
        facts
    }

    fn registry(&self) -> Option<Box<dyn Registry>> {
        Some(Box::new(Published { sim: self.sim.clone(), all: Vec::new() }))
    }

    fn unreachable_image(&self) -> String {
        self.sim.with(|host| host.registry.down = true);
        "127.0.0.1:1/nothing:1".to_owned()
    }

    fn free_port(&self) -> u16 {
        self.sim
            .with(|host| (18_000..).find(|port| host.port_holder(&HostPort::tcp(*port)).is_none()).unwrap())
    }

    fn is_free(&self, port: u16) -> bool {
        self.sim.with(|host| host.port_holder(&HostPort::tcp(port)).is_none())
    }

    fn listen(&self, port: u16) -> Box<dyn Send> {
        self.sim.with(|host| host.listeners.insert(HostPort::tcp(port)));
        Box::new(Listening { sim: self.sim.clone(), port })
    }

    fn foreign_container(&self, name: &str) {
        let foreign = Foreign { name: name.to_owned(), image: "foreign".to_owned(), ..Foreign::default() };
        self.sim.with(|host| host.foreign(foreign));
    }

    fn foreign_network(&self, name: &str) -> bool {
        self.sim.with(|host| {
            let taken = host.networks.values().any(|network| network.name == name);
            let made = host.profile.twin_networks || !taken;
            if made {
                host.foreign_network(name);
            }
            made
        })
    }

    fn foreign_volume(&self, name: &str) {
        self.sim.with(|host| host.foreign_volume(name));
    }

    fn remove_network(&self, id: &str) {
        self.sim.with(|host| host.networks.remove(id));
    }

    async fn ready(&self, _id: &ContainerId) {}

    fn docker_kill(&self, id: &ContainerId) {
        self.sim.with(|host| host.docker_kill(id));
    }

    fn docker_pause(&self, id: &ContainerId) {
        self.sim.with(|host| host.docker_pause(id));
    }

    fn docker_unpause(&self, id: &ContainerId) {
        self.sim.with(|host| host.docker_unpause(id));
    }

    fn docker_rm_f(&self, id: &ContainerId) {
        self.sim.with(|host| host.docker_rm_f(id));
    }

    fn docker_rmi_f(&self, reference: &str) {
        self.sim.with(|host| host.docker_rmi_f(reference));
    }

    fn crash(&self, id: &ContainerId) -> bool {
        self.sim.with(|host| host.process_dies(id, 137));
        true
    }
}

/// The simulated host's registry.
struct Published {
    sim: Sim,
    all: Vec<String>,
}

impl Registry for Published {
    fn publish(&mut self, repository: &str, tag: &str, version: &str) -> String {
        let reference = self.reference(repository, tag);
        // Another version is another image under the same name.
        let facts = ImageFacts { id: made_up(&format!("{reference} {version}")).id, ..made_up(&reference) };
        let digest = facts.id.0.replace("sha256:", &format!("{}@sha256:", reference.replace(":1", "")));
        self.sim.with(|host| host.publish(&reference, ImageFacts { digests: vec![digest], ..facts }));
        self.all.push(reference.clone());
        reference
    }

    fn reference(&self, repository: &str, tag: &str) -> String {
        format!("127.0.0.1:5000/{repository}:{tag}")
    }

    fn lock(&mut self) {
        self.sim.with(|host| host.registry.private.extend(self.all.iter().cloned()));
    }

    fn down(&mut self) {
        self.sim.with(|host| host.registry.down = true);
    }
}

struct Listening {
    sim: Sim,
    port: u16,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.sim.with(|host| host.listeners.remove(&HostPort::tcp(self.port)));
    }
}

/// One of each kind, by the name of the tests that it is for.
pub mod engines {
    use super::{Profile, Simulated};

    pub fn simulated() -> Simulated {
        Simulated::new()
    }

    pub fn simulated_20_10() -> Simulated {
        Simulated::like(Profile::DOCKER_20_10)
    }

    pub fn simulated_26_1() -> Simulated {
        Simulated::like(Profile::DOCKER_26_1)
    }

    pub fn simulated_28_5() -> Simulated {
        Simulated::like(Profile::DOCKER_28_5)
    }
}
