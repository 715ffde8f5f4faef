//! What stands between the controller and an engine passes every call on: a method with a default would otherwise be lost without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel::controller::apply::{Application, apply};
use evenkeel::engine::adopted::{Adopted, Shared};
use evenkeel::state::observed::ContainerId;
use evenkeel::state::register::Register;

use crate::rig::{Rig, loaded, shop};

const TRAITS: &str = include_str!("../../src/engine/mod.rs");

fn methods(text: &str) -> Vec<&str> {
    let name = |line: &str| -> Option<usize> { line.trim_start().starts_with("async fn ").then_some(0) };
    text.lines()
        .filter(|line| name(line).is_some())
        .filter_map(|line| line.trim_start().strip_prefix("async fn ")?.split(['(', '<']).next())
        .collect()
}

#[test]
fn every_call_reaches_the_engine_through_every_layer() {
    let all = methods(TRAITS);
    assert!(all.len() > 20, "{all:?}");
    for (layer, text) in [
        ("engine/adopted.rs", include_str!("../../src/engine/adopted.rs")),
        ("controller/measured.rs", include_str!("../../src/controller/measured.rs")),
    ] {
        let passed_on = methods(text);
        // To count up is for saved observations, which no measured engine makes.
        let lost: Vec<&&str> =
            all.iter().filter(|name| **name != "inventory" && !passed_on.contains(*name)).collect();
        assert!(lost.is_empty(), "{layer} does not pass on {lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_adopted_is_forgotten_when_its_container_is_gone_for_good() {
    let rig = Rig::new();
    let text = "[services.web]\nimage = 'web:1'\n";
    rig.apply(text).await;
    let here = rig.sim.with(|host| host.named("shop-web-1").unwrap().clone());
    let gone = |digit: &str| ContainerId(digit.repeat(64));
    let register = Register {
        containers: [here.id.clone(), gone("a")].map(|id| (id, here.own.clone().unwrap())).into(),
        released_containers: BTreeSet::from([gone("b")]),
        networks: BTreeMap::from([("n1".to_owned(), BTreeMap::new())]),
        ..Register::default()
    };
    let shared = Shared::new(register.clone());
    let mut parts = rig.parts();
    parts.engine = Arc::new(Adopted::new(rig.sim.clone(), shared.clone()));
    let application = Application {
        desired: loaded(&shop(text)),
        only: BTreeSet::new(),
        deadline_ms: 600_000,
        consent: None,
        unchanged: Box::new(|| true),
    };
    apply(parts, application).await.unwrap();
    let left = shared.get();
    assert_eq!(left.containers.keys().collect::<Vec<_>>(), [&here.id], "what is there stays adopted");
    assert!(left.released_containers.is_empty());
    assert_eq!(left.networks, register.networks);
}
