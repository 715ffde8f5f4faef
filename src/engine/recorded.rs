//! What an engine reported once, to be asked again where there is no engine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};

use super::sim::image::{resolve, tags_of};
use super::{
    ContainerFilter, CountUp, EngineError, EngineEvent, EngineFacts, LogChunk, LogOptions, Observe, Result,
};
use crate::state::observed::{
    ContainerId, ContainerSummary, ImageFacts, ImageId, ObservedContainer, ObservedNetwork, ObservedVolume,
    label,
};
use crate::state::plan::Failure;

/// Stands for the engine's words about a start that failed: they may quote what the container was given.
const LEFT_OUT: &str = "(the engine's words are not in the observation)";

/// Every container of a host, those of one instance in full, and every image, network and volume. No values of variables are in
/// what an engine reports here; labels that others gave, the engine's words about failures and what health checks print are
/// left out, because they may hold a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    facts: EngineFacts,
    containers: Vec<ContainerSummary>,
    own: Vec<ObservedContainer>,
    images: Vec<ImageFacts>,
    networks: Vec<ObservedNetwork>,
    volumes: Vec<ObservedVolume>,
}

impl Recorded {
    /// Asks the engine for everything that a plan of this instance may have to know.
    ///
    /// # Errors
    /// Those of the reads; what goes away meanwhile is left out.
    pub async fn of(engine: &dyn CountUp, owner: &str) -> Result<Self> {
        let facts = EngineFacts { clock: None, ..engine.facts().await? };
        let mut recorded = Self { facts, ..Self::default() };
        for mut row in engine.list_containers(&ContainerFilter::default()).await? {
            if row.labels.get(label::OWNER).is_some_and(|by| by == owner) {
                match engine.inspect(&row.id).await {
                    Ok(Some(seen)) => recorded.own.push(without_words(seen)),
                    Ok(None) => continue,
                    // Our owner label and not ours after all.
                    Err(error) if error.kind == Failure::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            row.labels.retain(|name, _| is_known(name));
            recorded.containers.push(row);
        }
        let inventory = engine.inventory().await?;
        for id in &inventory.images {
            recorded.images.extend(engine.inspect_image(&id.0).await?);
        }
        recorded.networks = inventory.networks;
        recorded.volumes = inventory.volumes;
        let networks = recorded.networks.iter_mut().map(|network| &mut network.labels);
        let volumes = recorded.volumes.iter_mut().map(|volume| &mut volume.labels);
        networks.chain(volumes).for_each(|labels| labels.retain(|name, _| is_known(name)));
        Ok(recorded)
    }

    #[must_use]
    pub fn engine(&self) -> &EngineFacts {
        &self.facts
    }

    /// Every image, network, volume and container, counted.
    #[must_use]
    pub fn size(&self) -> (usize, usize, usize, usize) {
        (self.containers.len(), self.images.len(), self.networks.len(), self.volumes.len())
    }

    fn images(&self) -> BTreeMap<ImageId, ImageFacts> {
        self.images.iter().map(|facts| (facts.id.clone(), facts.clone())).collect()
    }
}

/// Labels whose values are ours, or Compose's for the same.
fn is_known(name: &str) -> bool {
    let of_compose = [
        label::COMPOSE_PROJECT,
        label::COMPOSE_SERVICE,
        label::COMPOSE_NUMBER,
        label::COMPOSE_ONEOFF,
        label::COMPOSE_NETWORK,
        label::COMPOSE_VOLUME,
    ];
    name.starts_with(label::RESERVED) || of_compose.contains(&name)
}

fn without_words(seen: ObservedContainer) -> ObservedContainer {
    let error = if seen.error.is_empty() { String::new() } else { LEFT_OUT.to_owned() };
    ObservedContainer { error, health_log: String::new(), ..seen }
}

#[async_trait]
impl Observe for Recorded {
    async fn facts(&self) -> Result<EngineFacts> {
        Ok(self.facts.clone())
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        let wanted = |row: &&ContainerSummary| {
            filter.labels.iter().all(|(name, value)| row.labels.get(name) == Some(value))
        };
        Ok(self.containers.iter().filter(wanted).cloned().collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        if let Some(seen) = self.own.iter().find(|seen| seen.id == *id) {
            return Ok(Some(seen.clone()));
        }
        if self.containers.iter().any(|row| row.id == *id) {
            let text = "it is not evenkeel's own";
            return Err(EngineError::new("inspect", id.short(), Failure::Conflict, text));
        }
        Ok(None)
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        Ok(resolve(&self.images(), reference).cloned())
    }

    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        Ok(tags_of(&self.images(), repository))
    }

    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        Ok(self.networks.iter().filter(|network| network.name == name).cloned().collect())
    }

    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        let owned =
            |network: &&ObservedNetwork| network.labels.get(label::OWNER).is_some_and(|by| by == owner);
        Ok(self.networks.iter().filter(owned).cloned().collect())
    }

    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        Ok(self.volumes.iter().find(|volume| volume.name == name).cloned())
    }

    /// Nothing happens any more.
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        Ok(stream::pending().boxed())
    }

    async fn logs(
        &self,
        id: &ContainerId,
        _options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        let text = "what containers print is not in an observation";
        Err(EngineError::new("read logs of", id.short(), Failure::NotFound, text))
    }
}
