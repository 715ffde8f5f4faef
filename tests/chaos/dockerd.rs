//! The engine killed: at rest, and inside every call of a replacement, with each restart policy, with and without live-restore.
//! evenkeel lives on through all of it.

use std::thread;
use std::time::Duration;

use crate::proxy::{At, Moment, Verdict};
use crate::scene::Scene;
use crate::support::files::checked;
use crate::support::private_engine::PrivateEngine;
use crate::support::registry::Registry;
use crate::support::wait::try_wait;

const POLICIES: [&str; 4] = ["unless-stopped", "always", "on-failure", "no"];

/// Fields go in this order: the scene is cleaned up on the engine that it ran on.
struct Stage {
    scene: Scene,
    engine: PrivateEngine,
    images: [String; 2],
    step: usize,
    /// How often a port was lost with the engine (RELIABILITY.md fact 4), and given back by another restart.
    leaks: usize,
    kills: usize,
}

fn file(service: &str, image: &str, port: u16, policy: &str, step: usize) -> String {
    let more = format!("environment = {{ STEP = \"{step}\" }}\nvolumes = [\"data:/data\"]\n");
    checked(service, image, port, &more).replace("unless-stopped", policy)
}

const DATA: &str = "\n[volumes]\ndata = {}\n";

impl Stage {
    fn new(live_restore: bool) -> Option<Self> {
        let engine = PrivateEngine::start(live_restore)?;
        let scene = Scene::new(&engine.socket())?;
        let images = [scene.host.image("1.0", &[], &[]), scene.host.image("1.1", &[], &[])];
        scene.add_strangers_at_rest();
        scene.checker.keeps_volume(&format!("{}_data", scene.host.project));
        Some(Self { scene, engine, images, step: 0, leaks: 0, kills: 0 })
    }

    fn image(&self) -> &str {
        &self.images[self.step % 2]
    }

    /// Another revision of `web`, with this restart policy.
    fn edit(&mut self, policy: &str) {
        self.step += 1;
        self.scene.host.write("web.toml", &(file("web", self.image(), 8088, policy, self.step) + DATA));
    }

    fn crash(&mut self) {
        self.engine.kill();
        self.kills += 1;
    }

    fn rests(&self, image: &str, policy: &str, after: u64) -> bool {
        self.scene.is_ready("web", image, after) && self.scene.is_alone("web", image, policy).is_ok()
    }

    /// Until it serves what the file says, whatever that takes: evenkeel by itself, or what evenkeel says is to be done.
    fn comes_to_rest(&mut self, policy: &str, after: u64) {
        let (image, service) = (self.image().to_owned(), self.scene.host.id("web"));
        for _ in 0..4 {
            let word = try_wait(Duration::from_secs(60), || {
                let condition = self.scene.condition("web");
                let message = condition["message"].as_str().unwrap_or_default().to_owned();
                assert_ne!(
                    condition["kind"], "rolled-back",
                    "an engine's death is no fault of the revision: {message}"
                );
                // The status may be from before the engine died: what runs has to be seen, too.
                let done = self.rests(&image, policy, after);
                let to_do =
                    ["restart the engine", "evenkeel retry"].iter().any(|word| message.contains(word));
                (done || to_do).then_some(message)
            });
            match word {
                Some(message) if message.contains("restart the engine") => {
                    self.leaks += 1;
                    self.engine.stop();
                    self.engine.up();
                }
                // Killed with the engine, and its policy says that it stays down.
                Some(message) if message.contains("evenkeel retry") => {
                    assert_eq!(policy, "no", "{message}");
                    self.scene.host.evenkeel(&["retry", &service]).expect(0);
                }
                _ => {}
            }
            if self.rests(&image, policy, after) {
                break;
            }
        }
        let seen = self.scene.serves_alone("web", &image, policy);
        assert_eq!(seen.variable("STEP"), Some(&*self.step.to_string()));
        self.scene.volume_is_whole("web");
    }
}

#[test]
fn every_restart_policy_survives_the_engines_death_at_rest() {
    at_rest(false);
}

#[test]
fn every_restart_policy_survives_the_engines_death_at_rest_with_live_restore() {
    at_rest(true);
}

fn at_rest(live_restore: bool) {
    let Some(mut stage) = Stage::new(live_restore) else { return };
    let names = POLICIES.map(|policy| policy.replace('-', ""));
    // Updated once, so that each has a stopped predecessor: the one that an engine may bring back.
    for step in 0..2 {
        for (index, (name, policy)) in names.iter().zip(POLICIES).enumerate() {
            let port = 8081 + u16::try_from(index).unwrap();
            let data = if index == 0 { DATA } else { "" };
            let text = file(name, &stage.images[step], port, policy, step) + data;
            stage.scene.host.write(&format!("{name}.toml"), &text);
        }
        for name in &names {
            stage.scene.becomes_ready(name, &stage.images[step].clone(), step as u64);
        }
    }
    let before: Vec<_> =
        names.iter().zip(POLICIES).map(|(n, p)| stage.scene.serves_alone(n, &stage.images[1], p)).collect();
    stage.scene.checker.promise(|promises| promises.exclusive.extend(names.clone()));
    for orderly in [false, true, false] {
        if orderly {
            stage.engine.stop()
        } else {
            stage.crash()
        }
        stage.engine.up();
        for ((name, policy), before) in names.iter().zip(POLICIES).zip(&before) {
            if policy == "no" && !live_restore {
                // Nothing but an exit code of 137 tells, and its owner said that it is not started again.
                stage.scene.reaches("its end is told", || stage.scene.condition(name)["reason"] == "Exited");
                stage.scene.host.evenkeel(&["retry", &stage.scene.host.id(name)]).expect(0);
            }
            stage
                .scene
                .reaches(&format!("{name} is ready"), || stage.scene.condition(name)["kind"] == "ready");
            let after = stage.scene.serves_alone(name, &stage.images[1], policy);
            assert_eq!(after.id, before.id, "started again, not made again");
            if live_restore && !orderly {
                assert_eq!(after.started_at(), before.started_at(), "{name} ran on");
            }
        }
    }
    stage.scene.finish(&format!("engine killed at rest, live-restore {live_restore}: {} kills", stage.kills));
}

#[test]
fn a_replacement_survives_the_engines_death_inside_every_call() {
    inside(false);
}

#[test]
fn a_replacement_survives_the_engines_death_inside_every_call_with_live_restore() {
    inside(true);
}

fn inside(live_restore: bool) {
    let Some(mut stage) = Stage::new(live_restore) else { return };
    stage.scene.checker.promise(|promises| promises.exclusive.insert("web".to_owned()));
    for policy in ["always", "unless-stopped"] {
        let before = stage.scene.number("web");
        stage.edit(policy);
        stage.scene.becomes_ready("web", stage.image(), before);
    }
    stage.scene.serves_alone("web", stage.image(), "unless-stopped");
    stage.scene.mark_volume("web");
    let calls = ["create", "stop", "update", "start", "rename", "remove"];
    let offsets: &[u64] = if crate::full() { &[0, 20, 60, 120, 200, 320] } else { &[10, 120] };
    let mut turn = usize::from(live_restore);
    for call in calls {
        for offset in offsets {
            // A quick run meets each policy a few times, a full one each call with each.
            let policies = if crate::full() { &POLICIES[..] } else { &POLICIES[turn % 4..=turn % 4] };
            turn += 1;
            for policy in policies {
                let before = stage.scene.number("web");
                let trap = stage.scene.trap(At::First(call), Moment::During);
                stage.edit(policy);
                let image = stage.image().to_owned();
                let caught = stage.scene.caught(&trap, || stage.scene.is_ready("web", &image, before));
                // How far the engine gets in that time is its own affair: each end of it must come to the same.
                thread::sleep(Duration::from_millis(*offset));
                stage.crash();
                trap.release(Verdict::Go);
                stage.engine.up();
                stage.comes_to_rest(policy, before);
                assert!(caught || matches!(call, "rename" | "remove"), "a replacement has a {call}");
            }
        }
    }
    stage.scene.proxy.disarm();
    let (kills, leaks) = (stage.kills, stage.leaks);
    stage.scene.finish(&format!(
        "engine killed inside calls, live-restore {live_restore}: {kills} kills, {leaks} ports leaked"
    ));
}

#[test]
fn an_engine_killed_inside_a_pull_pulls_again() {
    let Some(mut stage) = Stage::new(false) else { return };
    let root = stage.scene.host.root().to_owned();
    let Some(registry) = Registry::start_beside(&root, &stage.engine) else { return };
    let offsets: &[u64] = if crate::full() { &[0, 20, 40, 80, 160, 320, 640] } else { &[0, 40, 150] };
    let tags: Vec<String> = (0..=offsets.len()).map(|n| format!("2.{n}")).collect();
    let references: Vec<String> = tags
        .iter()
        .map(|tag| {
            let reference = registry.reference(&format!("{}:{tag}", stage.scene.host.project));
            stage.scene.host.image_named(&reference, tag, &[("PAD", tag)], &[]);
            registry.take(&reference);
            reference
        })
        .collect();
    let edit =
        |scene: &Scene, reference: &str| scene.host.write("web.toml", &checked("web", reference, 8088, ""));
    edit(&stage.scene, &references[0]);
    stage.scene.becomes_ready("web", &references[0], 0);
    stage.scene.serves_alone("web", &references[0], "unless-stopped");
    for (offset, reference) in offsets.iter().zip(&references[1..]) {
        let before = stage.scene.number("web");
        let trap = stage.scene.trap(At::First("pull"), Moment::During);
        edit(&stage.scene, reference);
        trap.wait();
        thread::sleep(Duration::from_millis(*offset));
        stage.crash();
        trap.release(Verdict::Go);
        stage.engine.up();
        stage.scene.becomes_ready("web", reference, before);
        stage.scene.serves_alone("web", reference, "unless-stopped");
    }
    let kills = stage.kills;
    stage.scene.finish(&format!("engine killed inside pulls: {kills} kills"));
}
