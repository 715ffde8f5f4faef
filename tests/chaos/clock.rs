//! The wall clock steps by a day while windows and pauses run. They are measured by another clock.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::scene::Scene;
use crate::support::docker::docker;
use crate::support::files::plain;
use crate::support::machine;
use crate::support::wait::page;

const DAY_MS: i64 = 86_400_000;

/// evenkeel's wall clock, in our hands: libfaketime reads its offset from a file each time it is asked. The monotonic clock is the
/// kernel's.
struct Clock(PathBuf);

impl Clock {
    fn new() -> Option<(Self, Scene)> {
        let library = fs::read_dir("/usr/lib")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketime.so.1"));
        let Some(library) = library.into_iter().find(|path| path.exists()) else {
            eprintln!(" is not installed; nothing about steps of the clock was tested here");
            return None;
        };
        let file = std::env::temp_dir().join(format!("evenkeel-clock-{:08x}", fastrand::u32(..)));
        let clock = Self(file);
        clock.step("+0");
        let environment = [
            ("LD_PRELOAD", library.to_str()?),
            ("FAKETIME_TIMESTAMP_FILE", clock.0.to_str()?),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        let scene = Scene::with(&machine::socket(), &environment)?;
        Some((clock, scene))
    }

    fn step(&self, offset: &str) {
        let aside = self.0.with_extension("new");
        fs::write(&aside, offset).unwrap();
        fs::rename(aside, &self.0).unwrap();
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// When evenkeel says that its condition changed last, by its own wall clock.
fn since_ms(scene: &Scene, service: &str) -> i64 {
    scene.status(service).and_then(|row| row["since"].as_i64()).unwrap_or_default()
}

#[test]
fn a_step_of_the_clock_neither_shortens_nor_lengthens_a_window() {
    let Some((clock, scene)) = Clock::new() else { return };
    let images: Vec<String> = (0..3).map(|n| scene.host.image(&format!("1.{n}"), &[], &[])).collect();
    let file = |image: &str| plain("web", image, "").replace("monitor = \"1s\"", "monitor = \"4s\"");
    scene.host.write("web.toml", &file(&images[0]));
    scene.becomes_ready("web", &images[0], 0);
    for (image, offset, days) in [(&images[1], "+86400", 1), (&images[2], "-86400", -1)] {
        let before = scene.number("web");
        scene.host.write("web.toml", &file(image));
        scene.reaches("the new one runs", || {
            scene.host.running("web").iter().any(|seen| seen.image() == *image)
        });
        clock.step(offset);
        scene.becomes_ready("web", image, before);
        // By the engine's clock and ours, which did not step, and later than it really was.
        let ready_at = now_ms();
        let seen = scene.serves_alone("web", image, "unless-stopped");
        let started = docker(&["container", "inspect", "--format", "{{.State.StartedAt}}", &seen.id]);
        let started: jiff::Timestamp = started.parse().unwrap();
        assert!(ready_at - started.as_millisecond() >= 4_000, "the window was cut short");
        let off = since_ms(&scene, "web") - now_ms() - days * DAY_MS;
        assert!(off.abs() < DAY_MS / 2, "evenkeel's wall clock was stepped: {off} ms off");
    }
    scene.finish("clock steps in a window");
}

#[test]
fn a_step_of_the_clock_changes_no_pause_between_starts() {
    for offset in ["+86400", "-86400"] {
        let Some((clock, scene)) = Clock::new() else { return };
        let image = scene.host.image("bad", &[], &["fail"]);
        scene.host.write("web.toml", &plain("web", &image, ""));
        let only = |scene: &Scene| scene.host.of("web").pop();
        scene.reaches("it was started", || {
            only(&scene).is_some_and(|seen| !seen.started_at().starts_with("0001"))
        });
        clock.step(offset);
        scene.reaches("it is given up", || scene.condition("web")["kind"] == "failed");
        // By the engine's clock, which does not step: made, started, and four times started again, after 1, 2, 4 and 8 s.
        let seen = only(&scene).expect("what failed is kept");
        let [made, last] = [seen.json["Created"].as_str().unwrap(), seen.started_at()]
            .map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert!(last - made >= 15_000, "the pauses were cut short: {} ms", last - made);
        let report: Value = serde_json::from_str(&page(scene.daemon.port, "/v1/status").unwrap()).unwrap();
        assert_eq!(report["host"]["engine"]["up"], true);
        scene.finish(&format!("clock stepped by {offset} s between starts"));
    }
}
