//! Plays a story: evenkeel on the simulated host in virtual time, with everything that happens to both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::controller::clock::Clock;
use evenkeel::controller::handle::Handle;
use evenkeel::controller::host::{ACTORS, PULLS, Parts};
use evenkeel::controller::progress::Progress;
use evenkeel::controller::records::Records;
use evenkeel::controller::run::{Daemon, ExitReason, Setup};
use evenkeel::controller::trigger::{Key, Signal};
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::load;
use evenkeel::desired::snapshot::HostFacts;
use evenkeel::engine::sim::{Behaviour, Host, Revival, Sim, made_up, realtime};
use evenkeel::metrics::Metrics;
use evenkeel::metrics::api::{Api, StatusReport};
use evenkeel::state::condition::ConditionKind;
use evenkeel::state::decide::Limits;
use evenkeel::state::plan::{Failure, Outcome, Planned};
use evenkeel::state::space::Space;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::files::Heard;
use super::store::Store;
use super::story::{Kind, Story};
use super::watch;
use super::wire::Wire;
use super::world::{ProcessClock, World};
use crate::rig::OWNER;

/// Milliseconds without a call that changes something, after which a host is taken to be at rest.
const STILL: u64 = 150_000;
/// Whatever was done to a host is seen after this long, also when its event was lost and a list was stale. Milliseconds.
const SEEN_WITHIN: u64 = 200_000;
/// A host that has not come to rest after this long never will. Milliseconds.
const PATIENCE: u64 = 3 * 3_600_000;

/// evenkeel as it runs.
pub struct Controller {
    task: JoinHandle<ExitReason>,
    pub handle: Handle,
    signals: mpsc::Sender<Signal>,
}

pub struct Play {
    pub world: Arc<World>,
    pub store: Arc<Store>,
    pub controller: Option<Controller>,
    /// When evenkeel is started again.
    back_at: Option<u64>,
    /// When the engine is started again, and the newest containers first.
    pub engine_back: Option<(u64, bool)>,
    /// What ends by itself.
    pub ends: BTreeMap<(u64, u64), End>,
    ends_made: u64,
    time: JoinHandle<()>,
}

/// The end of something that lasts.
pub type End = Box<dyn FnOnce(&Play) + Send>;

impl Drop for Play {
    fn drop(&mut self) {
        self.time.abort();
    }
}

fn host(story: &Story) -> Host {
    let mut host = Host::new();
    host.facts.live_restore = story.live_restore;
    host.registry.pull_takes = 800;
    for (image, kind) in &story.images {
        if *kind != Kind::Missing {
            host.publish(image, made_up(image));
        }
        host.script(image, behaviour(*kind));
    }
    host
}

fn behaviour(kind: Kind) -> Behaviour {
    match kind {
        Kind::Good | Kind::Missing => Behaviour { stop_takes: 300, ..Behaviour::default() },
        Kind::Slow(ms) => Behaviour::healthy_after(ms),
        Kind::IgnoresTerm => Behaviour::ignores_term(),
        Kind::Crash(ms) => Behaviour::exits(ms, 1),
        Kind::NeverHealthy => Behaviour::never_healthy(),
        Kind::BadCommand => Behaviour::cannot_start(Failure::Invalid, "no such file: /bin/app"),
        Kind::Job(ms) => Behaviour::exits(ms, 0),
    }
}

/// Writes down what evenkeel is about to do, and why.
struct Teller(Arc<World>);

impl Progress for Teller {
    fn step(&self, service: &ServiceId, planned: &Planned, words: &str) {
        let id = service.to_string();
        self.0.tell(format!("{id}: {words}, because {}", planned.cause));
        self.0.with(|state| state.causes.insert(id, planned.cause.to_string()));
    }
    fn object_step(&self, key: &Key, planned: &Planned, words: &str) {
        self.0.tell(format!("{key}: {words}, because {}", planned.cause));
    }
    fn outcome(&self, service: &ServiceId, _: &Planned, outcome: &Outcome) {
        if let Outcome::Failed { kind, text } = outcome {
            self.0.tell(format!("{service}: failed, {}: {text}", kind.as_str()));
        }
    }
    fn condition(&self, service: &ServiceId, condition: &evenkeel::state::condition::Condition) {
        let kind = condition.kind.as_str();
        self.0.tell(format!("{service} is {kind} ({}): {}", condition.reason, condition.message));
    }
}

impl Play {
    pub async fn begin(story: Arc<Story>) -> Self {
        let sim: Sim = host(&story).into();
        let time = realtime(&sim);
        let world = World::new(story, sim);
        let store = Arc::new(Store::new(Arc::clone(&world)));
        let mut play = Self {
            world,
            store,
            controller: None,
            back_at: None,
            engine_back: None,
            ends: BTreeMap::new(),
            ends_made: 0,
            time,
        };
        play.start_controller().await;
        play
    }

    pub fn now(&self) -> u64 {
        self.world.now()
    }

    /// Something that lasts ends after so many milliseconds.
    pub fn later(&mut self, ms: u64, end: impl FnOnce(&Play) + Send + 'static) {
        self.ends_made += 1;
        let key = (self.now() + ms, self.ends_made);
        self.ends.insert(key, Box::new(end));
    }

    async fn start_controller(&mut self) {
        self.world.tell("evenkeel starts".to_owned());
        let clock: Arc<dyn Clock> = Arc::new(ProcessClock::new(Arc::clone(&self.world)));
        let probe = Arc::clone(&self.world);
        let parts = Parts {
            engine: Arc::new(Wire { world: Arc::clone(&self.world) }),
            records: Arc::clone(&self.store) as Arc<dyn Records>,
            clock,
            metrics: Arc::new(Metrics::new().unwrap()),
            progress: Arc::new(Teller(Arc::clone(&self.world))),
            owner: OWNER.to_owned(),
            limits: Limits::default(),
            actors: ACTORS,
            pulls: PULLS,
            disk_free: Arc::new(move || {
                let free = if probe.with(|state| state.disk_low) { 1 } else { 1 << 40 };
                Some(Space { free, total: 1 << 41 })
            }),
        };
        let setup = Setup {
            parts,
            inbound: Box::new(Heard::new(Arc::clone(&self.world))),
            load: Arc::new(|snapshot| {
                load(snapshot, &HostFacts { name: "box".to_owned(), ..HostFacts::default() })
            }),
            sources: Arc::default(),
            path: "/desired".to_owned(),
            host_name: "box".to_owned(),
            resync_ms: 300_000,
        };
        let (signals, heard) = mpsc::channel(4);
        let daemon = Daemon::new(setup).await.unwrap();
        let handle = daemon.handle();
        let task = tokio::spawn(daemon.run(heard));
        self.controller = Some(Controller { task, handle, signals });
        self.back_at = None;
    }

    /// SIGKILL: nothing of it runs any more when this returns.
    pub async fn kill_controller(&mut self, back_in: u64) {
        self.world.tell(format!("evenkeel is dead for {back_in} ms"));
        self.world.with(|state| state.dead = false);
        if let Some(controller) = self.controller.take() {
            controller.task.abort();
            let _ = controller.task.await;
            // Its passes were told to end; now they do.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
        }
        self.back_at = Some(self.now() + back_in);
    }

    /// SIGTERM, and a second one when that takes longer than people wait.
    pub async fn stop_controller(&mut self, back_in: u64) {
        self.world.tell("evenkeel is asked to stop".to_owned());
        let Some(mut controller) = self.controller.take() else { return };
        let _ = controller.signals.send(Signal::Terminate).await;
        let limit = Duration::from_secs(200);
        let died = async {
            while !self.world.with(|state| state.dead) {
                self.world.wake.notified().await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = &mut controller.task => Some(ended),
            () = died => None,
            () = tokio::time::sleep(limit) => None,
        };
        match ended {
            Some(Ok(_)) => self.back_at = Some(self.now() + back_in),
            Some(Err(error)) => {
                self.world.violated(format!("the daemon ended in a panic: {error}"));
                self.back_at = Some(self.now() + back_in);
            }
            None => {
                self.controller = Some(controller);
                self.kill_controller(back_in).await;
            }
        }
    }

    pub fn kill_engine(&mut self, back_in: u64, newest_first: bool) {
        self.world.tell(format!("the engine is dead for {back_in} ms"));
        self.world.disturb_all(false);
        self.world.sim.with(Host::kill);
        self.engine_back = Some((self.now() + back_in, newest_first));
    }

    /// Sees to deaths and to what ends by itself.
    async fn tend(&mut self) {
        let now = self.now();
        if self.world.with(|state| state.dead) {
            let back_in = self.world.rng().u64(50..30_000);
            self.kill_controller(back_in).await;
        }
        if self.engine_back.is_none() && !self.world.sim.with(|host| host.alive) {
            let mut rng = self.world.rng();
            let (back_in, newest_first) = (rng.u64(50..60_000), rng.bool());
            self.world.tell(format!("the engine died and is back in {back_in} ms"));
            self.engine_back = Some((now + back_in, newest_first));
        }
        if let Some((_, newest_first)) = self.engine_back.filter(|(at, _)| *at <= now) {
            self.engine_back = None;
            self.world.tell("the engine is back".to_owned());
            self.world.disturb_all(false);
            let order = if newest_first { Revival::NewestFirst } else { Revival::OldestFirst };
            self.world.sim.with(|host| {
                if !host.alive {
                    host.restart_in(order)
                }
            });
        }
        while let Some(entry) = self.ends.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove()(self);
        }
        if self.back_at.is_some_and(|at| at <= now) {
            self.start_controller().await;
        }
        self.note_ready();
        watch::after(&self.world);
        if self.controller.as_ref().is_some_and(|controller| controller.task.is_finished()) {
            self.world.violated("the daemon ended by itself".to_owned());
            self.controller = None;
            self.back_at = Some(now + 1_000);
        }
    }

    fn note_ready(&self) {
        let Some(report) = self.report() else { return };
        let wanted = self.world.files().1;
        let now = self.now();
        let ready = report.services.iter().filter(|row| row.condition.kind == ConditionKind::Ready);
        self.world.with(|state| {
            for row in ready {
                let index = wanted.defined.iter().position(|service| service.id() == row.service);
                let ready = index.is_some_and(|index| wanted.defined[index].replicas == row.ready);
                // Until then evenkeel may not have seen what was done.
                let seen = state.disturbed.get(&row.service).is_none_or(|at| at + SEEN_WITHIN < now);
                if ready && seen {
                    state.disturbed.remove(&row.service);
                    state.by_hand.remove(&row.service);
                }
            }
        });
    }

    pub fn report(&self) -> Option<StatusReport> {
        Some(self.controller.as_ref()?.handle.status())
    }

    pub async fn pass_time(&mut self, ms: u64) {
        let until = self.now() + ms;
        loop {
            self.tend().await;
            let now = self.now();
            if now >= until {
                return;
            }
            let dues =
                [self.back_at, self.engine_back.map(|(at, _)| at), self.ends.keys().next().map(|key| key.0)];
            let next = dues.into_iter().flatten().fold(until, u64::min);
            let _ = tokio::time::timeout_at(self.world.at(next), self.world.wake.notified()).await;
        }
    }

    /// Until nothing is under way: settled, past its watch, and still for a while. Returns whether it came to that.
    pub async fn rest(&mut self) -> bool {
        let end = self.now() + PATIENCE;
        while self.now() < end {
            self.pass_time(30_000).await;
            if self.now() >= self.world.with(|state| state.last_write) + STILL && self.at_rest().await {
                return true;
            }
        }
        false
    }

    async fn at_rest(&self) -> bool {
        let alive = self.world.sim.with(|host| host.alive);
        let Some(report) = self.report().filter(|_| alive && self.ends.is_empty()) else { return false };
        let current = self.world.files().1.snapshot().ok().map(|snapshot| snapshot.revision.digest);
        if Some(&report.host.desired.revision) != current.as_ref() {
            return false;
        }
        for row in &report.services {
            let waits = matches!(
                row.condition.reason.as_str(),
                "ImagePullNotFound" | "ImagePull" | "DependencyNotReady" | "ImagePending"
            );
            if !row.condition.kind.is_settled() && !waits {
                return false;
            }
        }
        for row in &report.services {
            // One that waits, or has no replicas, keeps its watch for as long.
            let serves = matches!(
                row.condition.kind,
                ConditionKind::Ready | ConditionKind::Completed | ConditionKind::RolledBack
            );
            let Some((project, name)) = row.service.split_once('/') else { continue };
            let record = self.store.record(&ServiceId::new(project, name).unwrap()).await;
            if serves && row.desired_replicas > 0 && (record.watch.is_some() || record.rolling_back.is_some())
            {
                return false;
            }
        }
        true
    }
}
