//! Restart policies: what the engine does by itself, and what ends it.

use evenkeel::desired::spec::{Resources, RestartPolicy};
use evenkeel::state::observed::{ContainerId, ContainerStatus, Health};
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, created, creation, kind, look, pass, started, until, until_status};

contract!(
    a_crash_loop_counts_its_restarts_and_changes_its_stamp,
    a_stop_ends_a_crash_loop_for_good,
    a_crash_looping_container_is_not_removed,
    a_policy_taken_off_ends_a_crash_loop,
    renaming_between_two_restarts_works_or_changes_nothing,
    on_failure_gives_up_after_its_retries,
    on_failure_leaves_success_alone,
    docker_kill_is_final_under_every_policy,
    a_crashed_process_is_restarted,
    a_policy_given_to_a_stopped_container_starts_nothing,
    a_start_by_order_counts_restarts_anew,
    always_restarts_also_what_ended_well,
    the_pauses_between_restarts_double,
    a_start_between_two_restarts_is_answered_and_changes_nothing,
    a_kill_between_two_restarts_is_final,
    limits_are_changed_between_two_restarts,
    a_health_check_in_a_crash_loop_never_says_healthy,
);

const LOOPS: App = App::Exits { after: 50, code: 1 };
const FOREVER: RestartPolicy = RestartPolicy::OnFailure { max_retries: 0 };

async fn looping(bench: &dyn Bench, policy: RestartPolicy) -> ContainerId {
    let id = created(bench, "web", LOOPS).await;
    bench.engine().set_restart(&id, policy).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    until(bench, &id, "was restarted twice", |seen| seen.restart_count >= 2).await;
    id
}

async fn a_crash_loop_counts_its_restarts_and_changes_its_stamp(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::Always).await;
    let before = look(bench, &id).await;
    let count = before.restart_count;
    let after = until(bench, &id, "was restarted again", |seen| {
        seen.restart_count > count && seen.started_at > before.started_at
    })
    .await;
    assert!(after.status.is_up(), "{:?}: running, or between two starts", after.status);
    assert_eq!(after.restart, RestartPolicy::Always);
}

async fn a_stop_ends_a_crash_loop_for_good(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::Always).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    let stopped = look(bench, &id).await;
    assert_eq!(stopped.status, ContainerStatus::Exited);
    pass(2500).await;
    let later = look(bench, &id).await;
    assert_eq!((later.status, later.started_at), (ContainerStatus::Exited, stopped.started_at));
}

async fn a_crash_looping_container_is_not_removed(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::UnlessStopped).await;
    // Long pauses by now: this is between two starts, or running; never down.
    until(bench, &id, "has long pauses", |seen| seen.restart_count >= 4).await;
    assert_eq!(kind(bench.engine().remove(&id, false).await), Failure::Conflict);
    look(bench, &id).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
}

async fn a_policy_taken_off_ends_a_crash_loop(bench: &dyn Bench) {
    let id = looping(bench, FOREVER).await;
    bench.engine().set_restart(&id, RestartPolicy::No).await.unwrap();
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_eq!(seen.restart, RestartPolicy::No);
}

async fn renaming_between_two_restarts_works_or_changes_nothing(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::Always).await;
    until(bench, &id, "has long pauses", |seen| {
        seen.restart_count >= 5 && seen.status == ContainerStatus::Restarting
    })
    .await;
    let (old, new) = (format!("{}-web-1", bench.project()), format!("{}-web-1.old", bench.project()));
    match bench.engine().rename(&id, &new).await {
        Ok(()) => assert_eq!(look(bench, &id).await.name, new),
        Err(error) => {
            assert!(
                matches!(error.kind, Failure::NotFound | Failure::Conflict | Failure::Internal),
                "{error:?}"
            );
            assert_eq!(look(bench, &id).await.name, old);
        }
    }
    bench.engine().stop(&id, Some(1)).await.unwrap();
}

async fn on_failure_gives_up_after_its_retries(bench: &dyn Bench) {
    let id = created(bench, "web", LOOPS).await;
    let policy = RestartPolicy::OnFailure { max_retries: 2 };
    bench.engine().set_restart(&id, policy).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_eq!((seen.restart_count, seen.exit_code, seen.restart), (2, 1, policy));
}

async fn on_failure_leaves_success_alone(bench: &dyn Bench) {
    let id = created(bench, "web", App::Exits { after: 50, code: 0 }).await;
    bench.engine().set_restart(&id, FOREVER).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_eq!((seen.restart_count, seen.exit_code), (0, 0));
}

async fn docker_kill_is_final_under_every_policy(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    for policy in [RestartPolicy::Always, FOREVER, RestartPolicy::UnlessStopped] {
        bench.engine().set_restart(&id, policy).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        bench.docker_kill(&id);
        until_status(bench, &id, ContainerStatus::Exited).await;
        pass(600).await;
        let seen = look(bench, &id).await;
        assert_eq!((seen.status, seen.exit_code), (ContainerStatus::Exited, 137), "{policy:?}");
    }
}

async fn a_crashed_process_is_restarted(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.engine().set_restart(&id, RestartPolicy::UnlessStopped).await.unwrap();
    let before = look(bench, &id).await;
    if !bench.crash(&id) {
        crate::support::machine::skip("processes of containers cannot be seen from here");
        return;
    }
    let after = until(bench, &id, "runs again", |seen| {
        seen.started_at > before.started_at && seen.status == ContainerStatus::Running
    })
    .await;
    assert_eq!(after.restart_count, 1);
}

async fn a_policy_given_to_a_stopped_container_starts_nothing(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().set_restart(&id, RestartPolicy::Always).await.unwrap();
    pass(600).await;
    let seen = look(bench, &id).await;
    assert_eq!((seen.status, seen.restart), (ContainerStatus::Exited, RestartPolicy::Always));
}

async fn a_start_by_order_counts_restarts_anew(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::Always).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().set_restart(&id, RestartPolicy::No).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_eq!(seen.restart_count, 0);
}

async fn always_restarts_also_what_ended_well(bench: &dyn Bench) {
    for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped] {
        let service = if policy == RestartPolicy::Always { "always" } else { "unless-stopped" };
        let id = created(bench, service, App::Exits { after: 50, code: 0 }).await;
        bench.engine().set_restart(&id, policy).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        until(bench, &id, "was restarted", |seen| seen.restart_count >= 2).await;
        bench.engine().stop(&id, Some(1)).await.unwrap();
    }
}

async fn the_pauses_between_restarts_double(bench: &dyn Bench) {
    let id = looping(bench, RestartPolicy::Always).await;
    let mut seen = 0;
    while seen < 2 {
        let pause = until(bench, &id, "is between two starts", |seen| {
            seen.restart_count >= 3 && seen.status == ContainerStatus::Restarting
        })
        .await;
        let next = until(bench, &id, "was started again", |seen| seen.started_at > pause.started_at).await;
        // Where a whole round was missed, what was seen is no pause.
        if next.restart_count > pause.restart_count + 1 {
            continue;
        }
        let (ended, began) = (pause.finished_at.unwrap(), next.started_at.unwrap());
        // The first is 100 ms. An engine on a busy machine may be late, and is never early; half a round is left for its stamps.
        let least = 100 * (1_i64 << (pause.restart_count - 1)) / 2;
        assert!((began.0 - ended.0) / 1_000_000 >= least, "{pause:?} {next:?}");
        seen += 1;
    }
    bench.engine().stop(&id, Some(1)).await.unwrap();
}

/// Crash loops that are between two starts, and will be for a while.
async fn between_two_starts(bench: &dyn Bench) -> ContainerId {
    let id = looping(bench, RestartPolicy::Always).await;
    until(bench, &id, "has long pauses", |seen| {
        seen.restart_count >= 5 && seen.status == ContainerStatus::Restarting
    })
    .await;
    id
}

async fn a_start_between_two_restarts_is_answered_and_changes_nothing(bench: &dyn Bench) {
    let id = between_two_starts(bench).await;
    let before = look(bench, &id).await;
    bench.engine().start(&id).await.unwrap();
    let after = look(bench, &id).await;
    assert!(after.restart_count >= before.restart_count, "it was not started anew by that");
    bench.engine().stop(&id, Some(1)).await.unwrap();
}

async fn a_kill_between_two_restarts_is_final(bench: &dyn Bench) {
    let id = between_two_starts(bench).await;
    bench.docker_kill(&id);
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    pass(4000).await;
    let later = look(bench, &id).await;
    assert_eq!((later.status, later.started_at), (ContainerStatus::Exited, seen.started_at));
}

async fn limits_are_changed_between_two_restarts(bench: &dyn Bench) {
    let id = between_two_starts(bench).await;
    let limits = Resources { memory: Some(64 << 20), ..Resources::default() };
    bench.engine().set_resources(&id, &limits).await.unwrap();
    let seen = look(bench, &id).await;
    assert_eq!(seen.resources.memory, limits.memory);
    assert!(seen.status.is_up());
    bench.engine().stop(&id, Some(1)).await.unwrap();
}

async fn a_health_check_in_a_crash_loop_never_says_healthy(bench: &dyn Bench) {
    let mut order = creation(bench, "web", LOOPS).await;
    let checked = creation(bench, "checked", App::HealthyAfter(0)).await;
    order.spec.healthcheck = checked.spec.healthcheck;
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().set_restart(&id, RestartPolicy::Always).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    for count in 1..5 {
        let seen = until(bench, &id, "was restarted", |seen| seen.restart_count >= count).await;
        assert!(matches!(seen.health, Health::Starting | Health::Unhealthy), "{:?}", seen.health);
    }
    bench.engine().stop(&id, Some(1)).await.unwrap();
}
