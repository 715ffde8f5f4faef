//! When to read after something was written. Pure: time comes in as milliseconds on any clock that does not go back.

/// After a file was closed or renamed: it is whole, and only its companions are waited for, which a checkout or a copy brings
/// within a few milliseconds of one another. Milliseconds.
const AFTER_FINISHED: u64 = 20;
/// After anything else: someone may still be writing. Milliseconds.
const AFTER_ONGOING: u64 = 300;
/// However long the writing goes on. Milliseconds.
pub const LONGEST: u64 = 2_000;
/// Reading takes at most about a tenth of the time, also below a directory where something writes all day.
const REST_FACTOR: u64 = 10;
const LONGEST_REST: u64 = 20_000;

/// What an event of the file system says about the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edit {
    /// It may go on: created, written, removed, changed its mode.
    Ongoing,
    /// It is done with a file: closed after writing, renamed, or an event whose kind was lost.
    Finished,
}

/// Turns bursts of edits into one read each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debounce {
    /// The first edit that has not been read, and when quiet is reached if no other comes.
    pending: Option<(u64, u64)>,
    rested_at: u64,
}

impl Debounce {
    /// Something happened at `now`.
    pub fn note(&mut self, edit: Edit, now: u64) {
        let first = self.pending.map_or(now, |(first, _)| first);
        let quiet = match edit {
            Edit::Finished => AFTER_FINISHED,
            Edit::Ongoing => AFTER_ONGOING,
        };
        self.pending = Some((first, now.saturating_add(quiet)));
    }

    /// When to read; `None` when nothing happened since the last read.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.pending.map(|(first, quiet)| quiet.min(first.saturating_add(LONGEST)).max(self.rested_at))
    }

    /// A read begins: what happened before is in it.
    pub fn begin(&mut self) {
        self.pending = None;
    }

    /// A read that took `took` milliseconds ended at `now`.
    pub fn end(&mut self, took: u64, now: u64) {
        self.rested_at = now.saturating_add(took.saturating_mul(REST_FACTOR).min(LONGEST_REST));
    }
}

#[cfg(test)]
mod tests {
    use super::Edit::{Finished, Ongoing};
    use super::*;

    fn check(edits: &[(Edit, u64)], due: u64) {
        let mut debounce = Debounce::default();
        for (edit, at) in edits {
            debounce.note(*edit, *at);
        }
        assert_eq!(debounce.due(), Some(due), "after {edits:?}");
    }

    #[test]
    fn a_finished_file_is_read_soon_and_an_unfinished_one_after_quiet() {
        check(&[(Finished, 1000)], 1020);
        check(&[(Ongoing, 1000)], 1300);
        check(&[(Ongoing, 1000), (Ongoing, 1010), (Finished, 1020)], 1040);
    }

    #[test]
    fn an_edit_that_follows_a_finished_file_is_waited_for() {
        check(&[(Finished, 1000), (Ongoing, 1010)], 1310);
        check(&[(Finished, 1000), (Finished, 1015), (Finished, 1030)], 1050);
    }

    #[test]
    fn writing_without_end_is_read_every_two_seconds() {
        let edits: Vec<(Edit, u64)> = (0..40).map(|n| (Ongoing, 1000 + n * 100)).collect();
        check(&edits, 3000);
    }

    #[test]
    fn a_read_takes_in_what_happened_before_it_and_leaves_what_comes_during_it() {
        let mut debounce = Debounce::default();
        debounce.note(Finished, 0);
        debounce.begin();
        assert_eq!(debounce.due(), None);
        debounce.note(Finished, 60);
        debounce.end(0, 61);
        assert_eq!(debounce.due(), Some(80));
    }

    #[test]
    fn a_slow_read_is_followed_by_a_rest_ten_times_as_long_but_not_for_ever() {
        let mut debounce = Debounce::default();
        debounce.end(200, 1000);
        assert_eq!(debounce.due(), None);
        debounce.note(Finished, 1001);
        assert_eq!(debounce.due(), Some(3000));
        debounce.end(60_000, 100_000);
        assert_eq!(debounce.due(), Some(120_000));
    }
}
