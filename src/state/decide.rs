//! The decision: one service, everything known about it, what to do next.
//!
//! There is no workflow to resume: a crash, an edit, an engine event or a timeout all mean "run `decide` once more".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::{Condition, ConditionKind};
use super::observed::{ContainerId, ContainerStatus, Health, ObservedContainer, ObservedService};
use super::pause;
use super::plan::{Cause, Failure, Next, Planned, Step};
use super::record::{
    Attempts, HistoryEntry, HistoryEvent, Hold, Memo, Record, RevisionId, RevisionVerdict, Unsettled,
    UnsettledOp,
};
use super::space::{Threshold, pressure_text};
use super::target::{self, Aim, Why};
use super::time::{Mono, Now};
use crate::desired::ident::ServiceId;
use crate::desired::spec::{DriftGroup, RestartPolicy};
use crate::desired::timing::Window;
use crate::desired::work::answers::NOT_CHOSEN;
use crate::desired::{Paused, Wanted};

/// Everything a decision may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub id: &'a ServiceId,
    /// The instance id: what our owner label says.
    pub owner: &'a str,
    /// `None`: no file wants it.
    pub desired: Option<&'a Wanted>,
    /// May an unwanted service go? Decided for the whole host (`guard`), because one service cannot see a mass removal.
    pub removal: Removal<'a>,
    /// Where the files say that nothing is to be changed here; `None`: it is not paused now.
    pub paused: Option<Paused<'a>>,
    /// When roll-outs may begin; `None`: at any time.
    pub window: Option<&'a Window>,
    pub observed: &'a ObservedService,
    pub record: &'a Record,
    pub memo: &'a Memo,
    /// Image references that any desired service of the host names: never untagged.
    pub refs_in_use: &'a std::collections::BTreeSet<String>,
    pub now: Now,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal<'a> {
    Allowed,
    /// Why not yet, for people.
    Held(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes that must be free where the engine keeps its files before anything is stopped for a replacement.
    pub disk_floor: u64,
    /// What must be free there before anything is pulled or built.
    #[serde(default)]
    pub disk_pressure: Threshold,
    /// Milliseconds a committed revision is watched for late failures.
    pub watch_ms: u64,
    /// Restarts within the watch that reject the revision.
    pub watch_restarts: u32,
    /// Milliseconds a dependency is waited for before the service is called stalled (it goes on waiting).
    pub dependency_ms: u64,
    /// Revisions kept, the good one always among them.
    pub keep_revisions: usize,
    /// Milliseconds the files must have been quiet before what left them is removed.
    pub removal_quiet_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            disk_floor: 1 << 30,
            disk_pressure: Threshold::default(),
            watch_ms: 15 * 60_000,
            watch_restarts: 5,
            dependency_ms: 180_000,
            keep_revisions: 5,
            removal_quiet_ms: super::guard::QUIET_MS,
        }
    }
}

/// How often it is looked whether there is room again. Milliseconds.
const SPACE_LOOK_MS: u64 = 15_000;

/// What to do, and what to remember before doing it.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Durable before the first step of the plan is taken.
    pub record: Record,
    pub memo: Memo,
    /// In order. The first that fails ends the plan.
    pub plan: Vec<Planned>,
    /// What follows when the plan is done (or was empty).
    pub next: Next,
    pub condition: Condition,
    pub history: Vec<HistoryEntry>,
}

/// What to do next about one service. Total and deterministic; knows no clock but `inputs.now`.
pub fn decide(inputs: Inputs<'_>) -> Decision {
    match inputs.paused {
        Some(paused) => pause::look_only(inputs, paused),
        None => Pass::new(inputs).run(),
    }
}

/// One decision in the making: the inputs, and what they become.
pub(super) struct Pass<'a> {
    pub inputs: Inputs<'a>,
    pub record: Record,
    pub memo: Memo,
    pub plan: Vec<Planned>,
    pub history: Vec<HistoryEntry>,
    /// The earliest instant at which something is due by itself.
    pub due: Option<Mono>,
    /// What others changed and is left, by group.
    pub drift: BTreeMap<DriftGroup, String>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Self {
        Self {
            inputs,
            record: inputs.record.clone(),
            memo: inputs.memo.clone(),
            plan: Vec::new(),
            history: Vec::new(),
            due: None,
            drift: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Decision {
        self.begin_episode();
        self.forget_the_gone();
        let aim = target::aim(self.inputs.desired, self.inputs.observed, &self.record, &self.memo);
        let aim = self.with_consent(aim);
        let condition = match &aim {
            Aim::Gone => match self.protected_orphan().or_else(|| self.orphan_outside_window()) {
                Some(condition) => condition,
                None => self.retire_service(),
            },
            Aim::Paused { revision } => self.paused(revision),
            Aim::Nothing { why } => self.nothing(why),
            Aim::Run { revision, why } => self.aim_at(revision, why),
        };
        self.finish(condition)
    }

    /// A change of what is wanted ends rejections of it and holds that were meant to last until then.
    fn begin_episode(&mut self) {
        let now = self.inputs.now;
        if let Some(hold) = self.record.hold.take() {
            let over = hold.expires.is_some_and(|end| end <= now.wall) || self.wish_moved_on(&hold);
            if over {
                self.note(HistoryEvent::Released, hold.revision.clone(), "the hold ended".to_owned());
            } else {
                if let Some(left) =
                    hold.expires.and_then(|end| u64::try_from(end.0.saturating_sub(now.wall.0)).ok())
                {
                    self.look_at(now.mono.after(left));
                }
                self.record.hold = Some(hold);
            }
        }
        let Some(Wanted::Run(wanted)) = self.inputs.desired else { return };
        self.record.source.clone_from(&wanted.spec.source.file);
        if self.record.wish.as_ref() != Some(&wanted.wish) {
            for kept in self.record.revisions.iter_mut().filter(|kept| kept.hash == wanted.hash) {
                if matches!(kept.verdict, RevisionVerdict::Rejected { .. }) {
                    kept.verdict = RevisionVerdict::Candidate;
                    kept.evidence = None;
                    self.record.hooks.retain(|run| run.key.revision != kept.id || !run.failed());
                }
            }
            self.record.wish = Some(wanted.wish.clone());
            self.memo.starts.clear();
            self.memo.remade = false;
            self.memo.pull = None;
            self.memo.trouble = None;
        }
    }

    fn wish_moved_on(&self, hold: &Hold) -> bool {
        match (&hold.until_wish_changes, self.inputs.desired) {
            (Some(at), Some(Wanted::Run(wanted))) => wanted.wish != *at,
            _ => false,
        }
    }

    /// Notes about containers that are not there any more: a removed container settles whatever was open about it, and so does the
    /// end of the engine process that had received the call (RELIABILITY.md 5.5).
    pub(super) fn forget_the_gone(&mut self) {
        self.forget_old_hooks();
        let observed = self.inputs.observed;
        let all = observed.containers.iter().chain(&observed.hooks);
        let there: BTreeMap<&ContainerId, &ObservedContainer> = all.map(|c| (&c.id, c)).collect();
        self.record.containers.retain(|id| there.contains_key(id));
        self.record.told.retain(|id, _| there.contains_key(id));
        self.record.containers.extend(there.keys().map(|id| (*id).clone()));
        self.record.adopted.retain(|id, _| there.contains_key(id));
        self.record.applied.retain(|id, _| there.contains_key(id));
        self.record.replaced.retain(|id, _| there.contains_key(id));
        self.record.stopped.retain(|id| there.get(id).is_some_and(|c| !c.status.is_up()));
        self.memo.gates.retain(|id, _| there.contains_key(id));
        self.memo.starts.retain(|id, _| there.contains_key(id));
        self.memo.watch_base.retain(|id, _| there.contains_key(id));
        self.record.unsettled.retain(|note| {
            let Some(container) = there.get(&note.container) else { return false };
            let executed = match note.op {
                UnsettledOp::Start => container.started_at > note.started_at,
                UnsettledOp::Promote => container.restart != RestartPolicy::No,
            };
            note.session == observed.session && (note.repeated || !executed)
        });
    }

    fn nothing(&mut self, why: &Why) -> Condition {
        match why {
            Why::Frozen => self.frozen(),
            Why::Held => Condition::new(ConditionKind::Held, "Held", self.held_text()),
            Why::Unapproved(id) => self.unapproved(id),
            Why::OutsideWindow(id) => self.outside_window(id),
            _ => {
                if self.replicas_wanted() == Some(0) {
                    return self.scaled_to_zero();
                }
                match self.plan_pull(true) {
                    Some(condition) => condition,
                    None => self.image_missing(),
                }
            }
        }
    }

    fn replicas_wanted(&self) -> Option<u32> {
        match self.inputs.desired {
            Some(Wanted::Run(wanted)) => Some(wanted.spec.policy.replicas),
            _ => None,
        }
    }

    fn scaled_to_zero(&mut self) -> Condition {
        self.remove_slots_above(0);
        let kind = if self.plan.is_empty() { ConditionKind::Ready } else { ConditionKind::Progressing };
        Condition::new(kind, "ScaledToZero", "no replicas are wanted")
    }

    /// The wanted revision failed with nothing to go back to. It is not tried again, but one that turns healthy late is welcome.
    fn paused(&mut self, revision: &RevisionId) -> Condition {
        let reason = match target::kept(&self.record, revision).map(|kept| &kept.verdict) {
            Some(RevisionVerdict::Rejected { reason, .. }) => reason.clone(),
            _ => "it failed".to_owned(),
        };
        if self.recovered(revision) {
            self.set_verdict(revision, RevisionVerdict::Candidate);
            return Condition::new(ConditionKind::Progressing, "Recovered", "it turned healthy after all");
        }
        let next = "change its file, or `evenkeel retry` to try the same again";
        Condition::new(
            ConditionKind::Failed,
            "Rejected",
            format!("revision {revision} failed: {reason}; {next}"),
        )
    }

    fn recovered(&self, revision: &RevisionId) -> bool {
        let replicas = self.replicas_wanted().unwrap_or(1) as usize;
        let healthy = self.inputs.observed.containers.iter().filter(|c| {
            c.labels.revision == *revision
                && c.status == ContainerStatus::Running
                && c.health == Health::Healthy
        });
        replicas > 0 && healthy.count() >= replicas
    }

    fn aim_at(&mut self, revision: &RevisionId, why: &Why) -> Condition {
        if *why == Why::Desired {
            self.adopt_desired(revision);
        }
        let Some(kept) = target::kept(&self.record, revision).cloned() else {
            return Condition::new(
                ConditionKind::Failed,
                "RevisionUnknown",
                format!("revision {revision} is not in the record"),
            );
        };
        if kept.spec.policy.replicas == 0 {
            return self.scaled_to_zero();
        }
        let condition = self.roll(&kept, why);
        if !self.plan.is_empty() {
            return condition;
        }
        let settled = condition.kind.is_settled();
        match why {
            Why::ImagePending => self.plan_pull(settled).unwrap_or_else(|| self.image_missing()),
            Why::Desired | Why::Unapproved(_) | Why::OutsideWindow(_) if settled => {
                self.plan_pull(true).filter(|_| !self.plan.is_empty()).unwrap_or(condition)
            }
            _ => condition,
        }
    }

    pub fn note(&mut self, event: HistoryEvent, revision: Option<RevisionId>, reason: String) {
        let kept = revision.as_ref().and_then(|id| target::kept(&self.record, id));
        let image = kept.map(|kept| kept.spec.container.image.clone()).unwrap_or_default();
        let number = kept.map(|kept| kept.number);
        let commit = kept.and_then(|kept| kept.spec.source.commit.clone());
        let at = self.inputs.now.wall;
        self.history.push(HistoryEntry { at, revision, number, event, image, reason, commit });
    }

    pub fn set_verdict(&mut self, id: &RevisionId, verdict: RevisionVerdict) {
        if let Some(kept) = self.record.revisions.iter_mut().find(|kept| kept.id == *id) {
            kept.verdict = verdict;
        }
    }

    pub fn step(&mut self, slot: Option<u32>, step: Step, cause: impl Into<String>) {
        self.plan.push(Planned { step, slot, cause: Cause(cause.into()), housekeeping: false });
    }

    pub fn tidy(&mut self, slot: Option<u32>, step: Step, cause: impl Into<String>) {
        self.plan.push(Planned { step, slot, cause: Cause(cause.into()), housekeeping: true });
    }

    /// Asks for another look at this instant, if nothing asks for an earlier one.
    pub fn look_at(&mut self, at: Mono) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    pub fn frozen(&self) -> Condition {
        let told = match self.inputs.desired {
            Some(Wanted::Frozen(diagnostics)) => diagnostics.as_slice(),
            _ => &[],
        };
        // An error comes first: it is what there is something to do about.
        let first = told.iter().find(|told| told.is_error()).or(told.first());
        let (reason, text) = match first {
            Some(first) if first.slug == NOT_CHOSEN => {
                ("ImageNotChosen", format!("left as it is: {}", first.headline()))
            }
            Some(first) if !first.is_error() => ("NotRunYet", format!("left as it is: {}", first.headline())),
            Some(first) => {
                ("BrokenFile", format!("left as it is until its file loads: {}", first.headline()))
            }
            None => ("BrokenFile", "left as it is until its file loads".to_owned()),
        };
        Condition::new(ConditionKind::Frozen, reason, text)
    }

    pub fn held_text(&self) -> String {
        let Some(hold) = &self.record.hold else { return String::new() };
        let until = match (&hold.expires, &hold.until_wish_changes) {
            (Some(end), _) => format!("until {end}"),
            (None, Some(_)) => "until its desired state changes or `evenkeel release`".to_owned(),
            (None, None) => "until `evenkeel release`".to_owned(),
        };
        format!("held since {} ({}) {until}", hold.since, hold.reason)
    }

    fn finish(mut self, condition: Condition) -> Decision {
        self.pay();
        self.greet_before_stops();
        let condition = self.trouble().unwrap_or(condition);
        let condition = self.wait_for_space().unwrap_or(condition);
        self.hold_back_after_trouble();
        self.note_before_acting();
        let changed = self.record != *self.inputs.record && {
            // What was seen in effect is only remembered: nothing follows from it for this decision.
            let mut before = self.inputs.record.clone();
            before.applied.clone_from(&self.record.applied);
            before != self.record
        };
        let next = if !self.plan.is_empty() || changed {
            Next::Again
        } else {
            self.due.map_or(Next::AwaitChange, Next::At)
        };
        Decision {
            record: self.record,
            memo: self.memo,
            plan: self.plan,
            next,
            condition,
            history: self.history,
        }
    }

    /// What must be durable before a call is sent: which start or promotion may be open, and whose end is our own doing.
    fn note_before_acting(&mut self) {
        let observed = self.inputs.observed;
        let starts = self.plan.iter().filter_map(|planned| match &planned.step {
            Step::Start { id } => Some(id),
            _ => None,
        });
        starts.for_each(|id| greet(&mut self.record, observed, id));
        for planned in &self.plan {
            let (id, op) = match &planned.step {
                Step::Start { id } => (id, UnsettledOp::Start),
                Step::SetRestart { id, policy } if *policy != RestartPolicy::No => (id, UnsettledOp::Promote),
                Step::Stop { id, .. } => {
                    self.record.stopped.insert(id.clone());
                    continue;
                }
                _ => continue,
            };
            let repeated = keep_one_note(&mut self.record.unsettled, id, op);
            let started_at = observed
                .containers
                .iter()
                .find(|container| container.id == *id)
                .and_then(|container| container.started_at);
            self.record.unsettled.push(Unsettled {
                container: id.clone(),
                op,
                session: observed.session,
                started_at,
                repeated,
            });
        }
    }

    /// A step that failed is not sent again before its backoff is over.
    fn hold_back_after_trouble(&mut self) {
        let now = self.inputs.now.mono;
        let waits = |attempts: &Option<Attempts>| {
            attempts
                .as_ref()
                .map(|a| a.last.after(target::backoff_ms(a.count, 60_000)))
                .filter(|at| now < *at)
        };
        if let Some(at) = waits(&self.memo.housekeeping) {
            let before = self.plan.len();
            self.plan.retain(|planned| !planned.housekeeping);
            if self.plan.len() < before {
                self.look_at(at);
            }
        }
        if let Some(at) = waits(&self.memo.trouble)
            && self.plan.iter().any(is_held_back)
        {
            self.plan.clear();
            self.look_at(at);
        }
    }

    /// On a disk that is nearly full nothing is fetched, and what was planned to follow waits with it.
    fn wait_for_space(&mut self) -> Option<Condition> {
        let space = self.inputs.observed.disk_free?;
        let wanted = self.inputs.limits.disk_pressure.lacks(space)?;
        let pull = self.plan.iter().position(|planned| matches!(planned.step, Step::Pull { .. }))?;
        self.plan.truncate(pull);
        self.look_at(self.inputs.now.mono.after(SPACE_LOOK_MS));
        Some(Condition::new(ConditionKind::Waiting, "DiskPressure", pressure_text(space, wanted)))
    }

    /// What the engine said to a step that is still to be done. "Rolling out" would not be the whole truth while, say, its disk is full.
    fn trouble(&self) -> Option<Condition> {
        let trouble = self.memo.trouble.as_ref().filter(|_| self.plan.iter().any(is_held_back))?;
        let (reason, next) = match trouble.kind {
            Failure::NoSpace => {
                ("DiskFull", "free some space where the engine keeps its files; it is tried again")
            }
            _ => ("StepFailed", "it is tried again"),
        };
        Some(Condition::new(ConditionKind::Waiting, reason, format!("{}; {next}", trouble.text)))
    }
}

/// Steps that wait after one of them failed. Pulls and starts have pauses of their own.
fn is_held_back(planned: &Planned) -> bool {
    let own_pauses = matches!(
        planned.step,
        Step::Pull { .. } | Step::Start { .. } | Step::MakeExec { .. } | Step::StartExec { .. }
    );
    !planned.housekeeping && !own_pauses
}

/// A start is the beginning of another life: its hooks begin anew.
fn greet(record: &mut Record, observed: &ObservedService, id: &ContainerId) {
    record.hooks.retain(|run| run.key.container.as_ref() != Some(id));
    let container = observed.containers.iter().find(|container| container.id == *id);
    let kept = container.and_then(|container| target::kept(record, &container.labels.revision));
    if kept.is_some_and(|kept| !kept.spec.container.lifecycle.post_start.is_empty()) {
        record.to_greet.insert(id.clone());
    }
}

/// Of the calls of this kind that are open already one note is enough: each forbids the same. Says whether there was one.
fn keep_one_note(open: &mut Vec<Unsettled>, id: &ContainerId, op: UnsettledOp) -> bool {
    let mut kept = false;
    open.retain_mut(|note| {
        if note.container != *id || note.op != op {
            return true;
        }
        note.repeated = true;
        !std::mem::replace(&mut kept, true)
    });
    kept
}
