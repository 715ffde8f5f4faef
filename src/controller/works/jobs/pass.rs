//! One pass for one job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::journal::Journal;
use super::{AGAIN_MS, Cell, Desired, Jobs, Own, Watcher, lock};
use crate::controller::host::Host;
use crate::controller::news::News;
use crate::controller::records::RecordsError;
use crate::desired::ident::ServiceName;
use crate::desired::spec::ServiceSpec;
use crate::desired::work::answers::{fits, with_image};
use crate::desired::work::{ImageSource, JobSpec, Runs, Trigger, WorkId};
use crate::state::jobs::Result as RunResult;
use crate::state::jobs::when::zone_for;
use crate::state::jobs::{Ended, Inputs, JobRecord, JobStep, RunId, Seen, Stage, decide, ends, lookups};
use crate::state::time::Mono;

/// Rounds of one pass: a run takes about five.
const ROUNDS: usize = 32;
/// How often a run is looked at although nothing was heard: when its end is waited for, and when it is not. Milliseconds.
const PACE_MS: (u64, u64) = (10_000, 1_000);

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Look again then; `None`: when something changes.
    At(Option<Mono>),
    /// Nothing is left of the job.
    Forget,
}

enum Turn {
    Again,
    End(End),
}

impl Jobs {
    pub(super) async fn pass(self: &Arc<Self>, host: &Arc<Host>, id: &WorkId) -> End {
        let cell = self.cell(id);
        for _ in 0..ROUNDS {
            if host.stopping() {
                return End::At(None);
            }
            match self.round(host, id, &cell).await {
                Turn::Again => {}
                Turn::End(end) => return end,
            }
        }
        End::At(Some(host.clock.now().mono.after(AGAIN_MS)))
    }

    async fn round(self: &Arc<Self>, host: &Arc<Host>, id: &WorkId, cell: &Arc<Cell>) -> Turn {
        let Some(wish) = host.wish() else { return Turn::End(End::At(None)) };
        let strangers = lock(&cell.ticket).strangers;
        let again = || Turn::End(End::At(Some(host.clock.now().mono.after(AGAIN_MS))));
        let session = host.session();
        let (record, memo) = {
            let own = cell.work.lock().await;
            (own.record.clone(), own.memo.clone())
        };
        let desired = Desired::of(&wish, id, &record);
        let zone = zone_for(desired.spec(&record), &self.zone);
        let spec = self.container_of(id, desired.spec(&record));
        let ends = self.ends_for(id, desired.spec(&record)).await;
        let followed = BTreeSet::new();
        let paused = wish.state.pauses.project(&id.project, host.clock.now().wall.0).map(|paused| paused.why);
        let pressure = host.disk_pressure();
        let mut inputs = Inputs {
            id,
            owner: &host.owner,
            wants: desired.wants(),
            spec: spec.as_ref(),
            zone: &zone,
            record: &record,
            memo: &memo,
            seen: None,
            ends: &ends,
            paused,
            pressure: pressure.as_deref(),
            strangers,
            followed: &followed,
            pace_ms: if self.wait.is_some() { PACE_MS.0 } else { PACE_MS.1 },
            session,
            now: host.clock.now(),
        };
        let seen = match lookups(&inputs) {
            None => None,
            Some(wanted) => {
                let looked =
                    self.look(host, &wish, id, desired.spec(&record), &record, (&wanted, session)).await;
                match looked {
                    Ok(_) if host.session() != session => return Turn::Again,
                    // Whether this is the engine of before is known in a moment.
                    Ok(_) if host.is_in_doubt() => return again(),
                    Ok(seen) => Some(seen),
                    Err(error) => {
                        tracing::debug!(job = %id, %error, "could not look");
                        return again();
                    }
                }
            }
        };
        let mut own = cell.work.lock().await;
        // An operator, or a command that ended, may have been faster.
        let (record, memo) = (own.record.clone(), own.memo.clone());
        let followed = own.followed.iter().filter(|(_, by)| by.command).map(|(run, _)| run.clone()).collect();
        inputs.record = &record;
        inputs.memo = &memo;
        inputs.followed = &followed;
        inputs.seen = seen.as_ref();
        inputs.now = host.clock.now();
        let decision = decide(&inputs);
        if decision.forget {
            return self.forget(host, id, &own).await;
        }
        own.memo = decision.memo;
        if let Err(error) = self.remember(host, id, &mut own, decision.record).await {
            tracing::error!(job = %id, %error, "nothing is done for the job until its journal can be written");
            return again();
        }
        if seen.is_some() && strangers {
            lock(&cell.ticket).strangers = false;
        }
        self.watch(host, id, &mut own, seen.as_ref());
        drop(own);
        if decision.plan.is_empty() {
            let now = host.clock.now().mono;
            return match decision.next {
                Some(next) if next <= now && seen.is_none() => Turn::Again,
                next => Turn::End(End::At(next)),
            };
        }
        for (run, step) in &decision.plan {
            if host.stopping() {
                return Turn::End(End::At(None));
            }
            self.act(host, id, cell, run, step).await;
        }
        Turn::Again
    }

    async fn forget(&self, host: &Host, id: &WorkId, own: &Own) -> Turn {
        match Journal::write(&*host.records, id, &own.durable, None).await {
            Ok(()) => {
                tracing::info!(job = %id, "removed");
                host.metrics.forget_job(id);
                Turn::End(End::Forget)
            }
            Err(error) => {
                tracing::warn!(job = %id, %error, "its journal could not be dropped; that is tried again");
                Turn::End(End::At(Some(host.clock.now().mono.after(AGAIN_MS))))
            }
        }
    }

    /// Makes a record durable, and it is in force.
    pub(super) async fn remember(
        &self,
        host: &Host,
        id: &WorkId,
        own: &mut Own,
        record: JobRecord,
    ) -> Result<(), RecordsError> {
        Journal::write(&*host.records, id, &own.durable, Some(&record)).await?;
        self.tell(host, id, &own.record, &record);
        own.durable = record.clone();
        own.record = record;
        Ok(())
    }

    /// Metrics, the log, and those that wait for an end.
    pub(super) fn tell(&self, host: &Host, id: &WorkId, before: &JobRecord, after: &JobRecord) {
        for (name, run) in &after.runs {
            let known = before.runs.get(name);
            if known.is_none() {
                tracing::info!(job = %id, run = %name, because = run.cause.word(), "a run");
            }
            let Some(end) = run.end.as_ref().filter(|_| known.is_none_or(|known| known.end.is_none())) else {
                continue;
            };
            let (result, text) = (end.result.word(), &end.text);
            let well = end.result == RunResult::Succeeded;
            if well {
                tracing::info!(job = %id, run = %name, result, text);
            } else {
                tracing::warn!(job = %id, run = %name, result, text);
            }
            if let Some(news) = News::of_run(id, end) {
                host.tell(news);
            }
        }
        if after.missed > before.missed && before.spec.is_some() {
            let missed = after.missed - before.missed;
            tracing::warn!(job = %id, missed, "occurrences were missed");
            let last = after.last_missed.map(|at| format!(", the last one at {at}")).unwrap_or_default();
            let at = host.clock.now().wall;
            host.tell(News::of_work("job.missed", id, format!("{missed} missed{last}"), at));
        }
        host.metrics.job(id, after);
        if after.ends > before.ends {
            self.wake_siblings(id);
        }
    }

    /// What its container is made of now; `None`: its image is not known yet, or it has none.
    fn container_of(&self, id: &WorkId, spec: Option<&JobSpec>) -> Option<ServiceSpec> {
        let Runs::Container { spec, image } = &spec?.runs else { return None };
        match image {
            ImageSource::Said => Some(ServiceSpec::clone(spec)),
            image => {
                let answers = self.book.answers();
                let answer = answers.of_job(id, image).filter(|answer| fits(spec, image, answer));
                answer.map(|answer| with_image(spec, answer))
            }
        }
    }

    /// The ends of the jobs that it is after.
    async fn ends_for(&self, id: &WorkId, spec: Option<&JobSpec>) -> BTreeMap<ServiceName, Vec<Ended>> {
        let Some(Trigger::After(others)) = spec.map(|spec| &spec.trigger) else { return BTreeMap::new() };
        let mut all = BTreeMap::new();
        for name in others.keys() {
            let other = WorkId { project: id.project.clone(), name: name.clone() };
            let cell = self.cells().get(&other).cloned();
            let ended = match cell {
                Some(cell) => ends(&cell.work.lock().await.record),
                None => Vec::new(),
            };
            all.insert(name.clone(), ended);
        }
        all
    }

    /// Hears of the ends of containers that run.
    fn watch(self: &Arc<Self>, host: &Arc<Host>, id: &WorkId, own: &mut Own, seen: Option<&Seen>) {
        let Own { record, followed, .. } = own;
        followed.retain(|run, by| {
            record.runs.get(run).is_some_and(crate::state::jobs::Run::is_open) && !by.task.is_finished()
        });
        let (Some(wait), Some(seen)) = (&self.wait, seen) else { return };
        let running = record.open().filter(|(_, run)| run.stage == Stage::Running && run.exec.is_none());
        let new: Vec<RunId> =
            running.map(|(run, _)| run.clone()).filter(|run| !followed.contains_key(run)).collect();
        for run in new {
            let Some(container) = seen.containers.get(&run).map(|found| found.id.clone()) else { continue };
            let (jobs, host, wait, id) = (Arc::clone(self), Arc::clone(host), Arc::clone(wait), id.clone());
            let task = tokio::spawn(async move {
                if let Err(error) = wait.ended(&container).await {
                    // It is looked at now and then anyway.
                    tracing::debug!(job = %id, %error, "the end of a run cannot be waited for");
                    host.clock.sleep_until(host.clock.now().mono.after(AGAIN_MS)).await;
                }
                jobs.wake(&id);
            });
            followed.insert(run, Watcher { task: task.abort_handle(), command: false });
        }
    }

    /// Starts a command and follows it to its end, beside the passes.
    pub(super) fn follow(
        self: &Arc<Self>,
        host: &Arc<Host>,
        id: &WorkId,
        own: &mut Own,
        run: &RunId,
        step: &JobStep,
    ) {
        let JobStep::StartExec { exec, limit_ms } = step else { return };
        if own.followed.contains_key(run) {
            return;
        }
        let limit = Duration::from_millis(limit_ms.unwrap_or(FOREVER_MS));
        let (jobs, host, id, exec, step) =
            (Arc::clone(self), Arc::clone(host), id.clone(), exec.clone(), step.clone());
        let name = run.clone();
        let task = tokio::spawn(async move {
            let outcome = super::act::exec_outcome(host.engine.start_exec(&exec, limit).await);
            let cell = jobs.cell(&id);
            jobs.settled(&host, &id, &cell, &name, &step, &outcome).await;
            // By its own name: nobody must take it for one that still follows.
            if let Some(watcher) = cell.work.lock().await.followed.get_mut(&name) {
                watcher.command = false;
            }
            jobs.wake(&id);
        });
        own.followed.insert(run.clone(), Watcher { task: task.abort_handle(), command: true });
    }
}

/// As good as without an end: 30 days.
const FOREVER_MS: u64 = 30 * 86_400_000;
