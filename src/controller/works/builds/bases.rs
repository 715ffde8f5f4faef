//! What base images are now: by their registry where they come from one, by their id where they are only here.

use std::collections::{BTreeMap, BTreeSet};

use super::site::{Site, lock};
use crate::desired::convert::canonical_image;
use crate::desired::work::answers::Asker;
use crate::desired::work::{BuildSpec, Track};
use crate::engine::registry::registry_of;
use crate::images::registry::Repository;
use crate::state::builds::{Graph, Inputs};
use crate::state::time::Mono;

/// Between two questions about a base image. Milliseconds.
const BASE_MS: u64 = 6 * 3_600_000;
/// After a registry that did not answer. Milliseconds.
const AGAIN_MS: u64 = 5 * 60_000;

/// An answer of a registry.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `None`: it did not answer.
    digest: Option<String>,
    at: Mono,
}

/// The base images of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    /// By name in the Dockerfile.
    pub digests: BTreeMap<String, String>,
    /// What stands in their place while it is built, so that it is made of exactly these.
    pub instead: BTreeMap<String, String>,
    /// Where they may have to be pulled from.
    pub registries: BTreeSet<String>,
}

impl Site {
    /// Finds out what the base images of a build are.
    ///
    /// # Errors
    /// A sentence: one of them is made here, and is not there yet.
    pub(super) async fn bases(
        &self,
        asker: &Asker,
        spec: &BuildSpec,
        names: &BTreeSet<String>,
        graph: &Graph,
        at_once: bool,
    ) -> Result<Bases, String> {
        let mut bases = Bases::default();
        let made_here = graph.stands_on.get(asker);
        let last = self.record(asker).newest().map(|made| made.inputs.clone()).unwrap_or_default();
        for name in names {
            if let Some(maker) = made_here.and_then(|makers| makers.get(name)) {
                let record = self.record(maker);
                let Some(made) = record.newest() else {
                    let maker = crate::state::builds::name_of(maker);
                    return Err(format!("it stands on {maker}, of which there is no image yet"));
                };
                bases.digests.insert(name.clone(), made.image_id.0.clone());
                bases.instead.extend(made.names.first().map(|keep| (name.clone(), keep.clone())));
                continue;
            }
            bases.registries.insert(registry_of(name).to_owned());
            if name.contains('@') || !spec.policy.track.contains(&Track::Base) {
                continue;
            }
            if let Some((digest, instead)) = self.base(name, spec, &last, at_once).await {
                bases.digests.insert(name.clone(), digest);
                bases.instead.extend(instead.map(|instead| (name.clone(), instead)));
            }
        }
        Ok(bases)
    }

    /// `None`: nobody knows what it is. The builder finds out.
    async fn base(
        &self,
        name: &str,
        spec: &BuildSpec,
        last: &Inputs,
        at_once: bool,
    ) -> Option<(String, Option<String>)> {
        let whole = canonical_image(name).ok()?;
        let here = self.engine.inspect_image(&whole).await.ok().flatten();
        let repository = whole.rsplit_once(':').map_or(whole.as_str(), |(name, _)| name);
        let pulled = |digest: &String| digest.split('@').next() == Some(repository);
        if let Some(image) = here.as_ref().filter(|image| !image.digests.iter().any(pulled)) {
            // It was made or brought here by hand: no registry is asked for it.
            return Some((image.id.0.clone(), None));
        }
        let every = spec.policy.base_every_ms.unwrap_or(BASE_MS);
        if let Some(digest) = self.ask_registry(&whole, every, at_once).await {
            let pinned = format!("{repository}@{digest}");
            return Some((digest, Some(pinned)));
        }
        // What was known stands; else what is here.
        let known = last.bases.get(name).cloned();
        let here = || {
            let digest = here.as_ref()?.digests.iter().find(|digest| pulled(digest))?;
            Some(digest.split_once('@')?.1.to_owned())
        };
        let digest = known.or_else(here)?;
        let pinned = digest.starts_with("sha256:").then(|| format!("{repository}@{digest}"));
        Some((digest, pinned))
    }

    async fn ask_registry(&self, image: &str, every: u64, at_once: bool) -> Option<String> {
        let now = self.clock.now().mono;
        let known = lock(&self.asked).get(image).cloned();
        if let Some(known) = &known {
            let pause = if known.digest.is_some() { every } else { AGAIN_MS.min(every) };
            // By hand it is asked again, but not by each of many builds.
            let pause = if at_once { pause.min(10_000) } else { pause };
            if now.since(known.at) < pause {
                return known.digest.clone();
            }
        }
        let (_, tag) = image.rsplit_once(':')?;
        let repository = Repository::of(image)?;
        let digest = match self.registry.find(&repository, tag, None).await {
            Ok(found) => Some(found.digest),
            Err(error) => {
                tracing::debug!(image, %error, "a base image cannot be asked for at its registry");
                // What it was stands until it answers.
                known.and_then(|known| known.digest)
            }
        };
        lock(&self.asked).insert(image.to_owned(), Asked { digest: digest.clone(), at: now });
        digest
    }
}
