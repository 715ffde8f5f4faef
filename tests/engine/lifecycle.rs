//! Starting, stopping and removing.

use std::collections::BTreeMap;

use evenkeel::desired::spec::RestartPolicy;
use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;

use crate::bench::{
    App, Bench, created, creation, join, kind, look, network, nobody, pass, publish, started, until_status,
};

contract!(
    starting_twice_is_starting_once,
    stopping_twice_is_stopping_once,
    every_start_has_a_later_stamp,
    what_is_not_there_is_not_found,
    an_application_that_ignores_the_signal_is_killed_after_the_grace_period,
    a_second_stop_may_be_less_patient,
    a_start_during_a_stop_is_answered_and_changes_nothing,
    a_command_that_does_not_exist_is_invalid_and_stays_created,
    a_port_that_is_taken_is_busy_and_the_container_stays_created,
    a_port_that_another_process_holds_is_busy,
    a_port_is_free_when_stop_has_returned,
    a_network_that_is_gone_fails_the_start_but_not_the_container,
    a_running_container_is_not_removed,
    a_stopped_container_is_removed_once_and_for_all,
    a_paused_container_can_be_stopped,
    an_exit_code_is_kept,
    a_signal_reaches_what_runs_and_is_refused_by_what_does_not,
);

async fn a_signal_reaches_what_runs_and_is_refused_by_what_does_not(bench: &dyn Bench) {
    let (engine, none) = (bench.engine(), BTreeMap::new());
    let id = started(bench, "web", App::Serves).await;
    engine.deliver(&id, &none, Some("SIGCONT")).await.unwrap();
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Running);
    engine.stop(&id, Some(1)).await.unwrap();
    assert!(engine.deliver(&id, &none, Some("SIGCONT")).await.is_err(), "nobody is there to hear it");
    engine.deliver(&id, &none, None).await.expect("without a signal it need not run");
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Exited);
    assert_eq!(kind(engine.deliver(&nobody(), &none, Some("SIGCONT")).await), Failure::NotFound);
}

async fn starting_twice_is_starting_once(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let first = look(bench, &id).await;
    assert_eq!(first.status, ContainerStatus::Running);
    assert!(first.started_at.is_some());
    bench.engine().start(&id).await.unwrap();
    assert_eq!(look(bench, &id).await.started_at, first.started_at);
}

async fn stopping_twice_is_stopping_once(bench: &dyn Bench) {
    let idle = created(bench, "idle", App::Serves).await;
    bench.engine().stop(&idle, None).await.unwrap();
    assert_eq!(
        look(bench, &idle).await.status,
        ContainerStatus::Created,
        "what never ran has nothing to end"
    );
    let id = started(bench, "web", App::Serves).await;
    bench.engine().stop(&id, None).await.unwrap();
    let stopped = look(bench, &id).await;
    assert_eq!(stopped.status, ContainerStatus::Exited);
    assert!(stopped.finished_at >= stopped.started_at);
    bench.engine().stop(&id, None).await.unwrap();
    assert_eq!(look(bench, &id).await.finished_at, stopped.finished_at);
}

async fn every_start_has_a_later_stamp(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let mut last = look(bench, &id).await.started_at;
    for _ in 0..3 {
        bench.engine().stop(&id, Some(0)).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        let seen = look(bench, &id).await;
        assert!(seen.started_at > last, "{:?} after {last:?}", seen.started_at);
        assert_eq!(seen.restart_count, 0, "a start by order is no restart");
        last = seen.started_at;
    }
}

async fn what_is_not_there_is_not_found(bench: &dyn Bench) {
    let engine = bench.engine();
    let id = nobody();
    assert_eq!(kind(engine.start(&id).await), Failure::NotFound);
    assert_eq!(kind(engine.stop(&id, None).await), Failure::NotFound);
    assert_eq!(kind(engine.rename(&id, &format!("{}-x-1", bench.project())).await), Failure::NotFound);
    assert_eq!(kind(engine.set_restart(&id, RestartPolicy::No).await), Failure::NotFound);
    engine.remove(&id, false).await.expect("what is gone is removed");
}

async fn an_application_that_ignores_the_signal_is_killed_after_the_grace_period(bench: &dyn Bench) {
    let id = started(bench, "web", App::IgnoresTerm).await;
    let before = tokio::time::Instant::now();
    bench.engine().stop(&id, Some(1)).await.unwrap();
    assert!(before.elapsed().as_millis() >= 900, "only after its grace period");
    let seen = look(bench, &id).await;
    assert_eq!((seen.status, seen.exit_code), (ContainerStatus::Exited, 137));
}

async fn a_second_stop_may_be_less_patient(bench: &dyn Bench) {
    let id = started(bench, "web", App::IgnoresTerm).await;
    let before = tokio::time::Instant::now();
    let patient = bench.engine().stop(&id, Some(20));
    let impatient = async {
        pass(300).await;
        bench.engine().stop(&id, Some(1)).await
    };
    let (first, second) = futures_util::future::join(patient, impatient).await;
    first.unwrap();
    second.unwrap();
    assert!(before.elapsed().as_secs() < 15, "took {:?}", before.elapsed());
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Exited);
}

async fn a_start_during_a_stop_is_answered_and_changes_nothing(bench: &dyn Bench) {
    let id = started(bench, "web", App::EndsSlowly(1500)).await;
    let stop = bench.engine().stop(&id, Some(10));
    let start = async {
        pass(400).await;
        bench.engine().start(&id).await
    };
    let (stopped, answered) = futures_util::future::join(stop, start).await;
    stopped.unwrap();
    answered.unwrap();
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Exited);
}

async fn a_command_that_does_not_exist_is_invalid_and_stays_created(bench: &dyn Bench) {
    let id = created(bench, "web", App::NoSuchCommand).await;
    assert_eq!(kind(bench.engine().start(&id).await), Failure::Invalid);
    let seen = look(bench, &id).await;
    assert_eq!((seen.status, seen.exit_code), (ContainerStatus::Created, 127));
    assert_ne!(seen.error, "", "the engine keeps the reason");
    assert_eq!(seen.started_at, None);
}

async fn a_port_that_is_taken_is_busy_and_the_container_stays_created(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let mut first = creation(bench, "first", App::Serves).await;
    publish(&mut first, port);
    let mut second = creation(bench, "second", App::Serves).await;
    publish(&mut second, port);
    let first = engine.create(&first).await.unwrap();
    let second = engine.create(&second).await.unwrap();
    engine.start(&first).await.unwrap();
    assert_eq!(kind(engine.start(&second).await), Failure::PortBusy);
    let seen = look(bench, &second).await;
    assert_eq!(seen.status, ContainerStatus::Created);
    assert_ne!(seen.error, "");
    engine.stop(&first, None).await.unwrap();
    engine.start(&second).await.unwrap();
    let seen = look(bench, &second).await;
    assert_eq!((seen.status, seen.error.as_str(), seen.exit_code), (ContainerStatus::Running, "", 0));
    assert_eq!(kind(engine.start(&first).await), Failure::PortBusy);
    assert_eq!(look(bench, &first).await.status, ContainerStatus::Exited, "what ran before stays exited");
}

async fn a_port_that_another_process_holds_is_busy(bench: &dyn Bench) {
    let port = bench.free_port();
    let mut order = creation(bench, "web", App::Serves).await;
    publish(&mut order, port);
    let id = bench.engine().create(&order).await.unwrap();
    let listening = bench.listen(port);
    assert_eq!(kind(bench.engine().start(&id).await), Failure::PortBusy);
    drop(listening);
    bench.engine().start(&id).await.unwrap();
}

async fn a_port_is_free_when_stop_has_returned(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let mut holders = Vec::new();
    for service in ["a", "b"] {
        let mut order = creation(bench, service, App::Serves).await;
        publish(&mut order, port);
        holders.push(engine.create(&order).await.unwrap());
    }
    for turn in 0..6 {
        let id = &holders[turn % 2];
        engine.start(id).await.unwrap();
        engine.stop(id, Some(2)).await.unwrap();
    }
}

async fn a_network_that_is_gone_fails_the_start_but_not_the_container(bench: &dyn Bench) {
    let spec = network(bench, "lost");
    let network = bench.engine().create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &network);
    let id = bench.engine().create(&order).await.unwrap();
    bench.remove_network(&network);
    assert_eq!(kind(bench.engine().start(&id).await), Failure::NotFound);
    assert!(!look(bench, &id).await.status.is_up());
}

async fn a_running_container_is_not_removed(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    assert_eq!(kind(bench.engine().remove(&id, false).await), Failure::Conflict);
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Running);
}

async fn a_stopped_container_is_removed_once_and_for_all(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().remove(&id, false).await.unwrap();
    assert_eq!(bench.engine().inspect(&id).await.unwrap(), None);
    bench.engine().remove(&id, false).await.unwrap();
    created(bench, "web", App::Serves).await;
}

async fn a_paused_container_can_be_stopped(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.docker_pause(&id);
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Paused);
    assert_eq!(kind(bench.engine().start(&id).await), Failure::Conflict);
    bench.engine().stop(&id, Some(1)).await.unwrap();
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Exited);
}

async fn an_exit_code_is_kept(bench: &dyn Bench) {
    for code in [0, 3] {
        let id = started(bench, &format!("job{code}"), App::Exits { after: 100, code }).await;
        let seen = until_status(bench, &id, ContainerStatus::Exited).await;
        assert_eq!((seen.exit_code, seen.restart_count, seen.oom_killed), (code, 0, false));
    }
}
