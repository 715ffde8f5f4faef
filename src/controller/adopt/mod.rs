//! `evenkeel adopt`: what Compose, or somebody, started becomes evenkeel's as it runs.
//!
//! It is looked at and told first; consent is to what was told. Taking over writes to the store, and one tag per revision to the engine so that
//! its image stays: no container is started, stopped or changed by it.

mod containers;
mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::host::{Cell, Host, Parts};
use super::queue::Reason;
use super::records::Changed;
use super::relist;
use super::trigger::{Key, Trigger};
use super::wish::Wish;
use crate::desired::DesiredState;
use crate::desired::ident::{ProjectName, ServiceId};
use crate::metrics::adoption::{AdoptRequest, AdoptionReport};
use crate::metrics::api::{ApiError, ApiErrorKind};
use crate::state::observed::ImageId;
use crate::state::record::Memo;
use crate::state::register::Register;

/// A host for one order, when no daemon runs: looked at once, with the files as they are.
///
/// # Errors
/// A sentence: the records or the engine cannot be read.
pub async fn by_itself(parts: Parts, mut desired: DesiredState) -> Result<Host, String> {
    let session = parts.records.session().await.map_err(|error| error.to_string())?;
    let host = Host::new(parts, session);
    let services = host.records.services().await.map_err(|error| error.to_string())?;
    for id in services {
        let record = host.records.load(&id).await.map_err(|error| error.to_string())?;
        host.guard.note(&id, false, &record.source);
    }
    let listed = relist::relist(&host, true).await.map_err(|error| error.to_string())?;
    relist::note(&host, &listed);
    if let Some(adopted) = host.engine.adopted() {
        adopted.get().pause(&mut desired);
    }
    let now = host.clock.now().mono;
    host.set_wish(Arc::new(Wish::new(desired, now)));
    Ok(host)
}

/// What an adoption writes.
#[derive(Default)]
pub(super) struct Deed {
    report: AdoptionReport,
    register: Register,
    changed: Vec<Changed>,
    /// Images, with the repository and tag that keep them.
    keep: Vec<(ImageId, String, String)>,
}

/// Looks at what would be adopted, and adopts it when the request carries consent to exactly that.
///
/// # Errors
/// Why it cannot be done, and what to do next.
pub async fn adopt(host: &Host, request: &AdoptRequest) -> Result<AdoptionReport, ApiError> {
    let project = ProjectName::new(&request.project).ok_or_else(|| {
        ApiError::new(ApiErrorKind::Invalid, format!("`{}` cannot be the name of a project", request.project))
    })?;
    let Some(adopted) = host.engine.adopted() else {
        let text = "a simulated engine has nothing to adopt";
        return Err(ApiError::new(ApiErrorKind::Conflict, text));
    };
    let Some(wish) = host.wish() else {
        return Err(ApiError::new(
            ApiErrorKind::Unavailable,
            "the desired state was not read yet; try again",
        ));
    };
    // No pass of these services may look or act while their records change hands.
    let ids: Vec<ServiceId> =
        wish.state.services.keys().filter(|id| id.project == project).cloned().collect();
    let cells: Vec<Arc<tokio::sync::Mutex<Cell>>> = ids.iter().map(|id| host.cell(id)).collect();
    let mut held = Vec::new();
    for cell in &cells {
        held.push(cell.lock().await);
    }
    // Of two at a time the second would write what it read before the first was done.
    let turn = host.register.lock().await;
    let mut deed = Deed { register: (*adopted.get()).clone(), ..Deed::default() };
    deed.report.project = project.to_string();
    containers::examine(host, &wish, &project, request, &mut deed).await?;
    objects::examine(host, &wish, &project, &mut deed).await.map_err(|error| unavailable(&error))?;
    deed.report.token = token(&deed.report)?;
    let Some(consent) = &request.token else { return Ok(deed.report) };
    if *consent != deed.report.token {
        let text =
            "what runs, or the files, changed since it was shown: nothing was adopted; look at it again";
        return Err(ApiError::new(ApiErrorKind::Conflict, text));
    }
    let mut by_id: BTreeMap<&ServiceId, _> = ids.iter().zip(held.iter_mut()).collect();
    carry_out(host, &mut deed).await?;
    drop(turn);
    for changed in &deed.changed {
        if let (Some(cell), Some(record)) = (by_id.get_mut(&changed.service), &changed.record) {
            let before = std::mem::take(&mut ***cell);
            ***cell = Cell {
                record: record.clone(),
                memo: Memo::default(),
                loaded: true,
                durable: true,
                untold: before.untold,
                ..Cell::default()
            };
        }
    }
    drop(by_id);
    drop(held);
    in_force(host, &wish, &deed.register);
    for id in ids {
        host.inbox.post(Trigger::Key(Key::Service(id), Reason::Operator));
    }
    for name in deed.report.networks.iter().map(|network| network.name.clone()) {
        host.inbox.post(Trigger::Key(Key::Network(name), Reason::Operator));
    }
    for name in deed.report.volumes.iter().map(|volume| volume.name.clone()) {
        host.inbox.post(Trigger::Key(Key::Volume(name), Reason::Operator));
    }
    deed.report.adopted = true;
    Ok(deed.report)
}

async fn carry_out(host: &Host, deed: &mut Deed) -> Result<(), ApiError> {
    for (image, repository, tag) in &deed.keep {
        host.engine.tag(image, repository, tag).await.map_err(|error| unavailable(&error))?;
    }
    let saved = host.records.set_register(&deed.register, &deed.changed).await;
    saved.map_err(|error| {
        unavailable(&format!("it could not be written down ({error}), so nothing was adopted"))
    })?;
    if let Some(adopted) = host.engine.adopted() {
        adopted.set(deed.register.clone());
    }
    for changed in &deed.changed {
        tracing::info!(service = %changed.service, "adopted");
    }
    Ok(())
}

/// What was given back or taken again is so from here on.
pub(super) fn in_force(host: &Host, wish: &Wish, register: &Register) {
    let mut next = wish.clone();
    register.pause(&mut next.state);
    host.set_wish(Arc::new(next));
}

pub(super) fn unavailable(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, error.to_string())
}

fn token(report: &AdoptionReport) -> Result<String, ApiError> {
    let text = serde_json::to_vec(report)
        .map_err(|error| ApiError::new(ApiErrorKind::Internal, error.to_string()))?;
    Ok(hex::encode(Sha256::digest(text)).get(..8).unwrap_or_default().to_owned())
}
