//! Images and the registry they are pulled from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::fault::Op;
use super::host::Host;
use crate::engine::{EngineError, EventKind, Result};
use crate::state::observed::{ImageFacts, ImageId};
use crate::state::plan::Failure;

/// What can be pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// By full reference: `nginx:1.27`.
    pub images: BTreeMap<String, ImageFacts>,
    /// Every reference exists, with an image made up from it.
    pub any: bool,
    /// Nothing answers.
    pub down: bool,
    /// References that are refused for want of credentials.
    pub private: BTreeSet<String>,
    /// Milliseconds one pull takes.
    pub pull_takes: u64,
    /// What was made up because `any` allowed it.
    pub assumed: BTreeSet<String>,
}

/// A reference as the engine resolves it: without the default registry, with a tag. `nginx` is `nginx:latest`.
#[must_use]
pub fn full_reference(reference: &str) -> String {
    if reference.starts_with("sha256:") {
        return reference.to_owned();
    }
    let short = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains('@') || last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
}

/// An image made up from a name: the same name gives the same image.
#[must_use]
pub fn made_up(name: &str) -> ImageFacts {
    let sum = |what: &str| format!("sha256:{}", hex::encode(Sha256::digest(format!("{what} {name}"))));
    let reference = full_reference(name);
    let (repository, digest) = match reference.split_once('@') {
        Some((repository, digest)) => (repository.to_owned(), digest.to_owned()),
        None => (repository_of(&reference).to_owned(), sum("manifest")),
    };
    ImageFacts {
        id: ImageId(sum("image")),
        digests: vec![format!("{repository}@{digest}")],
        tags: if reference.contains('@') { Vec::new() } else { vec![reference] },
        has_healthcheck: false,
        size: 10_000_000,
        architecture: "amd64".to_owned(),
        volumes: BTreeSet::new(),
        defaults: Some(Arc::default()),
    }
}

/// `registry:5000/app:1` without its tag.
fn repository_of(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

/// The image of a reference, an id, or the beginning of one, among these.
#[must_use]
pub fn resolve<'a>(images: &'a BTreeMap<ImageId, ImageFacts>, reference: &str) -> Option<&'a ImageFacts> {
    if let Some(facts) = images.get(&ImageId(reference.to_owned())) {
        return Some(facts);
    }
    let full = full_reference(reference);
    // A tag beside a digest says nothing.
    let pinned = full.split_once('@').map(|(name, digest)| format!("{}@{digest}", repository_of(name)));
    let named = |facts: &&ImageFacts| {
        facts.tags.contains(&full)
            || facts.digests.contains(&full)
            || pinned.as_ref().is_some_and(|pinned| facts.digests.contains(pinned))
    };
    images.values().find(named).or_else(|| {
        let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
        let is_short_id = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let starts =
            |facts: &&ImageFacts| facts.id.0.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits));
        if is_short_id { images.values().find(starts) } else { None }
    })
}

/// The tags of a repository among these images.
#[must_use]
pub fn tags_of(images: &BTreeMap<ImageId, ImageFacts>, repository: &str) -> BTreeMap<String, ImageId> {
    let mut found = BTreeMap::new();
    for facts in images.values() {
        for reference in facts.tags.iter().filter(|reference| repository_of(reference) == repository) {
            let tag = reference.get(repository.len() + 1..).unwrap_or_default();
            found.insert(tag.to_owned(), facts.id.clone());
        }
    }
    found
}

impl Host {
    /// Puts an image into the registry under a reference; a tag that was there moves.
    pub fn publish(&mut self, reference: &str, facts: ImageFacts) {
        self.registry.images.insert(full_reference(reference), facts);
    }

    /// Puts an image on the host, tagged as its facts say.
    pub fn load_image(&mut self, facts: ImageFacts) -> ImageId {
        let id = facts.id.clone();
        for tag in &facts.tags {
            self.drop_tag(tag);
        }
        self.images.insert(id.clone(), facts);
        id
    }

    /// The local image of a reference, an id, or the beginning of one.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<&ImageFacts> {
        resolve(&self.images, reference)
    }

    /// References that were pulled although nothing is known of them.
    #[must_use]
    pub fn assumed_images(&self) -> &BTreeSet<String> {
        &self.registry.assumed
    }

    pub fn inspect_image(&mut self, reference: &str) -> Result<Option<ImageFacts>> {
        self.read(Op::InspectImage, reference, |host| Ok(host.resolve(reference).cloned()))
    }

    pub fn repository_tags(&mut self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.read(Op::RepositoryTags, repository, |host| Ok(tags_of(&host.images, repository)))
    }

    pub(super) fn run_pull(&mut self, image: &str) -> Result<ImageFacts> {
        let error = |kind, text: String| Err(EngineError::new(Op::Pull.as_str(), image, kind, text));
        let reference = full_reference(image);
        self.advance(self.registry.pull_takes);
        if self.registry.down {
            return error(Failure::Registry, "dial tcp: connect: connection refused".to_owned());
        }
        if self.registry.private.contains(&reference) {
            return error(Failure::Unauthorized, "pull access denied: authentication required".to_owned());
        }
        let Some(facts) = self.offered(&reference) else {
            return error(Failure::NotFound, format!("manifest for {reference} not found: manifest unknown"));
        };
        if self.disk_full {
            return error(Failure::NoSpace, "write: no space left on device".to_owned());
        }
        let facts = self.take_in(&reference, facts);
        self.emit(EventKind::Image, "pull", &reference, BTreeMap::new());
        Ok(facts)
    }

    /// What the registry has under a reference.
    fn offered(&mut self, reference: &str) -> Option<ImageFacts> {
        if let Some(facts) = self.registry.images.get(reference) {
            return Some(facts.clone());
        }
        let by_digest = |facts: &&ImageFacts| facts.digests.iter().any(|digest| digest == reference);
        if let Some(facts) = self.registry.images.values().find(by_digest) {
            return Some(facts.clone());
        }
        if !self.registry.any {
            return None;
        }
        // What is here already is taken to be what the registry has: nothing says otherwise.
        let local = self.resolve(reference).cloned();
        if local.is_none() {
            self.registry.assumed.insert(reference.to_owned());
        }
        Some(local.unwrap_or_else(|| made_up(reference)))
    }

    /// Stores a pulled image; the tag moves to it from whichever image had it.
    fn take_in(&mut self, reference: &str, offered: ImageFacts) -> ImageFacts {
        let by_tag = !reference.contains('@');
        if by_tag {
            self.drop_tag(reference);
        }
        let stored = self
            .images
            .entry(offered.id.clone())
            .or_insert_with(|| ImageFacts { tags: Vec::new(), ..offered.clone() });
        if by_tag && !stored.tags.iter().any(|tag| tag == reference) {
            stored.tags.push(reference.to_owned());
        }
        for digest in offered.digests {
            if !stored.digests.contains(&digest) {
                stored.digests.push(digest);
            }
        }
        stored.clone()
    }

    pub(super) fn drop_tag(&mut self, reference: &str) {
        for facts in self.images.values_mut() {
            facts.tags.retain(|tag| tag != reference);
        }
    }

    pub(super) fn run_tag(&mut self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        let reference = format!("{repository}:{tag}");
        if !self.images.contains_key(image) {
            let text = format!("No such image: {}", image.0);
            return Err(EngineError::new(Op::Tag.as_str(), reference, Failure::NotFound, text));
        }
        self.drop_tag(&reference);
        if let Some(facts) = self.images.get_mut(image) {
            facts.tags.push(reference.clone());
        }
        self.emit(EventKind::Image, "tag", &reference, BTreeMap::new());
        Ok(())
    }

    pub(super) fn run_untag(&mut self, reference: &str) -> Result<()> {
        let full = full_reference(reference);
        let Some(id) = self.resolve(&full).map(|facts| facts.id.clone()) else { return Ok(()) };
        let user = self.containers.values().find(|container| container.image == id);
        let Some(facts) = self.images.get_mut(&id) else { return Ok(()) };
        let names = facts.tags.len();
        let last_in_use = names <= 1 && user.is_some();
        if let (Some(user), true) = (user, last_in_use && !self.profile.untags_the_last_name_in_use) {
            let text = format!(
                "unable to remove repository reference (must force): container {} uses it",
                user.id.short()
            );
            return Err(EngineError::new(Op::Untag.as_str(), full, Failure::Conflict, text));
        }
        facts.tags.retain(|tag| *tag != full);
        if facts.tags.is_empty() && !last_in_use {
            self.images.remove(&id);
            self.emit(EventKind::Image, "delete", &id.0, BTreeMap::new());
        } else {
            self.emit(EventKind::Image, "untag", &id.0, BTreeMap::new());
        }
        Ok(())
    }
}
