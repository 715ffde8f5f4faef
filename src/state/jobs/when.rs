//! When a schedule is due.
//!
//! A schedule names times on a clock on the wall. Which instants these are is for the time zone to say: a time that the clock skips is
//! the first minute after the gap, one that it shows twice is the first of the two. So every time on the wall is one instant, and two
//! that fall on the same instant are one occurrence.

use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use sha2::{Digest, Sha256};

use crate::desired::work::JobSpec;
use crate::desired::work::schedule::Schedule;
use crate::state::time::Timestamp;

/// Times on the wall that are looked at for one answer: more than any zone has ever skipped.
const LOOKS: usize = 3_000;

/// A schedule in a time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    cron: croner::Cron,
    zone: TimeZone,
}

impl Calendar {
    /// `None`: the schedule cannot be read, which loading has ruled out.
    #[must_use]
    pub fn new(schedule: &Schedule, zone: &TimeZone) -> Option<Self> {
        Some(Self { cron: schedule.cron()?, zone: zone.clone() })
    }

    /// The first occurrence after an instant. `None`: there is none within what a calendar can tell.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = Instant::from_millisecond(after.0).ok()?;
        // Every earlier time on the wall is an earlier instant or the same one: nothing is missed by starting here.
        let mut wall = self.zone.to_datetime(after);
        for _ in 0..LOOKS {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let instant = self.instant(wall)?;
            if instant > after {
                return Some(Timestamp(instant.as_millisecond()));
            }
        }
        None
    }

    /// The instant of a time on the wall.
    fn instant(&self, wall: DateTime) -> Option<Instant> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            // The first of two: the clock has not gone back yet.
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            // Read with the offset of after the gap it is before the gap; what follows is the end of it.
            AmbiguousOffset::Gap { after, .. } => {
                let before_it = after.to_timestamp(wall).ok()?;
                Some(self.zone.following(before_it).next()?.timestamp())
            }
        }
    }
}

/// The zone that the schedule of a job is read in; `default`: where neither it nor the host's table says one.
#[must_use]
pub fn zone_for(job: Option<&JobSpec>, default: &TimeZone) -> TimeZone {
    let named = job.and_then(|job| job.timezone.as_deref());
    let known = named.and_then(|name| TimeZoneDatabase::bundled().get(name).ok());
    known.unwrap_or_else(|| default.clone())
}

/// How much later than its schedule a run begins: the same for the same run, whoever asks and how often.
#[must_use]
pub fn jitter(seed: &str, at: Timestamp, most_ms: u64) -> u64 {
    if most_ms == 0 {
        return 0;
    }
    let digest = Sha256::digest(format!("evenkeel jitter 1\n{seed}\n{}", at.0));
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number % most_ms.saturating_add(1)
}
