//! `docs/ci`: workflow files that can be taken as they are. They are YAML, and what they call is there.

use std::path::Path;

use clap::Parser;
use evenkeel::cli::Cli;
use saphyr::{LoadableYamlNode, Yaml};

/// Every text in a document, with the keys that lead to it.
fn texts<'a>(node: &'a Yaml<'_>, path: &str, found: &mut Vec<(String, &'a str)>) {
    if let Some(text) = node.as_str() {
        found.push((path.to_owned(), text));
    }
    for item in node.as_vec().into_iter().flatten() {
        texts(item, path, found);
    }
    for (key, value) in node.as_mapping().into_iter().flatten() {
        let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
        texts(value, &format!("{path}/{key}"), found);
    }
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The calls of evenkeel in a script: each to its end, or to where its output goes. What a shell would put in is a word.
fn calls(script: &str) -> Vec<Vec<String>> {
    let commands = script.lines().map(str::trim).filter(|line| line.starts_with("evenkeel "));
    let word = |word: &str| match word.trim_matches('"') {
        text if text.starts_with('$') => "put-in".to_owned(),
        text => text.to_owned(),
    };
    let ends = |word: &&str| ["|", ">", "||", "&&", ">>", "2>&1"].contains(word);
    commands.map(|line| line.split_whitespace().take_while(|word| !ends(word)).map(word).collect()).collect()
}

#[test]
fn every_workflow_is_yaml_and_calls_what_there_is() {
    let table: [(&str, &[&str]); 2] = [
        (
            "github-actions.yml",
            &[
                "evenkeel validate desired --all-hosts --format github",
                "evenkeel plan --observed put-in --repo put-in --branch proposed --path desired",
            ],
        ),
        (
            "gitlab-ci.yml",
            &[
                "evenkeel validate desired --all-hosts --format gitlab",
                "evenkeel validate desired --all-hosts",
                "evenkeel plan --observed put-in --repo put-in --branch proposed --path desired",
            ],
        ),
    ];
    for (name, expected) in table {
        let text = document(name);
        let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let [document] = documents.as_slice() else { panic!("{name}: {} documents", documents.len()) };
        let mut found = Vec::new();
        texts(document, "", &mut found);
        let scripts = found.iter().filter(|(path, _)| path.ends_with("/run") || path.ends_with("/script"));
        let calls: Vec<Vec<String>> = scripts.flat_map(|(_, script)| calls(script)).collect();
        for call in &calls {
            if let Err(error) = Cli::try_parse_from(call) {
                panic!("{name}: {call:?}\n{error}");
            }
        }
        let calls: Vec<String> = calls.iter().map(|call| call.join(" ")).collect();
        assert_eq!(calls, expected, "{name}");
        // A call in a place that was not looked at would not have been checked.
        let everywhere: usize =
            text.lines().filter(|line| line.trim_start_matches([' ', '-']).starts_with("evenkeel ")).count();
        let inline = text.lines().filter(|line| line.trim_start().starts_with("run: evenkeel ")).count();
        assert_eq!(everywhere + inline, expected.len(), "{name}");
    }
}

#[test]
fn the_workflow_of_github_can_write_nothing_and_is_told_where_the_binary_is() {
    let text = document("github-actions.yml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let workflow = &documents[0];
    let permissions = workflow["permissions"].as_mapping().unwrap();
    let permissions: Vec<_> =
        permissions.iter().map(|(key, value)| (key.as_str().unwrap(), value.as_str().unwrap())).collect();
    assert_eq!(permissions, [("contents", "read")]);
    assert!(workflow["on"].as_mapping().unwrap().iter().any(|(key, _)| key.as_str() == Some("pull_request")));
    let install = &workflow["jobs"]["desired-state"]["steps"][1];
    assert!(install["run"].as_str().unwrap().contains("sha256sum --check"));
}
