//! Everything that building needs, whoever asks for it: the daemon, or a command by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::board::Board;
use super::look::Looker;
use super::{KIND, bases::Asked};
use crate::controller::clock::Clock;
use crate::controller::host::DiskProbe;
use crate::controller::news::{Feed, News};
use crate::controller::records::{Records, RecordsError};
use crate::controller::store::{Note, decoded};
use crate::controller::trigger::Inbox;
use crate::controller::works::Book;
use crate::desired::work::WorkId;
use crate::desired::work::answers::Asker;
use crate::engine::Engine;
use crate::engine::build::Build;
use crate::images::registry::Client;
use crate::metrics::Metrics;
use crate::source::git::Remote;
use crate::state::builds::BuildRecord;
use crate::state::space::{Threshold, pressure_text};
use crate::state::time::{Mono, Timestamp};

/// What [`Site::new`] is made of.
pub struct Parts {
    pub engine: Arc<dyn Engine>,
    pub maker: Arc<dyn Build>,
    /// Tells what base images are now.
    pub registry: Arc<Client>,
    pub records: Arc<dyn Records>,
    pub book: Arc<Book>,
    pub inbox: Arc<Inbox>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub news: Arc<Feed>,
    pub disk_free: DiskProbe,
    /// What must be free where the engine keeps its files.
    pub room: Threshold,
    /// Where logs and copies of repositories are kept.
    pub folder: PathBuf,
    pub board: Arc<Board>,
    /// Repositories whose login is good for contexts at the same host, too.
    pub logins: Vec<Remote>,
    /// Is told what builders print, beside the log.
    pub tell: Option<Tell>,
}

/// Is told which build printed what.
pub type Tell = Arc<dyn Fn(&Asker, &str) + Send + Sync>;

/// See the module.
pub struct Site {
    pub engine: Arc<dyn Engine>,
    pub maker: Arc<dyn Build>,
    pub(super) registry: Arc<Client>,
    pub(super) records: Arc<dyn Records>,
    pub(super) book: Arc<Book>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    news: Arc<Feed>,
    disk_free: DiskProbe,
    room: Threshold,
    pub(super) folder: PathBuf,
    pub board: Arc<Board>,
    pub(super) logins: Vec<Remote>,
    pub(super) tell: Option<Tell>,
    known: Mutex<BTreeMap<Asker, BuildRecord>>,
    pub(super) lookers: Mutex<BTreeMap<Asker, Looker>>,
    pub(super) asked: Mutex<BTreeMap<String, Asked>>,
    /// Not before, after a failure that may not come again.
    pub(super) not_before: Mutex<BTreeMap<Asker, Mono>>,
    /// Ends what git is waited for.
    pub(super) stop: Arc<AtomicBool>,
}

impl Site {
    /// Counts the end of a build, and tells whoever wants to know. What a builder printed is in the log alone.
    pub(super) fn ended(&self, asker: &Asker, result: &str, took: Duration, at: Timestamp) {
        self.metrics.built(asker, result, took, at);
        let (event, reason) = match result {
            "built" => ("build.succeeded", "its image is there"),
            "failed" => ("build.failed", "it could not be built; its log says why"),
            _ => return,
        };
        let id = match asker {
            Asker::Build(id) | Asker::Job(id) => id.clone(),
            Asker::Service(id) => WorkId { project: id.project.clone(), name: id.service.clone() },
        };
        self.news.tell(News::of_work(event, &id, reason, at));
    }

    /// Reads what is remembered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn new(parts: Parts) -> Result<Self, RecordsError> {
        let Parts {
            engine,
            maker,
            registry,
            records,
            book,
            inbox,
            clock,
            metrics,
            news,
            disk_free,
            room,
            folder,
            board,
            logins,
            tell,
        } = parts;
        let notes = records.notes(KIND).await?;
        let known: BTreeMap<String, BuildRecord> = decoded(KIND, notes);
        let named = |(key, record): (String, BuildRecord)| Some((serde_json::from_str(&key).ok()?, record));
        Ok(Self {
            engine,
            maker,
            registry,
            records,
            book,
            inbox,
            clock,
            metrics,
            news,
            disk_free,
            room,
            folder,
            board,
            logins,
            tell,
            known: Mutex::new(known.into_iter().filter_map(named).collect()),
            lookers: Mutex::default(),
            asked: Mutex::default(),
            not_before: Mutex::default(),
            stop: Arc::default(),
        })
    }

    /// What is remembered of a build.
    #[must_use]
    pub fn record(&self, asker: &Asker) -> BuildRecord {
        lock(&self.known).get(asker).cloned().unwrap_or_default()
    }

    /// Makes it durable. While that fails, the engine is asked for nothing.
    pub(super) async fn save(&self, asker: &Asker, record: BuildRecord) -> Result<(), RecordsError> {
        self.records.set_notes(vec![note(asker, &record)?]).await?;
        self.remember(asker, record);
        Ok(())
    }

    /// After it was made durable elsewhere.
    pub(super) fn remember(&self, asker: &Asker, record: BuildRecord) {
        self.board.recorded(asker, &record);
        lock(&self.known).insert(asker.clone(), record);
    }

    /// Not to be tried before; `None`: whenever it is due.
    pub(super) fn try_after(&self, asker: &Asker, at: Option<Mono>) {
        let mut not_before = lock(&self.not_before);
        match at {
            Some(at) => not_before.insert(asker.clone(), at),
            None => not_before.remove(asker),
        };
    }

    /// Every build that is remembered.
    #[must_use]
    pub fn remembered(&self) -> Vec<Asker> {
        lock(&self.known).keys().cloned().collect()
    }

    /// Ends what git is waited for: nobody needs the answer any more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Why nothing is built now: the disk is nearly full.
    pub(super) fn is_full(&self) -> Option<String> {
        let space = (self.disk_free)()?;
        Some(pressure_text(space, self.room.lacks(space)?))
    }
}

pub(super) fn note(asker: &Asker, record: &BuildRecord) -> Result<Note, RecordsError> {
    let told = |error: serde_json::Error| RecordsError(format!("a build cannot be noted: {error}"));
    Note::of(KIND, serde_json::to_string(asker).map_err(told)?, record).map_err(told)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
