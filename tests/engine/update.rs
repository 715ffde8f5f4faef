//! Changes of containers that exist.

use evenkeel::desired::spec::{Resources, RestartPolicy};
use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, created, kind, look, started};

contract!(
    limits_change_without_a_restart,
    limits_of_a_stopped_container_change_too,
    a_restart_policy_is_changed_in_every_state,
    a_container_is_renamed_in_every_state_and_its_old_name_is_free,
    a_name_that_is_taken_cannot_be_given,
);

fn limits() -> Resources {
    Resources { memory: Some(64 << 20), cpu_shares: Some(512), ..Resources::default() }
}

async fn limits_change_without_a_restart(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let before = look(bench, &id).await;
    assert_eq!((before.resources.memory, before.resources.cpu_shares), (None, None));
    bench.engine().set_resources(&id, &limits()).await.unwrap();
    let after = look(bench, &id).await;
    assert_eq!(after.resources.memory, Some(64 << 20));
    assert_eq!(after.resources.cpu_shares, Some(512));
    assert_eq!((after.status, after.started_at), (ContainerStatus::Running, before.started_at));
}

async fn limits_of_a_stopped_container_change_too(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().set_resources(&id, &limits()).await.unwrap();
    let seen = look(bench, &id).await;
    assert_eq!((seen.status, seen.resources.memory), (ContainerStatus::Exited, Some(64 << 20)));
}

async fn a_restart_policy_is_changed_in_every_state(bench: &dyn Bench) {
    let id = created(bench, "web", App::Serves).await;
    let give = async |policy: RestartPolicy, status: ContainerStatus| {
        bench.engine().set_restart(&id, policy).await.unwrap();
        let seen = look(bench, &id).await;
        assert_eq!((seen.restart, seen.status), (policy, status));
    };
    give(RestartPolicy::OnFailure { max_retries: 4 }, ContainerStatus::Created).await;
    bench.engine().start(&id).await.unwrap();
    give(RestartPolicy::UnlessStopped, ContainerStatus::Running).await;
    give(RestartPolicy::Always, ContainerStatus::Running).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    give(RestartPolicy::No, ContainerStatus::Exited).await;
}

async fn a_container_is_renamed_in_every_state_and_its_old_name_is_free(bench: &dyn Bench) {
    let id = created(bench, "web", App::Serves).await;
    let name = |suffix: &str| format!("{}-web-1{suffix}", bench.project());
    let rename = async |suffix: &str| {
        bench.engine().rename(&id, &name(suffix)).await.unwrap();
        assert_eq!(look(bench, &id).await.name, name(suffix));
    };
    rename(".created").await;
    rename(".created").await;
    bench.engine().start(&id).await.unwrap();
    rename(".running").await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    rename(".exited").await;
    let other = created(bench, "web", App::Serves).await;
    assert_eq!(look(bench, &other).await.name, name(""));
    assert_ne!(other, id);
}

async fn a_name_that_is_taken_cannot_be_given(bench: &dyn Bench) {
    let web = created(bench, "web", App::Serves).await;
    created(bench, "other", App::Serves).await;
    let taken = format!("{}-other-1", bench.project());
    assert_eq!(kind(bench.engine().rename(&web, &taken).await), Failure::Conflict);
    assert_eq!(look(bench, &web).await.name, format!("{}-web-1", bench.project()));
}
