//! The rarer fields of a report.

use std::collections::BTreeMap;

use super::{Scope, named, shares_a_namespace};
use crate::desired::spec::{Blkio, DeviceRequest, Extra, Namespace, NetworkMode};
use crate::state::baked::Baked;

/// What is reported of them, in the words of `wanted` wherever both say the same.
///
/// An engine fills in a namespace, a runtime and a cgroup that nobody asked for, and forgets with a warning what its kernel cannot do
/// (weights of block devices, swappiness, the switch of the OOM killer). Neither is anybody's doing.
pub(super) fn seen(wanted: &Extra, baked: &Baked, mode: &NetworkMode, scope: Scope) -> Extra {
    // Destructured in full: a field that is added must be read here, or be known to be no good.
    let Extra {
        annotations,
        blkio,
        cgroup,
        cgroup_parent,
        device_cgroup_rules,
        device_requests,
        dns_opt,
        dns_search,
        domainname,
        group_add,
        ipc,
        // Told with names of containers where the spec has those of services.
        links: _,
        mac_address,
        mem_swappiness,
        oom_kill_disable,
        oom_score_adj,
        pid,
        runtime,
        stdin_open,
        storage_opt,
        tty,
        // See `Baked::unmasked`.
        unmasked: _,
        userns_mode,
        uts,
        volumes_from,
    } = &baked.extra;
    let everything = scope == Scope::Everything;
    let mut seen = wanted.clone();
    (seen.tty, seen.stdin_open) = (*tty, *stdin_open);
    // Engines before API 1.43 do not know them.
    if everything || !annotations.is_empty() {
        named(&mut seen.annotations, annotations, everything);
    }
    named(&mut seen.storage_opt, storage_opt, everything);
    seen.blkio = block(&wanted.blkio, blkio);
    for (field, given) in [
        (&mut seen.device_cgroup_rules, device_cgroup_rules),
        (&mut seen.dns_opt, dns_opt),
        (&mut seen.dns_search, dns_search),
    ] {
        if everything || !field.is_empty() {
            field.clone_from(given);
        }
    }
    if everything || !wanted.group_add.is_empty() {
        seen.group_add.clone_from(group_add);
    }
    let asks = |all: &[DeviceRequest]| -> Vec<DeviceRequest> { all.iter().map(plain).collect() };
    if asks(&wanted.device_requests) != asks(device_requests) {
        seen.device_requests.clone_from(device_requests);
    }
    seen.ipc = namespace(&wanted.ipc, ipc);
    seen.pid = namespace(&wanted.pid, pid);
    let host = Some("host".to_owned());
    for (field, given) in [(&mut seen.uts, uts), (&mut seen.userns_mode, userns_mode)] {
        if everything || field.is_some() || *given == host {
            field.clone_from(given);
        }
    }
    // Which of the two an engine takes by itself is its own business.
    for (field, given) in [(&mut seen.cgroup, cgroup), (&mut seen.runtime, runtime)] {
        if field.is_some() && given.is_some() {
            field.clone_from(given);
        }
    }
    if everything || wanted.cgroup_parent.is_some() {
        seen.cgroup_parent.clone_from(cgroup_parent);
    }
    // In another's namespace the name is that one's.
    if (everything || wanted.domainname.is_some()) && !shares_a_namespace(mode) {
        seen.domainname.clone_from(domainname);
    }
    let address = |address: &Option<String>| address.as_ref().map(|text| text.to_ascii_lowercase());
    let addressed = everything || wanted.mac_address.is_some();
    // Later engines tell it at the endpoint alone, where one of their own making stands too.
    if addressed && mac_address.is_some() && address(&wanted.mac_address) != address(mac_address) {
        seen.mac_address.clone_from(mac_address);
    }
    if (everything || wanted.mem_swappiness.is_some()) && mem_swappiness.is_some() {
        seen.mem_swappiness = *mem_swappiness;
    }
    seen.oom_kill_disable |= oom_kill_disable;
    let adjusted = wanted.oom_score_adj.unwrap_or_default() != oom_score_adj.unwrap_or_default();
    if (everything || wanted.oom_score_adj.is_some()) && adjusted {
        seen.oom_score_adj = Some(oom_score_adj.unwrap_or_default());
    }
    match baked.unmasked {
        // Nothing is masked in a privileged container, whoever asked for it.
        _ if baked.privileged => {}
        Some(unmasked) if everything || wanted.unmasked => seen.unmasked = unmasked,
        _ => {}
    }
    // Whose they are is told by ids; that there are some is all that can be compared.
    if volumes_from.is_empty() {
        seen.volumes_from.clear();
    }
    seen
}

/// Which container it is that shares its own is looked at where that one is known.
fn namespace(wanted: &Option<Namespace>, given: &Option<Namespace>) -> Option<Namespace> {
    use Namespace as N;
    let same = match (wanted, given) {
        (None | Some(N::Private | N::Shareable), None) => true,
        (None, Some(given)) => matches!(given, N::Private | N::Shareable),
        (Some(N::Service(_) | N::Container(_)), Some(N::Container(_))) => true,
        (Some(wanted), Some(given)) => wanted == given,
        (Some(_), None) => false,
    };
    if same { wanted.clone() } else { given.clone() }
}

/// Kernels differ in what they can do: an engine forgets what its own cannot.
fn block(wanted: &Blkio, given: &Blkio) -> Blkio {
    fn rates<V: Clone>(wanted: &BTreeMap<String, V>, given: &BTreeMap<String, V>) -> BTreeMap<String, V> {
        if given.is_empty() { wanted.clone() } else { given.clone() }
    }
    Blkio {
        weight: given.weight.or(wanted.weight),
        weight_device: rates(&wanted.weight_device, &given.weight_device),
        read_bps: rates(&wanted.read_bps, &given.read_bps),
        write_bps: rates(&wanted.write_bps, &given.write_bps),
        read_iops: rates(&wanted.read_iops, &given.read_iops),
        write_iops: rates(&wanted.write_iops, &given.write_iops),
    }
}

/// Without what is no difference: the order of what all must be there, and a driver that nobody named.
fn plain(request: &DeviceRequest) -> DeviceRequest {
    let mut plain = request.clone();
    plain.capabilities.sort();
    plain.device_ids.sort();
    plain.driver = plain.driver.filter(|driver| !driver.is_empty());
    plain
}
