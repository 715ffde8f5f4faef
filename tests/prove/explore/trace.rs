//! Counterexamples as text: moves as they are replayed, with words beside them.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::check;
use super::moves::Move;
use super::search::Counterexample;
use super::turn::Explorer;
use super::world::{Budget, Scenario};

/// Writes the trace to a file of its own and says how it becomes a test.
pub fn save(scenario: &Scenario, found: &Counterexample) -> String {
    let text = told(scenario, found);
    let name: String = scenario
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("counterexamples");
    let path = folder.join(format!("{name}.trace"));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &text));
    match saved {
        Ok(()) => format!(
            "{text}\nsaved; it becomes a test of its own with:\n  cp {} tests/prove/traces/",
            path.display()
        ),
        Err(error) => format!("{text}\n(it could not be saved: {error})"),
    }
}

fn told(scenario: &Scenario, found: &Counterexample) -> String {
    let explorer = Explorer::new(scenario);
    let mut world = scenario.first.clone();
    let mut text = format!("# {}\nscenario {}\n", found.what, scenario.name);
    for by in &found.moves {
        let words = explorer.describe(&world, *by);
        let coded = serde_json::to_string(by).unwrap();
        let _ = writeln!(text, "{coded}  # {}", words.replace('\n', " "));
        let next = explorer.expand(&world, Budget::NONE).ok();
        let Some((_, after)) = next.and_then(|found| found.next.into_iter().find(|(other, _)| other == by))
        else {
            break;
        };
        world = after;
    }
    text
}

/// The scenario's name and the moves of a saved trace.
pub fn read(text: &str) -> (String, Vec<Move>) {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let name = lines()
        .next()
        .and_then(|line| line.strip_prefix("scenario "))
        .expect("`scenario <name>` comes first");
    let moves = lines().skip(1).map(|line| {
        let coded = line.split("  #").next().unwrap_or(line);
        serde_json::from_str(coded).unwrap_or_else(|error| panic!("`{coded}`: {error}"))
    });
    (name.to_owned(), moves.collect())
}

/// Takes the moves one by one with every invariant looked at, then lets it come to rest. A move that is not possible any more ends
/// the trace early: the hole it led through is closed.
pub fn replay(scenario: &Scenario, moves: &[Move]) -> Result<(), String> {
    let explorer = Explorer::new(scenario);
    let mut world = scenario.first.clone();
    for by in moves {
        check::state(scenario, &world)?;
        let found = explorer.expand(&world, Budget::NONE).map_err(|broken| broken.what)?;
        match found.next.into_iter().find(|(other, _)| other == by) {
            Some((_, after)) => world = after,
            None => break,
        }
    }
    for _ in 0..400 {
        let found = explorer.expand(&world, scenario.budget).map_err(|broken| broken.what)?;
        if found.rests {
            return Ok(());
        }
        let Some((_, after)) = found.next.into_iter().next() else { return Ok(()) };
        world = after;
    }
    Err("it does not come to rest".to_owned())
}
