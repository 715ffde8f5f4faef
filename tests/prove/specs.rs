//! Specs for tests that are not about the language.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::hooks::{Hooks, Lifecycle};
use evenkeel::desired::spec::{
    ContainerSpec, Endpoint, Healthcheck, LiveSpec, NetworkMode, Policy, PullPolicy, Rollout, ServiceSpec,
    SourcePlace, UpdateConfig,
};

/// A service with this image on the default network of project `shop`, and nothing else.
pub fn spec(image: &str) -> ServiceSpec {
    let endpoint = Endpoint { key: "default".to_owned(), ..Endpoint::default() };
    ServiceSpec {
        container: ContainerSpec {
            image: image.to_owned(),
            platform: None,
            command: None,
            entrypoint: None,
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            user: None,
            working_dir: None,
            hostname: None,
            init: None,
            stop_signal: None,
            stop_grace_period: None,
            healthcheck: Healthcheck::Inherit,
            ports: BTreeSet::new(),
            expose: BTreeSet::new(),
            mounts: BTreeMap::new(),
            tmpfs: BTreeMap::new(),
            network_mode: NetworkMode::Networks,
            logging: None,
            read_only: false,
            privileged: false,
            cap_add: BTreeSet::new(),
            cap_drop: BTreeSet::new(),
            security_opt: BTreeSet::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            devices: Vec::new(),
            ulimits: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            shm_size: None,
            lifecycle: Lifecycle::default(),
            extra: Default::default(),
        },
        live: LiveSpec {
            networks: BTreeMap::from([("shop_default".to_owned(), endpoint)]),
            ..LiveSpec::default()
        },
        policy: Policy {
            replicas: 1,
            pull: PullPolicy::Missing,
            depends_on: BTreeMap::new(),
            update: UpdateConfig::default(),
            probe: None,
            hooks: Hooks::new(),
            protect: false,
            approve: false,
            drift: Default::default(),
            rollout: Rollout::default(),
        },
        source: SourcePlace {
            file: "shop/web.toml".to_owned(),
            line: 1,
            files: BTreeSet::new(),
            commit: None,
        },
    }
}
