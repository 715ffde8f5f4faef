//! What the server asks of the controller, and the reports it gives away as JSON.
//!
//! The controller implements [`Api`]; the server and the command line only know this trait and these types. None of them holds
//! a spec: environment values could not leave this way even by mistake (invariant I14).

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::adoption::{AdoptRequest, AdoptionReport, DisownReport};
use crate::desired::ident::ServiceId;
use crate::desired::snapshot::Commit;
use crate::state::condition::ServiceStatus;
use crate::state::hooks::run::HookRun;
use crate::state::record::{HistoryEntry, HistoryEvent, Hold, KeptRevision, Record, RevisionVerdict};
use crate::state::time::Timestamp;

/// The running controller as others see it. Reads answer from memory or the store and never wait for the engine.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// The process works: its loop turns. `Err` says what is stuck.
    fn healthy(&self) -> Result<(), String>;
    /// The first look at the host is done, the desired state was read, the engine answers and the store takes writes.
    fn ready(&self) -> Result<(), String>;
    fn status(&self) -> StatusReport;
    async fn why(&self, service: &ServiceId) -> Result<WhyReport, ApiError>;
    /// Newest first, at most `limit`; every service when none is named.
    async fn history(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<HistoryRow>, ApiError>;
    /// Takes the operator's word into the record (durably) and wakes the service. When this returns, the status of the
    /// service no longer shows what it showed before the word: whoever waits may start to look.
    async fn command(&self, service: &ServiceId, command: Command) -> Result<Accepted, ApiError>;
    /// Consents to the removals the guard holds back; the token names exactly that set.
    async fn approve(&self, token: &str) -> Result<Accepted, ApiError>;
    /// Reads the desired state again and looks at everything, now.
    async fn sync(&self) -> Result<Accepted, ApiError>;
    /// Shows what would be taken over, and takes it over when the request consents to exactly that.
    async fn adopt(&self, request: &AdoptRequest) -> Result<AdoptionReport, ApiError> {
        let text = format!("`{}` cannot be adopted here", request.project);
        Err(ApiError::new(ApiErrorKind::Conflict, text))
    }
    /// What there is to say of a kind of work (`images`, `builds`, `jobs`, `artifacts`); `local`: whoever asks may also read what programs printed.
    async fn work(&self, kind: &str, asked: &WorkQuery, local: bool) -> Result<serde_json::Value, ApiError> {
        let _ = (asked, local);
        Err(ApiError::new(ApiErrorKind::NotFound, format!("there is no `{kind}` here")))
    }
    /// Takes an operator's word about a kind of work, and returns before it is done.
    async fn work_order(
        &self,
        kind: &str,
        verb: &str,
        order: serde_json::Value,
    ) -> Result<serde_json::Value, ApiError> {
        let _ = (verb, order);
        Err(ApiError::new(ApiErrorKind::NotFound, format!("there is no `{kind}` here")))
    }
    /// Gives a service or a project back as it runs.
    async fn disown(&self, what: &str) -> Result<DisownReport, ApiError> {
        Err(ApiError::new(ApiErrorKind::Conflict, format!("`{what}` cannot be given back here")))
    }
}

/// What is asked of a kind of work: `?name=shop/nightly&limit=5`.
pub type WorkQuery = std::collections::BTreeMap<String, String>;

/// An operator's word about one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Back to a kept revision and stay there until the desired state of the service changes or `release`.
    Rollback {
        /// Number (`3`, `r3`) or the start of an id; `None`: the last good one before what serves now.
        to: Option<String>,
    },
    /// Forget that the wanted revision was rejected, and try it again.
    Retry,
    /// Stay as it is.
    Hold {
        message: Option<String>,
        /// Milliseconds; `None`: until released.
        for_ms: Option<u64>,
    },
    /// End a hold or a rollback by hand.
    Release,
    /// Consent to the revision that waits.
    Approve {
        /// Number or the start of an id; refused when another one waits. `None`: whichever waits.
        revision: Option<String>,
    },
}

/// Body of a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackRequest {
    pub to: Option<String>,
}

/// Body of a hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldRequest {
    pub message: Option<String>,
    pub for_ms: Option<u64>,
}

/// Body of a consent to a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApproveRequest {
    pub revision: Option<String>,
}

/// Body of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub token: String,
}

/// A write that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// A sentence for people: what happens now.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiErrorKind {
    /// No such service or revision, or nothing waits under this token.
    NotFound,
    /// It cannot be done in the state things are in.
    Conflict,
    /// The request makes no sense.
    Invalid,
    /// More than any order needs.
    TooLarge,
    /// Not allowed on this listener.
    Forbidden,
    /// Not signed by whoever may ask for this.
    Unauthorized,
    /// The store or the engine is away.
    Unavailable,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// What failed, on what, and what to do next.
    pub message: String,
}

impl ApiError {
    #[must_use]
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// `/v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    pub host: HostStatus,
    pub services: Vec<ServiceStatus>,
}

/// What is true of the whole host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    pub version: String,
    pub instance: String,
    pub host: String,
    /// `None`: no daemon runs, this was looked up by the command itself.
    pub started: Option<Timestamp>,
    pub engine: EngineStatus,
    pub desired: DesiredStatus,
    pub guard: Option<GuardStatus>,
    pub store_writable: bool,
    /// Keys that are due.
    pub queue_depth: usize,
    /// Containers on this host that are not evenkeel's; `None`: the files do not ask (`policy.guard.unmanaged`).
    pub unmanaged: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineStatus {
    pub up: bool,
    pub version: String,
    pub api: String,
    /// Nothing it reports is real.
    pub simulated: bool,
    /// Why it is not up.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DesiredStatus {
    pub path: String,
    /// Digest of everything read.
    pub revision: String,
    pub loaded: Option<Timestamp>,
    pub services: usize,
    /// Files that do not load; their services are frozen.
    pub broken_files: Vec<String>,
    /// Headlines (`file:line:col: error[slug]: message`), errors first.
    pub problems: Vec<String>,
    /// The directory itself could not be read.
    pub trouble: Option<String>,
    /// Where it comes from. Filled in for repositories and for several sources side by side.
    pub sources: Vec<SourceStatus>,
}

/// One source of the desired state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    pub name: String,
    /// `directory` or `git`.
    pub kind: String,
    /// The directory, or the repository with branch and path.
    pub place: String,
    /// In force now.
    pub commit: Option<Commit>,
    /// Who signed it, when signatures are asked for.
    pub signer: Option<String>,
    /// How the last sync ended: applied, unchanged, unverified, failed.
    pub result: Option<String>,
    /// When it was last tried.
    pub tried: Option<Timestamp>,
    /// When it last went well.
    pub synced: Option<Timestamp>,
    /// Why the last sync did not go well. What was in force still is.
    pub trouble: Option<String>,
    /// How many tries have ended so in a row.
    pub failures: u32,
}

/// Removals that wait for consent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardStatus {
    /// What `evenkeel approve` takes.
    pub token: String,
    pub services: Vec<String>,
    pub reason: String,
}

/// `/v1/services/{project}/{service}`: everything there is to say about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReport {
    pub status: ServiceStatus,
    /// The last thing that happened to it, with its cause.
    pub last_change: Option<HistoryRow>,
    pub hold: Option<HoldRow>,
    /// The revision that waits for approval, or for its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<AwaitingRow>,
    /// Hooks that run, and those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRow>,
    /// Kept revisions, newest first.
    pub revisions: Vec<RevisionRow>,
    /// Calls whose answer never came: nobody else gets what these containers would hold.
    pub unsettled: Vec<String>,
    /// Why its file does not load, when it is frozen.
    pub problems: Vec<String>,
}

impl WhyReport {
    /// Puts together what is known; `history` is newest first.
    #[must_use]
    pub fn of(
        status: ServiceStatus,
        record: &Record,
        history: Vec<HistoryRow>,
        problems: Vec<String>,
    ) -> Self {
        let revisions = record
            .revisions
            .iter()
            .rev()
            .map(|kept| RevisionRow::of(kept, record.good.as_ref() == Some(&kept.id)))
            .collect();
        let unsettled = record
            .unsettled
            .iter()
            .map(|open| format!("{:?} of container {}", open.op, open.container.short()).to_lowercase())
            .collect();
        Self {
            status,
            last_change: history.into_iter().next(),
            hold: record.hold.as_ref().map(HoldRow::of),
            awaiting: AwaitingRow::of(record),
            hooks: record
                .hooks
                .iter()
                .filter(|run| run.end.is_none() || run.failed())
                .map(HookRow::of)
                .collect(),
            revisions,
            unsettled,
            problems,
        }
    }
}

/// One kept revision, without its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRow {
    pub number: u64,
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub digest: Option<String>,
    /// The one evenkeel goes back to.
    pub good: bool,
    pub verdict: RevisionVerdict,
    /// Why it came: `shop/web.toml:3 changed image`.
    pub cause: String,
    pub source: String,
    /// The commit that brought it.
    #[serde(default)]
    pub commit: Option<Commit>,
    pub since: Timestamp,
    pub good_since: Option<Timestamp>,
    /// Last lines of the failed container's log. Only given to the local socket: programs print secrets.
    pub evidence: Option<String>,
}

impl RevisionRow {
    #[must_use]
    pub fn of(kept: &KeptRevision, good: bool) -> Self {
        let source = &kept.spec.source;
        Self {
            number: kept.number,
            id: kept.id.short().to_owned(),
            image: kept.spec.container.image.clone(),
            image_id: kept.image.short().to_owned(),
            digest: kept.digest.clone(),
            good,
            verdict: kept.verdict.clone(),
            cause: kept.cause.clone(),
            source: format!("{}:{}", source.file, source.line),
            commit: source.commit.clone(),
            since: kept.since,
            good_since: kept.good_since,
            evidence: kept.evidence.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Short id of the revision it stays on; `None`: whatever is good.
    pub revision: Option<String>,
    /// A rollback by hand: ends when the desired state of the service changes.
    pub until_change: bool,
    pub expires: Option<Timestamp>,
    pub reason: String,
    pub since: Timestamp,
}

impl HoldRow {
    #[must_use]
    pub fn of(hold: &Hold) -> Self {
        Self {
            revision: hold.revision.as_ref().map(|id| id.short().to_owned()),
            until_change: hold.until_wish_changes.is_some(),
            expires: hold.expires,
            reason: hold.reason.clone(),
            since: hold.since,
        }
    }
}

/// What `evenkeel approve SERVICE --revision ID` would let be rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitingRow {
    pub revision: String,
    pub number: u64,
    pub image: String,
    /// What differs from what serves.
    pub cause: String,
    pub since: Timestamp,
    /// It is not approval that it waits for, but its window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub window: bool,
}

impl AwaitingRow {
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let waiting = record.awaiting.as_ref()?;
        let kept = record.revisions.iter().find(|kept| kept.id == waiting.revision)?;
        Some(Self {
            revision: kept.id.short().to_owned(),
            number: kept.number,
            image: kept.spec.container.image.clone(),
            cause: kept.cause.clone(),
            since: waiting.since,
            window: waiting.window,
        })
    }
}

/// One hook that runs or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRow {
    /// `pre_start 1`.
    pub hook: String,
    pub revision: String,
    /// Short id of the container it ran in; `None`: one of its own.
    pub container: Option<String>,
    pub began: Timestamp,
    /// `pre_start 1 ended with 1`.
    pub told: String,
    /// What it printed last. Only given to the local socket: programs print secrets.
    pub output: Option<String>,
}

impl HookRow {
    #[must_use]
    pub fn of(run: &HookRun) -> Self {
        Self {
            hook: run.key.to_string(),
            revision: run.key.revision.short().to_owned(),
            container: run.key.container.as_ref().map(|id| id.short().to_owned()),
            began: run.began,
            told: run.told(),
            output: run.output.clone(),
        }
    }
}

/// One line of history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    pub service: String,
    pub at: Timestamp,
    pub event: HistoryEvent,
    pub revision: Option<String>,
    pub number: Option<u64>,
    pub image: String,
    pub reason: String,
    /// The commit that brought the revision.
    #[serde(default)]
    pub commit: Option<Commit>,
}

impl HistoryRow {
    #[must_use]
    pub fn of(service: &ServiceId, entry: &HistoryEntry) -> Self {
        Self {
            service: service.to_string(),
            at: entry.at,
            event: entry.event,
            revision: entry.revision.as_ref().map(|id| id.short().to_owned()),
            number: entry.number,
            image: entry.image.clone(),
            reason: entry.reason.clone(),
            commit: entry.commit.clone(),
        }
    }
}
