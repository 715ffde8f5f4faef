//! One slot, one step further: RELIABILITY.md 5.3 and 5.4 as "what is there, so what is next".

use std::collections::BTreeSet;

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::gate::{self, Verdict};
use super::live;
use super::observed::{ContainerId, ContainerStatus, ObservedContainer};
use super::plan::{Failure, Step};
use super::record::Attempts;
use super::roll::{Roll, Slot, View};
use super::target;
use super::time::Mono;
use crate::desired::spec::{NetworkMode, PortBinding, RestartPolicy, ServiceSpec};

/// Starts of a first deployment, which has nothing to go back to (RELIABILITY.md S10).
const FIRST_STARTS: u32 = 5;
/// Starts of an update that the engine refuses for a reason that may pass (a port, the disk), while the old one is down.
const UPDATE_STARTS: u32 = 3;
/// Longest pause between starts, in milliseconds (RELIABILITY.md S10).
const START_BACKOFF_CAP: u64 = 60_000;

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
        if !roll.committed {
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
            self.step(Some(slot), Step::SetRestart { id: container.id.clone(), policy }, why);
            return Slot::Busy;
        }
        if !roll.committed {
            self.memo.slot_passed_at.get_or_insert(self.inputs.now.mono);
            return Slot::Done;
        }
        self.keep_well(slot, roll, container, &verdict)
    }

    fn look(&mut self, roll: &Roll<'_>, container: &ObservedContainer) -> Verdict {
        let mut window = self.memo.gates.remove(&container.id);
        let passed_before = window.as_ref().is_some_and(|open| open.passed);
        let now = self.inputs.now.mono;
        let session = self.inputs.observed.session;
        let verdict = gate::look(
            container,
            &mut window,
            roll.spec().live.restart,
            &roll.spec().policy.update,
            session,
            now,
        );
        if let Some(window) = window {
            if window.passed && !passed_before && !roll.committed {
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
        let next =
            live::next(self.inputs.id, roll.spec(), container, self.inputs.observed, self.inputs.owner);
        if let Some((step, why)) = next {
            self.step(Some(slot), step, why);
            return Slot::Busy;
        }
        // The way back is walked to its end only when the previous one has passed the same gate.
        if let (true, Verdict::Pending { until, waiting_for }) = (self.record.rolling_back.is_some(), verdict)
        {
            return self.gate_pending(container, *until, waiting_for);
        }
        match Self::impaired_text(container) {
            Some(condition) => Slot::Impaired(condition),
            None => Slot::Done,
        }
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

    /// It does not run: is that its fault, its end, or should it be started?
    fn down(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &'a ObservedContainer,
        view: &View<'a>,
    ) -> Slot {
        let stopped_by_us = self.record.stopped.contains(&container.id);
        if let Some(refused) =
            self.memo.starts.get(&container.id).filter(|attempts| !attempts.text.is_empty()).cloned()
        {
            return self.start_refused(slot, roll, container, view, &refused);
        }
        if container.status == ContainerStatus::Created || stopped_by_us {
            return self.start(slot, roll, container, view);
        }
        let policy = roll.spec().live.restart;
        let ended_well = container.exit_code == 0 && !gate::restarts_after(policy, 0);
        let known = self.record.completed.as_ref() == Some(&roll.kept.id);
        if ended_well && container.started_at.is_some() && (known || self.engine_saw_it_end(container)) {
            self.record.completed = Some(roll.kept.id.clone());
            return Slot::Completed;
        }
        if roll.committed {
            return self.died_after_commit(slot, roll, container, view);
        }
        match self.look(roll, container) {
            Verdict::Failed(reason) => self.died_in_gate(slot, roll, container, view, reason),
            _ => self.start(slot, roll, container, view),
        }
    }

    /// An exit across an engine restart is the engine's, not the container's (RELIABILITY.md E22): only one seen in this session,
    /// or by an evenkeel that just started, tells something.
    fn engine_saw_it_end(&self, container: &ObservedContainer) -> bool {
        self.memo.gates.get(&container.id).is_none_or(|window| window.session == self.inputs.observed.session)
    }

    fn died_in_gate(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &'a ObservedContainer,
        view: &View<'a>,
        reason: String,
    ) -> Slot {
        let starts = self.memo.starts.get(&container.id).map_or(1, |attempts| attempts.count);
        let again =
            gate::restarts_after(roll.spec().live.restart, container.exit_code) && starts < FIRST_STARTS;
        if roll.has_fallback || !again {
            return Slot::Failed { reason, container: Some(container.id.clone()) };
        }
        // Nothing to go back to: its restart policy is followed, at our pace.
        match self.start(slot, roll, container, view) {
            Slot::Pending(_) => Slot::Pending(Condition::new(
                ConditionKind::Progressing,
                "StartBackoff",
                format!("{}: {reason}; start {} of {FIRST_STARTS} follows", container.name, starts + 1),
            )),
            other => other,
        }
    }

    fn died_after_commit(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &'a ObservedContainer,
        view: &View<'a>,
    ) -> Slot {
        let reason = gate::exit_text(container);
        let spent = match roll.spec().live.restart {
            RestartPolicy::OnFailure { max_retries } => {
                max_retries > 0 && container.restart_count >= max_retries
            }
            _ => false,
        };
        // A container whose policy was taken off (`no`) was on probation or on its way out: its own policy never had a say.
        let probation =
            container.restart == RestartPolicy::No && roll.spec().live.restart != RestartPolicy::No;
        // What runs until it ends by itself with 0 was ended by its engine: an exit code across the death of an engine is not its word.
        let cut_off = matches!(roll.spec().live.restart, RestartPolicy::OnFailure { .. })
            && !self.engine_saw_it_end(container);
        let wants = gate::restarts_after(roll.spec().live.restart, container.exit_code) || cut_off;
        if wants && (!spent || probation) {
            return self.start(slot, roll, container, view);
        }
        let next =
            "its restart policy leaves it so; change its file, `evenkeel retry`, or give it a restart policy";
        let reason = format!("{} {reason}; {next}", container.name);
        Slot::Down(Condition::new(ConditionKind::Failed, "Exited", reason))
    }

    fn start_refused(
        &mut self,
        slot: u32,
        roll: &Roll<'_>,
        container: &'a ObservedContainer,
        view: &View<'a>,
        refused: &Attempts,
    ) -> Slot {
        if self.is_stuck_in_the_engine(roll, container, refused) {
            self.memo.remade = true;
            let step = Step::Remove { id: container.id.clone(), dead: false };
            self.step(Some(slot), step, "the engine cannot start this container; a new one may do better");
            return Slot::Busy;
        }
        let goes_back =
            roll.has_fallback && !roll.committed && !self.fallback_wants_the_same_port(roll, refused);
        let limit = if goes_back { UPDATE_STARTS } else { u32::MAX };
        let hopeless = refused.kind.is_permanent() && !roll.committed;
        if hopeless || refused.count >= limit {
            let reason = format!("it could not be started: {}", refused.text);
            return Slot::Failed { reason, container: None };
        }
        let expendable = container.started_at.is_none() || self.has_only_named_volumes(container);
        if refused.kind == Failure::NotFound && expendable {
            // Something it was created with (a network) is gone: it can never start, and nothing is lost with it. On later engines
            // (26.1, 28.5) nothing else helps, not even a network made anew under the same name.
            self.step(
                Some(slot),
                Step::Remove { id: container.id.clone(), dead: false },
                "what it was created with is gone",
            );
            return Slot::Busy;
        }
        match self.start(slot, roll, container, view) {
            Slot::Pending(_) => Slot::Down(refused_condition(container, refused)),
            other => other,
        }
    }

    /// A port that the previous revision held as well: it is not the new one's fault that it is taken (by a stranger, or leaked by an
    /// engine that was killed), and going back would not help (RELIABILITY.md D3).
    fn fallback_wants_the_same_port(&self, roll: &Roll<'_>, refused: &Attempts) -> bool {
        let fixed = |spec: &ServiceSpec| {
            spec.container.ports.iter().filter_map(PortBinding::fixed).collect::<BTreeSet<u16>>()
        };
        let fallback = self.record.good.as_ref().and_then(|good| target::kept(&self.record, good));
        let shared = fallback.is_some_and(|good| fixed(&good.spec).is_superset(&fixed(roll.spec())));
        refused.kind == Failure::PortBusy && shared
    }

    /// An engine killed in the middle of a start can leave a task behind that forbids every further start of that very container
    /// ("task ... already exists"). A new container is not bound by it; tried once, and never where data hangs on the old one.
    fn is_stuck_in_the_engine(
        &self,
        roll: &Roll<'_>,
        container: &ObservedContainer,
        refused: &Attempts,
    ) -> bool {
        let is_own = container.labels.revision == roll.kept.id;
        refused.kind == Failure::Internal
            && refused.count >= 2
            && !self.memo.remade
            && is_own
            && self.has_only_named_volumes(container)
    }

    /// No anonymous volume, whose data only this container leads to.
    fn has_only_named_volumes(&self, container: &ObservedContainer) -> bool {
        container.volumes.values().all(|volume| self.inputs.observed.volumes.contains_key(volume))
    }

    /// Starts it, after everything that must be down is known to be down.
    fn start(
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
        let why = self.start_cause(roll, container);
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
            let why = format!("{}; stop-first: {}", roll.kept.cause, roll.order.reason);
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

    fn is_unsettled(&self, id: &ContainerId) -> bool {
        self.record.unsettled.iter().any(|note| note.container == *id)
    }

    fn disk_is_low(&self) -> Option<Condition> {
        let (free, floor) = (self.inputs.observed.disk_free?, self.inputs.limits.disk_floor);
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

fn refused_condition(container: &ObservedContainer, refused: &Attempts) -> Condition {
    let (reason, next) = match refused.kind {
        Failure::PortBusy => (
            "PortConflict",
            "stop what holds the port (`ss -ltnp`, `docker ps`); if nothing does, the engine has lost track of it: restart the engine",
        ),
        Failure::NoSpace => ("DiskFull", "free some space where the engine keeps its files"),
        _ => ("StartFailed", "it is tried again"),
    };
    Condition::new(
        ConditionKind::Failed,
        reason,
        format!("{} cannot be started: {}; {next}", container.name, refused.text),
    )
}
