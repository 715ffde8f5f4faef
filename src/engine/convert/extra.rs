//! The rarer fields of a create request, and of what an engine reports of a container.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    DeviceRequest as ApiDeviceRequest, HostConfig, HostConfigCgroupnsModeEnum, ResourcesBlkioWeightDevice,
    ThrottleDevice,
};

use super::answers;
use super::network::{some_list, some_map};
use crate::desired::ident::ServiceName;
use crate::desired::spec::{Blkio, DeviceRequest, Extra, Link, Namespace, Other, VolumesFrom};
use crate::state::plan::Creation;

/// Puts them into the host's part.
///
/// # Errors
/// The service whose container must be named in the request and is not known.
pub(super) fn apply(host: &mut HostConfig, creation: &Creation) -> Result<(), String> {
    // Destructured in full: a field that is added to the spec must be given a place here.
    let Extra {
        annotations,
        blkio,
        cgroup,
        cgroup_parent,
        device_cgroup_rules,
        device_requests,
        dns_opt,
        dns_search,
        // These three are fields of the container, not of its host's part.
        domainname: _,
        stdin_open: _,
        tty: _,
        group_add,
        ipc,
        links,
        // At an endpoint, or beside the body.
        mac_address: _,
        mem_swappiness,
        oom_kill_disable,
        oom_score_adj,
        pid,
        runtime,
        storage_opt,
        unmasked,
        userns_mode,
        uts,
        volumes_from,
    } = &creation.spec.extra;
    host.annotations = some_map(annotations);
    apply_blkio(host, blkio);
    host.cgroupns_mode = cgroup.as_deref().map(|mode| match mode {
        "host" => HostConfigCgroupnsModeEnum::HOST,
        _ => HostConfigCgroupnsModeEnum::PRIVATE,
    });
    host.cgroup_parent.clone_from(cgroup_parent);
    host.device_cgroup_rules = some_list(device_cgroup_rules.clone());
    host.device_requests = some_list(device_requests.iter().map(device_request).collect());
    host.dns_options = some_list(dns_opt.clone());
    host.dns_search = some_list(dns_search.clone());
    host.group_add = some_list(group_add.iter().cloned().collect());
    host.memory_swappiness = mem_swappiness.map(i64::from);
    host.oom_kill_disable = oom_kill_disable.then_some(true);
    host.oom_score_adj = oom_score_adj.map(i64::from);
    host.runtime.clone_from(runtime);
    host.storage_opt = some_map(storage_opt);
    if *unmasked {
        (host.masked_paths, host.readonly_paths) = (Some(Vec::new()), Some(Vec::new()));
    }
    host.userns_mode.clone_from(userns_mode);
    host.uts_mode.clone_from(uts);
    let tied = |name: &ServiceName| match creation.tied.get(name) {
        Some(id) => Ok(id.0.clone()),
        None => Err(format!("the container of service `{name}` is not known")),
    };
    let other = |other: &Other| match other {
        Other::Service(name) => tied(name),
        Other::Container(name) => Ok(name.clone()),
    };
    let namespace = |namespace: &Namespace| {
        Ok::<_, String>(match namespace {
            Namespace::Host => "host".to_owned(),
            Namespace::Shareable => "shareable".to_owned(),
            Namespace::Private => "private".to_owned(),
            Namespace::None => "none".to_owned(),
            Namespace::Service(name) => format!("container:{}", tied(name)?),
            Namespace::Container(name) => format!("container:{name}"),
        })
    };
    host.ipc_mode = ipc.as_ref().map(namespace).transpose()?;
    host.pid_mode = pid.as_ref().map(namespace).transpose()?;
    let link = |Link { to, alias }: &Link| Ok::<_, String>(format!("{}:{alias}", other(to)?));
    host.links = some_list(links.iter().map(link).collect::<Result<_, _>>()?);
    let volumes = |VolumesFrom { from, read_only }: &VolumesFrom| {
        Ok::<_, String>(format!("{}{}", other(from)?, if *read_only { ":ro" } else { "" }))
    };
    host.volumes_from = some_list(volumes_from.iter().map(volumes).collect::<Result<_, _>>()?);
    Ok(())
}

fn apply_blkio(host: &mut HostConfig, blkio: &Blkio) {
    let Blkio { weight, weight_device, read_bps, write_bps, read_iops, write_iops } = blkio;
    let rates = |rates: &BTreeMap<String, u64>| {
        let rate = |(path, rate): (&String, &u64)| ThrottleDevice {
            path: Some(path.clone()),
            rate: Some(i64::try_from(*rate).unwrap_or(i64::MAX)),
        };
        some_list(rates.iter().map(rate).collect())
    };
    host.blkio_weight = *weight;
    let weights = weight_device.iter().map(|(path, weight)| ResourcesBlkioWeightDevice {
        path: Some(path.clone()),
        weight: Some(usize::from(*weight)),
    });
    host.blkio_weight_device = some_list(weights.collect());
    host.blkio_device_read_bps = rates(read_bps);
    host.blkio_device_write_bps = rates(write_bps);
    host.blkio_device_read_iops = rates(read_iops);
    host.blkio_device_write_iops = rates(write_iops);
}

fn device_request(request: &DeviceRequest) -> ApiDeviceRequest {
    let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    ApiDeviceRequest {
        driver: driver.clone(),
        count: (*count != 0).then_some(*count),
        device_ids: some_list(device_ids.clone()),
        // A list of alternatives, of which Compose has one.
        capabilities: some_list(capabilities.clone()).map(|all| vec![all]),
        options: some_map(options),
    }
}

/// What an engine reports of them. What it fills in by itself stands there as if somebody had asked for it: `seen` knows what that is.
pub(super) fn read(config: &answers::ContainerConfig, host: &answers::HostConfig) -> Extra {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Extra {
        annotations: host.annotations.clone(),
        blkio: read_blkio(host),
        cgroup: text(&host.cgroupns_mode),
        cgroup_parent: text(&host.cgroup_parent),
        device_cgroup_rules: host.device_cgroup_rules.clone(),
        device_requests: host.device_requests.iter().map(read_request).collect(),
        dns_opt: host.dns_options.clone(),
        dns_search: host.dns_search.clone(),
        domainname: text(&config.domainname),
        group_add: host.group_add.iter().cloned().collect(),
        ipc: read_namespace(&host.ipc_mode),
        // By names that the engine has made up, of containers and not of services.
        links: BTreeSet::new(),
        mac_address: text(&config.mac_address),
        // -1 is what engines say that have no word for "not set".
        mem_swappiness: host.memory_swappiness.and_then(|value| u8::try_from(value).ok()),
        oom_kill_disable: host.oom_kill_disable,
        oom_score_adj: i32::try_from(host.oom_score_adj).ok().filter(|value| *value != 0),
        pid: read_namespace(&host.pid_mode),
        runtime: text(&host.runtime),
        stdin_open: config.open_stdin,
        storage_opt: host.storage_opt.clone(),
        tty: config.tty,
        // Not a field of its own: the lists of what is masked say it, where they say something.
        unmasked: false,
        userns_mode: text(&host.userns_mode),
        uts: text(&host.uts_mode),
        volumes_from: host.volumes_from.iter().map(|text| read_lender(text)).collect(),
    }
}

fn read_blkio(host: &answers::HostConfig) -> Blkio {
    let rates = |rates: &[answers::DeviceRate]| -> BTreeMap<String, u64> {
        let rate = |rate: &answers::DeviceRate| Some((rate.path.clone(), u64::try_from(rate.rate).ok()?));
        rates.iter().filter_map(rate).collect()
    };
    let weight = |weight: i64| u16::try_from(weight).ok().filter(|weight| *weight > 0);
    let weights = host.blkio_weight_device.iter();
    Blkio {
        weight: weight(host.blkio_weight),
        weight_device: weights.filter_map(|at| Some((at.path.clone(), weight(at.weight)?))).collect(),
        read_bps: rates(&host.blkio_device_read_bps),
        write_bps: rates(&host.blkio_device_write_bps),
        read_iops: rates(&host.blkio_device_read_iops),
        write_iops: rates(&host.blkio_device_write_iops),
    }
}

fn read_namespace(mode: &str) -> Option<Namespace> {
    Some(match mode {
        "" => return None,
        "host" => Namespace::Host,
        "shareable" => Namespace::Shareable,
        "none" => Namespace::None,
        mode => match mode.strip_prefix("container:") {
            Some(name) => Namespace::Container(name.to_owned()),
            None => Namespace::Private,
        },
    })
}

fn read_lender(text: &str) -> VolumesFrom {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    VolumesFrom {
        from: Other::Container(name.to_owned()),
        read_only: mode.split(',').any(|word| word == "ro"),
    }
}

fn read_request(request: &answers::WantedDevice) -> DeviceRequest {
    DeviceRequest {
        driver: Some(request.driver.clone()).filter(|driver| !driver.is_empty()),
        count: request.count,
        device_ids: request.device_ids.clone(),
        // A list of alternatives, of which Compose has one.
        capabilities: request.capabilities.first().cloned().unwrap_or_default(),
        options: request.options.clone(),
    }
}
