//! The create request of a container.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig,
    NetworkingConfig, PortBinding as ApiPortBinding, PortMap, ResourcesUlimits,
};

use serde::Serialize;

use super::network::{some_list, some_map};
use super::{extra, labels, mounts, network, resources};
use crate::desired::secret::Sensitive;
use crate::desired::spec::{
    ContainerPort, ContainerSpec, Endpoint, Extra, Healthcheck, HealthcheckSpec, NetworkMode, PortBinding,
    RestartPolicy,
};
use crate::state::plan::Creation;

/// A create request, and what must be joined before anyone starts the container. What is sent is the body with the address in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreateRequest {
    #[serde(flatten)]
    pub body: ContainerCreateBody,
    /// What stands beside the body's own fields: the engine had one address for a container before it had one for each endpoint
    /// (API 1.44), and bollard has forgotten that.
    #[serde(rename = "MacAddress", skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Further networks by id: more than one endpoint in the request is an error before API 1.44.
    #[serde(skip)]
    pub then_connect: Vec<Joined>,
}

/// An endpoint to connect after creation.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    pub network: String,
    pub network_id: String,
    pub settings: EndpointSettings,
}

/// Builds the request. `image_entrypoint` is the image's own ENTRYPOINT; it is needed only where [`needs_entrypoint`] says so.
///
/// # Errors
/// The network whose id is missing in the creation.
pub fn request(
    creation: &Creation,
    api: (u32, u32),
    image_entrypoint: Option<Vec<String>>,
) -> Result<CreateRequest, String> {
    // Destructured in full: a field that is added to the spec must be given a place here.
    let ContainerSpec {
        image: _,
        platform: _,
        command,
        entrypoint,
        environment,
        labels,
        user,
        working_dir,
        hostname,
        init: _,
        stop_signal,
        stop_grace_period,
        healthcheck,
        ports,
        expose,
        mounts: _,
        tmpfs: _,
        network_mode,
        logging: _,
        read_only: _,
        privileged: _,
        cap_add: _,
        cap_drop: _,
        security_opt: _,
        extra_hosts: _,
        dns: _,
        devices: _,
        ulimits: _,
        sysctls: _,
        shm_size: _,
        lifecycle: _,
        extra: _,
    } = &creation.spec;
    let Extra { domainname, tty, stdin_open, mac_address, .. } = &creation.spec.extra;
    let Endpoints { first, at_once, later } = endpoints(creation, api)?;
    let mut host = host_config(creation, api)?;
    host.network_mode = Some(match (network_mode, &first) {
        (NetworkMode::Networks, Some(first)) => first.network_id.clone(),
        (NetworkMode::Networks, None) => "none".to_owned(),
        (NetworkMode::Bridge, _) => "bridge".to_owned(),
        (NetworkMode::Host, _) => "host".to_owned(),
        (NetworkMode::None, _) => "none".to_owned(),
        (NetworkMode::Service(service), _) => match &creation.parent {
            Some(parent) => format!("container:{}", parent.0),
            None => return Err(format!("the container of service `{service}` to join is not known")),
        },
        (NetworkMode::Container(name), _) => format!("container:{name}"),
    });
    let entrypoint = entrypoint.clone().or(image_entrypoint.filter(|_| needs_entrypoint(&creation.spec)));
    let body = ContainerCreateBody {
        image: Some(creation.image.id.0.clone()),
        cmd: command.clone(),
        entrypoint,
        env: some_list(environment.iter().map(variable).collect()),
        labels: some_map(&labels::of_container(labels, &creation.labels)),
        user: user.clone(),
        working_dir: working_dir.clone(),
        hostname: hostname.clone(),
        domainname: domainname.clone(),
        tty: tty.then_some(true),
        open_stdin: stdin_open.then_some(true),
        stop_signal: stop_signal.clone(),
        stop_timeout: stop_grace_period.map(i64::from),
        healthcheck: health(healthcheck),
        exposed_ports: exposed(ports, expose, network_mode),
        host_config: Some(host),
        networking_config: some_endpoints(first.into_iter().chain(at_once)),
        ..ContainerCreateBody::default()
    };
    // Later engines have it at the endpoint.
    let mac_address = mac_address.clone().filter(|_| api < ENDPOINT_MAC);
    Ok(CreateRequest { body, mac_address, then_connect: later })
}

/// "No command" cannot be said to the engine while the entrypoint is left to the image: it would take the image's command
/// too. With the image's entrypoint spelled out it does not.
#[must_use]
pub fn needs_entrypoint(spec: &ContainerSpec) -> bool {
    spec.entrypoint.is_none() && spec.command.as_ref().is_some_and(Vec::is_empty)
}

fn host_config(creation: &Creation, api: (u32, u32)) -> Result<HostConfig, String> {
    let spec = &creation.spec;
    let lists = mounts::lists(creation, api);
    let mut host = HostConfig {
        // Probation: a container gets its own policy when it has passed its gate.
        restart_policy: Some(resources::restart(RestartPolicy::No)),
        init: spec.init,
        binds: some_list(lists.binds),
        mounts: some_list(lists.mounts),
        tmpfs: some_map(&spec.tmpfs),
        port_bindings: bindings(&spec.ports),
        log_config: spec.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: logging.driver.clone(),
            config: some_map(&logging.options),
        }),
        readonly_rootfs: spec.read_only.then_some(true),
        privileged: spec.privileged.then_some(true),
        cap_add: some_list(spec.cap_add.iter().cloned().collect()),
        cap_drop: some_list(spec.cap_drop.iter().cloned().collect()),
        security_opt: some_list(spec.security_opt.iter().cloned().collect()),
        extra_hosts: some_list(spec.extra_hosts.clone()),
        dns: some_list(spec.dns.clone()),
        devices: some_list(spec.devices.iter().map(device).collect()),
        ulimits: some_list(spec.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
        sysctls: some_map(&spec.sysctls),
        shm_size: spec.shm_size.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..HostConfig::default()
    };
    resources::limit(&mut host, &creation.live.resources);
    extra::apply(&mut host, creation)?;
    Ok(host)
}

/// `NAME=value`; a bare `NAME` takes the image's variable away.
fn variable((name, value): (&String, &Option<Sensitive>)) -> String {
    match value {
        Some(value) => format!("{name}={}", value.expose()),
        None => name.clone(),
    }
}

fn health(check: &Healthcheck) -> Option<HealthConfig> {
    let HealthcheckSpec { test, interval, timeout, start_period, start_interval, retries } = match check {
        Healthcheck::Inherit => return None,
        Healthcheck::Disabled => {
            let test = Some(vec!["NONE".to_owned()]);
            return Some(HealthConfig { test, ..HealthConfig::default() });
        }
        Healthcheck::Set(check) => check,
    };
    let nanoseconds = |value: &Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    Some(HealthConfig {
        test: some_list(test.clone()),
        interval: nanoseconds(interval),
        timeout: nanoseconds(timeout),
        start_period: nanoseconds(start_period),
        start_interval: nanoseconds(start_interval),
        retries: retries.map(i64::from),
    })
}

/// Every published port is exposed too: a binding without this is accepted and not published, on every engine tried.
fn exposed(
    ports: &BTreeSet<PortBinding>,
    expose: &BTreeSet<ContainerPort>,
    mode: &NetworkMode,
) -> Option<Vec<String>> {
    // In another container's namespace the engine refuses the request for exposed ports, which mean nothing there.
    let shared = matches!(mode, NetworkMode::Service(_) | NetworkMode::Container(_));
    let expose = expose.iter().filter(|_| !shared);
    let all: BTreeSet<&ContainerPort> = ports.iter().map(|port| &port.container).chain(expose).collect();
    some_list(all.into_iter().map(port_key).collect())
}

fn bindings(ports: &BTreeSet<PortBinding>) -> Option<PortMap> {
    let mut map: BTreeMap<String, Vec<ApiPortBinding>> = BTreeMap::new();
    for port in ports {
        let host_port = match port.host_port {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        map.entry(port_key(&port.container)).or_default().push(ApiPortBinding {
            host_ip: Some(port.host_ip.map(|ip| ip.to_string()).unwrap_or_default()),
            host_port: Some(host_port),
        });
    }
    (!map.is_empty()).then(|| map.into_iter().map(|(key, list)| (key, Some(list))).collect())
}

fn port_key(port: &ContainerPort) -> String {
    format!("{}/{}", port.port, port.protocol.as_str())
}

fn device(device: &crate::desired::spec::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

fn ulimit(name: &str, limit: crate::desired::spec::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

/// From here on each endpoint has a hardware address of its own, and a request may have more than one endpoint.
const ENDPOINT_MAC: (u32, u32) = (1, 44);

/// The endpoints of a container.
struct Endpoints {
    /// The one that names the network mode.
    first: Option<Joined>,
    /// More of the request: those that want a hardware address can only have it from there.
    at_once: Vec<Joined>,
    /// Joined before the start.
    later: Vec<Joined>,
}

/// Endpoints in the order of joining: higher priority first, because the first one gives the default gateway.
fn endpoints(creation: &Creation, api: (u32, u32)) -> Result<Endpoints, String> {
    let own_mac = creation.spec.extra.mac_address.as_ref().filter(|_| api >= ENDPOINT_MAC);
    if creation.spec.network_mode != NetworkMode::Networks {
        let bridge = own_mac.filter(|_| creation.spec.network_mode == NetworkMode::Bridge);
        let at_once = bridge.map(|mac| Joined {
            network: "bridge".to_owned(),
            network_id: "bridge".to_owned(),
            settings: EndpointSettings { mac_address: Some(mac.clone()), ..EndpointSettings::default() },
        });
        return Ok(Endpoints { first: None, at_once: at_once.into_iter().collect(), later: Vec::new() });
    }
    // The service's name is that of who serves.
    let serves = creation.labels.hook.is_none() && creation.labels.job.is_none();
    let own_name = serves.then(|| creation.labels.service.service.to_string());
    let service: BTreeSet<String> = own_name.into_iter().collect();
    let mut networks: Vec<(&String, &Endpoint)> = creation.live.networks.iter().collect();
    networks.sort_by_key(|(name, endpoint)| (std::cmp::Reverse(endpoint.priority), *name));
    let join = |(name, endpoint): (&String, &Endpoint)| match creation.network_ids.get(name) {
        Some(id) => Ok(Joined {
            network: name.clone(),
            network_id: id.clone(),
            settings: network::endpoint(id, endpoint, &service),
        }),
        None => Err(format!("the id of network `{name}` is not known")),
    };
    let mut all = networks.into_iter().map(join).collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut first = all.next();
    if let (Some(first), Some(mac)) = (&mut first, own_mac) {
        first.settings.mac_address.get_or_insert_with(|| mac.clone());
    }
    let (at_once, later) =
        all.partition(|joined| joined.settings.mac_address.is_some() && api >= ENDPOINT_MAC);
    Ok(Endpoints { first, at_once, later })
}

fn some_endpoints(joined: impl Iterator<Item = Joined>) -> Option<NetworkingConfig> {
    let all: HashMap<String, EndpointSettings> =
        joined.map(|joined| (joined.network_id, joined.settings)).collect();
    (!all.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(all) })
}
