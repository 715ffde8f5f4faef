//! Where engines differ, measured: each claim of a profile of the simulated engine on the engine that it is named after.

use std::collections::BTreeSet;

use evenkeel::desired::spec::{Endpoint, NetworkMode, RestartPolicy};
use evenkeel::engine::sim::Profile;
use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, created, creation, join, kind, look, network, nobody, pass, started, until};

contract!(
    whether_two_networks_may_share_a_name_is_as_its_profile_says,
    whether_a_missing_network_is_noted_is_as_its_profile_says,
    whether_a_network_made_anew_can_be_joined_is_as_its_profile_says,
    what_a_rename_between_two_restarts_comes_to_is_as_its_profile_says,
    what_a_start_without_its_parent_comes_to_is_as_its_profile_says,
    whether_the_last_name_of_an_image_in_use_comes_off_is_as_its_profile_says,
    whether_a_paused_container_can_be_killed_is_as_its_profile_says,
    what_is_known_of_health_before_the_first_start_is_as_its_profile_says,
);

#[track_caller]
fn agrees<T: PartialEq + std::fmt::Debug>(profile: &Profile, claimed: T, measured: T) {
    assert_eq!(claimed, measured, "claimed and measured of {profile:?}");
}

async fn whether_two_networks_may_share_a_name_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let spec = network(bench, "twice");
    bench.engine().create_network(&spec, bench.project()).await.unwrap();
    agrees(&profile, profile.twin_networks, bench.foreign_network(&spec.name));
}

async fn whether_a_missing_network_is_noted_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &id);
    let web = engine.create(&order).await.unwrap();
    let noted = engine.connect(&nobody().0, &web, &Endpoint::default(), &BTreeSet::new()).await.is_ok();
    agrees(&profile, profile.notes_missing_networks, noted);
}

async fn whether_a_network_made_anew_can_be_joined_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let engine = bench.engine();
    let spec = network(bench, "default");
    let old = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &old);
    let web = engine.create(&order).await.unwrap();
    engine.start(&web).await.unwrap();
    engine.stop(&web, Some(1)).await.unwrap();
    engine.remove_network(&old).await.unwrap();
    let new = engine.create_network(&spec, bench.project()).await.unwrap();
    engine.disconnect(&new, &web).await.unwrap();
    engine.connect(&new, &web, &Endpoint::default(), &BTreeSet::new()).await.unwrap();
    agrees(&profile, profile.rejoins_a_network_made_anew, engine.start(&web).await.is_ok());
}

async fn what_a_rename_between_two_restarts_comes_to_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let id = created(bench, "web", App::Exits { after: 50, code: 1 }).await;
    bench.engine().set_restart(&id, RestartPolicy::Always).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    until(bench, &id, "has long pauses", |seen| {
        seen.restart_count >= 5 && seen.status == ContainerStatus::Restarting
    })
    .await;
    let renamed = bench.engine().rename(&id, &format!("{}-web-1.old", bench.project())).await;
    let after = look(bench, &id).await.status;
    bench.engine().stop(&id, Some(1)).await.unwrap();
    // Where it ran again before it was asked, nothing was measured.
    if after == ContainerStatus::Restarting {
        agrees(&profile, profile.rename_between_restarts, renamed.err().map(|error| error.kind));
    }
}

async fn what_a_start_without_its_parent_comes_to_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let mut order = creation(bench, "child", App::Serves).await;
    order.spec.network_mode = NetworkMode::Service(order.labels.service.service.clone());
    order.parent = Some(nobody());
    let child = bench.engine().create(&order).await.expect("nobody looks before the start");
    agrees(&profile, profile.start_without_parent, kind(bench.engine().start(&child).await));
}

async fn whether_the_last_name_of_an_image_in_use_comes_off_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let id = started(bench, "web", App::Serves).await;
    let image = look(bench, &id).await.image;
    let facts = bench.engine().inspect_image(&image.0).await.unwrap().unwrap();
    let [last] = facts.tags.as_slice() else { panic!("one name: {:?}", facts.tags) };
    let untagged = bench.engine().untag(last).await;
    agrees(&profile, profile.untags_the_last_name_in_use, untagged.is_ok());
    assert!(untagged.is_ok() || kind(untagged) == Failure::Conflict);
}

async fn whether_a_paused_container_can_be_killed_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let id = started(bench, "web", App::Serves).await;
    bench.docker_pause(&id);
    bench.docker_kill(&id);
    // What was killed is seen to have ended a moment later.
    for _ in 0..40 {
        if look(bench, &id).await.status == ContainerStatus::Exited {
            break;
        }
        pass(50).await;
    }
    let ended = look(bench, &id).await.status == ContainerStatus::Exited;
    agrees(&profile, profile.kills_what_is_paused, ended);
}

async fn what_is_known_of_health_before_the_first_start_is_as_its_profile_says(bench: &dyn Bench) {
    let profile = bench.profile().await;
    let id = created(bench, "web", App::HealthyAfter(0)).await;
    agrees(&profile, profile.health_before_the_first_start, look(bench, &id).await.health);
}
