//! Commits, and which of them touched what.

use std::collections::{BTreeMap, BTreeSet};

use super::error::GitError;
use super::read::Before;
use super::repository::{Repository, is_oid};
use super::settings::GitSettings;
use crate::desired::snapshot::{Commit, RelPath};

/// Commits looked through for the last change of each file.
const COMMITS: &str = "--max-count=5000";

/// Author, subject and time.
pub(super) fn commit_of(repository: &Repository, commit: &str) -> Result<Commit, GitError> {
    let arguments = ["log", "-1", "--no-show-signature", "--format=%H%x00%an%x00%s%x00%ct", commit, "--"];
    let answer = repository.git().ask("log", &arguments, &repository.local());
    let answer = answer.map_err(|error| repository.damaged(error.to_string()))?;
    parse_commit(String::from_utf8_lossy(&answer).trim_end_matches('\n'))
        .ok_or_else(|| repository.damaged("it tells nothing of its commit"))
}

fn parse_commit(line: &str) -> Option<Commit> {
    let mut fields = line.split('\0');
    let id = fields.next()?.to_owned();
    // It is shown on terminals and in labels.
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    let author = plain(fields.next()?);
    let subject = plain(fields.next()?);
    let at = fields.next()?.trim().parse().ok()?;
    is_oid(&id).then_some(Commit { id, author, subject, at })
}

/// The newest commit of each file. What cannot be found out is left out: it is for people, and nothing hangs on it.
pub(super) fn touched(
    repository: &Repository,
    settings: &GitSettings,
    commit: &str,
    before: &Before,
) -> (Vec<Commit>, BTreeMap<RelPath, usize>) {
    if before.commit.as_deref() == Some(commit) {
        return (before.tree.commits.clone(), before.tree.touched.clone());
    }
    let older = before.commit.as_deref().filter(|older| repository.follows(older, commit));
    let range = older.map_or_else(|| commit.to_owned(), |older| format!("{older}..{commit}"));
    let folder = if settings.path.is_empty() { "." } else { settings.path.as_str() };
    let arguments = [
        "log",
        COMMITS,
        "--no-show-signature",
        "--no-renames",
        "--name-only",
        "-z",
        "--format=%x01%H%x00%an%x00%s%x00%ct%x02",
        &range,
        "--",
        folder,
    ];
    let answer = repository.git().ask("log", &arguments, &repository.local()).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    let prefix = if settings.path.is_empty() { String::new() } else { format!("{}/", settings.path) };
    let (mut commits, mut touched) = (Vec::new(), BTreeMap::new());
    for entry in answer.split('\u{1}').filter(|entry| !entry.is_empty()) {
        let Some((head, names)) = entry.split_once('\u{2}') else { continue };
        let Some(commit) = parse_commit(head) else { continue };
        let names = names.split('\0').map(|name| name.trim_start_matches('\n'));
        let own = names.filter_map(|name| name.strip_prefix(prefix.as_str())).filter_map(RelPath::new);
        let number = commits.len();
        own.for_each(|path| {
            touched.entry(path).or_insert(number);
        });
        commits.push(commit);
    }
    if older.is_some() {
        let newer = commits.len();
        commits.extend(before.tree.commits.iter().cloned());
        for (path, number) in &before.tree.touched {
            touched.entry(path.clone()).or_insert(number + newer);
        }
    }
    compact(commits, touched)
}

/// Leaves out commits that are no file's newest any more.
fn compact(
    commits: Vec<Commit>,
    mut touched: BTreeMap<RelPath, usize>,
) -> (Vec<Commit>, BTreeMap<RelPath, usize>) {
    let used: BTreeSet<usize> = touched.values().copied().collect();
    let places: BTreeMap<usize, usize> = used.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    touched.values_mut().for_each(|number| *number = places.get(number).copied().unwrap_or_default());
    let kept = commits.into_iter().enumerate().filter(|(number, _)| used.contains(number));
    (kept.map(|(_, commit)| commit).collect(), touched)
}
