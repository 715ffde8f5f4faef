//! One pass for one service: observe, decide, remember, act, and again until nothing more can be done now.
//!
//! Guarantees: one pass per service at a time (the queue sees to it); the record is durable before the act it licenses
//! (invariant I5), and when it cannot be made durable nothing is done; what cannot be observed is not decided about.

mod act;
mod tell;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::board::Summary;
use super::host::{Cell, Host, Request};
use super::observe::{Scenery, Surroundings, observe_again};
use super::operate;
use super::queue::{Reason, Reasons};
use super::wish::Wish;
use crate::desired::Wanted;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::metrics::PassResult;
use crate::metrics::api::{ApiError, ApiErrorKind};
use crate::state::condition::{Condition, ConditionKind};
use crate::state::decide::{Decision, Inputs, Removal, decide};
use crate::state::observed::{DependencyProgress, DependencyState, ObservedService};
use crate::state::plan::{Lookups, Next};
use crate::state::record::{HistoryEntry, Record};
use crate::state::time::{Mono, Now};
use crate::state::{hooks, lookups, network, probe};
use act::Acted;

/// Rounds of one pass. A replacement takes about ten; something that needs more lets others go first and comes back.
const ROUNDS: usize = 64;
/// When a pass that used up its rounds goes on. Milliseconds.
const BREATHER_MS: u64 = 1_000;
/// How long a look at images, networks and volumes serves passes that only an event of a container or a timer asks for. What
/// happens to them has events of its own, which ask for another look. Milliseconds.
const SCENERY_MS: u64 = 10_000;

/// How a pass ended, and when the service is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassEnd {
    /// Nothing is due: wait for a trigger.
    Settled,
    At(Mono),
    /// Something outside of the service failed: try again after a backoff.
    Failed,
    /// evenkeel is being stopped.
    Stopped,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassReport {
    pub end: PassEnd,
    pub result: PassResult,
}

/// What one round came to.
enum Turn {
    Again,
    End(PassEnd),
}

/// Runs one pass. Total: every failure ends in a condition and a `PassEnd`.
pub async fn pass(host: &Host, id: &ServiceId, reasons: &Reasons) -> PassReport {
    let started = host.clock.now().mono;
    let cell = host.cell(id);
    let mut cell = cell.lock().await;
    let about_containers = reasons.iter().all(|reason| matches!(reason, Reason::Engine | Reason::Requeue));
    let scenery = cell
        .scenery
        .take()
        .filter(|scenery| about_containers && scenery.at.is_some_and(|at| started.since(at) < SCENERY_MS));
    let mut pass = Pass {
        host,
        id,
        acted: false,
        rolled_back: false,
        refused: false,
        seen: Summary::new(),
        again: None,
        turn: None,
        scenery: scenery.map(Scenery::carried),
    };
    tracing::debug!(service = %id, reasons = ?reasons, "pass");
    let end = pass.rounds(&mut cell).await;
    cell.scenery = pass.scenery.take();
    let settled = (end == PassEnd::Settled).then(|| std::mem::take(&mut pass.seen));
    let due = match end {
        PassEnd::At(at) => Some(at),
        _ => None,
    };
    host.board.ended(id, settled, due);
    let result = pass.result(end);
    let took = host.clock.now().mono.since(started);
    host.metrics.reconciled(result, Duration::from_millis(took));
    PassReport { end, result }
}

struct Pass<'a> {
    host: &'a Host,
    id: &'a ServiceId,
    acted: bool,
    rolled_back: bool,
    refused: bool,
    /// What the last look saw of the containers.
    seen: Summary,
    /// When the guard may think otherwise about a removal.
    again: Option<Mono>,
    /// The right to act. Kept to the end of the pass once it is there: nobody waits between a stop and a start.
    turn: Option<SemaphorePermit<'a>>,
    /// Images, networks and volumes as the last look saw them, while nothing has moved them.
    scenery: Option<Scenery>,
}

impl Pass<'_> {
    fn result(&self, end: PassEnd) -> PassResult {
        match end {
            PassEnd::Failed => PassResult::Failed,
            _ if self.rolled_back => PassResult::RolledBack,
            _ if self.acted => PassResult::Acted,
            _ if self.refused => PassResult::Refused,
            _ => PassResult::Noop,
        }
    }

    async fn rounds(&mut self, cell: &mut Cell) -> PassEnd {
        if !cell.loaded && !self.load(cell).await {
            return PassEnd::Failed;
        }
        for _ in 0..ROUNDS {
            if self.host.stopping() {
                return PassEnd::Stopped;
            }
            self.obey(cell).await;
            match self.round(cell).await {
                Turn::Again => {}
                Turn::End(end) => return end,
            }
        }
        tracing::warn!(service = %self.id, rounds = ROUNDS, "a pass takes very long; others go first");
        PassEnd::At(self.host.clock.now().mono.after(BREATHER_MS))
    }

    async fn load(&self, cell: &mut Cell) -> bool {
        match self.host.records.load(self.id).await {
            Ok(record) => {
                cell.record = record;
                cell.loaded = true;
                cell.durable = true;
                true
            }
            Err(error) => {
                let text = format!("its record cannot be read ({error}), so nothing is done to it");
                self.trouble(&Condition::new(ConditionKind::Waiting, "StoreUnreadable", text));
                false
            }
        }
    }

    /// Operators' words come first: they change the record, and the round that follows acts on it.
    async fn obey(&self, cell: &mut Cell) {
        for Request { command, answer } in self.host.take_requests(self.id) {
            let now = self.host.clock.now();
            let reply = match operate::apply(&cell.record, &mut cell.memo, &command, now) {
                Ok((record, entry)) => {
                    let message = entry.reason.clone();
                    tracing::info!(service = %self.id, event = ?entry.event, reason = message, "an operator's word");
                    let saved = self.persist(cell, record, &[entry]).await;
                    saved.map(|()| message).map_err(|error| ApiError::new(ApiErrorKind::Unavailable, error))
                }
                Err(text) => Err(ApiError::new(ApiErrorKind::Conflict, text)),
            };
            if let Ok(message) = &reply {
                // Whoever waits for the effect must not take the status of before for it.
                let condition = Condition::new(ConditionKind::Progressing, "Operator", message.clone());
                self.trouble(&condition);
            }
            // Whoever asked may have gone away; the word stands.
            let _ = answer.send(reply);
        }
    }

    async fn round(&mut self, cell: &mut Cell) -> Turn {
        let Some(wish) = self.host.wish() else { return Turn::End(PassEnd::Settled) };
        let desired = wish.wanted(self.id, &cell.record);
        let desired = desired.as_deref();
        let session = self.host.session();
        let wanted = lookups(self.id, desired, &cell.record, self.host.clock.now());
        let known = self.surroundings(&wanted, &cell.record);
        let (engine, owner, scenery) = (&*self.host.engine, &*self.host.owner, &mut self.scenery);
        let mut observed = match observe_again(engine, owner, self.id, &wanted, known, scenery).await {
            Ok(observed) => observed,
            Err(error) => return self.blind(desired, cell, &error),
        };
        if self.host.session() != session {
            // The connection was lost while we looked: parts of this view may be from before.
            return Turn::Again;
        }
        if self.host.is_in_doubt() {
            // Whether this is the engine of before is known in a moment, and everything is looked at then.
            return Turn::End(PassEnd::At(self.host.clock.now().mono.after(BREATHER_MS)));
        }
        let targets = probe::targets(&observed, &cell.record, desired);
        probe::overlay(&mut observed, &targets, &self.host.prober.aim(self.id, &targets));
        observed.foreign = network::foreign(&observed, &wish.state, &self.host.owner);
        self.count_restarts(cell, &observed);
        self.seen = summary(&observed);
        let now = self.host.clock.now();
        if let Some(scenery) = &mut self.scenery {
            scenery.at.get_or_insert(now.mono);
        }
        let here = !observed.containers.is_empty() || !observed.hooks.is_empty();
        self.host.guard.note(self.id, here, &cell.record.source);
        let held = match desired {
            Some(_) => None,
            None => self.host.guard.held(&wish, self.id, now.mono),
        };
        self.again = held.as_ref().and_then(|held| held.again);
        let inputs = Inputs {
            id: self.id,
            owner: &self.host.owner,
            desired,
            removal: held.as_ref().map_or(Removal::Allowed, |held| Removal::Held(&held.text)),
            paused: wish.paused(self.id, desired, now.wall),
            window: wish.window(self.id),
            observed: &observed,
            record: &cell.record,
            memo: &cell.memo,
            refs_in_use: &wish.images,
            now,
            limits: self.host.limits,
        };
        let decision = decide(inputs);
        let carried = self.scenery.as_ref().is_some_and(|scenery| scenery.carried);
        if carried && Scenery::matters_to(&decision.plan) {
            self.scenery = None;
            return Turn::Again;
        }
        self.commit(cell, &wish, desired, &observed, decision, now).await
    }

    /// Remembers the decision, tells it, and acts on it.
    async fn commit(
        &mut self,
        cell: &mut Cell,
        wish: &Wish,
        desired: Option<&Wanted>,
        observed: &ObservedService,
        decision: Decision,
        now: Now,
    ) -> Turn {
        let Decision { record, memo, plan, next, condition, history } = decision;
        let changed = record != cell.record;
        // Nothing is done while the store cannot be written, not even what this record does not have to license.
        let probe = !plan.is_empty() && !self.host.store_writable();
        if (changed || !history.is_empty() || !cell.durable || probe)
            && let Err(error) = self.persist(cell, record, &history).await
        {
            let text = format!("nothing is done until its record can be written: {error}");
            let condition = Condition::new(ConditionKind::Waiting, "StoreUnwritable", text);
            self.publish(wish, desired, observed, cell, &condition, now);
            return Turn::End(PassEnd::Failed);
        }
        self.count_history(cell, &history, desired, now);
        cell.memo = memo;
        let replicas = self.publish(wish, desired, observed, cell, &condition, now);
        self.count_downtime(cell, observed, replicas, &condition, now.mono);
        self.refused |= matches!(
            condition.kind,
            ConditionKind::Held
                | ConditionKind::Paused
                | ConditionKind::AwaitingApproval
                | ConditionKind::AwaitingWindow
                | ConditionKind::Frozen
                | ConditionKind::Orphaned
        );
        if plan.is_empty() {
            return self.rest(cell, &condition, next).await;
        }
        match self.act(cell, observed, &plan).await {
            Acted::All => match next {
                Next::Again => Turn::Again,
                Next::At(at) => Turn::End(PassEnd::At(at)),
                Next::AwaitChange => Turn::End(PassEnd::Settled),
            },
            // What follows a failure is a decision too.
            Acted::Part => Turn::Again,
            Acted::Unremembered => Turn::End(PassEnd::Failed),
        }
    }

    async fn rest(&self, cell: &mut Cell, condition: &Condition, next: Next) -> Turn {
        match next {
            Next::Again => Turn::Again,
            Next::At(at) => Turn::End(PassEnd::At(at)),
            Next::AwaitChange => {
                if condition.kind == ConditionKind::Removed {
                    self.bury(cell).await;
                }
                Turn::End(self.again.map_or(PassEnd::Settled, PassEnd::At))
            }
        }
    }

    /// The service is not wanted and nothing is left of it.
    async fn bury(&self, cell: &mut Cell) {
        if let Err(error) = self.host.records.forget(self.id).await {
            tracing::warn!(service = %self.id, %error, "its record could not be dropped; that is tried again at the next look");
            return;
        }
        *cell = Cell::default();
        self.host.board.remove(self.id);
        self.host.guard.forget(self.id);
        self.host.news.forget(self.id);
        self.host.metrics.forget(self.id);
        tracing::info!(service = %self.id, "removed");
    }

    /// Makes the record durable. On failure the old one stays, so that the next round decides the same again.
    async fn persist(&self, cell: &mut Cell, record: Record, history: &[HistoryEntry]) -> Result<(), String> {
        let lines: Vec<HistoryEntry> = cell.untold.iter().chain(history).cloned().collect();
        match self.host.save(self.id, &record, &lines).await {
            Ok(()) => {
                for run in hooks::run::ended(&cell.record, &record) {
                    self.host.metrics.hook_ended(self.id, run.key.point, !run.failed());
                }
                self.host.tell_history(self.id, &lines);
                cell.record = record;
                cell.durable = true;
                cell.untold.clear();
                Ok(())
            }
            Err(error) => {
                cell.durable = false;
                Err(error.to_string())
            }
        }
    }

    fn surroundings<'r>(&self, wanted: &Lookups, record: &'r Record) -> Surroundings<'r> {
        let sibling =
            |name: &ServiceName| ServiceId { project: self.id.project.clone(), service: name.clone() };
        let wish = self.host.wish();
        let dependencies = wanted.dependencies.iter().map(|name| {
            let id = sibling(name);
            let desired = wish.as_ref().is_some_and(|wish| wish.state.services.contains_key(&id));
            let state = self.host.board.progress(&id).unwrap_or_else(|| DependencyState {
                desired,
                progress: DependencyProgress::Pending,
                serving: BTreeMap::new(),
            });
            (name.clone(), state)
        });
        let tied = wanted.tied.iter().filter_map(|name| {
            let parent = self.host.board.entry(&sibling(name))?.parent?;
            Some((name.clone(), parent.id))
        });
        let entry = wanted.parent.as_ref().and_then(|id| self.host.board.entry(id));
        Surroundings {
            session: self.host.session(),
            recorded: &record.containers,
            dependencies: dependencies.collect(),
            parent: entry.and_then(|entry| entry.parent).map(|parent| parent.id),
            tied: tied.collect(),
            disk_free: (self.host.disk_free)(),
        }
    }
}

/// What the engine's list would say of these containers.
fn summary(observed: &ObservedService) -> Summary {
    observed
        .containers
        .iter()
        .chain(&observed.hooks)
        .map(|c| (c.id.clone(), (c.name.clone(), c.status)))
        .collect()
}
