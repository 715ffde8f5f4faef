//! The worker for jobs: a loop that looks at each job when it is due, and at once when something is heard of it.
//!
//! One pass per job at a time: look, decide, remember, act, as for services. Between two of these an operator's word may change the journal; it is
//! under a lock only while something is decided about it and written down. What takes long without being needed for the next decision (a command
//! within a service, the end of a container) is followed beside the passes, and only says when to look.

mod act;
pub mod journal;
mod look;
mod pass;
pub mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::{Book, Worker};
use crate::controller::host::Host;
use crate::controller::wish::Wish;
use crate::desired::work::{JobSpec, Work, WorkId};
use crate::engine::wait::Wait;
use crate::metrics::api::{ApiError, WorkQuery};
use crate::state::jobs::{JobMemo, JobRecord, RunId, Wants};
use crate::state::time::{Mono, Now};
use journal::Journal;

/// Looks at the wall clock although nothing is due: it may have been set, or the machine was asleep. Milliseconds.
const WALL_MS: u64 = 20_000;
/// After a look at the engine that failed. Milliseconds.
const AGAIN_MS: u64 = 2_000;
/// A wall clock that moved by more than this against the other one was set. Milliseconds.
const STEP_MS: i64 = 1_500;
/// Jobs that change something on the engine at a time.
const ACTORS: usize = 4;

/// See the module.
pub struct Jobs {
    book: Arc<Book>,
    wait: Option<Arc<dyn Wait>>,
    zone: TimeZone,
    cells: Mutex<BTreeMap<WorkId, Arc<Cell>>>,
    actors: Semaphore,
    wake: Notify,
    /// The journal was read.
    ready: AtomicBool,
}

/// What is known of one job.
#[derive(Default)]
struct Cell {
    work: tokio::sync::Mutex<Own>,
    ticket: Mutex<Ticket>,
}

/// The journal with what hangs on it.
#[derive(Default)]
struct Own {
    record: JobRecord,
    memo: JobMemo,
    /// As it is on the disk.
    durable: JobRecord,
    /// What is followed beside the passes.
    followed: BTreeMap<RunId, Watcher>,
}

/// A task that goes with what it is about.
struct Watcher {
    task: AbortHandle,
    /// It is a command, whose output comes with its end.
    command: bool,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When it is looked at.
#[derive(Debug, Default, Clone, Copy)]
struct Ticket {
    due: Option<Mono>,
    running: bool,
    /// Something was heard of it.
    woken: bool,
    /// The engine has containers of it that the journal does not know.
    strangers: bool,
}

impl Jobs {
    /// `wait`: hears of the ends of containers; without it they are looked at more often. `zone`: where a job does not say one.
    #[must_use]
    pub fn new(book: Arc<Book>, wait: Option<Arc<dyn Wait>>, zone: TimeZone) -> Self {
        Self {
            book,
            wait,
            zone,
            cells: Mutex::default(),
            actors: Semaphore::new(ACTORS),
            wake: Notify::new(),
            ready: AtomicBool::new(false),
        }
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<WorkId, Arc<Cell>>> {
        lock(&self.cells)
    }

    fn cell(&self, id: &WorkId) -> Arc<Cell> {
        Arc::clone(self.cells().entry(id.clone()).or_default())
    }

    /// Something was heard of the job: it is looked at soon.
    fn wake(&self, id: &WorkId) {
        lock(&self.cell(id).ticket).woken = true;
        self.wake.notify_one();
    }

    /// Jobs that may be after this one.
    fn wake_siblings(&self, id: &WorkId) {
        let siblings: Vec<WorkId> = self
            .cells()
            .keys()
            .filter(|other| other.project == id.project && *other != id)
            .cloned()
            .collect();
        siblings.iter().for_each(|other| self.wake(other));
    }

    /// Every job that is wanted has a place.
    fn take_wish(&self, wish: &Wish) {
        let ids: BTreeSet<WorkId> = wish.state.works.jobs.keys().cloned().collect();
        for id in ids {
            self.cell(&id);
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        let all: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        all.iter().for_each(|cell| lock(&cell.ticket).woken = true);
    }

    /// The jobs to look at now; each is noted as being looked at.
    fn due(&self, now: Mono) -> Vec<WorkId> {
        let cells = self.cells();
        let due = cells.iter().filter(|(_, cell)| {
            let mut ticket = lock(&cell.ticket);
            let due = !ticket.running && (ticket.woken || ticket.due.is_some_and(|due| due <= now));
            if due {
                (ticket.running, ticket.woken, ticket.due) = (true, false, None);
            }
            due
        });
        due.map(|(id, _)| id.clone()).collect()
    }

    fn next_due(&self) -> Option<Mono> {
        let cells = self.cells();
        let tickets = cells.values().map(|cell| *lock(&cell.ticket));
        tickets.filter(|ticket| !ticket.running).filter_map(|ticket| ticket.due).min()
    }

    fn ended(&self, id: &WorkId, pass: pass::End) {
        let mut cells = self.cells();
        let Some(cell) = cells.get(id) else { return };
        let mut ticket = lock(&cell.ticket);
        ticket.running = false;
        match pass {
            pass::End::At(due) => ticket.due = due,
            pass::End::Forget => {
                drop(ticket);
                cells.remove(id);
            }
        }
    }
}

#[async_trait]
impl Worker for Jobs {
    fn kind(&self) -> &'static str {
        "jobs"
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let mut wishes = host.wishes();
        if !self.read_journal(&host).await {
            return;
        }
        self.ready.store(true, Ordering::SeqCst);
        let mut passes: JoinSet<(WorkId, pass::End)> = JoinSet::new();
        let mut clock = offset(host.clock.now());
        let mut looked = false;
        loop {
            if !looked && host.wish().is_some() {
                looked = self.look_for_strangers(&host).await;
            }
            let now = host.clock.now();
            if (offset(now) - clock).abs() > STEP_MS {
                clock = offset(now);
                self.wake_all();
            }
            if host.wish().is_some() && !host.stopping() {
                for id in self.due(now.mono) {
                    let (jobs, host) = (Arc::clone(&self), Arc::clone(&host));
                    passes.spawn(async move { jobs.guarded(host, id).await });
                }
            }
            let pause = now.mono.after(if looked { WALL_MS } else { AGAIN_MS });
            let due = self.next_due().map_or(pause, |due| due.min(pause));
            tokio::select! {
                () = host.stopped() => break,
                changed = wishes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    if let Some(wish) = host.wish() {
                        self.take_wish(&wish);
                    }
                }
                () = self.wake.notified() => {}
                Some(done) = passes.join_next() => match done {
                    Ok((id, end)) => self.ended(&id, end),
                    Err(error) => tracing::error!(%error, "a look at a job was broken off"),
                },
                () = host.clock.sleep_until(due) => {}
            }
        }
        // Each ends at its next step.
        while passes.join_next().await.is_some() {}
        let all: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        for cell in all {
            cell.work.lock().await.followed.clear();
        }
    }

    async fn show(&self, host: &Arc<Host>, asked: &WorkQuery, local: bool) -> Result<Value, ApiError> {
        self.rows(host, asked, local).await
    }

    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        self.obey(host, verb, order).await
    }
}

impl Jobs {
    /// A pass that panics keeps its job from nothing but this look, and no other job from anything.
    async fn guarded(self: Arc<Self>, host: Arc<Host>, id: WorkId) -> (WorkId, pass::End) {
        let (jobs, within, name) = (Arc::clone(&self), Arc::clone(&host), id.clone());
        let end = tokio::spawn(async move { jobs.pass(&within, &name).await }).await;
        let end = end.unwrap_or_else(|error| {
            tracing::error!(job = %id, %error, "a look at a job has ended with a mistake in evenkeel, please report it");
            pass::End::At(Some(host.clock.now().mono.after(WALL_MS)))
        });
        (id, end)
    }

    /// Reads what earlier processes knew. `false`: evenkeel is being stopped.
    async fn read_journal(&self, host: &Host) -> bool {
        loop {
            match Journal::read(&*host.records).await {
                Ok(records) => {
                    for (id, record) in records {
                        let mut own = Own { durable: record.clone(), record, ..Own::default() };
                        own.durable.runs.clone_from(&own.record.runs);
                        host.metrics.job(&id, &own.record);
                        let cell = Cell { work: tokio::sync::Mutex::new(own), ..Cell::default() };
                        self.cells().insert(id, Arc::new(cell));
                    }
                    self.wake_all();
                    return true;
                }
                Err(error) => {
                    tracing::error!(%error, "the journal of jobs cannot be read, and without it none is run")
                }
            }
            tokio::select! {
                () = host.stopped() => return false,
                () = host.clock.sleep_until(host.clock.now().mono.after(AGAIN_MS)) => {}
            }
        }
    }
}

/// What the files want of a job now.
enum Desired {
    Run(Arc<JobSpec>),
    /// With why.
    Frozen(String),
    Gone,
}

impl Desired {
    fn of(wish: &Wish, id: &WorkId, record: &JobRecord) -> Self {
        match wish.state.works.jobs.get(id) {
            Some(Work::Wanted(spec)) => Self::Run(Arc::clone(spec)),
            Some(Work::Frozen(why)) => Self::Frozen(
                why.first().map(crate::desired::diagnostic::Diagnostic::headline).unwrap_or_default(),
            ),
            // It may be in a file that does not load, or that is being written.
            None if !wish.state.broken.is_empty() => {
                let file = record.spec.as_ref().map(|spec| spec.source.file.as_str()).unwrap_or_default();
                let own = wish.state.broken.get(file).and_then(|why| why.first());
                let otherwise = || "a file does not load, and it may be in there".to_owned();
                Self::Frozen(own.map_or_else(otherwise, crate::desired::diagnostic::Diagnostic::headline))
            }
            None if wish.state.services.is_empty()
                && wish.state.works.jobs.is_empty()
                && !wish.state.guard.allow_empty =>
            {
                Self::Frozen(
                    "the files want nothing at all, and [policy.guard] empty_state refuses that".to_owned(),
                )
            }
            None if !wish.confirmed => Self::Frozen("it has left the files just now".to_owned()),
            None => Self::Gone,
        }
    }

    fn wants(&self) -> Wants<'_> {
        match self {
            Self::Run(spec) => Wants::Run(spec),
            Self::Frozen(_) => Wants::Frozen,
            Self::Gone => Wants::Gone,
        }
    }

    /// What is in force.
    fn spec<'s>(&'s self, record: &'s JobRecord) -> Option<&'s JobSpec> {
        match self {
            Self::Run(spec) => Some(spec),
            Self::Frozen(_) => record.spec.as_deref(),
            Self::Gone => None,
        }
    }
}

fn offset(now: Now) -> i64 {
    now.wall.0.saturating_sub(i64::try_from(now.mono.0).unwrap_or(i64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
