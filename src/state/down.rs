//! A container of a slot that does not run: its fault, its end, or a start that is due or was refused.

use std::collections::BTreeSet;

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::gate::{self, Verdict};
use super::observed::{ContainerStatus, ObservedContainer};
use super::plan::{Failure, Step};
use super::record::Attempts;
use super::roll::{Roll, Slot, View};
use super::target;
use crate::desired::spec::{PortBinding, RestartPolicy, ServiceSpec};

/// Starts of a first deployment, which has nothing to go back to (RELIABILITY.md S10).
const FIRST_STARTS: u32 = 5;
/// Starts of an update that the engine refuses for a reason that may pass (a port, the disk), while the old one is down.
const UPDATE_STARTS: u32 = 3;

impl<'a> Pass<'a> {
    /// It does not run: is that its fault, its end, or should it be started?
    pub(super) fn down(
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
        if let Some(left) = self.stopped_by_hand(roll, container) {
            return left;
        }
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
