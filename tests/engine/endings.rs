//! How containers end: in time, too late, paused, out of memory, removed by many at once.

use evenkeel::desired::spec::{Resources, RestartPolicy};
use evenkeel::state::observed::{ContainerStatus, Health};
use evenkeel::state::plan::Failure;
use futures_util::future::join_all;

use crate::bench::{
    App, Bench, MEMORY, created, creation, kind, look, pass, started, until_health, until_status,
};

contract!(
    without_a_grace_period_the_containers_own_is_given,
    an_application_that_ends_in_time_keeps_its_own_exit_code,
    a_paused_container_is_not_removed_and_goes_on_where_it_was,
    a_paused_container_that_is_killed_ends_or_stays_paused,
    a_container_that_is_removed_by_many_at_once_is_gone,
    a_container_that_is_removed_by_force_is_gone_whatever_it_did,
    one_that_eats_more_memory_than_it_may_is_killed_and_marked,
    a_container_that_cannot_start_any_more_says_why_and_stays_exited,
    a_policy_is_given_and_taken_while_paused,
);

async fn without_a_grace_period_the_containers_own_is_given(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::IgnoresTerm).await;
    order.spec.stop_grace_period = Some(2);
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    let before = tokio::time::Instant::now();
    bench.engine().stop(&id, None).await.unwrap();
    assert!(before.elapsed().as_millis() >= 1900, "only after {:?}", before.elapsed());
    assert_eq!(look(bench, &id).await.exit_code, 137);
}

async fn an_application_that_ends_in_time_keeps_its_own_exit_code(bench: &dyn Bench) {
    let id = started(bench, "web", App::EndsSlowly(300)).await;
    // So that it has had the time to install its handler.
    bench.ready(&id).await;
    bench.engine().stop(&id, Some(30)).await.unwrap();
    let seen = look(bench, &id).await;
    assert_eq!((seen.status, seen.exit_code), (ContainerStatus::Exited, 0));
}

async fn a_paused_container_is_not_removed_and_goes_on_where_it_was(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let before = look(bench, &id).await;
    bench.docker_pause(&id);
    assert_eq!(kind(bench.engine().remove(&id, false).await), Failure::Conflict);
    bench.docker_unpause(&id);
    let after = look(bench, &id).await;
    assert_eq!((after.status, after.started_at), (ContainerStatus::Running, before.started_at));
}

async fn a_paused_container_that_is_killed_ends_or_stays_paused(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.docker_pause(&id);
    bench.docker_kill(&id);
    pass(500).await;
    let seen = look(bench, &id).await;
    assert!(matches!(seen.status, ContainerStatus::Exited | ContainerStatus::Paused), "{:?}", seen.status);
    bench.engine().stop(&id, Some(1)).await.unwrap();
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Exited);
}

async fn a_container_that_is_removed_by_many_at_once_is_gone(bench: &dyn Bench) {
    let id = created(bench, "web", App::Serves).await;
    let answers = join_all((0..8).map(|_| bench.engine().remove(&id, false))).await;
    for answer in answers {
        // The others may find it half gone.
        let in_progress = answer.as_ref().is_err_and(|error| error.kind == Failure::InProgress);
        assert!(answer.is_ok() || in_progress, "{answer:?}");
    }
    assert_eq!(bench.engine().inspect(&id).await.unwrap(), None);
}

async fn a_container_that_is_removed_by_force_is_gone_whatever_it_did(bench: &dyn Bench) {
    let stopped = created(bench, "stopped", App::Serves).await;
    let running = started(bench, "running", App::IgnoresTerm).await;
    let paused = started(bench, "paused", App::Serves).await;
    bench.docker_pause(&paused);
    let looping = created(bench, "looping", App::Exits { after: 50, code: 1 }).await;
    bench.engine().set_restart(&looping, RestartPolicy::Always).await.unwrap();
    bench.engine().start(&looping).await.unwrap();
    for id in [&stopped, &running, &paused, &looping] {
        bench.docker_rm_f(id);
        assert_eq!(bench.engine().inspect(id).await.unwrap(), None);
    }
}

async fn one_that_eats_more_memory_than_it_may_is_killed_and_marked(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::EatsMemory).await;
    order.live.resources =
        Resources { memory: Some(MEMORY), memory_swap: i64::try_from(MEMORY).ok(), ..Resources::default() };
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_eq!((seen.exit_code, seen.oom_killed), (137, true));
    // A start that goes well takes the mark off.
    bench.engine().set_resources(&id, &Resources::default()).await.unwrap();
    assert_eq!(look(bench, &id).await.resources.memory, None, "a limit comes off again");
}

async fn a_container_that_cannot_start_any_more_says_why_and_stays_exited(bench: &dyn Bench) {
    let port = bench.free_port();
    let mut order = creation(bench, "web", App::HealthyAfter(0)).await;
    crate::bench::publish(&mut order, port);
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    until_health(bench, &id, Health::Healthy).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    let before = look(bench, &id).await;
    let _listening = bench.listen(port);
    assert_eq!(kind(bench.engine().start(&id).await), Failure::PortBusy);
    let after = look(bench, &id).await;
    assert_eq!((after.status, after.started_at), (ContainerStatus::Exited, before.started_at));
    assert_eq!(after.exit_code, 128);
    assert_ne!(after.error, "");
}

async fn a_policy_is_given_and_taken_while_paused(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.docker_pause(&id);
    for policy in [RestartPolicy::Always, RestartPolicy::No] {
        bench.engine().set_restart(&id, policy).await.unwrap();
        let seen = look(bench, &id).await;
        assert_eq!((seen.status, seen.restart), (ContainerStatus::Paused, policy));
    }
    bench.docker_unpause(&id);
}
