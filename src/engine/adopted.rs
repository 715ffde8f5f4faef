//! An engine as it would be if what was adopted carried our labels, and what was given back did not.
//!
//! Labels of a container cannot be changed. With this between the engine and everybody else, nothing but adoption itself has to know that:
//! lists, looks and events show an adopted container as one of ours, and one that was given back as somebody else's (invariant I1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{
    ContainerFilter, CountUp, Engine, EngineError, EngineEvent, EngineFacts, EventKind, ExecEnd, Inventory,
    LogChunk, LogOptions, Observe, ProbeAnswer, PullProgress, Result,
};
use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::state::observed::{
    ContainerId, ContainerSummary, ExecId, ExecSeen, ImageFacts, ImageId, ObservedContainer, ObservedNetwork,
    ObservedVolume, OwnLabels, label,
};
use crate::state::plan::{Creation, Failure};
use crate::state::register::Register;

/// The register, as everybody who asks the engine sees it.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<RwLock<Arc<Register>>>);

impl Shared {
    #[must_use]
    pub fn new(register: Register) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(register))))
    }

    /// As it is now.
    #[must_use]
    pub fn get(&self) -> Arc<Register> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on. What is not durable yet must not be put here.
    pub fn set(&self, register: Register) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(register);
    }
}

/// See the module.
pub struct Adopted<E> {
    engine: E,
    register: Shared,
}

impl<E> Adopted<E> {
    #[must_use]
    pub fn new(engine: E, register: Shared) -> Self {
        Self { engine, register }
    }
}

fn given_back(id: &ContainerId) -> EngineError {
    EngineError::new("inspect", id.short(), Failure::Conflict, "it was given back by `evenkeel disown`")
}

fn wants(filter: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    filter.iter().all(|(name, value)| labels.get(name) == Some(value))
}

#[async_trait]
impl<E: Observe> Observe for Adopted<E> {
    async fn facts(&self) -> Result<EngineFacts> {
        self.engine.facts().await
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        let register = self.register.get();
        if register.is_empty() {
            return self.engine.list_containers(filter).await;
        }
        // Those that the engine cannot find by labels that they do not carry.
        let ours = |(_, own): &(&ContainerId, &OwnLabels)| {
            let written = crate::state::register::written(own);
            filter.labels.iter().all(|(name, value)| written.get(name).is_none_or(|own| own == value))
        };
        let asks_for_ours = filter.labels.keys().any(|name| name.starts_with(label::RESERVED));
        let ids: BTreeSet<ContainerId> = match asks_for_ours {
            true => register.containers.iter().filter(ours).map(|(id, _)| id.clone()).collect(),
            false => BTreeSet::new(),
        };
        let more = async {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let by_id = ContainerFilter { ids: ids.clone(), ..ContainerFilter::default() };
            self.engine.list_containers(&by_id).await
        };
        let (mut rows, more) = futures_util::try_join!(self.engine.list_containers(filter), more)?;
        let known: BTreeSet<ContainerId> = rows.iter().map(|row| row.id.clone()).collect();
        rows.extend(more.into_iter().filter(|row| !known.contains(&row.id)));
        for row in &mut rows {
            register.container(&row.id, &mut row.labels);
        }
        rows.retain(|row| wants(&filter.labels, &row.labels));
        Ok(rows)
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        let register = self.register.get();
        if register.released_containers.contains(id) {
            return Err(given_back(id));
        }
        match register.containers.get(id) {
            Some(labels) => self.engine.inspect_as(id, labels).await,
            None => self.engine.inspect(id).await,
        }
    }

    async fn inspect_as(&self, id: &ContainerId, labels: &OwnLabels) -> Result<Option<ObservedContainer>> {
        self.engine.inspect_as(id, labels).await
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        self.engine.inspect_image(reference).await
    }

    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.engine.repository_tags(repository).await
    }

    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        let register = self.register.get();
        let mut found = self.engine.networks_named(name).await?;
        found.iter_mut().for_each(|network| register.network(&network.id, &mut network.labels));
        Ok(found)
    }

    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        let register = self.register.get();
        let mut found = self.engine.owned_networks(owner).await?;
        for labels in register.networks.values() {
            let (Some(name), true) =
                (labels.get(NAME), labels.get(label::OWNER).is_some_and(|by| by == owner))
            else {
                continue;
            };
            found.extend(self.engine.networks_named(name).await?);
        }
        found.iter_mut().for_each(|network| register.network(&network.id, &mut network.labels));
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        found.retain(|network| network.labels.get(label::OWNER).is_some_and(|by| by == owner));
        Ok(found)
    }

    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        let mut found = self.engine.volume(name).await?;
        if let Some(volume) = &mut found {
            self.register.get().volume(name, &mut volume.labels);
        }
        Ok(found)
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let register = self.register.clone();
        let stream = self.engine.events().await?;
        let marked = move |event: Result<EngineEvent>| {
            let mut event = event?;
            if event.kind == EventKind::Container {
                register.get().container(&ContainerId(event.object.clone()), &mut event.attributes);
            }
            Ok(event)
        };
        Ok(stream.map(marked).boxed())
    }

    async fn inspect_exec(&self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        self.engine.inspect_exec(exec).await
    }

    async fn is_same_process(&self) -> Result<bool> {
        self.engine.is_same_process().await
    }

    fn adopted(&self) -> Option<&Shared> {
        Some(&self.register)
    }

    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        self.engine.logs(id, options).await
    }
}

/// The name of an adopted network, kept with its labels: the engine finds it by that.
pub const NAME: &str = "dev.evenkeel.name";

#[async_trait]
impl<E: CountUp> CountUp for Adopted<E> {
    async fn inventory(&self) -> Result<Inventory> {
        let register = self.register.get();
        let mut all = self.engine.inventory().await?;
        all.networks.iter_mut().for_each(|network| register.network(&network.id, &mut network.labels));
        all.volumes.iter_mut().for_each(|volume| register.volume(&volume.name, &mut volume.labels));
        Ok(all)
    }
}

#[async_trait]
impl<E: Engine> Engine for Adopted<E> {
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        self.engine.pull(image, platform, progress).await
    }

    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        self.engine.tag(image, repository, tag).await
    }

    async fn untag(&self, reference: &str) -> Result<()> {
        self.engine.untag(reference).await
    }

    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        self.engine.create(creation).await
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.engine.start(id).await
    }

    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        self.engine.stop(id, grace).await
    }

    async fn create_exec(&self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        self.engine.create_exec(id, exec).await
    }

    async fn start_exec(&self, exec: &ExecId, limit: Duration) -> Result<ExecEnd> {
        self.engine.start_exec(exec, limit).await
    }

    async fn probe(&self, id: &ContainerId, check: &ProbeCheck, timeout: Duration) -> Result<ProbeAnswer> {
        self.engine.probe(id, check, timeout).await
    }

    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.engine.set_restart(id, policy).await
    }

    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.engine.set_resources(id, resources).await
    }

    async fn deliver(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        self.engine.deliver(id, files, signal).await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.engine.rename(id, name).await
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        self.engine.remove(id, force).await
    }

    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        self.engine.connect(network_id, id, endpoint, aliases).await
    }

    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.engine.disconnect(network_id, id).await
    }

    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String> {
        self.engine.create_network(network, owner).await
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        self.engine.remove_network(id).await
    }

    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        self.engine.create_volume(volume, owner).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::ident::ServiceId;

    fn own(service: &str) -> OwnLabels {
        let digits = "ab".repeat(32);
        OwnLabels {
            hook: None,
            job: None,
            owner: "me".to_owned(),
            service: ServiceId::new("shop", service).unwrap(),
            slot: 1,
            revision: crate::state::record::RevisionId::parse(&digits).unwrap(),
            spec: crate::desired::hash::SpecHash::parse(&digits).unwrap(),
            image: ImageId(format!("sha256:{digits}")),
            image_ref: "web:1".to_owned(),
            image_digest: None,
            source: "shop/web.toml:1".to_owned(),
        }
    }

    #[test]
    fn an_adopted_container_reads_back_as_ours_and_a_released_one_as_nobodys() {
        let id = ContainerId("c1".to_owned());
        let adopted =
            Register { containers: BTreeMap::from([(id.clone(), own("web"))]), ..Register::default() };
        let mut labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        adopted.container(&id, &mut labels);
        assert_eq!(super::super::convert::labels::decode(&labels, "me"), Ok(own("web")));
        let released = Register { released_containers: BTreeSet::from([id.clone()]), ..Register::default() };
        released.container(&id, &mut labels);
        assert_eq!(labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }
}
