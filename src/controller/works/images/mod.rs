//! Images that are followed: which tag of each runs, found out by asking its registry now and then.
//!
//! What is asked together is a repository, for everybody who follows it. A look lists the tags, asks what the candidates stand for, and lets
//! [`crate::state::images::choose`] choose; what it chose goes into the [`Book`] in one transaction with what it was chosen by. Whatever
//! goes wrong on the way, the old answer stands. A look that only waits for a tag to be old enough lists nothing.

mod alone;
mod clean;
mod followers;
mod look;
mod memory;
mod recording;
mod report;
mod round;
mod schedule;
mod telling;
mod timing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::{Book, Worker};
use crate::controller::host::Host;
use crate::controller::wish::Wish;
use crate::desired::work::answers::Asker;
use crate::images::registry::Registries;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};
use crate::metrics::images::{CheckAccepted, CheckOrder, ImageRow, ImagesReport};
use crate::state::time::Mono;
pub use alone::{Alone, Found, Whom};
use followers::{Followable, Follower, shown};
use memory::Memory;
pub use recording::Recorder;
use recording::Recording;
use round::Done;
use timing::Timing;

/// Repositories that are looked at a time; each registry has a pace of its own besides.
const LOOKS: usize = 4;
/// Between two tries to read what is remembered. Milliseconds.
const READ_AGAIN_MS: u64 = 5_000;
/// See the module.
pub struct Images {
    registries: Arc<dyn Registries>,
    book: Arc<Book>,
    inner: Mutex<Inner>,
    poked: Notify,
    turns: Semaphore,
    recorder: Option<Recorder>,
}

#[derive(Default)]
struct Inner {
    memory: Memory,
    groups: BTreeMap<Followable, Group>,
    unfit: BTreeMap<Asker, String>,
    /// The desired state that all this is of.
    state: Option<Arc<Wish>>,
    /// When to see what can be forgotten, and the desired state for which that was seen last.
    clean_at: Mono,
    cleaned: Option<Arc<Wish>>,
    /// Why what was chosen could not be written back.
    unwritten: BTreeMap<Asker, String>,
}

/// One repository with everybody who follows it.
struct Group {
    followers: Vec<Follower>,
    timing: Timing,
    looking: bool,
    looks: u64,
}

impl Images {
    #[must_use]
    pub fn new(registries: Arc<dyn Registries>, book: Arc<Book>) -> Self {
        Self {
            registries,
            book,
            inner: Mutex::default(),
            poked: Notify::new(),
            turns: Semaphore::new(LOOKS),
            recorder: None,
        }
    }

    /// Writes back what has proved itself, where the files ask for it.
    #[must_use]
    pub fn with_recorder(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remembered(&self, host: &Host) -> bool {
        loop {
            match Memory::read(&*host.records).await {
                Ok(memory) => {
                    self.inner().memory = memory;
                    return true;
                }
                Err(error) => tracing::error!(%error, "what was seen of images cannot be read; tried again"),
            }
            let at = host.clock.now().mono.after(READ_AGAIN_MS);
            tokio::select! {
                () = host.stopped() => return false,
                () = host.clock.sleep_until(at) => {}
            }
        }
    }
}

#[async_trait]
impl Worker for Images {
    fn kind(&self) -> &'static str {
        "images"
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let mut wishes = host.wishes();
        if !self.remembered(&host).await {
            return;
        }
        let mut looks: JoinSet<Done> = JoinSet::new();
        let mut recording = Recording::default();
        let mut uncounted = true;
        loop {
            self.take_over(&host);
            if std::mem::take(&mut uncounted) {
                // Also before the first look of this process: what was seen before is known.
                self.count(&host).await;
            }
            let mut next = self.begin(&host, &mut looks);
            if let Some(leaders) = self.follow_leaders(&host).await {
                next = Some(next.map_or(leaders, |next| next.min(leaders)));
            }
            if let Some(clean) = self.clean(&host).await {
                next = Some(next.map_or(clean, |next| next.min(clean)));
            }
            if let Some(record) = self.record(&host, &mut recording).await {
                next = Some(next.map_or(record, |next| next.min(record)));
            }
            let sleep = async {
                match next {
                    Some(at) => host.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = host.stopped() => return,
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    uncounted = true;
                }
                () = self.poked.notified() => {}
                Some(done) = looks.join_next() => {
                    match done {
                        Ok(done) => self.end(&host, done),
                        Err(error) => tracing::error!(%error, "a look at a registry ended with a mistake in evenkeel, please report it"),
                    }
                    self.count(&host).await;
                }
                Some(done) = recording.next() => self.recorded(&host, &mut recording, done).await,
                () = sleep => {}
            }
        }
    }

    async fn show(&self, host: &Arc<Host>, asked: &WorkQuery, _local: bool) -> Result<Value, ApiError> {
        let mut images = self.rows(host).await?;
        if let Some(name) = asked.get("name") {
            images.retain(|row| row.service == *name);
        }
        let told = serde_json::to_value(ImagesReport { images });
        told.map_err(|error| ApiError::new(ApiErrorKind::Internal, error.to_string()))
    }

    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        if verb != "check" {
            return Err(ApiError::new(
                ApiErrorKind::NotFound,
                format!("images know no `{verb}`; there is: check"),
            ));
        }
        let order: CheckOrder = serde_json::from_value(order)
            .map_err(|error| ApiError::new(ApiErrorKind::Invalid, format!("no order to check: {error}")))?;
        self.registries.forget();
        let now = host.clock.now().mono;
        let mut accepted = CheckAccepted::default();
        let mut inner = self.inner();
        for group in inner.groups.values_mut() {
            let meant = |follower: &&Follower| {
                order.services.is_empty() || order.services.contains(&shown(&follower.asker))
            };
            for follower in group.followers.iter().filter(meant) {
                let row = ImageRow {
                    service: shown(&follower.asker),
                    kind: followers::kind(&follower.asker).to_owned(),
                    ..ImageRow::default()
                };
                // One that is under way may have asked before whatever is to be found now.
                accepted.looks.insert(row.key(), group.looks + 1 + u64::from(group.looking));
                group.timing.at_once(now);
            }
        }
        drop(inner);
        self.poked.notify_one();
        serde_json::to_value(accepted)
            .map_err(|error| ApiError::new(ApiErrorKind::Internal, error.to_string()))
    }
}

impl Images {
    fn desired(&self) -> Option<Arc<Wish>> {
        self.inner().state.clone()
    }
}
