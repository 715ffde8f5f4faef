//! The engine with a stopwatch: every call is counted and timed by operation, whoever makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::engine::adopted::Shared;
use crate::engine::{
    ContainerFilter, Engine, EngineEvent, EngineFacts, ExecEnd, LogChunk, LogOptions, Observe, ProbeAnswer,
    PullProgress, Result,
};
use crate::metrics::Metrics;
use crate::state::observed::{
    ContainerId, ContainerSummary, ExecId, ExecSeen, ImageFacts, ImageId, ObservedContainer, ObservedNetwork,
    ObservedVolume, OwnLabels,
};
use crate::state::plan::{Creation, Failure};

/// Passes every call on to `engine` and tells `metrics` how it went.
pub struct Measured {
    engine: Arc<dyn Engine>,
    metrics: Arc<Metrics>,
}

impl Measured {
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, metrics: Arc<Metrics>) -> Self {
        Self { engine, metrics }
    }

    async fn time<T>(&self, operation: &str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let started = Instant::now();
        let answer = call.await;
        let outcome = answer.as_ref().map(|_| ()).map_err(|error| error.kind);
        // Reads tell whether the engine is there; a write that failed says nothing about that.
        self.metrics.engine_request(operation, outcome, started.elapsed());
        if !matches!(outcome, Err(Failure::Unreachable | Failure::Unknown)) {
            self.metrics.engine_up(true);
        } else if outcome == Err(Failure::Unreachable) {
            self.metrics.engine_up(false);
        }
        answer
    }
}

#[async_trait]
impl Observe for Measured {
    async fn facts(&self) -> Result<EngineFacts> {
        self.time("facts", self.engine.facts()).await
    }
    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        self.time("list", self.engine.list_containers(filter)).await
    }
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        self.time("inspect", self.engine.inspect(id)).await
    }
    async fn inspect_as(&self, id: &ContainerId, labels: &OwnLabels) -> Result<Option<ObservedContainer>> {
        self.time("inspect", self.engine.inspect_as(id, labels)).await
    }
    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        self.time("inspect-image", self.engine.inspect_image(reference)).await
    }
    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.time("list-images", self.engine.repository_tags(repository)).await
    }
    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        self.time("list-networks", self.engine.networks_named(name)).await
    }
    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        self.time("list-networks", self.engine.owned_networks(owner)).await
    }
    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        self.time("inspect-volume", self.engine.volume(name)).await
    }
    async fn inspect_exec(&self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        self.time("inspect-exec", self.engine.inspect_exec(exec)).await
    }
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.time("events", self.engine.events()).await
    }
    fn adopted(&self) -> Option<&Shared> {
        self.engine.adopted()
    }
    async fn is_same_process(&self) -> Result<bool> {
        self.time("events", self.engine.is_same_process()).await
    }
    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        self.time("logs", self.engine.logs(id, options)).await
    }
}

#[async_trait]
impl Engine for Measured {
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        let started = Instant::now();
        let answer = self.time("pull", self.engine.pull(image, platform, progress)).await;
        let outcome = answer.as_ref().map(|_| ()).map_err(|error| error.kind);
        self.metrics.pulled(outcome, started.elapsed());
        answer
    }
    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        self.time("tag", self.engine.tag(image, repository, tag)).await
    }
    async fn untag(&self, reference: &str) -> Result<()> {
        self.time("untag", self.engine.untag(reference)).await
    }
    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        self.time("create", self.engine.create(creation)).await
    }
    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.time("start", self.engine.start(id)).await
    }
    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        self.time("stop", self.engine.stop(id, grace)).await
    }
    async fn create_exec(&self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        self.time("create-exec", self.engine.create_exec(id, exec)).await
    }
    async fn start_exec(&self, exec: &ExecId, limit: Duration) -> Result<ExecEnd> {
        self.time("start-exec", self.engine.start_exec(exec, limit)).await
    }
    async fn probe(&self, id: &ContainerId, check: &ProbeCheck, timeout: Duration) -> Result<ProbeAnswer> {
        self.engine.probe(id, check, timeout).await
    }
    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.time("update", self.engine.set_restart(id, policy)).await
    }
    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.time("update", self.engine.set_resources(id, resources)).await
    }
    async fn deliver(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        self.time("kill", self.engine.deliver(id, files, signal)).await
    }
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.time("rename", self.engine.rename(id, name)).await
    }
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        self.time("remove", self.engine.remove(id, force)).await
    }
    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        self.time("connect", self.engine.connect(network_id, id, endpoint, aliases)).await
    }
    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.time("disconnect", self.engine.disconnect(network_id, id)).await
    }
    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String> {
        self.time("create-network", self.engine.create_network(network, owner)).await
    }
    async fn remove_network(&self, id: &str) -> Result<()> {
        self.time("remove-network", self.engine.remove_network(id)).await
    }
    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        self.time("create-volume", self.engine.create_volume(volume, owner)).await
    }
}
