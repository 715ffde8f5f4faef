//! `docker ... prune` of every kind at every request of a replacement. What is still wanted is made again; data is not touched.

use crate::checker::rules::Rule;
use crate::proxy::{At, Moment, Verdict};
use crate::scene::Scene;
use crate::support::docker::docker;
use crate::support::files::checked;
use crate::support::private_engine::PrivateEngine;
use crate::support::registry::Registry;

const KINDS: [&[&str]; 5] = [
    &["system", "prune", "--all", "--force"],
    &["container", "prune", "--force"],
    &["image", "prune", "--all", "--force"],
    &["network", "prune", "--force"],
    &["volume", "prune", "--force"],
];

#[test]
fn a_replacement_survives_every_prune_at_every_request() {
    let Some(engine) = PrivateEngine::start(false) else { return };
    let Some(scene) = Scene::new(&engine.socket()) else { return };
    let Some(registry) = Registry::start_beside(scene.host.root(), &engine) else { return };
    let images = ["1.0", "1.1"].map(|tag| {
        let reference = registry.reference(&format!("{}:{tag}", scene.host.project));
        scene.host.image_named(&reference, tag, &[], &[]);
        registry.take(&reference);
        reference
    });
    scene.checker.promise(|promises| promises.exclusive.insert("web".to_owned()));
    scene.add_running_stranger();
    scene.checker.keeps_volume(&format!("{}_data", scene.host.project));
    // A prune takes stopped containers and unused images; evenkeel takes none that it needs.
    scene.checker.pardon(Rule::NotLost);
    let mut step = 0;
    let mut edit = |scene: &Scene| {
        step += 1;
        let more = format!("environment = {{ STEP = \"{step}\" }}\nvolumes = [\"data:/data\"]\n");
        let image = images[step % 2].clone();
        scene.host.write("web.toml", &(checked("web", &image, 8088, &more) + "\n[volumes]\ndata = {}\n"));
        (image, step.to_string())
    };
    let mut requests = 0;
    for _ in 0..6 {
        let before = scene.number("web");
        scene.proxy.take_requests();
        let (image, _) = edit(&scene);
        scene.becomes_ready("web", &image, before);
        scene.serves_alone("web", &image, "unless-stopped");
        requests = scene.proxy.take_requests().len();
    }
    assert!(requests >= 6, "a replacement has {requests} requests");
    scene.mark_volume("web");
    let mut prunes = 0;
    for number in 1..=requests {
        for (index, kind) in KINDS.iter().enumerate() {
            if !crate::full() && index > 0 && (number + index) % 4 != 0 {
                continue;
            }
            let before = scene.number("web");
            let trap = scene.trap(At::Number(number), Moment::Before);
            let (image, step) = edit(&scene);
            let is_done = || {
                scene.is_ready("web", &image, before)
                    && scene.is_alone("web", &image, "unless-stopped").is_ok()
            };
            if scene.caught(&trap, is_done) {
                docker(kind);
                prunes += 1;
            }
            trap.release(Verdict::Go);
            scene.becomes_ready("web", &image, before);
            let seen = scene.serves_alone("web", &image, "unless-stopped");
            assert_eq!(seen.variable("STEP"), Some(&*step));
            scene.volume_is_whole("web");
        }
    }
    assert!(prunes > requests, "{prunes} prunes at {requests} requests");
    scene.finish(&format!("{prunes} prunes of {} kinds at {requests} requests", KINDS.len()));
}
