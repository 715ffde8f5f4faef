//! What is remembered of a job.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::run::{Result, Run, RunEnd, RunId, Stage};
use crate::desired::ident::ServiceName;
use crate::desired::work::JobSpec;
use crate::state::plan::Failure;
use crate::state::time::{Mono, Now, Timestamp};

/// Ended runs that are remembered, beside those whose containers stay.
const REMEMBERED: usize = 50;

/// The durable memory of one job. Its runs are notes of their own, so that a change of one writes one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// The definition that loaded last: it stands while its file does not load.
    pub spec: Option<Box<JobSpec>>,
    /// Occurrences up to here were dealt with.
    pub considered: Option<Timestamp>,
    /// The definition, with its image where that is chosen, that `on_change` ran for last.
    pub changed: Option<String>,
    /// The last end of each job in `after` that was dealt with.
    pub consumed: BTreeMap<ServiceName, u64>,
    /// Ends so far.
    pub ends: u64,
    /// Occurrences that could not be run: evenkeel or the host was down, or it could not begin in time.
    pub missed: u64,
    pub last_missed: Option<Timestamp>,
    /// Occurrences that were passed over because of `overlap` or a pause.
    pub skipped: u64,
    /// Ends so far by result.
    pub results: BTreeMap<Result, u64>,
    pub last_success: Option<Timestamp>,
    /// Milliseconds that the last run took which ran at all.
    pub last_took_ms: Option<u64>,
    /// When its image was last pulled for it.
    pub pulled: Option<Timestamp>,
    #[serde(skip)]
    pub runs: BTreeMap<RunId, Run>,
}

/// What may be lost with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobMemo {
    /// What the engine refused, by run.
    pub troubles: BTreeMap<RunId, Trouble>,
    /// What became of pulls that failed.
    pub pulls: BTreeMap<RunId, Trouble>,
    /// Since when a container whose start was not answered is seen not to run.
    pub doubts: BTreeMap<RunId, Mono>,
    /// When a run was first seen to run, and how long it had run by then.
    pub running: BTreeMap<RunId, (Mono, u64)>,
    /// Runs whose image was pulled, or that go on without.
    pub pulled: BTreeSet<RunId>,
    /// Stops that were asked for: not again at once.
    pub stopped: BTreeMap<RunId, Mono>,
    /// What a run waits for, for people.
    pub waits: BTreeMap<RunId, String>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Failure,
    pub text: String,
    pub count: u32,
    pub last: Mono,
}

impl JobMemo {
    pub(super) fn refuse(&mut self, id: &RunId, kind: Failure, text: &str, now: Mono) -> u32 {
        let count = self.troubles.get(id).map_or(0, |trouble| trouble.count) + 1;
        self.troubles.insert(id.clone(), Trouble { kind, text: text.to_owned(), count, last: now });
        count
    }

    pub(super) fn not_pulled(&mut self, id: &RunId, kind: Failure, text: &str, now: Mono) {
        let count = self.pulls.get(id).map_or(0, |trouble| trouble.count) + 1;
        self.pulls.insert(id.clone(), Trouble { kind, text: text.to_owned(), count, last: now });
    }

    /// Forgets what is over.
    pub(super) fn tidy(&mut self, record: &JobRecord) {
        let open = |id: &RunId| record.runs.get(id).is_some_and(Run::is_open);
        self.troubles.retain(|id, _| open(id));
        self.pulls.retain(|id, _| open(id));
        self.doubts.retain(|id, _| open(id));
        self.running.retain(|id, _| open(id));
        self.pulled.retain(open);
        self.stopped.retain(|id, _| open(id));
        self.waits.retain(|id, _| open(id));
    }
}

/// How a run ended, before it is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    pub code: Option<i64>,
    pub text: String,
    pub tail: String,
    /// By the engine's clock.
    pub took_ms: Option<u64>,
}

impl JobRecord {
    pub fn open(&self) -> impl Iterator<Item = (&RunId, &Run)> {
        self.runs.iter().filter(|(_, run)| run.is_open())
    }

    /// The ends of runs, newest first.
    #[must_use]
    pub fn ended(&self) -> Vec<(&RunId, &Run, &RunEnd)> {
        let mut all: Vec<_> =
            self.runs.iter().filter_map(|(id, run)| Some((id, run, run.end.as_ref()?))).collect();
        all.sort_by_key(|(_, _, end)| std::cmp::Reverse(end.number));
        all
    }

    /// A name for a run that is asked for now: no run of before has it.
    pub(super) fn free_id(&self, at: Timestamp) -> RunId {
        let taken = |id: &RunId| self.runs.keys().any(|known| known.base() == id.base());
        let seconds = (0..10_000_i64).map(|second| RunId::at(Timestamp(at.0 + second * 1000)));
        seconds.into_iter().find(|id| !taken(id)).unwrap_or_else(|| RunId::at(at))
    }

    /// Ends a run, and adds the next try where there is one. `spec`: what says how often.
    pub(super) fn finish(
        &mut self,
        id: &RunId,
        result: Result,
        ending: Ending,
        spec: Option<&JobSpec>,
        now: Now,
    ) {
        let Some(run) = self.runs.get_mut(id).filter(|run| run.is_open()) else { return };
        let again = spec.filter(|spec| result.is_retried() && run.attempt <= spec.retries);
        self.ends += 1;
        let since =
            |started: Timestamp| u64::try_from(now.wall.0.saturating_sub(started.0)).unwrap_or_default();
        let took_ms = ending.took_ms.or_else(|| run.started.map(since));
        run.stage = Stage::Ended;
        run.end = Some(RunEnd {
            result,
            at: now.wall,
            took_ms,
            code: ending.code,
            text: ending.text,
            tail: ending.tail,
            number: self.ends,
            last: again.is_none(),
        });
        let next = again.map(|spec| {
            let due = Timestamp(now.wall.0.saturating_add_unsigned(spec.retry_delay_ms));
            let attempt = run.attempt + 1;
            (id.attempt(attempt), Run { attempt, ..Run::new(run.cause.clone(), due) })
        });
        *self.results.entry(result).or_default() += 1;
        self.last_took_ms = took_ms.or(self.last_took_ms);
        if result == Result::Succeeded {
            self.last_success = Some(now.wall);
        }
        self.runs.extend(next);
    }

    /// Forgets runs of long ago of which nothing is left on the engine.
    pub(super) fn forget_old(&mut self) {
        let old: Vec<RunId> = self
            .ended()
            .into_iter()
            .skip(REMEMBERED)
            .filter(|(_, run, _)| run.container.is_none())
            .map(|(id, ..)| id.clone())
            .collect();
        for id in old {
            self.runs.remove(&id);
        }
    }
}
