//! A disk that refuses: full, failing, read-only, at every write and for once or for good.

use std::fs;

use tempfile::TempDir;

use super::script::{SCRIPT, check, states};
use super::strace::{counts, inject, may_trace};

/// What a failing disk answers, and to how many calls in a row.
const FAULTS: &[(&str, usize)] =
    &[("ENOSPC", 1), ("EIO", 1), ("EROFS", 1), ("ENOSPC", usize::MAX), ("EIO", usize::MAX), ("EDQUOT", 2)];

#[test]
fn a_disk_that_refuses_any_one_call_is_said_and_loses_nothing() {
    if !may_trace() {
        return;
    }
    let base = TempDir::new().unwrap();
    let states = states(SCRIPT);
    let counts = counts(&base.path().join("whole"), false);
    let (mut points, mut told) = (0, 0);
    for (call, count) in counts {
        for k in 1..=count {
            // One fault a call, another for the next: over the sequence each call meets all of them.
            let (error, times) = FAULTS[(k - 1) % FAULTS.len()];
            let dir = base.path().join(format!("{call}-{k}"));
            let when = if times == usize::MAX { format!("{k}+") } else { format!("{k}..{}", k + times - 1) };
            let ended = inject(&dir, false, call, &format!("error={error}:when={when}"));
            let what = || format!("{call} {when} answered with {error}");
            assert!(matches!(ended.code, Some(0 | 1)), "{}: {}", what(), ended.text);
            if times < usize::MAX {
                assert_eq!(ended.done, Some(SCRIPT.len()), "{}: it goes on when the disk is back", what());
            }
            check(&dir, &states, ended.done, &what);
            fs::remove_dir_all(&dir).unwrap();
            points += 1;
            told += usize::from(ended.failures > 0);
        }
    }
    println!("store: {points} system calls refused, {told} of them told to the caller");
    assert!(points > 100 && told > points / 3, "{told} of {points}");
}
