//! What `create` makes and what it refuses; inspect and list.

use std::collections::BTreeMap;

use evenkeel::desired::spec::{Mount, MountSource, NetworkMode, RestartPolicy};
use evenkeel::engine::ContainerFilter;
use evenkeel::state::observed::{ContainerStatus, Health, ImageId, label};
use evenkeel::state::plan::Failure;
use futures_util::future::join_all;

use crate::bench::{App, Bench, created, creation, kind, look, nobody, pass, started};

contract!(
    a_created_container_is_as_ordered_and_has_no_restart_policy_yet,
    a_name_is_taken_by_whoever_comes_first,
    creating_the_very_same_again_finds_what_a_lost_answer_made,
    of_eight_that_want_one_name_at_once_one_gets_it,
    an_image_that_is_gone_is_not_found,
    a_name_the_engine_does_not_take_is_invalid,
    the_list_selects_by_labels_and_shows_every_state,
    a_container_of_somebody_else_is_listed_but_not_looked_into,
    inspect_says_that_nothing_is_there,
    named_and_anonymous_volumes_are_made_and_can_be_handed_over,
    the_namespace_of_a_container_that_is_down_cannot_be_joined,
    the_namespace_of_a_running_container_is_joined_by_its_id,
    the_namespace_of_nobody_is_joined_by_nobody,
    a_network_that_was_gone_before_the_creation_fails_it_or_the_start,
    the_volume_of_an_image_is_made_unless_something_else_is_there,
    the_newest_container_is_listed_first,
);

async fn a_created_container_is_as_ordered_and_has_no_restart_policy_yet(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::Serves).await;
    order.live.restart = RestartPolicy::Always;
    let id = bench.engine().create(&order).await.unwrap();
    assert_eq!(id.0.len(), 64);
    let seen = look(bench, &id).await;
    assert_eq!(seen.id, id);
    assert_eq!(seen.name, order.name);
    assert_eq!(seen.labels, order.labels);
    assert_eq!(seen.image, order.image.id);
    assert_eq!(seen.status, ContainerStatus::Created);
    assert_eq!(seen.restart, RestartPolicy::No, "until its gate has passed");
    assert_eq!((seen.started_at, seen.restart_count, seen.exit_code), (None, 0, 0));
    assert_eq!(seen.health, Health::None);
    assert_eq!(seen.network_mode, "none");
    assert_eq!(seen.stop_timeout, Some(3));
    assert_eq!(seen.error, "");
}

async fn a_name_is_taken_by_whoever_comes_first(bench: &dyn Bench) {
    let first = creation(bench, "web", App::Serves).await;
    let id = bench.engine().create(&first).await.unwrap();
    let mut second = first.clone();
    second.labels.slot = 2;
    assert_eq!(kind(bench.engine().create(&second).await), Failure::Conflict);
    let foreign = format!("{}-foreign-1", bench.project());
    bench.foreign_container(&foreign);
    let mut third = first.clone();
    third.name = foreign;
    assert_eq!(kind(bench.engine().create(&third).await), Failure::Conflict);
    assert_eq!(look(bench, &id).await.labels.slot, 1);
}

async fn creating_the_very_same_again_finds_what_a_lost_answer_made(bench: &dyn Bench) {
    let order = creation(bench, "web", App::Serves).await;
    let first = bench.engine().create(&order).await.unwrap();
    assert_eq!(bench.engine().create(&order).await.unwrap(), first);
    bench.engine().start(&first).await.unwrap();
    assert_eq!(bench.engine().create(&order).await.unwrap(), first, "started meanwhile or not");
}

async fn of_eight_that_want_one_name_at_once_one_gets_it(bench: &dyn Bench) {
    let base = creation(bench, "web", App::Serves).await;
    let orders: Vec<_> = (1..=8)
        .map(|slot| {
            let mut order = base.clone();
            order.labels.slot = slot;
            order
        })
        .collect();
    let answers = join_all(orders.iter().map(|order| bench.engine().create(order))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 7));
    for answer in refused {
        // The name may be taken by what nobody can look at yet.
        let kind = kind(answer);
        assert!(matches!(kind, Failure::Conflict | Failure::InProgress), "{kind:?}");
    }
}

async fn an_image_that_is_gone_is_not_found(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::Serves).await;
    order.image.id = ImageId(format!("sha256:{}", nobody().0));
    order.image.tags.clear();
    order.spec.image = format!("{}/nothing:1", bench.project());
    assert_eq!(kind(bench.engine().create(&order).await), Failure::NotFound);
}

async fn a_name_the_engine_does_not_take_is_invalid(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::Serves).await;
    order.name = format!("{}-web!", bench.project());
    assert_eq!(kind(bench.engine().create(&order).await), Failure::Invalid);
}

async fn the_list_selects_by_labels_and_shows_every_state(bench: &dyn Bench) {
    let running = started(bench, "running", App::Serves).await;
    let waiting = created(bench, "waiting", App::Serves).await;
    let owner = (label::OWNER.to_owned(), bench.project().to_owned());
    let list = async |more: Option<(&str, &str)>| {
        let mut labels = BTreeMap::from([owner.clone()]);
        labels.extend(more.map(|(key, value)| (key.to_owned(), value.to_owned())));
        bench
            .engine()
            .list_containers(&ContainerFilter { labels, ..ContainerFilter::default() })
            .await
            .unwrap()
    };
    let all = list(None).await;
    assert_eq!(all.len(), 2);
    let one = list(Some((label::SERVICE, "running"))).await;
    let [row] = one.as_slice() else { panic!("one container of this service: {one:?}") };
    assert_eq!((&row.id, row.status), (&running, ContainerStatus::Running));
    assert_eq!(row.names, [format!("{}-running-1", bench.project())]);
    assert_eq!(row.labels.get("org.example.kept").map(String::as_str), Some("yes"));
    assert_eq!(row.labels.get(label::COMPOSE_SERVICE).map(String::as_str), Some("running"));
    let other = all.iter().find(|row| row.id == waiting).unwrap();
    assert_eq!(other.status, ContainerStatus::Created);
    assert!(list(Some((label::SERVICE, "none"))).await.is_empty());
}

async fn a_container_of_somebody_else_is_listed_but_not_looked_into(bench: &dyn Bench) {
    let name = format!("{}-foreign-1", bench.project());
    bench.foreign_container(&name);
    let all = bench.engine().list_containers(&ContainerFilter::default()).await.unwrap();
    let row = all.iter().find(|row| row.names.contains(&name)).expect("an unfiltered list shows everything");
    assert_eq!(kind(bench.engine().inspect(&row.id).await), Failure::Conflict);
}

async fn inspect_says_that_nothing_is_there(bench: &dyn Bench) {
    assert_eq!(bench.engine().inspect(&nobody()).await.unwrap(), None);
}

async fn named_and_anonymous_volumes_are_made_and_can_be_handed_over(bench: &dyn Bench) {
    let engine = bench.engine();
    let mut order = creation(bench, "web", App::Serves).await;
    let named = format!("{}_named", bench.project());
    let mount = |name: Option<&str>| Mount {
        source: MountSource::Volume {
            name: name.map(str::to_owned),
            key: None,
            no_copy: false,
            subpath: None,
            labels: BTreeMap::new(),
        },
        read_only: false,
    };
    order.spec.mounts =
        BTreeMap::from([("/named".to_owned(), mount(Some(&named))), ("/anonymous".to_owned(), mount(None))]);
    let first = engine.create(&order).await.unwrap();
    let before = look(bench, &first).await.volumes;
    assert_eq!(before.get("/named"), Some(&named));
    let anonymous = before.get("/anonymous").expect("an anonymous volume has a name too").clone();
    assert!(engine.volume(&anonymous).await.unwrap().is_some());
    engine.remove(&first, false).await.unwrap();
    assert!(engine.volume(&named).await.unwrap().is_some(), "removing a container keeps its volumes");
    assert!(engine.volume(&anonymous).await.unwrap().is_some(), "the anonymous ones too");
    order.inherited = BTreeMap::from([("/anonymous".to_owned(), anonymous.clone())]);
    let second = engine.create(&order).await.unwrap();
    assert_eq!(look(bench, &second).await.volumes, before, "the successor has the very same volumes");
}

async fn the_namespace_of_a_container_that_is_down_cannot_be_joined(bench: &dyn Bench) {
    let parent = created(bench, "parent", App::Serves).await;
    let mut order = creation(bench, "child", App::Serves).await;
    order.spec.network_mode = NetworkMode::Service(order.labels.service.service.clone());
    order.parent = Some(parent);
    let child = bench.engine().create(&order).await.unwrap();
    let refused = kind(bench.engine().start(&child).await);
    assert!(
        matches!(refused, Failure::Conflict | Failure::Invalid | Failure::Internal | Failure::NotFound),
        "{refused:?}"
    );
    assert!(!look(bench, &child).await.status.is_up());
}

async fn the_namespace_of_a_running_container_is_joined_by_its_id(bench: &dyn Bench) {
    let parent = started(bench, "parent", App::Serves).await;
    let mut order = creation(bench, "child", App::Serves).await;
    order.spec.environment.insert("PORT".to_owned(), Some(evenkeel::desired::secret::Sensitive::new("8081")));
    order.spec.network_mode = NetworkMode::Service(order.labels.service.service.clone());
    order.parent = Some(parent.clone());
    let child = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&child).await.unwrap();
    assert_eq!(look(bench, &child).await.network_mode, format!("container:{}", parent.0));
}

async fn the_namespace_of_nobody_is_joined_by_nobody(bench: &dyn Bench) {
    let mut order = creation(bench, "child", App::Serves).await;
    order.spec.network_mode = NetworkMode::Service(order.labels.service.service.clone());
    order.parent = Some(nobody());
    // Some look at once, others when it starts.
    let refused = match bench.engine().create(&order).await {
        Ok(child) => {
            let refused = bench.engine().start(&child).await;
            assert!(!look(bench, &child).await.status.is_up());
            refused.map(drop)
        }
        Err(error) => Err(error),
    };
    let refused = kind(refused);
    assert!(matches!(refused, Failure::NotFound | Failure::Internal), "{refused:?}");
}

async fn a_network_that_was_gone_before_the_creation_fails_it_or_the_start(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::Serves).await;
    crate::bench::join(&mut order, &format!("{}_gone", bench.project()), &nobody().0);
    let refused = match bench.engine().create(&order).await {
        Ok(id) => bench.engine().start(&id).await,
        Err(error) => Err(error),
    };
    assert_eq!(kind(refused), Failure::NotFound);
}

async fn the_volume_of_an_image_is_made_unless_something_else_is_there(bench: &dyn Bench) {
    let image = bench.image_with_declarations().await;
    assert_eq!(image.volumes.iter().collect::<Vec<_>>(), ["/data"]);
    let of = async |service: &str, change: &dyn Fn(&mut evenkeel::state::plan::Creation)| {
        let mut order = creation(bench, service, App::Serves).await;
        (order.image, order.spec.image) = (image.clone(), image.tags[0].clone());
        change(&mut order);
        let id = bench.engine().create(&order).await.unwrap();
        look(bench, &id).await.volumes
    };
    let anonymous = of("plain", &|_| {}).await.remove("/data").expect("made for it");
    assert_eq!(bench.engine().volume(&anonymous).await.unwrap().unwrap().name, anonymous);
    let handed = of("heir", &|order| {
        order.inherited = BTreeMap::from([("/data".to_owned(), anonymous.clone())]);
    })
    .await;
    assert_eq!(handed.get("/data"), Some(&anonymous));
    let none = of("tmpfs", &|order| {
        order.spec.tmpfs.insert("/data".to_owned(), Default::default());
    })
    .await;
    assert_eq!(none.get("/data"), None, "a tmpfs there needs no volume");
    let named = format!("{}_named", bench.project());
    let instead = of("named", &|order| {
        let source = MountSource::Volume {
            name: Some(named.clone()),
            key: None,
            no_copy: false,
            subpath: None,
            labels: BTreeMap::new(),
        };
        order.spec.mounts.insert("/data".to_owned(), Mount { source, read_only: false });
    })
    .await;
    assert_eq!(instead, BTreeMap::from([("/data".to_owned(), named)]));
}

async fn the_newest_container_is_listed_first(bench: &dyn Bench) {
    let mut made = Vec::new();
    for service in ["one", "two", "three"] {
        made.insert(0, created(bench, service, App::Serves).await);
        // The engine's list sorts by whole seconds.
        pass(1100).await;
    }
    let labels = BTreeMap::from([(label::OWNER.to_owned(), bench.project().to_owned())]);
    let list = bench
        .engine()
        .list_containers(&ContainerFilter { labels, ..ContainerFilter::default() })
        .await
        .unwrap();
    assert_eq!(list.into_iter().map(|row| row.id).collect::<Vec<_>>(), made);
}
