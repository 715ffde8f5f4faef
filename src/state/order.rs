//! Stop-first or start-first, and why: printed with every plan.

use crate::desired::spec::{MountSource, NetworkMode, ServiceSpec, UpdateOrder};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub start_first: bool,
    /// Fits behind the word: `stop-first: publishes host port 8080`.
    pub reason: String,
}

impl Order {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        if self.start_first { "start-first" } else { "stop-first" }
    }
}

/// The order in which a container of this spec takes over. `auto` takes start-first where an overlap is provably safe.
#[must_use]
pub fn order(spec: &ServiceSpec) -> Order {
    order_as(spec, spec.policy.update.order)
}

/// The same, with another wish than the spec's.
#[must_use]
pub fn order_as(spec: &ServiceSpec, wanted: UpdateOrder) -> Order {
    if let Some(reason) = exclusive(spec) {
        return Order { start_first: false, reason };
    }
    match wanted {
        UpdateOrder::StartFirst => Order { start_first: true, reason: "the file asks for it".to_owned() },
        UpdateOrder::StopFirst => Order { start_first: false, reason: "the default".to_owned() },
        UpdateOrder::Auto => match shared_data(spec) {
            Some(reason) => Order { start_first: false, reason },
            None => Order { start_first: true, reason: "nothing that two copies would share".to_owned() },
        },
    }
}

/// What two containers cannot hold at once: an overlap is impossible, whatever the file says.
#[must_use]
pub fn exclusive(spec: &ServiceSpec) -> Option<String> {
    if let Some(port) = spec.container.ports.iter().find_map(|binding| binding.fixed()) {
        return Some(format!("publishes host port {port}"));
    }
    match &spec.container.network_mode {
        NetworkMode::Host => Some("uses the host's network".to_owned()),
        NetworkMode::Service(service) => Some(format!("shares the network of {service}")),
        NetworkMode::Container(container) => Some(format!("shares the network of container {container}")),
        NetworkMode::Networks | NetworkMode::Bridge | NetworkMode::None => fixed_address(spec),
    }
}

fn fixed_address(spec: &ServiceSpec) -> Option<String> {
    let mut endpoints = spec.live.networks.values();
    let macs = spec.live.networks.values().filter_map(|endpoint| endpoint.mac_address.as_ref());
    if let Some(mac) = spec.container.extra.mac_address.iter().chain(macs).next() {
        return Some(format!("has the fixed hardware address {mac}"));
    }
    let address =
        endpoints.find_map(|endpoint| endpoint.ipv4_address.as_ref().or(endpoint.ipv6_address.as_ref()))?;
    Some(format!("has the fixed address {address}"))
}

/// Data that old and new would write at the same time.
fn shared_data(spec: &ServiceSpec) -> Option<String> {
    if spec.container.extra.volumes_from.iter().any(|from| !from.read_only) {
        return Some("writes to the volumes of another container".to_owned());
    }
    spec.container.mounts.iter().filter(|(_, mount)| !mount.read_only).find_map(
        |(target, mount)| match &mount.source {
            MountSource::Volume { name: Some(name), .. } => Some(format!("writes to volume {name}")),
            MountSource::Bind { path, .. } => Some(format!("writes to {path}")),
            MountSource::Volume { name: None, .. } => Some(format!("hands its volume at {target} over")),
            MountSource::Image { .. } | MountSource::Tmpfs { .. } => None,
        },
    )
}
