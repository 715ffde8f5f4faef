//! The checker: looks at the engine some twenty times a second, through a client of its own and past the proxy, and writes down
//! every sample that breaks a promise.
//!
//! A list can be behind (RELIABILITY.md fact 5). So a list only raises a suspicion; a violation is what two inspections of all
//! containers concerned, one after the other, both show.

pub mod look;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use look::Look;
use rules::{Memory, Promises, Rule, Violation, judge};

const PERIOD: Duration = Duration::from_millis(40);
const OBJECTS_EVERY: u64 = 5;

pub struct Checker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    promises: Mutex<Promises>,
    found: Mutex<Vec<(Duration, Violation)>>,
    samples: AtomicU64,
    /// Samples that the engine did not answer: it was down, or hung.
    blind: AtomicU64,
    /// The longest time between two samples, in milliseconds.
    gap: AtomicU64,
    over: AtomicBool,
}

impl Checker {
    /// Samples everything that carries this owner label, from now on.
    pub fn start(socket: PathBuf, owner: &str) -> Self {
        let shared = Arc::new(Shared {
            promises: Mutex::new(Promises::default()),
            found: Mutex::new(Vec::new()),
            samples: AtomicU64::new(0),
            blind: AtomicU64::new(0),
            gap: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let look = Look::new(socket, owner);
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || sample(&own, &look));
        Self { shared, thread: Some(thread) }
    }

    /// Changes what must hold from the next sample on.
    pub fn promise<T>(&self, change: impl FnOnce(&mut Promises) -> T) -> T {
        change(&mut self.shared.promises.lock().unwrap())
    }

    /// This image, by its id, must not go. Replaces the one that had to stay before.
    pub fn keeps_image(&self, id: &str) {
        self.promise(|promises| promises.images = BTreeSet::from([id.to_owned()]));
    }

    pub fn keeps_volume(&self, name: &str) {
        self.promise(|promises| promises.volumes.insert(name.to_owned()));
    }

    /// From now on somebody else may break this one: an engine that is killed, a prune.
    pub fn pardon(&self, rule: Rule) {
        self.promise(|promises| promises.pardoned.insert(rule));
    }

    /// These objects, as they are now, must stay so.
    pub fn guards(&self, foreign: BTreeMap<String, String>) {
        self.promise(|promises| promises.foreign = foreign);
    }

    /// What was broken so far.
    pub fn found(&self) -> Vec<Violation> {
        self.shared.found.lock().unwrap().iter().map(|(_, violation)| violation.clone()).collect()
    }

    pub fn samples(&self) -> u64 {
        self.shared.samples.load(Ordering::SeqCst)
    }

    /// Fails the test if any promise was broken. Says what was looked at.
    #[track_caller]
    pub fn finish(&mut self) -> String {
        let samples = self.samples();
        // What was done last is looked at, too, objects included.
        let last = crate::support::wait::try_wait(Duration::from_secs(30), || {
            (self.samples() > samples + OBJECTS_EVERY).then_some(())
        });
        self.end();
        assert!(last.is_some(), "the checker could not look at the engine at the end");
        let found = self.shared.found.lock().unwrap();
        let text: Vec<String> = found
            .iter()
            .take(20)
            .map(|(at, violation)| {
                format!("  {:7.2} s {:?}: {}", at.as_secs_f64(), violation.rule, violation.text)
            })
            .collect();
        assert!(found.is_empty(), "{} samples broke a promise:\n{}", found.len(), text.join("\n"));
        format!(
            "{} samples ({} unanswered), longest gap {} ms, no violation",
            self.samples(),
            self.shared.blind.load(Ordering::SeqCst),
            self.shared.gap.load(Ordering::SeqCst)
        )
    }

    fn end(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            for (at, violation) in self.shared.found.lock().unwrap().iter().take(20) {
                eprintln!(
                    "--- broken at {:.2} s: {:?}: {}",
                    at.as_secs_f64(),
                    violation.rule,
                    violation.text
                );
            }
        }
    }
}

fn sample(shared: &Shared, look: &Look) {
    let born = Instant::now();
    let mut memory = Memory::default();
    let mut last = Instant::now();
    for round in 0_u64.. {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let mut promises = shared.promises.lock().unwrap().clone();
        // Who runs can change within a moment; what an object is, or that it is gone, stays to be seen a moment later.
        if !round.is_multiple_of(OBJECTS_EVERY) {
            promises = promises.of_containers();
        }
        match look.list(&promises) {
            Ok(sample) => {
                shared.samples.fetch_add(1, Ordering::SeqCst);
                if !judge(&promises, &mut memory, &sample).is_empty()
                    && let Ok(sure) = look.closely(&promises)
                {
                    // What is promised may have changed since the list was asked for.
                    let promises = shared.promises.lock().unwrap().clone();
                    let violations = judge(&promises, &mut memory, &sure);
                    shared.found.lock().unwrap().extend(violations.into_iter().map(|v| (born.elapsed(), v)));
                }
            }
            Err(_) => {
                shared.blind.fetch_add(1, Ordering::SeqCst);
            }
        }
        let now = Instant::now();
        let gap = u64::try_from((now - last).as_millis()).unwrap_or(u64::MAX);
        shared.gap.fetch_max(gap, Ordering::SeqCst);
        last = now;
        thread::sleep(PERIOD);
    }
}
