//! Rolling a revision out, or keeping it so: every slot one step further.

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::hooks::Went;
use super::observed::{ContainerStatus, Health, ObservedContainer};
use super::order::Order;
use super::plan::Step;
use super::probe;
use super::record::{HistoryEvent, KeptRevision, RevisionId, RevisionVerdict, Watch};
use super::target::{self, Why};
use crate::desired::hooks::HookPoint;
use crate::desired::spec::{FailureAction, NetworkMode, RestartPolicy, ServiceSpec, Strategy};

/// The revision that every slot should serve.
pub(super) struct Roll<'r> {
    pub kept: &'r KeptRevision,
    pub order: Order,
    /// It passed its gate before: what is left is repair and tidying.
    pub committed: bool,
    /// There is a revision to go back to.
    pub has_fallback: bool,
}

impl Roll<'_> {
    pub fn spec(&self) -> &ServiceSpec {
        &self.kept.spec
    }
}

/// Where one slot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    /// Serves and has proved itself.
    Done,
    /// Ran to its end, as its restart policy wants it.
    Completed,
    /// Serves, and something about it is wrong.
    Impaired(Condition),
    /// A step was planned.
    Busy,
    /// Waits for something: time, a dependency, its turn.
    Pending(Condition),
    /// Cannot serve, and it is not the revision's gate that says so.
    Down(Condition),
    /// The revision failed here.
    Failed { reason: String, container: Option<super::observed::ContainerId> },
}

/// The containers of one slot: the one of the wanted revision, and all others.
pub(super) struct View<'a> {
    pub current: Option<&'a ObservedContainer>,
    pub others: Vec<&'a ObservedContainer>,
}

impl<'a> Pass<'a> {
    pub(super) fn roll(&mut self, kept: &KeptRevision, why: &Why) -> Condition {
        let good = self.record.good.as_ref();
        let roll = Roll {
            kept,
            order: self.order_of(kept),
            committed: good == Some(&kept.id),
            has_fallback: good.is_some_and(|good| *good != kept.id),
        };
        if !roll.committed && *why == Why::Held && self.record.intent.as_ref() != Some(&kept.id) {
            self.record.intent = Some(kept.id.clone());
            self.memo.rollout_since = Some(self.inputs.now.mono);
        }
        if self.fence(&roll) {
            return Condition::new(
                ConditionKind::Progressing,
                "RemovingFailed",
                "removing what failed or was superseded",
            );
        }
        match self.before_the_first(&roll) {
            Went::Done => {}
            Went::Under(condition) => return condition,
            Went::Failed(reason) => return self.reject(&roll, &reason),
        }
        self.note_config_drift(&roll);
        let slots = self.every_slot(&roll);
        if let Some(condition) = self.judge(&roll, &slots) {
            return condition;
        }
        self.after_commit(&roll, &slots);
        self.condition_of(&roll, why, slots)
    }

    /// Removes containers of revisions that failed or were superseded, before anything else starts: a late start of one could
    /// otherwise take what the serving one needs (RELIABILITY.md fact 12).
    fn fence(&mut self, roll: &Roll<'_>) -> bool {
        let observed = self.inputs.observed;
        let mut found = false;
        for container in &observed.containers {
            let revision = &container.labels.revision;
            if *revision == roll.kept.id || self.record.good.as_ref() == Some(revision) {
                continue;
            }
            let rejected = target::is_rejected(&self.record, revision);
            let previous =
                self.record.watch.as_ref().is_some_and(|watch| watch.previous.as_ref() == Some(revision));
            let serves_for_now = !roll.committed && !roll.has_fallback;
            if previous || (!rejected && serves_for_now) || (!rejected && roll.committed) {
                continue;
            }
            if rejected && self.waits_to_go_back(container, roll) {
                continue;
            }
            found = true;
            let why = if rejected {
                "its revision failed"
            } else {
                "its revision was superseded before it proved itself"
            };
            self.take_away(container, rejected, why);
        }
        found
    }

    /// The next step towards the removal of a container: its log first when that is evidence.
    pub(super) fn take_away(&mut self, container: &ObservedContainer, evidence: bool, why: &str) {
        let slot = Some(container.labels.slot);
        let id = container.id.clone();
        let revision = &container.labels.revision;
        let has_evidence = target::kept(&self.record, revision).is_none_or(|kept| kept.evidence.is_some());
        if evidence
            && !has_evidence
            && container.started_at.is_some()
            && container.status != ContainerStatus::Removing
        {
            self.step(
                slot,
                Step::SaveLogs { id: id.clone(), revision: revision.clone() },
                "evidence against its revision",
            );
        }
        match container.status {
            ContainerStatus::Dead => {
                self.step(slot, Step::Remove { id, dead: true }, "the engine left it half removed")
            }
            ContainerStatus::Removing => self.look_at(self.inputs.now.mono.after(1_000)),
            status if status.is_up() => {
                self.step(slot, Step::Stop { id, grace: container.stop_timeout }, why)
            }
            _ => self.step(slot, Step::Remove { id, dead: false }, why),
        }
    }

    fn every_slot(&mut self, roll: &Roll<'_>) -> Vec<Slot> {
        let replicas = roll.spec().policy.replicas;
        let parallelism = match roll.spec().policy.update.parallelism {
            0 => u32::MAX,
            // Nothing to protect: a first deployment, a repair or the way back does all slots at once.
            _ if roll.committed || !roll.has_fallback => u32::MAX,
            some => some,
        };
        let mut under_way = 0;
        let mut slots = Vec::new();
        let mut back = self.back_at_a_time(roll).map(|limit| (limit, self.slots_on_their_way_back(roll)));
        for slot in 1..=replicas {
            if let Some((limit, going)) = &mut back
                && self.is_served_by_the_failed(slot, roll)
            {
                if *going >= *limit || !self.delay_is_over(roll) {
                    let text = format!("slot {slot} waits for its turn to go back");
                    slots.push(Slot::Pending(Condition::new(
                        ConditionKind::Progressing,
                        "RollingBack",
                        text,
                    )));
                    continue;
                }
                *going += 1;
            }
            let view = self.view(slot, roll);
            let may_begin = under_way < parallelism && (view.current.is_some() || self.delay_is_over(roll));
            let state = self.slot(slot, roll, &view, may_begin);
            if !matches!(state, Slot::Done | Slot::Completed | Slot::Impaired(_)) {
                under_way += 1;
            }
            slots.push(state);
        }
        slots
    }

    /// `update_config.delay` between one batch and the next.
    fn delay_is_over(&mut self, roll: &Roll<'_>) -> bool {
        let back = self.back_at_a_time(roll).is_some();
        let delay = if back { self.back_delay(roll) } else { roll.spec().policy.update.delay_ms };
        let Some(last) = self.memo.slot_passed_at.filter(|_| (back || !roll.committed) && delay > 0) else {
            return true;
        };
        let over = last.after(delay);
        if self.inputs.now.mono < over {
            self.look_at(over);
        }
        self.inputs.now.mono >= over
    }

    pub(super) fn view(&self, slot: u32, roll: &Roll<'_>) -> View<'a> {
        let observed = self.inputs.observed;
        let of_slot = || observed.containers.iter().filter(|container| container.labels.slot == slot);
        let rank = |container: &&ObservedContainer| {
            (container.status.is_up(), container.started_at.is_some(), container.created_at)
        };
        let current = of_slot().filter(|container| self.is_current(container, roll)).max_by_key(rank);
        let others =
            of_slot().filter(|container| current.is_none_or(|current| current.id != container.id)).collect();
        View { current, others }
    }

    /// Is it a container of this revision, in the right network namespace, with limits that can be brought to the spec?
    fn is_current(&self, container: &ObservedContainer, roll: &Roll<'_>) -> bool {
        let usable = !matches!(container.status, ContainerStatus::Dead | ContainerStatus::Removing);
        let limits = super::live::reachable(&container.resources, &roll.spec().live.resources);
        usable
            && limits
            && !self.record.replaced.contains_key(&container.id)
            && container.labels.revision == roll.kept.id
            && self.parent_fits(container, roll.spec())
            && self.ties_fit(container, roll.spec())
            && super::live::same_hardware(container, roll.spec())
    }

    /// The containers that its request named are still those of their services.
    fn ties_fit(&self, container: &ObservedContainer, spec: &ServiceSpec) -> bool {
        spec.container.extra.ties().all(|(name, _)| match self.inputs.observed.tied.get(name) {
            Some(other) => container.tied.contains(&other.id.0) || container.tied.contains(&other.name),
            None => true,
        })
    }

    fn parent_fits(&self, container: &ObservedContainer, spec: &ServiceSpec) -> bool {
        match (&spec.container.network_mode, &self.inputs.observed.parent) {
            (NetworkMode::Service(_), Some(parent)) => {
                container.network_mode == format!("container:{}", parent.id.0)
            }
            _ => true,
        }
    }

    /// Commits, or rejects. `Some` when that ended the pass.
    fn judge(&mut self, roll: &Roll<'_>, slots: &[Slot]) -> Option<Condition> {
        if roll.committed {
            return self.judge_watch(roll);
        }
        let update = &roll.spec().policy.update;
        let failed: Vec<_> = slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Failed { reason, container } => Some((reason, container)),
                _ => None,
            })
            .collect();
        if let Some((reason, container)) = failed.first() {
            let tolerated =
                failed.len() as u64 * 1_000 <= u64::from(update.max_failure_permille) * slots.len() as u64;
            let goes_on = tolerated || update.failure_action == FailureAction::Continue;
            if !goes_on {
                // Steps planned for other slots belong to a roll-out that just ended.
                self.plan.clear();
                if let Some(id) = container {
                    let step = Step::SaveLogs { id: (*id).clone(), revision: roll.kept.id.clone() };
                    self.step(None, step, "evidence against its revision");
                }
                return Some(self.reject(roll, reason));
            }
        }
        if let Some(condition) = self.judge_switch(roll, slots) {
            return Some(condition);
        }
        let over = |slot: &Slot| {
            matches!(slot, Slot::Done | Slot::Completed | Slot::Impaired(_) | Slot::Failed { .. })
        };
        if slots.iter().all(over) && self.plan.is_empty() {
            return Some(self.commit(roll));
        }
        // A whole new set proves itself beside the old one.
        if roll.spec().policy.rollout.strategy != Strategy::BlueGreen {
            self.release_olds_of_proved_slots(roll, slots);
        }
        None
    }

    /// `before_switch` in the first slot that proved itself; nothing old goes before it has ended well.
    fn judge_switch(&mut self, roll: &Roll<'_>, slots: &[Slot]) -> Option<Condition> {
        let proved = (1..).zip(slots).find(|(_, slot)| **slot == Slot::Done).map(|(slot, _)| slot)?;
        let container = self.view(proved, roll).current;
        match self.before_switch(roll, container) {
            Went::Done => None,
            Went::Under(condition) => Some(condition),
            Went::Failed(reason) => {
                // What else was planned belongs to a roll-out that just ended; what the hook itself leaves to be done stays.
                self.plan.retain(|planned| planned.slot.is_none());
                Some(self.reject(roll, &reason))
            }
        }
    }

    fn commit(&mut self, roll: &Roll<'_>) -> Condition {
        let id = roll.kept.id.clone();
        let previous = self.record.good.replace(id.clone());
        if previous.is_some() {
            self.owe(HookPoint::AfterUpdate, &id);
        }
        self.record.intent = None;
        self.record.rolling_back = None;
        self.record.approved = None;
        self.record.hurried = None;
        self.record.replaced_for.clear();
        self.record.watch = Some(Watch { revision: id.clone(), previous });
        self.memo.watch_since = None;
        self.memo.watch_base.clear();
        self.memo.watch_starts = 0;
        self.set_verdict(&id, RevisionVerdict::Good);
        let now = self.inputs.now.wall;
        if let Some(kept) = self.record.revisions.iter_mut().find(|kept| kept.id == id) {
            kept.good_since.get_or_insert(now);
        }
        self.note(HistoryEvent::Committed, Some(id), roll.kept.cause.clone());
        Condition::new(ConditionKind::Progressing, "Committed", "proved itself")
    }

    fn reject(&mut self, roll: &Roll<'_>, reason: &str) -> Condition {
        let id = roll.kept.id.clone();
        self.set_verdict(
            &id,
            RevisionVerdict::Rejected { reason: reason.to_owned(), at: self.inputs.now.wall },
        );
        self.record.intent = None;
        self.record.approved.take_if(|approved| *approved == id);
        self.record.hurried.take_if(|hurried| *hurried == id);
        if self.record.hold.as_ref().is_some_and(|hold| hold.revision.as_ref() == Some(&id)) {
            self.record.hold = None;
        }
        let rolls_back = roll.spec().policy.update.failure_action == FailureAction::Rollback;
        if rolls_back && self.record.good.as_ref().is_some_and(|good| *good != id) {
            self.record.rolling_back = Some(id.clone());
        }
        self.note(HistoryEvent::Rejected, Some(id.clone()), reason.to_owned());
        self.owe(HookPoint::OnFailure, &id);
        Condition::new(ConditionKind::Progressing, "Rejected", format!("revision {id} failed: {reason}"))
    }

    /// Failures after the commit still count, for a while (DESIGN.md 5: watch window and restart budget).
    fn judge_watch(&mut self, roll: &Roll<'_>) -> Option<Condition> {
        let watch = self.record.watch.clone().filter(|watch| watch.revision == roll.kept.id)?;
        let now = self.inputs.now.mono;
        let since = *self.memo.watch_since.get_or_insert(now);
        let watched = since.after(self.inputs.limits.watch_ms);
        let rollout = roll.spec().policy.rollout;
        // What went before stays for as long as the files say; failures count for the watch only.
        let end = watched.max(since.after(rollout.keep_old_ms.max(rollout.drain_ms)));
        if now >= end {
            self.record.watch = None;
            return None;
        }
        self.look_at(if now < watched { watched } else { end });
        if now >= watched {
            return None;
        }
        let started = |container: &&ObservedContainer| {
            container.labels.revision == roll.kept.id && container.started_at.is_some()
        };
        let current = self.inputs.observed.containers.iter().filter(started);
        let mut restarts = self.memo.watch_starts;
        let mut failures = 0_u32;
        for container in current {
            failures = failures.saturating_add(probe::rounds(container));
            let base = *self.memo.watch_base.entry(container.id.clone()).or_insert(container.restart_count);
            restarts += container.restart_count.saturating_sub(base);
        }
        let previous = watch.previous.filter(|previous| {
            target::kept(&self.record, previous).is_some_and(|kept| kept.verdict == RevisionVerdict::Good)
        })?;
        if restarts.saturating_add(failures) < self.inputs.limits.watch_restarts {
            return None;
        }
        self.plan.clear();
        self.record.watch = None;
        self.record.good = Some(previous);
        let what = match failures {
            0 => format!("it restarted {restarts} times"),
            _ => format!("its probe kept failing ({failures} times over) and it restarted {restarts} times"),
        };
        let reason =
            format!("{what} within {} of its commit", super::gate::seconds(now.since(since).max(1_000)));
        Some(self.reject(roll, &reason))
    }

    fn condition_of(&mut self, roll: &Roll<'_>, why: &Why, slots: Vec<Slot>) -> Condition {
        let progressing = |text: String| {
            Condition::new(
                ConditionKind::Progressing,
                if roll.committed { "Repairing" } else { "RollingOut" },
                text,
            )
        };
        if slots.contains(&Slot::Busy) || !self.plan.iter().all(|planned| planned.housekeeping) {
            return progressing(format!("revision {} ({})", roll.kept.id, roll.kept.spec.container.image));
        }
        let mut waiting = None;
        let mut impaired = None;
        for slot in &slots {
            match slot {
                Slot::Down(condition) => return condition.clone(),
                Slot::Pending(condition) => waiting = waiting.or(Some(condition.clone())),
                Slot::Impaired(condition) => impaired = impaired.or(Some(condition.clone())),
                Slot::Failed { reason, .. } => {
                    impaired = impaired.or(Some(Condition::new(
                        ConditionKind::Degraded,
                        "SlotFailed",
                        reason.clone(),
                    )))
                }
                Slot::Done | Slot::Completed | Slot::Busy => {}
            }
        }
        if let Some(condition) = waiting {
            return condition;
        }
        self.record.drift = self.drift.keys().copied().collect();
        if let Some(failed) = self.record.rolling_back.take() {
            self.owe(HookPoint::AfterRollback, &failed);
            self.note(
                HistoryEvent::RolledBack,
                Some(roll.kept.id.clone()),
                format!("revision {failed} failed"),
            );
        }
        if let Some(condition) = impaired {
            return condition;
        }
        let settled = self.settled_condition(roll, why, &slots);
        self.drifted(settled)
    }

    fn settled_condition(&mut self, roll: &Roll<'_>, why: &Why, slots: &[Slot]) -> Condition {
        match why {
            Why::Rejected(id) => self.rolled_back_condition(roll, id),
            Why::Held => Condition::new(ConditionKind::Held, "Held", self.held_text()),
            Why::Frozen => self.frozen(),
            Why::Unapproved(id) => self.unapproved(id),
            Why::OutsideWindow(id) => self.outside_window(id),
            Why::ImagePending => Condition::new(
                ConditionKind::Waiting,
                "ImagePending",
                "the wanted image is not on this host yet",
            ),
            Why::Desired if slots.iter().all(|slot| *slot == Slot::Completed) => {
                Condition::new(ConditionKind::Completed, "Completed", "ran to its end with 0")
            }
            Why::Desired => Condition::new(
                ConditionKind::Ready,
                "AsDesired",
                format!("{} serves", roll.kept.spec.container.image),
            ),
        }
    }

    fn rolled_back_condition(&self, roll: &Roll<'_>, rejected: &RevisionId) -> Condition {
        let reason = match target::kept(&self.record, rejected)
            .map(|kept| (&kept.verdict, &kept.spec.container.image))
        {
            Some((RevisionVerdict::Rejected { reason, .. }, image)) => {
                format!("revision {rejected} ({image}) failed: {reason}")
            }
            _ => format!("revision {rejected} failed"),
        };
        let serving = &roll.kept.spec.container.image;
        let text = format!(
            "{reason}; {serving} serves. It is not tried again until its file changes or `evenkeel retry`"
        );
        Condition::new(ConditionKind::RolledBack, "Rejected", text)
    }

    /// The restart policy a proved container should have.
    pub(super) fn promoted(&self, roll: &Roll<'_>) -> RestartPolicy {
        roll.spec().live.restart
    }

    pub(super) fn impaired_text(container: &ObservedContainer) -> Option<Condition> {
        if container.status == ContainerStatus::Restarting {
            let text = format!(
                "{} restarts again and again ({} times): {}",
                container.name,
                container.restart_count,
                super::gate::exit_text(container)
            );
            return Some(Condition::new(ConditionKind::Degraded, "CrashLoop", text));
        }
        if probe::is_failing(container) {
            let text = container.probe.as_ref().map(|seen| seen.last.as_str()).unwrap_or_default();
            return Some(Condition::new(
                ConditionKind::Degraded,
                "ProbeFailing",
                format!("the probe of {} fails: {text}", container.name),
            ));
        }
        if container.health == Health::Unhealthy {
            let line = container.health_log.lines().next().unwrap_or_default();
            return Some(Condition::new(
                ConditionKind::Degraded,
                "Unhealthy",
                format!("{} is unhealthy: {line}", container.name),
            ));
        }
        None
    }
}
