//! Who may import whom. The layering is the architecture's load-bearing claim, so it is read off the source.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Code lines of a file with their numbers: comments and everything from the test module on left out.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

fn breaches(folder: &str, forbidden: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root.join(folder), &mut files);
    assert!(!files.is_empty(), "no source in src/{folder}: the check would pass for nothing");
    let mut found = Vec::new();
    for file in files {
        for (line, text) in code(&file) {
            if let Some(word) = forbidden.iter().find(|word| text.contains(**word)) {
                found.push(format!("{}:{line}: `{word}`: {}", file.display(), text.trim()));
            }
        }
    }
    found
}

#[test]
fn each_layer_imports_only_what_lies_below_it() {
    let layers: [(&str, &[&str]); 8] = [
        (
            "desired",
            &[
                "crate::state",
                "crate::engine",
                "crate::source",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
                "crate::config",
            ],
        ),
        (
            "state",
            &[
                "crate::engine",
                "crate::source",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
                "crate::config",
            ],
        ),
        (
            "source",
            &[
                "crate::state",
                "crate::engine",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
            ],
        ),
        (
            "engine",
            &[
                "crate::source",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
                "crate::config",
            ],
        ),
        (
            "secrets",
            &[
                "crate::source",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
                "crate::config",
            ],
        ),
        (
            "artifacts",
            &[
                "crate::engine",
                "crate::source",
                "crate::images",
                "crate::controller",
                "crate::metrics",
                "crate::cli",
                "crate::config",
            ],
        ),
        ("images", &["crate::source", "crate::controller", "crate::metrics", "crate::cli"]),
        ("metrics", &["crate::source", "crate::engine", "crate::images", "crate::cli"]),
    ];
    let found: Vec<String> =
        layers.iter().flat_map(|(folder, forbidden)| breaches(folder, forbidden)).collect();
    assert!(found.is_empty(), "imports against the layering:\n{}", found.join("\n"));
}

#[test]
fn desired_and_state_are_pure() {
    let impure = [
        "tokio",
        "std::fs",
        "std::env",
        "std::process",
        "std::net::Tcp",
        "tracing",
        "SystemTime",
        "Instant::now",
        "println!",
        "eprintln!",
        "async fn",
        "unsafe",
        "fastrand",
    ];
    let found: Vec<String> =
        ["desired", "state"].iter().flat_map(|folder| breaches(folder, &impure)).collect();
    assert!(found.is_empty(), "the pure core does something:\n{}", found.join("\n"));
}

/// `word` stands in the line, and not as the end of a longer name (`sd_notify::` is not `notify::`).
fn names(line: &str, word: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(word).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || c == '_'))
}

#[test]
fn each_library_has_one_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let homes = [
        ("bollard::", "engine/"),
        ("notify::", "source/dir"),
        ("prometheus::", "metrics/"),
        ("hyper::", "metrics/"),
        ("rusqlite::", "controller/store"),
        ("chacha20poly1305::", "secrets/vault.rs"),
        ("saphyr_parser::", "desired/compose"),
        ("toml_edit::", "desired/"),
        ("SystemTime::now", "controller/clock.rs"),
    ];
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        for (line, text) in code(&file) {
            for (word, home) in homes {
                if names(&text, word) && !path.starts_with(home) {
                    found.push(format!("{path}:{line}: `{word}` belongs to {home}: {}", text.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "libraries outside their home:\n{}", found.join("\n"));
}
