//! Fifty services: from nothing, with nothing to do, idle, and beside two that misbehave.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::compose::Compose;
use crate::daemon::Daemon;
use crate::events::Events;
use crate::proxy::Proxy;
use crate::raw::{self, Spec};
use crate::report::Section;
use crate::resync;
use crate::stats::{Sample, figure};
use crate::support::Host;
use crate::wire::Wire;

pub const SERVICES: usize = 50;
/// Containers at a time that the bare calls are tried with.
const WORKERS: [usize; 4] = [2, 4, 8, 16];
const IDLE: Duration = Duration::from_secs(60);

pub struct Fleet<'a> {
    host: Host,
    image: String,
    compose: Option<&'a Compose>,
    tries: AtomicUsize,
}

impl<'a> Fleet<'a> {
    pub fn new(compose: Option<&'a Compose>) -> Self {
        let host = Host::new().expect("an engine");
        let image = host.image("1.0", &[], &[]);
        Self { host, image, compose, tries: AtomicUsize::new(0) }
    }

    fn toml(&self) -> String {
        let service = |number: usize| {
            // The one that is edited again and again need not be watched for ten seconds each time.
            let watched = if number == 0 { "deploy.update_config.monitor = \"100ms\"\n" } else { "" };
            format!(
                "[services.s{number}]\nimage = \"{}\"\nrestart = \"unless-stopped\"\n{watched}",
                self.image
            )
        };
        (0..SERVICES).map(service).collect()
    }

    /// Every container and network of evenkeel's and of the bare calls.
    fn clear(&self) {
        let mut wire = Wire::open();
        for label in [self.host.label(), format!("evenkeel-test={}", self.host.project)] {
            let filter = format!("%7B%22label%22%3A%5B%22{}%22%5D%7D", label.replace('=', "%3D"));
            let ids = |list: &serde_json::Value| -> Vec<String> {
                let rows = list.as_array().cloned().unwrap_or_default();
                rows.iter().filter_map(|row| row["Id"].as_str().map(str::to_owned)).collect()
            };
            let rows = wire.must("GET", &format!("/containers/json?all=1&filters={filter}"), None);
            raw::remove_all(&ids(&rows));
            let rows = wire.must("GET", &format!("/networks?filters={filter}"), None);
            ids(&rows).iter().for_each(|id| raw::remove_network(&mut wire, id));
        }
        let _ = fs::remove_dir_all(&self.host.state);
    }

    fn raw(&self, workers: usize) -> Duration {
        let began = Instant::now();
        // Another name each time: a network that the engine would not let go is not joined again.
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-raw{number}", self.host.project);
        let label = ("evenkeel-test", &*self.host.project);
        raw::create_network(&mut Wire::open(), &name, label);
        let spec = || Spec { image: &self.image, network: &name, alias: "s", port: None, label };
        raw::fleet(SERVICES, workers, &spec, &name);
        let took = began.elapsed();
        self.clear();
        took
    }

    fn evenkeel(&self) -> (Duration, Daemon) {
        self.host.remove_if_there("fleet.toml");
        let daemon = Daemon::start(&self.host);
        let events = Events::of(&self.host.label());
        let began = Instant::now();
        self.host.write("fleet.toml", &self.toml());
        let mut started = BTreeSet::new();
        let mut last = began;
        while started.len() < SERVICES {
            let event = events.next(|event| event.action == "start");
            started.insert(event.id);
            last = event.at;
        }
        daemon.until_all_ready(SERVICES);
        (last - began, daemon)
    }

    fn composed(&self, compose: &Compose) -> Composed {
        let folder = self.host.root().join("fleet-compose");
        fs::create_dir_all(&folder).expect("a folder");
        let service = |number: usize| {
            format!(
                "  s{number}:\n    image: {}\n    restart: unless-stopped\n    labels: {{evenkeel-test: {}}}\n",
                self.image, self.host.project
            )
        };
        let text: String = (0..SERVICES).map(service).collect();
        fs::write(folder.join("compose.yaml"), format!("services:\n{text}")).expect("compose.yaml");
        let project = format!("{}f", self.host.project);
        let (fresh, _) = compose.up(&folder, &project);
        let mut idle = Sample::default();
        let mut cpu = Sample::default();
        for _ in 0..3 {
            let (took, used) = compose.up(&folder, &project);
            idle.push(took);
            cpu.push(used);
        }
        compose.down(&folder, &project);
        Composed { fresh, idle, cpu }
    }
}

struct Composed {
    fresh: Duration,
    idle: Sample,
    cpu: Sample,
}

pub fn run(rounds: usize, compose: Option<&Compose>) -> Vec<Section> {
    let fleet = Fleet::new(compose);
    let mut tried: Vec<(usize, Duration)> = Vec::new();
    for workers in WORKERS {
        tried.push((workers, fleet.raw(workers)));
    }
    let best = tried.iter().min_by_key(|(_, took)| *took).map_or(4, |(workers, _)| *workers);
    let (mut raws, mut ours, mut theirs) = (Sample::default(), Sample::default(), Sample::default());
    let (mut idle, mut cpu) = (Sample::default(), Sample::default());
    for round in 1..=rounds {
        raws.push(fleet.raw(best));
        if let Some(compose) = fleet.compose {
            let composed = fleet.composed(compose);
            theirs.push(composed.fresh);
            idle = composed.idle;
            cpu = composed.cpu;
        }
        let (took, daemon) = fleet.evenkeel();
        ours.push(took);
        daemon.end();
        if round < rounds {
            fleet.clear();
        }
    }
    let nothing = resync::run(&fleet.host, &idle, &cpu);
    let still = idle_minute(&fleet.host);
    let disturbed = disturbed(&fleet, rounds + 2);
    fleet.clear();
    let shown = tried
        .iter()
        .map(|(workers, took)| format!("{workers} at a time {}", figure(took.as_secs_f64() * 1e3)));
    vec![fresh(&raws, &ours, &theirs, best, &shown.collect::<Vec<_>>().join(", ")), nothing, still, disturbed]
}

fn fresh(raws: &Sample, ours: &Sample, theirs: &Sample, best: usize, tried: &str) -> Section {
    let mut section = Section::new(
        "Fifty services from nothing",
        "A file with fifty services of one image is saved; nothing of them is there but the image. *evenkeel*: from the save to the start of the last. \
         *Raw*: the network, then fifty times create and start, so many containers at a time as prove fastest. *docker compose*: `up -d`.",
    );
    section.note("raw once each, ms", tried);
    section.note(format!("raw, {best} at a time, ms"), raws.shown());
    section.note("evenkeel, ms", ours.shown());
    section.note("docker compose, ms", theirs.shown());
    let ratio = ours.against(raws);
    section.held("evenkeel against raw", ratio.shown(), ratio.of_medians, 1.05, "");
    section.note("docker compose against raw", theirs.against(raws).shown());
    section
}

fn idle_minute(host: &Host) -> Section {
    let mut section = Section::new(
        "Fifty services at rest",
        "The daemon as released, with its default intervals, for a minute in which nothing happens. Calls are counted by a proxy before the engine's socket.",
    );
    let proxy = Proxy::listen(&host.root().join("proxy.sock"));
    let daemon = Daemon::through(host, Some(&proxy.address()), &[]);
    daemon.until_all_ready(SERVICES);
    // The quiet read of the files and what follows the start are over.
    thread::sleep(Duration::from_secs(15));
    proxy.take();
    let before = daemon.cpu();
    thread::sleep(IDLE);
    let used = daemon.cpu() - before;
    let calls = proxy.take();
    let resident = daemon.resident() as f64 / 1024.0;
    daemon.end();
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    section.held("resident, MiB", format!("{resident:.1}"), resident, 20.0, " MiB");
    section.held(
        "CPU, % of a core (the kernel counts in steps of 0.017)",
        format!("{share:.3}"),
        share,
        0.1,
        " %",
    );
    let lists = calls.iter().filter(|call| call.contains("/containers/json")).count();
    let others: Vec<&String> = calls.iter().filter(|call| !call.contains("/containers/json")).collect();
    section.held("lists of containers (one a minute is scheduled)", lists.to_string(), lists as f64, 2.0, "");
    section.held("other calls", format!("{} {others:?}", others.len()), others.len() as f64, 0.0, "");
    section
}

fn disturbed(fleet: &Fleet<'_>, rounds: usize) -> Section {
    let mut section = Section::new(
        "A crash loop and a hung container beside it",
        "The edit of one of the fifty, from the save to the start of its new container: alone, then beside a service that crashes every 0.4 s under `restart = \
         \"always\"` and a container that the engine cannot answer about (its shim is stopped), then alone again.",
    );
    let host = &fleet.host;
    let second = host.image("1.1", &[], &[]);
    let crashing = host.image("crash", &[("EXIT_AFTER_MS", "400")], &[]);
    let daemon = Daemon::start(host);
    daemon.until_all_ready(SERVICES);
    let mut versions = [fleet.image.as_str(), second.as_str()].into_iter().cycle();
    versions.next();
    let mut number = 0;
    let mut edits = |sample: &mut Sample, rounds: usize| {
        for _ in 0..rounds {
            number += 1;
            let image = versions.next().expect("a cycle");
            sample.push(edit(fleet, &daemon, image, number));
        }
    };
    let (mut calm, mut rough) = (Sample::default(), Sample::default());
    edits(&mut calm, rounds);
    host.write(
        "loop.toml",
        &format!("[services.loop]\nimage = \"{crashing}\"\nrestart = \"always\"\ndeploy.update_config.monitor = \"100ms\"\n"),
    );
    let shim = shim_of(&host.name("s1"));
    signal("-STOP", &shim);
    daemon.reload();
    thread::sleep(Duration::from_secs(2));
    edits(&mut rough, rounds);
    signal("-CONT", &shim);
    let _ = host.remove_if_there("loop.toml");
    let crasher = host.name("loop");
    if let Some(seen) = crate::support::docker::inspect(&crasher) {
        raw::remove(&mut Wire::open(), &seen.id);
    }
    edits(&mut calm, rounds);
    daemon.end();
    section.note("alone, ms", calm.shown());
    section.note("beside the two, ms", rough.shown());
    let ratio = rough.median() / calm.median();
    section.held("beside the two against alone (medians)", format!("{ratio:.2}"), ratio, 1.25, "");
    section
}

/// Gives `s0` this image and waits for its new container.
fn edit(fleet: &Fleet<'_>, daemon: &Daemon, image: &str, number: usize) -> Duration {
    let host = &fleet.host;
    let events = Events::of(&host.label());
    // Each time something that was never there: the way back to the previous revision would be a mere start.
    let set = format!("[services.s0]\nenvironment.ROUND = \"{number}\"\n");
    let text = fleet.toml().replacen(&fleet.image, image, 1).replacen("[services.s0]\n", &set, 1);
    let began = Instant::now();
    host.write("fleet.toml", &text);
    let name = host.name("s0");
    let started = events.next(|event| event.action == "start" && event.name.starts_with(&name));
    daemon.until_ready(&host.id("s0"), image);
    started.at - began
}

/// The process that stands between the engine and a container.
fn shim_of(container: &str) -> String {
    let seen = crate::support::docker::inspect(container).expect("the container");
    let pid = seen.json["State"]["Pid"].as_u64().expect("a process");
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).expect("its status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    parent.trim().to_owned()
}

fn signal(name: &str, process: &str) {
    let sent = Command::new("kill").args([name, process]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill {name} {process}");
}
