//! A repository of a thousand files: a poll that finds nothing, a push of one file, and the word of a webhook.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use evenkeel::desired::SourcesLoader;
use evenkeel::desired::snapshot::HostFacts;
use evenkeel::source::git::{Checkout, GitSettings, Login, Remote};

use crate::daemon::Daemon;
use crate::report::Section;
use crate::stats::Sample;
use crate::support::Host;
use crate::support::files::plain;
use crate::support::repository::Repository;

const FILES: usize = 1_000;
/// For figures that the kernel counts in hundredths of a second.
const POLLS: u32 = 50;

fn text(number: usize, tag: &str) -> String {
    format!(
        "[services.app{number}]\nimage = \"registry.example.com/app{number}:{tag}\"\nrestart = \"unless-stopped\"\n"
    )
}

/// CPU time of this process with the programs it has waited for. Hundredths of a second.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<i64> = after_name.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let ticks: i64 = fields.get(10..14).unwrap_or_default().iter().sum();
    // utime, stime, cutime, cstime; the state before them is a letter and was left out.
    Duration::from_millis(u64::try_from(ticks).unwrap_or_default() * 10)
}

pub fn run(rounds: usize) -> Section {
    let mut section = Section::new(
        "Sync",
        "A repository of 1 000 files on this machine. *Poll*: asking the branch where it is, when it is where it was; beside it the same question by `git ls-remote` \
         alone. *One pushed file*: fetching, reading the commit and loading everything, up to the desired state. None of it calls the engine.",
    );
    let host = Host::without_engine();
    let remote = Repository::new(&host.root().join("remote"));
    for number in 0..FILES {
        remote.write(&format!("team{:03}/part{number}.toml", number / 10), &text(number, "1.0"));
    }
    remote.commit("A thousand files");
    let address = Remote::new(&remote.url(), Login::None).expect("an address");
    let settings = GitSettings { branch: Some("main".to_owned()), ..GitSettings::new("infra", address) };
    let mut checkout = Checkout::new(&settings, &host.state, &Arc::new(AtomicBool::new(false)));
    let mut loader = SourcesLoader::default();
    let facts = HostFacts { name: "bench".to_owned(), ..HostFacts::default() };
    let began = Instant::now();
    let first = checkout.fetch().expect("a commit").snapshot;
    assert_eq!(loader.load(&first, &facts).state.services.len(), FILES);
    section.note("the first fetch and load, ms", format!("{:.0}", began.elapsed().as_secs_f64() * 1e3));

    let (mut polls, mut raws) = (Sample::default(), Sample::default());
    let (url, mut used) = (remote.url(), Duration::ZERO);
    for _ in 0..POLLS {
        let began = Instant::now();
        let raw = Command::new("git").args(["ls-remote", "--quiet", &url, "refs/heads/main"]).output();
        assert!(raw.is_ok_and(|output| output.status.success()));
        raws.push(began.elapsed());
        let (began, before) = (Instant::now(), cpu());
        checkout.tip().expect("a tip");
        polls.push(began.elapsed());
        used += cpu() - before;
    }
    section.note("a poll that finds nothing, ms", polls.shown());
    section.note("git ls-remote alone, ms", raws.shown());
    section.note("evenkeel against git alone", polls.against(&raws).shown());
    let each = used.as_secs_f64() * 1e3 / f64::from(POLLS);
    section.note("CPU of a poll, git included, ms", format!("{each:.1}"));

    let mut pushes = Sample::default();
    for round in 0..rounds {
        remote.write("team000/part0.toml", &text(0, &format!("2.{round}")));
        let commit = remote.commit("One file");
        let began = Instant::now();
        let snapshot = checkout.fetch().expect("a commit").snapshot;
        let state = loader.load(&snapshot, &facts).state;
        pushes.push(began.elapsed());
        assert_eq!(state.services.len(), FILES);
        assert_eq!(snapshot.revision.commit.as_ref().map(|found| found.id.as_str()), Some(commit.as_str()));
    }
    section.note("one pushed file, to the desired state, ms", pushes.shown());
    push_to_running(&mut section, rounds);
    section
}

/// The same edit of the same service, saved into a directory and pushed into a repository.
fn push_to_running(section: &mut Section, rounds: usize) {
    let (Some(saved), Some(pushed)) = (Host::new(), Host::new()) else { return };
    let remote = Repository::new(&pushed.root().join("remote"));
    let images: Vec<[String; 2]> =
        [&saved, &pushed].map(|host| ["1.0", "1.1"].map(|tag| host.image(tag, &[], &[]))).into();
    let write = |turn: usize| {
        saved.write("web.toml", &plain("web", &images[0][turn % 2], ""));
        remote.write(&format!("{}/web.toml", pushed.project), &plain("web", &images[1][turn % 2], ""));
    };
    write(0);
    remote.commit("First");
    pushed.configure(&format!("[source.infra]\nurl = \"{}\"\npoll = \"1h\"\n", remote.url()));
    let (follows_directory, follows_repository) = (Daemon::start(&saved), Daemon::start(&pushed));
    follows_directory.until_ready(&saved.id("web"), &images[0][0]);
    follows_repository.until_ready(&pushed.id("web"), &images[1][0]);
    let (mut saves, mut pushes) = (Sample::default(), Sample::default());
    for turn in 1..=rounds {
        let began = Instant::now();
        saved.write("web.toml", &plain("web", &images[0][turn % 2], ""));
        follows_directory.until_ready(&saved.id("web"), &images[0][turn % 2]);
        saves.push(began.elapsed());
        remote.write(&format!("{}/web.toml", pushed.project), &plain("web", &images[1][turn % 2], ""));
        remote.commit("Another tag");
        let began = Instant::now();
        pushed.evenkeel(&["sync", "--no-wait"]).expect(0);
        follows_repository.until_ready(&pushed.id("web"), &images[1][turn % 2]);
        pushes.push(began.elapsed());
    }
    section.note("from a saved file to a proved container (monitor 1 s), ms", saves.shown());
    section.note("from a push and its word to the same, ms", pushes.shown());
    section.note("push against save", pushes.against(&saves).shown());
}
