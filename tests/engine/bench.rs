//! What an assertion needs of an engine under test: the engine itself, applications that behave as asked, time, and the outside
//! world's own hands.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::{ProjectName, ServiceId};
use evenkeel::desired::spec::{
    ContainerPort, ContainerSpec, Endpoint, Healthcheck, HealthcheckSpec, LiveSpec, NetworkMode, NetworkSpec,
    PortBinding, Protocol, VolumeSpec,
};
use evenkeel::engine::sim::Profile;
use evenkeel::engine::{CountUp, Engine, Result};
use evenkeel::state::observed::{
    ContainerId, ContainerStatus, Health, ImageFacts, ObservedContainer, OwnLabels,
};
use evenkeel::state::plan::{Creation, Failure};
use evenkeel::state::record::RevisionId;

/// An application that behaves in one way. Times are milliseconds since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// Runs, is healthy when asked, ends at once on the stop signal.
    Serves,
    IgnoresTerm,
    /// Takes this long to end on the stop signal.
    EndsSlowly(u64),
    /// Ends by itself.
    Exits {
        after: u64,
        code: i64,
    },
    HealthyAfter(u64),
    NeverHealthy,
    /// Well at first, ill from here on.
    AilsAfter(u64),
    /// Wants more memory than [`MEMORY`].
    EatsMemory,
    /// Its command does not exist.
    NoSuchCommand,
}

impl App {
    /// Comes with a health check.
    fn is_checked(self) -> bool {
        matches!(self, Self::HealthyAfter(_) | Self::NeverHealthy | Self::AilsAfter(_))
    }
}

/// The limit that [`App::EatsMemory`] runs into, in bytes.
pub const MEMORY: u64 = 16 << 20;

/// A registry under test. Repositories are named without their registry.
pub trait Registry: Send {
    /// Puts an image that is made for it under a tag, which moves if it was there. Nothing of it stays on the engine.
    fn publish(&mut self, repository: &str, tag: &str, version: &str) -> String;
    /// The reference of a tag, there or not.
    fn reference(&self, repository: &str, tag: &str) -> String;
    /// From now on it asks for credentials.
    fn lock(&mut self);
    /// Nothing answers any more.
    fn down(&mut self);
}

/// An engine under test.
#[async_trait]
pub trait Bench: Send + Sync {
    fn engine(&self) -> &dyn Engine;
    /// The same, for what can be counted up.
    fn counted(&self) -> &dyn CountUp;
    /// Project and owner: nothing else on the engine is called so.
    fn project(&self) -> &str;
    /// What is said of it where engines differ.
    async fn profile(&self) -> Profile;
    /// The image of an application, made if need be, and what a spec must say to get this behaviour out of it.
    async fn image(&self, app: App) -> (ImageFacts, Told);
    /// An image that declares a volume at `/data` and a health check that passes.
    async fn image_with_declarations(&self) -> ImageFacts;
    /// A registry of the test's own. `None`: there can be none here.
    fn registry(&self) -> Option<Box<dyn Registry>>;
    /// A reference that no registry can be asked for.
    fn unreachable_image(&self) -> String;
    /// A host port nobody holds.
    fn free_port(&self) -> u16;
    /// Nobody holds this one either.
    fn is_free(&self, port: u16) -> bool;
    /// Another process of the host listens on a port until the guard is dropped.
    fn listen(&self, port: u16) -> Box<dyn Send>;
    /// Somebody else's container of this name, not running.
    fn foreign_container(&self, name: &str);
    /// Somebody else's network of this name, even if there is one already. `false`: the engine refused a second one.
    fn foreign_network(&self, name: &str) -> bool;
    /// Somebody else's volume of this name.
    fn foreign_volume(&self, name: &str);
    /// Removes a network behind evenkeel's back, stopped users or not.
    fn remove_network(&self, id: &str);
    /// Waits until its application has begun: signals do what it says they do.
    async fn ready(&self, id: &ContainerId);
    /// `docker kill`.
    fn docker_kill(&self, id: &ContainerId);
    /// `docker pause`.
    fn docker_pause(&self, id: &ContainerId);
    /// `docker unpause`.
    fn docker_unpause(&self, id: &ContainerId);
    /// `docker rm --force`.
    fn docker_rm_f(&self, id: &ContainerId);
    /// `docker image rm --force`.
    fn docker_rmi_f(&self, reference: &str);
    /// `kill -9` of its process on the host. `false`: not possible from here.
    fn crash(&self, id: &ContainerId) -> bool;
}

/// How a spec asks an image for its behaviour.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    /// The test of its health check.
    pub check: Vec<String>,
}

/// The engine's time, which for a simulated engine is tokio's paused one.
pub async fn pass(ms: u64) {
    // A little more than asked for, so that what is due at this moment has happened.
    tokio::time::sleep(Duration::from_millis(ms + 60)).await;
}

/// A creation like those evenkeel makes: one slot of one service.
pub async fn creation(bench: &dyn Bench, service: &str, app: App) -> Creation {
    let (image, told) = bench.image(app).await;
    let check = HealthcheckSpec {
        test: told.check,
        interval: Some(300_000_000),
        timeout: Some(5_000_000_000),
        retries: Some(2),
        ..HealthcheckSpec::default()
    };
    let spec = ContainerSpec {
        image: image.tags.first().cloned().unwrap_or_else(|| image.id.0.clone()),
        platform: None,
        command: told.command,
        entrypoint: told.entrypoint,
        environment: told
            .environment
            .into_iter()
            .map(|(name, value)| (name, Some(evenkeel::desired::secret::Sensitive::new(value))))
            .collect(),
        labels: BTreeMap::from([("org.example.kept".to_owned(), "yes".to_owned())]),
        user: None,
        working_dir: None,
        hostname: None,
        init: None,
        stop_signal: None,
        stop_grace_period: Some(3),
        healthcheck: if app.is_checked() { Healthcheck::Set(check) } else { Healthcheck::Inherit },
        ports: Default::default(),
        expose: Default::default(),
        mounts: BTreeMap::new(),
        tmpfs: BTreeMap::new(),
        network_mode: NetworkMode::None,
        logging: None,
        read_only: false,
        privileged: false,
        cap_add: Default::default(),
        cap_drop: Default::default(),
        security_opt: Default::default(),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        devices: Vec::new(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        shm_size: None,
        lifecycle: evenkeel::desired::hooks::Lifecycle::default(),
        extra: Default::default(),
    };
    let service = ServiceId::new(bench.project(), service).unwrap();
    let hash = SpecHash::of(&spec);
    let labels = OwnLabels {
        owner: bench.project().to_owned(),
        slot: 1,
        revision: RevisionId::of(&hash, &image.id),
        spec: hash,
        image: image.id.clone(),
        image_ref: spec.image.clone(),
        image_digest: None,
        source: "contract/test.toml:1".to_owned(),
        hook: None,
        job: None,
        service: service.clone(),
    };
    Creation {
        name: service.container_name(1),
        spec,
        live: LiveSpec::default(),
        labels,
        image,
        network_ids: BTreeMap::new(),
        parent: None,
        tied: Default::default(),
        inherited: BTreeMap::new(),
    }
}

/// Creates it, which must succeed.
pub async fn created(bench: &dyn Bench, service: &str, app: App) -> ContainerId {
    let creation = creation(bench, service, app).await;
    bench.engine().create(&creation).await.unwrap()
}

/// Creates and starts it.
pub async fn started(bench: &dyn Bench, service: &str, app: App) -> ContainerId {
    let id = created(bench, service, app).await;
    bench.engine().start(&id).await.unwrap();
    id
}

/// Publishes one fixed port of the default bridge.
pub fn publish(creation: &mut Creation, port: u16) {
    creation.spec.network_mode = NetworkMode::Bridge;
    creation.spec.ports.insert(PortBinding {
        container: ContainerPort { port: 8080, protocol: Protocol::Tcp },
        host_ip: None,
        host_port: Some((port, port)),
    });
}

/// Joins one network.
pub fn join(creation: &mut Creation, name: &str, id: &str) {
    creation.spec.network_mode = NetworkMode::Networks;
    creation
        .live
        .networks
        .insert(name.to_owned(), Endpoint { key: "default".to_owned(), ..Endpoint::default() });
    creation.network_ids.insert(name.to_owned(), id.to_owned());
}

pub fn network(bench: &dyn Bench, key: &str) -> NetworkSpec {
    NetworkSpec {
        project: ProjectName::new(bench.project()).unwrap(),
        key: key.to_owned(),
        name: format!("{}_{key}", bench.project()),
        external: false,
        driver: None,
        options: BTreeMap::new(),
        internal: false,
        attachable: false,
        enable_ipv6: false,
        enable_ipv4: None,
        ipam: Default::default(),
        labels: BTreeMap::new(),
        source: Default::default(),
    }
}

pub fn volume(bench: &dyn Bench, key: &str) -> VolumeSpec {
    VolumeSpec {
        project: ProjectName::new(bench.project()).unwrap(),
        key: key.to_owned(),
        name: format!("{}_{key}", bench.project()),
        external: false,
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
        source: Default::default(),
    }
}

/// A fresh look at a container that must be there.
pub async fn look(bench: &dyn Bench, id: &ContainerId) -> ObservedContainer {
    bench.engine().inspect(id).await.unwrap().expect("the container is there")
}

/// Looks until it is as wanted, or fails after a minute of the engine's time.
pub async fn until(
    bench: &dyn Bench,
    id: &ContainerId,
    what: &str,
    wanted: impl Fn(&ObservedContainer) -> bool,
) -> ObservedContainer {
    let mut seen = look(bench, id).await;
    for _ in 0..600 {
        if wanted(&seen) {
            return seen;
        }
        pass(40).await;
        seen = look(bench, id).await;
    }
    panic!("waited in vain until it {what}; last seen: {seen:#?}");
}

pub async fn until_status(bench: &dyn Bench, id: &ContainerId, status: ContainerStatus) -> ObservedContainer {
    until(bench, id, &format!("is {status:?}"), |seen| seen.status == status).await
}

pub async fn until_health(bench: &dyn Bench, id: &ContainerId, health: Health) -> ObservedContainer {
    until(bench, id, &format!("is {health:?}"), |seen| seen.health == health).await
}

/// The kind of a failure that must be one.
#[track_caller]
pub fn kind<T: Debug>(result: Result<T>) -> Failure {
    match result {
        Ok(done) => panic!("should have failed, but came to {done:?}"),
        Err(error) => {
            assert!(
                !error.message.is_empty() && !error.object.is_empty(),
                "an error says what and why: {error:?}"
            );
            error.kind
        }
    }
}

/// An id in the engine's form that nothing has.
pub fn nobody() -> ContainerId {
    ContainerId("0123456789abcdef".repeat(4))
}
