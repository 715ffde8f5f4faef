//! Limits and restart policies: set on a container that runs, read back as asked, and taken off again.

use evenkeel::desired::spec::{Resources, RestartPolicy};
use evenkeel::engine::Engine;
use evenkeel::state::observed::ContainerId;

use super::world::World;

const MIB: u64 = 1 << 20;

/// Sets them, reads them back, sets them again (which changes nothing).
async fn check(world: &World, id: &ContainerId, wanted: Resources) {
    for _ in 0..2 {
        world.docker.set_resources(id, &wanted).await.unwrap();
        assert_eq!(world.seen(id).await.resources, wanted);
    }
}

#[tokio::test]
async fn limits_of_a_running_container_read_back_as_asked_and_come_off_again() {
    let Some(world) = World::new() else { return };
    let id = world.running(&world.creation("limits", &["serve"]).await).await;
    let none = Resources::default();
    assert_eq!(world.seen(&id).await.resources, none);
    let started = world.seen(&id).await.started_at;
    for wanted in [
        Resources { memory: Some(64 * MIB), ..none.clone() },
        Resources { memory: Some(32 * MIB), ..none.clone() },
        Resources { memory: Some(32 * MIB), memory_swap: Some(64 << 20), ..none.clone() },
        Resources { memory: Some(32 * MIB), memory_swap: Some(48 << 20), ..none.clone() },
        Resources { memory: Some(32 * MIB), memory_swap: Some(-1), ..none.clone() },
        Resources { memory: Some(96 * MIB), memory_reservation: Some(32 * MIB), ..none.clone() },
        none.clone(),
        Resources { nano_cpus: Some(500_000_000), ..none.clone() },
        none.clone(),
        Resources { nano_cpus: Some(1_000_000_000), cpu_shares: Some(512), ..none.clone() },
        Resources { cpu_shares: Some(1024), ..none.clone() },
        Resources { cpuset: Some("0".to_owned()), ..none.clone() },
        none.clone(),
        Resources { pids: Some(50), ..none.clone() },
        none.clone(),
    ] {
        check(&world, &id, wanted).await;
    }
    assert_eq!(world.seen(&id).await.started_at, started, "no limit costs a restart");
}

#[tokio::test]
async fn a_quota_and_its_period_come_off_again() {
    let Some(world) = World::new() else { return };
    let id = world.running(&world.creation("quota", &["serve"]).await).await;
    let none = Resources::default();
    check(&world, &id, Resources { cpu_quota: Some(50_000), cpu_period: Some(50_000), ..none.clone() }).await;
    check(&world, &id, Resources { cpu_quota: Some(20_000), ..none.clone() }).await;
    check(&world, &id, none).await;
}

#[tokio::test]
async fn limits_given_at_creation_read_back_as_asked() {
    let Some(world) = World::new() else { return };
    let none = Resources::default();
    for (number, wanted) in [
        Resources { memory: Some(64 * MIB), ..none.clone() },
        Resources { memory: Some(64 * MIB), memory_swap: Some(128 << 20), ..none.clone() },
        Resources { memory: Some(64 * MIB), memory_swap: Some(64 << 20), pids: Some(9), ..none.clone() },
        Resources {
            memory: Some(64 * MIB),
            memory_swap: Some(-1),
            nano_cpus: Some(250_000_000),
            ..none.clone()
        },
        Resources {
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            cpuset: Some("0-1".to_owned()),
            ..none
        },
    ]
    .into_iter()
    .enumerate()
    {
        let mut creation = world.creation(&format!("made{number}"), &["serve"]).await;
        creation.live.resources = wanted.clone();
        let id = world.docker.create(&creation).await.unwrap();
        assert_eq!(world.seen(&id).await.resources, wanted);
    }
}

#[tokio::test]
async fn every_restart_policy_reads_back_as_given_and_a_new_container_has_none() {
    let Some(world) = World::new() else { return };
    let id = world.running(&world.creation("policy", &["serve"]).await).await;
    assert_eq!(world.seen(&id).await.restart, RestartPolicy::No);
    for policy in [
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::OnFailure { max_retries: 3 },
        RestartPolicy::OnFailure { max_retries: 0 },
        RestartPolicy::No,
    ] {
        world.docker.set_restart(&id, policy).await.unwrap();
        assert_eq!(world.seen(&id).await.restart, policy);
    }
}
