//! A source whose files say the same while what they name on the host has changed: a secret was set, a certificate was renewed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::inbound::Inbound;
use crate::desired::snapshot::Snapshot;
use crate::source::{Published, Update};

/// Would the same files come to something else by now? It blocks.
pub type Stale = Arc<dyn Fn() -> bool + Send + Sync>;

/// Says the last word of a source again when it means something else.
pub struct Refreshed {
    inner: Box<dyn Inbound>,
    stale: Stale,
    latest: Option<Published>,
    /// How often it was said again: part of the digest, because what is known already is not loaded.
    turn: u64,
    regular: Interval,
    asked: Arc<Notify>,
    looking: Option<JoinHandle<bool>>,
}

impl Refreshed {
    #[must_use]
    pub fn new(inner: Box<dyn Inbound>, stale: Stale, every: Duration) -> Self {
        let mut regular = interval(every);
        regular.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { inner, stale, latest: None, turn: 0, regular, asked: Arc::default(), looking: None }
    }

    fn look(&mut self) {
        if self.latest.is_some() {
            let stale = Arc::clone(&self.stale);
            self.looking = Some(tokio::task::spawn_blocking(move || stale()));
        }
    }

    fn looked(&mut self, stale: bool) -> Option<Update> {
        self.looking = None;
        let latest = self.latest.clone().filter(|_| stale)?;
        self.turn += 1;
        tracing::info!(
            "what the desired state names has changed: a secret, a file of this host, or an image"
        );
        Some(Ok(self.marked(latest)))
    }

    fn heard(&mut self, update: Update) -> Update {
        let Ok(published) = update else { return update };
        self.latest = Some(published.clone());
        Ok(self.marked(published))
    }

    fn marked(&self, published: Published) -> Published {
        if self.turn == 0 {
            return published;
        }
        let mut snapshot = Snapshot::clone(&published.snapshot);
        let turn = self.turn;
        snapshot.revision.digest.push_str(&format!("-{turn}"));
        Published { snapshot: Arc::new(snapshot), ..published }
    }
}

#[async_trait]
impl Inbound for Refreshed {
    async fn next(&mut self) -> Option<Update> {
        loop {
            let idle = self.looking.is_none();
            tokio::select! {
                biased;
                update = self.inner.next() => return update.map(|update| self.heard(update)),
                Some(stale) = OptionFuture::from(self.looking.as_mut()) => {
                    if let Some(update) = self.looked(stale.unwrap_or(false)) {
                        return Some(update);
                    }
                }
                () = self.asked.notified(), if idle => self.look(),
                _ = self.regular.tick(), if idle => self.look(),
            }
        }
    }

    fn rescan(&self) {
        self.asked.notify_one();
        self.inner.rescan();
    }
}
