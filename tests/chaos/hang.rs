//! The engine hangs on one container: what asks about it waits, everything else goes on.

use std::fs;
use std::process::Command;

use crate::scene::Scene;
use crate::support::docker::Seen;
use crate::support::files::checked;
use crate::support::private_engine::PrivateEngine;

/// The process between the engine and a container. While it is stopped, every call about the container hangs.
struct Shim(String);

impl Shim {
    fn of(container: &Seen) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", container.json["State"]["Pid"])).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
        let command = fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap();
        assert!(command.contains(&container.id), "the parent is the container's shim: {command}");
        Self(parent)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {name} {}", self.0);
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0]).output();
    }
}

#[test]
fn an_engine_that_hangs_on_one_container_holds_no_other_service_up() {
    let Some(engine) = PrivateEngine::start(false) else { return };
    let Some(scene) = Scene::new(&engine.socket()) else { return };
    let images: Vec<String> = (0..3).map(|n| scene.host.image(&format!("1.{n}"), &[], &[])).collect();
    let names = ["a", "b", "c"];
    let write = |name: &str, image: &str| {
        let port = 8081 + u16::from(name.as_bytes()[0] - b'a');
        scene.host.write(&format!("{name}.toml"), &checked(name, image, port, ""));
    };
    scene.checker.promise(|promises| promises.exclusive.extend(names.map(str::to_owned)));
    for name in names {
        write(name, &images[0]);
    }
    for name in names {
        scene.becomes_ready(name, &images[0], 0);
    }
    let hung = scene.serves_alone("a", &images[0], "unless-stopped");
    let shim = Shim::of(&hung);
    shim.signal("-STOP");
    // Edits of the hung one and of the others, twice: each of the others gets there.
    for (step, image) in images.iter().enumerate().skip(1) {
        let before = ["b", "c"].map(|name| scene.number(name));
        for name in names {
            write(name, image);
        }
        for (name, before) in ["b", "c"].iter().zip(before) {
            scene.becomes_ready(name, image, before);
        }
        assert_eq!(scene.number("a"), 1, "the hung one cannot have moved in step {step}");
    }
    shim.signal("-CONT");
    scene.becomes_ready("a", &images[2], 1);
    for name in names {
        scene.serves_alone(name, &images[2], "unless-stopped");
    }
    scene.finish("engine hung on one container, two others edited twice");
}
