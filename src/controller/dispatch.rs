//! Hands keys to passes: what is due, at most so many at a time, each key once; a pass that panics takes nobody with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use super::backoff::Backoff;
use super::host::Host;
use super::objects;
use super::queue::{Queue, Reason, Reasons};
use super::reconcile::{self, PassEnd, PassReport};
use super::trigger::{Key, Mail};
use crate::metrics::PassResult;
use crate::state::condition::{Condition, ConditionKind};
use crate::state::time::Mono;

/// Passes at a time. They mostly wait for the engine's answers to reads; acting has a limit of its own (`host::ACTORS`).
const PASSES: usize = 32;
/// What the engine reports of a service while its pass runs is mostly what that pass does. It is looked at once more when this
/// has passed, not after each of its steps. Milliseconds.
const ECHO_MS: u64 = 100;

/// See the module.
pub struct Dispatch {
    host: Arc<Host>,
    pub queue: Queue<Key>,
    backoff: Backoff<Key>,
    passes: JoinSet<(Key, PassReport)>,
    running: BTreeMap<Id, Key>,
    limit: usize,
}

impl Dispatch {
    #[must_use]
    pub fn new(host: Arc<Host>) -> Self {
        Self {
            host,
            queue: Queue::new(),
            backoff: Backoff::default(),
            passes: JoinSet::new(),
            running: BTreeMap::new(),
            limit: PASSES,
        }
    }

    /// One pass at a time, in the order of the queue: the same input gives the same trace.
    #[must_use]
    pub fn one_by_one(mut self) -> Self {
        self.limit = 1;
        self
    }

    fn now(&self) -> Mono {
        self.host.clock.now().mono
    }

    /// Asks for a pass at once.
    pub fn add(&mut self, key: Key, reason: Reason) {
        let now = self.now();
        self.queue.add(key, reason, now);
    }

    pub fn add_at(&mut self, key: Key, at: Mono, reason: Reason) {
        self.queue.add_at(key, at, reason);
    }

    /// Puts the keys of some mail into the queue; what the mail says beyond that is for the caller. `accept` keeps out what
    /// is not asked for.
    pub fn deliver(&mut self, mail: &Mail, accept: impl Fn(&Key) -> bool) {
        for (key, reasons) in mail.keys.iter().filter(|(key, _)| accept(key)) {
            for reason in reasons {
                match reason {
                    Reason::Engine => self.heard(key.clone()),
                    other => self.add(key.clone(), *other),
                }
            }
        }
        for container in &mail.containers {
            for id in self.host.board.owners_of(container) {
                let key = Key::Service(id);
                if accept(&key) {
                    self.heard(key);
                }
            }
        }
    }

    /// The engine reported something about it.
    fn heard(&mut self, key: Key) {
        let echo = self.running.values().any(|running| *running == key);
        let at = if echo { self.now().after(ECHO_MS) } else { self.now() };
        self.queue.add_at(key, at, Reason::Engine);
    }

    /// Starts the passes of the keys that are due, as far as the limit allows.
    pub fn start_due(&mut self) {
        let now = self.now();
        while self.passes.len() < self.limit && !self.host.stopping() {
            let Some((key, reasons)) = self.queue.pop(now) else { break };
            let host = Arc::clone(&self.host);
            let own = key.clone();
            let task = self.passes.spawn(async move {
                let report = pass(&host, &own, &reasons).await;
                (own, report)
            });
            self.running.insert(task.id(), key);
        }
        let oldest = self.queue.oldest_age(now);
        let depth = self.queue.backlog(now);
        self.host.metrics.queue(depth, (depth > 0).then(|| Duration::from_millis(oldest)));
        self.host.board.set_host(|status| status.queue_depth = depth);
    }

    /// When the next key is due; `None` while every one waits for a trigger, or for a pass that runs.
    #[must_use]
    pub fn next_due(&self) -> Option<Mono> {
        if self.passes.len() >= self.limit { None } else { self.queue.next_due() }
    }

    /// No pass runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.passes.is_empty()
    }

    /// Waits for a pass to end and puts its key back as it asked for. Never ends while no pass runs. Dropping the future
    /// loses nothing.
    pub async fn finished(&mut self) -> Option<(Key, PassReport)> {
        let joined = match self.passes.join_next_with_id().await {
            Some(joined) => joined,
            None => std::future::pending().await,
        };
        match joined {
            Ok((task, (key, report))) => {
                self.running.remove(&task);
                self.requeue(&key, report);
                Some((key, report))
            }
            Err(error) => {
                let key = self.running.remove(&error.id())?;
                let report = self.panicked(&key);
                Some((key, report))
            }
        }
    }

    fn requeue(&mut self, key: &Key, report: PassReport) {
        self.queue.done(key);
        match report.end {
            PassEnd::Settled => self.backoff.succeeded(key),
            PassEnd::At(at) => {
                self.backoff.succeeded(key);
                self.queue.add_at(key.clone(), at, Reason::Requeue);
            }
            PassEnd::Failed => {
                let wait = self.backoff.failed(key.clone());
                self.host.metrics.queue_retry();
                let at = self.now().after(wait);
                self.queue.add_at(key.clone(), at, Reason::Retry);
            }
            PassEnd::Stopped => {}
        }
    }

    /// The panic of one pass is that service's trouble alone. What the process knew of it may be half changed: it is read
    /// again from the memory.
    fn panicked(&mut self, key: &Key) -> PassReport {
        tracing::error!(%key, "a pass panicked: this is a mistake in evenkeel, please report it; the others go on");
        if let Key::Service(id) = key {
            self.host.drop_cell(id);
            let text =
                "a pass for it panicked, which is a mistake in evenkeel (see the log); it is tried again";
            let condition = Condition::new(ConditionKind::Waiting, "InternalError", text);
            self.host.board.condition(id, &condition, self.host.clock.now().wall);
        }
        let report = PassReport { end: PassEnd::Failed, result: PassResult::Failed };
        self.host.metrics.reconciled(report.result, Duration::ZERO);
        self.requeue(key, report);
        report
    }

    /// Lets the passes in hand come to their next step boundary. Call [`Host::stop`] first.
    pub async fn drain(&mut self) {
        while self.passes.join_next().await.is_some() {}
    }
}

async fn pass(host: &Host, key: &Key, reasons: &Reasons) -> PassReport {
    match key {
        Key::Service(id) => reconcile::pass(host, id, reasons).await,
        Key::Network(name) => objects::network(host, name).await,
        Key::Volume(name) => objects::volume(host, name).await,
    }
}
