//! Hooks: what must have been run before something else is done, and what is run after it.
//!
//! A hook is two things: a note in the record that it began, durable before anything is asked of the engine, and a command or a
//! container that the engine can be asked about by its id. So a hook whose end is not known is looked up and never simply
//! run again. The engine starts a command it was asked to make once and no more, and a container of a hook whose start was never
//! answered is made anew unless it ran. Only where the engine itself has forgotten (it died, or somebody removed
//! the container) a hook is run again: at least once is what can be promised then.

mod command;
mod ephemeral;
pub mod run;
mod settle;

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::observed::{ContainerStatus, ObservedContainer};
use super::plan::Step;
use super::record::{HistoryEvent, KeptRevision, RevisionId, RevisionVerdict};
use super::roll::Roll;
use super::target;
use crate::desired::hooks::{Hook, HookPoint, OnError};
use run::{HookEnd, HookKey, HookRun};

pub(super) use settle::settle;

/// Where a hook, or a row of them, stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Went {
    Done,
    /// A step was planned, or something is waited for.
    Under(Condition),
    Failed(String),
}

/// What a hook may take where it does not say so itself, in milliseconds. Nothing waits without an end (I7).
fn limit_ms(point: HookPoint, hook: &Hook) -> u64 {
    hook.timeout_ms.unwrap_or(match point {
        HookPoint::PreStart => 3_600_000,
        _ => 300_000,
    })
}

impl<'a> Pass<'a> {
    pub(super) fn run_of(&self, key: &HookKey) -> Option<&HookRun> {
        self.record.hooks.iter().find(|run| run.key == *key)
    }

    /// Remembers that it begins, unless it is remembered already.
    fn begin(&mut self, key: &HookKey) {
        if self.run_of(key).is_none() {
            let began = self.inputs.now.wall;
            self.record.hooks.push(HookRun { key: key.clone(), began, exec: None, end: None, output: None });
        }
    }

    fn end(&mut self, key: &HookKey, end: HookEnd) {
        if let Some(run) = self.record.hooks.iter_mut().find(|run| run.key == *key) {
            run.end = Some(end);
        }
        self.memo.hooks.remove(key);
    }

    /// Runs the hooks of a point one after the other: in `container`, or each in one of its own.
    pub(super) fn run_hooks(
        &mut self,
        point: HookPoint,
        hooks: &[Hook],
        kept: &KeptRevision,
        container: Option<&'a ObservedContainer>,
    ) -> Went {
        for (index, hook) in (0..).zip(hooks) {
            let own = point == HookPoint::PreStart || hook.image.is_some();
            let inside = container.filter(|_| !own).map(|container| container.id.clone());
            let key = HookKey { point, index, revision: kept.id.clone(), container: inside };
            let went = match (own, container) {
                (true, _) => self.ephemeral(&key, hook, kept),
                (false, Some(container)) => self.command(&key, hook, container, limit_ms(point, hook)),
                (false, None) => Went::Failed(format!("{key} has no container to run in")),
            };
            match went {
                Went::Done => {}
                Went::Failed(_) if hook.on_error == OnError::Continue => {}
                other => return other,
            }
        }
        Went::Done
    }

    /// What comes before the first container of a revision: `before_update` in what serves, then `pre_start`.
    pub(super) fn before_the_first(&mut self, roll: &Roll<'_>) -> Went {
        let kept = roll.kept;
        let of_it = |container: &&ObservedContainer| container.labels.revision == kept.id;
        // A container of it was started, so all of this has been (should its record be lost, that still tells).
        let begun = self.inputs.observed.containers.iter().filter(of_it).any(|one| one.started_at.is_some());
        if roll.committed || begun || kept.good_since.is_some() {
            return Went::Done;
        }
        let before = kept.spec.policy.hooks.get(&HookPoint::BeforeUpdate).cloned().unwrap_or_default();
        let steps = kept.spec.container.lifecycle.pre_start.clone();
        if before.is_empty() && steps.is_empty() {
            return Went::Done;
        }
        if let Some(condition) = self.waiting_for(roll.spec()) {
            return Went::Under(condition);
        }
        if roll.has_fallback && !before.is_empty() {
            let serving = self.serving_container();
            let needs_one = before.iter().any(|hook| hook.image.is_none());
            if serving.is_some() || !needs_one {
                match self.run_hooks(HookPoint::BeforeUpdate, &before, kept, serving) {
                    Went::Done => {}
                    other => return other,
                }
            }
        }
        self.run_hooks(HookPoint::PreStart, &steps, kept, None)
    }

    /// `before_switch`: in the new one, while the old one is still there.
    pub(super) fn before_switch(
        &mut self,
        roll: &Roll<'_>,
        container: Option<&'a ObservedContainer>,
    ) -> Went {
        let hooks = roll.kept.spec.policy.hooks.get(&HookPoint::BeforeSwitch).cloned().unwrap_or_default();
        if !roll.has_fallback || hooks.is_empty() {
            return Went::Done;
        }
        self.run_hooks(HookPoint::BeforeSwitch, &hooks, roll.kept, container)
    }

    /// `post_start` in a container that evenkeel started itself.
    pub(super) fn post_start(&mut self, roll: &Roll<'_>, container: &'a ObservedContainer) -> Went {
        if !self.record.to_greet.contains(&container.id) {
            let failed = self.record.hooks.iter().find(|run| {
                run.key.point == HookPoint::PostStart
                    && run.key.container.as_ref() == Some(&container.id)
                    && run.failed()
            });
            return failed.map_or(Went::Done, |run| Went::Failed(run.told()));
        }
        let hooks = roll.kept.spec.container.lifecycle.post_start.clone();
        let went = self.run_hooks(HookPoint::PostStart, &hooks, roll.kept, Some(container));
        if !matches!(went, Went::Under(_)) {
            self.record.to_greet.remove(&container.id);
        }
        went
    }

    fn serving_container(&self) -> Option<&'a ObservedContainer> {
        let good = self.record.good.as_ref();
        let serves = |container: &&ObservedContainer| {
            container.status == ContainerStatus::Running && Some(&container.labels.revision) == good
        };
        self.inputs.observed.containers.iter().filter(serves).min_by_key(|container| container.labels.slot)
    }

    /// Puts `pre_stop` before every stop of a plan. It never keeps anything from being stopped: whatever became of it, the stop follows.
    pub(super) fn greet_before_stops(&mut self) {
        let plan = std::mem::take(&mut self.plan);
        for mut planned in plan {
            let Step::Stop { id, grace } = &planned.step else {
                self.plan.push(planned);
                continue;
            };
            let observed = self.inputs.observed;
            let container = observed.containers.iter().find(|container| container.id == *id);
            let Some(container) = container.filter(|found| found.status == ContainerStatus::Running) else {
                self.plan.push(planned);
                continue;
            };
            let whole = u64::from(grace.unwrap_or(DEFAULT_GRACE)) * 1_000;
            match self.pre_stop(container, whole) {
                None => self.plan.push(planned),
                Some(Went::Under(_)) => {}
                // It and the stop share the grace period, and the program always gets a moment to end by itself.
                Some(_) => {
                    let left = whole.saturating_sub(self.greeted_for(container)).max(LAST_MOMENT_MS);
                    let seconds = u32::try_from(left.div_ceil(1_000)).unwrap_or(u32::MAX);
                    planned.step = Step::Stop { id: container.id.clone(), grace: Some(seconds) };
                    self.plan.push(planned);
                }
            }
        }
    }

    /// `None`: it has none.
    fn pre_stop(&mut self, container: &'a ObservedContainer, grace_ms: u64) -> Option<Went> {
        let kept = target::kept(&self.record, &container.labels.revision)?.clone();
        let hooks = kept.spec.container.lifecycle.pre_stop.clone();
        if hooks.is_empty() {
            return None;
        }
        for (index, hook) in (0..).zip(&hooks) {
            let key = HookKey {
                point: HookPoint::PreStop,
                index,
                revision: kept.id.clone(),
                container: Some(container.id.clone()),
            };
            let left = grace_ms.saturating_sub(self.greeted_for(container));
            let limit = hook.timeout_ms.unwrap_or(grace_ms).min(left);
            if limit == 0 {
                break;
            }
            if let Went::Under(condition) = self.command(&key, hook, container, limit) {
                return Some(Went::Under(condition));
            }
        }
        Some(Went::Done)
    }

    /// Milliseconds since the first `pre_stop` of this stop began.
    fn greeted_for(&self, container: &ObservedContainer) -> u64 {
        let of_it = |run: &&HookRun| {
            run.key.point == HookPoint::PreStop && run.key.container.as_ref() == Some(&container.id)
        };
        let began = self.record.hooks.iter().filter(of_it).map(|run| run.began).min();
        let passed = began.map_or(0, |began| self.inputs.now.wall.0.saturating_sub(began.0));
        u64::try_from(passed).unwrap_or_default()
    }

    /// Notes that hooks of an update have to be run when there is time for them.
    pub(super) fn owe(&mut self, point: HookPoint, revision: &RevisionId) {
        let asked = target::kept(&self.record, revision)
            .is_some_and(|kept| kept.spec.policy.hooks.contains_key(&point));
        let owed = (point, revision.clone());
        if asked && !self.record.owed.contains(&owed) {
            self.record.owed.push(owed);
        }
    }

    /// Runs what is owed, when nothing else is to be done. None of it undoes anything.
    pub(super) fn pay(&mut self) {
        while self.plan.is_empty() {
            let Some((point, revision)) = self.record.owed.first().cloned() else { return };
            let kept = target::kept(&self.record, &revision).cloned();
            let inside = kept.iter().flat_map(|kept| kept.spec.policy.hooks.get(&point)).flatten();
            let needs_one = inside.into_iter().any(|hook| hook.image.is_none());
            if needs_one && self.record.rolling_back.is_some() && self.serving_container().is_none() {
                // The previous one is on its way back.
                return;
            }
            let went = kept.as_ref().map(|kept| {
                let hooks = kept.spec.policy.hooks.get(&point).cloned().unwrap_or_default();
                let serving = self.serving_container();
                self.run_hooks(point, &hooks, kept, serving)
            });
            match went {
                Some(Went::Under(_)) => return,
                Some(Went::Failed(reason)) => {
                    // One that ran has its line already.
                    if reason.ends_with("no container to run in") {
                        self.note(HistoryEvent::HookFailed, Some(revision), reason);
                    }
                }
                Some(Went::Done) | None => {}
            }
            self.record.owed.remove(0);
        }
    }

    /// What was noted about containers and revisions that are gone; the last failures stay, for whoever asks why.
    pub(super) fn forget_old_hooks(&mut self) {
        const FAILURES: usize = 5;
        let observed = self.inputs.observed;
        let revisions = &self.record.revisions;
        let is_kept = |revision: &RevisionId| revisions.iter().any(|kept| kept.id == *revision);
        let is_there = |run: &HookRun| {
            let own = run.key.container.as_ref();
            own.is_none_or(|id| observed.containers.iter().any(|container| container.id == *id))
        };
        self.record.hooks.retain(|run| is_kept(&run.key.revision) && (is_there(run) || run.failed()));
        let gone = self.record.hooks.iter().filter(|run| !is_there(run)).count();
        let mut surplus = gone.saturating_sub(FAILURES);
        self.record.hooks.retain(|run| {
            let drop = surplus > 0 && !is_there(run);
            surplus -= usize::from(drop);
            !drop
        });
        let there = |id: &super::observed::ContainerId| observed.containers.iter().any(|one| one.id == *id);
        self.record.to_greet.retain(there);
        self.memo.hooks.retain(|key, _| self.record.hooks.iter().any(|run| run.key == *key));
    }

    /// Containers of hooks that succeeded, or whose revision nobody keeps any more.
    pub(super) fn tidy_hooks(&mut self) {
        let observed = self.inputs.observed;
        for container in &observed.hooks {
            let revision = &container.labels.revision;
            let kept = target::kept(&self.record, revision);
            let good = kept.is_some_and(|kept| kept.verdict == RevisionVerdict::Good);
            let failed = self.record.hooks.iter().any(|run| {
                run.failed()
                    && run.key.revision == *revision
                    && container.labels.hook.as_deref() == Some(&run.key.label())
            });
            let over = matches!(container.status, ContainerStatus::Exited | ContainerStatus::Created);
            if over && (kept.is_none() || (good && !failed)) {
                let step = Step::Remove { id: container.id.clone(), dead: false };
                self.tidy(None, step, "its hook is over");
            }
        }
    }
}

/// The engine's grace period where nobody gave one, in seconds.
const DEFAULT_GRACE: u32 = 10;
/// What is left to a program when its `pre_stop` used up the grace period: as much as Kubernetes leaves it.
const LAST_MOMENT_MS: u64 = 2_000;

/// A failed hook of the start that is not the roll-out's affair any more.
pub(super) fn impaired(reason: &str) -> Condition {
    Condition::new(ConditionKind::Degraded, "HookFailed", reason)
}

fn waits(key: &HookKey) -> Condition {
    Condition::new(ConditionKind::Progressing, "HookRunning", format!("{key} runs"))
}
