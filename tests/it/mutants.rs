//! The mutants of the core (`tests/mutants`), as far as it can be told without building them: each still fits the source, and the test
//! that has to catch it exists. `scripts/mutants.sh` builds each and demands that its test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

struct Mutant {
    name: String,
    text: String,
}

impl Mutant {
    fn header(&self, key: &str) -> Option<&str> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("--- "));
        lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Of each hunk: the file, what stands there, and what is put in its place.
    fn hunks(&self) -> Vec<(String, String, String)> {
        let (mut hunks, mut file) = (Vec::new(), String::new());
        for line in self.text.lines() {
            if let Some(path) = line.strip_prefix("--- a/") {
                file = path.trim().to_owned();
            } else if line.starts_with("+++ ") {
            } else if line.starts_with("@@ ") {
                hunks.push((file.clone(), String::new(), String::new()));
            } else if let Some((_, before, after)) = hunks.last_mut() {
                let (kind, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
                if kind != "+" {
                    before.push_str(rest);
                    before.push('\n');
                }
                if kind != "-" {
                    after.push_str(rest);
                    after.push('\n');
                }
            }
        }
        hunks
    }
}

fn mutants() -> Vec<Mutant> {
    let mut found: Vec<Mutant> = fs::read_dir(root().join("tests/mutants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "patch"))
        .map(|path| Mutant {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[test]
fn each_mutant_fits_the_source_in_one_place() {
    let all = mutants();
    assert!(all.len() >= 15, "{} mutants", all.len());
    let numbers: BTreeSet<&str> = all.iter().filter_map(|mutant| mutant.name.split('-').next()).collect();
    assert_eq!(numbers.len(), all.len(), "a number names one mutant");
    for mutant in &all {
        let hunks = mutant.hunks();
        assert!(!hunks.is_empty(), "{} changes nothing", mutant.name);
        for (file, before, after) in hunks {
            let source = fs::read_to_string(root().join(&file)).unwrap_or_default();
            let places = source.matches(&before).count();
            assert_eq!(places, 1, "{}: in {file} there is {places} times\n{before}", mutant.name);
            assert_ne!(before, after, "{}", mutant.name);
        }
    }
}

/// `prove converge::name`: a function of this name under `#[test]` in tests/prove/converge.rs.
#[test]
fn each_mutant_names_a_test_that_there_is() {
    for mutant in mutants() {
        assert!(
            mutant.header("What").is_some_and(|what| what.ends_with('.')),
            "{} says what it is",
            mutant.name
        );
        let by = mutant.header("Caught by").unwrap_or_default();
        let (target, test) = by.split_once(' ').unwrap_or_else(|| panic!("{}: `{by}`", mutant.name));
        let (module, function) = test.rsplit_once("::").unwrap_or_else(|| panic!("{}: `{by}`", mutant.name));
        let file = Path::new("tests").join(target).join(module.replace("::", "/")).with_extension("rs");
        let source = fs::read_to_string(root().join(&file)).unwrap_or_default();
        let declared = source
            .split("fn ")
            .any(|rest| rest.strip_prefix(function).is_some_and(|rest| rest.starts_with('(')));
        assert!(declared && source.contains("test"), "{}: no {function} in {}", mutant.name, file.display());
    }
}
