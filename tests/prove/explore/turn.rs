//! The transitions of a world. A turn is what `controller/reconcile.rs` does in one round: look, decide, make the record durable, act,
//! take in each answer before the next step; what did not get its turn is told so.

use std::sync::Arc;

use evenkeel::engine::sim::{Fault, Host, Moment, Op};
use evenkeel::state::condition::Condition;
use evenkeel::state::decide::{Decision, Inputs, Limits, Removal, decide};
use evenkeel::state::observed::{ContainerId, ContainerStatus, ObservedService};
use evenkeel::state::plan::{Failure, Next, Outcome, Planned, Step};
use evenkeel::state::record::Memo;
use evenkeel::state::settle::settle;

use super::check;
use super::engine::{Lab, OWNER};
use super::moves::{Event, Move, Read, Sent, Silence, When};
use super::world::{Budget, Class, Scenario, World, is_foreign};

/// Milliseconds after which the engine executes a request whose caller has long gone.
const LATE: u64 = 3_000;

/// Everything that can happen next.
pub struct Expanded {
    /// The first of these is what happens when nothing goes wrong; none of it: the world is at rest.
    pub next: Vec<(Move, World)>,
    pub rests: bool,
}

/// What an invariant says is wrong, and after which move.
#[derive(Debug, Clone)]
pub struct Broken {
    pub by: Move,
    pub what: String,
}

/// One service's look and what was decided on it.
struct Thought {
    observed: ObservedService,
    decision: Decision,
}

/// A scenario on one thread.
pub struct Explorer<'s> {
    pub scenario: &'s Scenario,
    pub lab: Lab,
}

impl<'s> Explorer<'s> {
    pub fn new(scenario: &'s Scenario) -> Self {
        Self { scenario, lab: Lab::new() }
    }

    /// Every move out of this world, of those that `used` leaves.
    pub fn expand(&self, world: &World, used: Budget) -> Result<Expanded, Broken> {
        let mut world = world.clone();
        // Nobody here reads them, and every copy would carry them along.
        world.host.forget_events();
        let mut next = Vec::new();
        let mut thoughts = Vec::new();
        for service in 0..self.scenario.services.len() {
            thoughts.push(self.think(&mut world, service, Move::Turn(number(service)))?);
        }
        if used.of(Class::App) == 0 {
            for (service, thought) in thoughts.iter().enumerate() {
                check::blamed(self.scenario, &world, service, &thought.decision)
                    .map_err(|what| Broken { by: Move::Turn(number(service)), what })?;
            }
        }
        let busy =
            |thought: &Thought| !thought.decision.plan.is_empty() || thought.decision.next == Next::Again;
        for (service, thought) in thoughts.iter().enumerate().filter(|(_, thought)| busy(thought)) {
            self.turn(&world, service, thought, used, &mut next)?;
        }
        let mut rests = false;
        if !thoughts.iter().any(busy) {
            match self.time(&world, &thoughts) {
                Some(later) => next.push((Move::Time, later)),
                None => {
                    rests = true;
                    let conditions: Vec<&Condition> =
                        thoughts.iter().map(|thought| &thought.decision.condition).collect();
                    check::rest(self.scenario, &world, &conditions)
                        .map_err(|what| Broken { by: Move::Time, what })?;
                }
            }
        }
        self.outside(&world, &thoughts, used, &mut next)?;
        for (by, world) in &next {
            check::state(self.scenario, world).map_err(|what| Broken { by: *by, what })?;
        }
        Ok(Expanded { next, rests })
    }

    pub fn left(&self, used: Budget, by: Move) -> bool {
        let mut after = used;
        for class in by.classes().into_iter().flatten() {
            if after.of(class) >= self.scenario.budget.of(class) {
                return false;
            }
            after = after.with_one_more(class);
        }
        true
    }

    fn think(&self, world: &mut World, service: usize, by: Move) -> Result<Thought, Broken> {
        let now = world.now();
        let id = &self.scenario.services[service];
        let record = Arc::clone(&world.memories[service].record);
        let wanted = &self.scenario.wishes[service][world.edits];
        let observed = self.lab.observe(&mut world.host, id, Some(wanted), &record, now);
        let observed =
            observed.map_err(|error| Broken { by, what: format!("a look failed by itself: {error}") })?;
        let decision = self.decide(world, service, &observed);
        let thought = Thought { observed, decision };
        check::decided(self.scenario, world, service, &thought.decision)
            .map_err(|what| Broken { by, what })?;
        Ok(thought)
    }

    fn decide(&self, world: &World, service: usize, observed: &ObservedService) -> Decision {
        let memory = &world.memories[service];
        decide(Inputs {
            id: &self.scenario.services[service],
            owner: OWNER,
            desired: Some(world.wish(self.scenario, service)),
            removal: Removal::Allowed,
            paused: None,
            window: None,
            observed,
            record: &memory.record,
            memo: &memory.memo,
            refs_in_use: &std::collections::BTreeSet::new(),
            now: world.now(),
            limits: Limits::default(),
        })
    }

    /// A service's pass, with every fault at every step of it.
    fn turn(
        &self,
        before: &World,
        service: usize,
        thought: &Thought,
        used: Budget,
        next: &mut Vec<(Move, World)>,
    ) -> Result<(), Broken> {
        let at = number(service);
        let mut world = adopted(before, service, &thought.decision);
        let plan = &thought.decision.plan;
        let mut faulty = Vec::new();
        for (index, planned) in plan.iter().enumerate() {
            let step = number(index);
            self.dies(&world, service, planned, |sent| Move::EvenkeelDies(at, step, sent), used, &mut faulty);
            for silence in [Silence::Lost, Silence::Done, Silence::DoneLater] {
                let by = Move::NoAnswer(at, step, silence);
                if self.left(used, by) {
                    let mut after = world.clone();
                    after.host.fail(op_of(&planned.step), silence.fault());
                    self.act(&mut after, service, thought, index, by)?;
                    after.host.calm();
                    faulty.push((by, after));
                }
            }
            for when in [When::Before, When::Midway, When::After] {
                let by = Move::EngineDiesIn(at, step, when);
                if self.left(used, by) {
                    let mut after = world.clone();
                    after.host.fail(op_of(&planned.step), Fault::EngineDies(when.moment()));
                    self.act(&mut after, service, thought, index, by)?;
                    after.host.calm();
                    if after.host.alive {
                        // The look before the act found that nothing was to be sent.
                        continue;
                    }
                    after.host.restart();
                    // A port that leaked stays taken until the engine is restarted once more, and nobody can do anything about it
                    // (RELIABILITY.md fact 4): somebody does restart it.
                    if !after.host.leaked.is_empty() {
                        after.host.crash();
                    }
                    faulty.push((by, after));
                }
            }
            let by = Move::Turn(at);
            let outcome = self.step(&mut world, service, thought, planned, by)?;
            check::state(self.scenario, &world).map_err(|what| Broken { by, what })?;
            if matches!(outcome, Outcome::Failed { .. }) {
                self.skip(&mut world, service, plan.iter().skip(index + 1));
                break;
            }
        }
        next.push((Move::Turn(at), world));
        next.extend(faulty);
        Ok(())
    }

    fn dies(
        &self,
        world: &World,
        service: usize,
        planned: &Planned,
        by: impl Fn(Sent) -> Move,
        used: Budget,
        found: &mut Vec<(Move, World)>,
    ) {
        if !self.left(used, by(Sent::Never)) {
            return;
        }
        for sent in [Sent::Never, Sent::Done, Sent::DoneLater] {
            let mut after = world.clone();
            let id = &self.scenario.services[service];
            match sent {
                Sent::Never => {}
                Sent::Done => drop(self.lab.take(&mut after.host, id, &planned.step)),
                Sent::DoneLater => {
                    after.host.fail(op_of(&planned.step), Fault::DoneLater(LATE));
                    drop(self.lab.take(&mut after.host, id, &planned.step));
                    after.host.calm();
                }
            }
            for memory in &mut after.memories {
                memory.memo = Arc::new(Memo::default());
            }
            found.push((by(sent), after));
        }
    }

    /// The plan from this step on.
    fn act(
        &self,
        world: &mut World,
        service: usize,
        thought: &Thought,
        from: usize,
        by: Move,
    ) -> Result<(), Broken> {
        let plan = &thought.decision.plan;
        for (index, planned) in plan.iter().enumerate().skip(from) {
            if matches!(self.step(world, service, thought, planned, by)?, Outcome::Failed { .. }) {
                self.skip(world, service, plan.iter().skip(index + 1));
                break;
            }
        }
        Ok(())
    }

    fn step(
        &self,
        world: &mut World,
        service: usize,
        thought: &Thought,
        planned: &Planned,
        by: Move,
    ) -> Result<Outcome, Broken> {
        check::sent(self.scenario, world, service, &thought.observed, &planned.step)
            .map_err(|what| Broken { by, what })?;
        let session = world.host.session;
        let volumes = world.host.volumes.len();
        let outcome = self.lab.take(&mut world.host, &self.scenario.services[service], &planned.step);
        if world.host.volumes.len() < volumes {
            return Err(Broken { by, what: "a volume was removed (S14)".to_owned() });
        }
        let now = world.now();
        let memory = &mut world.memories[service];
        let record = Arc::make_mut(&mut memory.record);
        settle(record, Arc::make_mut(&mut memory.memo), planned, &outcome, session, now);
        Ok(outcome)
    }

    fn skip<'p>(&self, world: &mut World, service: usize, rest: impl Iterator<Item = &'p Planned>) {
        let (now, session) = (world.now(), world.host.session);
        let memory = &mut world.memories[service];
        for planned in rest {
            let record = Arc::make_mut(&mut memory.record);
            settle(record, Arc::make_mut(&mut memory.memo), planned, &Outcome::NotTried, session, now);
        }
    }

    /// Nothing is planned: time passes to whatever comes first.
    fn time(&self, world: &World, thoughts: &[Thought]) -> Option<World> {
        let mut after = world.clone();
        for (service, thought) in thoughts.iter().enumerate() {
            after = adopted(&after, service, &thought.decision);
        }
        let own = thoughts.iter().filter_map(|thought| match thought.decision.next {
            Next::At(at) => Some(at.since(world.now().mono).max(1)),
            _ => None,
        });
        let pause = own.chain(world.host.next_change().map(|ms| ms.max(1))).min()?;
        after.host.advance(pause);
        Some(after)
    }

    fn outside(
        &self,
        world: &World,
        thoughts: &[Thought],
        used: Budget,
        next: &mut Vec<(Move, World)>,
    ) -> Result<(), Broken> {
        for event in self.events(world) {
            let by = Move::Outside(event);
            if event != Event::TimePasses && self.left(used, by) {
                let mut after = world.clone();
                happen(&mut after.host, event);
                next.push((by, after));
            }
            for (service, thought) in thoughts.iter().enumerate() {
                self.stale(world, service, thought, event, used, next)?;
            }
        }
        for service in 0..thoughts.len() {
            for read in [Read::List, Read::Inspect] {
                self.read_fails(world, service, read, used, next)?;
            }
        }
        if self.left(used, Move::Edit)
            && self.scenario.wishes.iter().all(|wishes| world.edits + 1 < wishes.len())
        {
            let mut after = world.clone();
            after.edits += 1;
            next.push((Move::Edit, after));
        }
        Ok(())
    }

    fn events(&self, world: &World) -> Vec<Event> {
        let mut events = vec![Event::EngineDies, Event::Prune];
        if world.host.next_change().is_some() {
            events.push(Event::TimePasses);
        }
        for (rank, container) in world.host.containers.values().enumerate() {
            if container.status == ContainerStatus::Running && !is_foreign(container) {
                events.push(Event::AppDies(number(rank)));
            }
            if container.started_at.is_some() && !is_foreign(container) {
                events.push(Event::Renamed(number(rank)));
            }
        }
        events
    }

    /// What was seen, or what the list shows, is from before the event.
    fn stale(
        &self,
        world: &World,
        service: usize,
        thought: &Thought,
        event: Event,
        used: Budget,
        next: &mut Vec<(Move, World)>,
    ) -> Result<(), Broken> {
        let by = Move::StaleView(number(service), event);
        if !thought.decision.plan.is_empty() && self.left(used, by) {
            let mut after = adopted(world, service, &thought.decision);
            happen(&mut after.host, event);
            self.act(&mut after, service, thought, 0, by)?;
            next.push((by, after));
        }
        let by = Move::StaleList(number(service), event);
        if self.left(used, by) {
            let mut after = world.clone();
            after.host.fail(Op::List, Fault::StaleRead);
            happen(&mut after.host, event);
            let late = self.think(&mut after, service, by)?;
            after.host.calm();
            after = adopted(&after, service, &late.decision);
            self.act(&mut after, service, &late, 0, by)?;
            next.push((by, after));
        }
        Ok(())
    }

    /// A look that failed decides nothing. One that came to something all the same shows where that leads.
    fn read_fails(
        &self,
        world: &World,
        service: usize,
        read: Read,
        used: Budget,
        next: &mut Vec<(Move, World)>,
    ) -> Result<(), Broken> {
        let by = Move::ReadFails(number(service), read);
        if !self.left(used, by) {
            return Ok(());
        }
        let mut after = world.clone();
        after.host.fail(read.op(), Fault::Error(Failure::Internal));
        let (id, now) = (&self.scenario.services[service], after.now());
        let record = Arc::clone(&after.memories[service].record);
        let wanted = world.wish(self.scenario, service);
        let looked = self.lab.observe(&mut after.host, id, Some(wanted), &record, now);
        let Ok(observed) = looked else { return Ok(()) };
        let happened = after.host.calls(read.op()) > world.host.calls(read.op());
        if happened {
            after.host.calm();
            let decision = self.decide(&after, service, &observed);
            let thought = Thought { observed, decision };
            after = adopted(&after, service, &thought.decision);
            self.act(&mut after, service, &thought, 0, by)?;
            next.push((by, after));
        }
        Ok(())
    }

    /// A move in words.
    pub fn describe(&self, world: &World, by: Move) -> String {
        let mut world = world.clone();
        let mut plan = |service: u8| -> Vec<String> {
            match self.think(&mut world, usize::from(service), by) {
                Ok(thought) if thought.decision.plan.is_empty() => {
                    let condition = &thought.decision.condition;
                    vec![format!("nothing to do: {} ({})", condition.reason, condition.message)]
                }
                Ok(thought) => thought.decision.plan.iter().map(|planned| step_name(&planned.step)).collect(),
                Err(broken) => vec![broken.what],
            }
        };
        let name = |service: u8| &self.scenario.services[usize::from(service)].service;
        let mut step =
            |service: u8, step: u8| plan(service).get(usize::from(step)).cloned().unwrap_or_default();
        match by {
            Move::Start => "the beginning".to_owned(),
            Move::Turn(service) => format!("{}: {}", name(service), plan(service).join(", ")),
            Move::Time => format!("time passes; {}", plan(0).join(", ")),
            Move::EvenkeelDies(service, at, sent) => {
                format!("{}: evenkeel dies in `{}` (request: {sent:?})", name(service), step(service, at))
            }
            Move::NoAnswer(service, at, silence) => {
                format!("{}: no answer to `{}` ({silence:?})", name(service), step(service, at))
            }
            Move::EngineDiesIn(service, at, when) => {
                format!("{}: the engine dies in `{}` ({when:?})", name(service), step(service, at))
            }
            Move::ReadFails(service, read) => format!("{}: {read:?} fails", name(service)),
            Move::Outside(event) => format!("{event:?}"),
            Move::Edit => "the files change".to_owned(),
            Move::StaleView(service, event) => {
                format!("{}: {event:?} between the look and: {}", name(service), plan(service).join(", "))
            }
            Move::StaleList(service, event) => {
                format!("{}: {event:?}, and a turn with the list from before it", name(service))
            }
        }
    }
}

fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap()
}

/// The decision is remembered; the record durably, before anything is done.
fn adopted(world: &World, service: usize, decision: &Decision) -> World {
    let mut after = world.clone();
    let memory = &mut after.memories[service];
    if decision.record != *memory.record {
        memory.record = Arc::new(decision.record.clone());
    }
    if decision.memo != *memory.memo {
        memory.memo = Arc::new(decision.memo.clone());
    }
    after
}

fn happen(host: &mut Host, event: Event) {
    match event {
        Event::EngineDies => host.crash(),
        Event::AppDies(rank) => {
            let id: Option<ContainerId> = host.containers.keys().nth(usize::from(rank)).cloned();
            if let Some(id) = id {
                host.process_dies(&id, 1);
            }
        }
        Event::Prune => host.container_prune(),
        Event::Renamed(rank) => {
            let id: Option<ContainerId> = host.containers.keys().nth(usize::from(rank)).cloned();
            if let Some(id) = id {
                host.docker_rename(&id, "by-hand");
            }
        }
        Event::TimePasses => {
            if let Some(ms) = host.next_change() {
                host.advance(ms.max(1));
            }
        }
    }
}

impl Silence {
    fn fault(self) -> Fault {
        match self {
            Self::Lost => Fault::Lost,
            Self::Done => Fault::DoneButUnknown,
            Self::DoneLater => Fault::DoneLater(LATE),
        }
    }
}

impl When {
    fn moment(self) -> Moment {
        match self {
            Self::Before => Moment::Before,
            Self::Midway => Moment::Midway,
            Self::After => Moment::After,
        }
    }
}

impl Read {
    fn op(self) -> Op {
        match self {
            Self::List => Op::List,
            Self::Inspect => Op::Inspect,
        }
    }
}

fn step_name(step: &Step) -> String {
    match step {
        Step::Create(creation) => format!("create {}", creation.name),
        Step::SetRestart { id, policy } => format!("set restart of {} to {policy:?}", id.short()),
        Step::Start { id } => format!("start {}", id.short()),
        Step::Stop { id, .. } => format!("stop {}", id.short()),
        Step::Remove { id, .. } => format!("remove {}", id.short()),
        Step::Rename { id, name } => format!("rename {} to {name}", id.short()),
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
        Step::Deliver { .. } => Op::Deliver,
        Step::Rename { .. } => Op::Rename,
        Step::Connect { .. } => Op::Connect,
        Step::Disconnect { .. } => Op::Disconnect,
        Step::SaveLogs { .. } => Op::Logs,
        Step::MakeExec { .. } => Op::MakeExec,
        Step::StartExec { .. } => Op::StartExec,
        Step::Remove { .. } => Op::Remove,
        Step::RemoveNetwork { .. } => Op::RemoveNetwork,
    }
}
