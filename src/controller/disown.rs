//! `evenkeel disown`: what is evenkeel's is given back as it runs.
//!
//! Nothing on the engine changes. The records go; what carries our labels, which no container can lose, is written down as somebody
//! else's; and a service that files still define is left alone until it leaves them, so that giving back and taking it out of the files can be
//! done in the only order that loses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::adopt::{in_force, unavailable};
use super::host::{Cell, Host};
use super::objects::owner_filter;
use super::queue::Reason;
use super::records::Changed;
use super::trigger::{Key, Trigger};
use crate::desired::DesiredState;
use crate::desired::ident::{ProjectName, ServiceId};
use crate::engine::ContainerFilter;
use crate::metrics::adoption::DisownReport;
use crate::metrics::api::{ApiError, ApiErrorKind};
use crate::state::observed::{ContainerId, ContainerSummary, label};
use crate::state::record::{HistoryEntry, HistoryEvent};
use crate::state::register::Register;

/// Gives a service (`shop/web`) or a whole project (`shop`) back.
///
/// # Errors
/// Why it cannot be done, and what to do next.
pub async fn disown(host: &Host, what: &str) -> Result<DisownReport, ApiError> {
    let unknown = || {
        let text = format!(
            "evenkeel has nothing called `{what}`: `evenkeel status` lists its services as PROJECT/SERVICE"
        );
        ApiError::new(ApiErrorKind::NotFound, text)
    };
    let Some(adopted) = host.engine.adopted() else {
        return Err(ApiError::new(ApiErrorKind::Conflict, "a simulated engine has nothing to give back"));
    };
    let Some(wish) = host.wish() else {
        return Err(ApiError::new(
            ApiErrorKind::Unavailable,
            "the desired state was not read yet; try again",
        ));
    };
    // A bare name is a project: nobody is to give back more, or something else, than was meant.
    let (one, project) = match what.split_once('/') {
        Some((project, service)) => {
            let id = ServiceId::new(project, service).ok_or_else(unknown)?;
            (Some(id.clone()), id.project)
        }
        None => (None, ProjectName::new(what).ok_or_else(unknown)?),
    };
    let rows =
        host.engine.list_containers(&owner_filter(&host.owner)).await.map_err(|error| unavailable(&error))?;
    let recorded = host.records.services().await.map_err(|error| unavailable(&error))?;
    let meant = |id: &ServiceId| one.as_ref().map_or(id.project == project, |one| one == id);
    let mut ids: BTreeSet<ServiceId> = recorded.iter().filter(|id| meant(id)).cloned().collect();
    ids.extend(rows.iter().filter_map(service_of).filter(&meant));
    ids.extend(wish.state.services.keys().filter(|id| meant(id)).cloned());
    if ids.is_empty() {
        return Err(unknown());
    }
    let cells: Vec<Arc<tokio::sync::Mutex<Cell>>> = ids.iter().map(|id| host.cell(id)).collect();
    let mut held = Vec::new();
    for cell in &cells {
        held.push(cell.lock().await);
    }
    let turn = host.register.lock().await;
    let mut register = (*adopted.get()).clone();
    let mut report = DisownReport::default();
    let mut changed = Vec::new();
    for id in &ids {
        let own: Vec<&ContainerSummary> =
            rows.iter().filter(|row| service_of(row).as_ref() == Some(id)).collect();
        changed.push(give_back(host, id, &own, &mut register, &mut report).await?);
        if wish.state.services.contains_key(id) {
            register.services.insert(id.clone());
            report.still_defined.push(id.to_string());
        }
    }
    if one.is_none() {
        objects(host, &project, &mut register, &mut report).await.map_err(|error| unavailable(&error))?;
        if wish.state.projects.contains(&project) {
            register.projects.insert(project.clone());
        }
    }
    let saved = host.records.set_register(&register, &changed).await;
    saved.map_err(|error| {
        unavailable(&format!("it could not be written down ({error}), so nothing was given back"))
    })?;
    adopted.set(register.clone());
    drop(turn);
    for cell in &mut held {
        **cell = Cell::default();
    }
    in_force(host, &wish, &register);
    drop(held);
    for id in ids {
        tracing::info!(service = %id, "given back");
        if !wish.state.services.contains_key(&id) {
            host.board.remove(&id);
            host.guard.forget(&id);
            host.metrics.forget(&id);
        }
        host.inbox.post(Trigger::Key(Key::Service(id), Reason::Operator));
    }
    Ok(report)
}

fn service_of(row: &ContainerSummary) -> Option<ServiceId> {
    ServiceId::new(row.labels.get(label::PROJECT)?, row.labels.get(label::SERVICE)?)
}

async fn give_back(
    host: &Host,
    id: &ServiceId,
    rows: &[&ContainerSummary],
    register: &mut Register,
    report: &mut DisownReport,
) -> Result<Changed, ApiError> {
    report.services.push(id.to_string());
    for row in rows {
        report.containers.push(row.names.first().cloned().unwrap_or_else(|| row.id.short().to_owned()));
        // One that was adopted loses what it never carried; one that we made is remembered for ever.
        register.containers.remove(&row.id);
        register.released_containers.insert(row.id.clone());
    }
    let record = host.records.load(id).await.map_err(|error| unavailable(&error))?;
    let good = record.good.as_ref().and_then(|good| record.revisions.iter().find(|kept| kept.id == *good));
    let entry = HistoryEntry {
        at: host.clock.now().wall,
        revision: record.good.clone(),
        number: good.map(|kept| kept.number),
        event: HistoryEvent::Disowned,
        image: good.map(|kept| kept.spec.container.image.clone()).unwrap_or_default(),
        reason: "given back by hand, as it runs".to_owned(),
        commit: None,
    };
    // Its record is dropped, and its images keep their tags: nothing may be missing that still runs.
    Ok(Changed { service: id.clone(), record: None, history: vec![entry] })
}

async fn objects(
    host: &Host,
    project: &ProjectName,
    register: &mut Register,
    report: &mut DisownReport,
) -> crate::engine::Result<()> {
    for network in host.engine.owned_networks(&host.owner).await? {
        if network.labels.get(label::PROJECT).is_some_and(|found| found == project.as_str()) {
            report.networks.push(network.name);
            if register.networks.remove(&network.id).is_none() {
                register.released_networks.insert(network.id);
            }
        }
    }
    let Some(wish) = host.wish() else { return Ok(()) };
    for spec in wish.state.volumes.values().filter(|spec| spec.project == *project && !spec.external) {
        let Some(volume) = host.engine.volume(&spec.name).await? else { continue };
        if volume.labels.get(label::OWNER) == Some(&host.owner) {
            report.volumes.push(volume.name.clone());
            if register.volumes.remove(&volume.name).is_none() {
                register.released_volumes.insert(volume.name);
            }
        }
    }
    Ok(())
}

/// Leaves alone in another desired state what was given back, and forgets of it what no file defines any more.
pub(super) async fn settle(host: &Host, state: &mut DesiredState) {
    let Some(adopted) = host.engine.adopted() else { return };
    let _turn = host.register.lock().await;
    let mut register = (*adopted.get()).clone();
    if register.forget_undefined(state) {
        match host.records.set_register(&register, &[]).await {
            Ok(()) => adopted.set(register.clone()),
            // Kept too long it only leaves alone what is defined again.
            Err(error) => tracing::warn!(%error, "could not write down what was given back"),
        }
    }
    register.pause(state);
}

/// Forgets adopted and given back containers that are gone for good. One is gone when two lists and an inspect between them do not know it: a list
/// alone may be of a moment ago.
pub(super) async fn forget_gone(host: &Host) -> crate::engine::Result<()> {
    let Some(adopted) = host.engine.adopted() else { return Ok(()) };
    let known = adopted.get();
    let mut gone: BTreeSet<ContainerId> =
        known.containers.keys().chain(&known.released_containers).cloned().collect();
    keep_missing(host, &mut gone).await?;
    for (id, labels) in &known.containers {
        if gone.contains(id) && host.engine.inspect_as(id, labels).await?.is_some() {
            gone.remove(id);
        }
    }
    keep_missing(host, &mut gone).await?;
    if gone.is_empty() {
        return Ok(());
    }
    let _turn = host.register.lock().await;
    let mut register = (*adopted.get()).clone();
    if register.forget_containers(&gone) {
        match host.records.set_register(&register, &[]).await {
            Ok(()) => adopted.set(register),
            // Remembered too long it says nothing about any other container.
            Err(error) => tracing::warn!(%error, "could not forget adopted containers that are gone"),
        }
    }
    Ok(())
}

/// Takes those away that the engine lists.
async fn keep_missing(host: &Host, ids: &mut BTreeSet<ContainerId>) -> crate::engine::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let filter = ContainerFilter { ids: ids.clone(), ..ContainerFilter::default() };
    for row in host.engine.list_containers(&filter).await? {
        ids.remove(&row.id);
    }
    Ok(())
}
