//! The engine's disk: what nobody needs any more is removed by rule or by word, a service is removed with everything of it, and it is told
//! when room runs out.

mod prune;
mod remove;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use prune::{Failed, PruneReport, id, look, prune};
pub use remove::{
    Begun, RemovalPlan, RemovalReport, Removing, VolumeFate, begin, begun, named_volumes, plan, remove,
};

use super::{Book, Worker};
use crate::controller::host::Host;
use crate::desired::ident::ServiceId;
use crate::engine::disk::Disk;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};
use crate::state::prune::Rule;
use crate::state::time::Mono;

pub const KIND: &str = "disk";
/// How often the room is looked at. Milliseconds.
const SPACE_MS: u64 = 10_000;
/// The regular look for what may go by rule. Milliseconds.
const PRUNE_MS: u64 = 3_600_000;
/// The first one after the start: by then the host has been looked at, and what a restart brings has settled. Milliseconds.
const FIRST_PRUNE_MS: u64 = 300_000;

/// What the hands need: the engine's disk, and the answers, which name images in use.
#[derive(Clone)]
pub struct Ground {
    pub engine: Arc<dyn Disk>,
    pub book: Arc<Book>,
}

/// See the module.
pub struct DiskWorker {
    ground: Ground,
    inner: Mutex<Inner>,
    /// One thing is done to the disk at a time.
    turn: tokio::sync::Mutex<()>,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    asked: Option<PruneOrder>,
    pruning: bool,
    last: Option<PruneReport>,
    removals: BTreeMap<ServiceId, RemovalState>,
}

/// How far a removal is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalState {
    Running,
    Done(RemovalReport),
    /// Nothing more is tried until somebody asks again.
    Failed(String),
}

/// Body of `prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PruneOrder {
    pub rule: Rule,
    /// Only what was shown before: ids of images and containers.
    pub only: BTreeSet<String>,
}

/// What `show` says of pruning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneStatus {
    pub running: bool,
    pub last: Option<PruneReport>,
}

impl DiskWorker {
    #[must_use]
    pub fn new(ground: Ground) -> Arc<Self> {
        Arc::new(Self {
            ground,
            inner: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prune(&self, host: &Host, rule: Rule, only: Option<&BTreeSet<String>>) {
        let _turn = self.turn.lock().await;
        let report = prune(host, &self.ground, rule, only).await;
        match &report {
            Ok(report) if !report.goes.is_empty() => {
                tracing::info!(removed = report.goes.len(), failed = report.failed.len(), "pruned");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error, "what may go could not be found out, so nothing was pruned"),
        }
        let mut inner = self.lock();
        inner.pruning = false;
        inner.last = Some(report.unwrap_or_else(|error| PruneReport::failed(rule, host, error)));
    }

    /// Goes on with removals that were begun, by this process or an earlier one.
    async fn go_on(&self, host: &Host) {
        let _turn = self.turn.lock().await;
        let begun = match remove::begun(host).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(error, "removals that were begun cannot be read");
                return;
            }
        };
        for (id, removing) in begun {
            self.lock().removals.insert(id.clone(), RemovalState::Running);
            let ended = tokio::select! {
                ended = remove(host, &self.ground, &id, removing) => ended,
                // Begun is written down, so the next process goes on.
                () = host.stopped() => return,
            };
            let state = match ended {
                Ok(report) => {
                    tracing::info!(service = %id, "removed with all that was asked for");
                    RemovalState::Done(report)
                }
                Err(error) => {
                    tracing::warn!(service = %id, error, "the removal could not be ended");
                    RemovalState::Failed(error)
                }
            };
            self.lock().removals.insert(id, state);
        }
    }

    /// Tells of the room, and returns whether it has just run out.
    fn note_room(&self, host: &Host, pressed: &mut bool) -> bool {
        let Some(space) = (host.disk_free)() else { return false };
        let lacks = host.limits.disk_pressure.lacks(space);
        host.metrics.disk_space(space, lacks.is_some());
        let begins = lacks.is_some() && !*pressed;
        if let (true, Some(text)) = (begins, host.disk_pressure()) {
            tracing::warn!("{text}");
        } else if lacks.is_none() && *pressed {
            tracing::info!("there is room on the disk again");
        }
        *pressed = lacks.is_some();
        begins
    }
}

fn rule(host: &Host) -> Option<Rule> {
    host.wish().and_then(|wish| wish.state.guard.images).map(Rule::from)
}

fn read<T: DeserializeOwned>(order: Value) -> Result<T, ApiError> {
    serde_json::from_value(order)
        .map_err(|error| ApiError::new(ApiErrorKind::Invalid, format!("not an order: {error}")))
}

fn answer<T: Serialize>(value: &T) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::new(ApiErrorKind::Internal, error.to_string()))
}

fn unavailable(error: String) -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, error)
}

fn service(asked: &str) -> Result<ServiceId, ApiError> {
    ServiceId::parse(asked).ok_or_else(|| {
        ApiError::new(ApiErrorKind::Invalid, format!("`{asked}` is no service: PROJECT/SERVICE"))
    })
}

#[async_trait]
impl Worker for DiskWorker {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let now = || host.clock.now().mono;
        let mut prune_at = now().after(FIRST_PRUNE_MS);
        let mut pressed = false;
        loop {
            if host.board.looked() {
                self.go_on(&host).await;
                let asked = self.lock().asked.take();
                if let Some(PruneOrder { rule, only }) = asked {
                    self.prune(&host, rule, Some(&only)).await;
                }
            }
            let begins = self.note_room(&host, &mut pressed);
            let due = now() >= prune_at;
            if (begins || due) && host.board.looked() {
                if let Some(rule) = rule(&host) {
                    self.prune(&host, rule, None).await;
                }
                prune_at = now().after(PRUNE_MS);
            } else if begins {
                // As soon as the host has been looked at.
                prune_at = now();
            }
            let next: Mono = now().after(SPACE_MS);
            tokio::select! {
                () = host.clock.sleep_until(next) => {}
                () = self.wake.notified() => {}
                () = host.stopped() => return,
            }
        }
    }

    async fn show(&self, host: &Arc<Host>, asked: &WorkQuery, _local: bool) -> Result<Value, ApiError> {
        let word = |key: &str| asked.get(key).map(String::as_str);
        let number = |key: &str| word(key).and_then(|text| text.parse::<u64>().ok());
        match word("what") {
            Some("preview") => {
                let said = rule(host).unwrap_or_default();
                let rule = Rule {
                    keep: number("keep").and_then(|keep| u32::try_from(keep).ok()).unwrap_or(said.keep),
                    older_than_ms: number("older_than_ms").unwrap_or(said.older_than_ms),
                };
                let pruning = look(host, &self.ground, rule).await.map_err(unavailable)?;
                answer(&PruneReport::of(rule, host, pruning.goes))
            }
            Some("removal") => {
                let id = service(word("service").unwrap_or_default())?;
                answer(&self.lock().removals.get(&id))
            }
            Some("rm") => {
                let id = service(word("service").unwrap_or_default())?;
                let yes = |key: &str| word(key) == Some("true");
                let removing = Removing { volumes: yes("volumes"), images: yes("images") };
                answer(&plan(host, &self.ground, &id, removing).await.map_err(unavailable)?)
            }
            _ => {
                let inner = self.lock();
                answer(&PruneStatus { running: inner.pruning, last: inner.last.clone() })
            }
        }
    }

    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        match verb {
            "prune" => {
                let order: PruneOrder = read(order)?;
                let mut inner = self.lock();
                if std::mem::replace(&mut inner.pruning, true) {
                    return Err(ApiError::new(ApiErrorKind::Conflict, "it is being pruned already"));
                }
                inner.asked = Some(order);
                drop(inner);
                self.wake.notify_one();
                Ok(json!({}))
            }
            "rm" => {
                let shown: RemovalPlan = read(order)?;
                let id = service(&shown.service)?;
                begin(host, &shown).await.map_err(|why| ApiError::new(ApiErrorKind::Conflict, why))?;
                self.lock().removals.insert(id, RemovalState::Running);
                self.wake.notify_one();
                Ok(json!({}))
            }
            _ => Err(ApiError::new(ApiErrorKind::NotFound, format!("the disk knows no `{verb}`"))),
        }
    }
}
