//! `docs/contract.md` names every assertion and every act of the simulated host, and nothing that is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn sources(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// What stands in backticks.
fn named() -> BTreeSet<String> {
    read("docs/contract.md").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The assertions of every `contract!`.
fn assertions() -> BTreeSet<String> {
    let text = sources("tests/engine");
    let lists = text.split("\ncontract!(\n").skip(1).filter_map(|rest| rest.split("\n);").next());
    lists
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Names of functions that begin like this.
fn functions<'a>(text: &'a str, beginning: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(beginning).skip(1).map(|rest| rest.split(['(', '<']).next().unwrap_or_default().to_owned())
}

#[test]
fn every_assertion_and_fact_is_in_the_table_and_every_name_in_the_table_is_one() {
    let named = named();
    let assertions = assertions();
    assert!(assertions.len() > 120, "{}", assertions.len());
    let missing: Vec<_> = assertions.difference(&named).collect();
    assert!(missing.is_empty(), "not in docs/contract.md: {missing:#?}");
    let text = sources("tests/engine");
    let tests: BTreeSet<String> = functions(&text, "\nasync fn ").chain(functions(&text, "\nfn ")).collect();
    // Names of tests are sentences; acts and types have at most three words.
    let sentences = named.iter().filter(|name| name.matches('_').count() > 3 && !name.contains('/'));
    let gone: Vec<_> = sentences.filter(|name| !tests.contains(*name)).collect();
    assert!(gone.is_empty(), "in docs/contract.md, and no test: {gone:#?}");
}

#[test]
fn every_act_of_the_simulated_host_is_accounted_for() {
    let named = named();
    for file in ["requests", "actors", "death"] {
        let text = read(&format!("src/engine/sim/{file}.rs"));
        let acts: BTreeSet<String> = functions(&text, "\n    pub fn ").collect();
        assert!(acts.len() >= 5, "{file}: {acts:?}");
        let missing: Vec<_> = acts.difference(&named).collect();
        assert!(
            missing.is_empty(),
            "src/engine/sim/{file}.rs has what docs/contract.md does not: {missing:#?}"
        );
    }
}
