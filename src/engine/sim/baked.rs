//! How a simulated container was made, as an engine would report it: the image's defaults merged in, its own filled in.

use std::collections::BTreeMap;

use crate::desired::spec::{Healthcheck, HealthcheckSpec, Mount, MountSource};
use crate::engine::convert::labels;
use crate::state::baked::{Baked, ImageDefaults};
use crate::state::observed::ContainerId;
use crate::state::plan::Creation;

/// `volumes`: those it got, by target. `None` where nothing is known of the image.
pub(super) fn baked(
    creation: &Creation,
    id: &ContainerId,
    network_mode: &str,
    volumes: &BTreeMap<String, String>,
) -> Option<Baked> {
    let (spec, image) = (&creation.spec, creation.image.defaults.as_ref()?);
    let own_entrypoint = spec.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    let command = match &spec.command {
        Some(words) => words.clone(),
        None if own_entrypoint => Vec::new(),
        None => image.command.clone(),
    };
    let mut environment = image.environment.clone();
    for (name, value) in &spec.environment {
        match value {
            Some(value) => drop(environment.insert(name.clone(), value.clone())),
            None => drop(environment.remove(name)),
        }
    }
    let mut all_labels = image.labels.clone();
    all_labels.extend(labels::of_container(&spec.labels, &creation.labels));
    let or_image = |own: &Option<String>, image: &str| own.clone().unwrap_or_else(|| image.to_owned());
    let mut exposed = image.exposed.clone();
    exposed.extend(spec.ports.iter().map(|port| port.container.clone()));
    exposed.extend(spec.expose.iter().cloned());
    Some(Baked {
        image: creation.image.id.0.clone(),
        command,
        entrypoint: spec.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone()),
        environment,
        labels: all_labels,
        user: or_image(&spec.user, &image.user),
        working_dir: or_image(&spec.working_dir, &image.working_dir),
        hostname: spec.hostname.clone().unwrap_or_else(|| id.short().to_owned()),
        init: spec.init,
        stop_signal: or_image(&spec.stop_signal, &image.stop_signal),
        stop_timeout: spec.stop_grace_period,
        healthcheck: healthcheck(&spec.healthcheck, image),
        ports: spec.ports.clone(),
        exposed,
        mounts: mounts(creation, volumes),
        tmpfs: spec.tmpfs.clone(),
        network_mode: network_mode.to_owned(),
        log_driver: spec
            .logging
            .as_ref()
            .and_then(|logging| logging.driver.clone())
            .unwrap_or_else(|| "json-file".to_owned()),
        log_options: spec.logging.as_ref().map(|logging| logging.options.clone()).unwrap_or_default(),
        read_only: spec.read_only,
        privileged: spec.privileged,
        cap_add: spec.cap_add.clone(),
        cap_drop: spec.cap_drop.clone(),
        security_opt: spec.security_opt.clone(),
        extra_hosts: spec.extra_hosts.clone(),
        dns: spec.dns.clone(),
        devices: spec.devices.clone(),
        ulimits: spec.ulimits.clone(),
        sysctls: spec.sysctls.clone(),
        shm_size: spec.shm_size.unwrap_or(64 << 20),
        extra: spec.extra.clone(),
        unmasked: Some(spec.extra.unmasked),
        auto_remove: false,
        others: std::collections::BTreeSet::new(),
    })
}

fn healthcheck(check: &Healthcheck, image: &ImageDefaults) -> Option<HealthcheckSpec> {
    match check {
        Healthcheck::Inherit => image.healthcheck.clone(),
        Healthcheck::Disabled => {
            Some(HealthcheckSpec { test: vec!["NONE".to_owned()], ..HealthcheckSpec::default() })
        }
        Healthcheck::Set(own) => {
            let theirs = image.healthcheck.clone().unwrap_or_default();
            Some(HealthcheckSpec {
                test: if own.test.is_empty() { theirs.test } else { own.test.clone() },
                interval: own.interval.or(theirs.interval),
                timeout: own.timeout.or(theirs.timeout),
                start_period: own.start_period.or(theirs.start_period),
                start_interval: own.start_interval.or(theirs.start_interval),
                retries: own.retries.or(theirs.retries),
            })
        }
    }
}

fn mounts(creation: &Creation, volumes: &BTreeMap<String, String>) -> BTreeMap<String, Mount> {
    let volume = |(target, name): (&String, &String)| {
        let read_only = creation.spec.mounts.get(target).is_some_and(|mount| mount.read_only);
        let source = MountSource::Volume {
            name: Some(name.clone()),
            key: None,
            no_copy: false,
            subpath: None,
            labels: BTreeMap::new(),
        };
        (target.clone(), Mount { source, read_only })
    };
    let others = creation.spec.mounts.iter().filter(|(target, _)| !volumes.contains_key(*target));
    others.map(|(target, mount)| (target.clone(), mount.clone())).chain(volumes.iter().map(volume)).collect()
}
