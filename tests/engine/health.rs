//! Health as the engine reports it, from its own looks.

use evenkeel::desired::spec::Healthcheck;
use evenkeel::state::observed::{ContainerStatus, Health};

use crate::bench::{App, Bench, creation, look, pass, started, until_health};

contract!(
    a_check_that_passes_makes_it_healthy,
    a_check_that_never_passes_makes_it_unhealthy_and_nothing_else,
    a_check_that_passes_late_makes_it_healthy_after_all,
    a_stopped_container_is_down_whatever_its_last_health,
    a_disabled_check_reports_no_health,
    a_start_begins_with_starting,
);

async fn a_check_that_passes_makes_it_healthy(bench: &dyn Bench) {
    let id = started(bench, "web", App::HealthyAfter(0)).await;
    let before = look(bench, &id).await;
    let after = until_health(bench, &id, Health::Healthy).await;
    assert_eq!((after.started_at, after.restart_count), (before.started_at, 0));
}

async fn a_check_that_never_passes_makes_it_unhealthy_and_nothing_else(bench: &dyn Bench) {
    let id = started(bench, "web", App::NeverHealthy).await;
    let sick = until_health(bench, &id, Health::Unhealthy).await;
    assert_eq!(sick.status, ContainerStatus::Running, "the engine only reports it");
    assert_ne!(sick.health_log, "", "what the check said is kept");
    pass(1000).await;
    let later = look(bench, &id).await;
    assert_eq!((later.health, later.started_at), (Health::Unhealthy, sick.started_at));
}

async fn a_check_that_passes_late_makes_it_healthy_after_all(bench: &dyn Bench) {
    let id = started(bench, "web", App::HealthyAfter(2500)).await;
    until_health(bench, &id, Health::Unhealthy).await;
    until_health(bench, &id, Health::Healthy).await;
}

async fn a_stopped_container_is_down_whatever_its_last_health(bench: &dyn Bench) {
    let id = started(bench, "web", App::HealthyAfter(0)).await;
    until_health(bench, &id, Health::Healthy).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    let seen = look(bench, &id).await;
    assert_eq!(seen.status, ContainerStatus::Exited);
    assert!(matches!(seen.health, Health::Healthy | Health::Unhealthy), "{:?}", seen.health);
}

async fn a_disabled_check_reports_no_health(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::NeverHealthy).await;
    order.spec.healthcheck = Healthcheck::Disabled;
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    pass(1500).await;
    assert_eq!(look(bench, &id).await.health, Health::None);
}

async fn a_start_begins_with_starting(bench: &dyn Bench) {
    let id = started(bench, "web", App::HealthyAfter(1000)).await;
    assert_eq!(look(bench, &id).await.health, Health::Starting);
    until_health(bench, &id, Health::Healthy).await;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    assert_eq!(look(bench, &id).await.health, Health::Starting, "of an earlier run nothing counts");
}
