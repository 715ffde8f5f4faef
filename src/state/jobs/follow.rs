//! A run with a container: one step further, to its end, and away when nobody looks at its log any more.

use std::collections::BTreeMap;

use super::decide::{Exit, JobStep, Pass, Seen, Wants, remove};
use super::record::{Ending, JobRecord};
use super::run::{Result, Run, RunId, Stage, StopCause};
use crate::desired::work::{KeepRuns, Runs};
use crate::state::gate::exit_text;
use crate::state::observed::{ContainerId, ContainerStatus, ObservedContainer};
use crate::state::target::backoff_ms;

/// How long a container whose start was not answered is watched before it goes: an engine that got the request has carried it out by then.
pub const DOUBT_MS: u64 = 3_000;
/// How often it is looked whether something may be changed again. Milliseconds.
const LOOK_MS: u64 = 5_000;
/// Between two stops of a run that does not stop. Milliseconds.
const STOP_AGAIN_MS: u64 = 30_000;

impl Pass<'_> {
    pub(super) fn follow(&mut self, id: &RunId, run: &Run, container: &ObservedContainer, seen: &Seen) {
        if run.container.as_ref() != Some(&container.id) {
            self.edit(id, |run| run.container = Some(container.id.clone()));
        }
        match container.status {
            ContainerStatus::Created => self.created(id, run, container),
            ContainerStatus::Running | ContainerStatus::Restarting | ContainerStatus::Paused => {
                self.runs(id, run, container);
            }
            ContainerStatus::Exited if container.started_at.is_none() => self.created(id, run, container),
            ContainerStatus::Exited => self.exited(id, run, container, seen.live_restore),
            ContainerStatus::Dead => {
                let ran = matches!(run.stage, Stage::Running | Stage::Starting(_));
                if ran {
                    self.end(id, Result::Lost, "the engine died while it removed its container".to_owned());
                } else {
                    self.stage(id, Stage::Remaking);
                    self.step(id, remove(container));
                }
            }
            ContainerStatus::Removing => self.look_in(1_000),
        }
    }

    /// It was made and does not run.
    fn created(&mut self, id: &RunId, run: &Run, container: &ObservedContainer) {
        if let Some(stop) = run.stop {
            // It has not begun, and is not to.
            return self.stopped(id, stop, None);
        }
        match run.stage {
            Stage::Intended | Stage::Made | Stage::Waiting => self.start(id, container),
            Stage::Starting(asked) => {
                if container.exit_code != 0 && !container.error.is_empty() {
                    return self.broken(id, container.error.clone());
                }
                if asked != self.inputs.session {
                    // Who was asked is gone, and this one never ran.
                    return self.start(id, container);
                }
                let now = self.inputs.now.mono;
                let since = *self.memo.doubts.entry(id.clone()).or_insert(now);
                let until = since.after(DOUBT_MS);
                if now < until {
                    self.memo.waits.insert(id.clone(), "its start was not answered".to_owned());
                    return self.look_at(until.min(now.after(500)));
                }
                self.stage(id, Stage::Remaking);
                self.step(id, remove(container));
            }
            Stage::Remaking => self.step(id, remove(container)),
            // It ran, and this is another one in its place.
            Stage::Running => self.end(id, Result::Lost, "its container was replaced by somebody".to_owned()),
            Stage::Ended => {}
        }
    }

    fn start(&mut self, id: &RunId, container: &ObservedContainer) {
        if self.inputs.paused.is_some() {
            return self.wait(id, "nothing is changed here while it is paused".to_owned(), LOOK_MS);
        }
        if let Some(trouble) = self.memo.troubles.get(id).cloned() {
            let due = trouble.last.after(backoff_ms(trouble.count, 60_000));
            if self.inputs.now.mono < due {
                self.memo.waits.insert(id.clone(), format!("could not be started: {}", trouble.text));
                return self.look_at(due);
            }
        }
        let session = self.inputs.session;
        self.memo.doubts.remove(id);
        self.memo.waits.remove(id);
        self.edit(id, |run| run.stage = Stage::Starting(session));
        self.step(id, JobStep::Start { id: container.id.clone() });
    }

    fn runs(&mut self, id: &RunId, run: &Run, container: &ObservedContainer) {
        let (now, session) = (self.inputs.now, self.inputs.session);
        if run.stage != Stage::Running {
            // The answer to its start never came, or somebody else started it.
            self.edit(id, |run| {
                run.stage = Stage::Running;
                run.session = Some(session);
                run.started.get_or_insert(now.wall);
            });
        }
        self.memo.waits.remove(id);
        let known =
            run.started.map_or(0, |at| u64::try_from(now.wall.0.saturating_sub(at.0)).unwrap_or_default());
        let (since, before) = *self.memo.running.entry(id.clone()).or_insert((now.mono, known));
        let limit = self.job().and_then(|job| job.timeout_ms);
        let left = limit.map(|limit| limit.saturating_sub(before.saturating_add(now.mono.since(since))));
        let stop = run.stop.or_else(|| (left == Some(0)).then_some(StopCause::TimedOut));
        let Some(stop) = stop else {
            return self.look_in(left.unwrap_or(self.inputs.pace_ms).min(self.inputs.pace_ms));
        };
        if self.inputs.paused.is_some() && stop != StopCause::Hand {
            return self.look_in(LOOK_MS);
        }
        self.edit(id, |run| run.stop = Some(stop));
        match self.memo.stopped.get(id).map(|at| at.after(STOP_AGAIN_MS)).filter(|due| now.mono < *due) {
            Some(due) => self.look_at(due.min(now.mono.after(1_000))),
            None => {
                self.memo.stopped.insert(id.clone(), now.mono);
                self.step(id, JobStep::Stop { id: container.id.clone(), grace: container.stop_timeout });
            }
        }
    }

    fn exited(&mut self, id: &RunId, run: &Run, container: &ObservedContainer, live_restore: bool) {
        // An engine that ends takes its containers along, and some programs end with 0 when they are told to.
        let cut_off = !live_restore && run.session.is_some_and(|began| began != self.inputs.session);
        let (result, text) = match run.stop {
            Some(StopCause::TimedOut) => {
                let limit = self.job().and_then(|job| job.timeout_ms).unwrap_or_default();
                (Result::TimedOut, format!("it took more than {} and was stopped", seconds(limit)))
            }
            Some(StopCause::Replaced) => (Result::Replaced, "the next run came in its place".to_owned()),
            Some(StopCause::Hand) => (Result::Stopped, "somebody stopped it".to_owned()),
            None if container.exit_code == 0 && cut_off => {
                let text = "the engine ended while it ran and took it along, so its code 0 says nothing";
                (Result::Lost, text.to_owned())
            }
            None if container.exit_code == 0 => (Result::Succeeded, exit_text(container)),
            None => (Result::Failed, exit_text(container)),
        };
        let ending = Exit { result, code: Some(container.exit_code), text, took_ms: took(container) };
        self.step(id, JobStep::Collect { id: container.id.clone(), ending });
    }

    /// A run that has begun and whose container is not there.
    pub(super) fn without_container(&mut self, id: &RunId, run: &Run, seen: &Seen) {
        match run.stage {
            // Nobody had asked for its start, or it went because it never ran: it is made anew, with a name that no other run has.
            Stage::Intended | Stage::Made | Stage::Remaking => {
                if let Some(stop) = run.stop {
                    return self.stopped(id, stop, None);
                }
                let Some(job) = self.job().cloned() else {
                    return self.end(id, Result::Stopped, "it left the files before it began".to_owned());
                };
                if self.inputs.paused.is_some() {
                    return self.wait(id, "nothing is changed here while it is paused".to_owned(), LOOK_MS);
                }
                if matches!(job.runs, Runs::Exec(_)) {
                    // The definition became one of a command in a service meanwhile: it begins anew.
                    return self.stage(id, Stage::Waiting);
                }
                if run.stage != Stage::Intended {
                    self.memo.doubts.remove(id);
                    self.edit(id, |run| {
                        run.stage = Stage::Intended;
                        run.container = None;
                    });
                }
                let run = Run { stage: Stage::Intended, container: None, ..run.clone() };
                self.make(id, &run, &job, seen);
            }
            Stage::Starting(_) | Stage::Running => {
                let text = match run.stop {
                    Some(stop) => return self.stopped(id, stop, Some(())),
                    None => "its container was removed by somebody, and how it ended is not known",
                };
                self.edit(id, |run| run.container = None);
                self.end(id, Result::Lost, text.to_owned());
            }
            Stage::Waiting | Stage::Ended => {}
        }
    }

    fn stopped(&mut self, id: &RunId, stop: StopCause, ran: Option<()>) {
        let (result, text) = match stop {
            StopCause::TimedOut => (Result::TimedOut, "it took too long and was stopped"),
            StopCause::Replaced => (Result::Replaced, "the next run came in its place"),
            StopCause::Hand if ran.is_some() => (Result::Stopped, "somebody stopped it"),
            StopCause::Hand => (Result::Stopped, "somebody stopped it before it began"),
        };
        self.end(id, result, text.to_owned());
    }

    pub(super) fn broken(&mut self, id: &RunId, why: String) {
        self.end(id, Result::Broken, format!("it could not be started: {why}"));
    }

    pub(super) fn end(&mut self, id: &RunId, result: Result, text: String) {
        let job = self.job().cloned();
        let ending = Ending { text, ..Ending::default() };
        self.record.finish(id, result, ending, job.as_ref(), self.inputs.now);
        self.look_in(0);
    }

    /// Containers whose logs are older than those that are kept, and what is left of runs that never began.
    pub(super) fn clear_away(&mut self, seen: &Seen) {
        if self.inputs.paused.is_some() {
            return;
        }
        let steps: Vec<(RunId, Option<&ObservedContainer>)> = surplus(&self.record, self.inputs.wants)
            .map(|(id, _)| (id.clone(), seen.containers.get(id)))
            .collect();
        for (id, container) in steps {
            match container {
                Some(container) if container.status.is_up() => {}
                Some(container) => self.step(&id, remove(container)),
                None => self.edit(&id, |run| run.container = None),
            }
        }
    }
}

/// Ended runs whose containers need not stay.
pub(super) fn surplus<'r>(
    record: &'r JobRecord,
    wants: Wants<'_>,
) -> impl Iterator<Item = (&'r RunId, &'r ContainerId)> {
    let keep = match (wants, record.spec.as_deref()) {
        (Wants::Gone, _) => KeepRuns { success: 0, failure: 0 },
        (Wants::Run(spec), _) => spec.keep,
        (Wants::Frozen, Some(spec)) => spec.keep,
        (Wants::Frozen, None) => KeepRuns { success: u32::MAX, failure: u32::MAX },
    };
    let mut kept: BTreeMap<bool, u32> = BTreeMap::new();
    record.ended().into_iter().filter_map(move |(id, run, end)| {
        let container = run.container.as_ref().filter(|_| run.exec.is_none())?;
        let well = end.result == Result::Succeeded;
        let count = kept.entry(well).or_default();
        *count += 1;
        (*count > if well { keep.success } else { keep.failure }).then_some((id, container))
    })
}

/// By the engine's clock, in milliseconds.
pub(super) fn took(container: &ObservedContainer) -> Option<u64> {
    let (from, to) = (container.started_at?, container.finished_at?);
    u64::try_from((to.0 - from.0) / 1_000_000).ok()
}

/// `90 s`, `1.5 s`.
pub(super) fn seconds(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{} s", ms / 1_000),
        rest => format!("{}.{} s", ms / 1_000, rest / 100),
    }
}
