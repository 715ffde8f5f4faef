//! A host to share, and its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use super::call::{Answer, Call};
use super::fault::Op;
use super::host::Host;
use crate::engine::{EngineEvent, Result};

/// Events a slow reader may fall behind before it misses some.
const EVENTS_BEHIND: usize = 1024;
/// How often a simulated host in real time is brought up to date.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// A simulated engine to share: clones see one host.
///
/// Time is virtual until [`Sim::run`]: a call that takes time moves the host's clock and returns at once. In real time the
/// clock follows tokio's, and such a call waits.
#[derive(Debug, Clone, Default)]
pub struct Sim {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shared: Mutex<Shared>,
    real_time: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    host: Host,
    /// Replaced when the engine dies: whoever listened then sees the end of the stream.
    events: broadcast::Sender<EngineEvent>,
    published: u64,
    session: u64,
}

impl Default for Shared {
    fn default() -> Self {
        Self::of(Host::new())
    }
}

impl Shared {
    fn of(host: Host) -> Self {
        let (published, session) = (host.event_count(), host.session.0);
        Self { host, events: broadcast::Sender::new(EVENTS_BEHIND), published, session }
    }

    /// Hands out what happened since the last time.
    fn publish(&mut self) {
        if !self.host.alive || self.host.session.0 != self.session {
            self.session = self.host.session.0;
            self.events = broadcast::Sender::new(EVENTS_BEHIND);
        }
        for (_, event) in self.host.events_since(self.published) {
            // Nobody listening is fine.
            let _ = self.events.send(event.clone());
        }
        self.published = self.host.event_count();
    }
}

impl From<Host> for Sim {
    fn from(host: Host) -> Self {
        let shared = Mutex::new(Shared::of(host));
        Self { inner: Arc::new(Inner { shared, real_time: AtomicBool::new(false) }) }
    }
}

impl Sim {
    /// An empty engine whose registry has every image: for `--engine simulated`.
    #[must_use]
    pub fn new() -> Self {
        Host::any_image().into()
    }

    /// Looks at the host or changes it, as one step for everybody else.
    pub fn with<T>(&self, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut shared = self.lock();
        let done = act(&mut shared.host);
        shared.publish();
        done
    }

    /// A copy of the host as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Host {
        self.with(|host| host.clone())
    }

    /// Lets virtual time pass.
    pub fn advance(&self, ms: u64) {
        self.with(|host| host.advance(ms));
    }

    /// From here on the host's time passes with tokio's clock, for as long as the returned future is polled.
    pub fn run(self) -> impl Future<Output = ()> + Send {
        self.inner.real_time.store(true, Ordering::SeqCst);
        let began = tokio::time::Instant::now();
        let start = self.with(|host| host.now);
        async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.with(|host| {
                    let behind = start.saturating_add(passed).saturating_sub(host.now);
                    host.advance(behind);
                });
            }
        }
    }

    pub(super) fn in_real_time(&self) -> bool {
        self.inner.real_time.load(Ordering::SeqCst)
    }

    /// Sends one request. In real time the wait of a slow one is spent outside the lock.
    pub(super) async fn send(&self, call: Call) -> Result<Answer> {
        if !self.in_real_time() {
            return self.with(|host| host.call(call));
        }
        let op = call.op();
        self.wait(|host| host.take_delay(op)).await;
        if op == Op::Pull {
            self.wait(|host| Some(host.registry.pull_takes)).await;
        }
        self.with(|host| {
            let waited = std::mem::take(&mut host.registry.pull_takes);
            let answer = host.call(call);
            host.registry.pull_takes = waited;
            answer
        })
    }

    pub(super) async fn order(&self, call: Call) -> Result<()> {
        self.send(call).await.map(drop)
    }

    /// Sends the stop signal and waits for the end, which the host's own clock brings.
    pub(super) async fn stop_in_real_time(&self, call: Call) -> Result<()> {
        let container = call.container().cloned();
        self.order(call).await?;
        let stops = |host: &mut Host| {
            let stopped = container.as_ref().and_then(|id| host.containers.get(id));
            host.alive && stopped.is_some_and(|one| one.stopping.is_some())
        };
        while self.with(stops) {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    pub(super) async fn look<T>(&self, op: Op, read: impl FnOnce(&mut Host) -> Result<T>) -> Result<T> {
        if self.in_real_time() {
            self.wait(|host| host.take_delay(op)).await;
        }
        self.with(read)
    }

    async fn wait(&self, delay: impl FnOnce(&mut Host) -> Option<u64>) {
        if let Some(ms) = self.with(delay).filter(|ms| *ms > 0) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// Events from now on; closed when the engine dies.
    pub(super) fn subscribe(&self) -> Result<broadcast::Receiver<EngineEvent>> {
        let mut shared = self.lock();
        shared.host.ask_events()?;
        shared.publish();
        Ok(shared.events.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Whoever panicked did so in a test's closure: the host is whole after every call.
        self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the task that lets a simulated host's time pass with the clock. It ends with the runtime, or when aborted.
pub fn realtime(sim: &Sim) -> tokio::task::JoinHandle<()> {
    tokio::spawn(sim.clone().run())
}
