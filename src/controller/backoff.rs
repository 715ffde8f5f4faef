//! How long to wait after a failure, per key.

use std::collections::BTreeMap;

use fastrand::Rng;

/// The first wait is at most this. Milliseconds.
pub const FIRST_MS: u64 = 1_000;
/// No wait is longer: an operator who repaired something looks at the screen for about this long. Milliseconds.
pub const LONGEST_MS: u64 = 300_000;

/// Counts failures per key and turns them into waits: 1 s, doubling up to 5 min, each drawn at random from the upper half
/// of its range. Many services that fail together (an engine restart) thus do not come back together, and yet no wait is so
/// short that a broken thing is hammered.
#[derive(Debug, Clone)]
pub struct Backoff<K> {
    failures: BTreeMap<K, u32>,
    random: Rng,
}

impl<K: Ord> Default for Backoff<K> {
    fn default() -> Self {
        Self::new(Rng::new())
    }
}

impl<K: Ord> Backoff<K> {
    /// Draws from `random`: give it a seed and the waits are the same every time.
    #[must_use]
    pub fn new(random: Rng) -> Self {
        Self { failures: BTreeMap::new(), random }
    }

    /// Notes another failure. Returns the milliseconds to wait before the next try.
    pub fn failed(&mut self, key: K) -> u64 {
        let count = self.failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        let ceiling = ceiling(*count);
        self.random.u64(ceiling / 2..=ceiling)
    }

    /// The key is well again (or gone): its next failure waits as the first does.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Failures in a row; 0 when the last pass was a success.
    #[must_use]
    pub fn attempts(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// Keys that are failing.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.failures.len()
    }
}

/// The longest wait after the `count`th failure in a row. Milliseconds.
#[must_use]
pub fn ceiling(count: u32) -> u64 {
    let doublings = count.saturating_sub(1).min(32);
    FIRST_MS.saturating_mul(1 << doublings).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_five_minutes() {
        let seconds: Vec<u64> = (1..=11).map(|count| ceiling(count) / 1000).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(ceiling(u32::MAX), LONGEST_MS);
    }

    #[test]
    fn every_wait_lies_in_the_upper_half_of_its_range() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(Rng::with_seed(seed));
            for count in 1..20 {
                let wait = backoff.failed("web");
                assert!((ceiling(count) / 2..=ceiling(count)).contains(&wait), "failure {count}: {wait} ms");
            }
        }
    }

    #[test]
    fn keys_that_fail_together_do_not_come_back_together() {
        let mut backoff = Backoff::new(Rng::with_seed(7));
        let waits: std::collections::BTreeSet<u64> = (0..20).map(|key| backoff.failed(key)).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn a_success_starts_the_count_anew_for_that_key_only() {
        let mut backoff = Backoff::new(Rng::with_seed(1));
        for _ in 0..5 {
            backoff.failed("web");
            backoff.failed("db");
        }
        assert_eq!((backoff.attempts(&"web"), backoff.failing()), (5, 2));
        backoff.succeeded(&"web");
        assert_eq!((backoff.attempts(&"web"), backoff.attempts(&"db"), backoff.failing()), (0, 5, 1));
        assert!(backoff.failed("web") <= FIRST_MS);
    }
}
