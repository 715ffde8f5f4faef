//! Networks and volumes: requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, VolumeCreateRequest,
};

use super::labels;
use crate::desired::spec::{Endpoint, IpamPool, NetworkSpec, VolumeSpec};
use crate::state::observed::ContainerId;

/// How a container joins a network. The aliases are the endpoint's own and `also`, which has the service's name in it.
///
/// The id stands in the settings too: before API 1.44 the engine keeps only the name of what was named by id, and with two
/// networks of that name the container can then never be started ("ambiguous").
#[must_use]
pub fn endpoint(network_id: &str, endpoint: &Endpoint, also: &BTreeSet<String>) -> EndpointSettings {
    let aliases: BTreeSet<&String> = endpoint.aliases.iter().chain(also).collect();
    let address = EndpointIpamConfig {
        ipv4_address: endpoint.ipv4_address.clone(),
        ipv6_address: endpoint.ipv6_address.clone(),
        link_local_ips: some_list(endpoint.link_local_ips.iter().cloned().collect()),
    };
    EndpointSettings {
        network_id: Some(network_id.to_owned()),
        aliases: Some(aliases.into_iter().cloned().collect()),
        ipam_config: (address != EndpointIpamConfig::default()).then_some(address),
        links: some_list(endpoint.links.iter().cloned().collect()),
        mac_address: endpoint.mac_address.clone(),
        driver_opts: some_map(&endpoint.driver_opts),
        gw_priority: (endpoint.gw_priority != 0).then_some(endpoint.gw_priority),
        ..EndpointSettings::default()
    }
}

#[must_use]
pub fn connect(id: &ContainerId, settings: EndpointSettings) -> NetworkConnectRequest {
    NetworkConnectRequest { container: id.0.clone(), endpoint_config: Some(settings) }
}

/// Not by force: that would cut an endpoint off a container which the engine still thinks is attached.
#[must_use]
pub fn disconnect(id: &ContainerId) -> NetworkDisconnectRequest {
    NetworkDisconnectRequest { container: id.0.clone(), force: None }
}

#[must_use]
pub fn create(network: &NetworkSpec, owner: &str) -> NetworkCreateRequest {
    let ipam = Ipam {
        driver: network.ipam.driver.clone(),
        config: some_list(network.ipam.config.iter().map(pool).collect()),
        options: some_map(&network.ipam.options),
    };
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: network.driver.clone(),
        internal: network.internal.then_some(true),
        attachable: network.attachable.then_some(true),
        enable_ipv6: network.enable_ipv6.then_some(true),
        enable_ipv4: network.enable_ipv4,
        ipam: (ipam != Ipam::default()).then_some(ipam),
        options: some_map(&network.options),
        labels: some_map(&labels::of_network(network, owner)),
        ..NetworkCreateRequest::default()
    }
}

fn pool(pool: &IpamPool) -> IpamConfig {
    IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: some_map(&pool.aux_addresses),
    }
}

#[must_use]
pub fn create_volume(volume: &VolumeSpec, owner: &str) -> VolumeCreateRequest {
    VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: volume.driver.clone(),
        driver_opts: some_map(&volume.driver_opts),
        labels: some_map(&labels::of_volume(volume, owner)),
        cluster_volume_spec: None,
    }
}

/// An empty list says the same as none, in fewer bytes and without a newer engine reading more into it.
pub(super) fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn some_map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.clone().into_iter().collect())
}
