//! The engine's disk full: before an update, and between the stop of the old one and the start of the new one.

use crate::proxy::{At, Moment, Verdict};
use crate::scene::{Scene, image_id};
use crate::support::docker::inspect;
use crate::support::files::checked;
use crate::support::private_engine::PrivateEngine;

const MEGABYTES: u32 = 160;

fn ready() -> Option<(Scene, PrivateEngine, String, String)> {
    let engine = PrivateEngine::start_on_small_disk(MEGABYTES)?;
    let scene = Scene::new(&engine.socket())?;
    let (one, two) = (scene.host.image("1.0", &[], &[]), scene.host.image("1.1", &[], &[]));
    scene.checker.promise(|promises| promises.exclusive.insert("web".to_owned()));
    scene.add_strangers_at_rest();
    scene.host.write("web.toml", &checked("web", &one, 8088, ""));
    scene.becomes_ready("web", &one, 0);
    scene.serves_alone("web", &one, "unless-stopped");
    scene.checker.keeps_image(&image_id(&one));
    Some((scene, engine, one, two))
}

#[test]
fn an_update_on_a_full_disk_stops_nothing_and_goes_on_when_there_is_room() {
    let Some((scene, engine, one, two)) = ready() else { return };
    let serving = scene.serves_alone("web", &one, "unless-stopped");
    // The old one is not even interrupted, at any sample.
    scene.checker.promise(|promises| promises.never_down.insert("web".to_owned()));
    engine.fill_disk();
    scene.host.write("web.toml", &checked("web", &two, 8088, ""));
    scene.reaches("the full disk is told", || {
        let message = scene.condition("web")["message"].to_string();
        message.contains("space") || message.contains("free")
    });
    // Edited again while it is full.
    scene.host.write("web.toml", &checked("web", &two, 8088, "environment = { STEP = \"2\" }"));
    scene.reaches("that is told of the second one, too", || {
        let row = scene.status("web").unwrap_or_default();
        row["condition"]["message"].to_string().contains("space")
            || row["condition"]["message"].to_string().contains("free")
    });
    let after = inspect(&serving.id).expect("the old one is there");
    assert!(after.running() && after.started_at() == serving.started_at(), "it was never stopped");
    scene.checker.promise(|promises| promises.never_down.clear());
    engine.free_disk();
    scene.becomes_ready("web", &two, 1);
    let seen = scene.serves_alone("web", &two, "unless-stopped");
    assert_eq!(seen.variable("STEP"), Some("2"));
    scene.finish("disk full before an update");
}

#[test]
fn a_disk_that_fills_between_stop_and_start_is_an_outage_that_ends_with_it() {
    let Some((scene, engine, one, two)) = ready() else { return };
    let trap = scene.trap(At::First("start"), Moment::Before);
    scene.host.write("web.toml", &checked("web", &two, 8088, ""));
    assert_eq!(trap.wait().op, "start");
    assert_eq!(scene.host.running("web").len(), 0, "the old one is stopped, the new one is not started");
    engine.fill_disk();
    trap.release(Verdict::Go);
    scene.reaches("the outage and its cause are told", || {
        let condition = scene.condition("web");
        condition["kind"] != "ready" && condition["message"].to_string().contains("space")
    });
    engine.free_disk();
    // The new one, or the old one again if it was given up: one of them serves, and which one is said.
    let mut served = String::new();
    scene.reaches("one of them serves alone", || {
        let kind = scene.condition("web")["kind"].clone();
        served = if kind == "ready" { two.clone() } else { one.clone() };
        (kind == "ready" || kind == "rolled-back") && scene.is_alone("web", &served, "unless-stopped").is_ok()
    });
    scene.finish(&format!(
        "disk filled between stop and start, {} served in the end",
        served.rsplit(':').next().unwrap()
    ));
}
