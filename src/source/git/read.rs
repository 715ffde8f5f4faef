//! A commit as a snapshot, by the same rules as a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::GitError;
use super::repository::{Repository, is_oid};
use super::settings::GitSettings;
use crate::desired::snapshot::{Commit, FileContent, RelPath, Snapshot, SourceRevision};
use crate::desired::tree::{Blob, BlobKind, Tree};
use crate::source::file::FILE_LIMIT;
use crate::source::known::{Fact, Known, digest};
use crate::source::payload::Named;
use crate::source::read::{ENTRY_LIMIT, TOTAL_LIMIT, is_left_out, is_state};

/// Where a link leads is a path. Bytes.
const LINK_LIMIT: u64 = 4096;
/// Links followed on the way to one file.
const LINKS: u32 = 40;
/// Commits looked through for the last change of each file.
const COMMITS: &str = "--max-count=5000";

/// What is known of the last commit, so that the next one costs what it changed.
#[derive(Debug, Default)]
pub(super) struct Before {
    known: Known,
    tree: Arc<Tree>,
    commit: Option<String>,
}

/// Where the files of a source lie on this host.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The files that services may write beside.
    pub live: String,
    pub copies: String,
}

/// Reads the files of a commit.
///
/// # Errors
/// The path is not there, or holds no state; too much is there; the copy is damaged.
pub(super) fn read(
    repository: &Repository,
    settings: &GitSettings,
    places: &Places,
    commit: &str,
    before: &Before,
) -> Result<(Arc<Snapshot>, Before), GitError> {
    let told = commit_of(repository, commit)?;
    let root = tree_of(repository, settings, &told)?;
    let entries = entries(repository, &root)?;
    let (commits, touched) = touched(repository, settings, commit, before);
    let mut reader = Reader { repository, before, entries: &entries, bodies: BTreeMap::new() };
    let (files, facts) = reader.files()?;
    if !files.keys().any(|path| path.file_name().ends_with(".toml")) {
        let place = if settings.path.is_empty() { String::new() } else { format!(" in `{}`", settings.path) };
        return Err(GitError::Empty { commit: told.short().to_owned(), place });
    }
    let links = reader.links()?;
    let entries: BTreeMap<RelPath, Blob> = entries
        .into_iter()
        .filter_map(|(path, mut blob)| {
            if let BlobKind::Link(target) = &mut blob.kind {
                *target = links.get(&blob.oid).cloned().unwrap_or_default();
            }
            Some((RelPath::new(&path)?, blob))
        })
        .collect();
    let tree = Arc::new(Tree { copies: places.copies.clone(), entries, commits, touched });
    let mut whole = Sha256::new();
    whole.update(b"evenkeel commit 1\n");
    whole.update(digest(&facts));
    whole.update(&root);
    let snapshot = Arc::new(Snapshot {
        revision: SourceRevision { digest: hex::encode(whole.finalize()), commit: Some(told) },
        root: places.live.clone(),
        files,
        tree: Some(Arc::clone(&tree)),
        name: settings.name.clone(),
        ..Snapshot::default()
    });
    let known = Known::of(Arc::clone(&snapshot), facts);
    Ok((snapshot, Before { known, tree, commit: Some(commit.to_owned()) }))
}

/// Author, subject and time.
fn commit_of(repository: &Repository, commit: &str) -> Result<Commit, GitError> {
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

/// Git's name of the folder that is the desired state.
fn tree_of(repository: &Repository, settings: &GitSettings, commit: &Commit) -> Result<String, GitError> {
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

/// Every file below it. Names that no path of ours can be are kept out here: nothing ever writes them anywhere.
fn entries(repository: &Repository, tree: &str) -> Result<BTreeMap<String, Blob>, GitError> {
    let arguments = ["ls-tree", "-r", "-l", "-z", "--full-tree", tree];
    let answer = match repository.git().ask("ls-tree", &arguments, &repository.local()) {
        Err(GitError::Failed { told, .. }) => return Err(repository.damaged(told)),
        other => other?,
    };
    let mut found = BTreeMap::new();
    for line in answer.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line);
        let Some((facts, path)) = line.split_once('\t') else { continue };
        let mut facts = facts.split_ascii_whitespace();
        let (mode, kind, oid) = (facts.next(), facts.next(), facts.next().unwrap_or_default());
        let size = facts.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let kind = match (mode, kind) {
            (Some("120000"), _) => BlobKind::Link(String::new()),
            (Some("160000"), _) | (_, Some("commit")) => BlobKind::Submodule,
            (Some("100755"), _) => BlobKind::Executable,
            _ => BlobKind::File,
        };
        let harmless = path.split('/').all(|part| !part.eq_ignore_ascii_case(".git"));
        if harmless && is_oid(oid) {
            found.insert(path.to_owned(), Blob { oid: oid.to_owned(), kind, size });
        }
        if found.len() > ENTRY_LIMIT {
            let why = format!(
                "more than {ENTRY_LIMIT} files are in the commit: name the folder that is meant (--path)"
            );
            return Err(GitError::TooLarge { what: "ls-tree", why });
        }
    }
    Ok(found)
}

/// The newest commit of each file. What cannot be found out is left out: it is for people, and nothing hangs on it.
fn touched(
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

type Files = (BTreeMap<RelPath, FileContent>, BTreeMap<RelPath, Fact>);

struct Reader<'a> {
    repository: &'a Repository,
    before: &'a Before,
    entries: &'a BTreeMap<String, Blob>,
    /// What was read, by git's name.
    bodies: BTreeMap<String, Vec<u8>>,
}

/// Where a path of the commit leads.
enum Led<'a> {
    File(&'a Blob),
    Folder(String),
    /// Nothing of this name is in the commit.
    Absent,
    Nowhere(&'static str),
}

impl Reader<'_> {
    /// The state files, and what they name.
    fn files(&mut self) -> Result<Files, GitError> {
        self.fetch_links()?;
        let (state, others) = self.sort();
        let mut files = BTreeMap::new();
        let mut facts = BTreeMap::new();
        self.take(state, &mut files, &mut facts)?;
        let named: BTreeSet<Named> = facts.values().flat_map(Fact::named).cloned().collect();
        let mut wanted = BTreeMap::new();
        for name in named {
            match name {
                Named::File(path) => {
                    if let Some(led) = self.entry(path.as_str()) {
                        wanted.insert(path, led);
                    }
                }
                between => {
                    let fitting = others.iter().filter(|path| between.fits(path));
                    wanted
                        .extend(fitting.filter_map(|path| Some((path.clone(), self.entry(path.as_str())?))));
                }
            }
        }
        wanted.retain(|path, _| !files.contains_key(path));
        self.take(wanted, &mut files, &mut facts)?;
        Ok((files, facts))
    }

    /// What is there under a path, or why it cannot be used. `None`: nothing.
    fn entry(&self, path: &str) -> Option<Result<Blob, String>> {
        match self.follow(path) {
            Led::File(blob) if blob.kind == BlobKind::Submodule => {
                Some(Err("it is a submodule, and submodules are not fetched".to_owned()))
            }
            Led::File(blob) => Some(Ok(blob.clone())),
            Led::Nowhere(why) => Some(Err(why.to_owned())),
            Led::Folder(_) | Led::Absent => None,
        }
    }

    /// State files, with links to folders followed; and everything else by name.
    fn sort(&self) -> (BTreeMap<RelPath, Result<Blob, String>>, BTreeSet<RelPath>) {
        let (mut state, mut others) = (BTreeMap::new(), BTreeSet::new());
        for (path, blob) in self.entries {
            let name = path.rsplit('/').next().unwrap_or(path);
            if path.contains('\u{fffd}') && is_state(name) && !hidden(path) {
                if let Some(path) = RelPath::new(path) {
                    state.insert(path, Err("its name is not UTF-8".to_owned()));
                }
                continue;
            }
            if let (BlobKind::Link(_), false) = (&blob.kind, hidden(path)) {
                match self.follow(path) {
                    Led::Folder(target) => self.linked_folder(path, &target, &mut state, &mut others),
                    Led::Nowhere(why) if !name.contains('.') => {
                        // It may be a folder with state in it: what it defines must not look as if it had been removed.
                        if let Some(path) = RelPath::new(&format!("{path}/*.toml")) {
                            state.insert(path, Err(why.to_owned()));
                        }
                    }
                    Led::File(_) | Led::Absent | Led::Nowhere(_) => {
                        self.sorted(path, &mut state, &mut others)
                    }
                }
                continue;
            }
            self.sorted(path, &mut state, &mut others);
        }
        (state, others)
    }

    fn sorted(
        &self,
        path: &str,
        state: &mut BTreeMap<RelPath, Result<Blob, String>>,
        others: &mut BTreeSet<RelPath>,
    ) {
        let Some(rel) = RelPath::new(path) else { return };
        if is_state(rel.file_name()) && !hidden(path) {
            if let Some(entry) = self.entry(path) {
                state.insert(rel, entry);
            }
        } else {
            others.insert(rel);
        }
    }

    fn linked_folder(
        &self,
        link: &str,
        target: &str,
        state: &mut BTreeMap<RelPath, Result<Blob, String>>,
        others: &mut BTreeSet<RelPath>,
    ) {
        let within = if target.is_empty() { String::new() } else { format!("{target}/") };
        if link.starts_with(&within) {
            if let Some(path) = RelPath::new(&format!("{link}/*.toml")) {
                state.insert(path, Err("the link leads back to a folder above it".to_owned()));
            }
            return;
        }
        let below = self.entries.range(within.clone()..).take_while(|(path, _)| path.starts_with(&within));
        for (path, _) in below {
            let rest = path.get(within.len()..).unwrap_or_default();
            let seen = format!("{link}/{rest}");
            let Some(rel) = RelPath::new(&seen) else { continue };
            if !is_state(rel.file_name()) || hidden(&seen) {
                others.insert(rel);
            } else if let Some(entry) = self.entry(path) {
                state.insert(rel, entry);
            }
        }
    }

    /// Follows links part by part, and never out of the commit.
    fn follow(&self, path: &str) -> Led<'_> {
        let mut done: Vec<String> = Vec::new();
        let mut open: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = open.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if done.pop().is_none() {
                        return Led::Nowhere(
                            "the link leads out of the repository; put the file itself there",
                        );
                    }
                    continue;
                }
                _ => done.push(part),
            }
            let here = done.join("/");
            let Some(blob) = self.entries.get(&here).filter(|blob| matches!(blob.kind, BlobKind::Link(_)))
            else {
                continue;
            };
            let target = self.bodies.get(&blob.oid).map(|body| String::from_utf8_lossy(body).into_owned());
            let target = target.unwrap_or_default();
            links += 1;
            if links > LINKS {
                return Led::Nowhere("the link leads in a circle");
            }
            if target.is_empty() || target.starts_with('/') {
                return Led::Nowhere("the link leads out of the repository; put the file itself there");
            }
            done.pop();
            open.extend(target.split('/').rev().map(str::to_owned));
        }
        let here = done.join("/");
        if let Some(blob) = self.entries.get(&here) {
            return Led::File(blob);
        }
        let within = if here.is_empty() { String::new() } else { format!("{here}/") };
        let first = self.entries.range(within.clone()..).next();
        match (first.is_some_and(|(path, _)| path.starts_with(&within)), links) {
            (true, _) => Led::Folder(here),
            (false, 0) => Led::Absent,
            (false, _) => Led::Nowhere("the link leads nowhere"),
        }
    }

    /// Reads what is wanted; of what did not change the content is known.
    fn take(
        &mut self,
        wanted: BTreeMap<RelPath, Result<Blob, String>>,
        files: &mut BTreeMap<RelPath, FileContent>,
        facts: &mut BTreeMap<RelPath, Fact>,
    ) -> Result<(), GitError> {
        let mut open = BTreeSet::new();
        let mut total = 0;
        for (path, blob) in &wanted {
            let Ok(blob) = blob else { continue };
            if blob.size <= FILE_LIMIT && self.known(path, blob).is_none() {
                open.insert(blob.oid.clone());
            }
            total += blob.size.min(FILE_LIMIT);
        }
        if total > TOTAL_LIMIT {
            let why =
                format!("the files of the desired state hold more than {} MiB together", TOTAL_LIMIT >> 20);
            return Err(GitError::TooLarge { what: "cat-file", why });
        }
        self.load(&open)?;
        for (path, blob) in wanted {
            let content = match blob {
                Err(why) => FileContent::Unreadable(why),
                Ok(blob) if blob.size > FILE_LIMIT => {
                    FileContent::Unreadable(format!("it is larger than {} MiB", FILE_LIMIT >> 20))
                }
                Ok(blob) => match self.known(&path, &blob) {
                    Some(content) => content.clone(),
                    None => {
                        let body = self.bodies.get(&blob.oid).cloned();
                        FileContent::Read(body.ok_or_else(|| self.repository.damaged("a file is missing"))?)
                    }
                },
            };
            facts.insert(path.clone(), self.before.known.fact(&path, None, &content));
            files.insert(path, content);
        }
        Ok(())
    }

    /// The content as of the last commit, if it is the same file of the same name. Only for files that are no links.
    fn known(&self, path: &RelPath, blob: &Blob) -> Option<&FileContent> {
        let before = self.before.tree.entries.get(path)?;
        let same = before.oid == blob.oid && before.kind == blob.kind;
        self.before
            .known
            .snapshot
            .files
            .get(path)
            .filter(|content| same && matches!(content, FileContent::Read(_)))
    }

    fn fetch_links(&mut self) -> Result<(), GitError> {
        let links = self.entries.values().filter(|blob| matches!(blob.kind, BlobKind::Link(_)));
        let short = links.filter(|blob| blob.size <= LINK_LIMIT).map(|blob| blob.oid.clone());
        self.load(&short.collect())
    }

    fn links(&mut self) -> Result<BTreeMap<String, String>, GitError> {
        let links = self.entries.values().filter(|blob| matches!(blob.kind, BlobKind::Link(_)));
        let bodies = links.filter_map(|blob| Some((blob.oid.clone(), self.bodies.get(&blob.oid)?)));
        Ok(bodies.map(|(oid, body)| (oid, String::from_utf8_lossy(body).into_owned())).collect())
    }

    fn load(&mut self, wanted: &BTreeSet<String>) -> Result<(), GitError> {
        let open: BTreeSet<String> =
            wanted.iter().filter(|oid| !self.bodies.contains_key(*oid)).cloned().collect();
        self.bodies.extend(bodies(self.repository, &open)?);
        Ok(())
    }
}

/// Hidden by the language's rule, itself or with a folder above it.
fn hidden(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    is_left_out(name) || parts.any(|part| part.starts_with(['.', '_']))
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
