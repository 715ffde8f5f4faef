//! Commits made here and pushed: what a host writes back into its repository.
//!
//! Nothing is checked out. A commit is made of Git's own objects in a copy of its own, beside the one that is followed, and pushed
//! without force: who was faster wins, and the change is made anew on what they left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::command::{Bounds, Git};
use super::error::GitError;
use super::repository::{Repository, Tip, is_oid};
use super::settings::{GitSettings, Verify};

/// Times a change is made anew because others pushed meanwhile.
const TRIES: u32 = 6;
/// Most that is read of a file that is changed. Bytes.
const FILE: u64 = 4 << 20;

/// Makes another text of a file. `Ok(None)`: it is not this file that is to be changed.
pub type Edit = Arc<dyn Fn(&str) -> Result<Option<String>, String> + Send + Sync>;

/// One change, which becomes one commit.
#[derive(Clone)]
pub struct Change {
    /// Files below the folder that is the desired state; the first that [`Self::edit`] takes is changed.
    pub files: Vec<String>,
    pub edit: Edit,
    pub message: String,
}

/// Who writes, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    /// `None`: the branch that is followed.
    pub branch: Option<String>,
    pub name: String,
    pub email: String,
}

/// What came of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    Pushed,
    /// The repository says so already.
    Unchanged,
    /// It cannot be made, and will not be tomorrow.
    Impossible(String),
}

/// Makes the changes and pushes them. One of them cannot keep the others back. Blocks.
///
/// # Errors
/// Nothing was pushed.
pub fn write(
    settings: &GitSettings,
    state: &Path,
    writing: &Writing,
    changes: &[Change],
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Written>, GitError> {
    let home = settings.home(state).join("write");
    let repository = Repository::new(settings, &home, stop);
    repository.prepare()?;
    let mut before: Option<Tip> = None;
    let mut last = None;
    for attempt in 0..TRIES {
        let (base, target) = base(settings, &home, writing, &repository, stop)?;
        if let (Some(error), true) = (last.take(), before.as_ref() == Some(&base)) {
            // Nobody was faster: the repository does not want it.
            return Err(error);
        }
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..200 << attempt)));
        }
        let (head, written) = commits(&repository, settings, writing, &base.commit, changes)?;
        if head == base.commit {
            return Ok(written);
        }
        let refspec = format!("{head}:{target}");
        let arguments = ["push", "--quiet", "--no-verify", "--", settings.remote.url(), &refspec];
        let bounds = Bounds { time: Duration::from_millis(settings.timeout_ms), ..repository.local() };
        match repository.git().ask("push", &arguments, &bounds) {
            Ok(_) => return Ok(written),
            Err(error @ GitError::Failed { .. }) => (before, last) = (Some(base), Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| GitError::Refused("others push all the time".to_owned())))
}

/// What to build upon, with its commit here, and where to push to.
fn base(
    settings: &GitSettings,
    home: &Path,
    writing: &Writing,
    followed: &Repository,
    stop: &Arc<AtomicBool>,
) -> Result<(Tip, String), GitError> {
    let mut tip = followed.look()?;
    let own = match tip.reference.as_str() {
        "HEAD" => head(followed, settings)?,
        other => other.to_owned(),
    };
    if own.starts_with("refs/tags/") {
        let why = "a tag is followed, and nothing can be written to one: follow a branch";
        return Err(GitError::Refused(why.to_owned()));
    }
    tip.commit = followed.fetch(&tip)?;
    let Some(branch) = writing.branch.as_ref().filter(|branch| format!("refs/heads/{branch}") != own) else {
        if settings.verify != Verify::Off {
            let why = "commits of this branch have to be signed, and what is written back is not: name another `branch` in [policy.write_back], and merge it";
            return Err(GitError::Refused(why.to_owned()));
        }
        return Ok((tip, own));
    };
    let target = format!("refs/heads/{branch}");
    let there = GitSettings { branch: Some(branch.clone()), ..settings.clone() };
    let other = Repository::new(&there, home, stop);
    match other.look() {
        Ok(mut other_tip) if other_tip.reference == target => {
            other_tip.commit = other.fetch(&other_tip)?;
            // What was merged is begun anew from where it was merged to.
            let merged = followed.follows(&other_tip.commit, &tip.commit);
            Ok((if merged { tip } else { other_tip }, target))
        }
        Ok(_) | Err(GitError::NoBranch(_)) => Ok((tip, target)),
        Err(error) => Err(error),
    }
}

/// What the repository's own HEAD is called.
fn head(repository: &Repository, settings: &GitSettings) -> Result<String, GitError> {
    let arguments = ["ls-remote", "--symref", "--", settings.remote.url(), "HEAD"];
    let bounds = Bounds { time: Duration::from_millis(settings.timeout_ms), ..repository.local() };
    let answer = repository.git().ask("ls-remote", &arguments, &bounds)?;
    let answer = String::from_utf8_lossy(&answer);
    let named = answer.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    let why = || GitError::Refused("its HEAD is no branch: say which one is followed (`branch`)".to_owned());
    named.filter(|name| name.starts_with("refs/heads/")).map(str::to_owned).ok_or_else(why)
}

/// One commit for each change that changes something. Returns the last one.
fn commits(
    repository: &Repository,
    settings: &GitSettings,
    writing: &Writing,
    base: &str,
    changes: &[Change],
) -> Result<(String, Vec<Written>), GitError> {
    let index = repository.home().join("index");
    let git = repository
        .git()
        .with_variable("GIT_INDEX_FILE", &index)
        .with_variable("GIT_AUTHOR_NAME", writing.name.as_str())
        .with_variable("GIT_AUTHOR_EMAIL", writing.email.as_str())
        .with_variable("GIT_COMMITTER_NAME", writing.name.as_str())
        .with_variable("GIT_COMMITTER_EMAIL", writing.email.as_str());
    let (mut head, mut written) = (base.to_owned(), Vec::new());
    for change in changes {
        let made = commit(repository, &git, settings, &head, change)?;
        written.push(match made {
            Ok(Some(commit)) => {
                head = commit;
                Written::Pushed
            }
            Ok(None) => Written::Unchanged,
            Err(why) => Written::Impossible(why),
        });
    }
    let _gone = std::fs::remove_file(&index);
    Ok((head, written))
}

/// `Ok(Err)`: there is nothing to be changed, for this reason.
fn commit(
    repository: &Repository,
    git: &Git,
    settings: &GitSettings,
    parent: &str,
    change: &Change,
) -> Result<Result<Option<String>, String>, GitError> {
    let bounds = Bounds { answer: FILE, ..repository.local() };
    for file in &change.files {
        let path = if settings.path.is_empty() { file.clone() } else { format!("{}/{file}", settings.path) };
        let listed = git.ask("ls-tree", &["ls-tree", "-z", parent, "--", &path], &bounds)?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut words = listed.split(['\0', '\t', ' ']);
        let (mode, kind, oid) = (words.next().unwrap_or_default(), words.next(), words.next());
        let (Some("blob"), Some(oid), true) = (kind, oid, mode.starts_with("100")) else { continue };
        let body = git.ask("cat-file", &["cat-file", "blob", oid], &bounds)?;
        let Ok(text) = String::from_utf8(body) else { continue };
        let edited = match (change.edit)(&text) {
            Ok(Some(edited)) => edited,
            Ok(None) => continue,
            Err(why) => return Ok(Err(format!("{path}: {why}"))),
        };
        if edited == text {
            return Ok(Ok(None));
        }
        let blob = one(git.ask_with(
            "hash-object",
            &["hash-object", "-w", "--stdin"],
            Some(edited.into_bytes()),
            &bounds,
        )?);
        git.ask("read-tree", &["read-tree", parent], &bounds)?;
        let entry = format!("{mode},{blob},{path}");
        git.ask("update-index", &["update-index", "--cacheinfo", &entry], &bounds)?;
        let tree = one(git.ask("write-tree", &["write-tree"], &bounds)?);
        let message = format!("{}\n", change.message.trim_end()).into_bytes();
        let arguments = ["commit-tree", &tree, "-p", parent, "-F", "-"];
        let commit = one(git.ask_with("commit-tree", &arguments, Some(message), &bounds)?);
        return match is_oid(&commit) {
            true => Ok(Ok(Some(commit))),
            false => Err(repository.damaged("git made no commit")),
        };
    }
    Ok(Err(format!("none of its files has an image_policy of its own: {}", change.files.join(", "))))
}

fn one(answer: Vec<u8>) -> String {
    String::from_utf8_lossy(&answer).trim().to_owned()
}
