//! A Git repository as a source: polled, fetched, checked, published when it changed.
//!
//! A commit is taken whole or not at all: what it needs on the disk is there before it is published. Whatever goes wrong, the commit that
//! was applied last stands, also across a restart without a network. A thread of its own does the work, because git is waited for.

mod command;
mod error;
mod place;
mod read;
mod repository;
mod settings;
mod verify;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

pub use error::GitError;
pub use settings::{GitSettings, Login, Remote, Verify, folder, reference};

use super::dir::{Published, Update, Updates};
use super::dir_watch::Wake;
use super::read::SourceError;
use crate::desired::snapshot::{Commit, Snapshot};
use crate::desired::tree::Pin;
use read::{Before, Places};
use repository::Repository;

/// The first wait after a failure; doubled each time. Milliseconds.
const BACKOFF_MS: u64 = 5_000;
/// The longest wait after failures, unless polls are further apart. Milliseconds.
const BACKOFF_MOST_MS: u64 = 300_000;
/// Between two syncs that others ask for. Milliseconds.
const SHORTEST_MS: u64 = 1_000;

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
        let follower = Follower {
            settings,
            checkout,
            wake,
            sender,
            needs,
            tell,
            failures: 0,
            told: None,
            signer: None,
            published: None,
        };
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

/// A repository on this host, and what of it is known.
pub struct Checkout {
    settings: GitSettings,
    repository: Repository,
    places: Places,
    before: Before,
}

/// A commit, ready to be used.
pub struct Taken {
    pub snapshot: Arc<Snapshot>,
    pub signer: Option<String>,
}

impl Checkout {
    /// Its copy is kept in `<state>/git/<name>`.
    #[must_use]
    pub fn new(settings: &GitSettings, state: &Path, stop: &Arc<AtomicBool>) -> Self {
        Self::at(settings, &settings.home(state), state, stop)
    }

    /// The same with the copy elsewhere; services still mount from below `state`. For looking without writing there.
    #[must_use]
    pub fn at(settings: &GitSettings, copy: &Path, state: &Path, stop: &Arc<AtomicBool>) -> Self {
        let home = settings.home(state);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let places = Places { live: text(home.join("tree")), copies: text(home.join("copies")) };
        let repository = Repository::new(settings, copy, stop);
        Self { settings: settings.clone(), repository, places, before: Before::default() }
    }

    /// The commit applied last, with no word to the network. `None`: there is none that counts.
    ///
    /// # Errors
    /// It is not verified, or the copy is damaged.
    pub fn last(&mut self) -> Result<Option<Taken>, GitError> {
        let Some(commit) = self.repository.applied() else { return Ok(None) };
        self.take(&commit).map(Some)
    }

    /// Asks what commit the branch is at. Fetches nothing, writes nothing.
    ///
    /// # Errors
    /// The repository cannot be asked.
    pub fn tip(&self) -> Result<String, GitError> {
        self.repository.look().map(|tip| tip.commit)
    }

    /// Fetches what the branch is at now.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub fn fetch(&mut self) -> Result<Taken, GitError> {
        self.repository.prepare()?;
        let tip = self.repository.look()?;
        self.fetch_tip(&tip)
    }

    fn fetch_tip(&mut self, tip: &repository::Tip) -> Result<Taken, GitError> {
        let commit = self.repository.fetch(tip)?;
        match self.take(&commit) {
            Err(GitError::Damaged { why, .. }) => {
                tracing::warn!(
                    source = self.settings.name,
                    why,
                    "the copy of the repository is damaged; it is made anew"
                );
                self.before = Before::default();
                let commit = self.repository.rebuild(tip)?;
                self.take(&commit)
            }
            other => other,
        }
    }

    /// Checks and reads a commit that is here.
    fn take(&mut self, commit: &str) -> Result<Taken, GitError> {
        let signer = verify::verify(&self.repository, &self.settings.verify, commit)?;
        let read = read::read(&self.repository, &self.settings, &self.places, commit, &self.before);
        let (snapshot, before) = read?;
        self.before = before;
        Ok(Taken { snapshot, signer })
    }

    /// Puts on the disk what a snapshot needs there, and remembers its commit as the one in force.
    ///
    /// # Errors
    /// The disk refuses, or a file is too large.
    pub fn apply(&self, snapshot: &Snapshot, pins: &BTreeSet<Pin>) -> Result<(), GitError> {
        if let Some(tree) = &snapshot.tree {
            place::place(&self.repository, Path::new(&self.places.live), tree, pins)?;
        }
        match &snapshot.revision.commit {
            Some(commit) => self.repository.set_applied(&commit.id),
            None => Ok(()),
        }
    }
}

/// Removes copies of a source's files that nothing names any more. Returns how many.
#[must_use]
pub fn clear_copies(home: &Path, used: &BTreeSet<PathBuf>, now: SystemTime) -> usize {
    place::clear(&home.join("copies"), used, now)
}

struct Follower {
    settings: GitSettings,
    checkout: Checkout,
    wake: Arc<Wake>,
    sender: watch::Sender<Option<Update>>,
    needs: Needs,
    tell: Tell,
    failures: u32,
    /// The trouble that was logged last: the same one is not logged at every poll.
    told: Option<GitError>,
    signer: Option<String>,
    published: Option<Arc<Snapshot>>,
}

impl Follower {
    fn run(mut self) {
        self.begin();
        while !self.sender.is_closed() {
            let start = Instant::now();
            let synced = self.sync();
            if matches!(synced, Err(GitError::Stopped)) {
                return;
            }
            let next = self.report(synced, start.elapsed());
            if self.wait(next) {
                return;
            }
        }
    }

    /// What was applied last is good enough to go on with, whatever the network says.
    fn begin(&mut self) {
        match self.checkout.last() {
            Ok(Some(taken)) => {
                if let Err(error) = self.publish(taken) {
                    tracing::warn!(source = self.settings.name, %error, "the commit applied last cannot be used");
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(source = self.settings.name, %error, "the commit applied last cannot be used");
            }
        }
    }

    /// Returns whether it is to end. Those who ask for a sync do not get more than one a second between them.
    fn wait(&self, next_ms: u64) -> bool {
        let ended = Instant::now();
        if self.wake.wait(Duration::from_millis(next_ms)).stop {
            return true;
        }
        let pause = Duration::from_millis(SHORTEST_MS.min(next_ms));
        while let Some(left) = pause.checked_sub(ended.elapsed()).filter(|left| !left.is_zero()) {
            // Woken meanwhile: the sync that follows is as good for that, too.
            if self.wake.wait(left).stop {
                return true;
            }
        }
        false
    }

    fn sync(&mut self) -> Result<SyncResult, GitError> {
        self.checkout.repository.prepare()?;
        let tip = self.checkout.repository.look()?;
        if self.in_force().is_some_and(|commit| commit.id == tip.commit) {
            return Ok(SyncResult::Unchanged);
        }
        let before = self.in_force().cloned();
        let taken = self.checkout.fetch_tip(&tip)?;
        self.publish(taken)?;
        if let (Some(before), Some(now)) = (before, self.in_force())
            && !self.checkout.repository.follows(&before.id, &now.id)
        {
            tracing::warn!(
                source = self.settings.name,
                before = before.short(),
                now = now.short(),
                "the history of the branch was rewritten; what it says now is taken, as any other commit"
            );
        }
        self.checkout.repository.tidy();
        Ok(SyncResult::Applied)
    }

    fn in_force(&self) -> Option<&Commit> {
        self.published.as_ref().and_then(|snapshot| snapshot.revision.commit.as_ref())
    }

    fn publish(&mut self, taken: Taken) -> Result<(), GitError> {
        let Taken { snapshot, signer } = taken;
        let pins = (self.needs)(&snapshot);
        self.checkout.apply(&snapshot, &pins)?;
        if let Some(commit) = &snapshot.revision.commit {
            tracing::info!(source = self.settings.name, "commit {commit}");
        }
        self.signer = signer;
        self.published = Some(Arc::clone(&snapshot));
        // A commit cannot be half written, so what it says may be acted on at once.
        self.sender.send_replace(Some(Ok(Published { snapshot, quiet_ms: u64::MAX })));
        Ok(())
    }

    /// Tells how it went, and returns the milliseconds until the next try.
    fn report(&mut self, synced: Result<SyncResult, GitError>, took: Duration) -> u64 {
        let (result, trouble) = match synced {
            Ok(result) => (result, None),
            Err(error @ GitError::Unverified { .. }) => (SyncResult::Unverified, Some(error)),
            Err(error) => (SyncResult::Failed, Some(error)),
        };
        let next_ms = self.next(result == SyncResult::Failed);
        if let Some(error) = &trouble {
            self.complain(error);
            if self.published.is_none() {
                let error =
                    SourceError::Repository { name: self.settings.name.clone(), error: error.clone() };
                self.sender.send_replace(Some(Err(error)));
            }
        } else if self.told.take().is_some() {
            tracing::info!(source = self.settings.name, "the repository can be synced again");
        }
        (self.tell)(&Synced {
            source: self.settings.name.clone(),
            result,
            took,
            commit: self.in_force().cloned(),
            signer: self.signer.clone(),
            trouble,
            next_ms,
        });
        next_ms
    }

    fn complain(&mut self, error: &GitError) {
        if self.told.as_ref() == Some(error) {
            return;
        }
        let stands = self.in_force().map_or_else(
            || "nothing of it was applied yet; what runs is left as it is".to_owned(),
            |commit| format!("commit {} stands", commit.short()),
        );
        tracing::error!(source = self.settings.name, %error, "the repository cannot be synced; {stands}");
        self.told = Some(error.clone());
    }

    /// Polls are spread by a tenth, so that a hundred hosts do not ask at once.
    fn next(&mut self, failed: bool) -> u64 {
        let poll = self.settings.poll_ms;
        let plain = if failed {
            let doubled = BACKOFF_MS.saturating_mul(1 << self.failures.min(10));
            self.failures = self.failures.saturating_add(1);
            doubled.min(BACKOFF_MOST_MS.max(poll))
        } else {
            self.failures = 0;
            poll
        };
        let spread = plain / 10;
        if spread == 0 { plain } else { plain - spread / 2 + fastrand::u64(0..spread) }
    }
}
