//! A seeded simulation of whole hosts: the real daemon on the simulated engine in virtual time, with random services, edits and faults.
//!
//! A seed says everything, so it replays exactly: `SEED=123 scripts/prove.sh simulation -- --nocapture`.
//! `SEEDS=` says how many are tried (2 000), `FIRST=` where they begin.

mod acts;
mod deeds;
mod files;
mod log;
mod odds;
mod oracle;
mod play;
mod run;
mod shrink;
mod store;
mod story;
mod watch;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use run::{Verdict, prove};
use story::Story;

/// Seeds that found something, and what: played before all others.
const FOUND: &[(u64, &str)] = &[];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn whole_hosts_end_as_their_files_say_whatever_goes_wrong_meanwhile() {
    if let Ok(seed) = std::env::var("SEED") {
        one(seed.parse().unwrap());
        return;
    }
    let known: Vec<u64> = FOUND.iter().map(|(seed, _)| *seed).collect();
    let (first, count) = (number("FIRST", 1), number("SEEDS", 2_000));
    let seeds: Vec<u64> = known.into_iter().chain(first..first + count).collect();
    let failed = many(&seeds);
    if let Some((seed, verdict)) = failed.first() {
        explain(*seed, verdict);
        let all: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
        panic!("{} of {} seeds failed: {all:?}", failed.len(), seeds.len());
    }
}

/// Plays seeds on every core; ends early when enough have failed to work with.
fn many(seeds: &[u64]) -> Vec<(u64, Verdict)> {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let (calls, hours, faults) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let most_failed = number("MOST_FAILED", 10) as usize;
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst) as usize) {
                    let verdict = prove(&Story::of(*seed), false);
                    calls.fetch_add(verdict.calls, Ordering::SeqCst);
                    hours.fetch_add(verdict.virtual_ms / 1_000, Ordering::SeqCst);
                    faults.fetch_add(verdict.fired.len() as u64, Ordering::SeqCst);
                    if !verdict.violations.is_empty() {
                        let mut failed = failed.lock().unwrap();
                        failed.push((*seed, verdict));
                        enough.fetch_or(failed.len() >= most_failed, Ordering::SeqCst);
                    }
                    if enough.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
    });
    println!(
        "{} seeds: {} engine calls, {} of them gone wrong, {} virtual hours",
        seeds.len(),
        calls.into_inner(),
        faults.into_inner(),
        hours.into_inner() / 3_600
    );
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    failed
}

/// One seed with everything that happened in it.
fn one(seed: u64) {
    let story = Story::of(seed);
    let verdict = prove(&story, true);
    println!("{}", verdict.trace.join("\n"));
    if verdict.violations.is_empty() {
        println!("seed {seed}: all is well ({:016x})", verdict.digest);
        return;
    }
    explain(seed, &verdict);
    panic!("seed {seed} failed");
}

fn explain(seed: u64, verdict: &Verdict) {
    for text in &verdict.violations {
        println!("seed {seed}: {text}");
    }
    let smallest = shrink::shrink(&Story::of(seed));
    let again = prove(&smallest, true);
    println!("\nThe smallest story in which it happens:\n{smallest:#?}\n\n{}", again.trace.join("\n"));
    for text in &again.violations {
        println!("smallest: {text}");
    }
    println!("\nSEED={seed} scripts/prove.sh simulation -- --nocapture");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 5, 8, 13] {
        let story = Story::of(seed);
        let (first, second) = (prove(&story, false), prove(&story, false));
        assert!(first.calls > 100, "seed {seed} made only {} calls", first.calls);
        let differs = first.trace.iter().zip(&second.trace).find(|(one, other)| one != other);
        assert_eq!((first.digest, differs), (second.digest, None), "seed {seed}");
    }
}
