//! What differs between two specs, field by field: the reason on every replacement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::{Billionths, Duration, Size, Words};
use crate::desired::hooks::{Hook, Lifecycle};
use crate::desired::provided::FileKey;
use crate::desired::spec::{
    Blkio, ContainerSpec, DriftGroup, Endpoint, Extra, Healthcheck, HealthcheckSpec, LiveFile, LiveSpec,
    Logging, Mount, MountSource, Policy, Resources, RollbackConfig, Rollout, ServiceSpec, UpdateConfig,
};

/// One field that differs. Values are shown as people would write them (`words`); secrets only as digests.
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

/// The same of what a container is made of.
#[must_use]
pub fn container_differences(old: &ContainerSpec, new: &ContainerSpec) -> Vec<FieldDifference> {
    let mut found = Differences::default();
    found.container(old, new);
    found.list
}

/// The same of what is changed in place.
#[must_use]
pub fn live_differences(old: &LiveSpec, new: &LiveSpec) -> Vec<FieldDifference> {
    let mut found = Differences::default();
    found.live(old, new);
    found.list
}

#[derive(Default)]
struct Differences {
    list: Vec<FieldDifference>,
}

impl Differences {
    fn push(&mut self, path: &str, old: Option<String>, new: Option<String>, effect: Effect) {
        if old != new {
            let (old, new) = (old.map(capped), new.map(capped));
            self.list.push(FieldDifference { path: path.to_owned(), old, new, effect });
        }
    }

    /// A field whose text is its value.
    fn text(&mut self, path: &str, old: Option<&String>, new: Option<&String>, effect: Effect) {
        self.push(path, old.cloned(), new.cloned(), effect);
    }

    fn value<T: Words>(&mut self, path: &str, old: &T, new: &T, effect: Effect) {
        self.push(path, Some(old.words()), Some(new.words()), effect);
    }

    /// A field that may be left out.
    fn option<T: Words>(&mut self, path: &str, old: Option<T>, new: Option<T>, effect: Effect) {
        self.push(path, old.map(|value| value.words()), new.map(|value| value.words()), effect);
    }

    /// `environment.LOG_LEVEL`.
    fn map<V: Words>(
        &mut self,
        path: &str,
        old: &BTreeMap<String, V>,
        new: &BTreeMap<String, V>,
        effect: Effect,
    ) {
        self.entries(old, new, effect, |key| format!("{path}.{key}"));
    }

    /// `volumes[/data]`: by the place in the container.
    fn targets<V: Words>(
        &mut self,
        path: &str,
        old: &BTreeMap<String, V>,
        new: &BTreeMap<String, V>,
        effect: Effect,
    ) {
        self.entries(old, new, effect, |key| format!("{path}[{key}]"));
    }

    /// Files of secrets and configs are told by what is in them; where they lie says nothing to anybody.
    fn mounts(&mut self, old: &BTreeMap<String, Mount>, new: &BTreeMap<String, Mount>) {
        let of_ours = |mount: Option<&Mount>| match &mount?.source {
            MountSource::Bind { path, create: false, .. } => FileKey::parse(path.rsplit('/').next()?),
            _ => None,
        };
        for target in old.keys().chain(new.keys().filter(|target| !old.contains_key(*target))) {
            let (before, after) = (old.get(target), new.get(target));
            match (of_ours(before), of_ours(after)) {
                (None, None) => {
                    let path = format!("volumes[{target}]");
                    self.push(&path, before.map(Words::words), after.map(Words::words), Effect::Replace);
                }
                (was, is) => {
                    let words = |file: FileKey| file.words();
                    self.push(&format!("files[{target}]"), was.map(words), is.map(words), Effect::Replace);
                }
            }
        }
    }

    fn entries<K: Ord, V: Words>(
        &mut self,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
        effect: Effect,
        path: impl Fn(&K) -> String,
    ) {
        for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
            let (before, after) = (old.get(key), new.get(key));
            self.push(&path(key), before.map(Words::words), after.map(Words::words), effect);
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
            lifecycle,
            extra,
        } = old;
        let replace = Effect::Replace;
        self.text("image", Some(image), Some(&new.image), replace);
        self.text("platform", platform.as_ref(), new.platform.as_ref(), replace);
        self.option("command", command.clone(), new.command.clone(), replace);
        self.option("entrypoint", entrypoint.clone(), new.entrypoint.clone(), replace);
        self.map("environment", environment, &new.environment, replace);
        self.map("labels", labels, &new.labels, replace);
        self.text("user", user.as_ref(), new.user.as_ref(), replace);
        self.text("working_dir", working_dir.as_ref(), new.working_dir.as_ref(), replace);
        self.text("hostname", hostname.as_ref(), new.hostname.as_ref(), replace);
        self.option("init", *init, new.init, replace);
        self.text("stop_signal", stop_signal.as_ref(), new.stop_signal.as_ref(), replace);
        let grace =
            |seconds: Option<u32>| seconds.map(|seconds| Duration(u64::from(seconds) * 1_000_000_000));
        self.option("stop_grace_period", grace(*stop_grace_period), grace(new.stop_grace_period), replace);
        self.healthcheck(healthcheck, &new.healthcheck);
        self.value("ports", ports, &new.ports, replace);
        self.value("expose", expose, &new.expose, replace);
        self.mounts(mounts, &new.mounts);
        self.targets("tmpfs", tmpfs, &new.tmpfs, replace);
        self.value("network_mode", network_mode, &new.network_mode, replace);
        self.logging(logging.as_ref(), new.logging.as_ref());
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
        self.option("shm_size", shm_size.map(Size), new.shm_size.map(Size), replace);
        let Lifecycle { pre_start, post_start, pre_stop } = lifecycle;
        for (key, old, new) in [
            ("pre_start", pre_start, &new.lifecycle.pre_start),
            ("post_start", post_start, &new.lifecycle.post_start),
            ("pre_stop", pre_stop, &new.lifecycle.pre_stop),
        ] {
            let given = |hooks: &Vec<Hook>| (!hooks.is_empty()).then(|| hooks.clone());
            self.option(key, given(old), given(new), replace);
        }
        self.extra(extra, &new.extra);
    }

    fn extra(&mut self, old: &Extra, new: &Extra) {
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
            links,
            mac_address,
            mem_swappiness,
            oom_kill_disable,
            oom_score_adj,
            pid,
            runtime,
            stdin_open,
            storage_opt,
            tty,
            unmasked,
            userns_mode,
            uts,
            volumes_from,
        } = old;
        let replace = Effect::Replace;
        self.map("annotations", annotations, &new.annotations, replace);
        self.blkio(blkio, &new.blkio);
        self.text("cgroup", cgroup.as_ref(), new.cgroup.as_ref(), replace);
        self.text("cgroup_parent", cgroup_parent.as_ref(), new.cgroup_parent.as_ref(), replace);
        self.value("device_cgroup_rules", device_cgroup_rules, &new.device_cgroup_rules, replace);
        self.value("device requests", device_requests, &new.device_requests, replace);
        self.value("dns_opt", dns_opt, &new.dns_opt, replace);
        self.value("dns_search", dns_search, &new.dns_search, replace);
        self.text("domainname", domainname.as_ref(), new.domainname.as_ref(), replace);
        self.value("group_add", group_add, &new.group_add, replace);
        self.option("ipc", ipc.clone(), new.ipc.clone(), replace);
        self.value("links", links, &new.links, replace);
        self.text("mac_address", mac_address.as_ref(), new.mac_address.as_ref(), replace);
        let number = |value: &Option<u8>| value.map(u32::from);
        self.option("mem_swappiness", number(mem_swappiness), number(&new.mem_swappiness), replace);
        self.value("oom_kill_disable", oom_kill_disable, &new.oom_kill_disable, replace);
        self.option("oom_score_adj", *oom_score_adj, new.oom_score_adj, replace);
        self.option("pid", pid.clone(), new.pid.clone(), replace);
        self.text("runtime", runtime.as_ref(), new.runtime.as_ref(), replace);
        self.value("stdin_open", stdin_open, &new.stdin_open, replace);
        self.map("storage_opt", storage_opt, &new.storage_opt, replace);
        self.value("tty", tty, &new.tty, replace);
        self.value("security_opt.systempaths", unmasked, &new.unmasked, replace);
        self.text("userns_mode", userns_mode.as_ref(), new.userns_mode.as_ref(), replace);
        self.text("uts", uts.as_ref(), new.uts.as_ref(), replace);
        self.value("volumes_from", volumes_from, &new.volumes_from, replace);
    }

    fn blkio(&mut self, old: &Blkio, new: &Blkio) {
        let Blkio { weight, weight_device, read_bps, write_bps, read_iops, write_iops } = old;
        let replace = Effect::Replace;
        let path = |key: &str| format!("blkio_config.{key}");
        let number = |value: Option<u16>| value.map(u32::from);
        self.option(&path("weight"), number(*weight), number(new.weight), replace);
        let weights = |all: &BTreeMap<String, u16>| -> BTreeMap<String, u32> {
            all.iter().map(|(device, weight)| (device.clone(), u32::from(*weight))).collect()
        };
        self.targets(&path("weight_device"), &weights(weight_device), &weights(&new.weight_device), replace);
        let sizes = |all: &BTreeMap<String, u64>| -> BTreeMap<String, Size> {
            all.iter().map(|(device, rate)| (device.clone(), Size(*rate))).collect()
        };
        self.targets(&path("device_read_bps"), &sizes(read_bps), &sizes(&new.read_bps), replace);
        self.targets(&path("device_write_bps"), &sizes(write_bps), &sizes(&new.write_bps), replace);
        self.targets(&path("device_read_iops"), read_iops, &new.read_iops, replace);
        self.targets(&path("device_write_iops"), write_iops, &new.write_iops, replace);
    }

    fn healthcheck(&mut self, old: &Healthcheck, new: &Healthcheck) {
        let replace = Effect::Replace;
        let (Healthcheck::Set(before), Healthcheck::Set(after)) = (old, new) else {
            return self.value("healthcheck", old, new, replace);
        };
        let HealthcheckSpec { test, interval, timeout, start_period, start_interval, retries } = before;
        let mut time = |key: &str, old: &Option<u64>, new: &Option<u64>| {
            self.option(&format!("healthcheck.{key}"), old.map(Duration), new.map(Duration), replace);
        };
        time("interval", interval, &after.interval);
        time("timeout", timeout, &after.timeout);
        time("start_period", start_period, &after.start_period);
        time("start_interval", start_interval, &after.start_interval);
        self.value("healthcheck.test", test, &after.test, replace);
        self.option("healthcheck.retries", *retries, after.retries, replace);
    }

    fn logging(&mut self, old: Option<&Logging>, new: Option<&Logging>) {
        let none = Logging { driver: None, options: BTreeMap::new() };
        let (Logging { driver, options }, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
        self.text("logging.driver", driver.as_ref(), new.driver.as_ref(), Effect::Replace);
        self.map("logging.options", options, &new.options, Effect::Replace);
    }

    fn live(&mut self, old: &LiveSpec, new: &LiveSpec) {
        let LiveSpec { restart, resources, networks, container_name, files } = old;
        self.value("restart", restart, &new.restart, Effect::Live);
        self.resources(resources, &new.resources);
        self.networks(networks, &new.networks);
        self.text("container_name", container_name.as_ref(), new.container_name.as_ref(), Effect::Live);
        self.files(files, &new.files);
    }

    /// Told by the name of their content: where they lie says nothing to anybody.
    fn files(&mut self, old: &BTreeMap<String, LiveFile>, new: &BTreeMap<String, LiveFile>) {
        for (path, file) in new {
            let Some(before) = old.get(path) else { continue };
            let LiveFile { content, signal, shown } = before;
            let shown = shown.replace(' ', ".");
            self.text(&shown, Some(content), Some(&file.content), Effect::Live);
            self.text(&format!("{shown}.on_change"), Some(signal), Some(&file.signal), Effect::None);
        }
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
            cpu_rt_period,
            cpu_rt_runtime,
        } = old;
        let effect = if super::live::reachable(old, new) { Effect::Live } else { Effect::Replace };
        self.option("mem_limit", memory.map(Size), new.memory.map(Size), effect);
        let (before, after) = (memory_reservation.map(Size), new.memory_reservation.map(Size));
        self.option("mem_reservation", before, after, effect);
        // -1 is no limit, and no size.
        let swap = |bytes: Option<i64>| {
            bytes.map(|bytes| {
                u64::try_from(bytes).map_or_else(|_| "-1".to_owned(), |bytes| Size(bytes).words())
            })
        };
        self.option("memswap_limit", swap(*memory_swap), swap(new.memory_swap), effect);
        self.option("cpus", nano_cpus.map(Billionths), new.nano_cpus.map(Billionths), effect);
        self.option("cpu_shares", *cpu_shares, new.cpu_shares, effect);
        let micros = |micros: u64| Duration(micros.saturating_mul(1_000));
        self.option("cpu_period", cpu_period.map(micros), new.cpu_period.map(micros), effect);
        self.option("cpu_quota", *cpu_quota, new.cpu_quota, effect);
        self.text("cpuset", cpuset.as_ref(), new.cpuset.as_ref(), effect);
        self.option("pids_limit", *pids, new.pids, effect);
        self.option("cpu_rt_period", cpu_rt_period.map(micros), new.cpu_rt_period.map(micros), effect);
        self.option("cpu_rt_runtime", cpu_rt_runtime.map(micros), new.cpu_rt_runtime.map(micros), effect);
    }

    fn networks(&mut self, old: &BTreeMap<String, Endpoint>, new: &BTreeMap<String, Endpoint>) {
        let joined = |all: &BTreeMap<String, Endpoint>, name| all.get(name).map(|_| "joined".to_owned());
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            let path = format!("networks.{name}");
            self.option(&path, joined(old, name), joined(new, name), Effect::Live);
            let none = Endpoint::default();
            let (before, after) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
            // `key` only says how the file calls the network.
            let Endpoint {
                aliases,
                ipv4_address,
                ipv6_address,
                key: _,
                priority,
                mac_address,
                link_local_ips,
                driver_opts,
                gw_priority,
                links,
            } = before;
            self.value(&format!("{path}.aliases"), aliases, &after.aliases, Effect::Live);
            for (key, before, after) in [
                ("ipv4_address", ipv4_address, &after.ipv4_address),
                ("ipv6_address", ipv6_address, &after.ipv6_address),
            ] {
                self.text(&format!("{path}.{key}"), before.as_ref(), after.as_ref(), Effect::Live);
            }
            self.value(&format!("{path}.priority"), priority, &after.priority, Effect::Live);
            self.value(
                &format!("{path}.link_local_ips"),
                link_local_ips,
                &after.link_local_ips,
                Effect::Live,
            );
            self.map(&format!("{path}.driver_opts"), driver_opts, &after.driver_opts, Effect::Live);
            self.value(&format!("{path}.gw_priority"), gw_priority, &after.gw_priority, Effect::Live);
            self.value(&format!("{path}.links"), links, &after.links, Effect::Live);
            // The engine takes it at creation only.
            let (mac, mac_after) = (mac_address.as_ref(), after.mac_address.as_ref());
            self.text(&format!("{path}.mac_address"), mac, mac_after, Effect::Replace);
        }
    }

    fn policy(&mut self, old: &Policy, new: &Policy) {
        let Policy { replicas, pull, depends_on, update, probe, hooks, protect, approve, drift, rollout } =
            old;
        self.value("deploy.replicas", replicas, &new.replicas, Effect::None);
        self.value("pull_policy", pull, &new.pull, Effect::None);
        self.entries(depends_on, &new.depends_on, Effect::None, |name| format!("depends_on.{name}"));
        self.update_config(update, &new.update);
        self.option("probe", probe.as_ref(), new.probe.as_ref(), Effect::None);
        self.entries(hooks, &new.hooks, Effect::None, |point| format!("hooks.{point}"));
        self.value("protect", protect, &new.protect, Effect::None);
        self.value("rollout.approve", approve, &new.approve, Effect::None);
        for group in DriftGroup::ALL {
            let path = format!("policy.drift.{}", group.as_str());
            self.value(&path, &drift.of(group), &new.drift.of(group), Effect::None);
        }
        self.rollout(rollout, &new.rollout);
    }

    fn rollout(&mut self, old: &Rollout, new: &Rollout) {
        let Rollout { strategy, switch, drain_ms, keep_old_ms } = old;
        let time = |ms: u64| Duration(ms.saturating_mul(1_000_000));
        self.value("rollout.strategy", strategy, &new.strategy, Effect::None);
        self.value("rollout.switch", switch, &new.switch, Effect::None);
        self.value("rollout.drain", &time(*drain_ms), &time(new.drain_ms), Effect::None);
        self.value("rollout.keep_old", &time(*keep_old_ms), &time(new.keep_old_ms), Effect::None);
    }

    fn update_config(&mut self, old: &UpdateConfig, new: &UpdateConfig) {
        let UpdateConfig {
            order,
            parallelism,
            delay_ms,
            failure_action,
            monitor_ms,
            // Follows from the healthcheck, which is told of itself.
            healthy_within_ms: _,
            max_failure_permille,
            rollback,
        } = old;
        let path = |key: &str| format!("deploy.update_config.{key}");
        let none = Effect::None;
        let time = |ms: u64| Duration(ms.saturating_mul(1_000_000));
        let ratio = |permille: u32| Billionths(u64::from(permille) * 1_000_000);
        self.value(&path("order"), order, &new.order, none);
        self.value(&path("parallelism"), parallelism, &new.parallelism, none);
        self.value(&path("delay"), &time(*delay_ms), &time(new.delay_ms), none);
        self.value(&path("failure_action"), failure_action, &new.failure_action, none);
        self.value(&path("monitor"), &time(*monitor_ms), &time(new.monitor_ms), none);
        let (before, after) = (ratio(*max_failure_permille), ratio(new.max_failure_permille));
        self.value(&path("max_failure_ratio"), &before, &after, none);
        let RollbackConfig { order, parallelism, delay_ms, monitor_ms } = rollback;
        let path = |key: &str| format!("deploy.rollback_config.{key}");
        self.option(&path("order"), *order, new.rollback.order, none);
        self.option(&path("parallelism"), *parallelism, new.rollback.parallelism, none);
        self.option(&path("delay"), delay_ms.map(time), new.rollback.delay_ms.map(time), none);
        self.option(&path("monitor"), monitor_ms.map(time), new.rollback.monitor_ms.map(time), none);
    }
}

/// A command of a hundred lines says no more than its beginning.
fn capped(text: String) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
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
    let unset = "not set".to_owned();
    let (old, new) = (old.as_ref().unwrap_or(&unset), new.as_ref().unwrap_or(&unset));
    if old.len() + new.len() > 80 { path.clone() } else { format!("{path} {old} -> {new}") }
}
