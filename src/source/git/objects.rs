//! What is in a commit: names, links, contents.

use std::collections::{BTreeMap, BTreeSet};

use super::error::GitError;
use super::repository::{Repository, is_oid};
use super::settings::GitSettings;
use crate::desired::snapshot::{Commit, RelPath};
use crate::desired::tree::{Blob, BlobKind};
use crate::source::read::{ENTRY_LIMIT, TOTAL_LIMIT};

/// Where a link leads is a path. Bytes.
const LINK_LIMIT: u64 = 4096;

/// Git's name of the folder that is the desired state.
pub(super) fn tree_of(
    repository: &Repository,
    settings: &GitSettings,
    commit: &Commit,
) -> Result<String, GitError> {
    let name = format!("{}:{}", commit.id, settings.path);
    let outcome = repository.git().run(
        "rev-parse",
        &["rev-parse", "--verify", "--quiet", &name],
        None,
        &repository.local(),
    )?;
    let oid = String::from_utf8_lossy(&outcome.answer).trim().to_owned();
    let no_path = || GitError::NoPath { commit: commit.short().to_owned(), path: settings.path.clone() };
    if !outcome.status.success() || !is_oid(&oid) {
        return Err(no_path());
    }
    let kind = repository.git().ask("cat-file", &["cat-file", "-t", &oid], &repository.local());
    let kind = kind.map_err(|error| repository.damaged(error.to_string()))?;
    if kind.trim_ascii() == b"tree" { Ok(oid) } else { Err(no_path()) }
}

/// The files of a commit.
pub(super) struct Entries {
    pub files: BTreeMap<RelPath, Blob>,
    /// Names that are not UTF-8, as well as they can be told.
    pub odd: Vec<RelPath>,
}

/// Every file below it. Names that no path of ours can be are kept out here: nothing ever writes them anywhere.
pub(super) fn entries(repository: &Repository, tree: &str) -> Result<Entries, GitError> {
    let arguments = ["ls-tree", "-r", "-l", "-z", "--full-tree", tree];
    let answer = match repository.git().ask("ls-tree", &arguments, &repository.local()) {
        Err(GitError::Failed { told, .. }) => return Err(repository.damaged(told)),
        other => other?,
    };
    let mut found = Entries { files: BTreeMap::new(), odd: Vec::new() };
    for line in answer.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line);
        let Some((facts, name)) = line.split_once('\t') else { continue };
        let mut facts = facts.split_ascii_whitespace();
        let (mode, kind, oid) = (facts.next(), facts.next(), facts.next().unwrap_or_default());
        let size = facts.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let kind = match (mode, kind) {
            (Some("120000"), _) => BlobKind::Link(String::new()),
            (Some("160000"), _) | (_, Some("commit")) => BlobKind::Submodule,
            (Some("100755"), _) => BlobKind::Executable,
            _ => BlobKind::File,
        };
        let harmless = name.split('/').all(|part| !part.eq_ignore_ascii_case(".git"));
        let Some(path) = RelPath::new(name).filter(|_| harmless && is_oid(oid)) else { continue };
        if name.contains('\u{fffd}') {
            found.odd.push(path);
            continue;
        }
        found.files.insert(path, Blob { oid: oid.to_owned(), kind, size });
        if found.files.len() > ENTRY_LIMIT {
            let why = format!(
                "more than {ENTRY_LIMIT} files are in the commit: name the folder that is meant (--path)"
            );
            return Err(GitError::TooLarge { what: "ls-tree", why });
        }
    }
    lead(repository, &mut found.files)?;
    Ok(found)
}

/// Finds out where the links lead.
fn lead(repository: &Repository, files: &mut BTreeMap<RelPath, Blob>) -> Result<(), GitError> {
    let short = |blob: &Blob| matches!(blob.kind, BlobKind::Link(_)) && blob.size <= LINK_LIMIT;
    let wanted = files.values().filter(|blob| short(blob)).map(|blob| blob.oid.clone()).collect();
    let targets = bodies(repository, &wanted)?;
    for blob in files.values_mut() {
        if let (BlobKind::Link(target), Some(body)) = (&mut blob.kind, targets.get(&blob.oid)) {
            *target = String::from_utf8_lossy(body).into_owned();
        }
    }
    Ok(())
}

/// The contents of these files, by git's name.
///
/// # Errors
/// One is missing: the copy is damaged.
pub(super) fn bodies(
    repository: &Repository,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<u8>>, GitError> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let input = wanted.iter().map(|oid| format!("{oid}\n")).collect::<String>().into_bytes();
    let mut bounds = repository.local();
    bounds.answer = TOTAL_LIMIT * 2;
    let answer = match repository.git().ask_with("cat-file", &["cat-file", "--batch"], Some(input), &bounds) {
        Err(GitError::Failed { told, .. }) => return Err(repository.damaged(told)),
        other => other?,
    };
    let mut found = BTreeMap::new();
    let mut rest = answer.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        rest = rest.get(end + 1..).unwrap_or_default();
        let mut words = head.split_ascii_whitespace();
        let (oid, size) = (words.next().unwrap_or_default(), words.nth(1).and_then(|size| size.parse().ok()));
        let Some(size) = size else { return Err(repository.damaged(format!("{head} in it"))) };
        let Some(body) = rest.get(..size) else { return Err(repository.damaged("a file of it ends early")) };
        found.insert(oid.to_owned(), body.to_vec());
        rest = rest.get(size + 1..).unwrap_or_default();
    }
    match wanted.iter().find(|oid| !found.contains_key(*oid)) {
        Some(oid) => Err(repository.damaged(format!("{oid} is missing in it"))),
        None => Ok(found),
    }
}
