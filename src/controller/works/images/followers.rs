//! Who follows which repository, read off a desired state.

use std::collections::BTreeMap;

use crate::desired::ident::ServiceId;
use crate::desired::spec::{ServiceSpec, SourcePlace};
use crate::desired::work::answers::{Answer, Asker, name_of};
use crate::desired::work::{ImagePolicy, ImageSource, Pick, Runs, Work};
use crate::desired::{DesiredState, Revision, Wanted};
use crate::images::registry::{Platform, Repository};
use crate::state::images::{Chosen, Ranker, pinned};

/// What is asked together: one repository, for one platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Followable {
    pub repository: Repository,
    /// As the definition has it; `None`: the engine's own.
    pub platform: Option<String>,
}

impl Followable {
    /// The key of its notes.
    pub fn key(&self) -> String {
        let Repository { registry, path } = &self.repository;
        let platform = self.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        format!("{registry}/{path}{platform}")
    }
}

/// A service or a job whose tag is picked.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub asker: Asker,
    /// The image without a tag, as it is written.
    pub name: String,
    pub policy: ImagePolicy,
    /// How the policy ranks; `None`: another service's tag is taken.
    pub ranker: Option<Ranker>,
    /// A digest over all that is wanted but the image.
    pub definition: String,
    pub source: SourcePlace,
    /// With `same_as`: whose tag.
    pub leader: Option<Leader>,
}

/// Whose tag is taken.
#[derive(Debug, Clone)]
pub(super) enum Leader {
    /// Its image is chosen or made.
    Chosen { id: ServiceId, name: String, image: ImageSource },
    /// Its tag is said.
    Said(String),
    /// It has none, for this reason.
    None(String),
}

/// All of them, and those whose image no registry would know.
#[derive(Debug, Default)]
pub(super) struct Followers {
    pub by_place: BTreeMap<Followable, Vec<Follower>>,
    pub unfit: BTreeMap<Asker, String>,
}

impl Followers {
    pub fn of(state: &DesiredState) -> Self {
        let mut all = Self::default();
        for (id, chosen) in &state.works.chosen {
            if let ImageSource::Policy(policy) = &chosen.image {
                all.add(Asker::Service(id.clone()), &chosen.spec, policy, state);
            }
        }
        for (id, work) in &state.works.jobs {
            let Work::Wanted(job) = work else { continue };
            if let Runs::Container { spec, image: ImageSource::Policy(policy) } = &job.runs {
                all.add(Asker::Job(id.clone()), spec, policy, state);
            }
        }
        all
    }

    fn add(&mut self, asker: Asker, spec: &ServiceSpec, policy: &ImagePolicy, state: &DesiredState) {
        let name = name_of(spec).to_owned();
        let Some(repository) = Repository::of(&name) else {
            self.unfit.insert(asker, format!("`{name}` is no image that a registry would know"));
            return;
        };
        let ranker = match Ranker::of(policy) {
            Ok(ranker) => ranker,
            Err(why) => {
                self.unfit.insert(asker, why);
                return;
            }
        };
        let leader = match &policy.pick {
            Pick::SameAs(service) => Some(leader(project_of(&asker), service, state)),
            _ => None,
        };
        let follower = Follower {
            definition: Revision::of(spec.clone()).wish,
            source: spec.source.clone(),
            policy: policy.clone(),
            asker,
            name,
            ranker,
            leader,
        };
        let place = Followable { repository, platform: spec.container.platform.clone() };
        self.by_place.entry(place).or_default().push(follower);
    }

    pub fn all(&self) -> impl Iterator<Item = (&Followable, &Follower)> {
        self.by_place.iter().flat_map(|(place, all)| all.iter().map(move |follower| (place, follower)))
    }
}

impl Follower {
    /// An answer that is one for this image, taken apart.
    pub fn chosen(&self, answer: Option<&Answer>) -> Option<Chosen> {
        pinned(&self.name, &answer?.image)
    }

    pub fn answer(&self, chosen: &Chosen) -> Answer {
        let Chosen { tag, digest } = chosen;
        Answer { image: format!("{}:{tag}@{digest}", self.name), tag: tag.clone(), local: false }
    }

    /// The service, if it is one: a job has no record.
    pub fn service(&self) -> Option<&ServiceId> {
        match &self.asker {
            Asker::Service(id) => Some(id),
            Asker::Job(_) | Asker::Build(_) => None,
        }
    }
}

/// `shop/web`.
pub(super) fn shown(asker: &Asker) -> String {
    match asker {
        Asker::Service(id) => id.to_string(),
        Asker::Job(id) | Asker::Build(id) => id.to_string(),
    }
}

pub(super) fn kind(asker: &Asker) -> &'static str {
    match asker {
        Asker::Service(_) => "service",
        Asker::Job(_) => "job",
        Asker::Build(_) => "build",
    }
}

fn project_of(asker: &Asker) -> &crate::desired::ident::ProjectName {
    match asker {
        Asker::Service(id) => &id.project,
        Asker::Job(id) | Asker::Build(id) => &id.project,
    }
}

fn leader(
    project: &crate::desired::ident::ProjectName,
    service: &crate::desired::ident::ServiceName,
    state: &DesiredState,
) -> Leader {
    let id = ServiceId { project: project.clone(), service: service.clone() };
    if let Some(chosen) = state.works.chosen.get(&id) {
        return Leader::Chosen { id, name: name_of(&chosen.spec).to_owned(), image: chosen.image.clone() };
    }
    match state.services.get(&id) {
        Some(Wanted::Run(revision)) => {
            let image = &revision.spec.container.image;
            match tag_of(image) {
                Some(tag) => Leader::Said(tag),
                None => Leader::None(format!("{id} has no tag: its image is {image}")),
            }
        }
        Some(Wanted::Frozen(_)) => Leader::None(format!("what defines {id} does not load")),
        None => Leader::None(format!("{id} is not wanted on this host")),
    }
}

/// The tag of a reference; `latest` where nothing is said.
fn tag_of(image: &str) -> Option<String> {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rfind('/').map_or(0, |at| at + 1);
    match name.get(last..)?.split_once(':') {
        Some((_, tag)) => Some(tag.to_owned()),
        None => (!digest).then(|| "latest".to_owned()),
    }
}

/// The platform to compare images by.
pub(super) fn platform(said: Option<&str>, os: &str, architecture: &str) -> Option<Platform> {
    match said {
        Some(text) => Platform::read(text),
        None if architecture.is_empty() => None,
        None => Platform::read(&format!("{os}/{architecture}")),
    }
}
