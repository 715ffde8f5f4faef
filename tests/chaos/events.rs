//! The engine's events lost for ever, cut each second, and drowned in a thousand lines a second that say nothing.

use std::time::Duration;

use crate::proxy::Events;
use crate::scene::Scene;
use crate::support::docker::docker;
use crate::support::files::{checked, plain};
use crate::support::machine;
use crate::support::wait::free_port;

/// An update with a health check, one that must run undisturbed for longer than a cut stream lasts, and a repair.
fn lives_with(events: Events, what: &str) {
    let Some(scene) = Scene::with(&machine::socket(), &[("EVENKEEL_INTERVALS_RESYNC", "5s")]) else {
        return;
    };
    let port = free_port();
    let (one, two) = (scene.host.image("1.0", &[], &[]), scene.host.image("1.1", &[], &[]));
    let files = |image: &str| {
        let monitored = plain("monitored", image, "").replace("monitor = \"1s\"", "monitor = \"3s\"");
        scene.host.write("app.toml", &(checked("web", image, port, "") + &monitored));
    };
    scene.checker.promise(|promises| promises.exclusive.extend(["web", "monitored"].map(str::to_owned)));
    scene.add_strangers();
    files(&one);
    scene.becomes_ready("web", &one, 0);
    scene.becomes_ready("monitored", &one, 0);
    let serving = scene.serves_alone("web", &one, "unless-stopped");
    let die = serde_json::json!({
        "Type": "container", "Action": "die", "status": "die", "id": serving.id, "time": 1, "timeNano": 1,
        "Actor": { "ID": serving.id, "Attributes": serving.json["Config"]["Labels"] },
    });
    scene.proxy.flood_line(&die.to_string());
    scene.proxy.events(events);

    let before = [scene.number("web"), scene.number("monitored")];
    files(&two);
    scene.becomes_ready("web", &two, before[0]);
    scene.becomes_ready("monitored", &two, before[1]);
    let web = scene.serves_alone("web", &two, "unless-stopped");
    let monitored = scene.serves_alone("monitored", &two, "unless-stopped");
    // Killed from outside: found without a word from the engine.
    docker(&["kill", &monitored.id]);
    scene.reaches("it runs again", || {
        scene.host.serving("monitored").is_some_and(|seen| seen.id == monitored.id)
    });
    let after = scene.serves_alone("web", &two, "unless-stopped");
    assert_eq!(
        (&after.id, after.started_at()),
        (&web.id, web.started_at()),
        "nothing was done to it for nothing"
    );
    scene.finish(what);
}

#[test]
fn events_that_never_come_are_made_good_by_looking() {
    lives_with(Events::Swallow, "events lost for ever");
}

#[test]
fn an_event_stream_that_is_cut_each_second_holds_nothing_up() {
    lives_with(Events::CutAfter(Duration::from_secs(1)), "events cut each second");
}

#[test]
fn a_flood_of_events_holds_nothing_up() {
    lives_with(Events::Flood(1000), "a thousand events a second");
}
