//! A snapshot: every file of the desired state, read whole, at one instant. The only input of [`super::load()`] beside the host's facts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::provided::Answers;
use super::tree::Tree;

/// A path below the root of the desired state: `/`-separated, no `.` or `..` parts, never absolute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelPath(String);

impl RelPath {
    /// Takes a clean relative path; anything that could leave the root is refused.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let clean = !text.is_empty()
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !text.contains('\0');
        clean.then(|| Self(text.to_owned()))
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The folder, `""` for the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

/// Lets `Snapshot::files` be looked up by text.
impl std::borrow::Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a read of one file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Shared by whoever keeps it.
    Read(Bytes),
    /// The file is there and cannot be used (permission, a link that leads outside, not a regular file, larger than the
    /// limit): a sentence for the user. Its services freeze, exactly as with a syntax error.
    Unreadable(String),
}

/// Which state of the source this is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRevision {
    /// Hex digest over all paths and contents: equal text, equal revision.
    pub digest: String,
    /// When the source is a repository.
    pub commit: Option<Commit>,
}

/// A Git commit, as far as people ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Full, lower-case hex.
    pub id: String,
    /// Name of the author, without the address: it is shown to everybody who may see the status.
    pub author: String,
    /// First line of the message.
    pub subject: String,
    /// When it was committed, by the committer's clock. Seconds since 1970.
    pub at: i64,
}

impl Commit {
    /// As many digits as people read.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}: {}", self.short(), self.author, self.subject)
    }
}

/// Every file of the desired state. An error while reading the directory itself never becomes a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub revision: SourceRevision,
    /// The directory on the host, absolute: relative bind sources are resolved below it.
    pub root: String,
    /// `*.toml` files, `.env` files, and the payload files that `env_file` names. Names starting with `.` or `_` (but
    /// for `.env`) are left out by the source.
    pub files: BTreeMap<RelPath, FileContent>,
    /// Everything there is, and since which commit, when the source is a repository. A directory is mounted as it lies there.
    pub tree: Option<Arc<Tree>>,
    /// Name of the source, for people. Files are told with it when there are several.
    pub name: String,
    /// Further sources of the same desired state, each with a root of its own.
    pub beside: Vec<Arc<Snapshot>>,
    /// Sources that are configured and could not be read yet: what they define is not known, so nothing may be removed.
    pub missing: BTreeMap<String, String>,
}

/// What the loader must know of the host. No clock, no environment look-ups: the shell collects it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `[hosts.<name>]` in fleet.toml; the host name unless `--host` says otherwise.
    pub name: String,
    /// The controller's environment, for names that `policy.env_allow` lists.
    pub environment: BTreeMap<String, String>,
    /// The engine's API version, `(1, 41)`; `None` when no engine was asked (plain `validate`).
    pub api: Option<(u32, u32)>,
    /// The engine's version for messages: `20.10.24`.
    pub engine_version: Option<String>,
    /// What containers run on here; `None` when that is not known (plain `validate`).
    pub platform: Option<Platform>,
    /// Home of the user the controller runs as, for `~` in bind sources.
    pub home: Option<String>,
    /// The host's own time zone, an IANA name: in it schedules are read that name none. `None`: UTC.
    pub timezone: Option<String>,
    /// Where on this host the files of secrets and configs lie.
    pub provided: String,
    /// What has been found out about the secrets and configs.
    pub answers: Answers,
}

/// As the engine names them: `linux`, `x86_64`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}
