//! `apply`: converge once in the foreground, wait for the gates, and say how it ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::converge::{Ending, Pace, converge, services};
use super::dispatch::Dispatch;
use super::events;
use super::host::{Host, Parts};
use super::objects;
use super::progress::Progress;
use super::records::RecordsError;
use super::relist;
use super::takeover;
use super::trigger::Key;
use super::wish::Wish;
use crate::desired::DesiredState;
use crate::desired::ident::ServiceId;
use crate::engine::{EngineError, Observe, PullProgress};
use crate::metrics::api::GuardStatus;
use crate::state::condition::{Condition, ConditionKind, ServiceStatus};
use crate::state::guard::RemovalVerdict;
use crate::state::plan::{Outcome, Planned};

/// How long `apply` waits when nobody says. Milliseconds: longer than any gate of usual length, shorter than a CI job.
pub const DEADLINE_MS: u64 = 15 * 60_000;

/// What to converge, and how long to wait.
pub struct Application {
    pub desired: DesiredState,
    /// These, with everything they need; empty: all, and what is no longer wanted goes.
    pub only: BTreeSet<ServiceId>,
    /// Milliseconds.
    pub deadline_ms: u64,
    /// A removal the operator consents to (`--approve TOKEN`).
    pub consent: Option<String>,
    /// Reads the files once more and says whether they are still the same. Asked before anything is removed, after the
    /// quiet period: a file cut while it is written can parse.
    pub unchanged: Box<dyn Fn() -> bool + Send + Sync>,
}

/// It could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the engine cannot be asked: {0}")]
    Engine(#[from] EngineError),
    #[error("the records cannot be read, and without them nothing may be done: {0}")]
    Records(#[from] RecordsError),
    #[error("no file defines the service `{0}`")]
    NoSuchService(ServiceId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyOutcome {
    /// As wanted.
    Converged,
    /// A revision failed and was put back.
    RolledBack,
    /// A guard, a hold, a pause, a closed window or a missing approval kept something from being done.
    Refused,
    /// The deadline passed first. What was begun goes on at the next `apply`, or in the daemon.
    TimedOut,
    /// Something failed, or waits for what does not come by itself.
    Failed,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// `shop/web`, `network shop_default`.
    pub object: String,
    pub step: String,
    pub cause: String,
    /// `None`: done.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    pub outcome: ApplyOutcome,
    pub services: Vec<ServiceStatus>,
    pub actions: Vec<Action>,
    /// Removals that wait for consent.
    pub guard: Option<GuardStatus>,
    /// Networks and volumes that are not as wanted.
    pub objects: Vec<(String, Condition)>,
}

/// Converges once.
///
/// # Errors
/// When it could not begin; how it ended is in the report.
pub async fn apply(mut parts: Parts, application: Application) -> Result<ApplyReport, ApplyError> {
    let Application { desired, only, deadline_ms, consent, unchanged } = application;
    let diary = Arc::new(Diary { inner: parts.progress, actions: Mutex::default() });
    parts.progress = Arc::clone(&diary) as Arc<dyn Progress>;
    let session = parts.records.session().await?;
    let host = Arc::new(Host::new(parts, session));
    let began = host.clock.now().mono;
    let deadline = began.after(deadline_ms);
    let scope = begin(&host, desired, &only, consent.as_deref()).await?;
    let engine: Arc<dyn Observe> = Arc::clone(&host.engine) as Arc<dyn Observe>;
    let (owner, inbox) = (host.owner.clone(), Arc::clone(&host.inbox));
    let follower = tokio::spawn(events::follow(engine, owner, inbox, Arc::clone(&host.metrics)));
    let mut dispatch = Dispatch::new(Arc::clone(&host));
    let mut ending = converge(&host, &mut dispatch, &scope, deadline, &Pace::Live).await;
    let unwanted = unwanted_networks(&host, &scope);
    if ending == Ending::Settled && (removals_wait(&host) || any_unused(&host, &unwanted).await) {
        host.clock.sleep_until(began.after(host.limits.removal_quiet_ms).min(deadline)).await;
        if unchanged() {
            confirm(&host);
            ending = converge(&host, &mut dispatch, &scope, deadline, &Pace::Live).await;
            if ending == Ending::Settled {
                // Only now are the containers gone that referred to them.
                ending = converge(&host, &mut dispatch, &unwanted, deadline, &Pace::Live).await;
            }
        }
    }
    follower.abort();
    takeover::refresh_guard(&host);
    // Steps in hand are finished, whatever the deadline says: none is left in the middle.
    host.stop();
    dispatch.drain().await;
    Ok(report(&host, &scope, ending, diary.take()))
}

/// Looks at the whole host and puts the desired state in force. Returns the keys this is about.
async fn begin(
    host: &Arc<Host>,
    mut desired: DesiredState,
    only: &BTreeSet<ServiceId>,
    consent: Option<&str>,
) -> Result<BTreeSet<Key>, ApplyError> {
    if let Some(missing) = only.iter().find(|id| !desired.services.contains_key(*id)) {
        return Err(ApplyError::NoSuchService(missing.clone()));
    }
    for id in host.records.services().await? {
        let record = host.records.load(&id).await?;
        host.guard.note(&id, false, &record.source);
    }
    let listed = relist::relist(host, true).await?;
    relist::note(host, &listed);
    let now = host.clock.now().mono;
    if let Some(adopted) = host.engine.adopted() {
        adopted.get().pause(&mut desired);
    }
    let wish = Wish::new(desired, now);
    let scope = if only.is_empty() { None } else { Some(wish.with_needs(only)) };
    takeover::take_wish(host, wish);
    if let Some(token) = consent {
        host.guard.consent(token);
    }
    Ok(scope.unwrap_or_else(|| relist::due(host, &listed)))
}

fn removals_wait(host: &Host) -> bool {
    let Some(wish) = host.wish() else { return false };
    let verdicts = host.guard.verdicts(&wish, host.clock.now().mono);
    verdicts.values().any(|verdict| matches!(verdict, RemovalVerdict::NotYet { .. }))
}

/// Networks of ours in scope that no file wants.
fn unwanted_networks(host: &Host, scope: &BTreeSet<Key>) -> BTreeSet<Key> {
    let Some(wish) = host.wish() else { return BTreeSet::new() };
    if !wish.state.guard.prune_networks || !wish.state.broken.is_empty() {
        return BTreeSet::new();
    }
    let unwanted = |key: &&Key| matches!(key, Key::Network(name) if !wish.state.networks.contains_key(name));
    scope.iter().filter(unwanted).cloned().collect()
}

/// Whether one of them could go: waiting for the quiet period for one that stays anyway would make every `apply` slow.
async fn any_unused(host: &Host, networks: &BTreeSet<Key>) -> bool {
    for key in networks {
        if let Key::Network(name) = key
            && matches!(objects::is_referenced(host, name).await, Ok(false))
        {
            return true;
        }
    }
    false
}

fn confirm(host: &Host) {
    if let Some(wish) = host.wish() {
        host.set_wish(Arc::new((*wish).clone().confirmed()));
    }
}

fn report(host: &Host, scope: &BTreeSet<Key>, ending: Ending, actions: Vec<Action>) -> ApplyReport {
    let asked: BTreeSet<String> = services(scope).map(ToString::to_string).collect();
    let status = host.board.report(host.clock.now().mono);
    let services: Vec<ServiceStatus> =
        status.services.into_iter().filter(|row| asked.contains(&row.service)).collect();
    let objects: Vec<(String, Condition)> = scope
        .iter()
        .filter_map(|key| Some((key.to_string(), host.board.object(key)?)))
        .filter(|(_, condition)| condition.kind != ConditionKind::Ready)
        .collect();
    let guard = status.host.guard;
    let outcome = outcome(&services, &objects, guard.is_some(), ending);
    ApplyReport { outcome, services, actions, guard, objects }
}

/// The worst that is true of any.
fn outcome(
    services: &[ServiceStatus],
    objects: &[(String, Condition)],
    refused: bool,
    ending: Ending,
) -> ApplyOutcome {
    use ConditionKind as Kind;
    let any = |kinds: &[Kind]| services.iter().any(|row| kinds.contains(&row.condition.kind));
    let failed_object = objects.iter().any(|(_, condition)| condition.kind == Kind::Failed);
    if any(&[Kind::Failed, Kind::Frozen]) || failed_object || ending == Ending::Stuck {
        ApplyOutcome::Failed
    } else if ending == Ending::DeadlinePassed {
        ApplyOutcome::TimedOut
    } else if any(&[Kind::RolledBack]) {
        ApplyOutcome::RolledBack
    } else if any(&[Kind::Degraded]) {
        ApplyOutcome::Failed
    } else if refused || any(&[Kind::Held, Kind::Paused, Kind::AwaitingApproval, Kind::AwaitingWindow]) {
        ApplyOutcome::Refused
    } else {
        ApplyOutcome::Converged
    }
}

/// Writes down the steps and passes everything on.
struct Diary {
    inner: Arc<dyn Progress>,
    actions: Mutex<Vec<(Planned, Action)>>,
}

impl Diary {
    fn note(&self, object: String, planned: &Planned, words: &str) {
        let action = Action { object, step: words.to_owned(), cause: planned.cause.to_string(), error: None };
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        actions.push((planned.clone(), action));
    }

    fn take(&self) -> Vec<Action> {
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *actions).into_iter().map(|(_, action)| action).collect()
    }
}

impl Progress for Diary {
    fn step(&self, service: &ServiceId, planned: &Planned, words: &str) {
        self.note(service.to_string(), planned, words);
        self.inner.step(service, planned, words);
    }
    fn object_step(&self, key: &Key, planned: &Planned, words: &str) {
        self.note(key.to_string(), planned, words);
        self.inner.object_step(key, planned, words);
    }
    fn outcome(&self, service: &ServiceId, planned: &Planned, outcome: &Outcome) {
        if let Outcome::Failed { text, .. } = outcome {
            let object = service.to_string();
            let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
            let last = actions.iter_mut().rev().find(|(step, row)| step == planned && row.object == object);
            if let Some((_, row)) = last {
                row.error = Some(text.clone());
            }
        }
        self.inner.outcome(service, planned, outcome);
    }
    fn condition(&self, service: &ServiceId, condition: &Condition) {
        self.inner.condition(service, condition);
    }
    fn pull(&self, service: &ServiceId, image: &str, progress: &PullProgress) {
        self.inner.pull(service, image, progress);
    }
}
