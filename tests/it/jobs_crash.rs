//! Every way in which a run can be interrupted, within bounds, on the simulated engine: evenkeel dies before and after each thing it writes down and
//! asks for, answers are lost, requests are carried out late, the engine dies. A run is never started twice, and never lost.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};

use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::work::{JobSpec, Runs, WorkId};
use evenkeel::engine::ContainerFilter;
use evenkeel::engine::sim::{Behaviour, Fault, Host, Op, made_up};
use evenkeel::state::jobs::*;
use evenkeel::state::observed::{ObservedService, label};
use evenkeel::state::plan::Failure;
use evenkeel::state::time::{Mono, Now, Timestamp};

const OWNER: &str = "test";
const WALL: i64 = 1_777_636_800_000;

fn job(more: &str) -> JobSpec {
    let text = format!("[jobs.report]\nimage = \"report:1\"\nnetwork_mode = \"none\"\n{more}\n");
    let files = BTreeMap::from([(
        RelPath::new("shop/jobs.toml").unwrap(),
        FileContent::Read(text.into_bytes().into()),
    )]);
    let snapshot = Snapshot { files, root: "/desired".to_owned(), ..Snapshot::default() };
    let (desired, told) = load(&snapshot, &HostFacts { name: "host".to_owned(), ..HostFacts::default() });
    assert!(told.is_empty(), "{:?}", told.iter().map(|told| told.headline()).collect::<Vec<_>>());
    JobSpec::clone(desired.works.jobs[&WorkId::new("shop", "report").unwrap()].wanted().unwrap())
}

/// How evenkeel dies in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Death {
    /// It had decided, and nothing was written down.
    Undecided,
    /// It was written down, and nothing was asked.
    Unasked,
    Asked(Silence),
}

/// What became of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Silence {
    Lost,
    Done,
    Later(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Move {
    Turn,
    Dies(Death),
    NoAnswer(Silence),
    EngineDies,
}

const SILENCES: [Silence; 4] = [Silence::Lost, Silence::Done, Silence::Later(400), Silence::Later(9_000)];

#[derive(Clone)]
struct World {
    host: Host,
    durable: JobRecord,
    /// What the process knows; `None`: it has just begun.
    live: Option<(JobRecord, JobMemo)>,
    now: u64,
    starts: u32,
    heard: u64,
    engine_died: bool,
    /// Deaths of evenkeel, answers lost, deaths of the engine: how many more there are to be.
    budget: [u8; 3],
    trace: Vec<Move>,
}

struct Lab {
    spec: JobSpec,
    states: HashSet<u64>,
    ends: BTreeSet<String>,
}

impl World {
    fn now(&self) -> Now {
        Now { wall: Timestamp(WALL + i64::try_from(self.now).unwrap()), mono: Mono(self.now) }
    }

    fn see(&mut self) -> Seen {
        let labels = BTreeMap::from([
            (label::OWNER.to_owned(), OWNER.to_owned()),
            (label::JOB.to_owned(), "report".to_owned()),
        ]);
        let rows = self.host.list(&ContainerFilter { labels, ..ContainerFilter::default() }).unwrap();
        let containers = rows.into_iter().map(|row| {
            let found = self.host.inspect(&row.id).unwrap().unwrap();
            (found.labels.job.clone().unwrap(), found)
        });
        let containers = containers.collect();
        let image = self.host.inspect_image("report:1").unwrap();
        Seen {
            containers,
            around: ObservedService { image, ..ObservedService::default() },
            ..Seen::default()
        }
    }

    /// Counts what began meanwhile, by the engine's own word.
    fn listen(&mut self) {
        let starts = self.host.events_since(self.heard).filter(|(_, event)| event.action == "start").count();
        self.starts += u32::try_from(starts).unwrap();
        self.heard = self.host.event_count();
    }

    fn pass_time(&mut self, ms: u64) {
        self.host.advance(ms);
        self.now += ms;
        self.listen();
    }

    fn call(&mut self, step: &JobStep) -> JobOutcome {
        let done = match step {
            JobStep::Pull { image, .. } => self.host.pull(image).map(|_| JobOutcome::Done),
            JobStep::Create(creation) => self.host.create(creation).map(JobOutcome::Created),
            JobStep::Start { id } => self.host.start(id).map(|()| JobOutcome::Done),
            JobStep::Stop { id, grace } => self.host.stop(id, *grace).map(|()| JobOutcome::Done),
            JobStep::Remove { id, dead } => self.host.remove(id, *dead).map(|()| JobOutcome::Done),
            JobStep::Collect { .. } => Ok(JobOutcome::Tail("said".to_owned())),
            JobStep::MakeExec { .. } | JobStep::StartExec { .. } => panic!("{step:?}"),
        };
        self.listen();
        match done {
            Ok(outcome) => outcome,
            Err(error) if error.kind == Failure::Unknown => {
                JobOutcome::Failed { kind: error.kind, text: error.message }
            }
            Err(error) => JobOutcome::Failed { kind: error.kind, text: error.to_string() },
        }
    }

    fn script(&mut self, step: &JobStep, silence: Silence) {
        let op = match step {
            JobStep::Create(_) => Op::Create,
            JobStep::Start { .. } => Op::Start,
            JobStep::Stop { .. } => Op::Stop,
            JobStep::Remove { .. } => Op::Remove,
            JobStep::Pull { .. } => Op::Pull,
            _ => return,
        };
        self.host.fail(
            op,
            match silence {
                Silence::Lost => Fault::Lost,
                Silence::Done => Fault::DoneButUnknown,
                Silence::Later(ms) => Fault::DoneLater(ms),
            },
        );
    }
}

impl Lab {
    /// One move. `false`: it is none in this world.
    fn play(&self, world: &mut World, what: Move) -> bool {
        world.trace.push(what);
        if what == Move::EngineDies {
            world.host.crash();
            world.heard = world.host.event_count();
            world.engine_died = true;
            return true;
        }
        let (record, memo) = world.live.take().unwrap_or_else(|| (world.durable.clone(), JobMemo::default()));
        let seen = world.see();
        let Runs::Container { spec, .. } = &self.spec.runs else { panic!("no container") };
        let (id, zone, nothing) =
            (WorkId::new("shop", "report").unwrap(), jiff::tz::TimeZone::UTC, BTreeSet::new());
        let decision = decide(&Inputs {
            id: &id,
            owner: OWNER,
            wants: Wants::Run(&self.spec),
            spec: Some(spec),
            zone: &zone,
            record: &record,
            memo: &memo,
            seen: Some(&seen),
            ends: &BTreeMap::new(),
            paused: None,
            pressure: None,
            strangers: false,
            followed: &nothing,
            pace_ms: 10_000,
            session: world.host.session,
            now: world.now(),
        });
        if what == Move::Dies(Death::Undecided) {
            return record != decision.record;
        }
        let (mut record, mut memo) = (decision.record, decision.memo);
        world.durable = record.clone();
        if decision.plan.is_empty() {
            world.live = Some((record, memo));
            let wait = decision.next.map_or(0, |next| next.0.saturating_sub(world.now));
            world.pass_time(wait.clamp(1, 10_000));
            return what == Move::Turn;
        }
        if what == Move::Dies(Death::Unasked) {
            return true;
        }
        for (run, step) in &decision.plan {
            match what {
                Move::Dies(Death::Asked(silence)) | Move::NoAnswer(silence) => world.script(step, silence),
                _ => {}
            }
            let outcome = world.call(step);
            if matches!(what, Move::Dies(_)) {
                world.host.calm();
                return !matches!(step, JobStep::Collect { .. });
            }
            settle(&mut record, &mut memo, run, step, &outcome, world.now());
            world.durable = record.clone();
            if matches!(what, Move::NoAnswer(_)) {
                // The time that was waited for it.
                world.host.calm();
                if matches!(step, JobStep::Collect { .. }) {
                    return false;
                }
                world.pass_time(100);
                break;
            }
        }
        world.live = Some((record, memo));
        true
    }

    fn moves(world: &World) -> Vec<Move> {
        let mut moves = vec![Move::Turn];
        if world.budget[0] > 0 {
            moves.extend([Move::Dies(Death::Undecided), Move::Dies(Death::Unasked)]);
            moves.extend(SILENCES.map(|silence| Move::Dies(Death::Asked(silence))));
        }
        if world.budget[1] > 0 {
            moves.extend(SILENCES.map(Move::NoAnswer));
        }
        if world.budget[2] > 0 {
            moves.push(Move::EngineDies);
        }
        moves
    }

    fn check(&mut self, world: &World) {
        let tries = 1 + self.spec.retries;
        assert!(world.starts <= tries, "started {} times: {:?}", world.starts, world.trace);
        if self.is_over(world) {
            let runs = &world.durable.runs;
            let results: Vec<&str> =
                runs.values().filter_map(|run| Some(run.end.as_ref()?.result.word())).collect();
            self.ends.insert(format!("{} starts, {}", world.starts, results.join(" ")));
            let last = results.last().copied().unwrap_or_default();
            if !world.engine_died {
                assert_eq!((world.starts, last), (1, "succeeded"), "{:?}", world.trace);
            }
            assert!(world.starts >= 1, "never ran: {results:?} {:?}", world.trace);
        }
    }

    fn is_over(&self, world: &World) -> bool {
        world.durable.open().next().is_none()
    }

    fn search(&mut self, world: World, depth: u32) {
        self.check(&world);
        if self.is_over(&world) {
            return;
        }
        let mut digest = DefaultHasher::new();
        (
            world.host.fingerprint(),
            format!("{:?}", world.durable.runs),
            world.starts,
            world.budget,
            world.now,
        )
            .hash(&mut digest);
        format!("{:?}", world.live.as_ref().map(|(_, memo)| memo)).hash(&mut digest);
        if !self.states.insert(digest.finish()) {
            return;
        }
        // Whatever happened so far: when nothing more goes wrong, it comes to its end.
        if depth == 0 || world.budget == [0, 0, 0] {
            let mut rest = world;
            for _ in 0..60 {
                self.play(&mut rest, Move::Turn);
                self.check(&rest);
                if self.is_over(&rest) {
                    return;
                }
            }
            panic!("it never ends: {:?}\n{:#?}", rest.trace, rest.durable.runs);
        }
        for what in Self::moves(&world) {
            let mut next = world.clone();
            match what {
                Move::Dies(_) => next.budget[0] -= 1,
                Move::NoAnswer(_) => next.budget[1] -= 1,
                Move::EngineDies => next.budget[2] -= 1,
                Move::Turn => {}
            }
            if self.play(&mut next, what) {
                self.search(next, depth - 1);
            }
        }
    }
}

fn explore(more: &str, behaviour: Behaviour, budget: [u8; 3]) -> Lab {
    let spec = job(more);
    let mut host = Host::new();
    host.load_image(made_up("report:1"));
    host.script("report:1", behaviour);
    let now = Now { wall: Timestamp(WALL), mono: Mono(0) };
    let mut durable =
        JobRecord { spec: Some(Box::new(spec.clone())), considered: Some(now.wall), ..JobRecord::default() };
    by_hand(&mut durable, &spec, now).unwrap();
    let heard = host.event_count();
    let world = World {
        host,
        durable,
        live: None,
        now: 0,
        starts: 0,
        heard,
        engine_died: false,
        budget,
        trace: Vec::new(),
    };
    let mut lab = Lab { spec, states: HashSet::new(), ends: BTreeSet::new() };
    lab.search(world, 24);
    lab
}

#[test]
fn a_run_is_neither_lost_nor_doubled_whoever_dies_and_whatever_is_not_answered() {
    let lab = explore("", Behaviour::exits(2_000, 0), [2, 1, 0]);
    assert_eq!(lab.ends, BTreeSet::from(["1 starts, succeeded".to_owned()]));
    assert!(lab.states.len() > 300, "{} states", lab.states.len());
    let lab = explore("", Behaviour::exits(2_000, 0), [0, 2, 0]);
    assert_eq!(lab.ends, BTreeSet::from(["1 starts, succeeded".to_owned()]));
}

#[test]
fn when_the_engine_dies_too_a_run_that_began_is_told_as_failed_and_not_begun_again() {
    let lab = explore("", Behaviour::exits(2_000, 0), [1, 1, 1]);
    assert!(
        lab.ends.contains("1 starts, succeeded") && lab.ends.contains("1 starts, failed"),
        "{:?}",
        lab.ends
    );
    assert!(lab.ends.iter().all(|end| end.starts_with("1 starts")), "{:?}", lab.ends);
    assert!(lab.states.len() > 300, "{} states", lab.states.len());
}

#[test]
fn with_retries_each_try_begins_once() {
    let lab = explore("retries = 1\nretry_delay = \"1s\"", Behaviour::exits(500, 0), [1, 1, 1]);
    assert!(lab.ends.contains("2 starts, failed succeeded"), "{:?}", lab.ends);
}

/// A long run that is stopped: a request to stop that is lost or late ends nothing else.
#[test]
fn a_run_that_takes_too_long_ends_once() {
    let spec = "timeout = \"5s\"\nstop_grace_period = \"1s\"";
    let spec = job(spec);
    let mut host = Host::new();
    host.load_image(made_up("report:1"));
    let now = Now { wall: Timestamp(WALL), mono: Mono(0) };
    let mut durable =
        JobRecord { spec: Some(Box::new(spec.clone())), considered: Some(now.wall), ..JobRecord::default() };
    by_hand(&mut durable, &spec, now).unwrap();
    let heard = host.event_count();
    let mut world = World {
        host,
        durable,
        live: None,
        now: 0,
        starts: 0,
        heard,
        engine_died: false,
        budget: [0; 3],
        trace: Vec::new(),
    };
    let lab = Lab { spec, states: HashSet::new(), ends: BTreeSet::new() };
    for turn in 0..60 {
        // Every third request gets no answer, and evenkeel begins anew in between.
        let what = match turn % 6 {
            2 => Move::NoAnswer(Silence::Lost),
            5 => Move::Dies(Death::Asked(Silence::Done)),
            _ => Move::Turn,
        };
        lab.play(&mut world, what);
        if lab.is_over(&world) {
            break;
        }
    }
    let end = world.durable.runs.values().find_map(|run| run.end.clone()).unwrap();
    assert_eq!((end.result.word(), world.starts), ("timed-out", 1), "{:?}", world.trace);
}
