//! The facts that need an engine to be killed, pruned or filled, on a real one of the test's own. They are about the engine, not
//! about evenkeel: when one of these fails, an engine behaves in a new way, and `sim` and `state` must learn it.

use std::collections::BTreeMap;

use evenkeel::state::observed::{ContainerId, ContainerStatus};
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, creation, kind, look, network, publish, started};
use crate::facts::{AFTER_A_KILL, ALWAYS, UNLESS_STOPPED};
use crate::real::Real;
use crate::support::docker::{docker, try_docker};
use crate::support::private_engine::PrivateEngine;

/// Fields go in this order: what was made on the engine before the engine.
struct Private {
    bench: Real,
    engine: PrivateEngine,
}

impl Private {
    fn with(engine: Option<PrivateEngine>) -> Option<Self> {
        let engine = engine?;
        let bench = Real::at(Some(&engine.address()))?;
        Some(Self { bench, engine })
    }

    fn new() -> Option<Self> {
        Self::with(PrivateEngine::start(false))
    }

    fn crash(&mut self) {
        self.engine.kill();
        self.engine.up();
    }

    fn restart_orderly(&mut self) {
        self.engine.stop();
        self.engine.up();
    }

    async fn status(&self, id: &ContainerId) -> ContainerStatus {
        look(&self.bench, id).await.status
    }
}

#[tokio::test]
async fn facts_2_and_3_what_a_killed_engine_brings_back() {
    let Some(mut private) = Private::new() else { return };
    let mut made = BTreeMap::new();
    for (number, (policy, was_running, was_stopped)) in AFTER_A_KILL.into_iter().enumerate() {
        for (what, expected) in [("running", was_running), ("stopped", was_stopped)] {
            // Ends with 137: what ended well would not be brought back by `on-failure`.
            let id = started(&private.bench, &format!("{what}{number}"), App::IgnoresTerm).await;
            private.bench.engine().set_restart(&id, policy).await.unwrap();
            if what == "stopped" {
                private.bench.engine().stop(&id, Some(0)).await.unwrap();
            }
            let before = look(&private.bench, &id).await;
            made.insert(id, (policy, what, expected, before));
        }
    }
    private.crash();
    for (id, (policy, what, expected, before)) in made {
        let after = look(&private.bench, &id).await;
        assert_eq!(after.status, expected, "{what} with {policy:?}");
        assert_eq!(after.restart_count, 0, "{what} with {policy:?}");
        assert_eq!(after.started_at > before.started_at, expected == ContainerStatus::Running);
    }
}

#[tokio::test]
async fn fact_3_an_orderly_restart_brings_unless_stopped_back() {
    let Some(mut private) = Private::new() else { return };
    let running = started(&private.bench, "running", App::Serves).await;
    let stopped = started(&private.bench, "stopped", App::Serves).await;
    for id in [&running, &stopped] {
        private.bench.engine().set_restart(id, UNLESS_STOPPED).await.unwrap();
    }
    private.bench.engine().stop(&stopped, None).await.unwrap();
    private.restart_orderly();
    assert_eq!(private.status(&running).await, ContainerStatus::Running);
    assert_eq!(private.status(&stopped).await, ContainerStatus::Exited);
}

#[tokio::test]
async fn fact_2_after_a_crash_old_and_new_race_for_the_port() {
    let Some(mut private) = Private::new() else { return };
    let port = private.bench.free_port();
    let mut both = Vec::new();
    for service in ["old", "new"] {
        let mut order = creation(&private.bench, service, App::Serves).await;
        publish(&mut order, port);
        let id = private.bench.engine().create(&order).await.unwrap();
        private.bench.engine().set_restart(&id, ALWAYS).await.unwrap();
        both.push(id);
    }
    let engine = private.bench.engine();
    engine.start(&both[0]).await.unwrap();
    engine.stop(&both[0], None).await.unwrap();
    engine.start(&both[1]).await.unwrap();
    private.crash();
    let mut up = 0;
    for id in &both {
        let seen = look(&private.bench, id).await;
        up += usize::from(seen.status.is_up());
        assert!(seen.status.is_up() || !seen.error.is_empty(), "the loser knows why: {seen:?}");
    }
    assert_eq!(up, 1, "the stopped one was started too, and one of them has the port");
}

#[tokio::test]
async fn fact_4_a_port_lost_with_a_killed_engine_is_back_after_the_restart_after_it() {
    let Some(mut private) = Private::new() else { return };
    let port = private.bench.free_port();
    let mut order = creation(&private.bench, "web", App::Serves).await;
    publish(&mut order, port);
    let mut id = private.bench.engine().create(&order).await.unwrap();
    let mut leaked = false;
    // Where in a start the engine is hit is chance; each time it must be one of the known ends.
    for delay in [60, 120, 180, 240, 300, 90, 150, 210] {
        let start = std::thread::spawn({
            let (address, id) = (private.engine.address(), id.0.clone());
            move || std::process::Command::new("docker").args(["-H", &address, "start", &id]).output()
        });
        std::thread::sleep(std::time::Duration::from_millis(delay));
        private.crash();
        start.join().unwrap().unwrap();
        let ended = private.status(&id).await;
        assert!(matches!(ended, ContainerStatus::Created | ContainerStatus::Exited), "{ended:?}");
        match private.bench.engine().start(&id).await {
            Ok(()) => private.bench.engine().stop(&id, Some(1)).await.unwrap(),
            // Killed a moment later, the start leaves a task behind that forbids every further start of this very container.
            Err(error) if error.kind == Failure::Internal => {}
            Err(error) => {
                assert_eq!(error.kind, Failure::PortBusy, "{error}");
                leaked = true;
            }
        }
        private.restart_orderly();
        if let Err(error) = private.bench.engine().start(&id).await {
            assert_eq!(error.kind, Failure::Internal, "the restart after it frees the port: {error}");
            private.bench.engine().remove(&id, false).await.unwrap();
            id = private.bench.engine().create(&order).await.unwrap();
            private
                .bench
                .engine()
                .start(&id)
                .await
                .expect("a new container is not bound by the old one's task");
        }
        private.bench.engine().stop(&id, Some(1)).await.unwrap();
        if leaked {
            return;
        }
    }
    eprintln!("no port was leaked this time");
}

#[tokio::test]
async fn fact_8_a_full_disk_lets_containers_end_and_none_begin() {
    let Some(private) = Private::with(PrivateEngine::start_on_small_disk(96)) else { return };
    let engine = private.bench.engine();
    let running = started(&private.bench, "web", App::Serves).await;
    let next = creation(&private.bench, "next", App::Serves).await;
    private.engine.fill_disk();
    let is_full = |kind: Failure| matches!(kind, Failure::NoSpace | Failure::Internal);
    assert!(is_full(kind(engine.create(&next).await)));
    let name = look(&private.bench, &running).await.name;
    assert!(is_full(kind(engine.rename(&running, &format!("{name}.x")).await)));
    assert!(is_full(kind(engine.set_restart(&running, ALWAYS).await)));
    let seen = look(&private.bench, &running).await;
    assert_eq!((seen.status, &seen.name), (ContainerStatus::Running, &name), "it serves on");
    engine.stop(&running, Some(1)).await.unwrap();
    assert!(is_full(kind(engine.start(&running).await)), "not even what ran a moment ago");
    private.engine.free_disk();
    engine.start(&running).await.unwrap();
    engine.create(&next).await.unwrap();
}

#[tokio::test]
async fn fact_10_prune_eats_the_safety_net() {
    let Some(private) = Private::new() else { return };
    let engine = private.bench.engine();
    let previous = started(&private.bench, "previous", App::Serves).await;
    engine.stop(&previous, Some(1)).await.unwrap();
    let serving = started(&private.bench, "serving", App::Serves).await;
    let staged = creation(&private.bench, "staged", App::Serves).await;
    let staged = engine.create(&staged).await.unwrap();
    let unused = network(&private.bench, "unused");
    engine.create_network(&unused, private.bench.project()).await.unwrap();
    let kept = format!("evenkeel/{}-old", private.bench.project());
    private.bench.other_image(&format!("{kept}:0a1b2c3d"));
    docker(&["container", "prune", "--force"]);
    assert_eq!(engine.inspect(&previous).await.unwrap(), None);
    assert_eq!(engine.inspect(&staged).await.unwrap(), None);
    assert_eq!(private.status(&serving).await, ContainerStatus::Running);
    assert_eq!(engine.repository_tags(&kept).await.unwrap().len(), 1);
    docker(&["system", "prune", "--all", "--force"]);
    assert!(engine.repository_tags(&kept).await.unwrap().is_empty(), "a tag does not save an image");
    assert!(engine.networks_named(&unused.name).await.unwrap().is_empty());
    assert_eq!(private.status(&serving).await, ContainerStatus::Running);
}

#[tokio::test]
async fn a_process_is_known_by_the_last_event_it_told_and_another_one_is_told_from_it() {
    use futures_util::StreamExt;
    let Some(mut private) = Private::new() else { return };
    let engine = private.bench.engine();
    assert!(!engine.is_same_process().await.unwrap(), "nothing was heard yet: nothing is known");
    let mut events = engine.events().await.unwrap();
    let id = started(&private.bench, "web", App::Serves).await;
    let heard = async { while !events.next().await.unwrap().is_ok_and(|event| event.action == "start") {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), heard).await.expect("the start is told");
    drop(events);
    assert!(private.bench.engine().is_same_process().await.unwrap(), "a lost stream is no lost engine");
    private.bench.engine().stop(&id, Some(1)).await.unwrap();
    assert!(private.bench.engine().is_same_process().await.unwrap(), "whatever happened since");
    private.crash();
    assert!(!private.bench.engine().is_same_process().await.unwrap());
    private.restart_orderly();
    assert!(!private.bench.engine().is_same_process().await.unwrap());
}

#[tokio::test]
async fn an_engine_that_is_down_is_unreachable_and_its_stream_ends() {
    use futures_util::StreamExt;
    let Some(mut private) = Private::new() else { return };
    let mut events = private.bench.engine().events().await.unwrap();
    private.engine.kill();
    let left = async { while let Some(Ok(_)) = events.next().await {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), left)
        .await
        .expect("the stream ends with the engine");
    assert!(try_docker(&["version"]).is_err());
    assert_eq!(kind(private.bench.engine().facts().await), Failure::Unreachable);
    let nobody = crate::bench::nobody();
    assert_eq!(kind(private.bench.engine().start(&nobody).await), Failure::Unreachable);
    private.engine.up();
    private.bench.engine().facts().await.unwrap();
    assert_eq!(kind(private.bench.engine().start(&nobody).await), Failure::NotFound);
}
