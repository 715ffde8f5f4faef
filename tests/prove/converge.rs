//! Enumerate, do not sample: the real `decide` and `settle` against the simulated engine, through every reachable state of one service
//! with a few faults, both orders, with and without a revision to go back to. Invariants at every state; from every state the
//! run without faults settles and then stays still. `CONVERGE_BUDGET=2` makes the budgets larger.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{
    Healthcheck, HealthcheckSpec, NetworkMode, RestartPolicy, ServiceSpec, UpdateOrder,
};
use evenkeel::desired::{Revision, Wanted};
use evenkeel::engine::sim::{Behaviour, Fault, Host, Moment, Op};
use evenkeel::state::condition::{Condition, ConditionKind};
use evenkeel::state::decide::{Decision, Inputs, Limits, Removal, decide};
use evenkeel::state::observed::{ContainerStatus, ObservedService};
use evenkeel::state::plan::{Next, Outcome, Planned, Step};
use evenkeel::state::record::{Memo, Record};
use evenkeel::state::settle::settle;
use evenkeel::state::target::lookups;
use evenkeel::state::time::{Mono, Now, Timestamp};

use crate::specs::spec;

const OWNER: &str = "test";

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Budget {
    evenkeel_crashes: u8,
    engine_crashes: u8,
    unknown: u8,
    app_crashes: u8,
    prunes: u8,
    edits: u8,
}

/// One state of the world.
#[derive(Clone)]
struct World {
    host: Host,
    record: Record,
    memo: Memo,
    /// Index into the scenario's wishes.
    wish: usize,
    budget: Budget,
}

struct Scenario {
    name: &'static str,
    wishes: Vec<Wanted>,
    /// Two copies must never run at the same time.
    exclusive: bool,
}

fn id() -> ServiceId {
    ServiceId::new("shop", "web").unwrap()
}

/// A service that holds something exclusive which the simulated engine does not guard: the host's network. So two holders show.
fn wish(image: &str, order: UpdateOrder, restart: RestartPolicy, exclusive: bool, check: bool) -> Wanted {
    let mut spec: ServiceSpec = spec(image);
    spec.policy.update.order = order;
    spec.live.restart = restart;
    if exclusive {
        spec.container.network_mode = NetworkMode::Host;
        spec.live.networks.clear();
    }
    if check {
        let test = vec!["CMD".to_owned(), "check".to_owned()];
        spec.container.healthcheck = Healthcheck::Set(HealthcheckSpec { test, ..HealthcheckSpec::default() });
    }
    Wanted::run(Revision { hash: SpecHash::of(&spec.container), spec })
}

impl World {
    fn now(&self) -> Now {
        Now { wall: Timestamp(1_000_000 + i64::try_from(self.host.now).unwrap()), mono: Mono(self.host.now) }
    }

    fn observe(&self, wanted: &Wanted) -> ObservedService {
        let id = id();
        let asked = lookups(&id, Some(wanted), &self.record, self.now());
        let host = &self.host;
        let containers: Vec<_> =
            host.containers.values().filter_map(|container| container.observed()).collect();
        let keep = format!("{}:", asked.keep_repository);
        let tags = host
            .images
            .values()
            .flat_map(|facts| facts.tags.iter().map(move |tag| (tag.clone(), facts.id.clone())));
        let named = |name: &String| host.clone().networks_named(name).unwrap_or_default();
        ObservedService {
            session: host.session,
            containers,
            image: asked.image.as_ref().and_then(|image| host.resolve(image).cloned()),
            kept_images: asked
                .kept_images
                .iter()
                .filter_map(|id| Some((id.clone(), host.images.get(id)?.clone())))
                .collect(),
            keep_tags: tags
                .filter_map(|(tag, image)| Some((tag.strip_prefix(&keep)?.to_owned(), image)))
                .collect(),
            networks: asked.networks.iter().map(|name| (name.clone(), named(name))).collect(),
            volumes: asked
                .volumes
                .iter()
                .map(|name| (name.clone(), host.volumes.get(name).cloned()))
                .collect(),
            ..ObservedService::default()
        }
    }

    fn decide(&self, scenario: &Scenario) -> Decision {
        let wanted = &scenario.wishes[self.wish];
        decide(Inputs {
            id: &id(),
            owner: OWNER,
            desired: Some(wanted),
            removal: Removal::Allowed,
            observed: &self.observe(wanted),
            record: &self.record,
            memo: &self.memo,
            refs_in_use: &BTreeSet::new(),
            now: self.now(),
            limits: Limits::default(),
        })
    }

    fn adopt(&mut self, decision: &Decision) {
        self.record = decision.record.clone();
        self.memo = decision.memo.clone();
    }

    /// One step as the executor takes it: never on a container that is not there any more.
    fn take(&mut self, planned: &Planned) -> Outcome {
        let outcome = self.host.take(&planned.step, OWNER);
        let (now, session) = (self.now(), self.host.session);
        settle(&mut self.record, &mut self.memo, planned, &outcome, session, now);
        outcome
    }

    fn skip(&mut self, planned: &Planned) {
        let (now, session) = (self.now(), self.host.session);
        settle(&mut self.record, &mut self.memo, planned, &Outcome::NotTried, session, now);
    }

    fn running(&self) -> usize {
        let up = |status| {
            matches!(status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting)
        };
        self.host.containers.values().filter(|container| up(container.status)).count()
    }

    /// Everything that decides the future, and nothing that only counts the past.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.host.fingerprint().hash(&mut hasher);
        self.budget.hash(&mut hasher);
        self.wish.hash(&mut hasher);
        let mut record = self.record.clone();
        for kept in &mut record.revisions {
            kept.since = Timestamp(0);
            kept.good_since = kept.good_since.map(|_| Timestamp(0));
        }
        for note in &mut record.unsettled {
            note.session.0 = self.host.session.0 - note.session.0;
            note.started_at = None;
        }
        record.sequence = 0;
        // Rejections carry a time; the fact is what counts.
        let text = serde_json::to_string(&record).unwrap();
        let plain: String =
            text.split("\"at\":").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
        plain.hash(&mut hasher);
        let ago = |at: Mono| self.host.now.saturating_sub(at.0).min(1_000_000);
        for (id, window) in &self.memo.gates {
            (
                id,
                ago(window.since),
                self.host.session.0 - window.session.0,
                window.passed,
                window.started_at.is_some(),
            )
                .hash(&mut hasher);
        }
        for (id, attempts) in &self.memo.starts {
            (id, attempts.count, ago(attempts.last), &attempts.text).hash(&mut hasher);
        }
        let tries = [&self.memo.pull, &self.memo.trouble, &self.memo.housekeeping];
        for attempts in tries.into_iter().flatten() {
            (attempts.count, ago(attempts.last)).hash(&mut hasher);
        }
        (self.memo.watch_since.map(ago), self.memo.watch_starts, self.memo.waiting_since.map(ago))
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// A transition with its name for the trace.
fn successors(world: &World, scenario: &Scenario) -> Vec<(String, World)> {
    let mut found = Vec::new();
    let decision = world.decide(scenario);
    let mut after = world.clone();
    after.adopt(&decision);
    if decision.plan.is_empty() {
        quiet_successors(world, &after, &decision, &mut found);
    } else {
        acting_successors(&after, &decision, &mut found);
    }
    outside_successors(world, scenario, &mut found);
    found
}

/// Nothing is planned: time passes to whatever comes first.
fn quiet_successors(world: &World, after: &World, decision: &Decision, found: &mut Vec<(String, World)>) {
    match decision.next {
        Next::Again => found.push((format!("look again ({})", decision.condition.reason), after.clone())),
        next => {
            let own = match next {
                Next::At(at) => Some(at.since(world.now().mono).max(1)),
                _ => None,
            };
            let pause = own.into_iter().chain(world.host.next_change().map(|ms| ms.max(1))).min();
            if let Some(ms) = pause {
                let mut later = after.clone();
                later.host.advance(ms);
                found.push((format!("{ms} ms pass ({})", decision.condition.reason), later));
            }
        }
    }
}

/// Every prefix of the plan with a crash behind it, and every fault of every step.
fn acting_successors(start: &World, decision: &Decision, found: &mut Vec<(String, World)>) {
    let mut world = start.clone();
    for (index, planned) in decision.plan.iter().enumerate() {
        let name = step_name(&planned.step);
        let op = op_of(&planned.step);
        if world.budget.evenkeel_crashes > 0 {
            let mut crashed = world.clone();
            crashed.budget.evenkeel_crashes -= 1;
            crashed.memo = Memo::default();
            found.push((format!("evenkeel dies before {name}"), crashed));
            // Sent, executed, and nobody was there to hear the answer.
            let mut unheard = world.clone();
            unheard.budget.evenkeel_crashes -= 1;
            let _ = unheard.host.take(&planned.step, OWNER);
            unheard.memo = Memo::default();
            found.push((format!("evenkeel dies during {name}"), unheard));
        }
        if world.budget.unknown > 0 {
            for fault in [Fault::Lost, Fault::DoneButUnknown, Fault::DoneLater(3_000)] {
                let mut faulty = world.clone();
                faulty.budget.unknown -= 1;
                faulty.host.fail(op, fault.clone());
                fail_step(&mut faulty, decision, index);
                found.push((format!("{name}: no answer ({fault:?})"), faulty));
            }
        }
        if world.budget.engine_crashes > 0 {
            for moment in [Moment::Before, Moment::Midway, Moment::After] {
                let mut faulty = world.clone();
                faulty.budget.engine_crashes -= 1;
                faulty.host.fail(op, Fault::EngineDies(moment));
                fail_step(&mut faulty, decision, index);
                faulty.host.restart();
                found.push((format!("the engine dies in {name} ({moment:?})"), faulty));
            }
        }
        let outcome = world.take(planned);
        if matches!(outcome, Outcome::Failed { .. }) {
            for rest in decision.plan.iter().skip(index + 1) {
                world.skip(rest);
            }
            found.push((format!("{name}: {outcome:?}"), world));
            return;
        }
    }
    let names: Vec<String> = decision.plan.iter().map(|planned| step_name(&planned.step)).collect();
    found.push((names.join(", "), world));
}

fn fail_step(world: &mut World, decision: &Decision, index: usize) {
    for (position, planned) in decision.plan.iter().enumerate().skip(index) {
        if position == index {
            world.take(planned);
        } else {
            world.skip(planned);
        }
    }
}

fn outside_successors(world: &World, scenario: &Scenario, found: &mut Vec<(String, World)>) {
    if world.budget.engine_crashes > 0 {
        let mut crashed = world.clone();
        crashed.budget.engine_crashes -= 1;
        crashed.host.crash();
        found.push(("the engine dies and comes back".to_owned(), crashed));
    }
    if world.budget.app_crashes > 0 {
        for container in
            world.host.containers.values().filter(|container| container.status == ContainerStatus::Running)
        {
            let mut crashed = world.clone();
            crashed.budget.app_crashes -= 1;
            crashed.host.process_dies(&container.id, 1);
            found.push((format!("{} crashes", container.name), crashed));
        }
    }
    if world.budget.prunes > 0 {
        let mut pruned = world.clone();
        pruned.budget.prunes -= 1;
        pruned.host.container_prune();
        found.push(("container prune".to_owned(), pruned));
    }
    if world.budget.edits > 0 && world.wish + 1 < scenario.wishes.len() {
        let mut edited = world.clone();
        edited.budget.edits -= 1;
        edited.wish += 1;
        found.push(("the file changes".to_owned(), edited));
    }
}

fn step_name(step: &Step) -> String {
    match step {
        Step::Create(creation) => format!("create {}", creation.name),
        Step::SetRestart { policy, .. } => format!("set restart {policy:?}"),
        other => {
            let text = format!("{other:?}");
            text.split([' ', '{', '(']).next().unwrap_or_default().to_lowercase()
        }
    }
}

fn op_of(step: &Step) -> Op {
    match step {
        Step::Pull { .. } => Op::Pull,
        Step::Keep { .. } => Op::Tag,
        Step::Untag { .. } => Op::Untag,
        Step::CreateNetwork(_) => Op::CreateNetwork,
        Step::CreateVolume(_) => Op::CreateVolume,
        Step::Create(_) => Op::Create,
        Step::Start { .. } => Op::Start,
        Step::Stop { .. } => Op::Stop,
        Step::SetRestart { .. } => Op::SetRestart,
        Step::SetResources { .. } => Op::SetResources,
        Step::Rename { .. } => Op::Rename,
        Step::Connect { .. } => Op::Connect,
        Step::Disconnect { .. } => Op::Disconnect,
        Step::SaveLogs { .. } => Op::Logs,
        Step::Remove { .. } => Op::Remove,
        Step::RemoveNetwork { .. } => Op::RemoveNetwork,
    }
}

/// The run without faults from here: must come to rest within a bounded number of turns, and rest with a service that serves.
fn settles(start: &World, scenario: &Scenario, live: &mut HashSet<u64>) -> Result<Condition, String> {
    let mut world = start.clone();
    world.budget =
        Budget { evenkeel_crashes: 0, engine_crashes: 0, unknown: 0, app_crashes: 0, prunes: 0, edits: 0 };
    let mut passed = Vec::new();
    let mut trace = Vec::new();
    for _ in 0..400 {
        let print = world.fingerprint();
        if live.contains(&print) {
            live.extend(passed);
            return Ok(Condition::new(ConditionKind::Ready, "Known", ""));
        }
        passed.push(print);
        let next = successors(&world, scenario).into_iter().next();
        let Some((name, after)) = next else {
            let decision = world.decide(scenario);
            let good = match decision.condition.kind {
                ConditionKind::Ready | ConditionKind::RolledBack | ConditionKind::Completed => true,
                // Nothing to go back to, or a restart policy that leaves it so.
                ConditionKind::Failed => matches!(decision.condition.reason.as_str(), "Rejected" | "Exited"),
                _ => false,
            };
            if !good || world.running() > 1 && scenario.exclusive {
                return Err(format!(
                    "rests in {:?} with {} running\n  {}",
                    decision.condition,
                    world.running(),
                    trace.join("\n  ")
                ));
            }
            live.extend(passed);
            return Ok(decision.condition);
        };
        trace.push(name);
        world = after;
    }
    let tail: Vec<String> = trace.iter().rev().take(30).rev().cloned().collect();
    Err(format!("never comes to rest; the last turns:\n  {}", tail.join("\n  ")))
}

fn explore(scenario: &Scenario, first: World, most: usize) -> usize {
    let mut seen: HashMap<u64, (Option<u64>, String)> = HashMap::new();
    let mut live = HashSet::new();
    let mut open = vec![(first.fingerprint(), first.clone())];
    seen.insert(first.fingerprint(), (None, "start".to_owned()));
    let trace = |seen: &HashMap<u64, (Option<u64>, String)>, mut at: u64| {
        let mut names = Vec::new();
        while let Some((before, name)) = seen.get(&at) {
            names.push(name.clone());
            match before {
                Some(before) => at = *before,
                None => break,
            }
        }
        names.reverse();
        names.join("\n  ")
    };
    while let Some((print, world)) = open.pop() {
        assert!(
            !scenario.exclusive || world.running() <= 1,
            "{}: two copies run at the same time (I17):\n  {}",
            scenario.name,
            trace(&seen, print)
        );
        if let Err(why) = settles(&world, scenario, &mut live) {
            panic!("{}: from here it {why}\n after:\n  {}", scenario.name, trace(&seen, print));
        }
        if seen.len() > most {
            panic!("{}: more than {most} states", scenario.name);
        }
        for (name, next) in successors(&world, scenario) {
            let key = next.fingerprint();
            if let std::collections::hash_map::Entry::Vacant(slot) = seen.entry(key) {
                slot.insert((Some(print), name));
                open.push((key, next));
            }
        }
    }
    seen.len()
}

/// A host where web:1 serves already, made by the same rules without faults.
fn with_previous(scenario: &Scenario, host: Host, budget: Budget) -> World {
    let none =
        Budget { evenkeel_crashes: 0, engine_crashes: 0, unknown: 0, app_crashes: 0, prunes: 0, edits: 0 };
    let mut world = World { host, record: Record::default(), memo: Memo::default(), wish: 0, budget: none };
    for _ in 0..200 {
        match successors(&world, scenario).into_iter().next() {
            Some((_, next)) => world = next,
            None => break,
        }
    }
    assert!(world.record.good.is_some(), "{}: the previous revision never became good", scenario.name);
    World { budget, wish: 1, ..world }
}

fn host() -> Host {
    let mut host = Host::any_image();
    host.foreign_network("shop_default");
    for reference in ["web:1", "web:2", "web:3"] {
        let _ = host.pull(reference);
    }
    host
}

fn budget() -> Budget {
    let large = std::env::var("CONVERGE_BUDGET").is_ok_and(|text| text == "2");
    if large {
        Budget { evenkeel_crashes: 2, engine_crashes: 2, unknown: 2, app_crashes: 1, prunes: 1, edits: 1 }
    } else {
        Budget { evenkeel_crashes: 1, engine_crashes: 1, unknown: 0, app_crashes: 0, prunes: 0, edits: 0 }
    }
}

fn update(name: &'static str, order: UpdateOrder, restart: RestartPolicy, second: Behaviour, check: bool) {
    let exclusive = order == UpdateOrder::StopFirst;
    let wishes =
        ["web:1", "web:2", "web:3"].map(|image| wish(image, order, restart, exclusive, check)).to_vec();
    let scenario = Scenario { name, wishes, exclusive };
    let mut host = host();
    host.script("web:2", second);
    let first = with_previous(&scenario, host, budget());
    let states = explore(&scenario, first, 3_000_000);
    println!("{name}: {states} states");
    assert!(states > 100, "{name}: only {states} states: the exploration did not begin");
}

#[test]
fn a_stop_first_update_settles_from_every_state() {
    update("stop-first, always", UpdateOrder::StopFirst, RestartPolicy::Always, Behaviour::default(), false);
    update(
        "stop-first, unless-stopped",
        UpdateOrder::StopFirst,
        RestartPolicy::UnlessStopped,
        Behaviour::default(),
        true,
    );
}

#[test]
fn a_failing_stop_first_update_goes_back_from_every_state() {
    update(
        "stop-first, new one exits",
        UpdateOrder::StopFirst,
        RestartPolicy::Always,
        Behaviour::exits(500, 1),
        false,
    );
    update(
        "stop-first, new one is never healthy",
        UpdateOrder::StopFirst,
        RestartPolicy::UnlessStopped,
        Behaviour::never_healthy(),
        true,
    );
}

#[test]
fn a_start_first_update_settles_from_every_state() {
    update(
        "start-first, always",
        UpdateOrder::StartFirst,
        RestartPolicy::Always,
        Behaviour::default(),
        false,
    );
    update(
        "start-first, new one exits",
        UpdateOrder::StartFirst,
        RestartPolicy::Always,
        Behaviour::exits(500, 1),
        false,
    );
}

#[test]
fn a_first_deployment_settles_from_every_state() {
    for (name, restart, behaviour) in [
        ("first, always", RestartPolicy::Always, Behaviour::default()),
        ("first, crash loop", RestartPolicy::Always, Behaviour::exits(500, 1)),
        ("first, no policy", RestartPolicy::No, Behaviour::exits(500, 0)),
        ("first, on-failure", RestartPolicy::OnFailure { max_retries: 0 }, Behaviour::default()),
    ] {
        let wishes = vec![wish("web:1", UpdateOrder::StopFirst, restart, true, false)];
        let scenario = Scenario { name, wishes, exclusive: true };
        let mut host = host();
        host.script("web:1", behaviour);
        let first =
            World { host, record: Record::default(), memo: Memo::default(), wish: 0, budget: budget() };
        println!("{name}: {} states", explore(&scenario, first, 3_000_000));
    }
}
