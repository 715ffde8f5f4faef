//! A spec as a state file that says it: for what was started by hand and is to be written down.
//!
//! Only what `ContainerSpec` and `LiveSpec` hold is written. Whether it says the same is for the loader to tell: whoever writes one loads it again and
//! compares.

mod extra;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::spec::{
    ContainerSpec, Healthcheck, LiveSpec, Mount, MountSource, NetworkMode, PortBinding, Resources,
    RestartPolicy,
};

/// A whole file with one service. Networks and volumes in it were made by others, and are said to be.
#[must_use]
pub fn service(name: &str, container: &ContainerSpec, live: &LiveSpec) -> String {
    let mut out = Writer::default();
    out.line(&format!("[services.{}]", key(name)));
    out.text("image", Some(&container.image));
    out.text("container_name", live.container_name.as_ref());
    process(&mut out, container);
    storage(&mut out, container);
    network(&mut out, container, live);
    isolation(&mut out, container);
    extra::write(&mut out, &container.extra);
    restart(&mut out, live.restart);
    limits(&mut out, &live.resources);
    tables(&mut out, container, live);
    out.text
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
    fn raw(&mut self, name: &str, value: &str) {
        self.line(&format!("{name} = {value}"));
    }
    fn text(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.raw(name, &quoted(value));
        }
    }
    fn words<'a>(&mut self, name: &str, words: impl IntoIterator<Item = &'a String>) {
        let words: Vec<String> = words.into_iter().map(|word| quoted(word)).collect();
        self.raw(name, &format!("[{}]", words.join(", ")));
    }
    /// A list that is left out when there is nothing in it.
    fn list<'a>(&mut self, name: &str, words: impl IntoIterator<Item = &'a String>) {
        let mut words = words.into_iter().peekable();
        if words.peek().is_some() {
            self.words(name, words);
        }
    }
    fn map(&mut self, name: &str, entries: &BTreeMap<String, String>) {
        if !entries.is_empty() {
            let entries: Vec<String> =
                entries.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
            self.raw(name, &format!("{{ {} }}", entries.join(", ")));
        }
    }
}

/// A string of TOML; a dollar begins a variable, so it is doubled.
fn quoted(text: &str) -> String {
    toml::Value::String(text.replace('$', "$$")).to_string()
}

fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

fn process(out: &mut Writer, spec: &ContainerSpec) {
    for (name, words) in [("entrypoint", &spec.entrypoint), ("command", &spec.command)] {
        if let Some(words) = words {
            out.words(name, words);
        }
    }
    out.text("user", spec.user.as_ref());
    out.text("working_dir", spec.working_dir.as_ref());
    out.text("hostname", spec.hostname.as_ref());
    if let Some(init) = spec.init {
        out.raw("init", &init.to_string());
    }
    out.text("stop_signal", spec.stop_signal.as_ref());
    if let Some(seconds) = spec.stop_grace_period {
        out.raw("stop_grace_period", &format!("\"{seconds}s\""));
    }
}

fn storage(out: &mut Writer, spec: &ContainerSpec) {
    let mounts: Vec<String> =
        spec.mounts.iter().filter_map(|(target, mount)| short_mount(target, mount)).collect();
    out.list("volumes", &mounts);
    let tmpfs: Vec<String> = spec
        .tmpfs
        .iter()
        .map(
            |(target, options)| {
                if options.is_empty() { target.clone() } else { format!("{target}:{options}") }
            },
        )
        .collect();
    out.list("tmpfs", &tmpfs);
}

fn short_mount(target: &str, mount: &Mount) -> Option<String> {
    let mut options: Vec<&str> = Vec::new();
    if mount.read_only {
        options.push("ro");
    }
    let source = match &mount.source {
        MountSource::Bind { path, propagation, .. } => {
            options.extend(propagation.as_deref());
            path.clone()
        }
        MountSource::Volume { name: Some(name), .. } => name.clone(),
        MountSource::Volume { name: None, .. } => return Some(target.to_owned()),
        _ => return None,
    };
    let options = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
    Some(format!("{source}:{target}{options}"))
}

fn network(out: &mut Writer, spec: &ContainerSpec, live: &LiveSpec) {
    match &spec.network_mode {
        NetworkMode::Bridge => out.raw("network_mode", "\"bridge\""),
        NetworkMode::Host => out.raw("network_mode", "\"host\""),
        NetworkMode::None => out.raw("network_mode", "\"none\""),
        NetworkMode::Container(name) => out.raw("network_mode", &quoted(&format!("container:{name}"))),
        NetworkMode::Service(name) => out.raw("network_mode", &quoted(&format!("service:{name}"))),
        NetworkMode::Networks => {}
    }
    let ports: Vec<String> = spec.ports.iter().map(port).collect();
    out.list("ports", &ports);
    let expose: Vec<String> =
        spec.expose.iter().map(|port| format!("{}/{}", port.port, port.protocol.as_str())).collect();
    out.list("expose", &expose);
    out.list("extra_hosts", &spec.extra_hosts);
    out.list("dns", &spec.dns);
    let plain = live
        .networks
        .values()
        .all(|at| at.aliases.is_empty() && at.ipv4_address.is_none() && at.ipv6_address.is_none());
    if plain {
        out.list("networks", live.networks.keys());
    }
}

fn port(binding: &PortBinding) -> String {
    let container = format!("{}/{}", binding.container.port, binding.container.protocol.as_str());
    let host = match binding.host_port {
        None => String::new(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
    };
    match binding.host_ip {
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{host}:{container}"),
        Some(ip) => format!("{ip}:{host}:{container}"),
        None if host.is_empty() => container,
        None => format!("{host}:{container}"),
    }
}

fn isolation(out: &mut Writer, spec: &ContainerSpec) {
    for (name, on) in [("read_only", spec.read_only), ("privileged", spec.privileged)] {
        if on {
            out.raw(name, "true");
        }
    }
    out.list("cap_add", &spec.cap_add);
    out.list("cap_drop", &spec.cap_drop);
    let unmasked = spec.extra.unmasked.then(|| "systempaths=unconfined".to_owned());
    out.list("security_opt", spec.security_opt.iter().chain(&unmasked));
    let devices: Vec<String> = spec
        .devices
        .iter()
        .map(|device| format!("{}:{}:{}", device.host, device.container, device.permissions))
        .collect();
    out.list("devices", &devices);
    out.map("sysctls", &spec.sysctls);
    if !spec.ulimits.is_empty() {
        let limits: Vec<String> = spec
            .ulimits
            .iter()
            .map(|(name, limit)| {
                format!("{} = {{ soft = {}, hard = {} }}", key(name), limit.soft, limit.hard)
            })
            .collect();
        out.raw("ulimits", &format!("{{ {} }}", limits.join(", ")));
    }
    if let Some(bytes) = spec.shm_size {
        out.raw("shm_size", &bytes.to_string());
    }
}

fn restart(out: &mut Writer, policy: RestartPolicy) {
    let word = match policy {
        RestartPolicy::No => return,
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        RestartPolicy::OnFailure { max_retries: 0 } => "on-failure".to_owned(),
        RestartPolicy::OnFailure { max_retries } => format!("on-failure:{max_retries}"),
    };
    out.raw("restart", &quoted(&word));
}

fn limits(out: &mut Writer, limits: &Resources) {
    let Resources {
        memory,
        memory_reservation,
        memory_swap,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_rt_period,
        cpu_rt_runtime,
        cpuset,
        pids,
    } = limits;
    let mut number = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.raw(name, &value);
        }
    };
    number("mem_limit", memory.map(|bytes| bytes.to_string()));
    number("mem_reservation", memory_reservation.map(|bytes| bytes.to_string()));
    number("memswap_limit", memory_swap.map(|bytes| bytes.to_string()));
    number("cpus", nano_cpus.map(|nano| format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)));
    number("cpu_shares", cpu_shares.map(|shares| shares.to_string()));
    number("cpu_period", cpu_period.map(|micros| micros.to_string()));
    number("cpu_quota", cpu_quota.map(|micros| micros.to_string()));
    number("cpu_rt_period", cpu_rt_period.map(|micros| micros.to_string()));
    number("cpu_rt_runtime", cpu_rt_runtime.map(|micros| micros.to_string()));
    number("pids_limit", pids.map(|pids| pids.to_string()));
    out.text("cpuset", cpuset.as_ref());
}

/// What has tables of its own, and so comes last.
fn tables(out: &mut Writer, spec: &ContainerSpec, live: &LiveSpec) {
    let header = |out: &mut Writer, table: &str| out.line(&format!("\n{table}"));
    let name = out.text.lines().next().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if !spec.environment.is_empty() {
        header(out, &format!("[{name}.environment]"));
        for (variable, value) in &spec.environment {
            // A variable that is taken away has no form in a table: the reader is told by the comparison.
            if let Some(value) = value {
                out.raw(&key(variable), &quoted(value.expose()));
            }
        }
    }
    if !spec.labels.is_empty() {
        header(out, &format!("[{name}.labels]"));
        for (label, value) in &spec.labels {
            out.raw(&toml::Value::String(label.clone()).to_string(), &quoted(value));
        }
    }
    match &spec.healthcheck {
        Healthcheck::Inherit => {}
        Healthcheck::Disabled => {
            header(out, &format!("[{name}.healthcheck]"));
            out.raw("disable", "true");
        }
        Healthcheck::Set(check) => {
            header(out, &format!("[{name}.healthcheck]"));
            out.list("test", &check.test);
            for (field, ns) in [
                ("interval", check.interval),
                ("timeout", check.timeout),
                ("start_period", check.start_period),
                ("start_interval", check.start_interval),
            ] {
                if let Some(ns) = ns {
                    out.raw(field, &format!("\"{}\"", duration(ns)));
                }
            }
            if let Some(retries) = check.retries {
                out.raw("retries", &retries.to_string());
            }
        }
    }
    if let Some(logging) = &spec.logging {
        header(out, &format!("[{name}.logging]"));
        out.text("driver", logging.driver.as_ref());
        out.map("options", &logging.options);
    }
    let plain = live
        .networks
        .values()
        .all(|at| at.aliases.is_empty() && at.ipv4_address.is_none() && at.ipv6_address.is_none());
    for (network, at) in live.networks.iter().filter(|_| !plain) {
        header(out, &format!("[{name}.networks.{}]", key(network)));
        out.list("aliases", &at.aliases);
        out.text("ipv4_address", at.ipv4_address.as_ref());
        out.text("ipv6_address", at.ipv6_address.as_ref());
    }
    let made_elsewhere = |out: &mut Writer, kind: &str, what: &str| {
        header(out, &format!("[{kind}.{}]", key(what)));
        out.raw("external", "true");
        out.raw("name", &quoted(what));
    };
    for network in live.networks.keys() {
        made_elsewhere(out, "networks", network);
    }
    for mount in spec.mounts.values() {
        if let MountSource::Volume { name: Some(volume), .. } = &mount.source {
            made_elsewhere(out, "volumes", volume);
        }
    }
}

fn duration(ns: u64) -> String {
    match ns {
        ns if ns.is_multiple_of(1_000_000_000) => format!("{}s", ns / 1_000_000_000),
        ns if ns.is_multiple_of(1_000_000) => format!("{}ms", ns / 1_000_000),
        ns if ns.is_multiple_of(1_000) => format!("{}us", ns / 1_000),
        ns => format!("{ns}ns"),
    }
}
