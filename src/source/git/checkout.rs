//! One repository on this host: fetched, checked, read, put in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::GitError;
use super::read::{self, Before, Places};
use super::repository::{self, Repository};
use super::settings::GitSettings;
use super::{place, verify};
use crate::desired::snapshot::Snapshot;
use crate::desired::tree::Pin;

/// A repository on this host, and what of it is known.
pub struct Checkout {
    settings: GitSettings,
    pub(super) repository: Repository,
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

    pub(super) fn fetch_tip(&mut self, tip: &repository::Tip) -> Result<Taken, GitError> {
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
