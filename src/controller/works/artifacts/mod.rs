//! Artifacts: files out of an image are kept in place on the host (`crate::artifacts`).
//!
//! What is due is read off the host at every look: which image the source is now, and which version is in place. So there is nothing to resume but
//! commands after a switch, and those are in the journal beside the files. What an operator, or a failure, has said is in a note in the store.

mod hooks;
mod source;
mod tend;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Book, Worker};
use crate::controller::host::Host;
use crate::controller::news::News;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::work::{Work, WorkId};
use crate::engine::copy::Copy;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};
use crate::state::time::{Mono, Timestamp};
use tend::Tending;
pub use tend::seen_rows;

pub const KIND: &str = "artifacts";
/// A look costs a few reads: the link, and what the source's image is. Milliseconds.
const LOOK_MS: u64 = 10_000;

/// What is said of an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRow {
    /// `project/name`.
    pub artifact: String,
    pub condition: Condition,
    pub message: String,
    /// The end of what a command that failed printed. Only given to the local socket: programs print secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    pub from: String,
    pub to: String,
    /// The version in place.
    pub current: Option<String>,
    /// What it was copied out of.
    pub image: Option<String>,
    /// The last switch.
    pub since: Option<Timestamp>,
    /// What is there, newest switch first.
    pub versions: Vec<VersionRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    pub id: String,
    pub image: String,
    pub since: Timestamp,
    pub current: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// In place as the files say.
    Ready,
    #[default]
    Progressing,
    /// For its source, or for room.
    Waiting,
    /// An operator went back to it, and it stays until the source or the definition changes.
    Held,
    /// What is wanted was tried and put back, or is refused; what is in place stays.
    Rejected,
    Failed,
    /// Its definition does not load: it is left as it is.
    Frozen,
}

impl Condition {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Progressing => "progressing",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Frozen => "frozen",
        }
    }
}

/// An operator's word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArtifactOrder {
    /// `project/name`.
    pub name: String,
    /// A rollback: the start of an id; `None`: what was in place before.
    pub to: Option<String>,
}

/// What a word does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Back to a version that is there, and stay.
    Rollback,
    /// End that.
    Release,
    /// Try once more what was rejected.
    Retry,
}

impl Verb {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Release => "release",
            Self::Retry => "retry",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Rollback, Self::Release, Self::Retry].into_iter().find(|verb| verb.as_str() == word)
    }
}

/// See the module.
pub struct ArtifactWorker {
    pub(super) engine: Arc<dyn Copy>,
    pub(super) book: Arc<Book>,
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    rows: BTreeMap<WorkId, ArtifactRow>,
    words: VecDeque<(WorkId, Verb, Option<String>)>,
    tries: BTreeMap<WorkId, Tries>,
}

/// Tries of one thing that failed, and may go well the next time.
#[derive(Debug, Clone)]
pub(super) struct Tries {
    pub count: u32,
    pub again: Mono,
    pub text: String,
}

impl ArtifactWorker {
    #[must_use]
    pub fn new(engine: Arc<dyn Copy>, book: Arc<Book>) -> Arc<Self> {
        Arc::new(Self { engine, book, inner: Mutex::default(), wake: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tries(&self, id: &WorkId) -> Option<Tries> {
        self.lock().tries.get(id).cloned()
    }

    pub(super) fn set_tries(&self, id: &WorkId, tries: Option<Tries>) {
        let mut inner = self.lock();
        match tries {
            Some(tries) => drop(inner.tries.insert(id.clone(), tries)),
            None => drop(inner.tries.remove(id)),
        }
    }

    fn publish(&self, host: &Host, id: &WorkId, row: ArtifactRow) {
        let (current, since) = (row.current.as_deref(), row.since);
        host.metrics.artifact(id, current, since, row.condition.as_str());
        let before = self.lock().rows.insert(id.clone(), row.clone());
        self.tell(host, id, before.as_ref(), &row);
        if before.as_ref().map(|row| (row.condition, &row.message)) != Some((row.condition, &row.message)) {
            tracing::info!(artifact = %id, condition = row.condition.as_str(), "{}", row.message);
        }
    }

    /// For people who want to be told.
    fn tell(&self, host: &Host, id: &WorkId, before: Option<&ArtifactRow>, row: &ArtifactRow) {
        // After a start of evenkeel nobody knows what was told already.
        let Some(before) = before else { return };
        let bad = |row: &ArtifactRow| matches!(row.condition, Condition::Rejected | Condition::Failed);
        let event = if bad(row) && !bad(before) {
            "artifact.failed"
        } else if row.current.is_some() && row.current != before.current {
            "artifact.switched"
        } else {
            return;
        };
        host.tell(News::of_work(event, id, row.message.clone(), host.clock.now().wall));
    }

    /// Looks at every artifact, and does what is due.
    async fn round(&self, host: &Host) {
        let Some(wish) = host.wish() else { return };
        let artifacts = &wish.state.works.artifacts;
        let gone: Vec<WorkId> = {
            let inner = self.lock();
            inner.rows.keys().filter(|id| !artifacts.contains_key(*id)).cloned().collect()
        };
        for id in gone {
            // What is in place stays: nobody asked for its removal.
            self.lock().rows.remove(&id);
            self.set_tries(&id, None);
            host.metrics.forget_artifact(&id);
            tracing::info!(artifact = %id, "no file wants it any more; what is in place stays");
        }
        for (id, work) in artifacts {
            if host.stopping() {
                return;
            }
            let row = match work {
                Work::Wanted(spec) => Tending::new(self, host, id, spec).look().await,
                Work::Frozen(why) => self.frozen(id, why),
            };
            self.publish(host, id, row);
        }
    }

    fn frozen(&self, id: &WorkId, why: &[Diagnostic]) -> ArtifactRow {
        let before = self.lock().rows.get(id).cloned().unwrap_or_default();
        let message = why.first().map(Diagnostic::headline).unwrap_or_default();
        ArtifactRow { artifact: id.to_string(), condition: Condition::Frozen, message, ..before }
    }

    /// Takes a word in, durably.
    ///
    /// # Errors
    /// A sentence: why it makes no sense, or that it could not be written.
    pub async fn obey(&self, host: &Host, id: &WorkId, verb: Verb, to: Option<&str>) -> Result<(), String> {
        let wish = host.wish().ok_or("the desired state was not read yet; try again in a moment")?;
        let spec = wish.state.works.artifacts.get(id).and_then(Work::wanted).cloned();
        let spec = spec.ok_or_else(|| unknown(id, wish.state.works.artifacts.keys()))?;
        self.set_tries(id, None);
        Tending::new(self, host, id, &spec).obey(verb, to).await
    }

    /// One look at one of them, for a command without a daemon.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn once(&self, host: &Host, id: &WorkId) -> Result<ArtifactRow, String> {
        let wish = host.wish().ok_or("the desired state was not read")?;
        match wish.state.works.artifacts.get(id) {
            Some(Work::Wanted(spec)) => Ok(Tending::new(self, host, id, spec).look().await),
            Some(Work::Frozen(why)) => Ok(self.frozen(id, why)),
            None => Err(unknown(id, wish.state.works.artifacts.keys())),
        }
    }

    /// What is there, without changing anything.
    pub async fn rows(&self, host: &Host) -> Vec<ArtifactRow> {
        let Some(wish) = host.wish() else { return Vec::new() };
        let mut rows = Vec::new();
        for (id, work) in &wish.state.works.artifacts {
            rows.push(match work {
                Work::Wanted(spec) => Tending::new(self, host, id, spec).only_look().await,
                Work::Frozen(why) => self.frozen(id, why),
            });
        }
        rows
    }

    /// Containers that a crash left: nothing else removes them.
    async fn clear(&self) {
        let left = match self.engine.leftovers().await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(%error, "what copies may have left cannot be listed");
                return;
            }
        };
        for container in left {
            if let Err(error) = self.engine.release(&container).await {
                tracing::warn!(container = container.short(), %error, "a container that files were copied out of stays");
            }
        }
    }
}

fn unknown<'a>(id: &WorkId, all: impl Iterator<Item = &'a WorkId>) -> String {
    let all: Vec<String> = all.map(ToString::to_string).collect();
    let there =
        if all.is_empty() { "there is none".to_owned() } else { format!("there is {}", all.join(", ")) };
    format!("there is no artifact `{id}` on this host; {there}")
}

#[async_trait]
impl Worker for ArtifactWorker {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let mut wishes = host.wishes();
        let mut cleared = false;
        loop {
            // Nothing is done before the host was looked at: what serves now is not known until then.
            if host.board.looked() {
                if !cleared {
                    self.clear().await;
                    cleared = true;
                }
                loop {
                    let Some((id, verb, to)) = self.lock().words.pop_front() else { break };
                    if let Err(error) = self.obey(&host, &id, verb, to.as_deref()).await {
                        tracing::warn!(artifact = %id, error, "an operator's word could not be followed");
                    }
                }
                self.round(&host).await;
            }
            let next = host.clock.now().mono.after(LOOK_MS);
            tokio::select! {
                () = host.clock.sleep_until(next) => {}
                () = self.wake.notified() => {}
                changed = wishes.changed() => if changed.is_err() { return },
                () = host.stopped() => return,
            }
        }
    }

    async fn show(&self, host: &Arc<Host>, _asked: &WorkQuery, local: bool) -> Result<Value, ApiError> {
        let known: Vec<ArtifactRow> = self.lock().rows.values().cloned().collect();
        let mut rows = if known.is_empty() && !host.board.looked() { self.rows(host).await } else { known };
        if !local {
            rows.iter_mut().for_each(|row| row.output = None);
        }
        serde_json::to_value(rows).map_err(|error| ApiError::new(ApiErrorKind::Internal, error.to_string()))
    }

    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        let invalid = |text: String| ApiError::new(ApiErrorKind::Invalid, text);
        let ArtifactOrder { name, to } =
            serde_json::from_value(order).map_err(|error| invalid(format!("not an order: {error}")))?;
        let verb = Verb::of(verb)
            .ok_or_else(|| ApiError::new(ApiErrorKind::NotFound, format!("artifacts know no `{verb}`")))?;
        let id = name.split_once('/').and_then(|(project, name)| WorkId::new(project, name));
        let id = id.ok_or_else(|| invalid(format!("`{name}` is no artifact: PROJECT/NAME")))?;
        // Refused at once where it makes no sense; carried out by the loop, which is the only one that switches.
        let wish = host.wish();
        let spec = wish
            .as_ref()
            .and_then(|wish| wish.state.works.artifacts.get(&id))
            .and_then(Work::wanted)
            .cloned();
        let Some(spec) = spec else {
            let all = wish.iter().flat_map(|wish| wish.state.works.artifacts.keys());
            return Err(ApiError::new(ApiErrorKind::NotFound, unknown(&id, all)));
        };
        let checked = Tending::new(self, host, &id, &spec).check(verb, to.as_deref()).await;
        checked.map_err(|why| ApiError::new(ApiErrorKind::Conflict, why))?;
        let mut inner = self.lock();
        if let Some(row) = inner.rows.get_mut(&id) {
            // Whoever waits must not take the row of before for the outcome.
            (row.condition, row.message) = (Condition::Progressing, "an operator's word".to_owned());
        }
        inner.words.push_back((id, verb, to));
        drop(inner);
        self.wake.notify_one();
        Ok(json!({}))
    }
}
