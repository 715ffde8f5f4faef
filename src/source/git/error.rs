//! Why a repository could not be used. What was taken last stands, whatever it is.

use std::path::PathBuf;

/// One variant for each thing that can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    #[error("the program `git` is not here: install it (Debian: apt install git)")]
    NoGit,
    #[error("cannot start git: {0}")]
    Start(String),
    /// Git said no; its own words, without what it may have been told in the address.
    #[error("git {what} failed: {told}")]
    Failed { what: &'static str, told: String },
    #[error("git {what} was given up after {seconds} s: the repository answers too slowly, or not at all")]
    TimedOut { what: &'static str, seconds: u64 },
    #[error("git {what} was stopped: {why}")]
    TooLarge { what: &'static str, why: String },
    #[error("the repository has no {0}: was it renamed or deleted?")]
    NoBranch(String),
    #[error("commit {commit} has no folder `{path}`; an absent path is not an empty desired state")]
    NoPath { commit: String, path: String },
    #[error(
        "commit {commit} has no TOML file{place}; that is not taken for an empty desired state (to remove everything, leave a file without services)"
    )]
    Empty { commit: String, place: String },
    #[error("commit {commit} is not used: {why}")]
    Unverified { commit: String, why: String },
    #[error("the copy of the repository in {} is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{0}")]
    Refused(String),
    #[error("cannot {act} {}: {why}", .path.display())]
    Disk { act: &'static str, path: PathBuf, why: String },
    #[error("stopped")]
    Stopped,
}

impl GitError {
    /// The word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoGit | Self::Start(_) => "git",
            Self::Failed { .. } | Self::TimedOut { .. } => "unreachable",
            Self::TooLarge { .. } => "too-large",
            Self::NoBranch(_) => "no-branch",
            Self::NoPath { .. } | Self::Empty { .. } => "no-path",
            Self::Unverified { .. } => "unverified",
            Self::Damaged { .. } => "damaged",
            Self::Refused(_) => "refused",
            Self::Disk { .. } => "disk",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn disk(act: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Disk { act, path: path.to_owned(), why: crate::source::file::plain(error) }
    }
}
