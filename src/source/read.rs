//! Reads a directory into a [`Snapshot`], whole or not at all.
//!
//! What stops the whole read is a [`SourceError`]: the root is missing, not a directory, not readable. What concerns one file
//! becomes [`FileContent::Unreadable`], so that its services freeze and the others go on. A folder that can't be read stands
//! in the snapshot as `<folder>/*.toml`, unreadable: what it may define must not look as if it had been removed.
//!
//! These functions block.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file::{FileRead, plain, read_file};
use super::known::{Fact, Known, Stamp, digest};
use super::payload::Named;
use crate::desired::snapshot::{FileContent, RelPath, Snapshot, SourceRevision};

/// All files together. Bytes.
pub(super) const TOTAL_LIMIT: u64 = 256 << 20;
/// Names below the root, also of files that are not read. More is a wrong path (`/`), not a desired state.
pub(super) const ENTRY_LIMIT: usize = 100_000;
/// Folders within folders.
const DEPTH_LIMIT: usize = 32;
/// Reads of a directory that changes while it is read.
const ATTEMPTS: u32 = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// The desired state could not be read. The last good one stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("the desired state {} does not exist: create the directory, or mount what belongs there", .0.display())]
    Missing(PathBuf),
    #[error("the desired state {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("the desired state {} has a path that is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    #[error("can't read the desired state {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the desired state {} is too large: {what}", path.display())]
    TooLarge { path: PathBuf, what: String },
    #[error("the repository {name}: {error}")]
    Repository { name: String, error: super::git::GitError },
    #[error("the desired state {} changed during each of {ATTEMPTS} reads; it is read again", .0.display())]
    Unstable(PathBuf),
}

/// A snapshot and the directories it came from, for whoever watches them.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) known: Known,
    pub(super) folders: BTreeMap<PathBuf, FolderId>,
}

/// Tells a folder from another one that took its place.
pub(super) type FolderId = (u64, u64);

/// Reads the directory at `root`: every `*.toml`, every `.env` and `*.env`, and what `env_file` names.
///
/// Names that start with `.` or `_` are left out (but for `.env`). Links count when
/// they lead to something below the root. A directory that changes meanwhile is read again, a few times.
///
/// # Errors
/// The root can't be read as a whole; see [`SourceError`].
pub fn read_snapshot(root: &Path) -> Result<Snapshot, SourceError> {
    let reading = read(root, &Known::default(), false)?;
    Ok(Arc::unwrap_or_clone(reading.known.snapshot))
}

/// Reads one file below `root` by the rules of [`read_snapshot`], hidden or not. `None` when it is not there.
#[must_use]
pub fn read_payload(root: &Path, path: &RelPath) -> Option<FileContent> {
    let real_root = fs::canonicalize(root).ok()?;
    match read_file(&real_root, &root.join(path.as_str())) {
        FileRead::Gone => None,
        FileRead::Content(content) => Some(content),
        FileRead::Changing => Some(FileContent::Unreadable("it changes while it is read".to_owned())),
    }
}

/// Reads everything; or, with `trust` in time stamps, only what may have changed since `before`.
pub(super) fn read(root: &Path, before: &Known, trust: bool) -> Result<Reading, SourceError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        match Walk::of(root, before, trust) {
            Ok(reading) => return Ok(reading),
            Err(Stop::Changed) => {}
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    Err(SourceError::Unstable(root.to_owned()))
}

enum Stop {
    /// Something vanished between being listed and being read.
    Changed,
    Error(SourceError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Error(error)
    }
}

struct Walk<'a> {
    before: &'a Known,
    trust: bool,
    root: PathBuf,
    real_root: PathBuf,
    files: BTreeMap<RelPath, FileContent>,
    facts: BTreeMap<RelPath, Fact>,
    /// Regular files that are read only if something names them.
    others: BTreeSet<RelPath>,
    folders: BTreeMap<PathBuf, FolderId>,
    entries: usize,
    bytes: u64,
}

/// A folder to be read: where it is, what it is called below the root, and the real folders above it.
struct Folder {
    path: PathBuf,
    rel: String,
    above: Vec<FolderId>,
}

impl<'a> Walk<'a> {
    fn of(root: &Path, before: &'a Known, trust: bool) -> Result<Reading, Stop> {
        let root = std::path::absolute(root).map_err(|error| unreadable(root, &error))?;
        let Some(text) = root.to_str().map(ToOwned::to_owned) else {
            return Err(SourceError::NotUtf8(root).into());
        };
        let real_root = fs::canonicalize(&root).map_err(|error| unreadable(&root, &error))?;
        let mut walk = Self {
            before,
            trust,
            root: root.clone(),
            real_root,
            files: BTreeMap::new(),
            facts: BTreeMap::new(),
            others: BTreeSet::new(),
            folders: BTreeMap::new(),
            entries: 0,
            bytes: 0,
        };
        let mut pending = vec![Folder { path: root, rel: String::new(), above: Vec::new() }];
        while let Some(folder) = pending.pop() {
            walk.folder(&folder, &mut pending)?;
        }
        walk.read_named()?;
        let revision = SourceRevision { digest: digest(&walk.facts), commit: None };
        let snapshot = Arc::new(Snapshot { revision, root: text, files: walk.files, ..Snapshot::default() });
        Ok(Reading { known: Known::of(snapshot, walk.facts), folders: walk.folders })
    }

    fn folder(&mut self, folder: &Folder, pending: &mut Vec<Folder>) -> Result<(), Stop> {
        let Some((id, names)) = self.list(folder)? else { return Ok(()) };
        let mut above = folder.above.clone();
        above.push(id);
        for name in names {
            self.entries += 1;
            if self.entries > ENTRY_LIMIT {
                return Err(self.too_large(format!("more than {ENTRY_LIMIT} names are below it")));
            }
            let Some(text) = name.to_str() else {
                self.note_odd_name(folder, &name);
                continue;
            };
            if is_left_out(text) {
                continue;
            }
            let name = text;
            self.entry(folder, name, &above, pending)?;
        }
        Ok(())
    }

    /// The names in a folder, sorted bytewise. `None` when it can't be read and that has been noted.
    fn list(&mut self, folder: &Folder) -> Result<Option<(FolderId, Vec<std::ffi::OsString>)>, Stop> {
        let listed = fs::canonicalize(&folder.path).and_then(|real| {
            let meta = fs::metadata(&real)?;
            let mut names = fs::read_dir(&real)?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort_unstable();
            Ok((real, (meta.dev(), meta.ino()), names))
        });
        match listed {
            Ok((_, id, _)) if folder.above.contains(&id) => {
                self.note_folder(&folder.rel, "the link leads back to a folder above it");
                Ok(None)
            }
            Ok((real, ..)) if !real.starts_with(&self.real_root) => {
                self.note_folder(&folder.rel, "the link leads out of the desired state");
                Ok(None)
            }
            Ok((real, id, names)) => {
                self.folders.insert(real, id);
                Ok(Some((id, names)))
            }
            Err(error) => self.cannot_look_into(folder, &error).map(|()| None),
        }
    }

    /// A folder that was there a moment ago: gone by now, or closed to us.
    fn cannot_look_into(&mut self, folder: &Folder, error: &io::Error) -> Result<(), Stop> {
        let is_root = folder.rel.is_empty();
        if error.kind() == io::ErrorKind::NotFound && !(is_root && self.entries == 0) {
            return Err(Stop::Changed);
        }
        if is_root {
            return Err(unreadable(&folder.path, error).into());
        }
        self.note_folder(&folder.rel, &format!("the folder can't be read: {}", plain(error)));
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &Folder,
        name: &str,
        above: &[FolderId],
        pending: &mut Vec<Folder>,
    ) -> Result<(), Stop> {
        let path = folder.path.join(name);
        let rel = below(&folder.rel, name);
        let own = match fs::symlink_metadata(&path) {
            Ok(own) => own,
            Err(error) => return self.cannot_look_into(folder, &error),
        };
        let stamp = own.is_file().then(|| Stamp::of(&own));
        let meta = if own.is_symlink() { fs::metadata(&path).ok() } else { Some(own) };
        if meta.as_ref().is_some_and(Metadata::is_dir) {
            if name.starts_with('.') {
                return Ok(());
            }
            if above.len() >= DEPTH_LIMIT {
                self.note_folder(&rel, &format!("folders are nested more than {DEPTH_LIMIT} deep"));
            } else {
                pending.push(Folder { path, rel, above: above.to_vec() });
            }
            return Ok(());
        }
        let Some(rel) = RelPath::new(&rel) else { return Ok(()) };
        if is_state(rel.file_name()) {
            self.read(&path, rel, stamp)
        } else {
            if meta.is_some_and(|meta| meta.is_file()) {
                self.others.insert(rel);
            }
            Ok(())
        }
    }

    /// `stamp`: what was seen of a regular file in a folder that was looked into, a moment before it is read.
    fn read(&mut self, path: &Path, rel: RelPath, stamp: Option<Stamp>) -> Result<(), Stop> {
        let trusted = stamp.filter(|_| self.trust);
        if let Some((content, fact)) = trusted.and_then(|stamp| self.before.unchanged(&rel, stamp)) {
            return self.take(rel, content, fact);
        }
        let content = match read_file(&self.real_root, path) {
            FileRead::Content(content) => content,
            FileRead::Gone if fs::symlink_metadata(path).is_ok() => {
                FileContent::Unreadable("the link leads nowhere".to_owned())
            }
            FileRead::Gone | FileRead::Changing => return Err(Stop::Changed),
        };
        // A link is watched where it leads, too: a write there changes no name here.
        if stamp.is_none()
            && let Some((folder, id)) = fs::canonicalize(path).ok().and_then(|real| folder_of(&real))
        {
            self.folders.entry(folder).or_insert(id);
        }
        let fact = self.before.fact(&rel, stamp, &content);
        self.take(rel, content, fact)
    }

    fn take(&mut self, rel: RelPath, content: FileContent, fact: Fact) -> Result<(), Stop> {
        if let FileContent::Read(bytes) = &content {
            self.bytes += bytes.len() as u64;
            if self.bytes > TOTAL_LIMIT {
                let mib = TOTAL_LIMIT >> 20;
                return Err(self.too_large(format!("its files hold more than {mib} MiB together")));
            }
        }
        self.facts.insert(rel.clone(), fact);
        self.files.insert(rel, content);
        Ok(())
    }

    /// Reads the files that the TOML read so far names, and those that these name.
    fn read_named(&mut self) -> Result<(), Stop> {
        loop {
            let before = self.files.len();
            self.read_named_once()?;
            if self.files.len() == before {
                return Ok(());
            }
        }
    }

    fn read_named_once(&mut self) -> Result<(), Stop> {
        let named: BTreeSet<Named> = self.facts.values().flat_map(Fact::named).cloned().collect();
        let mut wanted = BTreeSet::new();
        for name in named {
            match name {
                Named::File(path) => {
                    wanted.insert(path);
                }
                between => wanted.extend(self.others.iter().filter(|path| between.fits(path)).cloned()),
            }
        }
        for rel in wanted {
            let path = self.root.join(rel.as_str());
            if !self.files.contains_key(&rel) && fs::symlink_metadata(&path).is_ok() {
                self.read(&path, rel, None)?;
            }
        }
        Ok(())
    }

    fn note_folder(&mut self, rel: &str, sentence: &str) {
        if let Some(rel) = RelPath::new(&format!("{rel}/*.toml")) {
            self.note_unreadable(rel, sentence);
        }
    }

    fn note_unreadable(&mut self, rel: RelPath, sentence: &str) {
        let content = FileContent::Unreadable(sentence.to_owned());
        self.facts.insert(rel.clone(), self.before.fact(&rel, None, &content));
        self.files.insert(rel, content);
    }

    /// A name that is not UTF-8 can't be a path of a snapshot; if it looks like one of ours it is noted as well as it can be.
    fn note_odd_name(&mut self, folder: &Folder, name: &std::ffi::OsStr) {
        let lossy = name.to_string_lossy();
        if is_left_out(&lossy) {
            return;
        }
        let rel = below(&folder.rel, &lossy);
        let sentence = "its name is not UTF-8";
        if folder.path.join(name).is_dir() {
            self.note_folder(&rel, sentence);
        } else if let (true, Some(rel)) = (is_state(&lossy), RelPath::new(&rel)) {
            self.note_unreadable(rel, sentence);
        }
    }

    fn too_large(&self, what: String) -> Stop {
        Stop::Error(SourceError::TooLarge { path: self.root.clone(), what })
    }
}

pub(super) fn folder_of(real: &Path) -> Option<(PathBuf, FolderId)> {
    let folder = real.parent()?;
    let meta = fs::metadata(folder).ok()?;
    Some((folder.to_owned(), (meta.dev(), meta.ino())))
}

/// Read whether something names it or not. Editors' temporary files all end otherwise: `4913`, `.swp`, `~`, `.tmp`, `#x#`.
pub(super) fn is_state(name: &str) -> bool {
    name.ends_with(".toml") || name.ends_with(".env")
}

/// Hidden by the language's rule.
pub(super) fn is_left_out(name: &str) -> bool {
    name.starts_with(['.', '_']) && name != ".env"
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(path.to_owned()),
        io::ErrorKind::NotADirectory => SourceError::NotADirectory(path.to_owned()),
        _ => SourceError::Unreadable { path: path.to_owned(), reason: plain(error) },
    }
}
