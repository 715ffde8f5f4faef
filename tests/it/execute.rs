//! One step, one call; and the look before it.

use std::sync::Arc;

use evenkeel::controller::execute::Executor;
use evenkeel::controller::progress::Silent;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::RestartPolicy;
use evenkeel::engine::Engine;
use evenkeel::engine::sim::{Behaviour, Fault, Op};
use evenkeel::state::observed::ContainerId;
use evenkeel::state::plan::{Failure, Outcome, Step};
use evenkeel::state::record::RevisionId;
use tokio::sync::Semaphore;

use crate::rig::{OWNER, Rig, id};

const WEB: &str = "[services.web]\nimage = \"web:1\"\n";

async fn take(rig: &Rig, owner: &str, service: &ServiceId, step: &Step) -> Outcome {
    let engine: Arc<dyn Engine> = Arc::new(rig.sim.clone());
    let pulls = Semaphore::new(1);
    let executor =
        Executor { engine: &engine, owner, service: Some(service), pulls: &pulls, progress: &Silent };
    executor.take(step).await
}

fn kind(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed { kind, .. } => Some(*kind),
        _ => None,
    }
}

async fn web() -> (Rig, ContainerId) {
    let rig = Rig::new();
    rig.script("web:1", Behaviour { output: vec!["hello \u{1b}[31m".to_owned()], ..Behaviour::default() });
    rig.apply(WEB).await;
    let container = rig.sim.with(|host| host.named("shop-web-1").unwrap().id.clone());
    (rig, container)
}

#[tokio::test(start_paused = true)]
async fn a_container_of_another_service_or_instance_is_left_alone() {
    let (rig, container) = web().await;
    let steps = [
        Step::Stop { id: container.clone(), grace: None },
        Step::Remove { id: container.clone(), dead: false },
        Step::Rename { id: container.clone(), name: "other".to_owned() },
        Step::SetRestart { id: container.clone(), policy: RestartPolicy::Always },
        Step::Start { id: container.clone() },
    ];
    let writes = rig.sim.with(|host| host.writes());
    for step in &steps {
        for (owner, service) in [(OWNER, id("db")), ("another", id("web"))] {
            let outcome = take(&rig, owner, &service, step).await;
            assert_eq!(kind(&outcome), Some(Failure::Conflict), "{step:?} as {owner} for {service}");
        }
    }
    assert_eq!(rig.sim.with(|host| host.writes()), writes, "a call was made before the look was over");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_gone_is_removed_and_nothing_else_can_be_done_to_it() {
    let (rig, container) = web().await;
    rig.sim.with(|host| host.docker_rm_f(&container));
    let removed = take(&rig, OWNER, &id("web"), &Step::Remove { id: container.clone(), dead: false }).await;
    assert_eq!(removed, Outcome::Done);
    let stopped = take(&rig, OWNER, &id("web"), &Step::Stop { id: container, grace: None }).await;
    assert_eq!(kind(&stopped), Some(Failure::NotFound));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_is_unknown_and_an_error_keeps_its_kind() {
    let (rig, container) = web().await;
    let stop = Step::Stop { id: container, grace: None };
    for (fault, expected) in [
        (Fault::Lost, Failure::Unknown),
        (Fault::DoneButUnknown, Failure::Unknown),
        (Fault::Error(Failure::NoSpace), Failure::NoSpace),
    ] {
        rig.sim.with(|host| host.fail(Op::Stop, fault.clone()));
        assert_eq!(kind(&take(&rig, OWNER, &id("web"), &stop).await), Some(expected), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_are_saved_without_what_a_terminal_would_obey() {
    let (rig, container) = web().await;
    let revision = RevisionId::parse(&"0".repeat(64)).unwrap();
    let step = Step::SaveLogs { id: container, revision };
    let Outcome::Logs(text) = take(&rig, OWNER, &id("web"), &step).await else { panic!("no log") };
    assert!(text.contains("hello \\u{1b}[31m"), "{text}");
    // Evidence is worth a try and no more.
    rig.sim.with(|host| host.fail(Op::Logs, Fault::Error(Failure::Internal)));
    assert_eq!(take(&rig, OWNER, &id("web"), &step).await, Outcome::Logs(String::new()));
}
