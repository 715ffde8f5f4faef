//! Carrying out a plan: one engine call a step, what came of it remembered before the next.

use std::collections::BTreeMap;

use super::super::execute::{Executor, describe};
use super::super::host::Cell;
use super::super::observe::Scenery;
use super::Pass;
use crate::state::observed::{ContainerId, ObservedService};
use crate::state::plan::{Outcome, Planned, Step};
use crate::state::settle::settle;

/// How far a plan was carried out.
pub(super) enum Acted {
    All,
    /// A step failed, or evenkeel is being stopped.
    Part,
    /// A step was taken that could not be written down.
    Unremembered,
}

impl Pass<'_> {
    /// Takes the steps in order. Each outcome is remembered, durably where it changes the record, before the next step.
    pub(super) async fn act(
        &mut self,
        cell: &mut Cell,
        observed: &ObservedService,
        plan: &[Planned],
    ) -> Acted {
        let executor = Executor {
            engine: &self.host.engine,
            owner: &self.host.owner,
            service: Some(self.id),
            pulls: &self.host.pulls,
            progress: &*self.host.progress,
        };
        let all = observed.containers.iter().chain(&observed.hooks);
        let names: BTreeMap<ContainerId, String> = all.map(|c| (c.id.clone(), c.name.clone())).collect();
        let mut failed = false;
        for planned in plan {
            let session = self.host.session();
            let outcome = if failed || self.host.stopping() {
                failed = true;
                Outcome::NotTried
            } else {
                self.acted = true;
                self.wait_for_turn(&planned.step).await;
                if let Step::Stop { id, .. } = &planned.step {
                    cell.downtime.stopping(id, observed, self.host.clock.now().mono);
                }
                self.take(&executor, planned, &names, observed).await
            };
            failed |= matches!(outcome, Outcome::Failed { .. });
            self.note_scenery(&planned.step, &outcome);
            let now = self.host.clock.now();
            let mut record = cell.record.clone();
            let history = settle(&mut record, &mut cell.memo, planned, &outcome, session, now);
            self.count_history(cell, &history, None, now);
            if record == cell.record && history.is_empty() {
                continue;
            }
            if let Err(error) = self.persist(cell, record.clone(), &history).await {
                tracing::error!(service = %self.id, %error, "what was just done could not be written down; stopping here");
                // It happened, so it is true; it is written down before anything else is done.
                cell.record = record;
                cell.untold.extend(history);
                return Acted::Unremembered;
            }
        }
        if failed { Acted::Part } else { Acted::All }
    }

    fn note_scenery(&mut self, step: &Step, outcome: &Outcome) {
        match (step, outcome, &mut self.scenery) {
            (Step::Keep { tag, image, .. }, Outcome::Done, Some(scenery)) => scenery.note_kept(tag, image),
            _ if Scenery::outlasts(step, outcome) => {}
            _ => self.scenery = None,
        }
    }

    /// A few services act at a time. A pull has a limit of its own and must not keep others from being healed.
    async fn wait_for_turn(&mut self, step: &Step) {
        if matches!(step, Step::Pull { .. } | Step::StartExec { .. }) {
            self.turn = None;
        } else if self.turn.is_none() {
            // The semaphore is never closed; if it were, acting without a limit is the lesser evil.
            self.turn = self.host.actors.acquire().await.ok();
        }
    }

    async fn take(
        &self,
        executor: &Executor<'_>,
        planned: &Planned,
        names: &BTreeMap<ContainerId, String>,
        observed: &ObservedService,
    ) -> Outcome {
        let words = describe(&planned.step, names);
        tracing::info!(service = %self.id, slot = planned.slot, step = words, because = %planned.cause);
        self.host.progress.step(self.id, planned, &words);
        let outcome = tokio::select! {
            outcome = executor.take(&planned.step) => outcome,
            // A pull may be left behind: the engine drops it and nothing on the host has changed. So may a command, which goes on and
            // is asked about by its id.
            () = self.host.stopped(), if matches!(planned.step, Step::Pull { .. } | Step::StartExec { .. }) => {
                Outcome::NotTried
            }
        };
        match &outcome {
            Outcome::Failed { kind, text } => {
                tracing::warn!(service = %self.id, step = words, kind = kind.as_str(), error = text, "a step failed");
            }
            Outcome::Done => self.count_start(&planned.step, observed),
            Outcome::Created(_)
            | Outcome::Logs(_)
            | Outcome::Made(_)
            | Outcome::Ended { .. }
            | Outcome::NotTried => {}
        }
        self.host.progress.outcome(self.id, planned, &outcome);
        outcome
    }
}
