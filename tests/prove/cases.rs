//! What is explored: services, their wishes one after another, and what their software does.

use std::collections::BTreeMap;

use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{
    ContainerPort, Healthcheck, HealthcheckSpec, NetworkMode, PortBinding, Protocol, RestartPolicy,
    ServiceSpec, UpdateOrder,
};
use evenkeel::desired::{Revision, Wanted};
use evenkeel::engine::convert::labels;
use evenkeel::engine::sim::image::full_reference;
use evenkeel::engine::sim::{Behaviour, Foreign, Host};
use evenkeel::state::observed::OwnLabels;
use evenkeel::state::record::RevisionId;

use crate::explore::engine::OWNER;
use crate::explore::turn::Explorer;
use crate::explore::world::{Budget, Memory, Scenario, World};
use crate::specs::spec;

/// Milliseconds a container without a check runs before it is proved: two looks.
const MONITOR: u64 = 4_000;

/// Ports of the services that hand them to one another.
const PORTS: [u16; 2] = [8080, 8081];

/// What changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A service that was not there.
    First,
    /// A service with one container.
    Update,
    /// A service with three, one after another.
    Roll,
    /// Two services: each gets the host port of the other.
    Swap,
    /// Two services: one gives its host port up, the other takes it.
    Handover,
}

/// What it is, and what the next revision does.
#[derive(Clone)]
pub struct Case {
    pub kind: Kind,
    pub order: UpdateOrder,
    pub restart: RestartPolicy,
    pub newer: Newer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Newer {
    Runs,
    Exits,
    Completes,
    NeverHealthy,
}

impl Newer {
    fn behaviour(self) -> Behaviour {
        match self {
            Self::Runs => Behaviour::default(),
            Self::Exits => Behaviour::exits(500, 1),
            Self::Completes => Behaviour::exits(500, 0),
            Self::NeverHealthy => Behaviour::never_healthy(),
        }
    }
}

fn policy_name(restart: RestartPolicy) -> &'static str {
    match restart {
        RestartPolicy::No => "no",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
        RestartPolicy::OnFailure { .. } => "on-failure",
    }
}

const POLICIES: [RestartPolicy; 4] = [
    RestartPolicy::No,
    RestartPolicy::Always,
    RestartPolicy::UnlessStopped,
    RestartPolicy::OnFailure { max_retries: 0 },
];

impl Case {
    pub fn name(&self) -> String {
        let order = if self.order == UpdateOrder::StartFirst { "start-first" } else { "stop-first" };
        let what = match self.kind {
            Kind::First => "first deployment".to_owned(),
            Kind::Update => order.to_owned(),
            Kind::Roll => format!("three replicas, {order}"),
            Kind::Swap => "two services swap their ports".to_owned(),
            Kind::Handover => "a port goes to another service".to_owned(),
        };
        format!("{what}, restart {}, new one {:?}", policy_name(self.restart), self.newer).to_lowercase()
    }

    pub fn scenario(&self, budget: Budget) -> Scenario {
        let mut host = host();
        host.script("web:2", self.newer.behaviour());
        let (names, wishes) = match self.kind {
            Kind::Swap | Kind::Handover => (vec!["api", "web"], self.wishes_of_two()),
            _ => (vec!["web"], vec![self.wishes_of_one()]),
        };
        let services: Vec<ServiceId> =
            names.iter().map(|name| ServiceId::new("shop", name).unwrap()).collect();
        if self.kind == Kind::First {
            with_copied_labels(&mut host, &services[0], &wishes[0][0]);
        }
        let first = World { host, memories: vec![Memory::default(); services.len()], edits: 0 };
        let mut scenario = Scenario {
            name: self.name(),
            services,
            wishes,
            exclusive: self.order == UpdateOrder::StopFirst,
            monitor_ms: MONITOR,
            budget: Budget::NONE,
            first,
        };
        if self.kind != Kind::First {
            settle_first(&mut scenario);
        }
        scenario.budget = budget;
        scenario
    }

    fn wishes_of_one(&self) -> Vec<Wanted> {
        let exclusive = self.order == UpdateOrder::StopFirst;
        let images: &[&str] =
            if self.kind == Kind::First { &["web:2", "web:3"] } else { &["web:1", "web:2", "web:3"] };
        let with = |image: &&str| {
            let mut spec = service(image, self.order, self.restart);
            if exclusive {
                use_the_hosts_network(&mut spec);
            }
            if self.newer == Newer::NeverHealthy {
                check_every_second(&mut spec);
            }
            if self.kind == Kind::Roll {
                spec.policy.replicas = 3;
            }
            Wanted::run(Revision::of(spec))
        };
        images.iter().map(with).collect()
    }

    /// One edit gives the ports other holders; the second, where it is allowed, takes it back.
    fn wishes_of_two(&self) -> Vec<Vec<Wanted>> {
        let swap = self.kind == Kind::Swap;
        let [one, two] = PORTS;
        let ports = if swap {
            [[Some(one), Some(two), Some(one)], [Some(two), Some(one), Some(two)]]
        } else {
            [[Some(one), None, Some(one)], [None, Some(one), None]]
        };
        let with = |port: Option<u16>| {
            let mut spec = service("web:1", self.order, self.restart);
            spec.container.ports.extend(port.map(|port| PortBinding {
                container: ContainerPort { port: 80, protocol: Protocol::Tcp },
                host_ip: None,
                host_port: Some((port, port)),
            }));
            Wanted::run(Revision::of(spec))
        };
        ports.into_iter().map(|wishes| wishes.into_iter().map(with).collect()).collect()
    }
}

fn service(image: &str, order: UpdateOrder, restart: RestartPolicy) -> ServiceSpec {
    let mut spec: ServiceSpec = spec(image);
    spec.policy.update.order = order;
    spec.policy.update.monitor_ms = MONITOR;
    spec.policy.update.healthy_within_ms = 2 * MONITOR;
    spec.live.restart = restart;
    spec
}

/// Something exclusive which the simulated engine does not guard, so that two holders show.
fn use_the_hosts_network(spec: &mut ServiceSpec) {
    spec.container.network_mode = NetworkMode::Host;
    spec.live.networks.clear();
}

fn check_every_second(spec: &mut ServiceSpec) {
    let test = vec!["CMD".to_owned(), "check".to_owned()];
    let check = HealthcheckSpec { test, interval: Some(1_000_000_000), ..HealthcheckSpec::default() };
    spec.container.healthcheck = Healthcheck::Set(check);
}

fn host() -> Host {
    let mut host = Host::any_image();
    host.foreign_network("shop_default");
    for reference in ["web:1", "web:2", "web:3"] {
        host.pull(reference).unwrap();
    }
    let theirs = Foreign {
        name: "foreign".to_owned(),
        image: "theirs:1".to_owned(),
        restart: RestartPolicy::Always,
        running: true,
        ..Foreign::default()
    };
    host.foreign(theirs);
    host
}

/// Somebody copied our labels with a `docker inspect` and put them on a container of theirs: neither its name nor its id is ours.
fn with_copied_labels(host: &mut Host, service: &ServiceId, wish: &Wanted) {
    let Wanted::Run(revision) = wish else { return };
    let image_ref = revision.spec.container.image.clone();
    let image = host.resolve(&full_reference(&image_ref)).expect("it was pulled").id.clone();
    let own = OwnLabels {
        owner: OWNER.to_owned(),
        service: service.clone(),
        slot: 1,
        revision: RevisionId::of(&revision.hash, &image),
        spec: revision.hash.clone(),
        image,
        image_ref,
        image_digest: None,
        source: "shop/web.toml:1".to_owned(),
        hook: None,
        job: None,
    };
    let copy = Foreign {
        name: "foreign-copy".to_owned(),
        image: "theirs:1".to_owned(),
        labels: labels::of_container(&BTreeMap::new(), &own),
        restart: RestartPolicy::Always,
        running: true,
        ..Foreign::default()
    };
    let id = host.foreign(copy);
    host.containers.get_mut(&id).expect("it was just made").own = Some(own);
}

/// Brings the first wish to its rest by the same rules without faults; the update begins with the next one.
fn settle_first(scenario: &mut Scenario) {
    let mut world = scenario.first.clone();
    let explorer = Explorer::new(scenario);
    for _ in 0..200 {
        let mut found = explorer.expand(&world, Budget::NONE).expect("nothing goes wrong yet");
        if found.rests {
            break;
        }
        world = found.next.swap_remove(0).1;
    }
    for memory in &world.memories {
        assert!(memory.record.good.is_some(), "{}: the previous revision never became good", scenario.name);
    }
    world.edits += 1;
    scenario.first = world;
}

pub fn updates(order: UpdateOrder) -> impl Iterator<Item = Case> {
    let newer = [Newer::Runs, Newer::Exits, Newer::NeverHealthy];
    cases(Kind::Update, order, &POLICIES, &newer)
}

pub fn firsts() -> impl Iterator<Item = Case> {
    let newer = [Newer::Runs, Newer::Exits, Newer::Completes];
    cases(Kind::First, UpdateOrder::StopFirst, &POLICIES, &newer)
}

pub fn rolls(order: UpdateOrder) -> impl Iterator<Item = Case> {
    cases(Kind::Roll, order, &[RestartPolicy::Always], &[Newer::Runs, Newer::Exits])
}

pub fn handovers() -> impl Iterator<Item = Case> {
    let of = |kind| cases(kind, UpdateOrder::StopFirst, &[RestartPolicy::Always], &[Newer::Runs]);
    of(Kind::Swap).chain(of(Kind::Handover))
}

fn cases(
    kind: Kind,
    order: UpdateOrder,
    policies: &[RestartPolicy],
    newer: &[Newer],
) -> impl Iterator<Item = Case> + use<> {
    let of = |restart: &RestartPolicy| {
        newer.iter().map(|newer| Case { kind, order, restart: *restart, newer: *newer }).collect::<Vec<_>>()
    };
    policies.iter().flat_map(of).collect::<Vec<_>>().into_iter()
}
