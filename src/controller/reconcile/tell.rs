//! What a pass tells: the condition on the board, progress, log lines, numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::board::Entry;
use super::super::host::Cell;
use super::super::queue::Reason;
use super::super::trigger::{Key, Trigger};
use super::super::wish::Wish;
use super::{Pass, PassEnd, Turn};
use crate::desired::Wanted;
use crate::engine::EngineError;
use crate::metrics::{RolloutResult, ServiceGauges, Serving};
use crate::state::condition::{Condition, ConditionKind, ServiceStatus};
use crate::state::observed::{ContainerId, ObservedService};
use crate::state::plan::{Failure, Step};
use crate::state::record::{HistoryEntry, HistoryEvent};
use crate::state::time::{Mono, Now};
use crate::state::{order, probe, status};

impl Pass<'_> {
    /// The engine did not show us everything: nothing is decided.
    pub(super) fn blind(&self, desired: Option<&Wanted>, cell: &Cell, error: &EngineError) -> Turn {
        let reason = match error.kind {
            Failure::Unreachable | Failure::Unknown => "EngineUnreachable",
            _ => "EngineError",
        };
        let text = format!("the engine could not be asked ({error}); left as it is until it can");
        let condition = Condition::new(ConditionKind::Waiting, reason, text);
        tracing::debug!(service = %self.id, %error, "could not look");
        if self.host.board.entry(self.id).is_none() {
            let now = self.host.clock.now();
            if let Some(wish) = self.host.wish() {
                let nothing = ObservedService::default();
                self.publish(&wish, desired, &nothing, cell, &condition, now);
            }
        }
        self.trouble(&condition);
        Turn::End(PassEnd::Failed)
    }

    /// Puts a condition up that is not the decision's.
    pub(super) fn trouble(&self, condition: &Condition) {
        let now = self.host.clock.now();
        self.host.board.condition(self.id, condition, now.wall);
        self.host.progress.condition(self.id, condition);
    }

    /// Returns how many containers it should have.
    pub(super) fn publish(
        &self,
        wish: &Wish,
        desired: Option<&Wanted>,
        observed: &ObservedService,
        cell: &Cell,
        condition: &Condition,
        now: Now,
    ) -> u32 {
        let before = self.host.board.entry(self.id).map(|entry| entry.status);
        let record = &cell.record;
        let status =
            status::status(self.id, desired, observed, record, condition.clone(), before.as_ref(), now.wall);
        self.gauges(&status, desired, cell, observed);
        let progress = status::dependency(desired, observed, record, condition);
        let parent = status::parent(observed, record);
        let entry = Entry { status, progress, parent, settled: None, due: None };
        let replicas = entry.status.desired_replicas;
        let (changed, moved) = self.host.board.publish(self.id, entry);
        if changed {
            tracing::info!(service = %self.id, condition = condition.kind.as_str(), reason = condition.reason, message = condition.message);
            self.host.progress.condition(self.id, condition);
            self.host.news.condition(self.id, condition, now.wall);
        }
        if moved {
            for dependent in wish.dependents(&Key::Service(self.id.clone())) {
                let key = Key::Service(dependent.clone());
                self.host.inbox.post(Trigger::Key(key, Reason::Related));
            }
        }
        replicas
    }
}

/// Counting: what a pass did, in numbers.
impl Pass<'_> {
    fn gauges(
        &self,
        status: &ServiceStatus,
        desired: Option<&Wanted>,
        cell: &Cell,
        observed: &ObservedService,
    ) {
        let probed = || observed.containers.iter().filter(|container| container.probe.is_some());
        let failing = u32::try_from(probed().filter(|container| probe::is_failing(container)).count());
        let good = cell.record.good.as_ref();
        let serving = cell.record.revisions.iter().find(|kept| Some(&kept.id) == good);
        let drift = match desired {
            Some(Wanted::Run(wanted)) => {
                serving.is_none_or(|kept| kept.hash != wanted.hash)
                    || status.running < status.desired_replicas
            }
            Some(Wanted::Frozen(_)) | None => false,
        };
        let gauges = ServiceGauges {
            condition: status.condition.kind,
            desired: status.desired_replicas,
            running: status.running,
            ready: status.ready,
            revision: status.revision.as_deref().map(|revision| Serving {
                revision,
                image: &status.image,
                source: &status.source,
                commit: status.commit.as_ref(),
            }),
            drift,
            rejected: status.rejected.is_some(),
            held: cell.record.hold.is_some(),
            probes_failing: probed().next().map(|_| failing.unwrap_or(u32::MAX)),
            outside: &cell.record.drift,
            adopted: cell.record.adopted.len(),
        };
        self.host.metrics.service(self.id, &gauges);
    }

    pub(super) fn count_history(
        &mut self,
        cell: &Cell,
        history: &[HistoryEntry],
        desired: Option<&Wanted>,
        now: Now,
    ) {
        let took = Duration::from_millis(cell.memo.rollout_since.map_or(0, |since| now.mono.since(since)));
        let order = match desired {
            Some(Wanted::Run(wanted)) => order::order(&wanted.spec).as_str(),
            Some(Wanted::Frozen(_)) | None => "stop-first",
        };
        for entry in history {
            match entry.event {
                HistoryEvent::Committed => self.host.metrics.rollout(order, RolloutResult::Committed, took),
                HistoryEvent::Rejected => {
                    self.rolled_back = true;
                    let back = cell.record.good.is_some() && cell.record.good != entry.revision;
                    let result = if back { RolloutResult::RolledBack } else { RolloutResult::Failed };
                    self.host.metrics.rollout(order, result, took);
                }
                HistoryEvent::RolledBack => self.host.metrics.rolled_back(self.id),
                HistoryEvent::Started
                | HistoryEvent::Held
                | HistoryEvent::Released
                | HistoryEvent::Retried
                | HistoryEvent::Awaiting
                | HistoryEvent::Approved
                | HistoryEvent::HookRan
                | HistoryEvent::HookFailed
                | HistoryEvent::Updated
                | HistoryEvent::Repaired
                | HistoryEvent::Removed
                | HistoryEvent::Adopted
                | HistoryEvent::Drifted
                | HistoryEvent::Disowned => {}
            }
            tracing::info!(
                service = %self.id, event = ?entry.event, image = entry.image, reason = entry.reason, "history"
            );
        }
    }

    pub(super) fn count_downtime(
        &self,
        cell: &mut Cell,
        observed: &ObservedService,
        replicas: u32,
        condition: &Condition,
        now: Mono,
    ) {
        if condition.kind == ConditionKind::Completed {
            return cell.downtime.completed();
        }
        let lost = cell.downtime.look(observed, replicas, cell.record.good.is_some(), now);
        if lost > 0 {
            self.host.metrics.downtime(self.id, Duration::from_millis(lost));
        }
    }

    pub(super) fn count_restarts(&self, cell: &mut Cell, observed: &ObservedService) {
        let mut counts = BTreeMap::new();
        for container in &observed.containers {
            let before = cell.restarts.get(&container.id).copied();
            let more = container.restart_count.saturating_sub(before.unwrap_or(container.restart_count));
            if more > 0 {
                self.host.metrics.restarted(self.id, more);
            }
            counts.insert(container.id.clone(), container.restart_count);
        }
        cell.restarts = counts;
    }

    /// A start of something that had run before is a restart.
    pub(super) fn count_start(&self, step: &Step, observed: &ObservedService) {
        let Step::Start { id } = step else { return };
        let ran: BTreeSet<&ContainerId> =
            observed.containers.iter().filter(|c| c.started_at.is_some()).map(|c| &c.id).collect();
        if ran.contains(id) {
            self.host.metrics.restarted(self.id, 1);
        }
    }
}
