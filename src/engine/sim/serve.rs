//! A shared host behind the engine's traits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::broadcast::error::RecvError;

use super::call::Call;
use super::fault::Op;
use super::host::Host;
use super::shared::{Sim, TICK};
use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::engine::{
    ContainerFilter, CountUp, Engine, EngineEvent, EngineFacts, ExecEnd, Inventory, LogChunk, LogOptions,
    Observe, ProbeAnswer, PullProgress, Result,
};
use crate::state::observed::{
    ContainerId, ContainerSummary, ExecId, ExecSeen, ImageFacts, ImageId, ObservedContainer, ObservedNetwork,
    ObservedVolume, OwnLabels,
};
use crate::state::plan::Creation;

#[async_trait]
impl Observe for Sim {
    async fn facts(&self) -> Result<EngineFacts> {
        self.look(Op::Facts, Host::ask_facts).await
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        self.look(Op::List, |host| host.list(filter)).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        self.look(Op::Inspect, |host| host.inspect(id)).await
    }

    async fn inspect_as(&self, id: &ContainerId, labels: &OwnLabels) -> Result<Option<ObservedContainer>> {
        self.look(Op::Inspect, |host| host.inspect_as(id, labels)).await
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        self.look(Op::InspectImage, |host| host.inspect_image(reference)).await
    }

    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        self.look(Op::RepositoryTags, |host| host.repository_tags(repository)).await
    }

    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        self.look(Op::Networks, |host| host.networks_named(name)).await
    }

    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        self.look(Op::Networks, |host| host.owned_networks(owner)).await
    }

    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        self.look(Op::Volume, |host| host.volume(name)).await
    }

    async fn inspect_exec(&self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        self.look(Op::InspectExec, |host| host.inspect_exec(exec)).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let listener = self.subscribe()?;
        let events = stream::unfold(listener, |mut listener| async move {
            loop {
                match listener.recv().await {
                    Ok(event) => return Some((Ok(event), listener)),
                    // A slow reader misses events and is not told: as with a real engine.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(events.boxed())
    }

    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        self.look(Op::Logs, |host| host.ask_logs(id)).await?;
        Ok(log_stream(self.clone(), id.clone(), options).boxed())
    }
}

#[async_trait]
impl CountUp for Sim {
    async fn inventory(&self) -> Result<Inventory> {
        let networks = self.look(Op::Networks, Host::all_networks).await?;
        Ok(self.with(|host| Inventory {
            images: host.images.keys().cloned().collect(),
            networks,
            volumes: host.volumes.values().cloned().collect(),
        }))
    }
}

/// Lines of a container: those there are, and with `follow` those to come until it ends.
fn log_stream(
    sim: Sim,
    id: ContainerId,
    options: &LogOptions,
) -> impl futures_util::Stream<Item = Result<LogChunk>> + Send + use<> {
    let options = options.clone();
    let first = sim.with(|host| host.log_start(&id, &options));
    stream::unfold(first, move |next| {
        let (sim, id, options) = (sim.clone(), id.clone(), options.clone());
        async move {
            loop {
                if let Some((after, chunk)) = sim.with(|host| host.log_line(&id, next, options.timestamps)) {
                    return Some((Ok(chunk), after));
                }
                let up = |host: &mut Host| host.containers.get(&id).is_some_and(|one| one.status.is_up());
                if !options.follow || !sim.with(up) {
                    return None;
                }
                tokio::time::sleep(TICK).await;
            }
        }
    })
}

#[async_trait]
impl Engine for Sim {
    async fn pull(
        &self,
        image: &str,
        _platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        let told = |status: &str| {
            progress(PullProgress {
                layer: "simulated".to_owned(),
                status: status.to_owned(),
                current: 1,
                total: 1,
            });
        };
        told("Downloading");
        let answer = self.send(Call::Pull { image: image.to_owned() }).await?;
        told("Pull complete");
        answer.image(image)
    }

    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        self.order(Call::Tag { image: image.clone(), repository, tag }).await
    }

    async fn untag(&self, reference: &str) -> Result<()> {
        self.order(Call::Untag { reference: reference.to_owned() }).await
    }

    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        let answer = self.send(Call::Create(Arc::new(creation.clone()))).await?;
        answer.made(Op::Create, &creation.name).map(ContainerId)
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.order(Call::Start(id.clone())).await
    }

    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        if self.in_real_time() {
            return self.stop_in_real_time(Call::BeginStop { id: id.clone(), grace }).await;
        }
        self.order(Call::Stop { id: id.clone(), grace }).await
    }

    async fn create_exec(&self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        let answer = self.send(Call::MakeExec { id: id.clone(), words: exec.command.clone() }).await?;
        answer.made(Op::MakeExec, id.short()).map(ExecId)
    }

    async fn start_exec(&self, exec: &ExecId, limit: Duration) -> Result<ExecEnd> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        if !self.in_real_time() {
            return self.with(|host| host.start_exec(exec, limit_ms));
        }
        self.order(Call::StartExec { exec: exec.clone() }).await?;
        let until = self.with(|host| host.now).saturating_add(limit_ms);
        loop {
            let (seen, now) = self.with(|host| (host.inspect_exec(exec), host.now));
            let code = seen?.and_then(|seen| seen.code);
            if code.is_some() || now >= until {
                return Ok(ExecEnd { code, output: Vec::new() });
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn probe(&self, id: &ContainerId, _check: &ProbeCheck, _timeout: Duration) -> Result<ProbeAnswer> {
        self.look(Op::Inspect, |host| host.probe(id)).await
    }

    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.order(Call::SetRestart { id: id.clone(), policy }).await
    }

    async fn set_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.order(Call::SetResources { id: id.clone(), resources: resources.clone() }).await
    }

    async fn deliver(
        &self,
        id: &ContainerId,
        _files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        self.order(Call::Deliver { id: id.clone(), signal: signal.map(str::to_owned) }).await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.order(Call::Rename { id: id.clone(), name: name.to_owned() }).await
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        self.order(Call::Remove { id: id.clone(), force }).await
    }

    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        let (network, id) = (network_id.to_owned(), id.clone());
        self.order(Call::Connect { network, id, endpoint: endpoint.clone(), aliases: aliases.clone() }).await
    }

    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.order(Call::Disconnect { network: network_id.to_owned(), id: id.clone() }).await
    }

    async fn create_network(&self, network: &NetworkSpec, owner: &str) -> Result<String> {
        let call = Call::CreateNetwork { network: Arc::new(network.clone()), owner: owner.to_owned() };
        self.send(call).await?.made(Op::CreateNetwork, &network.name)
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        self.order(Call::RemoveNetwork { id: id.to_owned() }).await
    }

    async fn create_volume(&self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        self.order(Call::CreateVolume { volume: Arc::new(volume.clone()), owner: owner.to_owned() }).await
    }
}
