//! The line between evenkeel and the simulated engine: where calls go wrong, and where it is seen what is called.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use evenkeel::engine::sim::{Fault, Op};
use evenkeel::engine::{
    ContainerFilter, Engine, EngineError, EngineEvent, EngineFacts, LogChunk, LogOptions, Observe,
    PullProgress, Result,
};
use evenkeel::state::observed::{
    ContainerId, ContainerSummary, ImageFacts, ImageId, ObservedContainer, ObservedNetwork, ObservedVolume,
};
use evenkeel::state::plan::{Creation, Failure};
use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::odds::{EventFate, Fate};
use super::watch;
use super::world::World;

/// Milliseconds until evenkeel's client gives up.
const READ_DEADLINE: u64 = 30_000;
const WRITE_DEADLINE: u64 = 120_000;

#[derive(Clone)]
pub struct Wire {
    pub world: Arc<World>,
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

impl Wire {
    async fn read<T>(&self, op: Op, of: &str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.world.fate(op, of) {
            Fate::Pass => call.await,
            Fate::Slow(before, after) => {
                pause(before).await;
                let answer = call.await;
                pause(after).await;
                answer
            }
            Fate::Fault(Fault::StaleRead) => {
                let answer = call.await;
                // The next one will be shown what is true now.
                self.world.sim.with(|host| host.fail(op, Fault::StaleRead));
                answer
            }
            Fate::Fault(fault) => self.faulty(op, fault, call).await,
            Fate::DieBefore | Fate::DieAfter | Fate::DieLater(_) => {
                self.world.die().await;
                call.await
            }
        }
    }

    async fn faulty<T>(&self, op: Op, fault: Fault, call: impl Future<Output = Result<T>>) -> Result<T> {
        let kills = matches!(fault, Fault::EngineDies(_));
        self.world.sim.with(|host| host.fail(op, fault));
        let answer = call.await;
        if kills {
            self.world.wake.notify_one();
        }
        answer
    }

    /// A call that changes something of `service`; `about`: the container it is addressed to.
    async fn write<T>(
        &self,
        op: Op,
        service: Option<String>,
        about: Option<&ContainerId>,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let service = service.or_else(|| self.world.owner_of(about?)).unwrap_or_default();
        let fate = self.world.fate(op, &service);
        self.world.account(op, &service, &fate);
        if let Some(id) = about {
            self.wait_while_hung(op, id, WRITE_DEADLINE).await?;
        }
        let mut late = 0;
        if let Fate::Slow(before, after) = fate {
            pause(before).await;
            late = after;
        }
        watch::before(&self.world, op, &service, about);
        let answer = match fate {
            Fate::Pass | Fate::Slow(..) => call.await,
            Fate::DieBefore => {
                self.world.die().await;
                call.await
            }
            Fate::DieAfter => {
                let answer = call.await;
                watch::after(&self.world);
                self.world.die().await;
                answer
            }
            Fate::DieLater(ms) => {
                let answer = self.faulty(op, Fault::DoneLater(ms), call).await;
                self.world.die().await;
                answer
            }
            Fate::Fault(fault) => self.faulty(op, fault, call).await,
        };
        let told = match &answer {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("{error}"),
        };
        let on = about.map(ContainerId::short).unwrap_or_default();
        self.world.tell(format!("{} {service} {on}: {told}", op.as_str()));
        watch::after(&self.world);
        pause(late).await;
        answer
    }

    /// A frozen container: the request waits until it answers again, or the client gives up first.
    async fn wait_while_hung(&self, op: Op, id: &ContainerId, deadline: u64) -> Result<()> {
        let now = self.world.now();
        let until = self.world.with(|state| state.hung.get(id).copied()).filter(|until| *until > now);
        let Some(until) = until else { return Ok(()) };
        pause((until - now).min(deadline)).await;
        if until - now <= deadline {
            return Ok(());
        }
        Err(EngineError::new(op.as_str(), id.short(), Failure::Unknown, "the container is frozen"))
    }

    fn sim(&self) -> &evenkeel::engine::sim::Sim {
        &self.world.sim
    }
}

#[async_trait]
impl Observe for Wire {
    async fn facts(&self) -> Result<EngineFacts> {
        self.read(Op::Facts, "", self.sim().facts()).await
    }
    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        self.read(Op::List, "", self.sim().list_containers(filter)).await
    }
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        self.wait_while_hung(Op::Inspect, id, READ_DEADLINE).await?;
        self.read(Op::Inspect, id.short(), self.sim().inspect(id)).await
    }
    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        self.read(Op::InspectImage, reference, self.sim().inspect_image(reference)).await
    }
    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.read(Op::RepositoryTags, repository, self.sim().repository_tags(repository)).await
    }
    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        self.read(Op::Networks, name, self.sim().networks_named(name)).await
    }
    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        self.read(Op::Networks, "all", self.sim().owned_networks(owner)).await
    }
    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        self.read(Op::Volume, name, self.sim().volume(name)).await
    }
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let stream = self.read(Op::Events, "", self.sim().events()).await?;
        Ok(odd_events(Arc::clone(&self.world), stream).boxed())
    }
    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        self.read(Op::Logs, id.short(), self.sim().logs(id, options)).await
    }
}

struct Events {
    world: Arc<World>,
    rng: Rng,
    stream: BoxStream<'static, Result<EngineEvent>>,
    next: VecDeque<EngineEvent>,
    /// Comes behind the next one.
    held: Option<EngineEvent>,
    deaf_until: u64,
}

/// Events as a bad line brings them.
fn odd_events(
    world: Arc<World>,
    stream: BoxStream<'static, Result<EngineEvent>>,
) -> impl futures_util::Stream<Item = Result<EngineEvent>> + Send {
    let rng = world.rng();
    let first = Events { world, rng, stream, next: VecDeque::new(), held: None, deaf_until: 0 };
    stream::unfold(first, |mut events| async move {
        loop {
            if let Some(event) = events.next.pop_front() {
                return Some((Ok(event), events));
            }
            let event = events.stream.next().await?.ok()?;
            let now = events.world.now();
            if !events.world.with(|state| state.faulty) {
                return Some((Ok(event), events));
            }
            if now < events.deaf_until {
                continue;
            }
            match events.world.story.odds.of_event(&mut events.rng) {
                EventFate::Pass => events.next.push_back(event),
                EventFate::Lost => {}
                EventFate::Twice => events.next.extend([event.clone(), event]),
                EventFate::Flood => events.next.extend(std::iter::repeat_n(event, 1_000)),
                EventFate::Late(ms) => {
                    pause(ms).await;
                    events.next.push_back(event);
                }
                EventFate::AfterTheNext => {
                    let before = events.held.replace(event);
                    events.next.extend(before);
                    continue;
                }
                EventFate::Silence(ms) => events.deaf_until = now + ms,
                EventFate::EndOfStream => {
                    events.world.tell("the event stream ends".to_owned());
                    return None;
                }
            }
            let held = events.held.take();
            events.next.extend(held);
        }
    })
}

#[async_trait]
impl Engine for Wire {
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        let service = image.split(':').next().unwrap_or_default();
        let found = self.world.story.services.iter().find(|one| one.name == service);
        let service = found.map(|one| one.id());
        self.write(Op::Pull, service, None, self.sim().pull(image, platform, progress)).await
    }
    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        self.write(Op::Tag, None, None, self.sim().tag(image, repository, tag)).await
    }
    async fn untag(&self, reference: &str) -> Result<()> {
        self.write(Op::Untag, None, None, self.sim().untag(reference)).await
    }
    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        let service = creation.labels.service.to_string();
        self.write(Op::Create, Some(service), None, self.sim().create(creation)).await
    }
    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.write(Op::Start, None, Some(id), self.sim().start(id)).await
    }
    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        self.write(Op::Stop, None, Some(id), self.sim().stop(id, grace)).await
    }
    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.write(Op::SetRestart, None, Some(id), self.sim().set_restart(id, policy)).await
    }
    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.write(Op::SetResources, None, Some(id), self.sim().set_resources(id, resources)).await
    }
    async fn deliver(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        self.write(Op::Deliver, None, Some(id), self.sim().deliver(id, files, signal)).await
    }
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.write(Op::Rename, None, Some(id), self.sim().rename(id, name)).await
    }
    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        self.write(Op::Remove, None, Some(id), self.sim().remove(id, force)).await
    }
    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        self.write(Op::Connect, None, Some(id), self.sim().connect(network_id, id, endpoint, aliases)).await
    }
    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.write(Op::Disconnect, None, Some(id), self.sim().disconnect(network_id, id)).await
    }
    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String> {
        self.write(Op::CreateNetwork, None, None, self.sim().create_network(network, owner)).await
    }
    async fn remove_network(&self, id: &str) -> Result<()> {
        watch::before_network_removal(&self.world, id);
        self.write(Op::RemoveNetwork, None, None, self.sim().remove_network(id)).await
    }
    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        self.write(Op::CreateVolume, None, None, self.sim().create_volume(volume, owner)).await
    }
}
