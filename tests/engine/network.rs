//! Networks and volumes.

use std::collections::BTreeSet;

use evenkeel::desired::spec::{Endpoint, NetworkMode};
use evenkeel::state::observed::{ContainerStatus, label};
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, creation, join, kind, look, network, volume};

contract!(
    a_network_is_made_once_and_is_ours,
    a_network_of_somebody_else_keeps_its_name,
    two_networks_of_one_name_are_both_shown,
    a_network_in_use_is_not_removed,
    a_network_without_running_containers_is_removed,
    containers_join_and_leave_networks_while_they_run,
    a_container_joins_several_networks_with_its_service_as_alias,
    a_network_that_is_not_there_is_never_joined,
    a_running_container_cannot_join_a_network_that_is_not_there,
    network_modes_are_reported_as_asked_for,
    a_volume_is_made_once_and_is_ours,
    a_volume_of_somebody_else_keeps_its_name,
    what_is_external_is_never_made,
    the_engines_own_networks_stay,
    a_stopped_container_joins_and_leaves_networks_for_its_next_start,
    a_network_made_anew_is_joined_again_under_a_stopped_container,
    a_container_without_a_network_of_its_own_joins_none,
    whoever_made_a_network_a_volume_or_an_image_it_is_counted,
);

async fn whoever_made_a_network_a_volume_or_an_image_it_is_counted(bench: &dyn Bench) {
    let engine = bench.engine();
    let (ours, theirs) = (network(bench, "ours"), network(bench, "theirs"));
    engine.create_network(&ours, bench.project()).await.unwrap();
    assert!(bench.foreign_network(&theirs.name));
    let data = volume(bench, "data");
    engine.create_volume(&data, bench.project()).await.unwrap();
    let (image, _) = bench.image(App::Serves).await;
    let all = bench.counted().inventory().await.unwrap();
    assert!(all.images.contains(&image.id));
    for spec in [&ours, &theirs] {
        let named = engine.networks_named(&spec.name).await.unwrap();
        let counted: Vec<_> = all.networks.iter().filter(|found| found.name == spec.name).cloned().collect();
        assert_eq!(counted, named);
    }
    assert!(all.networks.iter().any(|found| found.name == "bridge"), "the engine's own are there, too");
    let counted = all.volumes.iter().find(|found| found.name == data.name).cloned();
    assert_eq!(counted, engine.volume(&data.name).await.unwrap());
}

async fn a_network_is_made_once_and_is_ours(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    assert_eq!(engine.create_network(&spec, bench.project()).await.unwrap(), id);
    let named = engine.networks_named(&spec.name).await.unwrap();
    let [one] = named.as_slice() else { panic!("one network: {named:?}") };
    assert_eq!((&one.id, one.driver.as_str()), (&id, "bridge"));
    assert_eq!(one.labels.get(label::OWNER).map(String::as_str), Some(bench.project()));
    assert_eq!(one.labels.get(label::COMPOSE_NETWORK).map(String::as_str), Some("default"));
    assert_eq!(engine.owned_networks(bench.project()).await.unwrap(), named);
    let part = format!("{}_defaul", bench.project());
    assert!(engine.networks_named(&part).await.unwrap().is_empty(), "a part of the name is another name");
}

async fn a_network_of_somebody_else_keeps_its_name(bench: &dyn Bench) {
    let spec = network(bench, "theirs");
    assert!(bench.foreign_network(&spec.name));
    let refused = kind(bench.engine().create_network(&spec, bench.project()).await);
    assert_eq!(refused, Failure::Conflict);
    assert!(bench.engine().owned_networks(bench.project()).await.unwrap().is_empty());
}

async fn two_networks_of_one_name_are_both_shown(bench: &dyn Bench) {
    let spec = network(bench, "twice");
    let id = bench.engine().create_network(&spec, bench.project()).await.unwrap();
    let second = bench.foreign_network(&spec.name);
    let named = bench.engine().networks_named(&spec.name).await.unwrap();
    // Engines before 24 allow it, later ones do not.
    assert_eq!(named.len(), if second { 2 } else { 1 });
    assert!(named.iter().any(|network| network.id == id));
    assert_eq!(
        bench.engine().create_network(&spec, bench.project()).await.unwrap(),
        id,
        "ours is still found"
    );
}

async fn a_network_in_use_is_not_removed(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &id);
    let web = engine.create(&order).await.unwrap();
    assert!(engine.networks_named(&spec.name).await.unwrap().iter().all(|one| one.containers.is_empty()));
    engine.start(&web).await.unwrap();
    let named = engine.networks_named(&spec.name).await.unwrap();
    assert!(named.iter().all(|one| one.containers == BTreeSet::from([web.clone()])), "{named:?}");
    assert_eq!(kind(engine.remove_network(&id).await), Failure::Conflict);
    assert_eq!(engine.networks_named(&spec.name).await.unwrap().len(), 1);
}

async fn a_network_without_running_containers_is_removed(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    engine.remove_network(&id).await.unwrap();
    assert!(engine.networks_named(&spec.name).await.unwrap().is_empty());
    engine.remove_network(&id).await.expect("what is gone is removed");
}

async fn containers_join_and_leave_networks_while_they_run(bench: &dyn Bench) {
    let engine = bench.engine();
    let (first, second) = (network(bench, "first"), network(bench, "second"));
    let first_id = engine.create_network(&first, bench.project()).await.unwrap();
    let second_id = engine.create_network(&second, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &first.name, &first_id);
    let web = engine.create(&order).await.unwrap();
    engine.start(&web).await.unwrap();
    let started = look(bench, &web).await.started_at;
    let aliases = BTreeSet::from(["web".to_owned(), "extra".to_owned()]);
    for _ in 0..2 {
        engine.connect(&second_id, &web, &Endpoint::default(), &aliases).await.unwrap();
    }
    let seen = look(bench, &web).await;
    let endpoint = seen.networks.get(&second.name).expect("joined");
    assert_eq!(endpoint.network_id, second_id);
    assert!(endpoint.aliases.is_superset(&aliases), "{:?}", endpoint.aliases);
    for _ in 0..2 {
        engine.disconnect(&second_id, &web).await.unwrap();
    }
    let seen = look(bench, &web).await;
    assert_eq!(seen.networks.keys().collect::<Vec<_>>(), [&first.name]);
    assert_eq!(seen.started_at, started, "no restart");
}

async fn a_container_joins_several_networks_with_its_service_as_alias(bench: &dyn Bench) {
    let engine = bench.engine();
    let mut order = creation(bench, "web", App::Serves).await;
    for key in ["one", "two", "three"] {
        let spec = network(bench, key);
        let id = engine.create_network(&spec, bench.project()).await.unwrap();
        join(&mut order, &spec.name, &id);
    }
    let extra = order.live.networks.get_mut(&network(bench, "two").name).unwrap();
    extra.aliases.insert("extra".to_owned());
    extra.priority = 10;
    let web = engine.create(&order).await.unwrap();
    let seen = look(bench, &web).await;
    let first = network(bench, "two").name;
    let known_as = [Some(&first), order.network_ids.get(&first)];
    assert!(known_as.contains(&Some(&seen.network_mode)), "highest priority first: {}", seen.network_mode);
    for (name, id) in &order.network_ids {
        let endpoint =
            seen.networks.get(name).unwrap_or_else(|| panic!("not in {name}: {:?}", seen.networks));
        assert!(endpoint.aliases.contains("web"), "{name}: {:?}", endpoint.aliases);
        // Before the first start an engine may know the endpoint by its name only.
        assert!(endpoint.network_id == *id || endpoint.network_id.is_empty(), "{name}: {endpoint:?}");
    }
    assert!(seen.networks.get(&network(bench, "two").name).unwrap().aliases.contains("extra"));
    engine.start(&web).await.unwrap();
    let seen = look(bench, &web).await;
    assert_eq!(seen.network_mode, first, "by its name as soon as it was started");
    for (name, id) in &order.network_ids {
        assert_eq!(seen.networks.get(name).map(|endpoint| &endpoint.network_id), Some(id));
    }
}

async fn a_network_that_is_not_there_is_never_joined(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &id);
    let web = engine.create(&order).await.unwrap();
    let nowhere = crate::bench::nobody().0;
    let join = async || engine.connect(&nowhere, &web, &Endpoint::default(), &BTreeSet::new()).await;
    // Noted for later while the container is down, on old engines.
    if join().await.is_ok() {
        assert_eq!(kind(engine.start(&web).await), Failure::NotFound);
        return;
    }
    engine.start(&web).await.unwrap();
    assert_eq!(kind(join().await), Failure::NotFound);
}

async fn a_running_container_cannot_join_a_network_that_is_not_there(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &id);
    let web = engine.create(&order).await.unwrap();
    engine.start(&web).await.unwrap();
    let nowhere = crate::bench::nobody().0;
    let refused = engine.connect(&nowhere, &web, &Endpoint::default(), &BTreeSet::new()).await;
    assert_eq!(kind(refused), Failure::NotFound);
    assert_eq!(look(bench, &web).await.networks.len(), 1);
}

async fn network_modes_are_reported_as_asked_for(bench: &dyn Bench) {
    for (service, mode, reported) in [
        ("bridged", NetworkMode::Bridge, ["default", "bridge"]),
        ("hosted", NetworkMode::Host, ["host", "host"]),
        ("alone", NetworkMode::None, ["none", "none"]),
    ] {
        let mut order = creation(bench, service, App::Serves).await;
        order.spec.network_mode = mode;
        let id = bench.engine().create(&order).await.unwrap();
        let seen = look(bench, &id).await;
        assert!(reported.contains(&seen.network_mode.as_str()), "{service}: {}", seen.network_mode);
    }
}

async fn a_volume_is_made_once_and_is_ours(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = volume(bench, "files");
    assert_eq!(engine.volume(&spec.name).await.unwrap(), None);
    for _ in 0..2 {
        engine.create_volume(&spec, bench.project()).await.unwrap();
    }
    let seen = engine.volume(&spec.name).await.unwrap().expect("made");
    assert_eq!((seen.name.as_str(), seen.driver.as_str()), (spec.name.as_str(), "local"));
    assert_eq!(seen.labels.get(label::OWNER).map(String::as_str), Some(bench.project()));
    assert_eq!(seen.labels.get(label::COMPOSE_VOLUME).map(String::as_str), Some("files"));
}

async fn a_volume_of_somebody_else_keeps_its_name(bench: &dyn Bench) {
    let spec = volume(bench, "theirs");
    bench.foreign_volume(&spec.name);
    assert_eq!(kind(bench.engine().create_volume(&spec, bench.project()).await), Failure::Conflict);
    let seen = bench.engine().volume(&spec.name).await.unwrap().expect("still there");
    assert_eq!(seen.labels.get(label::OWNER), None);
}

async fn what_is_external_is_never_made(bench: &dyn Bench) {
    let engine = bench.engine();
    let mut net = network(bench, "external");
    net.external = true;
    assert_eq!(kind(engine.create_network(&net, bench.project()).await), Failure::Invalid);
    assert!(engine.networks_named(&net.name).await.unwrap().is_empty());
    let mut files = volume(bench, "external");
    files.external = true;
    assert_eq!(kind(engine.create_volume(&files, bench.project()).await), Failure::Invalid);
    assert_eq!(engine.volume(&files.name).await.unwrap(), None);
}

async fn the_engines_own_networks_stay(bench: &dyn Bench) {
    for name in ["bridge", "host", "none"] {
        let named = bench.engine().networks_named(name).await.unwrap();
        let [one] = named.as_slice() else { panic!("one network {name}: {named:?}") };
        assert_eq!(kind(bench.engine().remove_network(&one.id).await), Failure::Conflict);
        assert_eq!(bench.engine().networks_named(name).await.unwrap().len(), 1);
    }
}

async fn a_stopped_container_joins_and_leaves_networks_for_its_next_start(bench: &dyn Bench) {
    let engine = bench.engine();
    let (first, second) = (network(bench, "first"), network(bench, "second"));
    let first_id = engine.create_network(&first, bench.project()).await.unwrap();
    let second_id = engine.create_network(&second, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &first.name, &first_id);
    let web = engine.create(&order).await.unwrap();
    engine.start(&web).await.unwrap();
    engine.stop(&web, Some(1)).await.unwrap();
    let aliases = BTreeSet::from(["web".to_owned()]);
    for _ in 0..2 {
        engine.connect(&second_id, &web, &Endpoint::default(), &aliases).await.unwrap();
    }
    assert_eq!(look(bench, &web).await.networks.keys().collect::<Vec<_>>(), [&first.name, &second.name]);
    for _ in 0..2 {
        engine.disconnect(&first_id, &web).await.unwrap();
    }
    engine.start(&web).await.unwrap();
    let seen = look(bench, &web).await;
    assert_eq!(seen.networks.keys().collect::<Vec<_>>(), [&second.name]);
    assert_eq!(seen.networks[&second.name].network_id, second_id);
    engine.remove_network(&first_id).await.unwrap();
    assert_eq!(kind(engine.remove_network(&second_id).await), Failure::Conflict);
}

async fn a_network_made_anew_is_joined_again_under_a_stopped_container(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let old = engine.create_network(&spec, bench.project()).await.unwrap();
    let mut order = creation(bench, "web", App::Serves).await;
    join(&mut order, &spec.name, &old);
    let web = engine.create(&order).await.unwrap();
    engine.start(&web).await.unwrap();
    engine.stop(&web, Some(1)).await.unwrap();
    engine.remove_network(&old).await.expect("a stopped container does not hold it");
    let new = engine.create_network(&spec, bench.project()).await.unwrap();
    assert_eq!(kind(engine.start(&web).await), Failure::NotFound, "the name alone does not help");
    assert_eq!(look(bench, &web).await.status, ContainerStatus::Exited);
    kind(engine.disconnect(&old, &web).await);
    // It is on it by its name, and so leaves it by the id of the new one.
    engine.disconnect(&new, &web).await.unwrap();
    assert!(look(bench, &web).await.networks.is_empty());
    engine.connect(&new, &web, &Endpoint::default(), &BTreeSet::new()).await.unwrap();
    // Later engines also remember the id of its first network, and need it for ever.
    match engine.start(&web).await {
        Ok(()) => assert_eq!(look(bench, &web).await.networks[&spec.name].network_id, new),
        Err(error) => assert_eq!(error.kind, Failure::NotFound),
    }
}

async fn a_container_without_a_network_of_its_own_joins_none(bench: &dyn Bench) {
    let engine = bench.engine();
    let spec = network(bench, "default");
    let id = engine.create_network(&spec, bench.project()).await.unwrap();
    let parent = crate::bench::started(bench, "parent", App::Serves).await;
    for mode in ["host", "none", "container"] {
        let mut order = creation(bench, mode, App::Serves).await;
        order.spec.environment.insert(
            "PORT".to_owned(),
            Some(evenkeel::desired::secret::Sensitive::new(bench.free_port().to_string())),
        );
        order.spec.network_mode = match mode {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            _ => NetworkMode::Service(order.labels.service.service.clone()),
        };
        order.parent = (mode == "container").then(|| parent.clone());
        let alone = engine.create(&order).await.unwrap();
        engine.start(&alone).await.unwrap();
        let before = look(bench, &alone).await.networks;
        let refused = kind(engine.connect(&id, &alone, &Endpoint::default(), &BTreeSet::new()).await);
        assert!(
            matches!(refused, Failure::Invalid | Failure::Conflict | Failure::Internal),
            "{mode}: {refused:?}"
        );
        assert_eq!(look(bench, &alone).await.networks, before);
    }
}
