//! A short run of every fuzz target: its corpus as it is, then mutations of it, always the same ones. What fails is written down, and how to
//! run it again is printed. A long run is `FUZZ_TIMES=100` with another `FUZZ_SEED`; it is not guided by coverage.

mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutate::Mutator;

use crate::fuzz_targets::{TARGETS, Target};

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs the target on one input; a failure is kept in a file and told.
fn run(target: &Target, input: &[u8]) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.check)(input))) else { return };
    let file =
        std::env::temp_dir().join(format!("evenkeel-fuzz-{}-{:016x}", target.name, fingerprint(input)));
    fs::write(&file, input).unwrap();
    let again = format!("FUZZ_TARGET={} FUZZ_FILE={}", target.name, file.display());
    eprintln!("target {} failed; again: {again} scripts/prove.sh prove one_file", target.name);
    std::panic::resume_unwind(panic);
}

fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The corpus, then so many mutations of it. `FUZZ_TIMES=20` makes it so many times as many, `FUZZ_SEED=7` others.
fn short_run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let corpus = corpus(target);
    assert!(corpus.len() >= 5, "{name}: a corpus of {}", corpus.len());
    corpus.iter().for_each(|input| run(target, input));
    let times = usize::try_from(number("FUZZ_TIMES", 1)).unwrap();
    let mut mutator = Mutator::new(&corpus, number("FUZZ_SEED", 1));
    for _ in 0..target.short_run * times {
        run(target, &mutator.next());
    }
    println!("fuzz: {name}: {} inputs of the corpus, {} mutations", corpus.len(), target.short_run * times);
}

/// One test a target, so that they run beside each other and a failure names it.
macro_rules! targets {
    ($($test:ident $name:literal,)*) => {
        $(#[test]
        fn $test() {
            short_run($name);
        })*

        #[test]
        fn every_target_has_its_short_run() {
            let named = [$($name),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), named);
        }
    };
}

targets! {
    no_desired_state_panics_or_removes_what_a_broken_file_defined "load",
    short_forms_read_back_and_agree_with_long_ones "short_forms",
    foreign_labels_are_never_ours_and_ours_read_back "labels",
    no_answer_of_an_engine_is_misread "answers",
    streams_are_cut_the_same_however_they_arrive "events",
    no_row_reads_as_something_that_nobody_saved "rows",
    no_damaged_database_reads_as_something_that_nobody_saved "database",
    nothing_that_a_terminal_obeys_gets_through "output",
    no_compose_file_becomes_anything_but_toml "compose",
    layout_changes_no_meaning "format",
    no_schedule_range_or_job_is_taken_for_another "works",
    no_archive_makes_or_leads_to_anything_outside "archives",
    settings_are_sane_or_say_what_is_wrong "settings",
}

/// One input again: `FUZZ_TARGET=load FUZZ_FILE=path`. Without them, that a failure is seen at all.
#[test]
fn one_file_is_run_again_and_a_failure_is_seen() {
    match (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_FILE")) {
        (Ok(name), Ok(file)) => {
            let target = TARGETS.iter().find(|target| target.name == name).expect("no such target");
            (target.check)(&fs::read(file).unwrap());
        }
        _ => {
            let failing = Target { name: "self-test", check: |input| assert!(input.len() < 3), short_run: 0 };
            run(&failing, b"ab");
            assert!(catch_unwind(AssertUnwindSafe(|| run(&failing, b"abc"))).is_err());
            let kept =
                std::env::temp_dir().join(format!("evenkeel-fuzz-self-test-{:016x}", fingerprint(b"abc")));
            assert_eq!(fs::read(&kept).unwrap(), b"abc");
            fs::remove_file(kept).unwrap();
        }
    }
}
