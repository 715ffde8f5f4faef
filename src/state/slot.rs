//! One slot, one step further: RELIABILITY.md 5.3 and 5.4 as "what is there, so what is next".

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::drift;
use super::gate::{self, Verdict};
use super::hooks::{self, Went};
use super::live;
use super::observed::{ContainerId, ContainerStatus, ObservedContainer};
use super::plan::Step;
use super::probe;
use super::roll::{Roll, Slot, View};
use super::target;
use super::time::Mono;
use crate::desired::probe::OnProbeFailure;
use crate::desired::spec::{DriftGroup, NetworkMode, RestartPolicy, Strategy};

/// Longest pause between starts, in milliseconds (RELIABILITY.md S10).
const START_BACKOFF_CAP: u64 = 60_000;
/// Longest pause between restarts that a probe asks for, in milliseconds: as long as Kubernetes waits.
const PROBE_BACKOFF_CAP: u64 = 300_000;

impl<'a> Pass<'a> {
    pub(super) fn slot(&mut self, slot: u32, roll: &Roll<'_>, view: &View<'a>, may_begin: bool) -> Slot {
        if let Some(dead) = view.others.iter().find(|container| container.status == ContainerStatus::Dead) {
            self.step(
                Some(slot),
                Step::Remove { id: dead.id.clone(), dead: true },
                "the engine left it half removed",
            );
            return Slot::Busy;
        }
        match view.current {
            None => self.without_container(slot, roll, view, may_begin),
            Some(container) if container.status == ContainerStatus::Paused => Slot::Down(paused(container)),
            Some(container) if container.status.is_up() => self.running(slot, roll, container),
            Some(container) => self.down(slot, roll, container, view),
        }
    }

    fn without_container(&mut self, slot: u32, roll: &Roll<'_>, view: &View<'a>, may_begin: bool) -> Slot {
        if self.record.completed.as_ref() == Some(&roll.kept.id) {
            return Slot::Completed;
        }
        if !may_begin {
            return Slot::Pending(Condition::new(
                ConditionKind::Progressing,
                "RollingOut",
                format!("slot {slot} waits for its turn"),
            ));
        }
        if let Some(condition) = self.waiting_for(roll.spec()) {
            return Slot::Pending(condition);
        }
        self.create(slot, roll, view)
    }

    /// It runs: has it proved itself, and is it as it should be?
    fn running(&mut self, slot: u32, roll: &Roll<'_>, container: &'a ObservedContainer) -> Slot {
        if let Some(why) = self.must_restart(roll, container) {
            self.step(
                Some(slot),
                Step::Stop { id: container.id.clone(), grace: container.stop_timeout },
                why,
            );
            return Slot::Busy;
        }
        let verdict = self.look(roll, container);
        let greeted = self.post_start(roll, container);
        if let Went::Under(condition) = greeted {
            return if self.plan.iter().any(|planned| planned.slot == Some(slot)) {
                Slot::Busy
            } else {
                Slot::Pending(condition)
            };
        }
        if !roll.committed {
            if let Went::Failed(reason) = greeted {
                return Slot::Failed { reason, container: None };
            }
            match verdict {
                Verdict::Healthy => {}
                Verdict::Pending { until, waiting_for } => {
                    return self.gate_pending(container, until, waiting_for);
                }
                Verdict::Failed(reason) => {
                    return Slot::Failed { reason, container: Some(container.id.clone()) };
                }
                Verdict::NotStarted | Verdict::Completed => {}
            }
        }
        let policy = self.promoted(roll);
        if container.restart != policy {
            let why =
                if roll.committed { "its restart policy differs from the file" } else { "it proved itself" };
            let what = drift::restart_text(&roll.spec().live, container);
            if let Some(why) = self.set_right(roll, &container.id, DriftGroup::Restart, &what, why) {
                self.step(Some(slot), Step::SetRestart { id: container.id.clone(), policy }, why);
                return Slot::Busy;
            }
        }
        if !roll.committed {
            self.memo.slot_passed_at.get_or_insert(self.inputs.now.mono);
            return Slot::Done;
        }
        match (self.keep_well(slot, roll, container, &verdict), greeted) {
            (Slot::Done, Went::Failed(reason)) => Slot::Impaired(hooks::impaired(&reason)),
            (state, _) => state,
        }
    }

    pub(super) fn look(&mut self, roll: &Roll<'_>, container: &ObservedContainer) -> Verdict {
        let mut window = self.memo.gates.remove(&container.id);
        let passed_before = window.as_ref().is_some_and(|open| open.passed);
        let now = self.inputs.now.mono;
        let session = self.inputs.observed.session;
        let rules = self.gate_rules(roll);
        let verdict = gate::look(container, &mut window, roll.spec().live.restart, &rules, session, now);
        if let Some(window) = window {
            let paced = !roll.committed || self.back_at_a_time(roll).is_some();
            if window.passed && !passed_before && paced {
                self.memo.slot_passed_at = Some(now);
            }
            self.memo.gates.insert(container.id.clone(), window);
        }
        verdict
    }

    fn gate_pending(&mut self, container: &ObservedContainer, until: Mono, waiting_for: &str) -> Slot {
        self.look_at(until);
        let text = format!("{} is up and waits for {waiting_for}", container.name);
        Slot::Pending(Condition::new(ConditionKind::Progressing, "GatePending", text))
    }

    /// A committed container that runs: limits, networks, name; and how it is.
    fn keep_well(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &ObservedContainer,
        verdict: &Verdict,
    ) -> Slot {
        let told = live::undelivered(roll.spec(), &self.record, container, true);
        if let Some((step, why)) = told {
            self.step(Some(slot), step, why);
            return Slot::Busy;
        }
        if let Some((step, why)) = self.next_in_place(roll, container) {
            self.step(Some(slot), step, why);
            return Slot::Busy;
        }
        let plain = target::plain_name(self.inputs.id, roll.spec(), slot);
        if container.name == plain || self.record.adopted.get(&container.id) == Some(&container.name) {
            self.note_applied(roll, container);
        }
        // The way back is walked to its end only when the previous one has passed the same gate.
        if let (true, Verdict::Pending { until, waiting_for }) = (self.record.rolling_back.is_some(), verdict)
        {
            return self.gate_pending(container, *until, waiting_for);
        }
        if let Some(state) = self.restart_by_probe(slot, roll, container) {
            return state;
        }
        match Self::impaired_text(container) {
            Some(condition) => Slot::Impaired(condition),
            None => Slot::Done,
        }
    }

    /// `on_failure = "restart"`: what a failing probe leads to, with a pause that grows like those between starts.
    fn restart_by_probe(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &ObservedContainer,
    ) -> Option<Slot> {
        let asked = roll.spec().policy.probe.as_ref()?.on_failure == OnProbeFailure::Restart;
        if !asked || !probe::is_failing(container) {
            return None;
        }
        if let Some(attempts) = self.memo.starts.get(&container.id) {
            let due = attempts.last.after(target::backoff_ms(attempts.count, PROBE_BACKOFF_CAP));
            if self.inputs.now.mono < due {
                self.look_at(due);
                return None;
            }
        }
        let last = container.probe.as_ref().map(|seen| seen.last.as_str()).unwrap_or_default();
        let step = Step::Stop { id: container.id.clone(), grace: container.stop_timeout };
        self.step(Some(slot), step, format!("its probe fails ({last}), and on_failure says restart"));
        Some(Slot::Busy)
    }

    /// Its network's owner, or a dependency with `restart = true`, was started after it.
    fn must_restart(&mut self, roll: &Roll<'_>, container: &ObservedContainer) -> Option<String> {
        let observed = self.inputs.observed;
        if let (NetworkMode::Service(parent), Some(owner)) =
            (&roll.spec().container.network_mode, &observed.parent)
            && owner.running
            && owner.started_at > container.started_at
        {
            return Some(format!("{parent}, whose network it shares, was started after it"));
        }
        for (name, tie) in roll.spec().container.extra.ties().filter(|(_, tie)| tie.ends_with_a_restart()) {
            let Some(owner) = observed.tied.get(name).filter(|owner| owner.running) else { continue };
            if owner.started_at > container.started_at {
                return Some(format!("{name}, {}, was started after it", tie.words()));
            }
        }
        for (name, dependency) in
            roll.spec().policy.depends_on.iter().filter(|(_, dependency)| dependency.restart)
        {
            let Some(state) = observed.dependencies.get(name) else { continue };
            let seen = self.record.started_under.get(name.as_str());
            let ready = super::wait::met(dependency, state);
            if seen.is_none() || (ready && seen != Some(&state.serving)) {
                let moved = seen.is_some();
                self.record.started_under.insert(name.to_string(), state.serving.clone());
                if moved && roll.committed {
                    return Some(format!("{name} was replaced or restarted, and depends_on says restart"));
                }
            }
        }
        None
    }

    /// Starts it, after everything that must be down is known to be down.
    pub(super) fn start(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &'a ObservedContainer,
        view: &View<'a>,
    ) -> Slot {
        if container.started_at.is_none()
            && let Some(condition) = self.waiting_for(roll.spec())
        {
            return Slot::Pending(condition);
        }
        if let Some(parent) = self.parent_is_down(roll) {
            return Slot::Pending(parent);
        }
        if let Some(attempts) = self.memo.starts.get(&container.id) {
            let due = attempts.last.after(target::backoff_ms(attempts.count, START_BACKOFF_CAP));
            // What evenkeel stopped itself is started at once, unless the engine has refused that already.
            let paced = !attempts.text.is_empty() || !self.record.stopped.contains(&container.id);
            if self.inputs.now.mono < due && paced {
                self.look_at(due);
                return Slot::Pending(Condition::new(
                    ConditionKind::Degraded,
                    "StartBackoff",
                    format!("{} is started again soon: {}", container.name, gate::exit_text(container)),
                ));
            }
        }
        if !roll.order.start_first
            && let Some(state) = self.clear_the_way(slot, roll, view)
        {
            return state;
        }
        if let Some(state) = self.clear_everything(roll) {
            return state;
        }
        if let Some((step, why)) = live::undelivered(roll.spec(), &self.record, container, false) {
            self.step(Some(slot), step, why);
        }
        let why = self.drift_cause(view).unwrap_or_else(|| self.start_cause(roll, container));
        self.step(Some(slot), Step::Start { id: container.id.clone() }, why);
        Slot::Busy
    }

    fn start_cause(&self, roll: &Roll<'_>, container: &ObservedContainer) -> String {
        if !roll.committed {
            return roll.kept.cause.clone();
        }
        match (&self.record.rolling_back, container.started_at) {
            (Some(failed), _) => format!("revision {failed} failed"),
            (None, None) => "it was missing".to_owned(),
            (None, Some(_)) if self.record.stopped.contains(&container.id) => {
                "it was stopped to be started anew".to_owned()
            }
            (None, Some(_)) => format!("it {}", gate::exit_text(container)),
        }
    }

    /// Stop-first: the others of the slot are stopped, lose their restart policy, and are seen to be down. One step a pass.
    fn clear_the_way(&mut self, slot: u32, roll: &Roll<'_>, view: &View<'a>) -> Option<Slot> {
        if let Some(other) = view.others.iter().find(|other| other.status.is_up()) {
            if other.status == ContainerStatus::Paused {
                return Some(Slot::Down(paused(other)));
            }
            if let Some(condition) = self.disk_is_low() {
                return Some(Slot::Down(condition));
            }
            let cause = self.drift_cause(view).unwrap_or_else(|| roll.kept.cause.clone());
            let why = format!("{cause}; stop-first: {}", roll.order.reason);
            let step = Step::Stop { id: other.id.clone(), grace: other.stop_timeout };
            self.step(Some(slot), step, why);
            return Some(Slot::Busy);
        }
        for other in &view.others {
            if other.restart != RestartPolicy::No && other.status == ContainerStatus::Exited {
                let step = Step::SetRestart { id: other.id.clone(), policy: RestartPolicy::No };
                self.step(Some(slot), step, "so that an engine restart cannot bring it back");
                return Some(Slot::Busy);
            }
            if self.is_unsettled(&other.id) {
                // A start of it may still be executed: it must be gone before another one gets what it would hold.
                self.step(
                    Some(slot),
                    Step::Remove { id: other.id.clone(), dead: false },
                    "a call about it was never answered",
                );
                return Some(Slot::Busy);
            }
        }
        None
    }

    /// `strategy = "recreate"`: nothing of another revision is up when the first of this one starts, whatever its slot.
    fn clear_everything(&mut self, roll: &Roll<'_>) -> Option<Slot> {
        if roll.committed || roll.spec().policy.rollout.strategy != Strategy::Recreate {
            return None;
        }
        let observed = self.inputs.observed;
        let up = |container: &&ObservedContainer| {
            container.labels.revision != roll.kept.id && container.status.is_up()
        };
        let other = observed.containers.iter().find(up)?;
        if other.status == ContainerStatus::Paused {
            return Some(Slot::Down(paused(other)));
        }
        if !(1..=roll.spec().policy.replicas).contains(&other.labels.slot) {
            // No slot of the new revision makes room here.
            let step = Step::Stop { id: other.id.clone(), grace: other.stop_timeout };
            self.step(Some(other.labels.slot), step, "recreate: all old ones stop before a new one starts");
            return Some(Slot::Busy);
        }
        let text = format!("waits until {} is down: recreate", other.name);
        Some(Slot::Pending(Condition::new(ConditionKind::Progressing, "RollingOut", text)))
    }

    fn is_unsettled(&self, id: &ContainerId) -> bool {
        self.record.unsettled.iter().any(|note| note.container == *id)
    }

    fn disk_is_low(&self) -> Option<Condition> {
        let (free, floor) = (self.inputs.observed.disk_free?.free, self.inputs.limits.disk_floor);
        let text = format!(
            "only {} MiB are free where the engine keeps its files, and {} MiB are wanted before anything is stopped: free some space, or lower `disk_floor`",
            free >> 20,
            floor >> 20
        );
        (free < floor).then(|| Condition::new(ConditionKind::Waiting, "DiskLow", text))
    }
}

fn paused(container: &ObservedContainer) -> Condition {
    let text =
        format!("{} was paused by hand and is left so: `docker unpause {}`", container.name, container.name);
    Condition::new(ConditionKind::Degraded, "Paused", text)
}
