//! A corner of the real engine, and creations like those evenkeel makes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::{ProjectName, ServiceId};
use evenkeel::desired::spec::{
    ContainerSpec, Endpoint, Healthcheck, LiveSpec, NetworkMode, NetworkSpec, VolumeSpec,
};
use evenkeel::engine::docker::{Docker, connect};
use evenkeel::engine::{Engine, Observe};
use evenkeel::state::observed::{ContainerId, ObservedContainer, OwnLabels};
use evenkeel::state::plan::Creation;
use evenkeel::state::record::RevisionId;

use crate::support::Host;
use crate::support::docker::try_docker;

pub struct World {
    pub docker: Docker,
    pub host: Host,
}

impl World {
    /// `None` where no engine answers; that was said, and the test ends.
    pub fn new() -> Option<Self> {
        let host = Host::new()?;
        Some(Self { docker: connect(None, &host.project).unwrap(), host })
    }

    pub fn label(&self) -> String {
        format!("evenkeel-test={}", self.host.project)
    }

    /// A creation of slot 1 of a service whose container runs `command` of the test program.
    pub async fn creation(&self, service: &str, command: &[&str]) -> Creation {
        let reference = self.host.image("1", &[], &["serve"]);
        let image = self.docker.inspect_image(&reference).await.unwrap().unwrap();
        let spec = ContainerSpec {
            image: reference,
            command: Some(command.iter().map(|&word| word.to_owned()).collect()),
            ..empty_spec()
        };
        let hash = SpecHash::of(&spec);
        let service = ServiceId::new(&self.host.project, service).unwrap();
        Creation {
            name: service.container_name(1),
            live: LiveSpec::default(),
            labels: OwnLabels {
                owner: self.host.project.clone(),
                slot: 1,
                revision: RevisionId::of(&hash, &image.id),
                spec: hash,
                image: image.id.clone(),
                image_ref: spec.image.clone(),
                image_digest: None,
                source: "test.toml:1".to_owned(),
                hook: None,
                job: None,
                service,
            },
            spec,
            image,
            network_ids: BTreeMap::new(),
            parent: None,
            tied: Default::default(),
            inherited: BTreeMap::new(),
        }
    }

    /// Creates and starts it.
    pub async fn running(&self, creation: &Creation) -> ContainerId {
        let id = self.docker.create(creation).await.unwrap();
        self.docker.start(&id).await.unwrap();
        id
    }

    pub async fn seen(&self, id: &ContainerId) -> ObservedContainer {
        self.docker.inspect(id).await.unwrap().unwrap()
    }

    /// Looks until the container is as wanted; a test that waits in vain fails here.
    pub async fn until(
        &self,
        id: &ContainerId,
        wanted: impl Fn(&ObservedContainer) -> bool,
    ) -> ObservedContainer {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.seen(id).await;
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < end, "never came about: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn network(&self, key: &str) -> NetworkSpec {
        NetworkSpec {
            project: ProjectName::new(&self.host.project).unwrap(),
            key: key.to_owned(),
            name: format!("{}_{key}", self.host.project),
            external: false,
            driver: None,
            options: BTreeMap::new(),
            internal: false,
            attachable: false,
            enable_ipv6: false,
            enable_ipv4: None,
            ipam: Default::default(),
            labels: BTreeMap::from([("evenkeel-test".to_owned(), self.host.project.clone())]),
            source: Default::default(),
        }
    }

    pub fn volume(&self, key: &str) -> VolumeSpec {
        VolumeSpec {
            project: ProjectName::new(&self.host.project).unwrap(),
            key: key.to_owned(),
            name: format!("{}_{key}", self.host.project),
            external: false,
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::from([("evenkeel-test".to_owned(), self.host.project.clone())]),
            source: Default::default(),
        }
    }

    /// Lets a creation join a network, by id.
    pub fn join(creation: &mut Creation, name: &str, id: &str, priority: i32) {
        creation.spec.network_mode = NetworkMode::Networks;
        creation.network_ids.insert(name.to_owned(), id.to_owned());
        let endpoint = Endpoint { key: name.to_owned(), priority, ..Endpoint::default() };
        creation.live.networks.insert(name.to_owned(), endpoint);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for filter in
            [format!("label=dev.evenkeel.owner={}", self.host.project), format!("label={}", self.label())]
        {
            let ids = try_docker(&["ps", "--all", "--quiet", "--filter", &filter]).unwrap_or_default();
            for id in ids.lines() {
                let _ = try_docker(&["rm", "--force", "--volumes", id]);
            }
            for kind in ["network", "volume"] {
                let ids = try_docker(&[kind, "ls", "--quiet", "--filter", &filter]).unwrap_or_default();
                for id in ids.lines() {
                    let _ = try_docker(&[kind, "rm", id]);
                }
            }
        }
    }
}

/// A spec that says nothing.
pub fn empty_spec() -> ContainerSpec {
    ContainerSpec {
        image: String::new(),
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
        stop_grace_period: Some(2),
        healthcheck: Healthcheck::Inherit,
        ports: BTreeSet::new(),
        expose: BTreeSet::new(),
        mounts: BTreeMap::new(),
        tmpfs: BTreeMap::new(),
        network_mode: NetworkMode::None,
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
        lifecycle: evenkeel::desired::hooks::Lifecycle::default(),
        extra: Default::default(),
    }
}
