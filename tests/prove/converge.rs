//! Enumerate, do not sample: every reachable state of a service (or two) with a few faults, by the controller's own rules. Every
//! invariant at every state; from every state the run without faults comes to rest. `EXPLORE=2/2/2/1/1/1/1` sets the budget:
//! deaths of evenkeel / deaths of the engine / calls without an answer / crashes of the application / prunes / stale reads / edits.

use std::collections::BTreeMap;

use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{
    Healthcheck, HealthcheckSpec, NetworkMode, RestartPolicy, ServiceSpec, UpdateOrder,
};
use evenkeel::desired::{Revision, Wanted};
use evenkeel::engine::convert::labels;
use evenkeel::engine::sim::image::full_reference;
use evenkeel::engine::sim::{Behaviour, Foreign, Host};
use evenkeel::state::observed::OwnLabels;
use evenkeel::state::record::RevisionId;

use crate::explore::engine::OWNER;
use crate::explore::search::prove;
use crate::explore::trace;
use crate::explore::turn::Explorer;
use crate::explore::world::{Budget, Class, Memory, Scenario, World};
use crate::specs::spec;

/// Milliseconds a container without a check runs before it is proved: two looks.
const MONITOR: u64 = 4_000;

/// One service: what it is, and what its next revision does.
#[derive(Clone)]
struct Case {
    order: UpdateOrder,
    restart: RestartPolicy,
    /// `None`: a first deployment.
    previous: bool,
    newer: Newer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newer {
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
    fn name(&self) -> String {
        let what = match (self.previous, self.order) {
            (false, _) => "first deployment",
            (true, UpdateOrder::StartFirst) => "start-first",
            (true, _) => "stop-first",
        };
        format!("{what}, restart {}, new one {:?}", policy_name(self.restart), self.newer).to_lowercase()
    }

    fn scenario(&self, budget: Budget) -> Scenario {
        let exclusive = self.order == UpdateOrder::StopFirst;
        let images: &[&str] = if self.previous { &["web:1", "web:2", "web:3"] } else { &["web:2", "web:3"] };
        let checked = self.newer == Newer::NeverHealthy;
        let service = ServiceId::new("shop", "web").unwrap();
        let wishes: Vec<Wanted> =
            images.iter().map(|image| wish(image, self.order, self.restart, exclusive, checked)).collect();
        let mut host = host();
        if !self.previous {
            with_copied_labels(&mut host, &service, &wishes[0]);
        }
        host.script("web:2", self.newer.behaviour());
        let first = World { host, memories: vec![Memory::default()], edits: 0 };
        let mut scenario = Scenario {
            name: self.name(),
            services: vec![service],
            wishes: vec![wishes],
            exclusive,
            monitor_ms: MONITOR,
            budget: Budget::NONE,
            first,
        };
        if self.previous {
            settle_first(&mut scenario);
        }
        scenario.budget = budget;
        scenario
    }
}

/// A service that holds something exclusive which the simulated engine does not guard: the host's network. So two holders show.
fn wish(image: &str, order: UpdateOrder, restart: RestartPolicy, exclusive: bool, checked: bool) -> Wanted {
    let mut spec: ServiceSpec = spec(image);
    spec.policy.update.order = order;
    spec.policy.update.monitor_ms = MONITOR;
    spec.policy.update.healthy_within_ms = 2 * MONITOR;
    spec.live.restart = restart;
    if exclusive {
        spec.container.network_mode = NetworkMode::Host;
        spec.live.networks.clear();
    }
    if checked {
        let test = vec!["CMD".to_owned(), "check".to_owned()];
        let check = HealthcheckSpec { test, interval: Some(1_000_000_000), ..HealthcheckSpec::default() };
        spec.container.healthcheck = Healthcheck::Set(check);
    }
    Wanted::run(Revision::of(spec))
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

fn budget(default: [u8; 7]) -> Budget {
    let text = std::env::var("EXPLORE").ok();
    let numbers = match &text {
        Some(text) => {
            let numbers: Vec<u8> =
                text.split('/').map(|part| part.parse().expect("EXPLORE=2/2/2/1/1/1/1")).collect();
            numbers.try_into().expect("EXPLORE has seven numbers")
        }
        None => default,
    };
    let [evenkeel, engine, unknown, app, prune, stale, edit] = numbers;
    Budget::new([
        (Class::Evenkeel, evenkeel),
        (Class::Engine, engine),
        (Class::Unknown, unknown),
        (Class::App, app),
        (Class::Prune, prune),
        (Class::Stale, stale),
        (Class::Edit, edit),
    ])
}

fn updates(order: UpdateOrder) -> impl Iterator<Item = Case> {
    POLICIES.into_iter().flat_map(move |restart| {
        [Newer::Runs, Newer::Exits, Newer::NeverHealthy].map(|newer| Case {
            order,
            restart,
            previous: true,
            newer,
        })
    })
}

fn firsts() -> impl Iterator<Item = Case> {
    POLICIES.into_iter().flat_map(|restart| {
        [Newer::Runs, Newer::Exits, Newer::Completes].map(|newer| Case {
            order: UpdateOrder::StopFirst,
            restart,
            previous: false,
            newer,
        })
    })
}

/// What is allowed to go wrong in `make test`: each kind of fault at every point, up to four of them in one run; the second and third only
/// with restart `always`, which has the most to go wrong. `make prove` sets another.
const BUDGETS: [[u8; 7]; 3] = [[1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0, 1]];

/// Explores every case. `EXPLORE_ONLY` picks those with this text in their names.
fn every(cases: impl Iterator<Item = Case>) {
    let only = std::env::var("EXPLORE_ONLY").unwrap_or_default();
    let budgets: &[[u8; 7]] = if std::env::var("EXPLORE").is_ok() { &BUDGETS[..1] } else { &BUDGETS };
    let mut states = 0;
    for case in cases.filter(|case| case.name().contains(&only)) {
        let always = case.restart == RestartPolicy::Always;
        for numbers in budgets.iter().take(if always { budgets.len() } else { 1 }) {
            let found = prove(&case.scenario(budget(*numbers)));
            assert!(found.worlds > 5, "{}: the exploration did not begin", case.name());
            states += found.states;
        }
    }
    println!("{states} states in all");
}

#[test]
fn a_stop_first_update_settles_from_every_state() {
    every(updates(UpdateOrder::StopFirst));
}

#[test]
fn a_start_first_update_settles_from_every_state() {
    every(updates(UpdateOrder::StartFirst));
}

#[test]
fn a_first_deployment_settles_from_every_state() {
    every(firsts());
}

/// Every scenario by its name, for saved traces.
fn named(name: &str) -> Option<Scenario> {
    let cases = updates(UpdateOrder::StopFirst).chain(updates(UpdateOrder::StartFirst)).chain(firsts());
    let all = Budget(u16::MAX);
    cases.into_iter().find(|case| case.name() == name).map(|case| case.scenario(all))
}

/// What broke once and was saved: `tests/prove/traces/*.trace`.
#[test]
fn every_saved_counterexample_is_mended() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prove/traces");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "trace") {
            continue;
        }
        let (name, moves) = trace::read(&std::fs::read_to_string(&path).unwrap());
        let scenario = named(&name).unwrap_or_else(|| panic!("{}: no scenario `{name}`", path.display()));
        if let Err(what) = trace::replay(&scenario, &moves) {
            panic!("{}: {what}", path.display());
        }
    }
}
