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
    one_that_falls_ill_is_unhealthy_after_its_retries,
    within_its_start_period_failures_do_not_count_and_a_success_does,
    the_check_of_an_image_is_inherited_and_can_be_turned_off,
    before_its_first_start_nothing_is_known_of_its_health,
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

async fn one_that_falls_ill_is_unhealthy_after_its_retries(bench: &dyn Bench) {
    let id = started(bench, "web", App::AilsAfter(1500)).await;
    until_health(bench, &id, Health::Healthy).await;
    let sick = until_health(bench, &id, Health::Unhealthy).await;
    assert_eq!((sick.status, sick.restart_count), (ContainerStatus::Running, 0));
}

async fn within_its_start_period_failures_do_not_count_and_a_success_does(bench: &dyn Bench) {
    let patient = async |service: &str, app: App| {
        let mut order = creation(bench, service, app).await;
        let Healthcheck::Set(check) = &mut order.spec.healthcheck else { panic!("it is checked") };
        check.start_period = Some(600_000_000_000);
        let id = bench.engine().create(&order).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        id
    };
    let never = patient("never", App::NeverHealthy).await;
    let soon = patient("soon", App::HealthyAfter(500)).await;
    until_health(bench, &soon, Health::Healthy).await;
    // More looks than it has retries.
    pass(2000).await;
    assert_eq!(look(bench, &never).await.health, Health::Starting);
}

async fn the_check_of_an_image_is_inherited_and_can_be_turned_off(bench: &dyn Bench) {
    let image = bench.image_with_declarations().await;
    assert!(image.has_healthcheck);
    for (service, check, expected) in [
        ("inherits", Healthcheck::Inherit, Health::Healthy),
        ("without", Healthcheck::Disabled, Health::None),
    ] {
        let mut order = creation(bench, service, App::Serves).await;
        (order.image, order.spec.healthcheck) = (image.clone(), check);
        order.spec.image = image.tags[0].clone();
        let id = bench.engine().create(&order).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        until_health(bench, &id, expected).await;
    }
}

async fn before_its_first_start_nothing_is_known_of_its_health(bench: &dyn Bench) {
    let order = creation(bench, "web", App::HealthyAfter(0)).await;
    let id = bench.engine().create(&order).await.unwrap();
    let seen = look(bench, &id).await;
    assert!(matches!(seen.health, Health::None | Health::Starting), "{:?}", seen.health);
}
