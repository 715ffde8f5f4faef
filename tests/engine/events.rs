//! Events, logs and facts.

use std::time::Duration;

use evenkeel::engine::{EventKind, LogOptions};
use evenkeel::state::observed::label;
use futures_util::StreamExt;

use crate::bench::{App, Bench, created, creation, network, nobody, pass, started};

contract!(
    what_happens_to_a_container_is_told_with_its_labels,
    what_happens_to_a_network_is_told,
    output_of_a_container_is_read,
    the_log_of_nobody_is_an_error,
    the_engine_says_who_it_is,
);

async fn what_happens_to_a_container_is_told_with_its_labels(bench: &dyn Bench) {
    let mut events = bench.engine().events().await.unwrap();
    let order = creation(bench, "web", App::Serves).await;
    let id = bench.engine().create(&order).await.unwrap();
    bench.engine().start(&id).await.unwrap();
    bench.engine().stop(&id, Some(1)).await.unwrap();
    bench.engine().remove(&id, false).await.unwrap();
    // In whatever order, among whatever else, and for others too.
    let mut missing = vec!["create", "start", "die", "stop", "destroy"];
    while !missing.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        let event = next.unwrap_or_else(|_| panic!("never told: {missing:?}")).expect("goes on").unwrap();
        if event.kind == EventKind::Container && event.object == id.0 {
            missing.retain(|action| *action != event.action);
            assert_eq!(event.attributes.get(label::OWNER).map(String::as_str), Some(bench.project()));
            assert_eq!(event.attributes.get(label::SERVICE).map(String::as_str), Some("web"));
        }
    }
}

async fn what_happens_to_a_network_is_told(bench: &dyn Bench) {
    let mut events = bench.engine().events().await.unwrap();
    let spec = network(bench, "default");
    let id = bench.engine().create_network(&spec, bench.project()).await.unwrap();
    bench.engine().remove_network(&id).await.unwrap();
    let mut missing = vec!["create", "destroy"];
    while !missing.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        let event = next.unwrap_or_else(|_| panic!("never told: {missing:?}")).expect("goes on").unwrap();
        if event.kind == EventKind::Network && (event.object == spec.name || event.object == id) {
            missing.retain(|action| *action != event.action);
        }
    }
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
