//! What people, metrics and dependents are told of a service.

use std::collections::BTreeMap;

use super::condition::{Condition, ConditionKind, ContainerStatusRow, ServiceStatus};
use super::observed::{
    ContainerStatus, DependencyProgress, DependencyState, Health, ObservedContainer, ObservedService, Parent,
};
use super::order;
use super::probe::ProbeSeen;
use super::record::{KeptRevision, Record, RevisionId, RevisionVerdict};
use super::target;
use super::time::Timestamp;
use crate::desired::Wanted;
use crate::desired::ident::ServiceId;
use crate::desired::spec::ServiceSpec;

/// The spec that is being served: of the good revision, else of the one on its way, else of the file.
fn serving_spec<'a>(desired: Option<&'a Wanted>, record: &'a Record) -> Option<&'a ServiceSpec> {
    let known = record
        .good
        .as_ref()
        .or(record.intent.as_ref())
        .and_then(|id| target::kept(record, id))
        .map(|kept| &*kept.spec);
    known.or(match desired {
        Some(Wanted::Run(wanted)) => Some(&*wanted.spec),
        _ => None,
    })
}

/// Puts a status together. `before`: the last one, whose `since` stays while kind and reason do.
#[must_use]
pub fn status(
    id: &ServiceId,
    desired: Option<&Wanted>,
    observed: &ObservedService,
    record: &Record,
    condition: Condition,
    before: Option<&ServiceStatus>,
    now: Timestamp,
) -> ServiceStatus {
    let spec = serving_spec(desired, record);
    let wanted = match desired {
        Some(Wanted::Run(wanted)) => Some(&*wanted.spec),
        _ => spec,
    };
    let same = before.filter(|before| {
        before.condition.kind == condition.kind && before.condition.reason == condition.reason
    });
    let shown = record.good.as_ref().or(record.intent.as_ref());
    let kept = shown.and_then(|id| target::kept(record, id));
    let rejected = desired.and_then(|wanted| rejected(wanted, record));
    let running = |container: &&ObservedContainer| container.status == ContainerStatus::Running;
    let ready = |container: &&ObservedContainer| matches!(container.health, Health::None | Health::Healthy);
    ServiceStatus {
        service: id.to_string(),
        since: same.map_or(now, |before| before.since),
        condition,
        desired_replicas: if desired.is_some() { wanted.map_or(0, |spec| spec.policy.replicas) } else { 0 },
        running: count(observed.containers.iter().filter(running)),
        ready: count(observed.containers.iter().filter(running).filter(ready)),
        image: kept
            .map(|kept| kept.spec.container.image.clone())
            .or_else(|| wanted.map(|spec| spec.container.image.clone()))
            .unwrap_or_default(),
        revision: kept.map(|kept| kept.id.short().to_owned()),
        revision_number: kept.map(|kept| kept.number),
        rejected: rejected.map(|kept| kept.id.short().to_owned()),
        awaiting: record.awaiting.as_ref().map(|waiting| waiting.revision.short().to_owned()),
        order: wanted
            .map(order::order)
            .map(|order| format!("{}: {}", order.as_str(), order.reason))
            .unwrap_or_default(),
        source: wanted
            .map(|spec| format!("{}:{}", spec.source.file, spec.source.line))
            .unwrap_or_else(|| record.source.clone()),
        commit: kept.map_or_else(
            || wanted.and_then(|spec| spec.source.commit.clone()),
            |kept| kept.spec.source.commit.clone(),
        ),
        containers: observed.containers.iter().map(|container| row(container, shown)).collect(),
        next_look_ms: None,
    }
}

/// The wanted revision, if it is known to have failed. One that failed earlier and is not wanted any more is history.
fn rejected<'a>(desired: &Wanted, record: &'a Record) -> Option<&'a KeptRevision> {
    let Wanted::Run(wanted) = desired else { return None };
    let latest = record.revisions.iter().rev().find(|kept| kept.hash == wanted.hash)?;
    matches!(latest.verdict, RevisionVerdict::Rejected { .. }).then_some(latest)
}

fn count<'a>(containers: impl Iterator<Item = &'a ObservedContainer>) -> u32 {
    u32::try_from(containers.count()).unwrap_or(u32::MAX)
}

fn row(container: &ObservedContainer, serving: Option<&RevisionId>) -> ContainerStatusRow {
    let state =
        serde_json::to_value(container.status).ok().and_then(|value| value.as_str().map(str::to_owned));
    let health =
        serde_json::to_value(container.health).ok().and_then(|value| value.as_str().map(str::to_owned));
    ContainerStatusRow {
        name: container.name.clone(),
        id: container.id.short().to_owned(),
        slot: container.labels.slot,
        state: state.unwrap_or_default(),
        health: if container.status.is_up() { health.unwrap_or_default() } else { "none".to_owned() },
        restarts: container.restart_count,
        revision: container.labels.revision.short().to_owned(),
        serving: container.status.is_up() && serving == Some(&container.labels.revision),
        probe: container.probe.as_ref().map(probe_text),
    }
}

/// `failing: connection refused (4 in a row)`.
fn probe_text(seen: &ProbeSeen) -> String {
    match (seen.health, seen.failures) {
        (Health::Healthy, 0) => "succeeds".to_owned(),
        (Health::Unhealthy, failures) => format!("failing: {} ({failures} in a row)", seen.last),
        (_, _) if seen.last.is_empty() => "not tried yet".to_owned(),
        (Health::Healthy, failures) => format!("succeeds; failed last: {} ({failures} in a row)", seen.last),
        (_, _) => format!("has not succeeded yet: {}", seen.last),
    }
}

/// How far this service is, for those that depend on it.
#[must_use]
pub fn dependency(
    desired: Option<&Wanted>,
    observed: &ObservedService,
    record: &Record,
    condition: &Condition,
) -> DependencyState {
    let replicas = serving_spec(desired, record).map_or(1, |spec| spec.policy.replicas as usize);
    let serving: Vec<&ObservedContainer> =
        observed.containers.iter().filter(|container| is_serving(container, record)).collect();
    let all = |wanted: &dyn Fn(&ObservedContainer) -> bool| {
        serving.len() >= replicas && serving.iter().all(|container| wanted(container))
    };
    let running = |container: &ObservedContainer| container.status == ContainerStatus::Running;
    let progress = if condition.kind == ConditionKind::Completed {
        DependencyProgress::Completed
    } else if all(&|container| running(container) && container.health == Health::Healthy) {
        DependencyProgress::Healthy
    } else if all(&|container| running(container) && container.health == Health::None) {
        DependencyProgress::RunningWithoutCheck
    } else if all(&running) {
        DependencyProgress::Running
    } else if condition.kind == ConditionKind::Failed {
        DependencyProgress::Failed
    } else {
        DependencyProgress::Pending
    };
    let serving = serving
        .iter()
        .map(|container| (container.id.clone(), container.started_at))
        .collect::<BTreeMap<_, _>>();
    DependencyState { desired: desired.is_some(), progress, serving }
}

/// The container whose network namespace others may share: the running one of the first slot.
#[must_use]
pub fn parent(observed: &ObservedService, record: &Record) -> Option<Parent> {
    let of_slot = observed.containers.iter().filter(|container| container.labels.slot == 1);
    let rank = |container: &&ObservedContainer| {
        (container.status.is_up(), is_serving(container, record), container.started_at)
    };
    let container = of_slot.max_by_key(rank)?;
    Some(Parent {
        id: container.id.clone(),
        name: container.name.clone(),
        running: container.status == ContainerStatus::Running,
        started_at: container.started_at,
    })
}

/// Up, and of the revision that serves or is on its way.
fn is_serving(container: &ObservedContainer, record: &Record) -> bool {
    let revision = Some(&container.labels.revision);
    container.status.is_up() && (revision == record.intent.as_ref() || revision == record.good.as_ref())
}
