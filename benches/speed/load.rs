//! 10 000 services in 1 000 files: from the files to everything decided, and from one saved file to its plan.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel::controller::inbound::Loader;
use evenkeel::controller::wish::Wish;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::HostFacts;
use evenkeel::desired::{self, Wanted};
use evenkeel::source::{DirSource, Settings, read_snapshot};
use evenkeel::state::decide::{Inputs, Limits, Removal, decide};
use evenkeel::state::observed::ObservedService;
use evenkeel::state::record::{Memo, Record};
use evenkeel::state::time::{Mono, Now, Timestamp};

use crate::daemon::status_kib;
use crate::report::Section;
use crate::stats::{Sample, figure};

const PER_FILE: usize = 10;
const PER_FOLDER: usize = 10;

/// `services` services, ten a file, ten files a folder, which is a project.
fn write_tree(root: &Path, services: usize) {
    for file in 0..services / PER_FILE {
        let folder = root.join(format!("team{:03}", file / PER_FOLDER));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("part{}.toml", file % PER_FOLDER)), text(file, "1.4.2"))
            .expect("a file");
    }
}

/// Services as people write them: ports, environment, a volume, a health check, limits, a dependency.
fn text(file: usize, tag: &str) -> String {
    let mut text = String::new();
    for number in 0..PER_FILE {
        let name = format!("app{}x{number}", file % PER_FOLDER);
        let port = 1024 + file * PER_FILE + number;
        text.push_str(&format!(
            "[services.{name}]\nimage = \"registry.example.com/team/{name}:{tag}\"\n\
             restart = \"unless-stopped\"\nports = [\"{port}:8080\"]\nvolumes = [\"data-{name}:/data\"]\n\
             environment = {{ LOG_LEVEL = \"info\", WORKERS = \"4\", SERVICE = \"{name}\" }}\n\
             labels = {{ \"org.example.team\" = \"team\" }}\n\
             healthcheck = {{ test = [\"CMD\", \"/app\", \"check\"], interval = \"10s\", timeout = \"2s\", retries = 3 }}\n\
             deploy.resources.limits = {{ memory = \"256M\", cpus = \"0.5\" }}\n"
        ));
        if number > 0 {
            text.push_str(&format!("depends_on = [\"app{}x0\"]\n", file % PER_FOLDER));
        }
        text.push_str(&format!("[volumes.data-{name}]\n"));
    }
    text
}

fn loader() -> Loader {
    let facts = HostFacts { name: "bench".to_owned(), api: Some((1, 41)), ..HostFacts::default() };
    let loader = Mutex::new(desired::Loader::default());
    Arc::new(move |snapshot| loader.lock().unwrap().load(snapshot, &facts))
}

/// Decides about a service of which nothing is there yet. Returns the number of steps.
fn decided(wish: &Wish, id: &ServiceId, wanted: &Wanted) -> usize {
    let decision = decide(Inputs {
        id,
        owner: "bench",
        desired: Some(wanted),
        removal: Removal::Allowed,
        paused: None,
        window: None,
        observed: &ObservedService::default(),
        record: &Record::default(),
        memo: &Memo::default(),
        refs_in_use: &wish.images,
        now: Now { mono: Mono(1_000), wall: Timestamp(1_000) },
        limits: Limits::default(),
    });
    decision.plan.len()
}

/// Reads, loads and decides everything, in this process, and prints what that took.
fn everything(root: &Path) {
    let began = Instant::now();
    let snapshot = read_snapshot(root).expect("a snapshot");
    let read = began.elapsed();
    let (state, problems) = loader()(&snapshot);
    assert!(problems.is_empty(), "{}", problems[0].headline());
    let loaded = began.elapsed();
    let wish = Wish::new(state, Mono(0));
    let steps: usize = wish.state.services.iter().map(|(id, wanted)| decided(&wish, id, wanted)).sum();
    let all = began.elapsed();
    assert_eq!(steps, wish.state.services.len(), "each service is to be pulled");
    let peak = status_kib("self", "VmHWM:");
    println!("{} {} {} {peak}", read.as_micros(), loaded.as_micros(), all.as_micros());
}

/// Follows the tree as the daemon does, saves one file again and again, and prints what each took until it was decided.
fn edits(root: &Path, rounds: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (_source, mut updates) = DirSource::watch(root, Settings::default()).expect("a source");
        let load = loader();
        let first = updates.next().await.expect("an update").expect("a snapshot");
        let mut wish = Wish::new(load(&first.snapshot).0, Mono(0));
        for round in 0..rounds {
            // Reading rests ten times as long as it took; nobody saves faster than that.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let path = root.join("team000/part3.toml");
            let aside = root.join("team000/.part3.new");
            fs::write(&aside, text(3, &format!("2.0.{round}"))).expect("a file");
            let began = Instant::now();
            fs::rename(&aside, &path).expect("a rename");
            let published = updates.next().await.expect("an update").expect("a snapshot");
            let read = began.elapsed();
            let (state, problems) = load(&published.snapshot);
            assert!(problems.is_empty());
            let loaded = began.elapsed();
            let next = Wish::after(state, Mono(0), Some(&wish));
            let keys: BTreeSet<_> = next.changed(Some(&wish));
            let services: Vec<_> = keys.iter().filter_map(|key| key.service()).collect();
            assert_eq!(services.len(), PER_FILE, "one file, its services");
            let steps: usize = services.iter().map(|id| decided(&next, id, &next.state.services[*id])).sum();
            let all = began.elapsed();
            assert_eq!(steps, PER_FILE);
            println!("{} {} {}", read.as_micros(), loaded.as_micros(), all.as_micros());
            wish = next;
        }
    });
}

/// What this program does when it is its own child: peaks of memory are those of one piece of work only.
pub fn child(arguments: &[String]) {
    match arguments {
        [what, root] if what == "everything" => everything(Path::new(root)),
        [what, root, rounds] if what == "edits" => edits(Path::new(root), rounds.parse().expect("a number")),
        other => panic!("{other:?}"),
    }
}

fn in_child(arguments: &[&str]) -> Vec<Vec<f64>> {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).arg("child").args(arguments).output().expect("this program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("figures");
    text.lines().map(|line| line.split(' ').filter_map(|word| word.parse().ok()).collect()).collect()
}

pub fn run(rounds: usize) -> Section {
    let mut section = Section::new(
        "Many files",
        "Services with a port, a volume, a health check, limits, environment and a dependency; ten a file, ten files a project. \
         Read from the disk, loaded, validated and decided, in a process of its own. *One edited file*: from the rename that saves it until the \
         plans of its ten services are decided, as the daemon does it: noticed, read, loaded, compared, decided.",
    );
    let mut whole = Vec::new();
    for services in [100, 1_000, 10_000] {
        let folder = tempfile::tempdir().expect("a folder");
        write_tree(folder.path(), services);
        let root = folder.path().to_str().expect("a path");
        let (mut read, mut loaded, mut all, mut peak) =
            (Sample::default(), Sample::default(), Sample::default(), 0.0);
        for _ in 0..rounds {
            for row in in_child(&["everything", root]) {
                read.ms.push(row[0] / 1e3);
                loaded.ms.push((row[1] - row[0]) / 1e3);
                all.ms.push(row[2] / 1e3);
                peak = f64::max(peak, row[3] / 1024.0);
            }
        }
        let each = all.median() * 1e3 / services as f64;
        whole.push(each);
        section.note(
            format!("{services} services: all, ms (µs a service; read; load; peak MiB)"),
            format!(
                "{} ({each:.0}; {}; {}; {peak:.0})",
                all.shown(),
                figure(read.median()),
                figure(loaded.median())
            ),
        );
        if services == 10_000 {
            section.held(
                "10 000 services: read, load, validate, decide, ms",
                all.shown(),
                all.median(),
                1_000.0,
                " ms",
            );
            section.held("10 000 services: peak memory, MiB", format!("{peak:.0}"), peak, 200.0, " MiB");
            let (mut seen, mut loaded, mut planned) =
                (Sample::default(), Sample::default(), Sample::default());
            for row in in_child(&["edits", root, &rounds.to_string()]) {
                seen.ms.push(row[0] / 1e3);
                loaded.ms.push((row[1] - row[0]) / 1e3);
                planned.ms.push(row[2] / 1e3);
            }
            section.held(
                "one edited file of 1 000: save to plan, ms",
                planned.shown(),
                planned.median(),
                50.0,
                " ms",
            );
            section.note("of that: until read, ms", seen.shown());
            section.note("of that: load, ms", loaded.shown());
        }
    }
    let growth = whole[2] / whole[0];
    section.held("time a service at 10 000 against at 100", format!("{growth:.2}"), growth, 1.25, "");
    section
}
