//! What may go so that the disk does not fill: images that nobody uses any more, and containers of ours that nothing needs.
//!
//! An image goes only when it is shown to be ours and out of use. It is in use when a container of anybody was made of it, when a kept revision
//! has it, or when a name of it is one that the files (or an answer: an image that was chosen or built) say. It is ours when every name of it is: a
//! tag in a repository of our services that a service of ours has had, or our own keep-tag; a name by digest in such a repository; or, without
//! any name, our label on it. What was superseded a moment ago is not old: an image's time counts from the look that first found it unused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::observed::{ContainerId, ContainerStatus, ImageId, label};
use super::record::{Record, RevisionId};
use super::time::Timestamp;
use crate::desired::PruneImages;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{MountSource, ServiceSpec};

/// An image without any name may be one that is being built: this long it is left alone. Milliseconds.
const NAMELESS_MS: i64 = 10 * 60_000;
/// What a container of ours without a service is left alone for: whoever made it may still want it. Milliseconds.
const ONE_OFF_MS: i64 = 3_600_000;

/// One image on the host, whoever brought it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredImage {
    pub id: String,
    pub tags: Vec<String>,
    /// `name@sha256:...`.
    pub digests: Vec<String>,
    pub created: Timestamp,
    /// Bytes, layers that others share included.
    pub size: u64,
    pub labels: BTreeMap<String, String>,
}

/// One container on the host, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContainer {
    pub id: ContainerId,
    pub name: String,
    pub image: ImageId,
    pub status: ContainerStatus,
    pub labels: BTreeMap<String, String>,
    pub created: Timestamp,
    /// Names of the volumes that it mounts, anonymous ones included.
    pub volumes: BTreeSet<String>,
}

/// What the engine keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    pub images: Vec<StoredImage>,
    pub containers: Vec<StoredContainer>,
}

/// Which images stay that nobody uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Images of each repository that stay beside the one that serves; those of kept revisions, which stay in any case, are counted in.
    pub keep: u32,
    /// Those that have not been unused for so long stay. Milliseconds.
    pub older_than_ms: u64,
}

impl From<PruneImages> for Rule {
    fn from(said: PruneImages) -> Self {
        Self { keep: said.keep.unwrap_or_default(), older_than_ms: said.older_than_ms.unwrap_or_default() }
    }
}

/// What it is judged by.
#[derive(Debug)]
pub struct Grounds<'a> {
    pub owner: &'a str,
    pub now: Timestamp,
    pub rule: Rule,
    pub records: &'a BTreeMap<ServiceId, Record>,
    /// References that the files and answers say.
    pub wanted: &'a BTreeSet<String>,
    /// References that services of ours have had.
    pub had: &'a BTreeSet<String>,
    /// Since when images have been found unused, as the look before this one left it.
    pub unused: &'a BTreeMap<ImageId, Timestamp>,
    /// Services that the files want left as they are.
    pub paused: &'a BTreeSet<ServiceId>,
}

/// One thing that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Disposal {
    Image {
        id: ImageId,
        /// What is taken off it, in turn; the image goes with the last. None: it has no name.
        names: Vec<String>,
        /// Bytes, layers that others share included.
        size: u64,
        why: String,
    },
    Container {
        id: ContainerId,
        name: String,
        why: String,
    },
}

/// What goes, and what to remember for the next look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruning {
    pub goes: Vec<Disposal>,
    /// See [`Grounds::unused`].
    pub unused: BTreeMap<ImageId, Timestamp>,
}

/// Decides. Total; what is not shown to be ours stays.
#[must_use]
pub fn prune(stock: &Stock, grounds: &Grounds<'_>) -> Pruning {
    let mut pruning = Pruning::default();
    let gone = containers(stock, grounds, &mut pruning.goes);
    images(stock, grounds, &gone, &mut pruning);
    pruning
}

/// Every image that a service names: its own, those it mounts, those of its hooks.
pub fn named(spec: &ServiceSpec) -> impl Iterator<Item = &str> {
    let mounted = spec.container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Image { reference, .. } => Some(reference.as_str()),
        _ => None,
    });
    let hooks = spec.container.lifecycle.pre_start.iter().chain(spec.policy.hooks.values().flatten());
    let own = std::iter::once(spec.container.image.as_str());
    own.chain(mounted).chain(hooks.filter_map(|hook| hook.image.as_deref()))
}

/// A reference as the engine's lists write it: Docker Hub is not named, a tag is, and a digest stands without one.
#[must_use]
pub fn familiar(reference: &str) -> String {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let name =
        name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let (path, tag) = split_tag(name);
    match (digest, tag) {
        (Some(digest), _) => format!("{path}@{digest}"),
        (None, Some(tag)) => format!("{path}:{tag}"),
        (None, None) => format!("{path}:latest"),
    }
}

/// A colon before the last slash is a port's.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name.get(last..).and_then(|piece| piece.find(':')) {
        Some(colon) => (name.get(..last + colon).unwrap_or(name), name.get(last + colon + 1..)),
        None => (name, None),
    }
}

/// Name without tag and digest.
fn repository(familiar: &str) -> &str {
    familiar.split_once('@').map_or_else(|| split_tag(familiar).0, |(name, _)| name)
}

/// Containers of ours that have ended, and that nothing can come back to.
fn containers<'s>(
    stock: &'s Stock,
    grounds: &Grounds<'_>,
    goes: &mut Vec<Disposal>,
) -> BTreeSet<&'s ContainerId> {
    let mut gone = BTreeSet::new();
    for container in &stock.containers {
        if let Some(why) = needless(container, grounds) {
            gone.insert(&container.id);
            goes.push(Disposal::Container {
                id: container.id.clone(),
                name: container.name.clone(),
                why: why.to_owned(),
            });
        }
    }
    gone
}

fn needless(container: &StoredContainer, grounds: &Grounds<'_>) -> Option<&'static str> {
    let text = |name: &str| container.labels.get(name).map(String::as_str);
    let down = matches!(
        container.status,
        ContainerStatus::Created | ContainerStatus::Exited | ContainerStatus::Dead
    );
    if !down || text(label::OWNER) != Some(grounds.owner) {
        return None;
    }
    if text(label::COPY).is_some() {
        let old = grounds.now.0.saturating_sub(container.created.0) >= ONE_OFF_MS;
        return old.then_some("files were copied out of its image, and that is long over");
    }
    let id = ServiceId::new(text(label::PROJECT)?, text(label::SERVICE)?)?;
    let revision = RevisionId::parse(text(label::REVISION)?)?;
    let record = grounds.records.get(&id).filter(|_| !grounds.paused.contains(&id))?;
    // Without a good revision nobody knows yet what is needed.
    record.good.as_ref()?;
    let kept = record.revisions.iter().any(|kept| kept.id == revision);
    let noted = record.unsettled.iter().any(|open| open.container == container.id)
        || record.adopted.contains_key(&container.id);
    (!kept && !noted).then_some("its revision is not kept any more")
}

fn images(stock: &Stock, grounds: &Grounds<'_>, gone: &BTreeSet<&ContainerId>, pruning: &mut Pruning) {
    let familiar_all = |references: &BTreeSet<String>| -> BTreeSet<String> {
        references.iter().map(|reference| familiar(reference)).collect()
    };
    let kept = || grounds.records.values().flat_map(|record| &record.revisions);
    let mut wanted = familiar_all(grounds.wanted);
    // What a kept revision mounts, or its hooks need, is named and not bound to an image: the name stays.
    wanted.extend(kept().flat_map(|kept| named(&kept.spec).skip(1)).map(familiar));
    let mut had = familiar_all(grounds.had);
    had.extend(kept().map(|kept| familiar(&kept.spec.container.image)));
    let repositories: BTreeSet<&str> = had.iter().chain(&wanted).map(|name| repository(name)).collect();
    let keeps: BTreeSet<String> = grounds.records.keys().map(ServiceId::keep_repository).collect();
    let used: BTreeSet<&str> = stock
        .containers
        .iter()
        .filter(|container| !gone.contains(&container.id))
        .map(|container| container.image.0.as_str())
        .chain(kept().map(|kept| kept.image.0.as_str()))
        .collect();
    let mut superseded: BTreeMap<String, Vec<&StoredImage>> = BTreeMap::new();
    for image in &stock.images {
        let names = || image.tags.iter().chain(&image.digests).map(|name| familiar(name));
        if used.contains(image.id.as_str()) || names().any(|name| wanted.contains(&name)) {
            continue;
        }
        let made_here = image.labels.get(label::OWNER).is_some_and(|owner| owner == grounds.owner);
        let ours = |name: &String| {
            let repository = repository(name);
            keeps.contains(repository)
                || (repositories.contains(repository)
                    && (name.contains('@') || made_here || had.contains(name)))
        };
        let named = !image.tags.is_empty() || !image.digests.is_empty();
        if if named { !names().all(|name| ours(&name)) } else { !made_here } {
            continue;
        }
        let since = grounds.unused.get(&ImageId(image.id.clone())).copied().unwrap_or(grounds.now);
        pruning.unused.insert(ImageId(image.id.clone()), since);
        let group = names().map(|name| repository(&name).to_owned()).find(|name| !keeps.contains(name));
        superseded.entry(group.unwrap_or_default()).or_default().push(image);
    }
    for (group, mut images) in superseded {
        images.sort_by_key(|image| std::cmp::Reverse((image.created, &image.id)));
        let of_group = kept().filter(|kept| repository(&familiar(&kept.spec.container.image)) == group);
        let held: BTreeSet<&str> = of_group.map(|kept| kept.image.0.as_str()).collect();
        // One of those that are held is the one that serves. What has no name is nothing to go back to.
        let keep = (grounds.rule.keep as usize).saturating_sub(held.len().saturating_sub(1));
        let keep = if group.is_empty() { 0 } else { keep };
        for image in images.into_iter().skip(keep) {
            let id = ImageId(image.id.clone());
            let since = pruning.unused.get(&id).copied().unwrap_or(grounds.now);
            if let Some(why) = old_enough(image, since, grounds) {
                let names = image.tags.iter().chain(&image.digests).cloned().collect();
                pruning.goes.push(Disposal::Image { id, names, size: image.size, why });
            }
        }
    }
}

fn old_enough(image: &StoredImage, since: Timestamp, grounds: &Grounds<'_>) -> Option<String> {
    let age = grounds.now.0.saturating_sub(since.0);
    if age < i64::try_from(grounds.rule.older_than_ms).unwrap_or(i64::MAX) {
        return None;
    }
    if image.tags.is_empty() && image.digests.is_empty() {
        let old = grounds.now.0.saturating_sub(image.created.0) >= NAMELESS_MS;
        return old.then(|| "left over from a build here".to_owned());
    }
    Some("superseded: nothing uses it and no kept revision has it".to_owned())
}
