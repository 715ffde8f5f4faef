//! The regular look at a host where nothing has moved.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::controller::clock::SystemClock;
use evenkeel::controller::converge::{Ending, Pace, converge};
use evenkeel::controller::dispatch::Dispatch;
use evenkeel::controller::host::{self, Parts};
use evenkeel::controller::progress::Silent;
use evenkeel::controller::records::Forgetful;
use evenkeel::controller::relist;
use evenkeel::controller::takeover::take_wish;
use evenkeel::controller::wish::Wish;
use evenkeel::desired::load;
use evenkeel::desired::snapshot::HostFacts;
use evenkeel::engine::docker;
use evenkeel::metrics::Metrics;
use evenkeel::source::read_snapshot;
use evenkeel::state::decide::Limits;

use crate::report::Section;
use crate::stats::Sample;
use crate::support::Host;
use crate::wire::Wire;

const ROUNDS: usize = 31;

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// The daemon of this host has ended; its fifty services run.
pub fn run(host: &Host, compose: &Sample, compose_cpu: &Sample) -> Section {
    let mut section = Section::new(
        "Nothing to do",
        "The regular look at fifty running services of which none has moved: the daemon's own code, asked in turns with the bare list call it is made of (the same \
         filter, on a kept connection). *docker compose*: `up -d` of fifty services that run as they should.",
    );
    // One thread, so that its CPU time is all there is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut ours, mut used, mut raws) = (Sample::default(), Sample::default(), Sample::default());
    runtime.block_on(async {
        let parts = parts(host);
        let kept = Arc::new(host::Host::new(parts, Default::default()));
        let snapshot = read_snapshot(&host.desired).expect("a snapshot");
        let facts = HostFacts { name: "bench".to_owned(), api: Some((1, 41)), ..HostFacts::default() };
        let scope = take_wish(&kept, Wish::new(load(&snapshot, &facts).0, kept.clock.now().mono));
        let mut dispatch = Dispatch::new(Arc::clone(&kept));
        let deadline = kept.clock.now().mono.after(120_000);
        let ending = converge(&kept, &mut dispatch, &scope, deadline, &Pace::Live).await;
        assert_eq!(ending, Ending::Settled);
        let mut wire = Wire::open();
        let label = host.label().replace('=', "%3D");
        let path = format!("/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        for _ in 0..ROUNDS {
            let began = Instant::now();
            wire.must("GET", &path, None);
            raws.push(began.elapsed());
            let (began, before) = (Instant::now(), cpu());
            let seen = relist::relist(&kept, false).await.expect("a list");
            relist::note(&kept, &seen);
            let due = relist::due(&kept, &seen);
            ours.push(began.elapsed());
            used.push(cpu() - before);
            assert!(due.is_empty(), "nothing moved: {due:?}");
        }
    });
    section.note("raw list call, ms", raws.shown());
    section.note("evenkeel, ms", ours.shown());
    let ratio = ours.against(&raws);
    section.held("evenkeel against raw", ratio.shown(), ratio.of_medians, 1.3, "");
    section.held("CPU of evenkeel, ms", used.shown(), used.median(), 5.0, " ms");
    section.note("docker compose, ms", compose.shown());
    section.note("CPU of docker compose, ms", compose_cpu.shown());
    section
}

fn parts(host: &Host) -> Parts {
    Parts {
        engine: Arc::new(docker::connect(None, &host.project).expect("an engine")),
        records: Arc::new(Forgetful::default()),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::new().expect("metrics")),
        progress: Arc::new(Silent),
        owner: host.project.clone(),
        limits: Limits { disk_floor: 0, ..Limits::default() },
        actors: host::ACTORS,
        pulls: host::PULLS,
        disk_free: Arc::new(|| None),
    }
}
