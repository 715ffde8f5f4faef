//! What every pass shares: the engine, the memory, the clocks, the desired state, and how much may be done at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::board::Board;
use super::clock::Clock;
use super::downtime::Downtime;
use super::measured::Measured;
use super::observe::Scenery;
use super::probe::Prober;
use super::progress::Progress;
use super::records::{Records, RecordsError};
use super::trigger::{Inbox, Mail};
use super::wish::Wish;
use super::works::Worker;
use crate::desired::ident::ServiceId;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::metrics::api::{ApiError, Command};
use crate::state::decide::Limits;
use crate::state::observed::{ContainerId, EngineSession};
use crate::state::record::{HistoryEntry, Memo, Record};
use crate::state::space::{Space, pressure_text};
use crate::state::time::Mono;

/// How long the engine's events are waited for to tell whether a lost engine is the one that was there before. Milliseconds.
const DOUBT_MS: u64 = 10_000;

/// Pulls at a time on one host (DESIGN.md 7): more only share the same line.
pub const PULLS: usize = 4;
/// Services that are acted upon at a time (DESIGN.md 7): enough to hide waiting, few enough not to swamp a small host.
pub const ACTORS: usize = 4;

/// Room where the engine keeps its files, when that can be told from here.
pub type DiskProbe = Arc<dyn Fn() -> Option<Space> + Send + Sync>;

/// What [`Host::new`] is made of.
pub struct Parts {
    pub engine: Arc<dyn Engine>,
    pub records: Arc<dyn Records>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub progress: Arc<dyn Progress>,
    /// The instance id: what our owner label says.
    pub owner: String,
    pub limits: Limits,
    /// Services that act at a time; see [`ACTORS`].
    pub actors: usize,
    /// See [`PULLS`].
    pub pulls: usize,
    pub disk_free: DiskProbe,
}

/// See the module.
pub struct Host {
    pub engine: Arc<dyn Engine>,
    pub records: Arc<dyn Records>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub progress: Arc<dyn Progress>,
    pub owner: String,
    pub limits: Limits,
    pub disk_free: DiskProbe,
    pub board: Board,
    pub inbox: Arc<Inbox>,
    pub prober: Prober,
    pub pulls: Semaphore,
    pub actors: Semaphore,
    pub guard: super::guard::Gatekeeper,
    pub news: Arc<super::news::Feed>,
    /// Held by whoever reads the register of what was adopted to write another.
    pub register: tokio::sync::Mutex<()>,
    wish: watch::Sender<Option<Arc<Wish>>>,
    workers: OnceLock<Vec<Arc<dyn Worker>>>,
    session: AtomicU64,
    /// The session before the engine was lost, and when that was, while it is not known yet whether it is another one.
    doubt: Mutex<Option<(EngineSession, Mono)>>,
    cells: Mutex<BTreeMap<ServiceId, Arc<tokio::sync::Mutex<Cell>>>>,
    requests: Mutex<BTreeMap<ServiceId, Vec<Request>>>,
    stopping: AtomicBool,
    stop: Notify,
    store_writable: AtomicBool,
}

/// What is remembered of one service while the process lives. Held by its pass, which is the only one.
#[derive(Debug, Default)]
pub struct Cell {
    pub record: Record,
    pub memo: Memo,
    /// History that could not be written yet.
    pub untold: Vec<HistoryEntry>,
    /// The record is on the disk as it is here.
    pub durable: bool,
    /// It was read from the memory at all.
    pub loaded: bool,
    /// Restarts by the engine that were counted already, by container.
    pub restarts: BTreeMap<ContainerId, u32>,
    pub downtime: Downtime,
    /// What was around its containers at the last look.
    pub scenery: Option<Scenery>,
}

/// An operator's word about one service, and where the answer goes.
pub struct Request {
    pub command: Command,
    pub answer: oneshot::Sender<Result<String, ApiError>>,
}

impl Host {
    #[must_use]
    pub fn new(parts: Parts, session: EngineSession) -> Self {
        let Parts { engine, records, clock, metrics, progress, owner, limits, actors, pulls, disk_free } =
            parts;
        let engine: Arc<dyn Engine> = Arc::new(Measured::new(engine, Arc::clone(&metrics)));
        metrics.store_writable(true);
        let inbox: Arc<Inbox> = Arc::default();
        let prober =
            Prober::new(Arc::clone(&engine), Arc::clone(&clock), Arc::clone(&inbox), Arc::clone(&metrics));
        let host = Self {
            engine,
            records,
            clock,
            metrics,
            progress,
            owner,
            limits,
            disk_free,
            board: Board::default(),
            inbox,
            prober,
            pulls: Semaphore::new(pulls),
            actors: Semaphore::new(actors),
            guard: super::guard::Gatekeeper::default(),
            news: Arc::default(),
            register: tokio::sync::Mutex::default(),
            wish: watch::Sender::default(),
            workers: OnceLock::new(),
            session: AtomicU64::new(session.0),
            doubt: Mutex::default(),
            cells: Mutex::default(),
            requests: Mutex::default(),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            store_writable: AtomicBool::new(true),
        };
        host.board.set_host(|status| status.store_writable = true);
        host
    }

    /// The desired state last taken over; `None` until it has been read once.
    #[must_use]
    pub fn wish(&self) -> Option<Arc<Wish>> {
        self.wish.borrow().clone()
    }

    /// Tells of every desired state that is taken over from now on.
    #[must_use]
    pub fn wishes(&self) -> watch::Receiver<Option<Arc<Wish>>> {
        self.wish.subscribe()
    }

    /// Work beside services; said once, before the daemon runs.
    pub fn set_workers(&self, workers: Vec<Arc<dyn Worker>>) {
        let _first = self.workers.set(workers);
    }

    pub fn workers(&self) -> &[Arc<dyn Worker>] {
        self.workers.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes over another desired state and returns the one before.
    pub fn set_wish(&self, wish: Arc<Wish>) -> Option<Arc<Wish>> {
        self.wish.send_replace(Some(wish))
    }

    #[must_use]
    pub fn session(&self) -> EngineSession {
        EngineSession(self.session.load(Ordering::SeqCst))
    }

    /// What the mail says of the connection to the engine. While it is lost nothing is decided; what is asked from then on belongs
    /// to another session, unless the engine turns out to be the same process.
    pub async fn hear_of_engine(&self, mail: &Mail) {
        if mail.engine_lost {
            let before = self.session();
            lock(&self.doubt).get_or_insert((before, self.clock.now().mono));
            self.set_session(EngineSession(before.0.saturating_add(1))).await;
        }
        if mail.engine == Some(Ok(())) {
            let in_time = self.is_in_doubt();
            let before = lock(&self.doubt).take();
            if let (true, true, Some((before, _))) = (mail.engine_same, in_time, before) {
                tracing::debug!("the engine is the process it was");
                self.set_session(before).await;
            }
        }
    }

    /// Whether the engine may be another process than the one that was asked before. For a while: an engine that answers but gives
    /// no events is taken for another one then.
    pub fn is_in_doubt(&self) -> bool {
        lock(&self.doubt).is_some_and(|(_, since)| self.clock.now().mono.since(since) < DOUBT_MS)
    }

    /// Remembered, so that requests of an earlier session are known to be dead also after a restart of ours.
    async fn set_session(&self, session: EngineSession) {
        self.session.store(session.0, Ordering::SeqCst);
        if let Err(error) = self.records.set_session(session).await {
            // Too low a number after a restart only keeps an open question open.
            tracing::warn!(%error, "could not remember the engine session");
        }
    }

    pub fn cell(&self, id: &ServiceId) -> Arc<tokio::sync::Mutex<Cell>> {
        Arc::clone(lock(&self.cells).entry(id.clone()).or_default())
    }

    /// Forgets what only the process knows of a service: after a panic, or when the service is gone.
    pub fn drop_cell(&self, id: &ServiceId) {
        lock(&self.cells).remove(id);
    }

    /// Leaves an operator's word for the service's next pass: only a pass changes a record.
    pub fn request(&self, id: &ServiceId, request: Request) {
        lock(&self.requests).entry(id.clone()).or_default().push(request);
    }

    #[must_use]
    pub fn take_requests(&self, id: &ServiceId) -> Vec<Request> {
        lock(&self.requests).remove(id).unwrap_or_default()
    }

    /// Makes a record durable, and notes whether the store takes writes at all.
    ///
    /// # Errors
    /// It is not durable: nothing that needs it may be done.
    pub async fn save(
        &self,
        id: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError> {
        let saved = self.records.save(id, record, history).await;
        let writable = saved.is_ok();
        if self.store_writable.swap(writable, Ordering::SeqCst) != writable {
            self.metrics.store_writable(writable);
            self.board.set_host(|status| status.store_writable = writable);
            match &saved {
                Ok(()) => tracing::info!("the store takes writes again"),
                Err(error) => {
                    tracing::error!(%error, "the store can't be written: nothing is done on the engine until it can");
                }
            }
        }
        saved
    }

    /// Why nothing may be pulled or built now; `None`: there is room, or nobody can tell.
    #[must_use]
    pub fn disk_pressure(&self) -> Option<String> {
        let space = (self.disk_free)()?;
        Some(pressure_text(space, self.limits.disk_pressure.lacks(space)?))
    }

    #[must_use]
    pub fn store_writable(&self) -> bool {
        self.store_writable.load(Ordering::SeqCst)
    }

    /// Passes end at their next step boundary from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stop.notify_waiters();
    }

    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends when [`Self::stop`] was called.
    pub async fn stopped(&self) {
        let notified = self.stop.notified();
        tokio::pin!(notified);
        // Registered before the flag is read, so that a stop in between is not missed.
        notified.as_mut().enable();
        if !self.stopping() {
            notified.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
