//! The local copy of a repository: bare, ours alone, and replaceable. What was applied last is in it, so that a host that starts
//! without a network has something to go by.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{Bounds, Git};
use super::error::GitError;
use super::settings::{GitSettings, Remote};

/// What was fetched last.
const INCOMING: &str = "refs/evenkeel/incoming";
/// What is in force: keeps its objects from being cleared away.
const APPLIED: &str = "refs/evenkeel/applied";
/// For calls that only read what is here.
const LOCAL: Duration = Duration::from_secs(120);
/// Lists of names and the like. Bytes.
const LIST: u64 = 64 << 20;

/// What the repository's own copy of a branch says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tip {
    /// `refs/heads/main`.
    pub reference: String,
    /// The commit.
    pub commit: String,
}

/// Written beside the copy: a commit counts only for the settings it was applied under.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Applied {
    url: String,
    branch: Option<String>,
    path: String,
    commit: String,
}

#[derive(Debug)]
pub(super) struct Repository {
    settings: GitSettings,
    home: PathBuf,
    git: Git,
}

impl Repository {
    pub(super) fn new(settings: &GitSettings, home: &Path, stop: &Arc<AtomicBool>) -> Self {
        let git = Git::new(&settings.remote, stop);
        Self { settings: settings.clone(), home: home.to_owned(), git }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    fn bare(&self) -> PathBuf {
        self.home.join("repository.git")
    }

    pub(super) fn git(&self) -> Git {
        self.git.clone().within(&self.bare())
    }

    pub(super) fn local(&self) -> Bounds {
        Bounds { time: LOCAL, answer: LIST, growth: None }
    }

    fn remote(&self) -> Bounds {
        Bounds { time: Duration::from_millis(self.settings.timeout_ms), answer: LIST, growth: None }
    }

    /// Makes the folder, clears away what a killed git left, and makes the copy if there is none.
    ///
    /// # Errors
    /// The disk refuses, or git is not there.
    pub(super) fn prepare(&self) -> Result<(), GitError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.home);
        made.map_err(|error| GitError::disk("make", &self.home, &error))?;
        let unfinished = self.home.join("repository.new");
        if unfinished.exists() {
            remove(&unfinished)?;
        }
        let bare = self.bare();
        if bare.join("HEAD").is_file() {
            clear_locks(&bare);
            clear_unfinished(&bare.join("objects/pack"));
            return Ok(());
        }
        if bare.exists() {
            remove(&bare)?;
        }
        self.init(&bare)
    }

    fn init(&self, at: &Path) -> Result<(), GitError> {
        let path = at.to_string_lossy().into_owned();
        let arguments = ["init", "--quiet", "--bare", "--template=", "--initial-branch=none", "--", &path];
        self.git.ask("init", &arguments, &self.local()).map(drop)
    }

    /// Asks what the branch is at now. Fetches nothing.
    ///
    /// # Errors
    /// The repository cannot be asked, or has no such branch or tag.
    pub(super) fn look(&self) -> Result<Tip, GitError> {
        let wanted: Vec<String> = match &self.settings.branch {
            None => vec!["HEAD".to_owned()],
            Some(name) if name.starts_with("refs/") => vec![format!("{name}^{{}}"), name.clone()],
            Some(name) => vec![
                format!("refs/heads/{name}"),
                format!("refs/tags/{name}^{{}}"),
                format!("refs/tags/{name}"),
            ],
        };
        let mut arguments = vec!["ls-remote", "--quiet", "--", self.settings.remote.url()];
        arguments.extend(wanted.iter().map(String::as_str));
        let answer = self.git.ask("ls-remote", &arguments, &self.remote())?;
        let answer = String::from_utf8_lossy(&answer);
        let found: Vec<(&str, &str)> = answer.lines().filter_map(|line| line.split_once('\t')).collect();
        let tip = wanted.iter().find_map(|name| {
            let (commit, _) = found.iter().find(|(commit, found)| found == name && is_oid(commit))?;
            let reference = name.trim_end_matches("^{}").to_owned();
            Some(Tip { reference, commit: (*commit).to_owned() })
        });
        tip.ok_or_else(|| GitError::NoBranch(self.settings.branch_for_people()))
    }

    /// The branch that the repository names, without asking for what it is at.
    ///
    /// # Errors
    /// The repository cannot be asked.
    pub(super) fn head(&self) -> Result<Option<String>, GitError> {
        let arguments = ["ls-remote", "--quiet", "--symref", "--", self.settings.remote.url(), "HEAD"];
        let answer = self.git.ask("ls-remote", &arguments, &self.remote())?;
        let answer = String::from_utf8_lossy(&answer);
        let named =
            answer.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        Ok(named.map(str::to_owned))
    }

    /// The names of all tags.
    ///
    /// # Errors
    /// The repository cannot be asked.
    pub(super) fn remote_tags(&self) -> Result<Vec<String>, GitError> {
        let arguments = ["ls-remote", "--quiet", "--tags", "--refs", "--", self.settings.remote.url()];
        let answer = self.git.ask("ls-remote", &arguments, &self.remote())?;
        let answer = String::from_utf8_lossy(&answer);
        let tag = |line: &str| Some(line.split_once('\t')?.1.strip_prefix("refs/tags/")?.to_owned());
        Ok(answer.lines().filter_map(tag).collect())
    }

    /// Brings the branch here and returns its commit. A copy that turns out to be damaged is made anew beside the old one.
    ///
    /// # Errors
    /// It cannot be fetched, or is too large, or the disk is full.
    pub(super) fn fetch(&self, tip: &Tip) -> Result<String, GitError> {
        if self.has(&tip.commit) {
            return Ok(tip.commit.clone());
        }
        match self.fetch_into(&self.bare(), tip) {
            Err(error @ GitError::Failed { .. }) if !self.is_sound() => {
                tracing::warn!(source = self.settings.name, %error, "the copy of the repository is damaged; it is made anew");
                self.rebuild(tip)
            }
            other => other,
        }
    }

    /// One fetch, of which nothing unfinished is left.
    fn fetch_from(&self, git: Git, remote: &Remote, bare: &Path, wanted: &str) -> Result<(), GitError> {
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--force",
            "--",
            remote.url(),
            wanted,
        ];
        let growth = Some((bare.join("objects"), self.settings.max_size));
        let fetched = git.within(bare).ask("fetch", &arguments, &Bounds { growth, ..self.remote() });
        if fetched.is_err() {
            clear_locks(bare);
            clear_unfinished(&bare.join("objects/pack"));
        }
        fetched.map(drop)
    }

    fn fetch_into(&self, bare: &Path, tip: &Tip) -> Result<String, GitError> {
        let wanted = format!("+{}:{INCOMING}", tip.reference);
        self.fetch_from(self.git.clone(), &self.settings.remote, bare, &wanted)?;
        let git = self.git.clone().within(bare);
        let commit = format!("{INCOMING}^{{commit}}");
        let answer = git.ask("rev-parse", &["rev-parse", "--verify", "--quiet", &commit], &self.local())?;
        let commit = String::from_utf8_lossy(&answer).trim().to_owned();
        if is_oid(&commit) { Ok(commit) } else { Err(self.damaged("it has no commit where it was put")) }
    }

    /// Brings one commit of another repository here: a submodule. What is here already is not asked for.
    ///
    /// # Errors
    /// It cannot be fetched, or is too large, or the disk is full.
    pub(super) fn fetch_commit(&self, remote: &Remote, commit: &str) -> Result<(), GitError> {
        if self.has(commit) {
            return Ok(());
        }
        let bare = self.bare();
        let git = Git::new(remote, &self.git.stop());
        let fetch = |wanted: &str| self.fetch_from(git.clone(), remote, &bare, wanted);
        // A server may give away only what a branch leads to; then all branches are asked for.
        let alone = fetch(&format!("+{commit}:refs/evenkeel/submodule/{commit}"));
        let done = match alone {
            Err(GitError::Failed { .. }) => fetch("+refs/heads/*:refs/evenkeel/submodules/*"),
            other => other,
        };
        done?;
        if !self.has(commit) {
            let why = format!("{} has no commit {commit} on any branch", remote.shown());
            return Err(GitError::Refused(format!("a submodule cannot be fetched: {why}")));
        }
        let keep = format!("refs/evenkeel/submodule/{commit}");
        self.git().ask("update-ref", &["update-ref", &keep, commit], &self.local()).map(drop)
    }

    /// Makes the copy anew, beside the old one, which stays until the new one is whole.
    ///
    /// # Errors
    /// It cannot be fetched, or the disk refuses.
    pub(super) fn rebuild(&self, tip: &Tip) -> Result<String, GitError> {
        let (bare, new) = (self.bare(), self.home.join("repository.new"));
        if new.exists() {
            remove(&new)?;
        }
        self.init(&new)?;
        let commit = self.fetch_into(&new, tip)?;
        if bare.exists() {
            remove(&bare)?;
        }
        fs::rename(&new, &bare).map_err(|error| GitError::disk("rename", &new, &error))?;
        Ok(commit)
    }

    fn has(&self, commit: &str) -> bool {
        let kind = format!("{commit}^{{commit}}");
        self.git().ask("cat-file", &["cat-file", "-e", &kind], &self.local()).is_ok()
    }

    fn is_sound(&self) -> bool {
        let arguments = ["fsck", "--connectivity-only", "--no-dangling", "--no-progress"];
        self.git().ask("fsck", &arguments, &self.local()).is_ok()
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> GitError {
        GitError::Damaged { path: self.bare(), why: why.into() }
    }

    /// What was applied under these settings, if it is still here.
    pub(super) fn applied(&self) -> Option<String> {
        let text = fs::read(self.home.join("applied.json")).ok()?;
        let applied: Applied = serde_json::from_slice(&text).ok()?;
        let same = applied == self.as_applied(&applied.commit);
        Some(applied.commit).filter(|commit| same && is_oid(commit) && self.has(commit))
    }

    fn as_applied(&self, commit: &str) -> Applied {
        Applied {
            url: self.settings.remote.url().to_owned(),
            branch: self.settings.branch.clone(),
            path: self.settings.path.clone(),
            commit: commit.to_owned(),
        }
    }

    /// Remembers what is in force.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn set_applied(&self, commit: &str) -> Result<(), GitError> {
        self.git().ask("update-ref", &["update-ref", APPLIED, commit], &self.local())?;
        let path = self.home.join("applied.json");
        let text = serde_json::to_vec(&self.as_applied(commit)).unwrap_or_default();
        replace(&path, &text, 0o600).map_err(|error| GitError::disk("write", &path, &error))
    }

    /// Whether the newer one stands on the older one: a history that was rewritten does not.
    pub(super) fn follows(&self, older: &str, newer: &str) -> bool {
        let arguments = ["merge-base", "--is-ancestor", older, newer];
        self.git().ask("merge-base", &arguments, &self.local()).is_ok()
    }

    /// Packs together what many fetches brought, when it is time.
    pub(super) fn tidy(&self) {
        let git =
            self.git().with_config("gc.autoDetach=false".to_owned()).with_config("gc.auto=6700".to_owned());
        if let Err(error) = git.ask("gc", &["gc", "--auto", "--quiet"], &self.local()) {
            tracing::debug!(source = self.settings.name, %error, "the copy of the repository was not packed");
        }
    }
}

pub(super) fn is_oid(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn remove(path: &Path) -> Result<(), GitError> {
    fs::remove_dir_all(path).map_err(|error| GitError::disk("remove", path, &error))
}

/// Locks of a git that was killed would keep every later one out; nobody else works here.
fn clear_locks(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && !path.ends_with("objects") {
            clear_locks(&path);
        } else if path.extension().is_some_and(|end| end == "lock") {
            let _gone = fs::remove_file(&path);
        }
    }
}

/// Halves of packs.
fn clear_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_") {
            let _gone = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file so that it is there whole or not at all, also after a power failure.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = path.with_file_name(format!(".{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        let _gone = fs::remove_file(&new);
        return Err(error);
    }
    Ok(())
}
