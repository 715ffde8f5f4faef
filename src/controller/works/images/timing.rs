//! When a repository is looked at next. Values only: the clock is given.

use crate::state::time::{Mono, Now, Timestamp};

/// Between two looks where nobody says. Milliseconds.
const EVERY_MS: u64 = 6 * 3_600_000;
/// The shortest time between two looks. Milliseconds.
const LEAST_MS: u64 = 1_000;
/// The first wait after a failure, doubled each time. Milliseconds.
const BACKOFF_MS: u64 = 5_000;
/// The longest wait after failures. Milliseconds.
const BACKOFF_MOST_MS: u64 = 3_600_000;
/// Within this time the looks are spread that were due while nothing ran. Milliseconds.
const SPREAD_MS: u64 = 10_000;

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was found out; the first tag that is not old enough is so then.
    Well {
        due: Option<Timestamp>,
    },
    /// The registry wants to be left alone for so long.
    Limited {
        for_ms: u64,
    },
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timing {
    every_ms: u64,
    /// The next look that lists the tags.
    list_at: Mono,
    /// When a tag is old enough: looked at without a list.
    ripe_at: Option<Mono>,
    failures: u32,
    /// Not before, whoever asks: the registry said so, or it has just failed.
    not_before: Mono,
    /// The tag of another service that a look was made for.
    tag: Option<String>,
    /// A look was asked for while one was under way, which may have asked before whatever is to be found.
    again: bool,
}

/// The shortest of those who follow; the daemon's own pace where none says.
pub(super) fn every(all: impl Iterator<Item = Option<u64>>) -> u64 {
    all.map(|every| every.unwrap_or(EVERY_MS)).min().unwrap_or(EVERY_MS).max(LEAST_MS)
}

impl Timing {
    /// `well`: the last look by any process. What was due meanwhile is spread a little.
    pub fn new(every_ms: u64, urgent: bool, well: Option<Timestamp>, now: Now) -> Self {
        let passed = well.map(|well| u64::try_from(now.wall.0.saturating_sub(well.0)).unwrap_or_default());
        let wait = match passed {
            _ if urgent => 0,
            None => 0,
            Some(passed) => {
                spread(every_ms).saturating_sub(passed).max(fastrand::u64(..SPREAD_MS.min(every_ms)))
            }
        };
        let (list_at, not_before) = (now.mono.after(wait), now.mono);
        // What is old enough by now is not known: the first look tells.
        Self { every_ms, list_at, ripe_at: None, failures: 0, not_before, tag: None, again: false }
    }

    /// The same for others who follow.
    pub fn changed(mut self, every_ms: u64, urgent: bool, now: Mono) -> Self {
        if self.every_ms != every_ms {
            self.every_ms = every_ms;
            self.list_at = self.list_at.min(now.after(spread(every_ms)));
        }
        if urgent {
            self.list_at = now;
            self.again = true;
        }
        self
    }

    pub fn at_once(&mut self, now: Mono) {
        self.list_at = now;
        self.again = true;
        self.failures = 0;
        // A registry that said for how long it wants to be left alone is not asked: its client sees to that.
        self.not_before = now;
    }

    /// Another service runs this tag now.
    pub fn for_tag(&mut self, tag: &str, now: Mono) {
        if self.tag.as_deref() != Some(tag) {
            self.tag = Some(tag.to_owned());
            self.list_at = now;
            self.again = true;
        }
    }

    /// A look begins.
    pub fn begun(&mut self) {
        self.again = false;
    }

    pub fn due(&self) -> Mono {
        self.ripe_at.map_or(self.list_at, |ripe| ripe.min(self.list_at)).max(self.not_before)
    }

    /// Whether the look that is due now lists the tags.
    pub fn lists(&self, now: Mono) -> bool {
        self.list_at.max(self.not_before) <= now
    }

    /// A look is over.
    pub fn looked(&mut self, ended: &Ended, listed: bool, now: Now) {
        self.ripe_at = None;
        match ended {
            Ended::Well { due } => {
                self.failures = 0;
                self.not_before = now.mono;
                if listed {
                    self.list_at = now.mono.after(spread(self.every_ms));
                }
                let left = due.map(|due| u64::try_from(due.0.saturating_sub(now.wall.0)).unwrap_or_default());
                self.ripe_at = left.map(|left| now.mono.after(left.max(1)));
            }
            Ended::Limited { for_ms } => {
                let wait = for_ms.saturating_add(fastrand::u64(..=for_ms / 10 + 1));
                self.not_before = now.mono.after(wait);
                self.list_at = self.not_before;
            }
            Ended::Failed => {
                let doubled = BACKOFF_MS.saturating_mul(1 << self.failures.min(16));
                self.failures = self.failures.saturating_add(1);
                let most = BACKOFF_MOST_MS.min(self.every_ms.max(BACKOFF_MS));
                self.not_before = now.mono.after(spread(doubled.min(most)));
                self.list_at = self.not_before;
            }
        }
        if std::mem::take(&mut self.again) {
            self.list_at = now.mono;
        }
    }
}

/// Within a tenth: a hundred hosts behind one address do not ask at once.
fn spread(ms: u64) -> u64 {
    let tenth = ms / 10;
    ms - tenth + fastrand::u64(0..=2 * tenth)
}
