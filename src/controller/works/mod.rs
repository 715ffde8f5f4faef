//! Work beside services: images that are followed, builds, jobs, artifacts. Each kind is a [`Worker`] with a loop of its own beside the
//! daemon's, which hears of every new desired state and of operators' words. What a worker finds out about images goes into the
//! [`Book`], which wakes the daemon; nothing of a service is decided here.

pub mod artifacts;
mod book;
pub mod builds;
pub mod disk;
pub mod images;
pub mod jobs;
pub mod messages;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use book::Book;

use super::host::Host;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};

/// One kind of work.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// `images`, `builds`, `jobs`, `artifacts`: as in `/v1/work/KIND`.
    fn kind(&self) -> &'static str;
    /// Works until [`Host::stopped`], and ends soon after: what changes something is brought to its end, what only waits is left. What
    /// was begun and not ended is found again by the next process.
    async fn run(self: Arc<Self>, host: Arc<Host>);
    /// For people. `local`: whoever asks may also read what programs printed.
    async fn show(&self, host: &Arc<Host>, asked: &WorkQuery, local: bool) -> Result<Value, ApiError>;
    /// An operator's word. Returns as soon as it is taken, durably where it matters.
    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError>;
}

/// The worker of a kind.
///
/// # Errors
/// There is none.
pub fn worker<'h>(host: &'h Host, kind: &str) -> Result<&'h Arc<dyn Worker>, ApiError> {
    host.workers().iter().find(|worker| worker.kind() == kind).ok_or_else(|| {
        let kinds: Vec<&str> = host.workers().iter().map(|worker| worker.kind()).collect();
        let text = format!("there is no work of the kind `{kind}`; there is: {}", kinds.join(", "));
        ApiError::new(ApiErrorKind::NotFound, text)
    })
}
