//! `evenkeel.toml`, and the same texts as an environment.

use std::collections::BTreeMap;

use evenkeel::config::{Settings, Sources, duration, size};

use super::assert_harmless;

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let file = Some(("evenkeel.toml".to_owned(), text.clone()));
    resolved(&Sources { file, host_name: "box".to_owned(), ..Sources::default() }, text.lines().count());
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let environment: BTreeMap<String, String> = lines
        .map(|(name, value)| (format!("EVENKEEL_{}", name.trim().to_uppercase()), value.trim().to_owned()))
        .collect();
    resolved(&Sources { environment, host_name: "box".to_owned(), ..Sources::default() }, 0);
    for line in text.lines() {
        if let Err(why) = duration(line) {
            assert!(why.contains("duration"), "{why}");
        }
        if let Err(why) = size(line) {
            assert!(why.contains("size"), "{why}");
        }
    }
}

/// Settings within sane bounds, or every error with its place.
fn resolved(sources: &Sources, lines: usize) {
    let (first, again) = (Settings::resolve(sources), Settings::resolve(sources));
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    match first {
        Ok(settings) => {
            assert!(settings.concurrency > 0 && settings.pulls > 0, "{settings:?}");
            assert!(settings.intervals.resync_ms > 0 && settings.intervals.rescan_ms > 0, "{settings:?}");
            assert!(!settings.instance.is_empty());
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in &errors.0 {
                assert!(!error.message.is_empty());
                assert_harmless("an error of the settings", &error.to_string());
                if let Some(line) = error.place.strip_prefix("evenkeel.toml:") {
                    let line: usize = line.parse().unwrap();
                    assert!(line >= 1 && line <= lines.max(1) + 1, "{error} of {lines} lines");
                }
            }
        }
    }
}
