//! What everybody in one simulation shares: the host, the files, what is to go wrong, and what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::controller::clock::{Clock, Sleep};
use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::sim::{Fault, Op, Sim};
use evenkeel::state::observed::ContainerId;
use evenkeel::state::time::{Mono, Now, Timestamp};
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::files::{Files, Standing};
use super::odds::Fate;
use super::story::Story;

pub struct World {
    pub story: Arc<Story>,
    pub sim: Sim,
    /// Something that the driver must see to: a death.
    pub wake: Notify,
    pub edited: Notify,
    began: Instant,
    wall: AtomicI64,
    state: Mutex<State>,
}

pub struct State {
    /// Calls go wrong.
    pub faulty: bool,
    calls: u64,
    /// Calls that went wrong.
    pub fired: Vec<u64>,
    /// evenkeel died in a call and is to be taken away.
    pub dead: bool,
    pub unwritable: bool,
    pub disk_low: bool,
    pub panics: BTreeSet<String>,
    /// Containers that answer nothing, until when.
    pub hung: BTreeMap<ContainerId, u64>,
    files: Files,
    files_number: u64,
    /// What the files said of every service, from when on.
    standings: Vec<(u64, Vec<Standing>)>,
    pub foreign: BTreeMap<ContainerId, String>,
    pub volumes: BTreeSet<String>,
    pub known: BTreeSet<ContainerId>,
    /// Containers made, by service.
    pub creates: BTreeMap<String, u32>,
    /// Starts and promotions whose answer never came, by service.
    pub open: BTreeMap<String, u32>,
    /// Somebody else's doing that explains a rejection.
    pub blamed: BTreeSet<String>,
    /// Somebody else's doing since it was last ready.
    pub disturbed: BTreeMap<String, u64>,
    /// A person started containers of it: two may run until that is put right.
    pub by_hand: BTreeSet<String>,
    /// Why a service's step is taken.
    pub causes: BTreeMap<String, String>,
    pub last_write: u64,
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

impl State {
    pub fn calls(&self) -> u64 {
        self.calls
    }
}

impl World {
    pub fn new(story: Arc<Story>, sim: Sim) -> Arc<Self> {
        let files = Files::new(&story);
        let standings = vec![(0, standings(&files))];
        let state = State {
            faulty: true,
            calls: 0,
            fired: Vec::new(),
            dead: false,
            unwritable: false,
            disk_low: false,
            panics: BTreeSet::new(),
            hung: BTreeMap::new(),
            files,
            files_number: 0,
            standings,
            foreign: BTreeMap::new(),
            volumes: BTreeSet::new(),
            known: BTreeSet::new(),
            creates: BTreeMap::new(),
            open: BTreeMap::new(),
            blamed: BTreeSet::new(),
            disturbed: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            causes: BTreeMap::new(),
            last_write: 0,
            violations: Vec::new(),
            trace: Vec::new(),
        };
        Arc::new(Self {
            story,
            sim,
            wake: Notify::new(),
            edited: Notify::new(),
            began: Instant::now(),
            wall: AtomicI64::new(0),
            state: Mutex::new(state),
        })
    }

    /// Milliseconds since the simulation began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub fn at(&self, ms: u64) -> Instant {
        self.began + Duration::from_millis(ms)
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    pub fn tell(&self, text: String) {
        let now = self.now();
        self.with(|state| state.trace.push(format!("{:>9}.{:03} {text}", now / 1_000, now % 1_000)));
    }

    /// Something is not as it must be.
    pub fn violated(&self, text: String) {
        self.tell(format!("VIOLATION {text}"));
        let now = self.now();
        self.with(|state| state.violations.push(format!("at {}.{:03}: {text}", now / 1_000, now % 1_000)));
    }

    pub fn files(&self) -> (u64, Files) {
        self.with(|state| (state.files_number, state.files.clone()))
    }

    pub fn change_files(&self, change: impl FnOnce(&mut Files)) {
        let now = self.now();
        self.with(|state| {
            change(&mut state.files);
            state.files_number += 1;
            let said = standings(&state.files);
            if state.standings.last().is_none_or(|(_, last)| *last != said) {
                state.standings.push((now, said));
            }
        });
        self.edited.notify_waiters();
    }

    /// Was there lately a quiet time in which every file was whole and none wanted this service?
    pub fn may_go(&self, index: usize) -> bool {
        let now = self.now();
        self.with(|state| {
            let ends = state.standings.iter().skip(1).map(|(at, _)| *at).chain([now]);
            let mut spans = state.standings.iter().zip(ends);
            spans.any(|((from, said), to)| {
                said[index] == Standing::Absent && to - from >= 10_000 && to + LATELY >= now
            })
        })
    }

    /// The service with this name, `p0/s3`.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.story.services.iter().position(|service| service.id() == id)
    }

    /// What becomes of the next call.
    pub fn fate(&self, op: Op, of: &str) -> Fate {
        let (number, spared) = self.with(|state| {
            state.calls += 1;
            (state.calls, !state.faulty || self.story.spared.contains(&state.calls))
        });
        if spared {
            return Fate::Pass;
        }
        let mut rng = Rng::with_seed(mix(self.story.seed, number));
        let fate = self.story.odds.of_call(&mut rng, op);
        if fate != Fate::Pass {
            self.tell(format!("call {number}, {} {of}: {fate:?}", op.as_str()));
            self.with(|state| state.fired.push(number));
        }
        fate
    }

    /// A generator for what is not a call.
    pub fn rng(&self) -> Rng {
        let number = self.with(|state| {
            state.calls += 1;
            state.calls
        });
        Rng::with_seed(mix(self.story.seed ^ 0xe7e7, number))
    }

    /// evenkeel dies here: whoever calls this never goes on.
    pub async fn die(&self) {
        self.with(|state| state.dead = true);
        self.wake.notify_one();
        std::future::pending::<()>().await;
    }

    /// Between a record that was made durable and the act that it licenses.
    pub async fn died_at_save(&self, service: &ServiceId) {
        if matches!(self.fate(Op::Facts, "save"), Fate::DieBefore) {
            self.tell(format!("evenkeel dies behind a save for {service}"));
            self.die().await;
        }
    }

    /// The service that a container of ours belongs to.
    pub fn owner_of(&self, id: &ContainerId) -> Option<String> {
        self.sim.with(|host| Some(host.containers.get(id)?.own.as_ref()?.service.to_string()))
    }

    /// Somebody else did something to this service.
    pub fn disturb(&self, service: &str, blame: bool) {
        let now = self.now();
        self.with(|state| {
            state.disturbed.insert(service.to_owned(), now);
            if blame {
                state.blamed.insert(service.to_owned());
            }
        });
    }

    pub fn disturb_all(&self, blame: bool) {
        for service in &self.story.services {
            // A job that is killed with the engine has failed: nobody can tell how far it was.
            self.disturb(&service.id(), blame || service.job);
        }
    }

    /// What a fault of a call explains.
    pub fn account(&self, op: Op, service: &str, fate: &Fate) {
        let unanswered = match fate {
            Fate::Fault(Fault::Lost | Fault::DoneButUnknown | Fault::DoneLater(_) | Fault::EngineDies(_)) => {
                true
            }
            Fate::DieBefore | Fate::DieAfter | Fate::DieLater(_) => true,
            Fate::Pass | Fate::Slow(..) | Fate::Fault(_) => false,
        };
        if unanswered && matches!(op, Op::Start | Op::SetRestart) {
            self.with(|state| *state.open.entry(service.to_owned()).or_default() += 1);
        }
        if matches!(fate, Fate::Fault(Fault::Error(_))) && op.writes() {
            self.disturb(service, true);
        }
        if matches!(fate, Fate::Fault(Fault::EngineDies(_))) {
            self.disturb_all(false);
        }
    }

    pub fn step_wall_clock(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn wall_offset(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.with(|state| state.trace.hash(&mut hasher));
        hasher.finish()
    }
}

/// How long after the files changed a step may still be of the decision of before: a call that hangs, and its answer.
const LATELY: u64 = 180_000;

fn standings(files: &Files) -> Vec<Standing> {
    (0..files.defined.len()).map(|index| files.standing(index)).collect()
}

pub fn mix(seed: u64, number: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 29;
    bits = bits.wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 32)
}

/// The clocks of one process: the monotonic one begins with it, the wall clock is the story's.
pub struct ProcessClock {
    world: Arc<World>,
    began: Instant,
}

impl ProcessClock {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, began: Instant::now() }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Now {
        let mono = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        let world = i64::try_from(self.world.now()).unwrap();
        Now { wall: Timestamp(1_767_225_600_000 + world + self.world.wall_offset()), mono: Mono(mono) }
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        match self.began.checked_add(Duration::from_millis(at.0)) {
            Some(instant) => Box::pin(tokio::time::sleep_until(instant)),
            None => Box::pin(std::future::pending()),
        }
    }
}
