//! What is to be reconciled, and when. No I/O and no clock: time comes in as an argument.
//!
//! Guarantees: a key is handed out to one pass at a time; of several times asked for the earliest wins, so an immediate
//! trigger overtakes a backoff; a key that is triggered while its pass runs is handed out again afterwards, because that
//! pass may have looked before the change; nothing is ever lost, and nothing grows beyond one entry per key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::state::time::Mono;

/// Why a pass runs. For logs and metrics only: a pass looks at everything anew whatever the reason, so that a lost or a
/// wrong one can do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The desired state changed.
    Desired,
    /// The engine reported something about it.
    Engine,
    /// Something it depends on, or is shared with, changed.
    Related,
    /// An image policy or a registry has news.
    Image,
    /// The regular look at everything; also the look after a reconnect.
    Resync,
    /// An operator's command or a signal.
    Operator,
    /// The previous pass asked for it.
    Requeue,
    /// The previous pass failed.
    Retry,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Engine => "engine",
            Self::Related => "related",
            Self::Image => "image",
            Self::Resync => "resync",
            Self::Operator => "operator",
            Self::Requeue => "requeue",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reasons that came together in one pass.
pub type Reasons = BTreeSet<Reason>;

#[derive(Debug, Clone)]
struct Entry {
    due: Mono,
    /// Ties in order of arrival: nobody starves.
    arrival: u64,
    reasons: Reasons,
}

/// The queue of keys. See the module for what it guarantees.
#[derive(Debug, Clone)]
pub struct Queue<K> {
    waiting: BTreeMap<K, Entry>,
    /// Those of `waiting` that may be handed out, that is, without the ones whose pass runs.
    order: BTreeSet<(Mono, u64, K)>,
    running: BTreeSet<K>,
    arrivals: u64,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), order: BTreeSet::new(), running: BTreeSet::new(), arrivals: 0 }
    }
}

impl<K: Ord + Clone> Queue<K> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a pass at once.
    pub fn add(&mut self, key: K, reason: Reason, now: Mono) {
        self.add_at(key, now, reason);
    }

    /// Asks for a pass at `at`, or earlier if one is already due earlier.
    pub fn add_at(&mut self, key: K, at: Mono, reason: Reason) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let free = !self.running.contains(&key);
        match self.waiting.get_mut(&key) {
            Some(entry) => {
                entry.reasons.insert(reason);
                if at < entry.due {
                    self.order.remove(&(entry.due, entry.arrival, key.clone()));
                    (entry.due, entry.arrival) = (at, arrival);
                    if free {
                        self.order.insert((at, arrival, key));
                    }
                }
            }
            None => {
                let entry = Entry { due: at, arrival, reasons: Reasons::from([reason]) };
                self.waiting.insert(key.clone(), entry);
                if free {
                    self.order.insert((at, arrival, key));
                }
            }
        }
    }

    /// Hands out the key that has been due longest, with every reason it was asked for. Its pass has begun: call
    /// [`Self::done`] when it ends.
    #[must_use]
    pub fn pop(&mut self, now: Mono) -> Option<(K, Reasons)> {
        if self.order.first()?.0 > now {
            return None;
        }
        let (_, _, key) = self.order.pop_first()?;
        let entry = self.waiting.remove(&key)?;
        self.running.insert(key.clone());
        Some((key, entry.reasons))
    }

    /// The pass of `key` has ended, well or not. What was asked for meanwhile counts from now on.
    pub fn done(&mut self, key: &K) {
        if self.running.remove(key)
            && let Some(entry) = self.waiting.get(key)
        {
            self.order.insert((entry.due, entry.arrival, key.clone()));
        }
    }

    /// Nobody wants a pass for `key` any more. One that runs goes on.
    pub fn forget(&mut self, key: &K) {
        if let Some(entry) = self.waiting.remove(key) {
            self.order.remove(&(entry.due, entry.arrival, key.clone()));
        }
    }

    /// When [`Self::pop`] will next have something; `None` while that needs an `add` or a `done` first.
    #[must_use]
    pub fn next_due(&self) -> Option<Mono> {
        self.order.first().map(|(due, _, _)| *due)
    }

    /// When `key` is next looked at by itself, for `status`.
    #[must_use]
    pub fn due(&self, key: &K) -> Option<Mono> {
        self.waiting.get(key).map(|entry| entry.due)
    }

    /// Keys that wait, due or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keys whose pass runs.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    #[must_use]
    pub fn is_running(&self, key: &K) -> bool {
        self.running.contains(key)
    }

    /// Keys that are due and wait only for a free worker or for their running pass.
    #[must_use]
    pub fn backlog(&self, now: Mono) -> usize {
        self.waiting.values().filter(|entry| entry.due <= now).count()
    }

    /// Milliseconds that the longest-due key has been waiting; 0 when none is due.
    #[must_use]
    pub fn oldest_age(&self, now: Mono) -> u64 {
        self.waiting.values().map(|entry| now.since(entry.due)).max().unwrap_or(0)
    }
}
