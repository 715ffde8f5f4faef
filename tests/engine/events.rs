//! Events, logs and facts.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel::desired::spec::{Endpoint, Resources, RestartPolicy};
use evenkeel::engine::{EngineEvent, EventKind, LogOptions};
use evenkeel::state::observed::{ContainerId, label};
use futures_util::StreamExt;

use crate::bench::{App, Bench, MEMORY, created, creation, join, network, nobody, pass, started, volume};

contract!(
    what_happens_to_a_container_is_told_with_its_labels,
    what_is_changed_on_a_container_is_told,
    a_turn_of_health_is_told,
    an_end_for_want_of_memory_is_told,
    what_happens_to_a_network_is_told,
    what_happens_to_an_image_is_told,
    a_pull_is_told,
    a_new_volume_is_told,
    output_of_a_container_is_read,
    output_of_one_that_ended_is_kept_and_adds_up_over_its_starts,
    output_that_is_followed_ends_with_the_container,
    the_log_of_nobody_is_an_error,
    the_engine_says_who_it_is,
);

/// Listens from now on, does something, and waits until all of it was told, in whatever order and among whatever else.
async fn told<T>(
    bench: &dyn Bench,
    kind: EventKind,
    actions: &[&'static str],
    act: impl AsyncFnOnce() -> T,
    about: impl Fn(&T, &EngineEvent) -> bool,
) -> Vec<EngineEvent> {
    let mut events = bench.engine().events().await.unwrap();
    let made = act().await;
    let mut missing = actions.to_vec();
    let mut found = Vec::new();
    while !missing.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        let event = next.unwrap_or_else(|_| panic!("never told: {missing:?}")).expect("goes on").unwrap();
        if event.kind == kind && about(&made, &event) {
            missing.retain(|action| *action != event.action);
            found.push(event);
        }
    }
    found
}

fn of_it(id: &ContainerId, event: &EngineEvent) -> bool {
    event.object == id.0
}

async fn what_happens_to_a_container_is_told_with_its_labels(bench: &dyn Bench) {
    let order = creation(bench, "web", App::Serves).await;
    let act = async || {
        let id = bench.engine().create(&order).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        bench.engine().stop(&id, Some(1)).await.unwrap();
        bench.engine().remove(&id, false).await.unwrap();
        id
    };
    let actions = ["create", "start", "die", "stop", "destroy"];
    for event in told(bench, EventKind::Container, &actions, act, of_it).await {
        assert_eq!(event.attributes.get(label::OWNER).map(String::as_str), Some(bench.project()));
        assert_eq!(event.attributes.get(label::SERVICE).map(String::as_str), Some("web"));
    }
}

async fn what_is_changed_on_a_container_is_told(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let act = async || {
        let name = format!("{}-web-1.old", bench.project());
        bench.engine().rename(&id, &name).await.unwrap();
        bench.engine().set_restart(&id, RestartPolicy::Always).await.unwrap();
        bench.docker_pause(&id);
        bench.docker_unpause(&id);
        bench.docker_kill(&id);
        id.clone()
    };
    let actions = ["rename", "update", "pause", "unpause", "kill", "die"];
    told(bench, EventKind::Container, &actions, act, of_it).await;
}

async fn a_turn_of_health_is_told(bench: &dyn Bench) {
    let act = async || started(bench, "web", App::HealthyAfter(0)).await;
    told(bench, EventKind::Container, &["health_status"], act, of_it).await;
}

async fn an_end_for_want_of_memory_is_told(bench: &dyn Bench) {
    let mut order = creation(bench, "web", App::EatsMemory).await;
    order.live.resources =
        Resources { memory: Some(MEMORY), memory_swap: i64::try_from(MEMORY).ok(), ..Resources::default() };
    let act = async || {
        let id = bench.engine().create(&order).await.unwrap();
        bench.engine().start(&id).await.unwrap();
        id
    };
    told(bench, EventKind::Container, &["oom", "die"], act, of_it).await;
}

async fn what_happens_to_a_network_is_told(bench: &dyn Bench) {
    let spec = network(bench, "default");
    let act = async || {
        let engine = bench.engine();
        let id = engine.create_network(&spec, bench.project()).await.unwrap();
        let mut order = creation(bench, "web", App::Serves).await;
        join(&mut order, &spec.name, &id);
        let web = engine.create(&order).await.unwrap();
        engine.start(&web).await.unwrap();
        engine.disconnect(&id, &web).await.unwrap();
        engine.connect(&id, &web, &Endpoint::default(), &BTreeSet::new()).await.unwrap();
        engine.stop(&web, Some(1)).await.unwrap();
        engine.remove_network(&id).await.unwrap();
        id
    };
    let actions = ["create", "connect", "disconnect", "destroy"];
    let of_it = |id: &String, event: &EngineEvent| event.object == spec.name || event.object == *id;
    told(bench, EventKind::Network, &actions, act, of_it).await;
}

async fn what_happens_to_an_image_is_told(bench: &dyn Bench) {
    let (image, _) = bench.image(App::Serves).await;
    let repository = format!("evenkeel/{}-web", bench.project());
    let act = async || {
        bench.engine().tag(&image.id, &repository, "0a1b2c3d").await.unwrap();
        bench.engine().untag(&format!("{repository}:0a1b2c3d")).await.unwrap();
        for reference in &image.tags {
            bench.engine().untag(reference).await.unwrap();
        }
    };
    told(bench, EventKind::Image, &["tag", "untag", "delete"], act, |(), event| {
        event.object == image.id.0 || event.object.starts_with(&repository)
    })
    .await;
}

async fn a_pull_is_told(bench: &dyn Bench) {
    bench.image(App::Serves).await;
    let Some(mut registry) = bench.registry() else { return };
    let reference = registry.publish("web", "1", "one");
    let act = async || bench.engine().pull(&reference, None, &|_| {}).await.unwrap();
    let of_it = |_: &_, event: &EngineEvent| event.object == reference;
    told(bench, EventKind::Image, &["pull"], act, of_it).await;
}

async fn a_new_volume_is_told(bench: &dyn Bench) {
    let spec = volume(bench, "files");
    let act = async || bench.engine().create_volume(&spec, bench.project()).await.unwrap();
    told(bench, EventKind::Volume, &["create"], act, |(), event| event.object == spec.name).await;
}

async fn output_of_a_container_is_read(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let read = async |options: LogOptions| {
        let chunks: Vec<_> = bench.engine().logs(&id, &options).await.unwrap().collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().bytes.to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    };
    let mut all = String::new();
    for _ in 0..100 {
        all = read(LogOptions::default()).await;
        if !all.is_empty() {
            break;
        }
        pass(50).await;
    }
    assert!(all.contains("serves port"), "{all:?}");
    assert_eq!(read(LogOptions { tail: Some(0), ..LogOptions::default() }).await, "");
    let stamped = read(LogOptions { timestamps: true, tail: Some(1), ..LogOptions::default() }).await;
    assert!(stamped.starts_with("20") && stamped.contains("serves port"), "{stamped:?}");
}

async fn the_log_of_nobody_is_an_error(bench: &dyn Bench) {
    created(bench, "web", App::Serves).await;
    let log = bench.engine().logs(&nobody(), &LogOptions::default()).await;
    let told = match log {
        Err(error) => Some(error.kind),
        Ok(mut chunks) => chunks.next().await.and_then(Result::err).map(|error| error.kind),
    };
    assert_eq!(told, Some(evenkeel::state::plan::Failure::NotFound));
}

async fn the_engine_says_who_it_is(bench: &dyn Bench) {
    let facts = bench.engine().facts().await.unwrap();
    assert!(!facts.version.is_empty() && !facts.id.is_empty() && !facts.os.is_empty());
    assert!(facts.api >= (1, 40), "{:?}", facts.api);
    assert_eq!(bench.engine().facts().await.unwrap().id, facts.id);
}

async fn read(bench: &dyn Bench, id: &ContainerId, options: LogOptions) -> String {
    let chunks: Vec<_> = bench.engine().logs(id, &options).await.unwrap().collect().await;
    let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

async fn output_of_one_that_ended_is_kept_and_adds_up_over_its_starts(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    for starts in 1..=2 {
        let mut said = 0;
        while said < starts {
            pass(50).await;
            said = read(bench, &id, LogOptions::default()).await.matches("serves port").count();
        }
        bench.engine().stop(&id, Some(1)).await.unwrap();
        let all = read(bench, &id, LogOptions::default()).await;
        assert_eq!(all.matches("serves port").count(), starts, "{all}");
        bench.engine().start(&id).await.unwrap();
    }
    let future = LogOptions { since: Some(4_000_000_000), ..LogOptions::default() };
    assert_eq!(read(bench, &id, future).await, "", "nothing since then");
}

async fn output_that_is_followed_ends_with_the_container(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    bench.ready(&id).await;
    let followed = read(bench, &id, LogOptions { follow: true, ..LogOptions::default() });
    let stop = async {
        pass(300).await;
        bench.engine().stop(&id, Some(1)).await.unwrap();
    };
    let both = futures_util::future::join(followed, stop);
    let (all, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
    assert!(all.contains("serves port"), "{all}");
}
