//! The rarer keys of a service.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Writer, key, quoted};
use crate::desired::spec::{Blkio, DeviceRequest, Extra, Namespace};

pub(super) fn write(out: &mut Writer, extra: &Extra) {
    for (name, on) in
        [("tty", extra.tty), ("stdin_open", extra.stdin_open), ("oom_kill_disable", extra.oom_kill_disable)]
    {
        if on {
            out.raw(name, "true");
        }
    }
    for (name, space) in [("ipc", &extra.ipc), ("pid", &extra.pid)] {
        out.text(name, space.as_ref().map(namespace).as_ref());
    }
    for (name, text) in [
        ("uts", &extra.uts),
        ("userns_mode", &extra.userns_mode),
        ("cgroup", &extra.cgroup),
        ("cgroup_parent", &extra.cgroup_parent),
        ("runtime", &extra.runtime),
        ("domainname", &extra.domainname),
        ("mac_address", &extra.mac_address),
    ] {
        out.text(name, text.as_ref());
    }
    out.list("group_add", &extra.group_add);
    out.list("dns_opt", &extra.dns_opt);
    out.list("dns_search", &extra.dns_search);
    out.list("device_cgroup_rules", &extra.device_cgroup_rules);
    if let Some(value) = extra.mem_swappiness {
        out.raw("mem_swappiness", &value.to_string());
    }
    if let Some(value) = extra.oom_score_adj {
        out.raw("oom_score_adj", &value.to_string());
    }
    out.map("annotations", &extra.annotations);
    out.map("storage_opt", &extra.storage_opt);
    blkio(out, &extra.blkio);
    let (gpus, others): (Vec<_>, Vec<_>) = extra
        .device_requests
        .iter()
        .partition(|request| request.capabilities.iter().any(|word| word == "gpu"));
    requests(out, "gpus", &gpus);
    requests(out, "deploy.resources.reservations.devices", &others);
}

fn namespace(space: &Namespace) -> String {
    match space {
        Namespace::Host => "host".to_owned(),
        Namespace::Shareable => "shareable".to_owned(),
        Namespace::Private => "private".to_owned(),
        Namespace::None => "none".to_owned(),
        Namespace::Service(name) => format!("service:{name}"),
        Namespace::Container(name) => format!("container:{name}"),
    }
}

fn blkio(out: &mut Writer, blkio: &Blkio) {
    let Blkio { weight, weight_device, read_bps, write_bps, read_iops, write_iops } = blkio;
    let mut parts: Vec<String> = weight.iter().map(|weight| format!("weight = {weight}")).collect();
    let mut devices = |name: &str, word: &str, rows: Vec<(&String, String)>| {
        let rows: Vec<String> = rows
            .into_iter()
            .map(|(path, value)| format!("{{ path = {}, {word} = {value} }}", quoted(path)))
            .collect();
        if !rows.is_empty() {
            parts.push(format!("{name} = [{}]", rows.join(", ")));
        }
    };
    fn rows<V: Display>(all: &BTreeMap<String, V>) -> Vec<(&String, String)> {
        all.iter().map(|(path, value)| (path, value.to_string())).collect()
    }
    devices("weight_device", "weight", rows(weight_device));
    devices("device_read_bps", "rate", rows(read_bps));
    devices("device_write_bps", "rate", rows(write_bps));
    devices("device_read_iops", "rate", rows(read_iops));
    devices("device_write_iops", "rate", rows(write_iops));
    if !parts.is_empty() {
        out.raw("blkio_config", &format!("{{ {} }}", parts.join(", ")));
    }
}

fn requests(out: &mut Writer, name: &str, requests: &[&DeviceRequest]) {
    let words = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        format!("[{}]", words.join(", "))
    };
    let one = |request: &&DeviceRequest| {
        let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
        let mut parts = vec![format!("capabilities = {}", words(capabilities))];
        parts.extend(driver.iter().map(|driver| format!("driver = {}", quoted(driver))));
        match (device_ids.is_empty(), count) {
            (false, _) => parts.push(format!("device_ids = {}", words(device_ids))),
            (true, -1) => parts.push("count = \"all\"".to_owned()),
            (true, count) => parts.push(format!("count = {count}")),
        }
        if !options.is_empty() {
            let options: Vec<String> =
                options.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
            parts.push(format!("options = {{ {} }}", options.join(", ")));
        }
        format!("{{ {} }}", parts.join(", "))
    };
    if !requests.is_empty() {
        let all: Vec<String> = requests.iter().map(one).collect();
        out.raw(name, &format!("[{}]", all.join(", ")));
    }
}
