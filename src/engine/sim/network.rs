//! Networks and volumes.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Op;
use super::host::{Host, Network, refuse_dying};
use crate::desired::spec::{Endpoint, NetworkSpec, VolumeSpec};
use crate::engine::convert::labels;
use crate::engine::{EngineError, EventKind, Result};
use crate::state::observed::{
    ContainerId, EndpointFacts, ObservedEndpoint, ObservedNetwork, ObservedVolume, label,
};
use crate::state::plan::Failure;

impl Host {
    fn observed_network(&self, id: &str, network: &Network) -> ObservedNetwork {
        let attached = |at: &ObservedEndpoint| at.network_id == id;
        let containers = self.containers.values().filter(|container| container.is_running());
        ObservedNetwork {
            id: id.to_owned(),
            name: network.name.clone(),
            driver: network.driver.clone(),
            labels: network.labels.clone(),
            containers: containers
                .filter(|container| container.networks.values().any(attached))
                .map(|container| container.id.clone())
                .collect(),
        }
    }

    fn networks_where(&self, wanted: impl Fn(&Network) -> bool) -> Vec<ObservedNetwork> {
        let found = self.networks.iter().filter(|(_, network)| wanted(network));
        found.map(|(id, network)| self.observed_network(id, network)).collect()
    }

    pub fn networks_named(&mut self, name: &str) -> Result<Vec<ObservedNetwork>> {
        self.read(Op::Networks, name, |host| Ok(host.networks_where(|network| network.name == name)))
    }

    pub fn owned_networks(&mut self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        let owned = |network: &Network| network.labels.get(label::OWNER).is_some_and(|by| by == owner);
        self.read(Op::Networks, "networks", |host| Ok(host.networks_where(owned)))
    }

    pub fn all_networks(&mut self) -> Result<Vec<ObservedNetwork>> {
        self.read(Op::Networks, "networks", |host| Ok(host.networks_where(|_| true)))
    }

    pub fn volume(&mut self, name: &str) -> Result<Option<ObservedVolume>> {
        self.read(Op::Volume, name, |host| Ok(host.volumes.get(name).cloned()))
    }

    /// Makes a network past every check, as another tool does: a name may then occur twice.
    pub fn foreign_network(&mut self, name: &str) -> String {
        let labels = BTreeMap::new();
        self.add_network(Network { name: name.to_owned(), driver: "bridge".to_owned(), labels })
    }

    /// Makes a volume past every check, as another tool does.
    pub fn foreign_volume(&mut self, name: &str) {
        let volume =
            ObservedVolume { name: name.to_owned(), driver: "local".to_owned(), labels: BTreeMap::new() };
        self.volumes.insert(name.to_owned(), volume);
    }

    fn add_network(&mut self, network: Network) -> String {
        let id = self.next_id("network");
        let name = network.name.clone();
        self.networks.insert(id.clone(), network);
        self.emit(EventKind::Network, "create", &name, BTreeMap::new());
        id
    }

    pub(super) fn run_create_network(&mut self, spec: &NetworkSpec, owner: &str) -> Result<String> {
        refuse_external(Op::CreateNetwork, &spec.name, spec.external)?;
        let same_name = || self.networks.iter().filter(|(_, network)| network.name == spec.name);
        let owned = |network: &Network| network.labels.get(label::OWNER).is_some_and(|by| by == owner);
        if let Some((id, _)) = same_name().find(|(_, network)| owned(network)) {
            return Ok(id.clone());
        }
        if same_name().next().is_some() {
            let text = format!("network with name {} already exists", spec.name);
            return Err(EngineError::new(Op::CreateNetwork.as_str(), &spec.name, Failure::Conflict, text));
        }
        let labels = labels::of_network(spec, owner);
        let driver = spec.driver.clone().unwrap_or_else(|| "bridge".to_owned());
        Ok(self.add_network(Network { name: spec.name.clone(), driver, labels }))
    }

    pub(super) fn run_remove_network(&mut self, id: &str) -> Result<()> {
        let Some(network) = self.networks.get(id) else { return Ok(()) };
        let name = network.name.clone();
        let refuse =
            |text: String| Err(EngineError::new(Op::RemoveNetwork.as_str(), &name, Failure::Conflict, text));
        if matches!(name.as_str(), "bridge" | "host" | "none") {
            return refuse(format!("{name} is a pre-defined network and cannot be removed"));
        }
        if !self.observed_network(id, network).containers.is_empty() {
            return refuse(format!("error while removing network: network {name} has active endpoints"));
        }
        self.networks.remove(id);
        self.emit(EventKind::Network, "destroy", &name, BTreeMap::new());
        Ok(())
    }

    pub(super) fn run_connect(
        &mut self,
        network: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        let container = self.container(Op::Connect, id)?;
        refuse_dying(Op::Connect, container)?;
        let refuse =
            |kind, text: String| Err(EngineError::new(Op::Connect.as_str(), &container.name, kind, text));
        // While the container is down the engine notes whatever it is told; the start will fail.
        let name = match self.networks.get(network) {
            Some(network) => network.name.clone(),
            None if !container.status.is_up() && self.profile.notes_missing_networks => network.to_owned(),
            None => return refuse(Failure::NotFound, format!("network {network} not found")),
        };
        let mode = container.network_mode.as_str();
        if mode == "host" || mode == "none" || mode.starts_with("container:") {
            return refuse(
                Failure::Invalid,
                format!("a container in network mode {mode} cannot join a network"),
            );
        }
        if container.networks.values().any(|at| at.network_id == network) {
            return Ok(());
        }
        let aliases = endpoint.aliases.union(aliases).cloned().collect();
        // A hardware address is taken at creation only.
        let settings = EndpointFacts { mac_address: None, ..EndpointFacts::asked(endpoint) };
        let endpoint = ObservedEndpoint { network_id: network.to_owned(), aliases, settings };
        self.container_mut(Op::Connect, id)?.networks.insert(name.clone(), endpoint);
        self.emit(EventKind::Network, "connect", &name, BTreeMap::new());
        Ok(())
    }

    pub(super) fn run_disconnect(&mut self, network: &str, id: &ContainerId) -> Result<()> {
        let known = self.networks.get(network).map(|network| network.name.clone());
        let container = self.container_mut(Op::Disconnect, id)?;
        let refuse =
            |kind, text: String| Err(EngineError::new(Op::Disconnect.as_str(), &container.name, kind, text));
        let attached = container.networks.values().any(|at| at.network_id == network);
        let name = match known {
            Some(name) => name,
            None if attached && container.status.is_up() => {
                return refuse(Failure::NotFound, format!("network {network} not found"));
            }
            None => network.to_owned(),
        };
        // A container that is down is on networks by their names: on one made anew as well, and no more by the id of one that is gone.
        let leaves = |at: &ObservedEndpoint| !container.status.is_up() || at.network_id == network;
        if container.networks.get(&name).is_some_and(leaves) {
            container.networks.remove(&name);
            self.emit(EventKind::Network, "disconnect", &name, BTreeMap::new());
            return Ok(());
        }
        if attached {
            let text = format!("container {} is not connected to the network {network}", id.0);
            return refuse(Failure::Internal, text);
        }
        Ok(())
    }

    pub(super) fn run_create_volume(&mut self, spec: &VolumeSpec, owner: &str) -> Result<()> {
        refuse_external(Op::CreateVolume, &spec.name, spec.external)?;
        if let Some(there) = self.volumes.get(&spec.name) {
            if there.labels.get(label::OWNER).is_some_and(|by| by == owner) {
                return Ok(());
            }
            let text = "a volume of this name exists and is not ours";
            return Err(EngineError::new(Op::CreateVolume.as_str(), &spec.name, Failure::Conflict, text));
        }
        let driver = spec.driver.clone().unwrap_or_else(|| "local".to_owned());
        let labels = labels::of_volume(spec, owner);
        self.volumes.insert(spec.name.clone(), ObservedVolume { name: spec.name.clone(), driver, labels });
        self.emit_volume(&spec.name, "create");
        Ok(())
    }
}

fn refuse_external(op: Op, name: &str, external: bool) -> Result<()> {
    if external {
        let text = "it is external: it must be made by whoever owns it";
        return Err(EngineError::new(op.as_str(), name, Failure::Invalid, text));
    }
    Ok(())
}
