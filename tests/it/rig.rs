//! A daemon on a simulated engine in virtual time: files go in, and what became of them is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::controller::apply::{Application, ApplyReport, apply};
use evenkeel::controller::clock::{Clock, Sleep, SystemClock};
use evenkeel::controller::handle::Handle;
use evenkeel::controller::host::{ACTORS, PULLS, Parts};
use evenkeel::controller::inbound::Inbound;
use evenkeel::controller::preview::{PlanReport, Question, preview};
use evenkeel::controller::progress::Progress;
use evenkeel::controller::records::{Forgetful, Records, RecordsError};
use evenkeel::controller::run::{Daemon, ExitReason, Setup};
use evenkeel::controller::store::Note;
use evenkeel::controller::trigger::Signal;
use evenkeel::desired::DesiredState;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot, SourceRevision};
use evenkeel::engine::sim::{Behaviour, Container, Host, Sim, realtime};
use evenkeel::metrics::Metrics;
use evenkeel::metrics::api::{Api, StatusReport};
use evenkeel::source::{Published, Update};
use evenkeel::state::condition::{ConditionKind, ServiceStatus};
use evenkeel::state::decide::Limits;
use evenkeel::state::observed::EngineSession;
use evenkeel::state::plan::{Outcome, Planned, Step};
use evenkeel::state::record::{HistoryEntry, Record};
use evenkeel::state::space::Space;
use evenkeel::state::time::{Mono, Now, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub const OWNER: &str = "test";

/// Files of a desired state, `path = text`.
pub type Files<'a> = &'a [(&'a str, &'a str)];

pub fn id(name: &str) -> ServiceId {
    ServiceId::new("shop", name).unwrap()
}

/// One project `shop` with one file that holds this text.
pub fn shop(text: &str) -> Snapshot {
    snapshot(&[("shop/all.toml", text)])
}

pub fn snapshot(files: Files<'_>) -> Snapshot {
    let digest = format!("{files:?}");
    let content = |text: &str| FileContent::Read(text.as_bytes().to_vec().into());
    Snapshot {
        revision: SourceRevision { digest, commit: None },
        root: "/desired".to_owned(),
        files: files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), content(text))).collect(),
        ..Snapshot::default()
    }
}

pub fn loaded(snapshot: &Snapshot) -> DesiredState {
    let (state, diagnostics) = load(snapshot, &HostFacts { name: "box".to_owned(), ..HostFacts::default() });
    let errors: Vec<String> =
        diagnostics.iter().filter(|found| found.is_error()).map(|found| found.headline()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    state
}

/// A snapshot source that tests speak through.
struct Fed {
    updates: mpsc::UnboundedReceiver<Update>,
    rescans: Arc<AtomicBool>,
}

#[async_trait]
impl Inbound for Fed {
    async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }
    fn rescan(&self) {
        self.rescans.store(true, Ordering::SeqCst);
    }
}

/// Records in memory that can refuse, and that panic for a service called `panic`.
#[derive(Default)]
pub struct Memory {
    pub inner: Forgetful,
    pub unwritable: AtomicBool,
}

#[async_trait]
impl Records for Memory {
    async fn load(&self, service: &ServiceId) -> Result<Record, RecordsError> {
        assert!(service.service.as_str() != "panic", "a pass that panics, as asked");
        self.inner.load(service).await
    }
    async fn save(
        &self,
        service: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError> {
        if self.unwritable.load(Ordering::SeqCst) {
            return Err(RecordsError("disk full".to_owned()));
        }
        self.inner.save(service, record, history).await
    }
    async fn forget(&self, service: &ServiceId) -> Result<(), RecordsError> {
        self.inner.forget(service).await
    }
    async fn services(&self) -> Result<Vec<ServiceId>, RecordsError> {
        self.inner.services().await
    }
    async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<(ServiceId, HistoryEntry)>, RecordsError> {
        self.inner.history(service, limit).await
    }
    async fn session(&self) -> Result<EngineSession, RecordsError> {
        self.inner.session().await
    }
    async fn set_session(&self, session: EngineSession) -> Result<(), RecordsError> {
        self.inner.set_session(session).await
    }
    async fn notes(&self, kind: &'static str) -> Result<BTreeMap<String, serde_json::Value>, RecordsError> {
        self.inner.notes(kind).await
    }
    async fn set_notes(&self, notes: Vec<Note>) -> Result<(), RecordsError> {
        if self.unwritable.load(Ordering::SeqCst) {
            return Err(RecordsError("disk full".to_owned()));
        }
        self.inner.set_notes(notes).await
    }
}

/// Writes every step down, and how many ran at the same time.
#[derive(Default)]
pub struct Watcher {
    pub steps: Mutex<Vec<String>>,
    under_way: Mutex<BTreeMap<ServiceId, usize>>,
    pub most_services: Mutex<usize>,
    pub overlaps: Mutex<BTreeSet<ServiceId>>,
}

impl Progress for Watcher {
    fn step(&self, service: &ServiceId, planned: &Planned, words: &str) {
        self.steps.lock().unwrap().push(format!("{service}: {words}"));
        if matches!(planned.step, Step::Pull { .. }) {
            return;
        }
        let mut under_way = self.under_way.lock().unwrap();
        let own = under_way.entry(service.clone()).or_default();
        *own += 1;
        if *own > 1 {
            self.overlaps.lock().unwrap().insert(service.clone());
        }
        let acting = under_way.values().filter(|count| **count > 0).count();
        let mut most = self.most_services.lock().unwrap();
        *most = acting.max(*most);
    }
    fn outcome(&self, service: &ServiceId, planned: &Planned, _outcome: &Outcome) {
        if !matches!(planned.step, Step::Pull { .. }) {
            *self.under_way.lock().unwrap().entry(service.clone()).or_insert(1) -= 1;
        }
    }
}

/// A host with an engine, records and whoever watches; a daemon may run on it, or a command.
pub struct Rig {
    /// What the host is called in the files.
    pub name: &'static str,
    pub sim: Sim,
    pub records: Arc<Memory>,
    pub watcher: Arc<Watcher>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    time: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.time.abort();
    }
}

/// Virtual time whose wall clock goes with it.
pub struct Dated {
    began: Now,
}

impl Dated {
    /// It is this moment now.
    pub fn from(moment: &str) -> Arc<dyn Clock> {
        let wall = Timestamp(moment.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        Arc::new(Self { began: Now { wall, mono: SystemClock.now().mono } })
    }
}

impl Clock for Dated {
    fn now(&self) -> Now {
        let mono = SystemClock.now().mono;
        let passed = i64::try_from(mono.since(self.began.mono)).unwrap();
        Now { wall: Timestamp(self.began.wall.0 + passed), mono }
    }
    fn sleep_until(&self, at: Mono) -> Sleep {
        SystemClock.sleep_until(at)
    }
}

impl Rig {
    pub fn new() -> Self {
        let sim = Sim::new();
        let time = realtime(&sim);
        Self {
            name: "box",
            sim,
            records: Arc::default(),
            watcher: Arc::default(),
            metrics: Arc::new(Metrics::new().unwrap()),
            clock: Arc::new(SystemClock),
            time,
        }
    }

    pub fn parts(&self) -> Parts {
        Parts {
            engine: Arc::new(self.sim.clone()),
            records: Arc::clone(&self.records) as Arc<dyn Records>,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            progress: Arc::clone(&self.watcher) as Arc<dyn Progress>,
            owner: OWNER.to_owned(),
            limits: Limits::default(),
            actors: ACTORS,
            pulls: PULLS,
            disk_free: Arc::new(|| Some(Space { free: 1 << 40, total: 1 << 41 })),
        }
    }

    /// Starts the daemon, with nothing to read yet.
    pub async fn daemon(self) -> Running {
        let (feed, updates) = mpsc::unbounded_channel();
        let (signals, heard) = mpsc::channel(4);
        let rescans = Arc::new(AtomicBool::new(false));
        let name = self.name;
        let setup = Setup {
            parts: self.parts(),
            inbound: Box::new(Fed { updates, rescans: Arc::clone(&rescans) }),
            load: Arc::new(move |snapshot| {
                load(snapshot, &HostFacts { name: name.to_owned(), ..HostFacts::default() })
            }),
            path: "/desired".to_owned(),
            sources: Arc::default(),
            host_name: name.to_owned(),
            resync_ms: 300_000,
        };
        let daemon = Daemon::new(setup).await.unwrap();
        let handle = daemon.handle();
        let task = tokio::spawn(daemon.run(heard));
        Running { rig: self, feed, signals, rescans, handle, task }
    }

    /// Starts the daemon with one file in the project `shop`.
    pub async fn with(self, text: &str) -> Running {
        let running = self.daemon().await;
        running.feed(shop(text));
        running
    }

    pub async fn apply(&self, text: &str) -> ApplyReport {
        self.apply_with(text, |_| {}).await
    }

    pub async fn apply_with(&self, text: &str, change: impl FnOnce(&mut Application)) -> ApplyReport {
        let mut application = Application {
            desired: loaded(&shop(text)),
            only: BTreeSet::new(),
            deadline_ms: 600_000,
            consent: None,
            unchanged: Box::new(|| true),
        };
        change(&mut application);
        apply(self.parts(), application).await.unwrap()
    }

    pub async fn plan(&self, text: &str) -> PlanReport {
        let mut records = BTreeMap::new();
        for id in self.records.services().await.unwrap() {
            records.insert(id.clone(), self.records.load(&id).await.unwrap());
        }
        let question = Question {
            engine: &self.sim,
            owner: OWNER,
            desired: loaded(&shop(text)),
            records,
            session: self.records.session().await.unwrap(),
            limits: Limits::default(),
            only: BTreeSet::new(),
            wall: Timestamp(1_767_225_600_000),
        };
        preview(question).await.unwrap()
    }

    pub fn script(&self, image: &str, behaviour: Behaviour) {
        self.sim.with(|host| host.script(image, behaviour));
    }

    /// `name image-reference status`, one per container, by name.
    pub fn containers(&self) -> Vec<String> {
        containers(&self.sim)
    }
}

pub fn containers(sim: &Sim) -> Vec<String> {
    let line = |container: &Container| {
        let image = container.own.as_ref().map(|own| own.image_ref.clone()).unwrap_or_default();
        // The digits of a revision are of no interest.
        let name = container.name.split('.').next().unwrap_or_default();
        let aside = if container.name.contains('.') { ".*" } else { "" };
        format!("{name}{aside} {image} {:?}", container.status).to_lowercase()
    };
    let mut lines: Vec<String> = sim.with(|host| host.containers.values().map(|one| line(one)).collect());
    lines.sort();
    lines
}

/// A daemon that runs.
pub struct Running {
    pub rig: Rig,
    feed: mpsc::UnboundedSender<Update>,
    pub signals: mpsc::Sender<Signal>,
    pub rescans: Arc<AtomicBool>,
    pub handle: Handle,
    task: JoinHandle<ExitReason>,
}

impl Running {
    /// A state that was just written.
    pub fn feed(&self, snapshot: Snapshot) {
        self.tell(Ok(Published { snapshot: Arc::new(snapshot), quiet_ms: 0 }));
    }

    /// A state that has been read unchanged for the quiet period.
    pub fn feed_quiet(&self, snapshot: Snapshot) {
        self.tell(Ok(Published { snapshot: Arc::new(snapshot), quiet_ms: 10_000 }));
    }

    pub fn tell(&self, update: Update) {
        self.feed.send(update).unwrap();
    }

    pub fn sim<T>(&self, act: impl FnOnce(&mut Host) -> T) -> T {
        self.rig.sim.with(act)
    }

    pub fn status(&self, name: &str) -> Option<ServiceStatus> {
        let wanted = id(name).to_string();
        self.handle.status().services.into_iter().find(|row| row.service == wanted)
    }

    /// Lets time pass until it is so. Virtual time: half an hour of waiting is nothing.
    pub async fn until(&self, what: &str, so: impl Fn(&StatusReport) -> bool) {
        for _ in 0..36_000 {
            if so(&self.handle.status()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let report = self.handle.status();
        panic!("waited half an hour for: {what}\n{report:#?}\n{:#?}", self.rig.containers());
    }

    pub async fn until_condition(&self, name: &str, kind: ConditionKind) -> ServiceStatus {
        let what = format!("{name} to be {}", kind.as_str());
        self.until(&what, |_| self.status(name).is_some_and(|row| row.condition.kind == kind)).await;
        self.status(name).unwrap()
    }

    /// Until this image serves and the service is ready.
    pub async fn until_serves(&self, name: &str, image: &str) {
        let serves = |row: ServiceStatus| row.image == image && row.condition.kind == ConditionKind::Ready;
        self.until(&format!("{name} to serve {image}"), |_| self.status(name).is_some_and(serves)).await;
    }

    pub async fn pass_time(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    pub async fn signal(&self, signal: Signal) {
        self.signals.send(signal).await.unwrap();
    }

    /// Waits for the daemon's end.
    pub async fn end(self) -> (ExitReason, Rig) {
        (self.task.await.unwrap(), self.rig)
    }
}
