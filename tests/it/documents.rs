//! What the documents say is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::host::BINARY;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).map(|all| all.flatten().map(|entry| entry.path()).collect());
        entries.unwrap_or_default()
    };
    let mut all: Vec<PathBuf> = [in_folder(root().to_owned()), in_folder(root().join("docs"))].concat();
    all.retain(|path| path.extension().is_some_and(|ext| ext == "md"));
    assert!(all.len() >= 3, "{all:?}");
    all
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.contains(' ');
            if !elsewhere && !document.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn the_readme_lists_exactly_the_commands_there_are() {
    let help = Command::new(BINARY).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let there: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help")
        .collect();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let listed: BTreeSet<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split("`, `"))
        .map(|word| word.trim_end_matches('`'))
        .collect();
    assert!(there.len() > 5, "no commands in the help:\n{help}");
    assert_eq!(there, listed, "left: in the help, right: in the README");
}

#[test]
fn the_example_loads_without_a_complaint() {
    let ended = Command::new(BINARY)
        .args(["validate", "--desired", "desired"])
        .current_dir(root())
        .env("EVENKEEL_CONFIG", "/dev/null")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{text}");
    assert!(!text.contains("warning") && !text.contains("error"), "{text}");
}
