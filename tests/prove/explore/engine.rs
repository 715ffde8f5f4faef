//! The simulated host behind the engine's traits, without tasks and channels: so that the controller's own `observe` and `Executor`
//! can be run a million times on values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use evenkeel::controller::execute::Executor;
use evenkeel::controller::observe::{Surroundings, observe};
use evenkeel::controller::progress::Silent;
use evenkeel::desired::Wanted;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use evenkeel::engine::sim::Host;
use evenkeel::engine::{
    ContainerFilter, Engine, EngineEvent, EngineFacts, LogChunk, LogOptions, Observe, PullProgress, Result,
};
use evenkeel::state::lookups;
use evenkeel::state::observed::{
    ContainerId, ContainerSummary, ImageFacts, ImageId, ObservedContainer, ObservedNetwork, ObservedService,
    ObservedVolume,
};
use evenkeel::state::plan::{Creation, Outcome, Step};
use evenkeel::state::record::Record;
use evenkeel::state::time::Now;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

/// The instance id of every explored world.
pub const OWNER: &str = "test";

struct Direct {
    host: Mutex<Host>,
}

impl Direct {
    fn host(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap()
    }
}

#[async_trait]
impl Observe for Direct {
    async fn facts(&self) -> Result<EngineFacts> {
        self.host().ask_facts()
    }
    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        self.host().list(filter)
    }
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        self.host().inspect(id)
    }
    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        self.host().inspect_image(reference)
    }
    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.host().repository_tags(repository)
    }
    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        self.host().networks_named(name)
    }
    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        self.host().owned_networks(owner)
    }
    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        self.host().volume(name)
    }
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        Ok(stream::pending().boxed())
    }
    async fn logs(
        &self,
        id: &ContainerId,
        _options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        let bytes = self.host().last_lines(id)?.into();
        Ok(stream::iter([Ok(LogChunk { stderr: false, bytes })]).boxed())
    }
}

#[async_trait]
impl Engine for Direct {
    async fn pull(
        &self,
        image: &str,
        _platform: Option<&str>,
        _progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        self.host().pull(image)
    }
    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        self.host().tag(image, repository, tag)
    }
    async fn untag(&self, reference: &str) -> Result<()> {
        self.host().untag(reference)
    }
    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        self.host().create(creation)
    }
    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.host().start(id)
    }
    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        self.host().stop(id, grace)
    }
    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.host().set_restart(id, policy)
    }
    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.host().set_resources(id, resources)
    }
    async fn deliver(
        &self,
        id: &ContainerId,
        _files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        self.host().deliver(id, signal)
    }
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.host().rename(id, name)
    }
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        self.host().remove(id, force)
    }
    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        self.host().connect(network_id, id, endpoint, aliases)
    }
    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.host().disconnect(network_id, id)
    }
    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String> {
        self.host().create_network(network, owner)
    }
    async fn remove_network(&self, id: &str) -> Result<()> {
        self.host().remove_network(id)
    }
    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        self.host().create_volume(volume, owner)
    }
}

/// What one thread needs to run the controller's rules on hosts.
pub struct Lab {
    direct: Arc<Direct>,
    engine: Arc<dyn Engine>,
    pulls: Semaphore,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    pub fn new() -> Self {
        let direct = Arc::new(Direct { host: Mutex::new(Host::new()) });
        let engine = Arc::clone(&direct) as Arc<dyn Engine>;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { direct, engine, pulls: Semaphore::new(1), runtime }
    }

    /// Puts a host behind the traits for the time of one act.
    fn with<T>(&self, host: &mut Host, act: impl FnOnce() -> T) -> T {
        std::mem::swap(&mut *self.direct.host(), host);
        let done = act();
        std::mem::swap(&mut *self.direct.host(), host);
        done
    }

    /// The controller's own look at one service. The simulated engine answers at once, so nothing is ever waited for.
    pub fn observe(
        &self,
        host: &mut Host,
        id: &ServiceId,
        wanted: Option<&Wanted>,
        record: &Record,
        now: Now,
    ) -> Result<ObservedService> {
        let asked = lookups(id, wanted, record, now);
        let known = Surroundings {
            session: host.session,
            recorded: &record.containers,
            dependencies: BTreeMap::new(),
            parent: None,
            tied: BTreeMap::new(),
            disk_free: None,
        };
        let direct = &self.direct;
        self.with(host, || observe(&**direct, OWNER, id, &asked, known).now_or_never().unwrap())
    }

    /// One step by the controller's own executor, with its fresh look before the act.
    pub fn take(&self, host: &mut Host, id: &ServiceId, step: &Step) -> Outcome {
        let _entered = self.runtime.enter();
        let executor = Executor {
            engine: &self.engine,
            owner: OWNER,
            service: Some(id),
            pulls: &self.pulls,
            progress: &Silent,
        };
        self.with(host, || executor.take(step).now_or_never().unwrap())
    }
}
