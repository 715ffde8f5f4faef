//! Can the repositories be reached, and can their commits be checked?

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Finding;
use crate::config::Settings;
use crate::config::sources::Source;
use crate::source::git::{Checkout, GitError, GitSettings, Verify};

/// One finding for each repository.
pub(super) fn all(settings: &Settings) -> Vec<Finding> {
    let repositories = settings.sources.iter().filter_map(|source| match source {
        Source::Git(git) => Some(one(git, &settings.state, &source.shown())),
        Source::Directory { .. } => None,
    });
    repositories.collect()
}

fn one(git: &GitSettings, state: &Path, shown: &str) -> Finding {
    let checked_by = match git.verify {
        Verify::Off => None,
        Verify::Ssh { .. } => Some(("ssh-keygen", "apt install openssh-client")),
        Verify::Gpg { .. } => Some(("gpg", "apt install gnupg")),
    };
    if let Some((program, fix)) = checked_by.filter(|(program, _)| !is_here(program)) {
        let found = format!("{shown}: signatures cannot be checked without the program `{program}`");
        return Finding::fail("repository", found, format!("install it (Debian: {fix})"));
    }
    match Checkout::new(git, state, &Arc::new(AtomicBool::new(false))).tip() {
        Ok(commit) => {
            Finding::ok("repository", format!("{shown} is at {}", commit.get(..8).unwrap_or(&commit)))
        }
        Err(error @ GitError::NoGit) => Finding::fail("repository", error.to_string(), "apt install git"),
        Err(error) => {
            let fix = "try the same with git itself: git ls-remote, as the user that runs evenkeel";
            Finding::fail("repository", format!("{shown}: {error}"), fix)
        }
    }
}

/// Whether a program can be started, whatever it answers.
fn is_here(program: &str) -> bool {
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    started.is_ok()
}
