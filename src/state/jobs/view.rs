//! Jobs as people and programs are shown them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::begin::container_name;
use super::record::{JobMemo, JobRecord};
use super::run::{Run, RunCause, RunId, Stage};
use super::when::{Calendar, jitter};
use crate::desired::ident::ServiceId;
use crate::desired::work::{Ending, JobSpec, Runs, Trigger, WorkId};
use crate::state::time::Timestamp;

/// One job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRow {
    pub job: String,
    /// `30 2 * * *`, `after fetch (succeeded)`, `on change`, `by hand`.
    pub trigger: String,
    pub timezone: Option<String>,
    /// When it runs next by its schedule.
    pub next: Option<Timestamp>,
    /// Why nothing starts it.
    pub paused: Option<String>,
    /// Why its definition is not in force.
    pub problem: Option<String>,
    /// Runs that are not over.
    pub open: Vec<RunRow>,
    /// The run that ended last.
    pub last: Option<RunRow>,
    pub last_success: Option<Timestamp>,
    pub missed: u64,
    pub last_missed: Option<Timestamp>,
    pub skipped: u64,
    /// Ends so far, by result.
    pub results: BTreeMap<String, u64>,
    /// `shop/jobs.toml:3`.
    pub source: String,
    /// Ended runs, newest first; only where one job is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunRow>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRow {
    pub run: String,
    /// `schedule`, `after`, `change`, `hand`, `found`.
    pub cause: String,
    pub attempt: u32,
    pub due: Timestamp,
    /// `waiting`, `starting`, `running`, or how it ended: `succeeded`, `failed`, `timed-out`, `replaced`, `stopped`, `broken`, `lost`.
    pub state: String,
    /// What it waits for, or how it ended.
    pub text: String,
    pub remark: Option<String>,
    pub image: Option<String>,
    /// The name of its container while there is one.
    pub container: Option<String>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub took_ms: Option<u64>,
    pub code: Option<i64>,
    /// No other try follows.
    pub last: bool,
    /// The last lines it printed. Only given to the local socket: programs print secrets.
    pub tail: Option<String>,
}

/// What a row is made of.
pub struct Showing<'a> {
    pub id: &'a WorkId,
    pub owner: &'a str,
    /// What is in force.
    pub spec: Option<&'a JobSpec>,
    pub record: &'a JobRecord,
    pub memo: &'a JobMemo,
    pub zone: &'a TimeZone,
    pub paused: Option<&'a str>,
    pub problem: Option<String>,
    pub now: Timestamp,
}

impl Showing<'_> {
    /// The row, with at most so many ended runs.
    #[must_use]
    pub fn row(&self, runs: usize) -> JobRow {
        let Self { id, spec, record, .. } = *self;
        let own = spec.filter(|spec| spec.paused).map(|_| "the job is paused".to_owned());
        let paused = self.paused.map(|place| format!("{place} says paused")).or(own);
        let ended = record.ended();
        let row = |(name, run, _): &(&RunId, &Run, _)| self.run(name, run);
        JobRow {
            job: id.to_string(),
            trigger: spec.map(trigger).unwrap_or_default(),
            timezone: spec.filter(|spec| matches!(spec.trigger, Trigger::Schedule(_))).and_then(zone_of),
            next: self.next().filter(|_| paused.is_none()),
            paused,
            problem: self.problem.clone(),
            open: record.open().map(|(name, run)| self.run(name, run)).collect(),
            last: ended.first().map(row),
            last_success: record.last_success,
            missed: record.missed,
            last_missed: record.last_missed,
            skipped: record.skipped,
            results: record.results.iter().map(|(result, n)| (result.word().to_owned(), *n)).collect(),
            source: spec.map(|spec| spec.source.told()).unwrap_or_default(),
            runs: ended.iter().take(runs).map(row).collect(),
        }
    }

    /// The next occurrence, with its jitter.
    fn next(&self) -> Option<Timestamp> {
        let spec = self.spec?;
        let Trigger::Schedule(schedule) = &spec.trigger else { return None };
        let at = Calendar::new(schedule, self.zone)?.next(self.now)?;
        let seed = format!("{} {}", self.owner, self.id);
        Some(Timestamp(at.0.saturating_add_unsigned(jitter(&seed, at, spec.jitter_ms))))
    }

    fn run(&self, id: &RunId, run: &Run) -> RunRow {
        let own = ServiceId { project: self.id.project.clone(), service: self.id.name.clone() };
        let within = self.spec.is_some_and(|spec| matches!(spec.runs, Runs::Exec(_)));
        let state = match (run.stage, &run.end) {
            (_, Some(end)) => end.result.word(),
            (Stage::Waiting, _) => "waiting",
            (Stage::Running, _) => "running",
            _ => "starting",
        };
        let waits = self.memo.waits.get(id).cloned().unwrap_or_default();
        let cause = match &run.cause {
            RunCause::After(job) => format!("after {job}"),
            cause => cause.word().to_owned(),
        };
        RunRow {
            run: id.to_string(),
            cause,
            attempt: run.attempt,
            due: run.due,
            state: state.to_owned(),
            text: run.end.as_ref().map_or(waits, |end| end.text.clone()),
            remark: run.remark.clone(),
            image: run.image.clone(),
            container: run
                .container
                .as_ref()
                .filter(|_| !within && run.exec.is_none())
                .map(|_| container_name(&own, id)),
            started: run.started,
            ended: run.end.as_ref().map(|end| end.at),
            took_ms: run.end.as_ref().and_then(|end| end.took_ms),
            code: run.end.as_ref().and_then(|end| end.code),
            last: run.end.as_ref().is_some_and(|end| end.last),
            tail: run.end.as_ref().map(|end| end.tail.clone()).filter(|tail| !tail.is_empty()),
        }
    }
}

fn zone_of(spec: &JobSpec) -> Option<String> {
    spec.timezone.clone()
}

/// What starts a job, in a few words.
#[must_use]
pub fn trigger(spec: &JobSpec) -> String {
    match &spec.trigger {
        Trigger::Hand => "by hand".to_owned(),
        Trigger::Change => "on change".to_owned(),
        Trigger::Schedule(schedule) => schedule.as_str().to_owned(),
        Trigger::After(others) => {
            let word = |ending: &Ending| match ending {
                Ending::Succeeded => "succeeded",
                Ending::Failed => "failed",
                Ending::Finished => "finished",
            };
            let all: Vec<String> =
                others.iter().map(|(name, ending)| format!("{name} ({})", word(ending))).collect();
            format!("after {}", all.join(" and "))
        }
    }
}
