//! Everything one pass for one service looks at, read once and then handed on as values.
//!
//! The list only selects; what is believed of a container is a fresh inspect of it (the list is stale, RELIABILITY.md fact 5).
//! An error is an error: it is never read as "nothing there" (invariant I3).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use futures_util::try_join;

use crate::desired::ident::{ServiceId, ServiceName};
use crate::engine::{ContainerFilter, Observe, Result};
use crate::state::observed::{
    ContainerId, ContainerStatus, ContainerSummary, DependencyState, EngineSession, ExecId, ExecSeen,
    ImageFacts, ImageId, NameHolder, ObservedContainer, ObservedNetwork, ObservedService, ObservedVolume,
    Parent, label,
};
use crate::state::plan::{Failure, Lookups, Outcome, Planned, Step};
use crate::state::space::Space;
use crate::state::time::Mono;

/// What a pass knows beside what it asks the engine.
pub struct Surroundings<'a> {
    /// The session every answer of this pass belongs to.
    pub session: EngineSession,
    /// Containers the record calls ours: looked at even when the list no longer shows them under our labels' names.
    pub recorded: &'a BTreeSet<ContainerId>,
    /// How far the services this one depends on are, as their own last passes saw it.
    pub dependencies: BTreeMap<ServiceName, DependencyState>,
    /// The container whose network namespace is shared, as that service's own last pass saw it.
    pub parent: Option<ContainerId>,
    /// The same for other services whose containers are named in the request.
    pub tied: BTreeMap<ServiceName, ContainerId>,
    /// Room where the engine keeps its files.
    pub disk_free: Option<Space>,
}

/// What is around a service's containers: its images, networks and volumes. Nothing a pass does to containers moves them, so one
/// look serves all rounds of a pass, and the passes that events of its containers ask for soon after.
#[derive(Debug, Clone)]
pub struct Scenery {
    /// When it was looked at, as the pass that looked notes it.
    pub at: Option<Mono>,
    /// It is an earlier pass's look.
    pub carried: bool,
    /// The session it was looked at in. Between two sessions anything may have happened unheard, so it serves this one only.
    session: EngineSession,
    /// What was looked for.
    lookups: Lookups,
    images: Images,
    networks: BTreeMap<String, Vec<ObservedNetwork>>,
    volumes: BTreeMap<String, Option<ObservedVolume>>,
    mounted_images: BTreeMap<String, bool>,
}

impl Scenery {
    /// Whether it still is what a look would find, after these steps were taken. A step that failed may have failed because
    /// something is not as it was seen.
    #[must_use]
    pub fn outlasts(step: &Step, outcome: &Outcome) -> bool {
        let moves = match step {
            Step::Pull { .. }
            | Step::Keep { .. }
            | Step::Untag { .. }
            | Step::CreateNetwork(_)
            | Step::RemoveNetwork { .. }
            | Step::CreateVolume(_)
            | Step::Connect { .. }
            | Step::Disconnect { .. } => true,
            Step::Create(_)
            | Step::Start { .. }
            | Step::Stop { .. }
            | Step::SetRestart { .. }
            | Step::SetResources { .. }
            | Step::Deliver { .. }
            | Step::Rename { .. }
            | Step::MakeExec { .. }
            | Step::StartExec { .. }
            | Step::SaveLogs { .. }
            | Step::Remove { .. } => false,
        };
        !moves && !matches!(outcome, Outcome::Failed { .. } | Outcome::NotTried)
    }

    /// The same for another pass.
    #[must_use]
    pub fn carried(self) -> Self {
        Self { carried: true, ..self }
    }

    /// Whether a plan stands on it: then it must be a look of the same pass.
    #[must_use]
    pub fn matters_to(plan: &[Planned]) -> bool {
        let containers_alone = |step: &Step| match step {
            Step::Start { .. }
            | Step::Stop { .. }
            | Step::SetRestart { .. }
            | Step::SetResources { .. }
            | Step::Deliver { .. }
            | Step::Rename { .. }
            | Step::MakeExec { .. }
            | Step::StartExec { .. }
            | Step::SaveLogs { .. }
            | Step::Remove { .. } => true,
            Step::Pull { .. }
            | Step::Keep { .. }
            | Step::Untag { .. }
            | Step::CreateNetwork(_)
            | Step::RemoveNetwork { .. }
            | Step::CreateVolume(_)
            | Step::Create(_)
            | Step::Connect { .. }
            | Step::Disconnect { .. } => false,
        };
        !plan.iter().all(|planned| containers_alone(&planned.step))
    }

    /// A tag of ours that was just set: the one thing that a roll-out changes about images, and it is known how.
    pub fn note_kept(&mut self, tag: &str, image: &ImageId) {
        self.images.2.insert(tag.to_owned(), image.clone());
    }

    async fn look(engine: &dyn Observe, session: EngineSession, lookups: &Lookups) -> Result<Self> {
        let mounted = lookups.mounted_images.iter().map(|reference| async move {
            Ok((reference.clone(), engine.inspect_image(reference).await?.is_some()))
        });
        let (images, networks, volumes, mounted_images) = try_join!(
            images(engine, lookups),
            networks(engine, &lookups.networks),
            volumes(engine, &lookups.volumes),
            try_join_all(mounted),
        )?;
        let mounted_images = mounted_images.into_iter().collect();
        let lookups = lookups.clone();
        Ok(Self { at: None, carried: false, session, lookups, images, networks, volumes, mounted_images })
    }

    /// The same things are looked for, of the same engine. An image that the record keeps since then is one that was seen under its
    /// reference.
    fn serves(&self, session: EngineSession, lookups: &Lookups) -> bool {
        let Lookups { image, kept_images, keep_repository, networks, volumes, mounted_images, .. } = lookups;
        let known = |id: &ImageId| {
            self.lookups.kept_images.contains(id) || self.images.0.as_ref().is_some_and(|seen| seen.id == *id)
        };
        self.session == session
            && self.lookups.image == *image
            && self.lookups.keep_repository == *keep_repository
            && self.lookups.networks == *networks
            && self.lookups.volumes == *volumes
            && self.lookups.mounted_images == *mounted_images
            && kept_images.iter().all(known)
    }

    /// Those of the kept images that are there.
    fn kept(&self, lookups: &Lookups) -> BTreeMap<ImageId, ImageFacts> {
        let (wanted, kept, _) = &self.images;
        let of = |id: &ImageId| kept.get(id).or_else(|| wanted.as_ref().filter(|seen| seen.id == *id));
        lookups.kept_images.iter().filter_map(|id| Some((id.clone(), of(id)?.clone()))).collect()
    }
}

/// Observes one service. Independent look-ups run at the same time: a pass costs the slowest, not the sum.
///
/// # Errors
/// The first look-up that failed. A pass without a whole view decides nothing.
pub async fn observe(
    engine: &dyn Observe,
    owner: &str,
    id: &ServiceId,
    lookups: &Lookups,
    known: Surroundings<'_>,
) -> Result<ObservedService> {
    observe_again(engine, owner, id, lookups, known, &mut None).await
}

/// The same in a later round of a pass: what is around the containers is not looked at again while `scenery` holds it, of the
/// same session.
///
/// # Errors
/// See [`observe`].
pub async fn observe_again(
    engine: &dyn Observe,
    owner: &str,
    id: &ServiceId,
    lookups: &Lookups,
    known: Surroundings<'_>,
    scenery: &mut Option<Scenery>,
) -> Result<ObservedService> {
    let held = scenery.take().filter(|held| held.serves(known.session, lookups));
    let around = async {
        match held {
            Some(held) => Ok(held),
            None => Scenery::look(engine, known.session, lookups).await,
        }
    };
    let tied = known.tied.iter().map(|(name, id)| async move {
        Ok(parent(engine, Some(id)).await?.map(|found| (name.clone(), found)))
    });
    let (containers, around, parent, execs, hook_images, tied) = try_join!(
        containers(engine, owner, id, lookups, known.recorded),
        around,
        parent(engine, known.parent.as_ref()),
        execs(engine, &lookups.execs),
        hook_images(engine, &lookups.hook_images),
        try_join_all(tied),
    )?;
    let (containers, name_holders) = containers;
    let (hooks, containers) = containers.into_iter().partition(|found| found.labels.hook.is_some());
    let observed = ObservedService {
        session: known.session,
        containers,
        hooks,
        execs,
        hook_images,
        name_holders,
        image: around.images.0.clone(),
        kept_images: around.kept(lookups),
        keep_tags: around.images.2.clone(),
        networks: around.networks.clone(),
        volumes: around.volumes.clone(),
        parent,
        tied: tied.into_iter().flatten().collect(),
        mounted_images: around.mounted_images.clone(),
        foreign: BTreeMap::new(),
        dependencies: known.dependencies,
        disk_free: known.disk_free,
    };
    *scenery = Some(around);
    Ok(observed)
}

/// Lists everything that claims to be of this service.
pub fn service_filter(owner: &str, id: &ServiceId) -> ContainerFilter {
    let labels =
        [(label::OWNER, owner), (label::PROJECT, id.project.as_str()), (label::SERVICE, id.service.as_str())];
    ContainerFilter {
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..ContainerFilter::default()
    }
}

async fn containers(
    engine: &dyn Observe,
    owner: &str,
    id: &ServiceId,
    lookups: &Lookups,
    recorded: &BTreeSet<ContainerId>,
) -> Result<(Vec<ObservedContainer>, BTreeMap<String, NameHolder>)> {
    let filter = service_filter(owner, id);
    // "Absent" needs both: a recorded container is asked for by its id whether the list shows it or not. So those, which are
    // mostly all there are, need not wait for the list.
    let (listed, known) = try_join!(
        engine.list_containers(&filter),
        try_join_all(recorded.iter().map(|candidate| own(engine, candidate))),
    )?;
    let strange: BTreeSet<ContainerId> =
        listed.into_iter().map(|row| row.id).filter(|id| !recorded.contains(id)).collect();
    let found = try_join_all(strange.iter().map(|candidate| own(engine, candidate))).await?;
    let mut ours: Vec<ObservedContainer> = known.into_iter().chain(found).flatten().collect();
    ours.sort_by(|a, b| a.id.cmp(&b.id));
    ours.retain(|container| {
        let mine = is_ours(container, owner, id, recorded, &lookups.names);
        if !mine {
            tracing::warn!(
                service = %id, container = container.name, id = container.id.short(),
                "this container carries our labels but neither its name nor its id is ours: left alone"
            );
        }
        mine
    });
    let held: BTreeSet<&str> = ours.iter().map(|container| container.name.as_str()).collect();
    let free: BTreeSet<&String> = lookups.names.iter().filter(|name| !held.contains(name.as_str())).collect();
    // The one look at the whole host, and only when a name is wanted that none of ours holds.
    let holders = if free.is_empty() {
        BTreeMap::new()
    } else {
        let everything = engine.list_containers(&ContainerFilter::default()).await?;
        name_holders(&everything, &free, &ours)
    };
    Ok((ours, holders))
}

/// A container without our labels is none of ours, even when a record names its id.
async fn own(engine: &dyn Observe, id: &ContainerId) -> Result<Option<ObservedContainer>> {
    match engine.inspect(id).await {
        Err(error) if error.kind == Failure::Conflict => Ok(None),
        answer => answer,
    }
}

/// Labels alone are not enough, anybody can copy them (RELIABILITY.md V8): the name must be one that the labels imply or
/// that is wanted, or the id one that we recorded when we made it.
#[must_use]
pub fn is_ours(
    container: &ObservedContainer,
    owner: &str,
    id: &ServiceId,
    recorded: &BTreeSet<ContainerId>,
    wanted: &BTreeSet<String>,
) -> bool {
    let labels = &container.labels;
    let claimed = labels.owner == owner && labels.service == *id && labels.job.is_none();
    if claimed && let Some(hook) = &labels.hook {
        let plain = format!("{}-{}-{hook}", id.project, id.service);
        return recorded.contains(&container.id) || implied(&container.name, &plain);
    }
    if !claimed {
        return false;
    }
    recorded.contains(&container.id)
        || implied(&container.name, &id.container_name(labels.slot))
        || wanted.iter().any(|name| implied(&container.name, name))
}

/// `<plain>` or `<plain>.<8 hex digits>...`.
fn implied(name: &str, plain: &str) -> bool {
    let Some(rest) = name.strip_prefix(plain) else { return false };
    let Some(suffix) = rest.strip_prefix('.') else { return rest.is_empty() };
    suffix.get(..8).is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn name_holders(
    everything: &[ContainerSummary],
    wanted: &BTreeSet<&String>,
    ours: &[ObservedContainer],
) -> BTreeMap<String, NameHolder> {
    let mut holders = BTreeMap::new();
    for row in everything.iter().filter(|row| ours.iter().all(|own| own.id != row.id)) {
        for name in row.names.iter().filter(|name| wanted.contains(name)) {
            let holder = NameHolder {
                id: row.id.clone(),
                owner: row.labels.get(label::OWNER).cloned(),
                compose_project: row.labels.get(label::COMPOSE_PROJECT).cloned(),
            };
            holders.insert(name.clone(), holder);
        }
    }
    holders
}

type Images = (Option<ImageFacts>, BTreeMap<ImageId, ImageFacts>, BTreeMap<String, ImageId>);

async fn images(engine: &dyn Observe, lookups: &Lookups) -> Result<Images> {
    let wanted = async {
        match &lookups.image {
            Some(reference) => engine.inspect_image(reference).await,
            None => Ok(None),
        }
    };
    let kept = try_join_all(lookups.kept_images.iter().map(|id| engine.inspect_image(&id.0)));
    let tags = async {
        if lookups.keep_repository.is_empty() {
            return Ok(BTreeMap::new());
        }
        engine.repository_tags(&lookups.keep_repository).await
    };
    let (wanted, kept, tags) = try_join!(wanted, kept, tags)?;
    let kept = kept.into_iter().flatten().map(|image| (image.id.clone(), image)).collect();
    Ok((wanted, kept, tags))
}

async fn execs(
    engine: &dyn Observe,
    wanted: &BTreeSet<ExecId>,
) -> Result<BTreeMap<ExecId, Option<ExecSeen>>> {
    let looks = wanted.iter().map(|exec| async move { Ok((exec.clone(), engine.inspect_exec(exec).await?)) });
    Ok(try_join_all(looks).await?.into_iter().collect())
}

async fn hook_images(
    engine: &dyn Observe,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, Option<ImageFacts>>> {
    let looks = wanted
        .iter()
        .map(|reference| async move { Ok((reference.clone(), engine.inspect_image(reference).await?)) });
    Ok(try_join_all(looks).await?.into_iter().collect())
}

async fn networks(
    engine: &dyn Observe,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<ObservedNetwork>>> {
    let looks =
        names.iter().map(|name| async move { Ok((name.clone(), engine.networks_named(name).await?)) });
    Ok(try_join_all(looks).await?.into_iter().collect())
}

async fn volumes(
    engine: &dyn Observe,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Option<ObservedVolume>>> {
    let looks = names.iter().map(|name| async move { Ok((name.clone(), engine.volume(name).await?)) });
    Ok(try_join_all(looks).await?.into_iter().collect())
}

/// The parent's own last pass told which container it is; whether that one still runs is asked afresh, because a container
/// joined to a dead namespace is worse than one that waits.
async fn parent(engine: &dyn Observe, container: Option<&ContainerId>) -> Result<Option<Parent>> {
    let Some(id) = container else { return Ok(None) };
    Ok(own(engine, id).await?.map(|container| Parent {
        running: container.status == ContainerStatus::Running,
        started_at: container.started_at,
        id: container.id,
        name: container.name,
    }))
}

#[cfg(test)]
mod tests {
    use super::implied;

    #[test]
    fn a_name_is_implied_plain_or_with_eight_digits_of_its_revision() {
        let plain = "shop-web-1";
        for name in ["shop-web-1", "shop-web-1.0a1b2c3d", "shop-web-1.0a1b2c3d.2"] {
            assert!(implied(name, plain), "{name}");
        }
        for name in ["shop-web-10", "shop-web-1.", "shop-web-1.old", "shop-web-1-0a1b2c3d", "x-shop-web-1"] {
            assert!(!implied(name, plain), "{name}");
        }
    }
}
