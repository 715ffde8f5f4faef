//! The thread that follows one repository.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::checkout::{Checkout, Taken};
use super::error::GitError;
use super::settings::GitSettings;
use super::{Needs, SyncResult, Synced, Tell};
use crate::desired::snapshot::{Commit, Snapshot};
use crate::source::dir::{Published, Update};
use crate::source::dir_watch::Wake;
use crate::source::read::SourceError;

/// The first wait after a failure; doubled each time. Milliseconds.
const BACKOFF_MS: u64 = 5_000;
/// The longest wait after failures, unless polls are further apart. Milliseconds.
const BACKOFF_MOST_MS: u64 = 300_000;
/// Between two syncs that others ask for. Milliseconds.
const SHORTEST_MS: u64 = 1_000;

pub(super) struct Follower {
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
    pub(super) fn new(
        settings: GitSettings,
        checkout: Checkout,
        wake: Arc<Wake>,
        sender: watch::Sender<Option<Update>>,
        needs: Needs,
        tell: Tell,
    ) -> Self {
        Self {
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
        }
    }

    pub(super) fn run(mut self) {
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
