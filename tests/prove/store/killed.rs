//! `kill -9` at every write.

use std::fs;

use tempfile::TempDir;

use super::script::{LARGE, SCRIPT, check, states};
use super::strace::{counts, inject, may_trace, play_if_child};

#[test]
fn killed_at_every_write_nothing_that_was_said_is_lost() {
    play_if_child();
    if !may_trace() {
        return;
    }
    let points = kill_everywhere(false, 1);
    assert!(points > 100, "{points}");
}

/// SQLite moves a log of four MiB into the database while it is open; each of these writes is a page, so a share of them stands for all
/// (`PROVE_KILL_STRIDE=1`: every one).
#[test]
fn killed_while_the_log_is_moved_into_the_database_nothing_is_lost() {
    if !may_trace() {
        return;
    }
    let stride = std::env::var("PROVE_KILL_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(61);
    let points = kill_everywhere(true, stride);
    assert!(points > 30, "{points}");
}

fn kill_everywhere(large: bool, stride: usize) -> usize {
    let base = TempDir::new().unwrap();
    let script = if large { LARGE } else { SCRIPT };
    let states = states(script);
    let counts = counts(&base.path().join("whole"), large);
    check(&base.path().join("whole"), &states, Some(script.len()), &|| "not killed at all".to_owned());
    let mut points = 0;
    for (call, count) in counts {
        for k in (1..=count).step_by(stride.min(count.div_ceil(3))) {
            let dir = base.path().join(format!("{call}-{k}"));
            let ended = inject(&dir, large, call, &format!("signal=KILL:when={k}"));
            assert_eq!(ended.code, None, "{call} {k} did not end it: {}", ended.text);
            check(&dir, &states, ended.done, &|| format!("killed at {call} {k}"));
            fs::remove_dir_all(&dir).unwrap();
            points += 1;
        }
    }
    println!("store: killed at {points} system calls of {} changes", script.len());
    points
}
