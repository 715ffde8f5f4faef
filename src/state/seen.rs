//! What an engine reports of a container, as the spec that would have made it.
//!
//! An inspect is no echo of the create request: the image's defaults are merged in, the engine fills in its own, and some values come
//! back in another spelling. So a report is read beside the spec that is wanted: a field that says the same in other words stays as it is
//! written there, and only what really differs becomes what was reported. Then `diff` tells the differences, for both sides are specs.

mod extra;

use std::collections::{BTreeMap, BTreeSet};

use super::baked::{Baked, ImageDefaults};
use super::diff::{Effect, FieldDifference, container_differences};
use super::observed::{ImageFacts, ObservedContainer, label};
use crate::desired::secret::Sensitive;
use crate::desired::spec::{
    ContainerSpec, Healthcheck, HealthcheckSpec, Logging, Mount, MountSource, Namespace, NetworkMode,
};

/// The engine's own `/dev/shm`.
const DEFAULT_SHM: u64 = 64 << 20;

/// How much of a report counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the spec sets, and what nobody but whoever made the container could have added: for containers made from it. An engine that
    /// changed one of its own defaults changed nothing that anybody asked for.
    Asked,
    /// All of it: for containers that were made by others.
    Everything,
}

/// Fields of a container of `spec` that the engine reports otherwise. `None`: not enough is known of the container or its image.
#[must_use]
pub fn config_drift(
    spec: &ContainerSpec,
    container: &ObservedContainer,
    image: &ImageFacts,
) -> Option<Vec<FieldDifference>> {
    let (baked, defaults) = (container.baked.as_ref()?, image.defaults.as_ref()?);
    let seen = seen(spec, baked, defaults, &image.volumes, Scope::Asked);
    // Told as what was changed: from the spec to what is there.
    let found = container_differences(spec, &seen);
    Some(found.into_iter().filter(|difference| difference.effect == Effect::Replace).collect())
}

/// The spec that `baked` shows, in the words of `wanted` wherever both say the same.
#[must_use]
pub fn seen(
    wanted: &ContainerSpec,
    baked: &Baked,
    image: &ImageDefaults,
    image_volumes: &BTreeSet<String>,
    scope: Scope,
) -> ContainerSpec {
    let mut spec = wanted.clone();
    process(&mut spec, baked, image, scope);
    spec.environment = environment(&wanted.environment, baked, image, scope);
    spec.labels = labels(&wanted.labels, baked, image, scope);
    spec.healthcheck = healthcheck(&wanted.healthcheck, baked, image);
    spec.ports.clone_from(&baked.ports);
    if spec.ports != wanted.ports && shares_a_namespace(&wanted.network_mode) {
        spec.ports.clone_from(&wanted.ports);
    }
    if scope == Scope::Everything {
        let published: BTreeSet<_> = baked.ports.iter().map(|port| &port.container).collect();
        let own = |port: &&_| !published.contains(*port) && !image.exposed.contains(*port);
        let shown: BTreeSet<_> = baked.exposed.iter().filter(own).cloned().collect();
        let asked: BTreeSet<_> = wanted.expose.iter().filter(own).cloned().collect();
        if shown != asked {
            spec.expose = shown;
        }
    }
    mounts(&mut spec, wanted, baked, image_volumes);
    isolation(&mut spec, wanted, baked, scope);
    spec.extra = extra::seen(&wanted.extra, baked, &wanted.network_mode, scope);
    spec
}

/// Who runs what, where and how it is told to end.
fn process(spec: &mut ContainerSpec, baked: &Baked, image: &ImageDefaults, scope: Scope) {
    let expected_entrypoint = spec.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    // An entrypoint of its own takes the image's command away, unless it is empty.
    let own_entrypoint = spec.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    let none = Vec::new();
    let expected_command = match &spec.command {
        Some(words) => words,
        None if own_entrypoint => &none,
        None => &image.command,
    };
    let (command, entrypoint) =
        (expected_command == &baked.command, same_words(expected_entrypoint, &baked.entrypoint));
    if !command {
        spec.command = Some(baked.command.clone());
    }
    if !entrypoint {
        spec.entrypoint = Some(baked.entrypoint.clone());
        if spec.command.is_none() && !baked.command.is_empty() {
            spec.command = Some(baked.command.clone());
        }
    }
    text(&mut spec.user, &baked.user, &image.user);
    let trimmed =
        |path: &str| if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path.to_owned() };
    let expected = spec.working_dir.as_deref().unwrap_or(&image.working_dir);
    if trimmed(expected) != trimmed(&baked.working_dir) {
        spec.working_dir = Some(baked.working_dir.clone());
    }
    let everything = scope == Scope::Everything;
    if everything || spec.stop_signal.is_some() {
        text(&mut spec.stop_signal, &baked.stop_signal, &image.stop_signal);
    }
    if (everything || spec.stop_grace_period.is_some()) && spec.stop_grace_period != baked.stop_timeout {
        spec.stop_grace_period = baked.stop_timeout;
    }
    // The engine names a container after its id when nobody else does; in another namespace the name is that one's.
    if spec.hostname.is_some()
        && !shares_a_namespace(&spec.network_mode)
        && spec.hostname.as_deref() != Some(&baked.hostname)
    {
        spec.hostname = Some(baked.hostname.clone());
    }
    if (spec.init.is_some() || (everything && baked.init == Some(true))) && spec.init != baked.init {
        spec.init = baked.init;
    }
}

/// Engines give back an entrypoint of nothing as a list of nothing, or of one empty word.
fn same_words(one: &[String], other: &[String]) -> bool {
    let some = |words: &[String]| words.iter().any(|word| !word.is_empty());
    one == other || (!some(one) && !some(other))
}

/// A text that the image may give.
fn text(field: &mut Option<String>, baked: &str, image: &str) {
    if field.as_deref().unwrap_or(image) != baked {
        *field = Some(baked.to_owned());
    }
}

fn shares_a_namespace(mode: &NetworkMode) -> bool {
    matches!(mode, NetworkMode::Host | NetworkMode::Service(_) | NetworkMode::Container(_))
}

/// Variables that some engines put into every container.
const OF_ENGINES: [&str; 5] = ["container", "HOME", "HOSTNAME", "PATH", "TERM"];

fn environment(
    wanted: &BTreeMap<String, Option<Sensitive>>,
    baked: &Baked,
    image: &ImageDefaults,
    scope: Scope,
) -> BTreeMap<String, Option<Sensitive>> {
    let mut seen = wanted.clone();
    for (name, value) in &baked.environment {
        let expected = match wanted.get(name) {
            Some(value) => value.as_ref(),
            None => image.environment.get(name),
        };
        let usual = scope == Scope::Asked && expected.is_none() && OF_ENGINES.contains(&name.as_str());
        if expected != Some(value) && !usual {
            seen.insert(name.clone(), Some(value.clone()));
        }
    }
    for (name, value) in wanted {
        if value.is_some() && !baked.environment.contains_key(name) {
            seen.remove(name);
        }
    }
    for name in image.environment.keys() {
        if !wanted.contains_key(name) && !baked.environment.contains_key(name) {
            seen.insert(name.clone(), None);
        }
    }
    seen
}

/// Labels that tools put on what they make.
fn is_mark(name: &str) -> bool {
    name.starts_with(label::RESERVED)
        || name.starts_with("com.docker.compose.")
        || name.starts_with("desktop.docker.io/")
}

fn labels(
    wanted: &BTreeMap<String, String>,
    baked: &Baked,
    image: &ImageDefaults,
    scope: Scope,
) -> BTreeMap<String, String> {
    let mut seen = wanted.clone();
    for (name, value) in wanted {
        match baked.labels.get(name) {
            Some(found) if found == value => {}
            // What the tools that group containers write is theirs.
            _ if is_mark(name) => {}
            Some(found) => drop(seen.insert(name.clone(), found.clone())),
            None => drop(seen.remove(name)),
        }
    }
    if scope == Scope::Everything {
        let own = baked.labels.iter().filter(|(name, value)| {
            !wanted.contains_key(*name) && !is_mark(name) && image.labels.get(*name) != Some(value)
        });
        seen.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    }
    seen
}

fn healthcheck(wanted: &Healthcheck, baked: &Baked, image: &ImageDefaults) -> Healthcheck {
    let none = HealthcheckSpec::default();
    let found = baked.healthcheck.as_ref().unwrap_or(&none);
    let theirs = image.healthcheck.as_ref().unwrap_or(&none);
    let off =
        |check: &HealthcheckSpec| check.test.first().is_none_or(|word| word.is_empty() || word == "NONE");
    let set = || if off(found) { Healthcheck::Disabled } else { Healthcheck::Set(found.clone()) };
    match wanted {
        Healthcheck::Disabled => {
            if off(found) {
                Healthcheck::Disabled
            } else {
                set()
            }
        }
        Healthcheck::Inherit => {
            let same = same_check(found, &none, theirs) || (off(found) && off(theirs));
            if same { Healthcheck::Inherit } else { set() }
        }
        Healthcheck::Set(asked) => {
            if same_check(found, asked, theirs) {
                wanted.clone()
            } else {
                set()
            }
        }
    }
}

/// What is not said is the image's; what is zero is the engine's own, which it does not report.
fn same_check(found: &HealthcheckSpec, asked: &HealthcheckSpec, image: &HealthcheckSpec) -> bool {
    let test = if asked.test.is_empty() { &image.test } else { &asked.test };
    let time = |asked: Option<u64>, image: Option<u64>, found: Option<u64>| {
        asked.filter(|ns| *ns > 0).or(image.filter(|ns| *ns > 0)) == found.filter(|ns| *ns > 0)
    };
    let count = |value: Option<u32>| value.filter(|count| *count > 0);
    // Engines before API 1.44 drop it.
    let start = found.start_interval.is_none_or(|ns| ns == 0)
        || time(asked.start_interval, image.start_interval, found.start_interval);
    *test == found.test
        && start
        && time(asked.interval, image.interval, found.interval)
        && time(asked.timeout, image.timeout, found.timeout)
        && time(asked.start_period, image.start_period, found.start_period)
        && count(asked.retries).or(count(image.retries)) == count(found.retries)
}

fn mounts(spec: &mut ContainerSpec, wanted: &ContainerSpec, baked: &Baked, image_volumes: &BTreeSet<String>) {
    let plain = |target: &str| match target.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    let found: BTreeMap<String, &Mount> =
        baked.mounts.iter().map(|(target, mount)| (plain(target), mount)).collect();
    for (target, asked) in &wanted.mounts {
        match found.get(&plain(target)) {
            Some(mount) if same_mount(asked, mount) => {}
            Some(mount) => drop(spec.mounts.insert(target.clone(), (*mount).clone())),
            None if !is_read_back(&asked.source) => {}
            None => drop(spec.mounts.remove(target)),
        }
    }
    let asked =
        |target: &str| wanted.mounts.keys().chain(wanted.tmpfs.keys()).any(|known| plain(known) == target);
    let from_image = |target: &str, mount: &Mount| {
        let declared = image_volumes.iter().any(|volume| plain(volume) == target);
        declared
            && matches!(&mount.source, MountSource::Volume { name, .. } if name.as_deref().is_none_or(is_made_up))
    };
    for (target, mount) in found {
        // What other containers lend is told by them.
        let lent = !wanted.extra.volumes_from.is_empty();
        if !lent && !asked(&target) && !from_image(&target, mount) {
            let mut mount = mount.clone();
            if let MountSource::Volume { name, .. } = &mut mount.source
                && name.as_deref().is_some_and(is_made_up)
            {
                *name = None;
            }
            spec.mounts.insert(target, mount);
        }
    }
    spec.tmpfs.clone_from(&baked.tmpfs);
    let tidy = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        all.iter().map(|(target, options)| (plain(target), options.clone())).collect()
    };
    if tidy(&spec.tmpfs) == tidy(&wanted.tmpfs) {
        spec.tmpfs.clone_from(&wanted.tmpfs);
    }
}

/// The engine's name of an anonymous volume.
fn is_made_up(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn same_mount(asked: &Mount, found: &Mount) -> bool {
    let source = match (&asked.source, &found.source) {
        (
            MountSource::Bind { path, propagation, .. },
            MountSource::Bind { path: other, propagation: given, .. },
        ) => {
            let same = path.trim_end_matches('/') == other.trim_end_matches('/');
            same && (propagation.is_none() || given.is_none() || propagation == given)
        }
        (MountSource::Volume { name, .. }, MountSource::Volume { name: other, .. }) => {
            name.is_none() || name == other
        }
        (MountSource::Tmpfs { size, mode }, MountSource::Tmpfs { size: given, mode: other }) => {
            (size.is_none() || size == given) && (mode.is_none() || mode == other)
        }
        // A kind of mount that is not read back is not told apart.
        (asked, found) => !(is_read_back(asked) && is_read_back(found)),
    };
    source && (asked.read_only == found.read_only || matches!(asked.source, MountSource::Tmpfs { .. }))
}

fn is_read_back(source: &MountSource) -> bool {
    matches!(source, MountSource::Bind { .. } | MountSource::Volume { .. } | MountSource::Tmpfs { .. })
}

fn isolation(spec: &mut ContainerSpec, wanted: &ContainerSpec, baked: &Baked, scope: Scope) {
    let everything = scope == Scope::Everything;
    network_mode(spec, baked);
    logging(spec, baked);
    spec.read_only = baked.read_only;
    spec.privileged = baked.privileged;
    if capabilities(&wanted.cap_add) != capabilities(&baked.cap_add) {
        spec.cap_add = capabilities(&baked.cap_add);
    }
    if capabilities(&wanted.cap_drop) != capabilities(&baked.cap_drop) {
        spec.cap_drop = capabilities(&baked.cap_drop);
    }
    // The engine adds one to a container that is privileged, or that lives in the host's own namespaces.
    let host = [&baked.extra.ipc, &baked.extra.pid].contains(&&Some(Namespace::Host));
    let options = |all: &BTreeSet<String>| -> BTreeSet<String> {
        let usual = |option: &&String| !((baked.privileged || host) && option.as_str() == "label=disable");
        all.iter().filter(usual).map(|option| security(option)).collect()
    };
    let (asked, given) = (options(&wanted.security_opt), options(&baked.security_opt));
    let differs = if everything { asked != given } else { !asked.is_subset(&given) };
    if differs {
        spec.security_opt = given;
    }
    let sorted = |list: &[String]| -> BTreeSet<String> { list.iter().cloned().collect() };
    if sorted(&wanted.extra_hosts) != sorted(&baked.extra_hosts) {
        spec.extra_hosts.clone_from(&baked.extra_hosts);
    }
    if (everything || !wanted.dns.is_empty()) && wanted.dns != baked.dns {
        spec.dns.clone_from(&baked.dns);
    }
    let device = |device: &crate::desired::spec::Device| {
        (device.host.clone(), device.container.clone(), device.permissions.clone())
    };
    let devices = |all: &[crate::desired::spec::Device]| -> BTreeSet<_> { all.iter().map(device).collect() };
    if devices(&wanted.devices) != devices(&baked.devices) {
        spec.devices.clone_from(&baked.devices);
    }
    named(&mut spec.ulimits, &baked.ulimits, everything);
    named(&mut spec.sysctls, &baked.sysctls, everything);
    let given = Some(baked.shm_size).filter(|bytes| *bytes != 0);
    let usual = !everything || given.is_none_or(|bytes| bytes == DEFAULT_SHM);
    if wanted.shm_size != given && !(wanted.shm_size.is_none() && usual) {
        spec.shm_size = given;
    }
}

/// Settings by name. The engine may have added some of its own.
fn named<V: Clone + PartialEq>(
    spec: &mut BTreeMap<String, V>,
    baked: &BTreeMap<String, V>,
    everything: bool,
) {
    let known: BTreeSet<String> = spec.keys().cloned().collect();
    spec.retain(|name, _| baked.contains_key(name));
    for (name, value) in baked.iter().filter(|(name, _)| everything || known.contains(*name)) {
        spec.insert(name.clone(), value.clone());
    }
}

fn network_mode(spec: &mut ContainerSpec, baked: &Baked) {
    let mode = baked.network_mode.as_str();
    let container = mode.strip_prefix("container:");
    let same = match &spec.network_mode {
        NetworkMode::Networks => container.is_none() && !matches!(mode, "host" | "default" | "bridge"),
        NetworkMode::Bridge => matches!(mode, "default" | "bridge" | ""),
        NetworkMode::Host => mode == "host",
        NetworkMode::None => mode == "none",
        // Which container that should be is looked at where the parent is known.
        NetworkMode::Service(_) => container.is_some(),
        NetworkMode::Container(_) => container.is_some(),
    };
    if !same {
        spec.network_mode = match (mode, container) {
            (_, Some(name)) => NetworkMode::Container(name.to_owned()),
            ("host", _) => NetworkMode::Host,
            ("none", _) => NetworkMode::None,
            ("default" | "bridge" | "", _) => NetworkMode::Bridge,
            _ => NetworkMode::Networks,
        };
    }
}

/// A daemon's own default driver and options appear in every container, so what nobody asked for says nothing.
fn logging(spec: &mut ContainerSpec, baked: &Baked) {
    let Some(Logging { driver, options }) = &mut spec.logging else { return };
    if driver.is_some() && driver.as_deref() != Some(&baked.log_driver) {
        *driver = Some(baked.log_driver.clone());
    }
    named(options, &baked.log_options, false);
}

/// `CAP_NET_ADMIN`, `net_admin` and `NET_ADMIN` are one.
fn capabilities(all: &BTreeSet<String>) -> BTreeSet<String> {
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").map_or_else(|| upper.clone(), str::to_owned)
    };
    all.iter().map(plain).collect()
}

/// `no-new-privileges:true`, `no-new-privileges=true` and `no-new-privileges` are one.
fn security(option: &str) -> String {
    let option = match option.split_once(':') {
        Some((key, value)) if !key.contains('=') => format!("{key}={value}"),
        _ => option.to_owned(),
    };
    if option == "no-new-privileges=true" { "no-new-privileges".to_owned() } else { option }
}
