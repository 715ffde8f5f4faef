//! The containers of a project: which are whose, and what becomes of each service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Deed, unavailable};
use crate::controller::host::Host;
use crate::controller::records::Changed;
use crate::controller::wish::Wish;
use crate::desired::hash::SpecHash;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::work::ImageSource;
use crate::desired::work::answers::{Answer, NOT_CHOSEN, with_image};
use crate::desired::{Revision, Wanted};
use crate::engine::ContainerFilter;
use crate::metrics::adoption::{AdoptRequest, AdoptedContainer, ServiceAdoption};
use crate::metrics::api::{ApiError, ApiErrorKind};
use crate::state::adoption::{Candidate, Consequence, Terms, take_over};
use crate::state::observed::{ContainerStatus, ContainerSummary, ImageId, OwnLabels, label};
use crate::state::record::RevisionId;

/// Finds what there is to adopt of a project, and works out what each service comes to.
pub(super) async fn examine(
    host: &Host,
    wish: &Wish,
    project: &ProjectName,
    request: &AdoptRequest,
    deed: &mut Deed,
) -> Result<(), ApiError> {
    let rows = rows(host, project, request).await?;
    let services = sorted(host, wish, project, request, rows, deed)?;
    let from = match &request.container {
        Some(container) => format!("container {}", container.name),
        None => format!("Compose project {project}"),
    };
    for (id, rows) in &services {
        let Some(wanted) = wanted(host, wish, id, rows).await? else { continue };
        service(host, &wanted, id, rows, (request.replace, &from), deed).await?;
    }
    deed.register.services.retain(|id| !services.contains_key(id));
    deed.register.projects.remove(project);
    Ok(())
}

/// What the files want. Where they say how an image is made or chosen, and that was not done here yet, the image that runs is it:
/// the first that is made here comes after it, as any newer one.
async fn wanted(
    host: &Host,
    wish: &Wish,
    id: &ServiceId,
    rows: &[ContainerSummary],
) -> Result<Option<Arc<Revision>>, ApiError> {
    if let Some(Wanted::Run(wanted)) = wish.state.services.get(id) {
        return Ok(Some(Arc::clone(wanted)));
    }
    let (Some(chosen), Some(row)) = (wish.state.works.chosen.get(id), rows.first()) else { return Ok(None) };
    let labels = provisional(host, id, &Revision::of(chosen.spec.clone()), &row.image);
    let container = host.engine.inspect_as(&row.id, &labels).await.map_err(|error| unavailable(&error))?;
    let Some(image) = container.and_then(|container| container.baked).map(|baked| baked.image.clone()) else {
        return Ok(None);
    };
    let (repository, tag) = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag.to_owned()),
        _ => (image.as_str(), "latest".to_owned()),
    };
    let made = !matches!(chosen.image, ImageSource::Policy(_));
    if !made && repository != chosen.spec.container.image {
        let text = format!(
            "{id} runs {image}, and its image_policy chooses among tags of {}: bring one of them to run first",
            chosen.spec.container.image
        );
        return Err(ApiError::new(ApiErrorKind::Conflict, text));
    }
    let answer = Answer { image, tag, local: made };
    Ok(Some(Arc::new(Revision::of(with_image(&chosen.spec, &answer)))))
}

async fn rows(
    host: &Host,
    project: &ProjectName,
    request: &AdoptRequest,
) -> Result<Vec<ContainerSummary>, ApiError> {
    let labels = match &request.container {
        Some(_) => BTreeMap::new(),
        None => BTreeMap::from([(label::COMPOSE_PROJECT.to_owned(), project.to_string())]),
    };
    let filter = ContainerFilter { labels, ..ContainerFilter::default() };
    let mut rows = host.engine.list_containers(&filter).await.map_err(|error| unavailable(&error))?;
    if let Some(container) = &request.container {
        rows.retain(|row| row.names.contains(&container.name) || row.id.0.starts_with(&container.name));
        if rows.is_empty() {
            let text = format!("there is no container `{}`: `docker ps --all` lists them", container.name);
            return Err(ApiError::new(ApiErrorKind::NotFound, text));
        }
    }
    Ok(rows)
}

/// Everything is known of it, but at most its image.
fn is_known(wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Run(_) => true,
        Wanted::Frozen(why) => why.iter().all(|told| told.slug == NOT_CHOSEN),
    }
}

fn why(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Run(_) => String::new(),
        Wanted::Frozen(why) => {
            let first = why.iter().find(|told| told.is_error()).or(why.first());
            first.map(|found| found.headline()).unwrap_or_default()
        }
    }
}

/// By service, in the order of Compose's numbers. What is left alone is noted.
fn sorted(
    host: &Host,
    wish: &Wish,
    project: &ProjectName,
    request: &AdoptRequest,
    rows: Vec<ContainerSummary>,
    deed: &mut Deed,
) -> Result<BTreeMap<ServiceId, Vec<ContainerSummary>>, ApiError> {
    if !wish.state.projects.contains(project) {
        return Err(ApiError::new(ApiErrorKind::NotFound, no_files(project, &rows)));
    }
    let mut services: BTreeMap<ServiceId, Vec<(u64, ContainerSummary)>> = BTreeMap::new();
    let mut owned: BTreeSet<ServiceId> = BTreeSet::new();
    for row in rows {
        let name = row.names.first().cloned().unwrap_or_default();
        let service = match &request.container {
            Some(container) => Some(container.service.clone()),
            None => row.labels.get(label::COMPOSE_SERVICE).cloned(),
        };
        let Some(service) = service.as_deref().and_then(ServiceName::new) else { continue };
        let id = ServiceId { project: project.clone(), service };
        let said = |key: &str| row.labels.get(key).map(String::as_str).unwrap_or_default();
        if row.labels.contains_key(label::OWNER) {
            if said(label::OWNER) == host.owner {
                owned.insert(id);
            } else {
                let owner = said(label::OWNER);
                deed.report.notes.push(format!("{name} belongs to evenkeel instance `{owner}`: left alone"));
            }
        } else if said(label::COMPOSE_ONEOFF).eq_ignore_ascii_case("true") && request.container.is_none() {
            deed.report
                .notes
                .push(format!("{name} is a one-off container (`docker compose run`): left alone"));
        } else {
            match wish.state.services.get(&id) {
                Some(wanted) if is_known(wanted) => {
                    let number = said(label::COMPOSE_NUMBER).parse().unwrap_or(u64::MAX);
                    services.entry(id).or_default().push((number, row));
                }
                Some(wanted) => {
                    let text = format!("{id} does not load, so it cannot be adopted: {}", why(wanted));
                    return Err(ApiError::new(ApiErrorKind::Conflict, text));
                }
                None => {
                    let service = &id.service;
                    deed.report
                        .notes
                        .push(format!("{name}: no file defines a service `{service}`: left alone"));
                }
            }
        }
    }
    for id in owned {
        if services.remove(&id).is_some() || request.container.is_some() {
            deed.report.notes.push(format!("{id} has containers of evenkeel's own already: left as it is"));
        }
    }
    for id in wish.state.services.keys().filter(|id| id.project == *project && request.container.is_none()) {
        let here = services.contains_key(id) || host.guard.known().contains(id);
        if !here {
            deed.report.notes.push(format!("{id} does not run: it is created as any new service"));
        }
    }
    let notes = &mut deed.report.notes;
    Ok(services.into_iter().map(|(id, rows)| (id, in_order(rows, notes))).collect())
}

/// By Compose's numbers. Of several with one number, as an interrupted replacement leaves behind, the one that runs counts.
fn in_order(mut rows: Vec<(u64, ContainerSummary)>, notes: &mut Vec<String>) -> Vec<ContainerSummary> {
    rows.sort_by_key(|(number, row)| (*number, !row.status.is_up(), row.names.clone(), row.id.clone()));
    let mut kept: Vec<(u64, ContainerSummary)> = Vec::new();
    for (number, row) in rows {
        match kept.last().filter(|(last, _)| *last == number && number != u64::MAX && !row.status.is_up()) {
            Some((_, other)) => {
                let (name, other) = (row.names.join(", "), other.names.join(", "));
                notes.push(format!("{name} is down beside {other}, whose number it has: left alone"));
            }
            None => kept.push((number, row)),
        }
    }
    kept.into_iter().map(|(_, row)| row).collect()
}

fn no_files(project: &ProjectName, rows: &[ContainerSummary]) -> String {
    if rows.is_empty() {
        return format!(
            "nothing runs as Compose project `{project}`, and no file defines it: `docker compose ls --all` lists the projects"
        );
    }
    let files = rows.iter().find_map(|row| row.labels.get(label::COMPOSE_FILES));
    let from = files.map_or("compose.yaml", |files| files.split(',').next().unwrap_or(files));
    format!(
        "{} containers run as Compose project `{project}`, and no file here defines it: write its services down first: `evenkeel convert {from} -o . --name {project}` in the directory of the desired state",
        rows.len()
    )
}

async fn service(
    host: &Host,
    wanted: &Revision,
    id: &ServiceId,
    rows: &[ContainerSummary],
    (replace, from): (bool, &str),
    deed: &mut Deed,
) -> Result<(), ApiError> {
    let mut candidates = Vec::new();
    for row in rows {
        if matches!(row.status, ContainerStatus::Dead | ContainerStatus::Removing) {
            deed.report.notes.push(format!("{} is being removed: left alone", row.names.join(", ")));
            continue;
        }
        let labels = provisional(host, id, wanted, &row.image);
        let failed = |error: crate::engine::EngineError| unavailable(&error);
        let Some(container) = host.engine.inspect_as(&row.id, &labels).await.map_err(failed)? else {
            continue;
        };
        let Some(image) = host.engine.inspect_image(&container.image.0).await.map_err(failed)? else {
            let text = format!(
                "the image of {} is not on this host any more: `docker pull` it first",
                container.name
            );
            return Err(ApiError::new(ApiErrorKind::Conflict, text));
        };
        candidates.push(Candidate { container, image });
    }
    if candidates.is_empty() {
        return Ok(());
    }
    let image =
        host.engine.inspect_image(&wanted.spec.container.image).await.map_err(|error| unavailable(&error))?;
    let before = host.records.load(id).await.map_err(|error| unavailable(&error))?;
    let terms = Terms {
        id,
        owner: &host.owner,
        wanted,
        image: image.as_ref().map(|facts| &facts.id),
        replace,
        before: &before,
        from,
        now: host.clock.now().wall,
    };
    let taken = take_over(&terms, &candidates)
        .map_err(|why| ApiError::new(ApiErrorKind::Conflict, format!("{id}: {why}")))?;
    let told = |one: &Candidate| AdoptedContainer {
        name: one.container.name.clone(),
        id: one.container.id.short().to_owned(),
        state: state_of(one),
    };
    deed.report.services.push(ServiceAdoption {
        service: id.to_string(),
        containers: candidates.iter().map(told).collect(),
        consequence: taken.consequence,
        differences: taken.differences,
    });
    if candidates.iter().any(|one| one.container.baked.as_ref().is_some_and(|baked| baked.auto_remove)) {
        deed.report.notes.push(format!("{id} was started with --rm: the engine removes it when it ends"));
    }
    note_down(id, wanted, &candidates, taken.consequence, deed);
    for (one, labels) in candidates.iter().zip(taken.labels) {
        deed.register.released_containers.remove(&one.container.id);
        deed.register.containers.insert(one.container.id.clone(), labels);
    }
    for kept in &taken.record.revisions {
        deed.keep.push((kept.image.clone(), id.keep_repository(), kept.id.short().to_owned()));
    }
    let changed = Changed { service: id.clone(), record: Some(taken.record), history: vec![taken.history] };
    deed.changed.push(changed);
    Ok(())
}

/// Labels to look with; the real ones follow from what is seen.
fn provisional(host: &Host, id: &ServiceId, wanted: &Revision, image: &ImageId) -> OwnLabels {
    let spec: SpecHash = wanted.hash.clone();
    OwnLabels {
        hook: None,
        job: None,
        owner: host.owner.clone(),
        service: id.clone(),
        slot: 1,
        revision: RevisionId::of(&spec, image),
        spec,
        image: image.clone(),
        image_ref: wanted.spec.container.image.clone(),
        image_digest: None,
        source: wanted.spec.source.label(),
    }
}

fn state_of(one: &Candidate) -> String {
    let word = serde_json::to_value(one.container.status).ok();
    let word = word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned();
    match one.container.status {
        ContainerStatus::Exited => format!("{word} with {}", one.container.exit_code),
        _ => word,
    }
}

fn note_down(
    id: &ServiceId,
    wanted: &Revision,
    candidates: &[Candidate],
    consequence: Consequence,
    deed: &mut Deed,
) {
    let down = candidates.iter().filter(|one| !one.container.status.is_up());
    let restarts = |one: &&Candidate| {
        crate::state::gate::restarts_after(wanted.spec.live.restart, one.container.exit_code)
    };
    for one in down.filter(restarts) {
        deed.report
            .notes
            .push(format!("{} is down, and is started: its restart policy says so", one.container.name));
    }
    let missing = u64::from(wanted.spec.policy.replicas).saturating_sub(candidates.len() as u64);
    if missing > 0 && consequence != Consequence::Held {
        deed.report.notes.push(format!("{id} gets {missing} more containers: deploy.replicas says so"));
    }
}
