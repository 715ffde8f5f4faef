//! One scenario's stage: a host of its own, the proxy in front of the engine, the checker beside it, and things that are not evenkeel's.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checker::Checker;
use crate::checker::look::Look;
use crate::proxy::{At, Moment, Proxy, Trap};
use crate::support::docker::{Seen, docker, try_docker};
use crate::support::wait::{DEADLINE, page, try_wait};
use crate::support::{Daemon, Host, machine};

/// Fields go in this order: evenkeel ends before what it works on is cleaned up.
pub struct Scene {
    pub daemon: Daemon,
    pub checker: Checker,
    pub proxy: Proxy,
    pub host: Host,
    pub engine: PathBuf,
    started: std::time::Instant,
}

impl Scene {
    /// On the engine that tests run on.
    pub fn on_the_machines_engine() -> Option<Self> {
        Self::new(&machine::socket())
    }

    /// On the engine behind this socket, to which this thread's `docker` calls go already. evenkeel runs and wants nothing yet.
    pub fn new(engine: &Path) -> Option<Self> {
        Self::with(engine, &[])
    }

    /// The same with further variables for evenkeel.
    pub fn with(engine: &Path, environment: &[(&str, &str)]) -> Option<Self> {
        let mut host = Host::new()?;
        host.environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let proxy = Proxy::start(&host.root().join("proxy.sock"), engine);
        host.docker_host = Some(proxy.address());
        let checker = Checker::start(engine.to_owned(), &host.project);
        let daemon = host.run();
        let started = std::time::Instant::now();
        Some(Self { daemon, checker, proxy, host, engine: engine.to_owned(), started })
    }

    /// Makes one of each kind that is not evenkeel's, two of them running, and has the checker guard them.
    pub fn add_strangers(&self) {
        let name = |what: &str| format!("{}-foreign-{what}", self.host.project);
        let (image, mut objects) = self.resting_strangers();
        let mount = format!("{}:/data", name("vol"));
        let running =
            self.host.foreign(&name("running"), &image, &["--network", &name("net"), "--volume", &mount]);
        // Looks like one of evenkeel's, of another instance.
        let project = format!("dev.evenkeel.project={}", self.host.project);
        let labels = ["dev.evenkeel.owner=somebody-else", &project, "dev.evenkeel.service=web"];
        let labels = labels.map(|label| ["--label", label]).concat();
        let copied = self.host.foreign(&name("copied"), &image, &labels);
        objects.extend([running, copied].map(|id| format!("containers/{id}")));
        self.guard(&objects);
    }

    /// The same with none that runs: for an engine that is killed.
    pub fn add_strangers_at_rest(&self) {
        let (_, objects) = self.resting_strangers();
        self.guard(&objects);
    }

    /// One that runs, with its volume and network in use: what no prune takes.
    pub fn add_running_stranger(&self) {
        let name = |what: &str| format!("{}-foreign-{what}", self.host.project);
        let label = format!("evenkeel-test={}", self.host.project);
        let image = format!("{}/foreign:1", self.host.project);
        self.host.image_named(&image, "foreign", &[], &[]);
        let network = docker(&["network", "create", "--label", &label, &name("net")]);
        let mount = format!("{}:/data", name("vol"));
        let id = self.host.foreign(&name("running"), &image, &["--network", &network, "--volume", &mount]);
        self.guard(&[
            format!("containers/{id}"),
            format!("volumes/{}", name("vol")),
            format!("networks/{network}"),
            format!("images/{}", image_id(&image)),
        ]);
    }

    fn resting_strangers(&self) -> (String, Vec<String>) {
        let host = &self.host;
        let label = format!("evenkeel-test={}", host.project);
        let name = |what: &str| format!("{}-foreign-{what}", host.project);
        let image = format!("{}/foreign:1", host.project);
        host.image_named(&image, "foreign", &[], &[]);
        let network = docker(&["network", "create", "--label", &label, &name("net")]);
        docker(&["volume", "create", "--label", &label, &name("vol")]);
        let stopped = docker(&["create", "--name", &name("stopped"), "--label", &label, &image]);
        let objects = vec![
            format!("containers/{stopped}"),
            format!("volumes/{}", name("vol")),
            format!("networks/{network}"),
            format!("images/{}", image_id(&image)),
        ];
        (image, objects)
    }

    fn guard(&self, objects: &[String]) {
        let seen = Look::new(self.engine.clone(), &self.host.project).foreign(objects.iter()).unwrap();
        assert_eq!(seen.len(), objects.len(), "every one of them is there: {seen:?}");
        self.checker.guards(seen);
    }

    /// The service's row of `/v1/status`; `None` while nobody answers.
    pub fn status(&self, service: &str) -> Option<Value> {
        let report: Value = serde_json::from_str(&page(self.daemon.port, "/v1/status")?).ok()?;
        let id = self.host.id(service);
        report["services"].as_array()?.iter().find(|row| row["service"] == *id).cloned()
    }

    pub fn condition(&self, service: &str) -> Value {
        self.status(service).map_or(Value::Null, |row| row["condition"].clone())
    }

    /// The revision that is the good one, by its number.
    pub fn number(&self, service: &str) -> u64 {
        self.status(service).and_then(|row| row["revision_number"].as_u64()).unwrap_or(0)
    }

    /// `ready`, with a good revision younger than this one, made of this image.
    pub fn is_ready(&self, service: &str, image: &str, after: u64) -> bool {
        self.status(service).is_some_and(|row| {
            row["condition"]["kind"] == "ready"
                && row["image"] == image
                && row["revision_number"].as_u64().unwrap_or(0) > after
        })
    }

    pub fn becomes_ready(&self, service: &str, image: &str, after: u64) {
        self.reaches(&format!("{service} is ready with {image}"), || self.is_ready(service, image, after));
    }

    /// Waits for it, and says how things stand if it does not come.
    #[track_caller]
    pub fn reaches(&self, what: &str, mut look: impl FnMut() -> bool) {
        if try_wait(DEADLINE, || look().then_some(())).is_none() {
            let report = page(self.daemon.port, "/v1/status").unwrap_or_default();
            panic!("waited {DEADLINE:?} in vain until {what}; status: {report}");
        }
    }

    /// Waits until the trap has caught something; `false` when `done` comes first. The trap is taken away then.
    pub fn caught(&self, trap: &Trap, mut done: impl FnMut() -> bool) -> bool {
        let mut caught = false;
        self.reaches("the trap catches a request, or all is done", || {
            caught = trap.caught().is_some();
            caught || done()
        });
        self.proxy.disarm();
        caught || trap.caught().is_some()
    }

    pub fn trap(&self, at: At, moment: Moment) -> Trap {
        self.proxy.trap(at, moment)
    }

    /// SIGKILL, as it is.
    pub fn kill_evenkeel(&mut self) {
        self.daemon.kill();
    }

    pub fn start_evenkeel(&mut self) {
        self.daemon = self.host.run();
    }

    /// The one running container of a service, with `image`, its plain name and its restart policy, and nothing beside it but one
    /// stopped predecessor that no engine brings back. Else what there is.
    pub fn is_alone(&self, service: &str, image: &str, policy: &str) -> Result<Seen, Vec<String>> {
        let all = self.host.of(service);
        let (running, rest): (Vec<&Seen>, Vec<&Seen>) = all.iter().partition(|seen| seen.running());
        let name = self.host.name(service);
        let is_it =
            |seen: &Seen| seen.image() == image && seen.name == name && seen.restart_policy() == policy;
        let at_rest = |seen: &&Seen| seen.state() == "exited" && seen.restart_policy() == "no";
        if let [one] = running[..]
            && is_it(one)
            && rest.len() <= 1
            && rest.iter().all(at_rest)
        {
            return Ok(one.clone());
        }
        let told = |seen: &Seen| {
            format!("{} {} {} {}", seen.name, seen.state(), seen.image(), seen.restart_policy())
        };
        Err(all.iter().map(told).collect())
    }

    /// Waits for it: what is `ready` may still be tidied up.
    #[track_caller]
    pub fn serves_alone(&self, service: &str, image: &str, policy: &str) -> Seen {
        let mut states = Vec::new();
        let found = try_wait(DEADLINE, || match self.is_alone(service, image, policy) {
            Ok(seen) => Some(seen),
            Err(seen) => {
                states = seen;
                None
            }
        });
        found.unwrap_or_else(|| {
            panic!("{service} should serve {image} alone: {states:#?}; {}", self.condition(service))
        })
    }

    /// A word into the service's volume, once.
    pub fn mark_volume(&self, service: &str) {
        let name = self.host.name(service);
        docker(&["exec", &name, "/program", "write", "/data/marker", &self.host.project]);
    }

    #[track_caller]
    pub fn volume_is_whole(&self, service: &str) {
        let text = try_docker(&["exec", &self.host.name(service), "/program", "read", "/data/marker"]);
        assert_eq!(text.as_deref(), Ok(&*self.host.project), "the data of the volume");
    }

    /// Ends the scenario: nothing was broken, and what was done is said.
    #[track_caller]
    pub fn finish(mut self, what: &str) {
        let looked = self.checker.finish();
        eprintln!("chaos: {what}; {looked}; {:.0} s", self.started.elapsed().as_secs_f64());
    }
}

pub fn image_id(reference: &str) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", reference])
}
