//! One edited tag: how long until the new one runs, and for how long nobody served.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::compose::Compose;
use crate::daemon::Daemon;
use crate::events::Events;
use crate::raw::{self, Spec};
use crate::report::Section;
use crate::stats::{Sample, figure};
use crate::support::Host;
use crate::support::wait::free_port;
use crate::wire::Wire;

const VERSIONS: [&str; 2] = ["1.0", "1.1"];

pub fn run(rounds: usize, compose: Option<&Compose>) -> Section {
    let host = Host::new().expect("an engine");
    let images = VERSIONS.map(|version| host.image(version, &[], &[]));
    let mut raw = Raw::new(&host, &images);
    let mut evenkeel = Evenkeel::new(&host, &images);
    let mut other = compose.map(|compose| Composed::new(&host, &images, compose));
    let (mut raws, mut ours, mut theirs) = (Measured::default(), Measured::default(), Measured::default());
    for round in 1..=rounds {
        let next = round % 2;
        raw.replace(next, &mut raws);
        evenkeel.replace(next, &mut ours);
        if let Some(other) = &mut other {
            other.replace(next, &mut theirs);
        }
    }
    drop(other);
    raw.end();
    evenkeel.daemon.end();
    section(rounds, &raws, &ours, &theirs)
}

fn section(rounds: usize, raws: &Measured, ours: &Measured, theirs: &Measured) -> Section {
    let mut section = Section::new(
        "One edited tag",
        "One service with a fixed host port on a network of its project; its file is saved with another image tag. *evenkeel*: from the \
         rename that saves the file until the engine reports the start of the new container, the old one being down by then. *Raw*: create, stop, start, rename, rename, remove. *docker compose*: \
         the whole of `up -d`. Downtime is what a client sees that asks every millisecond: from the last answer of the old version to the first of \
         the new one.",
    );
    section.note("rounds", rounds.to_string());
    section.note("raw, ms", raws.whole.shown());
    section.note("raw without what follows the start (create, stop, start), ms", raws.until_start.shown());
    section.note("evenkeel, ms", ours.whole.shown());
    section.note("docker compose, ms", theirs.whole.shown());
    let ratio = ours.whole.against(&raws.whole);
    section.held("evenkeel against raw", ratio.shown(), ratio.of_medians, 1.10, "");
    section.note("evenkeel against create, stop, start alone", ours.whole.against(&raws.until_start).shown());
    section.note("docker compose against raw", theirs.whole.against(&raws.whole).shown());
    section.note("downtime raw, ms", raws.down.shown());
    section.note("downtime evenkeel, ms", ours.down.shown());
    section.note("downtime docker compose, ms", theirs.down.shown());
    let ratio = ours.down.against(&raws.down);
    section.held("downtime of evenkeel against raw", ratio.shown(), ratio.of_medians, 1.05, "");
    let phases = ours.phases.iter().map(|(name, sample)| format!("{name} {}", figure(sample.median())));
    section
        .note("evenkeel from the save until the engine reports, ms", phases.collect::<Vec<_>>().join(", "));
    section
}

#[derive(Default)]
struct Measured {
    whole: Sample,
    until_start: Sample,
    down: Sample,
    phases: Vec<(&'static str, Sample)>,
}

/// The bare calls.
struct Raw {
    wire: Wire,
    images: [String; 2],
    label: String,
    network: String,
    name: String,
    serving: String,
    port: u16,
}

impl Raw {
    fn new(host: &Host, images: &[String; 2]) -> Self {
        let mut wire = Wire::open();
        let name = format!("{}-raw", host.project);
        raw::create_network(&mut wire, &name, ("evenkeel-test", &host.project));
        let (label, port, network) = (host.project.clone(), free_port(), name.clone());
        let images = images.clone();
        let mut this = Self { wire, images, label, network, name, serving: String::new(), port };
        this.serving = this.create(0, "");
        raw::start(&mut this.wire, &this.serving);
        this
    }

    fn create(&mut self, version: usize, suffix: &str) -> String {
        let spec = Spec {
            image: &self.images[version],
            network: &self.network,
            alias: "web",
            port: Some(self.port),
            label: ("evenkeel-test", &self.label),
        };
        spec.create(&mut self.wire, &format!("{}{suffix}", self.name))
    }

    fn replace(&mut self, version: usize, measured: &mut Measured) {
        let probe = Probe::of(self.port, VERSIONS[version]);
        let began = Instant::now();
        let new = self.create(version, ".new");
        let old = std::mem::replace(&mut self.serving, new.clone());
        raw::stop(&mut self.wire, &old);
        raw::start(&mut self.wire, &new);
        let started = began.elapsed();
        raw::rename(&mut self.wire, &old, &format!("{}.old", self.name));
        raw::rename(&mut self.wire, &new, &self.name);
        raw::remove(&mut self.wire, &old);
        measured.whole.push(began.elapsed());
        measured.until_start.push(started);
        measured.down.push(probe.downtime());
    }

    fn end(mut self) {
        raw::remove(&mut self.wire, &self.serving);
    }
}

struct Evenkeel<'a> {
    host: &'a Host,
    daemon: Daemon,
    images: [String; 2],
    events: Events,
    port: u16,
    saved: usize,
}

impl<'a> Evenkeel<'a> {
    fn new(host: &'a Host, images: &[String; 2]) -> Self {
        let port = free_port();
        let events = Events::of(&host.label());
        let mut this =
            Self { host, daemon: Daemon::start(host), images: images.clone(), events, port, saved: 0 };
        this.save(0);
        this.daemon.until_ready(&host.id("web"), &images[0]);
        this
    }

    fn save(&mut self, version: usize) {
        // Each time something that was never there: the way back to the previous revision would be a mere start.
        self.saved += 1;
        let text = format!(
            "[services.web]\nimage = \"{}\"\nports = [\"{}:8080\"]\nrestart = \"unless-stopped\"\n\
             environment.ROUND = \"{}\"\ndeploy.update_config.monitor = \"100ms\"\n",
            self.images[version], self.port, self.saved
        );
        self.host.write("web.toml", &text);
    }

    fn replace(&mut self, version: usize, measured: &mut Measured) {
        let probe = Probe::of(self.port, VERSIONS[version]);
        self.events.drain();
        let began = Instant::now();
        self.save(version);
        let mut passed = Vec::new();
        let mut new = String::new();
        for action in ["create", "die", "start"] {
            let event = self.events.next(|event| event.action == action);
            passed.push((action, event.at - began));
            match action {
                "create" => new = event.id,
                "die" => assert_ne!(event.id, new, "the old one stops before the new one starts"),
                _ => assert_eq!(event.id, new),
            }
        }
        let whole = passed.last().expect("three events").1;
        measured.whole.push(whole);
        if measured.phases.is_empty() {
            measured.phases = passed.iter().map(|(name, _)| (*name, Sample::default())).collect();
        }
        for ((_, sample), (_, at)) in measured.phases.iter_mut().zip(passed) {
            sample.push(at);
        }
        measured.down.push(probe.downtime());
        // The commit, the names and the removal of the one before are over before the next round begins.
        self.daemon.until_ready(&self.host.id("web"), &self.images[version]);
        let plain = self.host.name("web");
        self.events.next(|event| event.action == "rename" && event.name == plain && event.id == new);
    }
}

struct Composed<'a> {
    compose: &'a Compose,
    images: [String; 2],
    folder: PathBuf,
    project: String,
    label: String,
    port: u16,
}

impl<'a> Composed<'a> {
    fn new(host: &Host, images: &[String; 2], compose: &'a Compose) -> Self {
        let folder = host.root().join("compose");
        fs::create_dir_all(&folder).expect("a folder");
        let project = format!("{}c", host.project);
        let (images, label, port) = (images.clone(), host.project.clone(), free_port());
        let this = Self { compose, images, folder, project, label, port };
        this.save(0);
        this.compose.up(&this.folder, &this.project);
        this
    }

    fn save(&self, version: usize) {
        let text = format!(
            "services:\n  web:\n    image: {}\n    ports: [\"{}:8080\"]\n    restart: unless-stopped\n    labels: {{evenkeel-test: {}}}\n",
            self.images[version], self.port, self.label
        );
        fs::write(self.folder.join("compose.yaml"), text).expect("compose.yaml");
    }

    fn replace(&mut self, version: usize, measured: &mut Measured) {
        let probe = Probe::of(self.port, VERSIONS[version]);
        self.save(version);
        let (took, _) = self.compose.up(&self.folder, &self.project);
        measured.whole.push(took);
        measured.down.push(probe.downtime());
    }
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        self.compose.down(&self.folder, &self.project);
    }
}

/// A client that asks for the version again and again.
struct Probe {
    receiver: Receiver<Duration>,
}

impl Probe {
    /// Returns when it has had an answer, so that there is something to lose.
    fn of(port: u16, new: &'static str) -> Self {
        let (sender, receiver) = channel();
        let served = std::sync::Arc::new(AtomicBool::new(false));
        let told = std::sync::Arc::clone(&served);
        thread::spawn(move || {
            let mut last = Instant::now();
            loop {
                match version(port) {
                    Some(version) if version == new => {
                        let _ = sender.send(last.elapsed());
                        return;
                    }
                    Some(_) => {
                        last = Instant::now();
                        told.store(true, Ordering::SeqCst);
                    }
                    None => {}
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        while !served.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        Self { receiver }
    }

    /// Waits for the new version.
    fn downtime(self) -> Duration {
        self.receiver.recv_timeout(Duration::from_secs(60)).expect("the new version serves")
    }
}

fn version(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).filter(|body| !body.is_empty())
}
