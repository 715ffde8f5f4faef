//! The engine's writing calls as methods of the host, and a plan's step as one of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::call::Call;
use super::fault::Op;
use super::host::Host;
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::engine::{EngineError, ExecEnd, Result};
use crate::state::observed::{ContainerId, ImageFacts, ImageId};
use crate::state::plan::{Creation, Outcome, Step};

/// Every method takes the time it takes ([`Host::advance`]) and fails as scripted ([`Host::fail`]); what an error means is
/// said at [`crate::engine::Engine`].
impl Host {
    pub fn pull(&mut self, image: &str) -> Result<ImageFacts> {
        self.call(Call::Pull { image: image.to_owned() })?.image(image)
    }

    pub fn tag(&mut self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        self.call(Call::Tag { image: image.clone(), repository, tag }).map(drop)
    }

    pub fn untag(&mut self, reference: &str) -> Result<()> {
        self.call(Call::Untag { reference: reference.to_owned() }).map(drop)
    }

    pub fn create(&mut self, creation: &Creation) -> Result<ContainerId> {
        let answer = self.call(Call::Create(Arc::new(creation.clone())))?;
        answer.made(Op::Create, &creation.name).map(ContainerId)
    }

    pub fn start(&mut self, id: &ContainerId) -> Result<()> {
        self.call(Call::Start(id.clone())).map(drop)
    }

    /// `grace`: seconds until the engine kills; `None`: the container's own, else 10.
    pub fn stop(&mut self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        self.call(Call::Stop { id: id.clone(), grace }).map(drop)
    }

    pub fn set_restart(&mut self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.call(Call::SetRestart { id: id.clone(), policy }).map(drop)
    }

    pub fn set_resources(&mut self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.call(Call::SetResources { id: id.clone(), resources: resources.clone() }).map(drop)
    }

    pub fn deliver(&mut self, id: &ContainerId, signal: Option<&str>) -> Result<()> {
        self.call(Call::Deliver { id: id.clone(), signal: signal.map(str::to_owned) }).map(drop)
    }

    pub fn rename(&mut self, id: &ContainerId, name: &str) -> Result<()> {
        self.call(Call::Rename { id: id.clone(), name: name.to_owned() }).map(drop)
    }

    pub fn remove(&mut self, id: &ContainerId, force: bool) -> Result<()> {
        self.call(Call::Remove { id: id.clone(), force }).map(drop)
    }

    pub fn connect(
        &mut self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        let (network, id) = (network_id.to_owned(), id.clone());
        let call = Call::Connect { network, id, endpoint: endpoint.clone(), aliases: aliases.clone() };
        self.call(call).map(drop)
    }

    pub fn disconnect(&mut self, network_id: &str, id: &ContainerId) -> Result<()> {
        self.call(Call::Disconnect { network: network_id.to_owned(), id: id.clone() }).map(drop)
    }

    pub fn create_network(&mut self, network: &NetworkSpec, owner: &str) -> Result<String> {
        let call = Call::CreateNetwork { network: Arc::new(network.clone()), owner: owner.to_owned() };
        self.call(call)?.made(Op::CreateNetwork, &network.name)
    }

    pub fn remove_network(&mut self, id: &str) -> Result<()> {
        self.call(Call::RemoveNetwork { id: id.to_owned() }).map(drop)
    }

    pub fn create_volume(&mut self, volume: &VolumeSpec, owner: &str) -> Result<()> {
        let call = Call::CreateVolume { volume: Arc::new(volume.clone()), owner: owner.to_owned() };
        self.call(call).map(drop)
    }

    /// Takes one step of a plan, as the controller would: `owner` is what networks and volumes are labelled with.
    pub fn take(&mut self, step: &Step, owner: &str) -> Outcome {
        let done = match step {
            Step::Create(creation) => return self.create(creation).map_or_else(failed, Outcome::Created),
            Step::SaveLogs { id, .. } => return self.last_lines(id).map_or_else(failed, Outcome::Logs),
            Step::MakeExec { id, exec, .. } => {
                return self.create_exec(id, exec).map_or_else(failed, Outcome::Made);
            }
            Step::StartExec { exec, limit_ms, .. } => {
                let ended = |end: ExecEnd| Outcome::Ended { code: end.code, output: String::new() };
                return self.start_exec(exec, *limit_ms).map_or_else(failed, ended);
            }
            Step::Pull { image, .. } => self.pull(image).map(drop),
            Step::Keep { image, repository, tag } => self.tag(image, repository, tag),
            Step::Untag { reference } => self.untag(reference),
            Step::CreateNetwork(network) => self.create_network(network, owner).map(drop),
            Step::CreateVolume(volume) => self.create_volume(volume, owner),
            Step::Start { id } => self.start(id),
            Step::Stop { id, grace } => self.stop(id, *grace),
            Step::SetRestart { id, policy } => self.set_restart(id, *policy),
            Step::SetResources { id, resources } => self.set_resources(id, resources),
            Step::Deliver { id, files: _, signal } => self.deliver(id, signal.as_deref()),
            Step::Rename { id, name } => self.rename(id, name),
            Step::Connect { id, network_id, endpoint, aliases, .. } => {
                self.connect(network_id, id, endpoint, aliases)
            }
            Step::Disconnect { id, network_id, .. } => self.disconnect(network_id, id),
            Step::Remove { id, dead } => self.remove(id, *dead),
            Step::RemoveNetwork { id, .. } => self.remove_network(id),
        };
        done.map_or_else(failed, |()| Outcome::Done)
    }
}

fn failed(error: EngineError) -> Outcome {
    Outcome::Failed { kind: error.kind, text: error.to_string() }
}
