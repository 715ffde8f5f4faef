//! One pass: what it looks at, and what it writes down before it acts.

use std::sync::{Arc, Mutex};

use evenkeel::controller::host::{Host, Parts};
use evenkeel::controller::objects;
use evenkeel::controller::progress::Progress;
use evenkeel::controller::queue::{Reason, Reasons};
use evenkeel::controller::reconcile::{PassEnd, pass};
use evenkeel::controller::records::Records;
use evenkeel::controller::trigger::Mail;
use evenkeel::controller::wish::Wish;
use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::EngineError;
use evenkeel::engine::sim::{Fault, Op};
use evenkeel::state::observed::EngineSession;
use evenkeel::state::plan::{Failure, Planned, Step};
use evenkeel::state::record::Record;
use evenkeel::state::time::Mono;
use futures_util::FutureExt;

use crate::rig::{Memory, Rig, id, loaded, shop};

const WEB: &str = "[services.web]\nimage = \"web:1\"\n";

async fn host(rig: &Rig, change: impl FnOnce(&mut Parts)) -> Host {
    let mut parts = rig.parts();
    change(&mut parts);
    let host = Host::new(parts, EngineSession(0));
    host.set_wish(Arc::new(Wish::new(loaded(&shop(WEB)), Mono(0))));
    objects::network(&host, "shop_default").await;
    host
}

async fn pass_of_web(host: &Host) -> PassEnd {
    pass(host, &id("web"), &Reasons::from([Reason::Desired])).await.end
}

/// The connection was lost and another engine process was found at its other end.
async fn another_engine(host: &Host) {
    let lost = EngineError::new("events", "stream", Failure::Unreachable, "eof");
    host.hear_of_engine(&Mail { engine: Some(Err(lost)), engine_lost: true, ..Mail::default() }).await;
    host.hear_of_engine(&Mail { engine: Some(Ok(())), ..Mail::default() }).await;
}

/// How often images, networks and volumes were looked at by a first pass, in which the engine is another one after the create.
async fn looks(engine_changes: bool) -> (u64, u64) {
    let rig = Rig::new();
    let host = host(&rig, |_| {}).await;
    rig.sim.with(|host| host.fail(Op::Create, Fault::Slow(1_000)));
    let meanwhile = async {
        let created = || rig.watcher.steps.lock().unwrap().iter().any(|step| step.contains("create"));
        while !created() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if engine_changes {
            another_engine(&host).await;
        }
    };
    let before = rig.sim.with(|host| (host.calls(Op::Networks), host.calls(Op::InspectImage)));
    let (end, ()) = tokio::join!(pass_of_web(&host), meanwhile);
    assert!(matches!(end, PassEnd::At(_)), "{end:?}: it waits for its gate");
    let after = rig.sim.with(|host| (host.calls(Op::Networks), host.calls(Op::InspectImage)));
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_another_engine_is_looked_at_again() {
    let (networks, images) = looks(false).await;
    let (networks_again, images_again) = looks(true).await;
    assert_eq!(networks_again, networks + 1, "networks");
    assert!(images_again > images, "images: {images} and {images_again}");
}

/// Looks into the memory at the moment before each step.
struct Auditor {
    records: Arc<Memory>,
    seen: Mutex<Vec<(Step, Record)>>,
}

impl Progress for Auditor {
    fn step(&self, service: &ServiceId, planned: &Planned, _words: &str) {
        let record = self.records.load(service).now_or_never().unwrap().unwrap();
        self.seen.lock().unwrap().push((planned.step.clone(), record));
    }
}

/// Invariant I5, at the two steps that stand on it: what is made belongs to a revision that is written down, and a start that may be
/// executed without us has its note.
#[tokio::test(start_paused = true)]
async fn what_licenses_a_step_is_in_the_memory_before_the_step_is_taken() {
    let rig = Rig::new();
    let auditor = Arc::new(Auditor { records: Arc::clone(&rig.records), seen: Mutex::default() });
    let host = host(&rig, |parts| parts.progress = Arc::clone(&auditor) as Arc<dyn Progress>).await;
    pass_of_web(&host).await;
    let (mut creates, mut starts) = (0, 0);
    for (step, record) in auditor.seen.lock().unwrap().iter() {
        match step {
            Step::Create(creation) => {
                creates += 1;
                assert_eq!(record.intent.as_ref(), Some(&creation.labels.revision));
            }
            Step::Start { id } => {
                starts += 1;
                assert!(record.unsettled.iter().any(|open| open.container == *id), "{record:#?}");
                assert!(record.containers.contains(id), "the container itself was not written down");
            }
            _ => {}
        }
    }
    assert_eq!((creates, starts), (1, 1));
}
