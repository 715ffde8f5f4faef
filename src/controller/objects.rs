//! Passes for networks and volumes. They have no memory: what is wanted and what is there decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::execute::{Executor, describe};
use super::host::Host;
use super::queue::Reason;
use super::reconcile::{PassEnd, PassReport};
use super::trigger::{Key, Trigger};
use super::wish::Wish;
use crate::desired::ident::ServiceId;
use crate::desired::spec::NetworkSpec;
use crate::engine::{ContainerFilter, EngineError};
use crate::metrics::PassResult;
use crate::state::condition::ConditionKind;
use crate::state::network::{ObjectDecision, decide_network, decide_volume, paused, retire_network, unused};
use crate::state::observed::{ContainerId, ContainerSummary, ObservedNetwork, label};
use crate::state::plan::{Failure, Outcome};

/// One look at a network: made, made anew, left, or removed when nobody wants it and nothing refers to it.
pub async fn network(host: &Host, name: &str) -> PassReport {
    let key = Key::Network(name.to_owned());
    let Some(wish) = host.wish() else { return report(PassEnd::Settled, PassResult::Noop) };
    let decision = match wish.state.networks.get(name) {
        Some(spec) => wanted_network(host, &wish, spec).await,
        None => match unwanted_network(host, &wish, name).await {
            Ok(Unwanted::Decided(decision)) => {
                Ok(paused(decision, wish.state.pauses.unwanted(host.clock.now().wall.0)))
            }
            Ok(Unwanted::Gone) => {
                host.board.forget_object(&key);
                return report(PassEnd::Settled, PassResult::Noop);
            }
            Ok(Unwanted::NotYet(end)) => return report(end, PassResult::Refused),
            Err(error) => Err(error),
        },
    };
    conclude(host, &key, decision).await
}

/// One look at a volume: made or left. A volume is never removed (invariant I12).
pub async fn volume(host: &Host, name: &str) -> PassReport {
    let key = Key::Volume(name.to_owned());
    let wish = host.wish();
    let wanted = wish.as_ref().and_then(|wish| Some((wish, wish.state.volumes.get(name)?)));
    let Some((wish, spec)) = wanted else {
        host.board.forget_object(&key);
        return report(PassEnd::Settled, PassResult::Noop);
    };
    let observed = host.engine.volume(name).await;
    let why = wish.state.pauses.project(&spec.project, host.clock.now().wall.0);
    if matches!(observed, Ok(None)) && !wish.may_need(&key, &spec.project) {
        return conclude(host, &key, Ok(unused("volume", name))).await;
    }
    let decision = observed.map(|observed| paused(decide_volume(spec, observed.as_ref(), &host.owner), why));
    conclude(host, &key, decision).await
}

fn report(end: PassEnd, result: PassResult) -> PassReport {
    PassReport { end, result }
}

async fn wanted_network(host: &Host, wish: &Wish, spec: &NetworkSpec) -> Result<ObjectDecision, EngineError> {
    let observed = host.engine.networks_named(&spec.name).await?;
    let key = Key::Network(spec.name.clone());
    if observed.is_empty() && !wish.may_need(&key, &spec.project) && !is_referenced(host, &spec.name).await? {
        return Ok(unused("network", &spec.name));
    }
    let rows = if observed.iter().all(|network| network.containers.is_empty()) {
        Vec::new()
    } else {
        host.engine.list_containers(&owner_filter(&host.owner)).await?
    };
    let members = rows.iter().map(|row| row.id.clone()).collect();
    let attached =
        |row: &&ContainerSummary| observed.iter().any(|network| network.containers.contains(&row.id));
    let services: BTreeSet<ServiceId> = rows.iter().filter(attached).filter_map(own_service).collect();
    let (pauses, now) = (&wish.state.pauses, host.clock.now().wall.0);
    // To make it anew is to touch every container on it.
    let why =
        pauses.project(&spec.project, now).or_else(|| services.iter().find_map(|id| pauses.of(id, now)));
    Ok(paused(decide_network(spec, &observed, &members, &host.owner), why))
}

/// The service that a container of ours belongs to.
fn own_service(row: &ContainerSummary) -> Option<ServiceId> {
    ServiceId::new(row.labels.get(label::PROJECT)?, row.labels.get(label::SERVICE)?)
}

/// Every container that carries our owner label.
#[must_use]
pub fn owner_filter(owner: &str) -> ContainerFilter {
    let labels = BTreeMap::from([(label::OWNER.to_owned(), owner.to_owned())]);
    ContainerFilter { labels, ..ContainerFilter::default() }
}

enum Unwanted {
    Decided(ObjectDecision),
    Gone,
    NotYet(PassEnd),
}

async fn unwanted_network(host: &Host, wish: &Wish, name: &str) -> Result<Unwanted, EngineError> {
    let owned = |network: &ObservedNetwork| network.labels.get(label::OWNER) == Some(&host.owner);
    let found = host.engine.networks_named(name).await?.into_iter().find(owned);
    let Some(network) = found else { return Ok(Unwanted::Gone) };
    if !wish.state.broken.is_empty() {
        // What wants it may be in the file that does not load. A file that loads again is a change, which looks again.
        return Ok(Unwanted::NotYet(PassEnd::Settled));
    }
    if !wish.confirmed {
        return Ok(Unwanted::NotYet(PassEnd::At(host.clock.now().mono.after(host.limits.removal_quiet_ms))));
    }
    let referenced = is_referenced(host, name).await?;
    Ok(Unwanted::Decided(retire_network(&network, referenced, wish.state.guard.prune_networks)))
}

/// Stopped containers refer to a network too, and so does a revision one may go back to.
pub(super) async fn is_referenced(host: &Host, name: &str) -> Result<bool, EngineError> {
    for row in host.engine.list_containers(&owner_filter(&host.owner)).await? {
        let found = host.engine.inspect(&row.id).await?;
        if found.is_some_and(|container| container.networks.contains_key(name)) {
            return Ok(true);
        }
    }
    let unreadable = |error| EngineError::new("read", "records", Failure::Internal, format!("{error}"));
    let services: Vec<ServiceId> = host.records.services().await.map_err(unreadable)?;
    for id in services {
        let record = host.records.load(&id).await.map_err(unreadable)?;
        if record.revisions.iter().any(|kept| kept.spec.live.networks.contains_key(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells where the object stands, and takes the steps.
async fn conclude(host: &Host, key: &Key, decision: Result<ObjectDecision, EngineError>) -> PassReport {
    let started = host.clock.now().mono;
    let ObjectDecision { plan, condition, again } = match decision {
        Ok(decision) => decision,
        Err(error) => {
            tracing::debug!(%key, %error, "could not look");
            return finish(host, started, report(PassEnd::Failed, PassResult::Failed));
        }
    };
    let news = host.board.publish_object(key, &condition);
    if news {
        match condition.kind {
            ConditionKind::Failed => {
                tracing::warn!(%key, reason = condition.reason, message = condition.message)
            }
            _ => tracing::info!(%key, condition = condition.kind.as_str(), message = condition.message),
        }
        wake_dependents(host, key);
    }
    if plan.is_empty() {
        let end = again.map_or(PassEnd::Settled, |at| PassEnd::At(host.clock.now().at(at)));
        return finish(host, started, report(end, PassResult::Noop));
    }
    let executor = Executor {
        engine: &host.engine,
        owner: &host.owner,
        service: None,
        pulls: &host.pulls,
        progress: &*host.progress,
    };
    let names = BTreeMap::<ContainerId, String>::new();
    for planned in &plan {
        if host.stopping() {
            return report(PassEnd::Stopped, PassResult::Acted);
        }
        let words = describe(&planned.step, &names);
        tracing::info!(%key, step = words, because = %planned.cause);
        host.progress.object_step(key, planned, &words);
        if let Outcome::Failed { kind, text } = executor.take(&planned.step).await {
            tracing::warn!(%key, step = words, kind = kind.as_str(), error = text, "a step failed");
            return finish(host, started, report(PassEnd::Failed, PassResult::Failed));
        }
    }
    // One more look, which says "as desired" and wakes whoever waits. If it says "not yet" a second time, what we make is not
    // what we look for: not in a tight circle, then.
    let again = if news { PassEnd::At(host.clock.now().mono) } else { PassEnd::Failed };
    finish(host, started, report(again, PassResult::Acted))
}

fn finish(host: &Host, started: crate::state::time::Mono, report: PassReport) -> PassReport {
    let took = host.clock.now().mono.since(started);
    host.metrics.reconciled(report.result, Duration::from_millis(took));
    report
}

fn wake_dependents(host: &Host, key: &Key) {
    let Some(wish) = host.wish() else { return };
    for dependent in wish.dependents(key) {
        host.inbox.post(Trigger::Key(Key::Service(dependent.clone()), Reason::Related));
    }
}
