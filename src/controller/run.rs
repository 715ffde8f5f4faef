//! The daemon: one loop that hears triggers, hands keys to passes and never waits for anything else.
//!
//! The loop itself does no engine call and no pass; what takes time runs beside it and reports back. So it always hears the
//! next signal, and `/healthz` can tell from its turning that it lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::dispatch::Dispatch;
use super::events;
use super::handle::{Handle, SILENCE_MS};
use super::host::{Host, Parts};
use super::inbound::{Inbound, Loader};
use super::queue::Reason;
use super::records::RecordsError;
use super::relist::{self, Relist};
use super::sources::SourceBoard;
use super::takeover;
use super::trigger::{Key, Mail, Signal};
use super::works::Worker;
use crate::desired::ident::ProjectName;
use crate::engine::{EngineError, Observe};
use crate::metrics::api::EngineStatus;
use crate::state::time::Mono;

/// The net below lost events: one list call. Milliseconds.
const RELIST_MS: u64 = 60_000;
/// After a look at the host that failed. Milliseconds.
const RELIST_AGAIN_MS: u64 = 5_000;
/// Every so many regular looks is a thorough one: what a list does not show (a policy changed by hand, a lost tag) is found
/// too.
const THOROUGH_EVERY: u32 = 6;
/// A short absence of the engine (a restart) is not worth telling every service. Milliseconds.
const PATIENCE_MS: u64 = 2_000;

/// What the daemon is made of.
pub struct Setup {
    pub parts: Parts,
    pub inbound: Box<dyn Inbound>,
    pub load: Loader,
    /// Where the desired state is read from, for people.
    pub path: String,
    /// The host's name in the desired state.
    pub host_name: String,
    /// Where word of the sources is found.
    pub sources: Arc<SourceBoard>,
    /// The regular look at everything (DESIGN.md 7: 5 min). Milliseconds.
    pub resync_ms: u64,
}

/// It could not begin.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("the records cannot be read, and without them nothing may be done: {0}")]
    Records(#[from] RecordsError),
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The first signal: the steps in hand were finished.
    Stopped,
    /// A second signal: they were not.
    Aborted(Signal),
}

impl ExitReason {
    /// 0, or what a shell sees of a process that a signal ended.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Aborted(signal) => signal.exit_code(),
        }
    }
}

/// The daemon before it runs: the handle can be given to the server first.
pub struct Daemon {
    host: Arc<Host>,
    inbound: Box<dyn Inbound>,
    load: Loader,
    path: String,
    resync_ms: u64,
}

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// The records cannot be read at the start.
pub async fn run(setup: Setup, signals: mpsc::Receiver<Signal>) -> Result<ExitReason, RunError> {
    Ok(Daemon::new(setup).await?.run(signals).await)
}

impl Daemon {
    /// Reads what is remembered; touches nothing.
    ///
    /// # Errors
    /// The records cannot be read.
    pub async fn new(setup: Setup) -> Result<Self, RunError> {
        let Setup { parts, inbound, load, path, host_name, sources, resync_ms } = setup;
        let session = parts.records.session().await?;
        let host = Arc::new(Host::new(parts, session));
        for id in host.records.services().await? {
            let record = host.records.load(&id).await?;
            host.guard.note(&id, false, &record.source);
        }
        let now = host.clock.now();
        host.board.set_sources(sources);
        host.board.turn(now.mono);
        host.board.list(now.mono);
        host.board.set_host(|status| {
            env!("CARGO_PKG_VERSION").clone_into(&mut status.version);
            status.instance.clone_from(&host.owner);
            status.host = host_name;
            status.started = Some(now.wall);
            status.desired.path.clone_from(&path);
            status.engine.trouble = Some("it was not asked yet".to_owned());
        });
        Ok(Self { host, inbound, load, path, resync_ms })
    }

    /// For the server: reads from memory, and leaves words for passes.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.host))
    }

    /// With work beside services.
    #[must_use]
    pub fn with_workers(self, workers: Vec<Arc<dyn Worker>>) -> Self {
        self.host.set_workers(workers);
        self
    }

    /// Runs until a signal ends it.
    pub async fn run(self, mut signals: mpsc::Receiver<Signal>) -> ExitReason {
        let Self { host, inbound, load, path, resync_ms } = self;
        let engine: Arc<dyn Observe> = Arc::clone(&host.engine) as Arc<dyn Observe>;
        let follower =
            events::follow(engine, host.owner.clone(), Arc::clone(&host.inbox), Arc::clone(&host.metrics));
        let follower = AbortOnDrop(tokio::spawn(follower));
        tracing::info!(instance = host.owner, desired = path, "evenkeel runs");
        let now = host.clock.now().mono;
        let mut this = Loop {
            dispatch: Dispatch::new(Arc::clone(&host)),
            host,
            inbound: Some(inbound),
            load,
            resync_ms,
            engine: Engine::Unasked,
            relists: JoinSet::new(),
            relist_at: now.after(RELIST_MS),
            resync_at: now.after(jitter(resync_ms)),
            project_looks: BTreeMap::new(),
            thorough: Thorough::default(),
            first_look: FirstLook::Before,
            workers: JoinSet::new(),
        };
        for worker in this.host.workers() {
            this.workers.spawn(Arc::clone(worker).run(Arc::clone(&this.host)));
        }
        let signal = this.turn_until_signal(&mut signals).await;
        this.host.stop();
        drop(follower);
        this.end(signal, &mut signals).await
    }
}

/// A task that must not outlive the loop.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// Before the first word of or about it no pass runs: its events are not listened to yet.
    Unasked,
    Up,
    Down,
}

/// When a look at the host must be a thorough one.
#[derive(Debug, Default)]
struct Thorough {
    asked: bool,
    /// The look that is under way is one.
    under_way: bool,
    /// Regular looks since the last thorough one.
    looks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstLook {
    Before,
    /// Every key has been asked for.
    Under,
    Done,
}

struct Loop {
    host: Arc<Host>,
    dispatch: Dispatch,
    inbound: Option<Box<dyn Inbound>>,
    load: Loader,
    resync_ms: u64,
    engine: Engine,
    relists: JoinSet<Result<Relist, EngineError>>,
    relist_at: Mono,
    resync_at: Mono,
    /// When the services of projects that say so are looked at next, and how often that is.
    project_looks: BTreeMap<ProjectName, (u64, Mono)>,
    thorough: Thorough,
    first_look: FirstLook,
    workers: JoinSet<()>,
}

impl Loop {
    fn now(&self) -> Mono {
        self.host.clock.now().mono
    }

    /// Returns with the first signal that asks to stop.
    async fn turn_until_signal(&mut self, signals: &mut mpsc::Receiver<Signal>) -> Signal {
        loop {
            self.host.board.turn(self.now());
            if self.may_pass() {
                self.dispatch.start_due();
            }
            self.note_first_look();
            let wake = self.next_wake();
            let inbox = Arc::clone(&self.host.inbox);
            tokio::select! {
                biased;
                signal = signals.recv() => match signal {
                    Some(Signal::Reload) => self.reload("SIGHUP"),
                    Some(stop) => return stop,
                    // Nobody can ask us to stop any more: whoever held the other end is gone, and so should we be.
                    None => return Signal::Terminate,
                },
                Some(update) = OptionFuture::from(self.inbound.as_mut().map(|inbound| inbound.next())) => {
                    self.heard(update).await;
                }
                mail = inbox.take() => if let Some(signal) = self.deliver(mail).await { return signal },
                Some(listed) = self.relists.join_next() => self.listed(listed),
                Some(Err(error)) = self.workers.join_next() => {
                    tracing::error!(%error, "a kind of work has ended with a mistake in evenkeel, please report it; services go on");
                }
                finished = self.dispatch.finished() => self.finished(finished.map(|(key, _)| key)),
                () = self.host.clock.sleep_until(wake) => self.look_if_due(),
            }
        }
    }

    /// Before the engine was heard of and the desired state was read once, keys wait, however due they are.
    fn may_pass(&self) -> bool {
        self.engine != Engine::Unasked && self.host.wish().is_some()
    }

    fn next_wake(&self) -> Mono {
        let due = if self.may_pass() { self.dispatch.next_due() } else { None };
        let projects = self.project_looks.values().map(|(_, at)| *at);
        let regular = projects.fold(self.relist_at.min(self.resync_at), Mono::min);
        due.map_or(regular, |due| due.min(regular))
    }

    async fn heard(&mut self, update: Option<crate::source::Update>) {
        let Some(update) = update else {
            tracing::error!(
                "the source of the desired state has ended; what is known stands, and is kept as it is"
            );
            self.inbound = None;
            return;
        };
        let was_unread = self.host.wish().is_none();
        let keys = takeover::take(&self.host, &self.load, update).await;
        for key in keys {
            self.dispatch.add(key, Reason::Desired);
        }
        // The host was listed before anything was wanted (a repository takes its time): the first look is still to come.
        if was_unread && self.host.wish().is_some() && self.engine == Engine::Up {
            self.look(true);
        }
        self.keep_intervals();
        takeover::refresh_guard(&self.host);
    }

    /// How often the whole host is looked at: what the files say, else the daemon's own setting.
    fn resync_ms(&self) -> u64 {
        let said = self.host.wish().and_then(|wish| wish.state.intervals.everywhere);
        said.unwrap_or(self.resync_ms)
    }

    /// Brings the times of the next regular looks to what the files say of them now.
    fn keep_intervals(&mut self) {
        let Some(wish) = self.host.wish() else { return };
        let now = self.now();
        self.resync_at = self.resync_at.min(now.after(jitter(self.resync_ms())));
        // What is looked at as often with the whole host needs no look of its own.
        let host = self.resync_ms();
        let own = |project: &ProjectName| {
            wish.state.intervals.projects.get(project).copied().filter(|ms| *ms < host)
        };
        self.project_looks.retain(|project, (ms, _)| own(project) == Some(*ms));
        let wanted = wish.state.intervals.projects.keys();
        for (project, ms) in wanted.filter_map(|project| Some((project, own(project)?))) {
            let next = (ms, now.after(jitter(ms)));
            self.project_looks.entry(project.clone()).or_insert(next);
        }
    }

    /// Looks at everything of the projects whose time has come.
    fn look_at_projects(&mut self, now: Mono) {
        let due: Vec<ProjectName> = self
            .project_looks
            .iter()
            .filter(|(_, (_, at))| now >= *at)
            .map(|(project, _)| project.clone())
            .collect();
        let Some(wish) = self.host.wish().filter(|_| !due.is_empty()) else { return };
        for project in &due {
            if let Some((ms, at)) = self.project_looks.get_mut(project) {
                *at = now.after(jitter(*ms));
            }
        }
        for key in wish.keys_of(&due) {
            self.dispatch.add(key, Reason::Resync);
        }
    }

    async fn deliver(&mut self, mail: Mail) -> Option<Signal> {
        self.dispatch.deliver(&mail, |_| true);
        self.thorough.asked |= mail.image;
        self.host.hear_of_engine(&mail).await;
        match mail.engine {
            Some(Ok(())) => {
                if self.engine == Engine::Down {
                    tracing::info!("the engine answers again");
                    self.host.metrics.engine_reconnected();
                }
                self.engine = Engine::Up;
                self.look(true);
            }
            Some(Err(error)) => self.engine_down(&error),
            None => {}
        }
        if mail.resync {
            self.look(true);
        }
        if let (true, Some(inbound)) = (mail.answers, &self.inbound) {
            inbound.rescan();
        }
        for signal in mail.signals {
            match signal {
                Signal::Reload => self.reload("an operator"),
                stop => return Some(stop),
            }
        }
        None
    }

    fn engine_down(&mut self, error: &EngineError) {
        if self.engine != Engine::Down {
            tracing::warn!(%error, "the engine is away; nothing is done until it answers");
            let at = self.now().after(PATIENCE_MS);
            for id in self.host.board.services() {
                self.dispatch.add_at(Key::Service(id), at, Reason::Engine);
            }
        }
        self.engine = Engine::Down;
        self.host.metrics.engine_up(false);
        self.host.board.set_host(|status| {
            status.engine =
                EngineStatus { up: false, trouble: Some(error.to_string()), ..status.engine.clone() };
        });
    }

    fn reload(&mut self, who: &str) {
        tracing::info!(who, "reading the desired state and looking at everything");
        if let Some(inbound) = &self.inbound {
            inbound.rescan();
        }
        self.look(true);
    }

    fn look_if_due(&mut self) {
        let now = self.now();
        self.look_at_projects(now);
        if now >= self.resync_at {
            self.resync_at = now.after(jitter(self.resync_ms()));
            self.thorough.looks += 1;
            let thorough = self.thorough.looks >= THOROUGH_EVERY;
            self.look(thorough);
        } else if now >= self.relist_at {
            self.look(false);
        }
    }

    /// Lists the host, beside the loop. One at a time; a thorough look that is asked for meanwhile follows, because it may be
    /// about something that happened after the one under way.
    fn look(&mut self, thorough: bool) {
        self.thorough.asked |= thorough;
        self.relist_at = self.now().after(jitter(RELIST_MS));
        if self.relists.is_empty() {
            let thorough = std::mem::take(&mut self.thorough.asked);
            self.thorough.under_way = thorough;
            let host = Arc::clone(&self.host);
            self.relists.spawn(async move { relist::relist(&host, thorough).await });
        }
    }

    fn listed(&mut self, listed: Result<Result<Relist, EngineError>, tokio::task::JoinError>) {
        let now = self.now();
        match listed {
            Ok(Ok(relist)) => {
                self.host.board.list(now);
                relist::note(&self.host, &relist);
                if let Some(whole) = &relist.whole {
                    self.host.board.set_engine(relist::engine_status(&whole.facts));
                    self.host
                        .metrics
                        .unmanaged(whole.unmanaged.as_ref().map_or(0, std::collections::BTreeSet::len));
                    let unmanaged = whole.unmanaged.clone().map(|names| names.into_iter().collect());
                    self.host.board.set_host(|status| status.unmanaged = unmanaged);
                    self.thorough.looks = 0;
                }
                for key in relist::due(&self.host, &relist) {
                    self.dispatch.add(key, Reason::Resync);
                }
                takeover::refresh_guard(&self.host);
                if self.first_look == FirstLook::Before && self.host.wish().is_some() {
                    self.first_look = FirstLook::Under;
                }
                if self.thorough.asked {
                    self.look(true);
                }
            }
            Ok(Err(error)) => self.not_listed(&error.to_string()),
            Err(error) => self.not_listed(&format!("the look at the host panicked: {error}")),
        }
    }

    fn not_listed(&mut self, error: &str) {
        let now = self.now();
        self.thorough.asked |= self.thorough.under_way;
        self.relist_at = now.after(jitter(RELIST_AGAIN_MS));
        let blind = now.since(self.host.board.last_list());
        if blind > SILENCE_MS {
            tracing::error!(
                error,
                seconds = blind / 1_000,
                "the host has not been seen as a whole for a long time"
            );
        } else {
            tracing::debug!(error, "the host could not be listed");
        }
    }

    fn finished(&mut self, key: Option<Key>) {
        let wish = self.host.wish();
        let unwanted = key
            .as_ref()
            .and_then(Key::service)
            .is_some_and(|id| wish.as_ref().is_some_and(|wish| !wish.state.services.contains_key(id)));
        if unwanted {
            takeover::refresh_guard(&self.host);
        }
    }

    /// Ready means that every key was looked at once.
    fn note_first_look(&mut self) {
        let now = self.now();
        if self.first_look == FirstLook::Under
            && self.dispatch.queue.backlog(now) == 0
            && self.dispatch.is_idle()
        {
            self.first_look = FirstLook::Done;
            self.host.board.first_look_done();
            tracing::info!("the first look at the host is over");
        }
    }

    /// Finishes the steps in hand, unless a second signal says not to.
    async fn end(mut self, signal: Signal, signals: &mut mpsc::Receiver<Signal>) -> ExitReason {
        tracing::info!(?signal, "stopping: the steps in hand are finished; a second signal stops at once");
        let second = async {
            loop {
                match signals.recv().await {
                    Some(Signal::Reload) => {}
                    Some(signal) => return signal,
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = async { self.dispatch.drain().await; while self.workers.join_next().await.is_some() {} } => {
                tracing::info!("stopped; containers go on as they are");
                ExitReason::Stopped
            }
            signal = second => {
                tracing::warn!(?signal, "stopped at once; the next start goes on from whatever is there then");
                ExitReason::Aborted(signal)
            }
        }
    }
}

/// Between 90 and 110 %: many hosts behind one registry or proxy must not act in step.
fn jitter(ms: u64) -> u64 {
    let tenth = ms / 10;
    ms - tenth + fastrand::u64(0..=2 * tenth)
}

/// Follows SIGHUP, SIGINT and SIGTERM.
///
/// # Errors
/// The system refuses to report one of them.
pub fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::channel(8);
    let kinds = [
        (SignalKind::hangup(), Signal::Reload),
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
    ];
    for (kind, word) in kinds {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(word).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

/// The default of [`Setup::resync_ms`].
pub const RESYNC: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::jitter;

    #[test]
    fn jitter_stays_within_a_tenth() {
        assert!((0..200).all(|_| (900..=1_100).contains(&jitter(1_000))));
        assert_eq!(jitter(5), 5);
    }
}
