//! How fast evenkeel is, beside what the engine itself costs and beside docker compose.
//!
//! `make bench` measures everything and writes docs/benchmarks.md; `make bench ONLY=replace` measures one section and prints it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Figures for people: what is lost in a float is less than what is shown.
#![allow(clippy::cast_precision_loss)]

mod artifacts;
mod compose;
mod daemon;
mod events;
mod fleet;
mod load;
mod proxy;
mod raw;
mod replace;
mod report;
mod resync;
mod stats;
#[allow(unused_imports)]
#[path = "../../tests/support/mod.rs"]
mod support;
mod sync;
mod wire;

use std::path::Path;
use std::time::Instant;

use compose::Compose;

const SECTIONS: [&str; 5] = ["replace", "fleet", "load", "sync", "artifacts"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "child") {
        return load::child(&arguments[1..]);
    }
    let only = std::env::var("ONLY").ok().filter(|name| !name.is_empty());
    let known = only.as_deref().is_none_or(|only| SECTIONS.contains(&only));
    assert!(known, "ONLY is one of {}", SECTIONS.join(", "));
    let rounds =
        |usual: usize| std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let began = Instant::now();
    let compose = Compose::find();
    let head =
        || report::head(compose.as_ref().map(|compose| compose.version.as_str()), began.elapsed().as_secs());
    let mut text = String::new();
    for name in SECTIONS.into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
        eprintln!("{name} ...");
        let sections = match name {
            "replace" => vec![replace::run(rounds(12), compose.as_ref())],
            "fleet" => fleet::run(rounds(3), compose.as_ref()),
            "sync" => vec![sync::run(rounds(15))],
            "artifacts" => vec![artifacts::run(rounds(7))],
            _ => vec![load::run(rounds(5))],
        };
        for shown in sections.iter().map(report::Section::markdown) {
            println!("{shown}");
            text = format!("{text}\n{shown}");
        }
    }
    if only.is_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        std::fs::write(&path, format!("{}{text}", head())).expect("docs/benchmarks.md");
        eprintln!("written: docs/benchmarks.md");
    }
}
