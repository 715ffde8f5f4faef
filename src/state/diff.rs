//! What differs between two specs, field by field: the reason on every replacement.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::desired::spec::{ContainerSpec, LiveSpec, Policy, Resources, ServiceSpec};

/// One field that differs. Values are shown as people would write them; secrets only as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    /// `image`, `environment.LOG_LEVEL`, `deploy.replicas`.
    pub path: String,
    /// `None`: not set.
    pub old: Option<String>,
    pub new: Option<String>,
    pub effect: Effect,
}

/// What it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Only evenkeel reads it.
    None,
    /// The engine changes it while the container runs.
    Live,
    /// A new container.
    Replace,
}

/// Every field that differs, those that replace first. Destructured without `..`, so that a new field forces a decision here.
#[must_use]
pub fn differences(old: &ServiceSpec, new: &ServiceSpec) -> Vec<FieldDifference> {
    let ServiceSpec { container, live, policy, source: _ } = old;
    let mut found = Differences::default();
    found.container(container, &new.container);
    found.live(live, &new.live);
    found.policy(policy, &new.policy);
    found.list.sort_by_key(|difference| std::cmp::Reverse(difference.effect));
    found.list
}

#[derive(Default)]
struct Differences {
    list: Vec<FieldDifference>,
}

impl Differences {
    fn push(&mut self, path: &str, old: Option<String>, new: Option<String>, effect: Effect) {
        if old != new {
            self.list.push(FieldDifference { path: path.to_owned(), old, new, effect });
        }
    }

    /// A field whose text is its value.
    fn text(&mut self, path: &str, old: Option<&String>, new: Option<&String>, effect: Effect) {
        self.push(path, old.cloned(), new.cloned(), effect);
    }

    /// A field shown by its `Debug` form without the noise of `Some`.
    fn value<T: Debug + PartialEq>(&mut self, path: &str, old: &T, new: &T, effect: Effect) {
        if old != new {
            self.push(path, Some(shown(old)), Some(shown(new)), effect);
        }
    }

    fn map<V: Debug + PartialEq>(
        &mut self,
        path: &str,
        old: &BTreeMap<String, V>,
        new: &BTreeMap<String, V>,
        effect: Effect,
    ) {
        for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
            let (before, after) = (old.get(key), new.get(key));
            if before != after {
                self.push(&format!("{path}.{key}"), before.map(shown), after.map(shown), effect);
            }
        }
    }

    fn container(&mut self, old: &ContainerSpec, new: &ContainerSpec) {
        let ContainerSpec {
            image,
            platform,
            command,
            entrypoint,
            environment,
            labels,
            user,
            working_dir,
            hostname,
            init,
            stop_signal,
            stop_grace_period,
            healthcheck,
            ports,
            expose,
            mounts,
            tmpfs,
            network_mode,
            logging,
            read_only,
            privileged,
            cap_add,
            cap_drop,
            security_opt,
            extra_hosts,
            dns,
            devices,
            ulimits,
            sysctls,
            shm_size,
        } = old;
        let replace = Effect::Replace;
        self.text("image", Some(image), Some(&new.image), replace);
        self.text("platform", platform.as_ref(), new.platform.as_ref(), replace);
        self.value("command", command, &new.command, replace);
        self.value("entrypoint", entrypoint, &new.entrypoint, replace);
        self.map("environment", environment, &new.environment, replace);
        self.map("labels", labels, &new.labels, replace);
        self.text("user", user.as_ref(), new.user.as_ref(), replace);
        self.text("working_dir", working_dir.as_ref(), new.working_dir.as_ref(), replace);
        self.text("hostname", hostname.as_ref(), new.hostname.as_ref(), replace);
        self.value("init", init, &new.init, replace);
        self.text("stop_signal", stop_signal.as_ref(), new.stop_signal.as_ref(), replace);
        self.value("stop_grace_period", stop_grace_period, &new.stop_grace_period, replace);
        self.value("healthcheck", healthcheck, &new.healthcheck, replace);
        self.value("ports", ports, &new.ports, replace);
        self.value("expose", expose, &new.expose, replace);
        self.map("volumes", mounts, &new.mounts, replace);
        self.map("tmpfs", tmpfs, &new.tmpfs, replace);
        self.value("network_mode", network_mode, &new.network_mode, replace);
        self.value("logging", logging, &new.logging, replace);
        self.value("read_only", read_only, &new.read_only, replace);
        self.value("privileged", privileged, &new.privileged, replace);
        self.value("cap_add", cap_add, &new.cap_add, replace);
        self.value("cap_drop", cap_drop, &new.cap_drop, replace);
        self.value("security_opt", security_opt, &new.security_opt, replace);
        self.value("extra_hosts", extra_hosts, &new.extra_hosts, replace);
        self.value("dns", dns, &new.dns, replace);
        self.value("devices", devices, &new.devices, replace);
        self.map("ulimits", ulimits, &new.ulimits, replace);
        self.map("sysctls", sysctls, &new.sysctls, replace);
        self.value("shm_size", shm_size, &new.shm_size, replace);
    }

    fn live(&mut self, old: &LiveSpec, new: &LiveSpec) {
        let LiveSpec { restart, resources, networks, container_name } = old;
        self.value("restart", restart, &new.restart, Effect::Live);
        self.resources(resources, &new.resources);
        self.map("networks", networks, &new.networks, Effect::Live);
        self.text("container_name", container_name.as_ref(), new.container_name.as_ref(), Effect::Live);
    }

    fn resources(&mut self, old: &Resources, new: &Resources) {
        let Resources {
            memory,
            memory_reservation,
            memory_swap,
            nano_cpus,
            cpu_shares,
            cpu_period,
            cpu_quota,
            cpuset,
            pids,
        } = old;
        let effect = if super::live::reachable(old, new) { Effect::Live } else { Effect::Replace };
        self.value("memory", memory, &new.memory, effect);
        self.value("memory_reservation", memory_reservation, &new.memory_reservation, effect);
        self.value("memory_swap", memory_swap, &new.memory_swap, effect);
        self.value("cpus", nano_cpus, &new.nano_cpus, effect);
        self.value("cpu_shares", cpu_shares, &new.cpu_shares, effect);
        self.value("cpu_period", cpu_period, &new.cpu_period, effect);
        self.value("cpu_quota", cpu_quota, &new.cpu_quota, effect);
        self.value("cpuset", cpuset, &new.cpuset, effect);
        self.value("pids", pids, &new.pids, effect);
    }

    fn policy(&mut self, old: &Policy, new: &Policy) {
        let Policy { replicas, pull, depends_on, update } = old;
        self.value("deploy.replicas", replicas, &new.replicas, Effect::None);
        self.value("pull_policy", pull, &new.pull, Effect::None);
        self.value("depends_on", depends_on, &new.depends_on, Effect::None);
        self.value("deploy.update_config", update, &new.update, Effect::None);
    }
}

/// `Debug` text as people would write it: no `Some(...)`, no quotes around plain words, capped.
fn shown<T: Debug>(value: &T) -> String {
    let text = format!("{value:?}");
    let text = text.strip_prefix("Some(").and_then(|inner| inner.strip_suffix(')')).unwrap_or(&text);
    let text = if text == "None" { "unset" } else { text };
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The replacing differences in a line: `image web:1.0 -> web:1.1, environment.LOG_LEVEL`.
#[must_use]
pub fn summary(differences: &[FieldDifference]) -> String {
    let mut parts: Vec<String> = differences.iter().take(3).map(one_line).collect();
    if differences.len() > 3 {
        parts.push(format!("and {} more", differences.len() - 3));
    }
    parts.join(", ")
}

fn one_line(difference: &FieldDifference) -> String {
    let FieldDifference { path, old, new, effect: _ } = difference;
    let unset = "unset".to_owned();
    let (old, new) = (old.as_ref().unwrap_or(&unset), new.as_ref().unwrap_or(&unset));
    if old.len() + new.len() > 80 { path.clone() } else { format!("{path} {old} -> {new}") }
}
