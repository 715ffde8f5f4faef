//! `plan`: play the future on a copy of the host, and tell what happened there.
//!
//! The very same passes run against a simulated engine that was seeded with what the real one reports, on a clock that is moved
//! by hand. The real engine is only ever seen through [`Observe`], which cannot write: that nothing is changed is the type
//! system's word, not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::clock::ManualClock;
use super::converge::{Ending, Pace, converge, services};
use super::dispatch::Dispatch;
use super::host::{ACTORS, Host, PULLS, Parts};
use super::progress::Progress;
use super::records::{Forgetful, RecordsError};
use super::relist;
use super::takeover;
use super::trigger::Key;
use super::wish::Wish;
use crate::desired::ident::ServiceId;
use crate::desired::{DesiredState, Wanted};
use crate::engine::sim::{Sim, Wants, seed};
use crate::engine::{Engine, EngineError, Observe};
use crate::metrics::api::GuardStatus;
use crate::metrics::{Metrics, MetricsError};
use crate::state::condition::{Condition, ConditionKind};
use crate::state::decide::Limits;
use crate::state::diff::{FieldDifference, differences};
use crate::state::guard::RemovalVerdict;
use crate::state::observed::EngineSession;
use crate::state::plan::{Planned, Step};
use crate::state::record::Record;
use crate::state::time::{Mono, Now, Timestamp};
use crate::state::{lookups, order, target};

/// How far into the future a plan looks. Milliseconds: past every gate.
const HORIZON_MS: u64 = 2 * 3_600_000;
/// Where the played clock starts: everything that was here has been here for long.
const START: Mono = Mono(24 * 3_600_000);

/// What a plan is made from.
pub struct Question<'a> {
    pub engine: &'a dyn Observe,
    pub owner: &'a str,
    pub desired: DesiredState,
    pub records: BTreeMap<ServiceId, Record>,
    pub session: EngineSession,
    pub limits: Limits,
    /// These, with everything they need; empty: all.
    pub only: BTreeSet<ServiceId>,
    /// The wall clock, for display.
    pub wall: Timestamp,
}

/// It could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the engine cannot be asked: {0}")]
    Engine(#[from] EngineError),
    #[error("no file defines the service `{0}`")]
    NoSuchService(ServiceId),
    #[error("{0}")]
    Records(#[from] RecordsError),
    #[error("{0}")]
    Metrics(#[from] MetricsError),
}

/// What would happen to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAction {
    /// Nothing: it is as wanted.
    None,
    Create,
    /// A new container takes over.
    Replace,
    /// More or fewer replicas of what runs.
    Scale,
    /// Changed in place, without a restart.
    Update,
    /// What is there is started.
    Start,
    Remove,
    /// Nothing: its file does not load.
    Frozen,
    /// Nothing: its file asks for what this version does not do.
    NotRun,
    /// Nothing: an operator holds it.
    Held,
    /// Nothing: the files say that it is to be left as it is.
    Paused,
    /// Nothing until somebody approves the revision.
    AwaitingApproval,
    /// Nothing until the window opens.
    AwaitingWindow,
    /// Nothing: it is not wanted, and kept.
    Kept,
    /// Nothing until someone consents to its removal.
    Refused,
    /// Nothing, and it is not as wanted: see the condition.
    Blocked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub step: String,
    pub cause: String,
    pub slot: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    pub service: String,
    pub action: ServiceAction,
    /// `stop-first: publishes host port 8080`; `None` when nothing is replaced.
    pub order: Option<String>,
    /// Why, each cause once, in the order they came up.
    pub causes: Vec<String>,
    /// What differs from what runs; values of the environment as digests.
    pub differences: Vec<FieldDifference>,
    pub steps: Vec<PlannedStep>,
    /// Where it would end.
    pub condition: Option<Condition>,
    /// `shop/web.toml:3`.
    pub source: String,
}

/// A network or a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPlan {
    pub object: String,
    pub steps: Vec<PlannedStep>,
    pub condition: Option<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    pub services: Vec<ServicePlan>,
    /// Only those with something to do or to say.
    pub objects: Vec<ObjectPlan>,
    /// Removals that wait for consent.
    pub guard: Option<GuardStatus>,
    /// Images that are not on this host: the plan assumes that they can be pulled.
    pub assumed_images: Vec<String>,
    /// The future did not come to rest within the horizon of the plan.
    pub unsettled: bool,
}

impl PlanReport {
    /// Something would be done.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.services.iter().any(|plan| !plan.steps.is_empty())
            || self.objects.iter().any(|plan| !plan.steps.is_empty())
    }
}

impl PlanReport {
    /// Everything in it that quotes what a service is or was given.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        fn step(step: &mut PlannedStep) -> [&mut String; 2] {
            [&mut step.step, &mut step.cause]
        }
        let objects = self.objects.iter_mut().flat_map(|plan| {
            let condition = plan.condition.iter_mut().map(|condition| &mut condition.message);
            plan.steps.iter_mut().flat_map(step).chain(condition)
        });
        let services = self.services.iter_mut().flat_map(|plan| {
            let values = plan.differences.iter_mut().flat_map(|field| [&mut field.old, &mut field.new]);
            let condition = plan.condition.iter_mut().map(|condition| &mut condition.message);
            let steps = plan.steps.iter_mut().flat_map(step);
            plan.causes.iter_mut().chain(values.flatten()).chain(steps).chain(condition)
        });
        services.chain(objects)
    }
}

/// Makes the plan.
///
/// # Errors
/// The engine could not be read.
pub async fn preview(question: Question<'_>) -> Result<PlanReport, PlanError> {
    let Question { engine, owner, mut desired, records, session, limits, only, wall } = question;
    if let Some(missing) = only.iter().find(|id| !desired.services.contains_key(*id)) {
        return Err(PlanError::NoSuchService(missing.clone()));
    }
    if let Some(adopted) = engine.adopted() {
        adopted.get().pause(&mut desired);
    }
    let wish = Wish::new(desired, Mono(0)).confirmed();
    let now = Now { wall, mono: START };
    let sim = Sim::from(seed(engine, owner, &wants(&wish, &records, now)).await?);
    let clock = ManualClock::new(now);
    let trace = Arc::new(Trace::default());
    let parts = Parts {
        engine: Arc::new(sim.clone()) as Arc<dyn Engine>,
        records: Arc::new(Forgetful::with(records.clone())),
        clock: Arc::new(clock.clone()),
        metrics: Arc::new(Metrics::new()?),
        progress: Arc::clone(&trace) as Arc<dyn Progress>,
        owner: owner.to_owned(),
        limits,
        actors: ACTORS,
        pulls: PULLS,
        // What the real disk holds is looked at when it counts.
        disk_free: Arc::new(|| None),
    };
    let host = Arc::new(Host::new(parts, session));
    for (id, record) in &records {
        host.guard.note(id, false, &record.source);
    }
    let listed = relist::relist(&host, true).await?;
    relist::note(&host, &listed);
    let scope = if only.is_empty() { None } else { Some(wish.with_needs(&only)) };
    takeover::take_wish(&host, wish.clone());
    let scope = scope.unwrap_or_else(|| relist::due(&host, &listed));
    let verdicts = host.guard.verdicts(&wish, START);
    let guard = host.guard.waiting(&wish, START);
    let mut dispatch = Dispatch::new(Arc::clone(&host)).one_by_one();
    let pace = Pace::Played { clock, sim: sim.clone() };
    let ending = converge(&host, &mut dispatch, &scope, START.after(HORIZON_MS), &pace).await;
    let view = View { wish: &wish, records: &records, listed: &listed, verdicts: &verdicts, host: &host };
    let mut told = trace.take();
    let services =
        services(&scope).map(|id| view.service(id, told.remove(&Key::Service(id.clone())))).collect();
    let objects = scope.iter().filter_map(|key| view.object(key, told.remove(key))).collect();
    let assumed_images = sim.with(|host| host.assumed_images().iter().cloned().collect());
    let unsettled = ending == Ending::DeadlinePassed;
    Ok(PlanReport { services, objects, guard, assumed_images, unsettled })
}

/// Everything the decisions will look at.
fn wants(wish: &Wish, records: &BTreeMap<ServiceId, Record>, now: Now) -> Wants {
    let mut wants = Wants::default();
    let nothing = Record::default();
    let ids: BTreeSet<&ServiceId> = wish.state.services.keys().chain(records.keys()).collect();
    for id in ids {
        let record = records.get(id).unwrap_or(&nothing);
        let wanted = wish.wanted(id, record);
        wants.add(&lookups(id, wanted.as_deref(), record, now));
    }
    wants.networks.extend(wish.state.networks.keys().cloned());
    wants.volumes.extend(wish.state.volumes.keys().cloned());
    wants
}

/// The steps of the played future, by key.
#[derive(Default)]
struct Trace {
    steps: Mutex<BTreeMap<Key, Vec<(Planned, String)>>>,
}

impl Trace {
    fn note(&self, key: Key, planned: &Planned, words: &str) {
        // When one is due, and what the registry will say, is not the plan's to know: of itself a look changes nothing.
        if matches!(planned.step, Step::Pull { .. }) && planned.cause.0 == target::LOOK {
            return;
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.entry(key).or_default().push((planned.clone(), words.to_owned()));
    }

    fn take(&self) -> BTreeMap<Key, Vec<(Planned, String)>> {
        std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress for Trace {
    fn step(&self, service: &ServiceId, planned: &Planned, words: &str) {
        self.note(Key::Service(service.clone()), planned, words);
    }
    fn object_step(&self, key: &Key, planned: &Planned, words: &str) {
        self.note(key.clone(), planned, words);
    }
}

/// What is known before the future was played, to tell what it means.
struct View<'a> {
    wish: &'a Wish,
    records: &'a BTreeMap<ServiceId, Record>,
    listed: &'a relist::Relist,
    verdicts: &'a BTreeMap<ServiceId, RemovalVerdict>,
    host: &'a Host,
}

impl View<'_> {
    fn service(&self, id: &ServiceId, trace: Option<Vec<(Planned, String)>>) -> ServicePlan {
        let trace = trace.unwrap_or_default();
        let nothing = Record::default();
        let record = self.records.get(id).unwrap_or(&nothing);
        let wanted = self.wish.wanted(id, record);
        let status = self.host.board.entry(id).map(|entry| entry.status);
        let condition = status.as_ref().map(|status| status.condition.clone());
        let action = self.action(id, wanted.as_deref(), record, &trace, condition.as_ref());
        let order = match (&wanted.as_deref(), action) {
            (Some(Wanted::Run(revision)), ServiceAction::Replace) => {
                let order = order::order(&revision.spec);
                Some(format!("{}: {}", order.as_str(), order.reason))
            }
            _ => None,
        };
        let serving = record.good.as_ref().or(record.intent.as_ref());
        let before = record.revisions.iter().find(|kept| Some(&kept.id) == serving);
        let differences = match (before, wanted.as_deref()) {
            (Some(before), Some(Wanted::Run(revision))) => differences(&before.spec, &revision.spec),
            _ => Vec::new(),
        };
        let source = match wanted.as_deref() {
            Some(Wanted::Run(revision)) => {
                format!("{}:{}", revision.spec.source.file, revision.spec.source.line)
            }
            Some(Wanted::Frozen(_)) | None => record.source.clone(),
        };
        ServicePlan {
            service: id.to_string(),
            action,
            order,
            causes: causes(&trace),
            differences,
            steps: trace.into_iter().map(planned_step).collect(),
            condition,
            source,
        }
    }

    fn action(
        &self,
        id: &ServiceId,
        wanted: Option<&Wanted>,
        record: &Record,
        trace: &[(Planned, String)],
        condition: Option<&Condition>,
    ) -> ServiceAction {
        let does = |kind: fn(&Step) -> bool| trace.iter().any(|(planned, _)| kind(&planned.step));
        let creates = does(|step| matches!(step, Step::Create(_)));
        let starts = does(|step| matches!(step, Step::Start { .. }));
        let removes = does(|step| matches!(step, Step::Remove { .. } | Step::Stop { .. }));
        let here = self.listed.services.get(id).is_some_and(|listed| !listed.containers.is_empty());
        let Some(wanted) = wanted else {
            return match self.verdicts.get(id) {
                _ if condition.is_some_and(|condition| condition.kind == ConditionKind::Paused) => {
                    ServiceAction::Paused
                }
                _ if condition.is_some_and(|condition| condition.kind == ConditionKind::AwaitingWindow) => {
                    ServiceAction::AwaitingWindow
                }
                _ if removes => ServiceAction::Remove,
                _ if condition.is_some_and(|condition| condition.reason == "Protected") => {
                    ServiceAction::Kept
                }
                Some(RemovalVerdict::Refused { .. }) => ServiceAction::Refused,
                Some(RemovalVerdict::Frozen) => ServiceAction::Frozen,
                Some(RemovalVerdict::Kept { .. } | RemovalVerdict::NotYet { .. }) => ServiceAction::Kept,
                Some(RemovalVerdict::Allowed) | None => ServiceAction::None,
            };
        };
        // Another spec, or the tag now means another image: either way another revision than the good one.
        let serving = record.good.as_ref();
        let other = trace.iter().any(|(planned, _)| match &planned.step {
            Step::Create(creation) => Some(&creation.labels.revision) != serving,
            _ => false,
        });
        // The same revision, but a container that is not made as it says.
        let drifted = trace.iter().any(|(planned, _)| {
            matches!(planned.step, Step::Create(_)) && planned.cause.0.starts_with("drift:")
        });
        let other = other || drifted;
        match (creates, starts, removes) {
            (true, _, _) if here && other => ServiceAction::Replace,
            (true, _, _) if here => ServiceAction::Scale,
            (true, _, _) => ServiceAction::Create,
            (false, true, true) => ServiceAction::Replace,
            (false, true, false) => ServiceAction::Start,
            (false, false, true) => ServiceAction::Scale,
            (false, false, false) if !trace.is_empty() => ServiceAction::Update,
            (false, false, false) => idle(wanted, record, condition),
        }
    }

    fn object(&self, key: &Key, trace: Option<Vec<(Planned, String)>>) -> Option<ObjectPlan> {
        if key.service().is_some() {
            return None;
        }
        let condition = self.host.board.object(key).filter(|found| found.kind != ConditionKind::Ready);
        let steps: Vec<PlannedStep> = trace.unwrap_or_default().into_iter().map(planned_step).collect();
        let silent = steps.is_empty() && condition.is_none();
        (!silent).then(|| ObjectPlan { object: key.to_string(), steps, condition })
    }
}

/// Nothing would be done: why?
fn idle(wanted: &Wanted, record: &Record, condition: Option<&Condition>) -> ServiceAction {
    let settled = |kind| matches!(kind, ConditionKind::Ready | ConditionKind::Completed);
    match (wanted, condition.map(|condition| condition.kind)) {
        (_, Some(ConditionKind::Paused)) => ServiceAction::Paused,
        (Wanted::Frozen(why), _) if why.iter().all(|told| !told.is_error()) && !why.is_empty() => {
            ServiceAction::NotRun
        }
        (Wanted::Frozen(_), _) => ServiceAction::Frozen,
        (_, Some(ConditionKind::AwaitingApproval)) => ServiceAction::AwaitingApproval,
        (_, Some(ConditionKind::AwaitingWindow)) => ServiceAction::AwaitingWindow,
        (Wanted::Run(_), _) if record.hold.is_some() => ServiceAction::Held,
        (Wanted::Run(_), Some(kind)) if settled(kind) => ServiceAction::None,
        (Wanted::Run(_), Some(_)) => ServiceAction::Blocked,
        (Wanted::Run(_), None) => ServiceAction::None,
    }
}

fn causes(trace: &[(Planned, String)]) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for (planned, _) in trace {
        let cause = planned.cause.to_string();
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

fn planned_step((planned, words): (Planned, String)) -> PlannedStep {
    PlannedStep { step: words, cause: planned.cause.to_string(), slot: planned.slot }
}
