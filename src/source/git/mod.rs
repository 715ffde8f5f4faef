//! A Git repository as a source: polled, fetched, checked, published when it changed.
//!
//! A commit is taken whole or not at all: what it needs on the disk is there before it is published. Whatever goes wrong, the commit that
//! was applied last stands, also across a restart without a network. A thread of its own does the work, because git is waited for.

mod checkout;
mod command;
mod context;
mod error;
mod follow;
mod log;
mod objects;
mod place;
mod read;
mod repository;
mod running;
mod settings;
mod submodules;
mod verify;
mod write;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

pub use checkout::{Checkout, Taken};
pub use context::{ContextFound, ContextSource};
pub use error::GitError;
pub use settings::{GitSettings, Login, Remote, Verify, folder, reference};
pub use write::{Change, Edit, Writing, Written, write};

use super::dir::Updates;
use super::dir_watch::Wake;
use crate::desired::snapshot::{Commit, Snapshot};
use crate::desired::tree::Pin;
use follow::Follower;

/// How a try to sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncResult {
    /// Another commit is in force.
    Applied,
    /// The branch is where it was.
    Unchanged,
    /// The commit is signed by nobody who counts.
    Unverified,
    Failed,
}

impl SyncResult {
    pub const ALL: [Self; 4] = [Self::Applied, Self::Unchanged, Self::Unverified, Self::Failed];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        }
    }
}

/// One try to sync, for status and metrics.
#[derive(Debug, Clone)]
pub struct Synced {
    pub source: String,
    pub result: SyncResult,
    pub took: Duration,
    /// In force after this try.
    pub commit: Option<Commit>,
    /// Who signed it, when that is asked for.
    pub signer: Option<String>,
    /// Why it was not applied.
    pub trouble: Option<GitError>,
    /// Milliseconds until the next try that nobody asks for.
    pub next_ms: u64,
}

/// Is told of every try.
pub type Tell = Arc<dyn Fn(&Synced) + Send + Sync>;
/// Says what a snapshot needs on the disk.
pub type Needs = Arc<dyn Fn(&Snapshot) -> BTreeSet<Pin> + Send + Sync>;

/// Stops following when dropped.
pub struct GitSource {
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
}

impl GitSource {
    /// Follows a repository; its copy is kept below `state`. The first update is the commit applied last, if there is one.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn watch(
        settings: GitSettings,
        state: &Path,
        needs: Needs,
        tell: Tell,
    ) -> io::Result<(Self, Updates)> {
        let (wake, stop) = (Arc::new(Wake::default()), Arc::new(AtomicBool::new(false)));
        let (sender, latest) = watch::channel(None);
        let checkout = Checkout::new(&settings, &std::path::absolute(state)?, &stop);
        let source = Self { wake: Arc::clone(&wake), stop };
        let name = format!("source {}", settings.name);
        let follower = Follower::new(settings, checkout, wake, sender, needs, tell);
        std::thread::Builder::new().name(name).spawn(move || follower.run())?;
        Ok((source, Updates::of(latest)))
    }

    /// Syncs at once.
    pub fn sync(&self) {
        self.wake.rescan();
    }

    /// For whoever outlives this value: a webhook.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let wake = Arc::clone(&self.wake);
        Arc::new(move || wake.rescan())
    }
}

impl Drop for GitSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake.stop();
    }
}

/// Removes copies of a source's files that nothing names any more. Returns how many.
#[must_use]
pub fn clear_copies(home: &Path, used: &BTreeSet<PathBuf>, now: SystemTime) -> usize {
    place::clear(&home.join("copies"), used, now)
}
