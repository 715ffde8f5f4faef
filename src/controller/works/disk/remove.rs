//! `evenkeel rm`: a service goes with all trace of it.
//!
//! Its containers, record and tags go the way of every service that no file wants: one pass decides and acts, only that nobody has to
//! consent once more. What goes beyond that (volumes, images) was shown before, by name. What was begun is written down until it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Ground;
use super::prune::{had, records, wanted};
use crate::controller::host::Host;
use crate::controller::objects::owner_filter;
use crate::controller::queue::Reason;
use crate::controller::reconcile::{PassEnd, pass};
use crate::controller::store::{Note, decoded};
use crate::controller::wish::Wish;
use crate::desired::Wanted;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{MountSource, ServiceSpec};
use crate::desired::work::answers::Asker;
use crate::state::observed::{ContainerId, ImageId, label};
use crate::state::prune::{Stock, StoredContainer, familiar, named};
use crate::state::record::Record;
use crate::state::time::Timestamp;

/// Notes: removals that were begun.
const REMOVAL: &str = "removal";
/// Longest that the pass of a removal may take: a stop with its grace, and an engine that comes back. Milliseconds.
const DEADLINE_MS: u64 = 600_000;
const AGAIN_MS: u64 = 500;

/// What is asked to go with the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removing {
    pub volumes: bool,
    pub images: bool,
}

/// What would go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalPlan {
    pub service: String,
    /// Names.
    pub containers: Vec<String>,
    /// Kept revisions, with the tags that keep their images.
    pub revisions: usize,
    /// Every volume it has, and what becomes of it.
    pub volumes: Vec<VolumeFate>,
    /// References.
    pub images: Vec<String>,
    /// Where files still define it: `shop/web.toml:3`.
    pub defined: Option<String>,
    /// Why it cannot be removed now.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFate {
    pub name: String,
    /// Why it stays; `None`: it goes.
    pub stays: Option<String>,
    /// The files declare it: as long as they do, it is made anew, empty.
    pub declared: bool,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalReport {
    pub service: String,
    pub containers: Vec<String>,
    pub volumes: Vec<String>,
    pub images: Vec<String>,
    /// What was asked to go and did not.
    pub left: Vec<String>,
}

/// As it is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Begun {
    containers: Vec<String>,
    volumes: Vec<String>,
    images: Vec<String>,
}

/// Looks at what would go.
///
/// # Errors
/// A sentence: something could not be read, or there is no such service.
pub async fn plan(
    host: &Host,
    ground: &Ground,
    id: &ServiceId,
    asked: Removing,
) -> Result<RemovalPlan, String> {
    let stock = ground.engine.stock().await.map_err(|error| error.to_string())?;
    let wish = host.wish().ok_or("the desired state was not read yet; try again in a moment")?;
    let records = records(host).await?;
    let own = own_containers(host, id).await?;
    let defined = wish.state.services.get(id).map(|wanted| place(wanted, records.get(id)));
    if own.is_empty() && !records.contains_key(id) && defined.is_none() {
        return Err(format!(
            "there is nothing of `{id}` on this host: `evenkeel status` lists what there is"
        ));
    }
    let mut plan = RemovalPlan { service: id.to_string(), defined, ..RemovalPlan::default() };
    plan.containers = own.values().cloned().collect();
    plan.revisions = records.get(id).map_or(0, |record| record.revisions.len());
    plan.trouble = trouble(&wish, id, host.clock.now().wall);
    plan.volumes = volumes(host, &wish, id, &records, &stock, &own, asked.volumes).await?;
    if asked.images {
        plan.images = images(&wish, ground, id, &records, &stock, &own, &had(host, Some(id)).await?);
    }
    Ok(plan)
}

fn place(wanted: &Wanted, record: Option<&Record>) -> String {
    match wanted {
        Wanted::Run(revision) => format!("{}:{}", revision.spec.source.file, revision.spec.source.line),
        Wanted::Frozen(_) => record.map(|record| record.source.clone()).unwrap_or_default(),
    }
}

fn trouble(wish: &Wish, id: &ServiceId, now: Timestamp) -> Option<String> {
    if let Some(file) = wish.state.broken.keys().next() {
        return Some(format!(
            "{file} does not load, so nobody knows what it defines: mend it first (`evenkeel validate`)"
        ));
    }
    let paused = wish.paused(id, wish.state.services.get(id), now);
    paused.map(|_| format!("{id} is paused, or was given back: it is left as it is until that ends"))
}

/// Ours by label or adoption, in every state, by id.
async fn own_containers(host: &Host, id: &ServiceId) -> Result<BTreeMap<ContainerId, String>, String> {
    let rows =
        host.engine.list_containers(&owner_filter(&host.owner)).await.map_err(|error| error.to_string())?;
    let own = rows.into_iter().filter(|row| {
        row.labels.get(label::PROJECT).map(String::as_str) == Some(id.project.as_str())
            && row.labels.get(label::SERVICE).map(String::as_str) == Some(id.service.as_str())
    });
    Ok(own.map(|row| (row.id, row.names.into_iter().next().unwrap_or_default())).collect())
}

/// Volumes with a name that a service mounts.
pub fn named_volumes(spec: &ServiceSpec) -> impl Iterator<Item = &str> {
    spec.container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some(name.as_str()),
        _ => None,
    })
}

async fn volumes(
    host: &Host,
    wish: &Wish,
    id: &ServiceId,
    records: &BTreeMap<ServiceId, Record>,
    stock: &Stock,
    own: &BTreeMap<ContainerId, String>,
    asked: bool,
) -> Result<Vec<VolumeFate>, String> {
    let is_own = |container: &&StoredContainer| own.contains_key(&container.id);
    let mounted: BTreeSet<&str> = stock
        .containers
        .iter()
        .filter(is_own)
        .flat_map(|container| container.volumes.iter().map(String::as_str))
        .collect();
    let mut all = mounted.clone();
    let kept =
        |record: &'_ Record| record.revisions.iter().map(|kept| Arc::clone(&kept.spec)).collect::<Vec<_>>();
    let specs = records.get(id).map(kept).unwrap_or_default();
    all.extend(specs.iter().flat_map(|spec| named_volumes(spec)));
    let mut fates = Vec::new();
    for name in all {
        let Some(volume) = host.engine.volume(name).await.map_err(|error| error.to_string())? else {
            continue;
        };
        let user = stock
            .containers
            .iter()
            .find(|container| !own.contains_key(&container.id) && container.volumes.contains(name));
        let service = wanted_by(wish, records, id, name);
        // The engine's own name for what nobody named.
        let anonymous = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let ours =
            volume.labels.get(label::OWNER) == Some(&host.owner) || (anonymous && mounted.contains(name));
        let stays = match (user, service) {
            (Some(user), _) => Some(format!("container {} uses it", user.name)),
            (None, Some(service)) => Some(format!("{service} uses it")),
            (None, None) if !ours => Some("evenkeel did not make it".to_owned()),
            (None, None) if !asked => Some("--volumes removes it".to_owned()),
            (None, None) => None,
        };
        let declared = wish.state.volumes.contains_key(name);
        fates.push(VolumeFate { name: name.to_owned(), stays, declared });
    }
    Ok(fates)
}

/// Another service that mounts a volume, by what the files say or what may be gone back to.
fn wanted_by(
    wish: &Wish,
    records: &BTreeMap<ServiceId, Record>,
    id: &ServiceId,
    volume: &str,
) -> Option<ServiceId> {
    let mounts = |spec: &ServiceSpec| named_volumes(spec).any(|name| name == volume);
    let by_files = wish.state.services.iter().filter_map(|(other, wanted)| match wanted {
        Wanted::Run(revision) => mounts(&revision.spec).then_some(other),
        Wanted::Frozen(_) => None,
    });
    let chosen =
        wish.state.works.chosen.iter().filter(|(_, chosen)| mounts(&chosen.spec)).map(|(other, _)| other);
    let kept = records
        .iter()
        .filter(|(_, record)| record.revisions.iter().any(|kept| mounts(&kept.spec)))
        .map(|(other, _)| other);
    by_files.chain(chosen).chain(kept).find(|other| *other != id).cloned()
}

/// Names of images that only this service has had.
fn images(
    wish: &Wish,
    ground: &Ground,
    id: &ServiceId,
    records: &BTreeMap<ServiceId, Record>,
    stock: &Stock,
    own: &BTreeMap<ContainerId, String>,
    had: &BTreeSet<String>,
) -> Vec<String> {
    let kept = |one: &ServiceId| records.get(one).into_iter().flat_map(|record| &record.revisions);
    let own_ids: BTreeSet<&ImageId> = kept(id).map(|kept| &kept.image).collect();
    let others = || records.keys().filter(|other| *other != id).flat_map(kept);
    let used: BTreeSet<&str> = stock
        .containers
        .iter()
        .filter(|container| !own.contains_key(&container.id))
        .map(|container| container.image.0.as_str())
        .chain(others().map(|kept| kept.image.0.as_str()))
        .collect();
    let mut without = wish.state.clone();
    without.services.remove(id);
    without.works.chosen.remove(id);
    let mut answers = (*ground.book.answers()).clone();
    answers.0.remove(&Asker::Service(id.clone()));
    let mut needed: BTreeSet<String> =
        wanted(&Wish::new(without, wish.since), &answers).iter().map(|name| familiar(name)).collect();
    needed.extend(others().flat_map(|kept| named(&kept.spec)).map(familiar));
    let mut names: BTreeSet<String> = had.iter().map(|name| familiar(name)).collect();
    names.extend(kept(id).map(|kept| familiar(&kept.spec.container.image)));
    let mut going = Vec::new();
    for image in stock.images.iter().filter(|image| !used.contains(image.id.as_str())) {
        let of_revision = own_ids.iter().any(|own| own.0 == image.id);
        for name in image.tags.iter().chain(&image.digests) {
            let known = familiar(name);
            // By its digest an image of a kept revision is known whatever tag it had.
            let ours = names.contains(&known) || (of_revision && known.contains('@'));
            if ours && !needed.contains(&known) {
                going.push(name.clone());
            }
        }
    }
    going
}

/// Removals that were begun and not ended.
pub async fn begun(host: &Host) -> Result<BTreeMap<ServiceId, Begun>, String> {
    let notes = host.records.notes(REMOVAL).await.map_err(|error| error.to_string())?;
    let notes: BTreeMap<String, Begun> = decoded(REMOVAL, notes);
    Ok(notes.into_iter().filter_map(|(key, begun)| Some((ServiceId::parse(&key)?, begun))).collect())
}

/// Writes down that what was shown is to go.
///
/// # Errors
/// A sentence: it could not be written, so nothing was begun; or it may not go.
pub async fn begin(host: &Host, shown: &RemovalPlan) -> Result<(), String> {
    let wish = host.wish().ok_or("the desired state was not read yet; try again in a moment")?;
    let id = ServiceId::parse(&shown.service).ok_or("that is no service: write PROJECT/SERVICE")?;
    if let Some(trouble) = trouble(&wish, &id, host.clock.now().wall) {
        return Err(trouble);
    }
    let begun = Begun {
        containers: shown.containers.clone(),
        volumes: shown
            .volumes
            .iter()
            .filter(|fate| fate.stays.is_none())
            .map(|fate| fate.name.clone())
            .collect(),
        images: shown.images.clone(),
    };
    let note = Note::of(REMOVAL, &*shown.service, &begun).map_err(|error| error.to_string())?;
    host.records.set_notes(vec![note]).await.map_err(|error| format!("it could not be written down: {error}"))
}

/// Removes what was begun, to its end.
///
/// # Errors
/// A sentence: the service is still there. What was begun is forgotten then, unless evenkeel is being stopped.
pub async fn remove(
    host: &Host,
    ground: &Ground,
    id: &ServiceId,
    begun: Begun,
) -> Result<RemovalReport, String> {
    let ended = to_the_end(host, ground, id, begun).await;
    if !host.stopping()
        && let Err(error) = host.records.set_notes(vec![Note::forget(REMOVAL, id.to_string())]).await
    {
        tracing::warn!(service = %id, %error, "that the removal is over could not be written down");
    }
    ended
}

async fn to_the_end(
    host: &Host,
    ground: &Ground,
    id: &ServiceId,
    begun: Begun,
) -> Result<RemovalReport, String> {
    gone(host, id).await?;
    forget(host, ground, id).await?;
    let mut report =
        RemovalReport { service: id.to_string(), containers: begun.containers, ..RemovalReport::default() };
    for name in begun.volumes {
        // Looked at once more: somebody may have begun to use it.
        let stock = ground.engine.stock().await.map_err(|error| error.to_string())?;
        match stock.containers.iter().find(|container| container.volumes.contains(&name)) {
            Some(user) => report.left.push(format!("volume {name}: container {} uses it", user.name)),
            None => match ground.engine.remove_volume(&name).await {
                Ok(()) => report.volumes.push(name),
                Err(error) => report.left.push(format!("volume {name}: {error}")),
            },
        }
    }
    for name in begun.images {
        match host.engine.untag(&name).await {
            Ok(()) => report.images.push(name),
            Err(error) => report.left.push(format!("image {name}: {error}")),
        }
    }
    Ok(report)
}

/// Passes until nothing is left of it.
async fn gone(host: &Host, id: &ServiceId) -> Result<(), String> {
    let deadline = host.clock.now().mono.after(DEADLINE_MS);
    loop {
        let wish = host.wish().ok_or("the desired state was not read yet")?;
        if wish.state.services.contains_key(id) {
            return Err(format!("files still define {id}: it would come back"));
        }
        host.guard.let_go(&wish, id);
        let report = pass(host, id, &BTreeSet::from([Reason::Operator])).await;
        let recorded = host.records.services().await.map_err(|error| error.to_string())?;
        if report.end == PassEnd::Settled
            && !recorded.contains(id)
            && own_containers(host, id).await?.is_empty()
        {
            return Ok(());
        }
        let now = host.clock.now().mono;
        if now >= deadline || report.end == PassEnd::Stopped {
            let why = host.board.entry(id).map(|entry| entry.status.condition.message).unwrap_or_default();
            return Err(format!("{id} is not gone yet: {why}"));
        }
        let next = match report.end {
            PassEnd::At(at) => at.min(now.after(AGAIN_MS)),
            _ => now.after(AGAIN_MS),
        };
        host.clock.sleep_until(next).await;
    }
}

/// Nothing remembers it any more, but the history.
async fn forget(host: &Host, ground: &Ground, id: &ServiceId) -> Result<(), String> {
    let told = |error: crate::controller::records::RecordsError| error.to_string();
    let changed = vec![(Asker::Service(id.clone()), None)];
    ground.book.write(&*host.records, &host.inbox, changed, Vec::new()).await.map_err(told)?;
    let Some(adopted) = host.engine.adopted() else { return Ok(()) };
    let before = adopted.get();
    let mut register = (*before).clone();
    register.containers.retain(|_, own| own.service != *id);
    register.services.remove(id);
    if register != *before {
        host.records.set_register(&register, &[]).await.map_err(told)?;
        adopted.set(register);
    }
    Ok(())
}
