//! What makes a job run: the clock, the end of another job, another definition, somebody.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::record::JobRecord;
use super::run::{Result, Run, RunCause, RunId};
use super::when::{Calendar, jitter};
use crate::desired::ident::ServiceName;
use crate::desired::work::{Ending, JobSpec, Overlap, Trigger, WorkId};
use crate::state::time::{Now, Timestamp};

/// An occurrence this old is still run: evenkeel was restarted in between. Milliseconds.
const GRACE_MS: u64 = 60_000;
/// A wall clock that went back by more than this was set. Milliseconds.
const STEP_MS: i64 = 60_000;
/// Occurrences that are counted at a look; more are as good as these.
const COUNTED: u64 = 100_000;
/// Runs by hand that wait.
const QUEUED: usize = 100;

/// An end of a job, as those after it hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub number: u64,
    pub result: Result,
}

/// The ends of a job that another one may be after, newest first.
#[must_use]
pub fn ends(record: &JobRecord) -> Vec<Ended> {
    let last = |(_, _, end): (_, _, &super::run::RunEnd)| {
        // A run that made room for the next one has not ended as far as others are concerned: that one will.
        (end.last && end.result != Result::Replaced)
            .then_some(Ended { number: end.number, result: end.result })
    };
    record.ended().into_iter().filter_map(last).collect()
}

/// What a look at the triggers needs to know.
pub struct Triggers<'a> {
    pub id: &'a WorkId,
    /// Makes the jitter of hosts differ.
    pub owner: &'a str,
    pub spec: &'a JobSpec,
    pub zone: &'a TimeZone,
    /// The ends of the jobs in `after`.
    pub ends: &'a BTreeMap<ServiceName, Vec<Ended>>,
    /// The definition with its image; `None`: the image is not known yet.
    pub definition: Option<&'a str>,
    pub paused: bool,
    pub now: Now,
}

impl Triggers<'_> {
    /// Adds the runs that are due. Returns when to look again for the next one, by the wall clock.
    pub fn look(&self, record: &mut JobRecord) -> Option<Timestamp> {
        let before = record.spec.as_deref();
        let moved = before.is_none_or(|before| {
            before.trigger != self.spec.trigger || before.timezone != self.spec.timezone
        });
        if moved {
            // What the new schedule would have been before it was there was never missed.
            let now = self.now.wall;
            record.considered = Some(record.considered.map_or(now, |considered| considered.max(now)));
        }
        match &self.spec.trigger {
            Trigger::Hand => None,
            Trigger::Schedule(schedule) => {
                let calendar = Calendar::new(schedule, self.zone)?;
                self.occurrences(record, &calendar);
                calendar.next(record.considered.unwrap_or(self.now.wall).max(self.now.wall))
            }
            Trigger::After(others) => {
                self.after(record, others);
                None
            }
            Trigger::Change => {
                self.change(record);
                None
            }
        }
    }

    fn occurrences(&self, record: &mut JobRecord, calendar: &Calendar) {
        let now = self.now.wall;
        let mut considered = record.considered.unwrap_or(now);
        if considered.0 > now.0.saturating_add(STEP_MS) {
            // The clock was wrong and is right again. What ran is in the journal by its name, and does not run again.
            considered = now;
        }
        let (mut count, mut latest) = (0, None);
        while let Some(at) = calendar.next(considered).filter(|at| *at <= now) {
            (considered, latest) = (at, Some(at));
            count += 1;
            if count >= COUNTED {
                considered = now;
                break;
            }
        }
        record.considered = Some(considered);
        let Some(at) = latest.filter(|at| !record.runs.contains_key(&RunId::at(*at))) else { return };
        let late = u64::try_from(now.0 - at.0).unwrap_or_default();
        let within = self.spec.start_within_ms;
        let runs = match self.spec.catch_up {
            true => within.is_none_or(|within| late <= within),
            false => late <= within.unwrap_or(GRACE_MS),
        };
        if self.paused {
            record.skipped += count;
            return;
        }
        let missed = if runs { count - 1 } else { count };
        if missed > 0 {
            record.missed += missed;
            record.last_missed = Some(at);
        }
        if !runs {
            return;
        }
        // One waits behind the one that runs; more would never be caught up with.
        let waits = |run: &Run| run.is_open() && !run.has_begun() && run.due <= now;
        if self.spec.overlap == Overlap::Queue
            && record.runs.values().any(|run| waits(run) && matches!(run.cause, RunCause::Schedule { .. }))
        {
            record.skipped += 1;
            return;
        }
        let seed = format!("{} {}", self.owner, self.id);
        let due = Timestamp(at.0.saturating_add_unsigned(jitter(&seed, at, self.spec.jitter_ms)));
        record.runs.insert(RunId::at(at), Run::new(RunCause::Schedule { at }, due));
    }

    /// All of the other jobs have ended as they should since it last ran. Several such ends before it could begin are one.
    fn after(&self, record: &mut JobRecord, others: &BTreeMap<ServiceName, Ending>) {
        let mut fulfilled: Vec<(&ServiceName, u64)> = Vec::new();
        for (name, ending) in others {
            let all = self.ends.get(name).map(Vec::as_slice).unwrap_or_default();
            let newest = all.iter().map(|end| end.number).max().unwrap_or_default();
            let Some(consumed) = record.consumed.get(name).copied() else {
                // What was before this job came does not start it.
                record.consumed.insert(name.clone(), newest);
                continue;
            };
            let counts = |end: &&Ended| {
                end.number > consumed
                    && match ending {
                        Ending::Succeeded => end.result == Result::Succeeded,
                        Ending::Failed => end.result != Result::Succeeded,
                        Ending::Finished => true,
                    }
            };
            if all.iter().any(|end| counts(&end)) {
                fulfilled.push((name, newest));
            } else if newest > consumed {
                record.consumed.insert(name.clone(), newest);
            }
        }
        record.consumed.retain(|name, _| others.contains_key(name));
        let Some((last, _)) = fulfilled.last().copied().filter(|_| fulfilled.len() == others.len()) else {
            return;
        };
        for (name, newest) in fulfilled {
            record.consumed.insert(name.clone(), newest);
        }
        if self.paused {
            record.skipped += 1;
            return;
        }
        let id = record.free_id(self.now.wall);
        record.runs.insert(id, Run::new(RunCause::After(last.clone()), self.now.wall));
    }

    fn change(&self, record: &mut JobRecord) {
        let Some(definition) = self.definition.filter(|_| !self.paused) else { return };
        if record.changed.as_deref() == Some(definition) {
            return;
        }
        record.changed = Some(definition.to_owned());
        // One that has not begun yet will run with what the definition is then.
        let waits = |run: &Run| run.is_open() && !run.has_begun() && run.cause == RunCause::Change;
        if !record.runs.values().any(waits) {
            let id = record.free_id(self.now.wall);
            record.runs.insert(id, Run::new(RunCause::Change, self.now.wall));
        }
    }
}

/// An operator's word: run it now.
///
/// # Errors
/// Why not.
pub fn by_hand(record: &mut JobRecord, spec: &JobSpec, now: Now) -> std::result::Result<RunId, String> {
    if let (Overlap::Skip, Some((id, _))) = (spec.overlap, record.open().find(|(_, run)| run.has_begun())) {
        return Err(format!(
            "run {id} is not over yet, and `overlap = \"skip\"` lets no other one begin: wait for it, stop it, or write overlap = \"queue\""
        ));
    }
    if record.open().count() >= QUEUED {
        return Err(format!("{QUEUED} of its runs wait already"));
    }
    let id = record.free_id(now.wall);
    record.runs.insert(id.clone(), Run::new(RunCause::Hand, now.wall));
    Ok(id)
}
