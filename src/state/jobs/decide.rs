//! The decision: triggers, then every open run one step further, then tidying up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::record::{JobMemo, JobRecord};
use super::run::{Result, Run, RunCause, RunEnd, RunId, Stage};
use super::trigger::{Ended, Triggers};
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::probe::Exec;
use crate::desired::spec::ServiceSpec;
use crate::desired::work::{JobSpec, Runs, WorkId};
use crate::state::observed::{
    ContainerId, ContainerStatus, EngineSession, ExecId, ExecSeen, ObservedContainer, ObservedService,
};
use crate::state::plan::{Creation, Lookups};
use crate::state::target;
use crate::state::time::{Mono, Now};

/// What is wanted of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants<'a> {
    Run(&'a JobSpec),
    /// Its file does not load: what loaded last stands.
    Frozen,
    /// No file has it any more.
    Gone,
}

/// What the engine shows of the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its containers, by the run that their labels name. Those of others that carry these labels are not among them.
    pub containers: BTreeMap<RunId, ObservedContainer>,
    /// Image, networks, volumes and services that a container of it needs.
    pub around: ObservedService,
    /// Commands of runs within a service, and the container that serves there.
    pub execs: BTreeMap<ExecId, Option<ExecSeen>>,
    pub within: Option<ObservedContainer>,
    /// Containers outlive the engine. Asked for where a run has seen two engines.
    pub live_restore: bool,
}

/// Everything a decision depends on.
pub struct Inputs<'a> {
    pub id: &'a WorkId,
    /// The instance.
    pub owner: &'a str,
    pub wants: Wants<'a>,
    /// With its image put in; `None`: the image is not chosen or made yet, or it runs within a service.
    pub spec: Option<&'a ServiceSpec>,
    /// The zone that the schedule is read in.
    pub zone: &'a TimeZone,
    pub record: &'a JobRecord,
    pub memo: &'a JobMemo,
    /// `None`: nothing was looked at, because [`lookups`] asks for nothing.
    pub seen: Option<&'a Seen>,
    pub ends: &'a BTreeMap<ServiceName, Vec<Ended>>,
    /// Where it is said that nothing is to be changed here.
    pub paused: Option<&'a str>,
    /// Why nothing may be pulled now: the disk is nearly full.
    pub pressure: Option<&'a str>,
    /// Containers of it are on the engine that the journal does not know.
    pub strangers: bool,
    /// Commands that this process follows to their end: what they print comes with it.
    pub followed: &'a BTreeSet<RunId>,
    /// How often a run is looked at although nothing was heard of it. Milliseconds.
    pub pace_ms: u64,
    pub session: EngineSession,
    pub now: Now,
}

/// One call to the engine for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStep {
    Pull {
        image: String,
        platform: Option<String>,
    },
    Create(Box<Creation>),
    Start {
        id: ContainerId,
    },
    Stop {
        id: ContainerId,
        grace: Option<u32>,
    },
    /// Read the end of its output, and what it ended with.
    Collect {
        id: ContainerId,
        ending: Exit,
    },
    /// Never with its volumes, and forced only when the engine calls it dead.
    Remove {
        id: ContainerId,
        dead: bool,
    },
    MakeExec {
        id: ContainerId,
        exec: Box<Exec>,
    },
    /// Start it and follow it, beside everything else.
    StartExec {
        exec: ExecId,
        limit_ms: Option<u64>,
    },
}

/// What is known of an end before its output is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub result: Result,
    pub code: Option<i64>,
    pub text: String,
    pub took_ms: Option<u64>,
}

/// See [`decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDecision {
    /// Must be durable before a step is taken.
    pub record: JobRecord,
    pub memo: JobMemo,
    pub plan: Vec<(RunId, JobStep)>,
    /// When to look again; `None`: when something changes.
    pub next: Option<Mono>,
    /// Nothing is left of a job that is gone.
    pub forget: bool,
}

/// What has to be looked at for a decision. `None`: nothing. `spec`: as in [`Inputs`].
#[must_use]
pub fn lookups(inputs: &Inputs<'_>) -> Option<Lookups> {
    let record = inputs.record;
    let now = inputs.now.wall;
    let due = |run: &Run| run.stage != Stage::Waiting || run.due <= now;
    let active = record.open().any(|(_, run)| due(run));
    let kept = super::follow::surplus(record, inputs.wants).next().is_some();
    if !active && !kept && !inputs.strangers {
        return None;
    }
    let mut found = Lookups::default();
    let own = ServiceId { project: inputs.id.project.clone(), service: inputs.id.name.clone() };
    if let (Some(spec), true) = (inputs.spec, active) {
        target::collect(&own, spec, &mut found);
        found.image = Some(spec.container.image.clone());
        found.names.clear();
        found.hook_images.clear();
    }
    found.execs = record.open().filter_map(|(_, run)| run.exec.clone()).collect();
    Some(found)
}

/// See the module.
#[must_use]
pub fn decide(inputs: &Inputs<'_>) -> JobDecision {
    let mut pass = Pass {
        inputs,
        record: inputs.record.clone(),
        memo: inputs.memo.clone(),
        plan: Vec::new(),
        next: None,
    };
    pass.triggers();
    if let Some(seen) = inputs.seen {
        pass.found(seen);
        let open: Vec<RunId> = pass.record.open().map(|(id, _)| id.clone()).collect();
        for id in open {
            pass.run(&id, seen);
        }
        if pass.plan.is_empty() {
            pass.clear_away(seen);
        }
    }
    pass.record.forget_old();
    pass.memo.tidy(&pass.record);
    pass.wake_for_runs();
    let left = |run: &Run| run.is_open() || (run.container.is_some() && run.exec.is_none());
    let forget = inputs.wants == Wants::Gone && !pass.record.runs.values().any(left);
    let Pass { record, memo, plan, next, .. } = pass;
    JobDecision { record, memo, plan, next, forget }
}

pub(super) struct Pass<'a> {
    pub inputs: &'a Inputs<'a>,
    pub record: JobRecord,
    pub memo: JobMemo,
    pub plan: Vec<(RunId, JobStep)>,
    next: Option<Mono>,
}

impl<'a> Pass<'a> {
    /// What the job is now, or was when it loaded last.
    pub(super) fn job(&self) -> Option<&'a JobSpec> {
        match self.inputs.wants {
            Wants::Run(spec) => Some(spec),
            Wants::Frozen => self.inputs.record.spec.as_deref(),
            Wants::Gone => None,
        }
    }

    fn triggers(&mut self) {
        let Some(spec) = self.job() else {
            // What has not begun never will.
            self.record.runs.retain(|_, run| !run.is_open() || run.stage != Stage::Waiting);
            return;
        };
        let Inputs { id, owner, zone, ends, now, .. } = *self.inputs;
        let definition = self.definition(spec);
        let triggers = Triggers {
            id,
            owner,
            spec,
            zone,
            ends,
            definition: definition.as_deref(),
            paused: spec.paused || self.inputs.paused.is_some(),
            now,
        };
        if let Some(at) = triggers.look(&mut self.record) {
            self.look_at_wall(at.0);
        }
        if self.record.spec.as_deref() != Some(spec) {
            self.record.spec = Some(Box::new(spec.clone()));
        }
    }

    /// With the image, where that is not said.
    fn definition(&self, spec: &JobSpec) -> Option<String> {
        match &spec.runs {
            Runs::Exec(_) => Some(spec.definition()),
            Runs::Container { .. } => {
                let image = &self.inputs.spec?.container.image;
                Some(format!("{} {image}", spec.definition()))
            }
        }
    }

    /// Takes containers into the journal that it does not know: it was lost, and they tell.
    fn found(&mut self, seen: &Seen) {
        for (id, container) in &seen.containers {
            if self.record.runs.contains_key(id) {
                continue;
            }
            let began = id.time().unwrap_or(self.inputs.now.wall);
            let mut run = Run::new(RunCause::Found, began);
            run.container = Some(container.id.clone());
            run.image = Some(container.labels.image_ref.clone());
            run.attempt = id.as_str().split_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(1);
            if container.status.is_up() {
                run.stage = Stage::Running;
                run.started = Some(began);
            } else {
                let well = container.exit_code == 0 && container.started_at.is_some();
                self.record.ends += 1;
                run.stage = Stage::Ended;
                run.end = Some(RunEnd {
                    result: if well { Result::Succeeded } else { Result::Failed },
                    at: began,
                    took_ms: super::follow::took(container),
                    code: container.started_at.map(|_| container.exit_code),
                    text: "found on the engine".to_owned(),
                    tail: String::new(),
                    number: self.record.ends,
                    last: true,
                });
            }
            self.record.runs.insert(id.clone(), run);
            // It is not to be run a second time because nobody remembers.
            self.record.considered = self.record.considered.max(Some(began));
        }
    }

    fn run(&mut self, id: &RunId, seen: &Seen) {
        let Some(run) = self.record.runs.get(id).filter(|run| run.is_open()).cloned() else { return };
        if run.stage == Stage::Waiting {
            return self.begin(id, &run, seen);
        }
        match seen.containers.get(id) {
            Some(container) => self.follow(id, &run, container, seen),
            None if run.exec.is_some() || self.is_within(&run) => self.follow_exec(id, &run, seen),
            None => self.without_container(id, &run, seen),
        }
    }

    /// It is, or will be, a command in a service's container.
    fn is_within(&self, run: &Run) -> bool {
        let within = self.job().is_some_and(|job| matches!(job.runs, Runs::Exec(_)));
        within && run.container.is_none()
    }

    pub(super) fn step(&mut self, id: &RunId, step: JobStep) {
        self.plan.push((id.clone(), step));
    }

    pub(super) fn edit(&mut self, id: &RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.record.runs.get_mut(id) {
            change(run);
        }
    }

    pub(super) fn stage(&mut self, id: &RunId, stage: Stage) {
        self.edit(id, |run| run.stage = stage);
    }

    pub(super) fn wait(&mut self, id: &RunId, why: String, ms: u64) {
        self.memo.waits.insert(id.clone(), why);
        self.look_in(ms);
    }

    pub(super) fn look_at(&mut self, at: Mono) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    pub(super) fn look_in(&mut self, ms: u64) {
        self.look_at(self.inputs.now.mono.after(ms));
    }

    /// By the wall clock, which may be set meanwhile: the shell looks now and then anyway.
    pub(super) fn look_at_wall(&mut self, ms: i64) {
        let wait = u64::try_from(ms.saturating_sub(self.inputs.now.wall.0)).unwrap_or_default();
        self.look_in(wait);
    }

    fn wake_for_runs(&mut self) {
        let now = self.inputs.now.wall;
        let later: Vec<i64> = self
            .record
            .open()
            .filter(|(_, run)| run.stage == Stage::Waiting && run.due > now)
            .map(|(_, run)| run.due.0)
            .collect();
        later.into_iter().for_each(|due| self.look_at_wall(due));
        let unseen = self.inputs.seen.is_none()
            && self.record.open().any(|(_, run)| run.stage != Stage::Waiting || run.due <= now);
        if unseen {
            // Added just now: the engine has to be looked at first.
            self.look_in(0);
        }
    }
}

/// A container that is nothing but in the way.
pub(super) fn remove(container: &ObservedContainer) -> JobStep {
    JobStep::Remove { id: container.id.clone(), dead: container.status == ContainerStatus::Dead }
}
