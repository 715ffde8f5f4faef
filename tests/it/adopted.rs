//! What stands between the controller and an engine passes every call on: a method with a default would otherwise be lost without a word.

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
