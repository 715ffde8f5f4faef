//! Where the desired state comes from, as the loop sees it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::desired::DesiredState;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::snapshot::Snapshot;
use crate::source::{DirSource, Update, Updates};

/// A source of snapshots.
#[async_trait]
pub trait Inbound: Send + 'static {
    /// The next word that has not been heard; `None` when the source has ended. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Update>;
    /// Read again, now.
    fn rescan(&self);
}

/// Makes a desired state of a snapshot. Never fails: what is wrong is in the diagnostics.
pub type Loader = Arc<dyn Fn(&Snapshot) -> (DesiredState, Vec<Diagnostic>) + Send + Sync>;

/// A directory that is followed.
#[derive(Debug)]
pub struct Followed {
    pub source: DirSource,
    pub updates: Updates,
}

#[async_trait]
impl Inbound for Followed {
    async fn next(&mut self) -> Option<Update> {
        self.updates.next().await
    }
    fn rescan(&self) {
        self.source.rescan();
    }
}
