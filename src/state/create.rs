//! Making a container beside the one that serves: image, keep-tag, name, create.

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::live;
use super::observed::{ContainerId, ImageFacts, NameHolder, ObservedService, OwnLabels};
use super::plan::{Creation, Step};
use super::record::KeptRevision;
use super::roll::{Roll, Slot, View};
use super::target;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::spec::{MountSource, NetworkMode, ServiceSpec};
use std::collections::BTreeMap;

/// The image of a kept revision, if it is on the host.
pub(super) fn image_of<'a>(observed: &'a ObservedService, kept: &KeptRevision) -> Option<&'a ImageFacts> {
    observed
        .image
        .as_ref()
        .filter(|facts| facts.id == kept.image)
        .or_else(|| observed.kept_images.get(&kept.image))
}

impl<'a> Pass<'a> {
    pub(super) fn create(&mut self, slot: u32, roll: &Roll<'_>, view: &View<'a>) -> Slot {
        let Some(image) = image_of(self.inputs.observed, roll.kept).cloned() else {
            return self.fetch_again(roll);
        };
        if let Some(missing) = self.missing_mounted_image(roll) {
            return self.fetch(&missing, None, "a mounted image", "it mounts this image");
        }
        let name = match self.free_name(slot, roll) {
            Ok(name) => name,
            Err(condition) => return Slot::Down(condition),
        };
        self.keep_image(roll.kept);
        let kept = roll.kept;
        let source = kept.spec.source.label();
        let labels = OwnLabels {
            owner: self.inputs.owner.to_owned(),
            service: self.inputs.id.clone(),
            slot,
            revision: kept.id.clone(),
            spec: kept.hash.clone(),
            image: kept.image.clone(),
            image_ref: kept.spec.container.image.clone(),
            image_digest: kept.digest.clone(),
            source,
            hook: None,
            job: None,
        };
        let creation = Creation {
            name,
            spec: kept.spec.container.clone(),
            live: kept.spec.live.clone(),
            labels,
            network_ids: self.network_ids_of(roll.spec()),
            parent: self.parent_of(roll.spec()),
            tied: self.tied_to(roll.spec()),
            inherited: inherited(kept, &image, view),
            image,
        };
        let why = match self.drift_cause(view) {
            Some(cause) => cause,
            None if roll.committed => "it is missing".to_owned(),
            None => kept.cause.clone(),
        };
        self.step(Some(slot), Step::Create(Box::new(creation)), why);
        Slot::Busy
    }

    pub(super) fn network_ids_of(&self, spec: &ServiceSpec) -> std::collections::BTreeMap<String, String> {
        let (observed, owner) = (self.inputs.observed, self.inputs.owner);
        let names = spec.live.networks.keys();
        names.filter_map(|name| Some((name.clone(), live::network_id(observed, name, owner)?))).collect()
    }

    /// Anonymous volumes for a hook's own container: those of whoever serves, so that it sees their data and leaves none behind.
    pub(super) fn inherited_for_hook(
        &self,
        kept: &KeptRevision,
        image: &ImageFacts,
    ) -> std::collections::BTreeMap<String, String> {
        let others = self.inputs.observed.containers.iter().filter(|found| found.labels.slot == 1).collect();
        inherited(kept, image, &View { current: None, others })
    }

    pub(super) fn parent_of(&self, spec: &ServiceSpec) -> Option<super::observed::ContainerId> {
        match spec.container.network_mode {
            NetworkMode::Service(_) => self.inputs.observed.parent.as_ref().map(|parent| parent.id.clone()),
            _ => None,
        }
    }

    pub(super) fn tied_to(&self, spec: &ServiceSpec) -> BTreeMap<ServiceName, ContainerId> {
        let tied = &self.inputs.observed.tied;
        let of = |name: &ServiceName| Some((name.clone(), tied.get(name)?.id.clone()));
        spec.container.extra.ties().filter_map(|(name, _)| of(name)).collect()
    }

    /// An image that is mounted and not on the host.
    fn missing_mounted_image(&self, roll: &Roll<'_>) -> Option<String> {
        let here = &self.inputs.observed.mounted_images;
        let mut references = roll.spec().container.mounts.values().filter_map(|mount| match &mount.source {
            MountSource::Image { reference, .. } => Some(reference),
            _ => None,
        });
        references.find(|reference| here.get(*reference) != Some(&true)).cloned()
    }

    /// The tag that keeps the image of a revision on the host (I11).
    pub(super) fn keep_image(&mut self, kept: &KeptRevision) {
        let tag = kept.id.short().to_owned();
        if self.inputs.observed.keep_tags.get(&tag) == Some(&kept.image) {
            return;
        }
        let repository = self.inputs.id.keep_repository();
        self.step(None, Step::Keep { image: kept.image.clone(), repository, tag }, "so that its image stays");
    }

    /// The image of a revision that should run is gone from the host (somebody pruned): by digest where one is known.
    fn fetch_again(&mut self, roll: &Roll<'_>) -> Slot {
        let kept = roll.kept;
        let image = kept.digest.clone().unwrap_or_else(|| kept.spec.container.image.clone());
        let platform = kept.spec.container.platform.clone();
        self.fetch(&image, platform, "its image", "its image is gone from this host")
    }

    /// Pulls an image that a container cannot be made without; not more often than a registry likes.
    fn fetch(&mut self, image: &str, platform: Option<String>, what: &str, why: &str) -> Slot {
        let now = self.inputs.now.mono;
        let due = match &self.memo.pull {
            Some(trouble) => trouble.last.after(target::backoff_ms(trouble.count, 300_000)),
            None => now,
        };
        let text = match &self.memo.pull {
            Some(trouble) => {
                format!("{what} {image} is not on this host and cannot be pulled: {}", trouble.text)
            }
            None => format!("{what} {image} is not on this host"),
        };
        if now < due {
            self.look_at(due);
            return Slot::Down(Condition::new(ConditionKind::Failed, "NoFallback", text));
        }
        self.step(None, Step::Pull { image: image.to_owned(), platform }, why);
        Slot::Busy
    }

    /// A name for the new container: the plain one when it is free, else one that tells the revision.
    fn free_name(&self, slot: u32, roll: &Roll<'_>) -> Result<String, Condition> {
        let plain = target::plain_name(self.inputs.id, roll.spec(), slot);
        if let Some(holder) = self.inputs.observed.name_holders.get(&plain) {
            return Err(conflict(&self.inputs.id.project, &plain, holder));
        }
        let taken =
            |name: &str| self.inputs.observed.containers.iter().any(|container| container.name == name);
        if !taken(&plain) {
            return Ok(plain);
        }
        let staged = staged_name(&plain, roll.kept);
        let numbered = (2..100).map(|number| format!("{staged}-{number}"));
        Ok(std::iter::once(staged.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(staged))
    }
}

/// `<plain>.<hash8>`: a container that is not, or no longer, the serving one of its slot.
#[must_use]
pub fn staged_name(plain: &str, kept: &KeptRevision) -> String {
    format!("{plain}.{}", kept.id.short())
}

/// Anonymous volumes of the predecessor, for the same targets: data is handed over, never copied or dropped.
fn inherited(
    kept: &KeptRevision,
    image: &ImageFacts,
    view: &View<'_>,
) -> std::collections::BTreeMap<String, String> {
    let mounts = &kept.spec.container.mounts;
    let declared = mounts
        .iter()
        .filter(|(_, mount)| matches!(mount.source, MountSource::Volume { name: None, .. }))
        .map(|(target, _)| target);
    let from_image = image
        .volumes
        .iter()
        .filter(|target| !mounts.contains_key(*target) && !kept.spec.container.tmpfs.contains_key(*target));
    let newest = view.others.iter().max_by_key(|other| (other.started_at, other.created_at));
    let Some(predecessor) = newest else { return std::collections::BTreeMap::new() };
    declared
        .chain(from_image)
        .filter_map(|target| Some((target.clone(), predecessor.volumes.get(target)?.clone())))
        .collect()
}

fn conflict(project: &ProjectName, name: &str, holder: &NameHolder) -> Condition {
    let whose = match (&holder.owner, &holder.compose_project) {
        (Some(owner), _) => format!("evenkeel instance `{owner}`"),
        (None, Some(project)) => format!("Compose project `{project}`"),
        (None, None) => "nobody evenkeel knows".to_owned(),
    };
    let of_compose = holder.compose_project.as_deref().filter(|_| holder.owner.is_none());
    let adopt = match of_compose == Some(project.as_str()) {
        true => format!("`evenkeel adopt {project}` takes it over as it runs; else "),
        false => String::new(),
    };
    let text = format!(
        "the name {name} is held by container {}, which belongs to {whose} and is not touched: {adopt}`docker rename {name} {name}-old` or remove it, or give the service another container_name",
        holder.id.short()
    );
    Condition::new(ConditionKind::Failed, "NameConflict", text)
}

/// Does `name` tell a container of this slot: the plain name or one staged beside it?
#[must_use]
pub fn name_fits(id: &ServiceId, container_name: Option<&str>, slot: u32, name: &str) -> bool {
    let fits =
        |plain: &str| name == plain || name.strip_prefix(plain).is_some_and(|rest| rest.starts_with('.'));
    fits(&id.container_name(slot)) || container_name.is_some_and(fits)
}
