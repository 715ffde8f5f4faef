//! docs/desired-state.md: every example in it loads, and no key of a service is missing.

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot, SourceRevision};
use evenkeel::desired::{load, manifest};

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/desired-state.md");
    std::fs::read_to_string(path).unwrap()
}

/// The `toml` blocks: each a state of its own, but those that name their file in a first comment (`# web.toml`) make
/// one state with the others of their section.
fn states() -> Vec<BTreeMap<String, String>> {
    let text = reference();
    let mut states = Vec::new();
    for section in text.split("\n## ") {
        let mut shared = BTreeMap::new();
        for block in section.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            match block
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("# "))
                .filter(|name| name.ends_with(".toml"))
            {
                Some("fleet.toml") => {
                    states.push(BTreeMap::from([("fleet.toml".to_owned(), block.to_owned())]));
                }
                Some(name) => {
                    shared.insert(format!("shop/{name}"), block.to_owned());
                }
                None => states.push(BTreeMap::from([("shop/it.toml".to_owned(), block.to_owned())])),
            }
        }
        if !shared.is_empty() {
            states.push(shared);
        }
    }
    states
}

#[test]
fn every_example_of_the_reference_loads() {
    let states = states();
    assert!(states.len() >= 10, "{} examples", states.len());
    for files in states {
        let snapshot = Snapshot {
            revision: SourceRevision::default(),
            root: "/srv/desired".to_owned(),
            files: files
                .iter()
                .map(|(path, text)| {
                    (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into()))
                })
                .collect(),
            ..Snapshot::default()
        };
        let host =
            HostFacts { name: "fra1".to_owned(), home: Some("/root".to_owned()), ..HostFacts::default() };
        let (_, diagnostics) = load(&snapshot, &host);
        let told: Vec<String> = diagnostics.iter().map(Diagnostic::headline).collect();
        assert!(told.is_empty(), "{told:#?}\n{files:#?}");
    }
}

#[test]
fn every_key_is_in_the_reference() {
    let text = reference();
    let missing = |shape: &str| {
        let keys = manifest::keys(shape).iter();
        keys.filter(|key| !text.contains(&format!("`{key}`"))).cloned().collect::<Vec<_>>()
    };
    for shape in ["Service", "File", "Network", "Volume", "Healthcheck", "UpdateConfig"] {
        assert_eq!(missing(shape), Vec::<String>::new(), "{shape}");
    }
}
