//! What `metrics/` offers to Prometheus and Grafana: only series that are exported, and every alert with a test of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn exported() -> BTreeSet<String> {
    let golden = text("exposition.txt");
    let names =
        golden.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Every word that looks like one of our series, histograms' parts by their base.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("evenkeel_") || word.starts_with("process_"))
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
        })
        .collect()
}

/// Every `expr` and every variable's query of the dashboard.
fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, inner) in map {
                match inner.as_str() {
                    Some(text) if key == "expr" || key == "definition" => found.push(text.to_owned()),
                    _ => queries(inner, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

fn alerts(text: &str, key: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn alerts_use_only_series_that_are_exported() {
    let used = series(&text("alerts.yml"));
    assert!(used.len() >= 10, "{used:?}");
    let unknown: Vec<_> = used.difference(&exported()).cloned().collect();
    assert!(unknown.is_empty(), "not exported: {unknown:?}");
}

#[test]
fn the_dashboard_uses_only_series_that_are_exported_and_all_of_ours() {
    let dashboard: serde_json::Value = serde_json::from_str(&text("dashboard.json")).unwrap();
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let used = series(&found.join("\n"));
    let exported = exported();
    let unknown: Vec<_> = used.difference(&exported).cloned().collect();
    assert!(unknown.is_empty(), "not exported: {unknown:?}");
    // The number of calls is in the duration's histogram, too; everything else of ours is worth a look.
    let left_out: Vec<_> =
        exported.difference(&used).filter(|name| name.starts_with("evenkeel_")).cloned().collect();
    assert!(left_out.is_empty(), "in no panel: {left_out:?}");
}

#[test]
fn every_alert_has_a_test_and_says_what_to_do() {
    let rules = text("alerts.yml");
    let defined = alerts(&rules, "alert:");
    assert!(defined.len() >= 15, "{defined:?}");
    assert_eq!(defined, alerts(&text("alerts_test.yml"), "alertname:"));
    assert_eq!(rules.matches("description:").count(), defined.len());
}

/// `None` where it cannot be had.
pub fn prometheus(program: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(root.join("scripts/prometheus.sh")).output().unwrap();
    if !fetched.status.success() {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&fetched.stderr).trim());
        return None;
    }
    Some(root.join("target/prometheus").join(program))
}

#[test]
fn promtool_accepts_what_is_offered_and_every_alert_fires_when_it_should() {
    let Some(promtool) = prometheus("promtool") else { return };
    let calls = [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "config", "scrape.yml"],
    ];
    for arguments in calls {
        let ended = Command::new(&promtool).args(arguments).current_dir(folder()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}
