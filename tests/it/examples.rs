//! docs/reference.md: what the types say, an example for every key, and every example loads.
//!
//! `UPDATE=1 cargo test --test it examples::` writes the page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::{load, manifest};

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md")
}

/// The base of the page with an example in it.
fn state(example: &str) -> Snapshot {
    let mut files: BTreeMap<&str, String> =
        manifest::BASE.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    if example.starts_with("# fleet.toml\n") {
        files.insert("fleet.toml", example.to_owned());
    } else if example.starts_with("override") {
        files.insert("shop/example.toml", example.to_owned());
    } else {
        files.insert("shop/example.toml", format!("override = true\n{example}"));
    }
    let files = files
        .into_iter()
        .map(|(path, text)| (RelPath::new(path).unwrap(), FileContent::Read(text.into_bytes().into())))
        .collect();
    Snapshot { root: "/srv/desired".to_owned(), files, ..Snapshot::default() }
}

fn host() -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        home: Some("/root".to_owned()),
        api: Some((1, 54)),
        engine_version: Some("29.0".to_owned()),
        ..HostFacts::default()
    }
}

#[test]
fn every_key_has_an_example_and_no_example_is_of_a_key_that_is_not_there() {
    let told: BTreeMap<&str, &manifest::Shape> =
        manifest::examples().into_iter().map(|shape| (shape.name, shape)).collect();
    let there: BTreeSet<&str> = manifest::shapes().keys().map(String::as_str).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), there, "left: examples, right: types");
    for (name, shape) in told {
        let keys: Vec<&str> = shape.keys.iter().map(|example| example.0).collect();
        let told_elsewhere = |key: &str| {
            let from = manifest::INHERITED.iter().find(|(shape, ..)| *shape == name);
            from.is_some_and(|(_, others, _)| others.iter().any(|other| manifest::keys(other).contains(key)))
        };
        let known: Vec<&str> =
            manifest::keys(name).iter().map(String::as_str).filter(|key| !told_elsewhere(key)).collect();
        assert_eq!(keys, known, "{name}: left: src/desired/manifest/examples, right: the type");
    }
}

#[test]
fn every_example_loads_without_a_word() {
    let mut wrong = Vec::new();
    for shape in manifest::examples() {
        for example in shape.keys {
            let text = shape.text(example);
            let (_, diagnostics) = load(&state(&text), &host());
            let told: Vec<String> = diagnostics.iter().map(Diagnostic::headline).collect();
            if !told.is_empty() {
                wrong.push(format!("{}.{}: {told:#?}\n{text}", shape.name, example.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_uses_its_key() {
    for shape in manifest::examples() {
        for manifest::Example(key, _, _) in shape.keys {
            let text = shape.text(shape.keys.iter().find(|example| example.0 == *key).unwrap());
            let word = |c: char| !(c.is_alphanumeric() || c == '_');
            assert!(text.split(word).any(|part| part == *key), "{}.{key}: {text}", shape.name);
        }
    }
}

#[test]
fn the_schema_takes_every_example() {
    let validator = jsonschema::draft7::new(&manifest::schema()).unwrap();
    for shape in manifest::examples() {
        for example in shape.keys {
            let text = shape.text(example);
            let value: toml::Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let value = crate::compose::of_toml(&value);
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}.{}: {errors:?}\n{text}", shape.name, example.0);
        }
    }
}

#[test]
fn the_page_is_what_the_types_say() {
    let wanted = manifest::reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(page(), &wanted).unwrap();
    }
    let there = std::fs::read_to_string(page()).unwrap_or_default();
    assert!(there == wanted, "docs/reference.md is out of date: UPDATE=1 cargo test --test it examples::");
    // Whoever prints it gets the same.
    let printed = std::process::Command::new(crate::support::host::BINARY)
        .args(["schema", "--format", "markdown"])
        .output()
        .unwrap();
    assert!(printed.stdout == wanted.as_bytes(), "the command prints something else");
}

#[test]
fn every_block_of_the_page_is_an_example_that_was_loaded() {
    let examples: BTreeSet<String> = manifest::examples()
        .into_iter()
        .flat_map(|shape| shape.keys.iter().map(|example| shape.text(example)))
        .chain(manifest::BASE.iter().map(|(path, text)| format!("# {path}\n{text}")))
        .collect();
    let page = std::fs::read_to_string(page()).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 150, "{}", blocks.len());
    for block in blocks {
        assert!(examples.contains(block), "not loaded by any test:\n{block}");
    }
}
