//! Puts what services mount from a commit on the disk.
//!
//! A copy is made beside its place and renamed into it, so it is there whole or not at all. In a folder that services write to, each
//! file is replaced by a rename, and what is not of the repository is left alone. As root, below a folder
//! that a container may write to: no link is ever followed on the way, or a container could have any file of the host
//! replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::error::GitError;
use super::objects::bodies;
use super::repository::{Repository, replace};
use crate::desired::snapshot::RelPath;
use crate::desired::tree::{Blob, BlobKind, Pin, PinKind, Tree};

/// One file that a container is given. Bytes.
const LARGEST: u64 = 256 << 20;
/// Read from git at a time, to bound the memory. Bytes.
const BATCH: u64 = 32 << 20;

/// What is in the folders that services write to and came from the repository.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    /// Path below the root to git's name of the content and how it was written.
    files: BTreeMap<RelPath, (String, bool)>,
}

/// Puts everything in its place. What is there already costs a look.
///
/// # Errors
/// The disk refuses, the copy of the repository is damaged, a file is too large.
pub(super) fn place(
    repository: &Repository,
    root: &Path,
    tree: &Tree,
    pins: &BTreeSet<Pin>,
) -> Result<(), GitError> {
    let mut live = Vec::new();
    for pin in pins {
        match &pin.kind {
            PinKind::Copy(path) => copy(repository, tree, Path::new(path), &pin.files)?,
            PinKind::Live(folder) => live.push((folder, &pin.files)),
        }
    }
    if live.is_empty() { Ok(()) } else { write_live(repository, root, tree, &live) }
}

pub(super) fn copy(
    repository: &Repository,
    tree: &Tree,
    target: &Path,
    files: &[(String, RelPath)],
) -> Result<(), GitError> {
    if target.symlink_metadata().is_ok() {
        return Ok(());
    }
    let Some(place) = target.parent() else { return Ok(()) };
    let new =
        place.with_file_name(format!(".new-{}", place.file_name().unwrap_or_default().to_string_lossy()));
    let made = || -> Result<(), GitError> {
        if new.exists() {
            fs::remove_dir_all(&new).map_err(|error| GitError::disk("remove", &new, &error))?;
        }
        let inside = new.join(target.file_name().unwrap_or_default());
        make_readable(&new).map_err(|error| GitError::disk("make", &new, &error))?;
        each(repository, tree, files, |name, blob, body| {
            let path = if name.is_empty() { inside.clone() } else { inside.join(name) };
            put(&path, blob, body).map_err(|error| GitError::disk("write", &path, &error))
        })?;
        // A digest without its files would pass for whole after a power failure.
        sync(&new).map_err(|error| GitError::disk("write", &new, &error))?;
        if place.exists() {
            fs::remove_dir_all(place).map_err(|error| GitError::disk("remove", place, &error))?;
        }
        fs::rename(&new, place).map_err(|error| GitError::disk("rename", &new, &error))
    };
    made().inspect_err(|_| {
        let _gone = fs::remove_dir_all(&new);
    })
}

/// Goes through the contents, a bounded part at a time.
fn each(
    repository: &Repository,
    tree: &Tree,
    files: &[(String, RelPath)],
    mut take: impl FnMut(&str, &Blob, &[u8]) -> Result<(), GitError>,
) -> Result<(), GitError> {
    let all: Vec<(&str, &Blob)> = files
        .iter()
        .filter_map(|(name, path)| Some((name.as_str(), tree.entries.get(path)?)))
        .filter(|(_, blob)| blob.kind != BlobKind::Submodule)
        .collect();
    if let Some((name, blob)) = all.iter().find(|(_, blob)| blob.size > LARGEST) {
        let why = format!(
            "`{name}` has {} MiB; a file of a repository may have {} MiB",
            blob.size >> 20,
            LARGEST >> 20
        );
        return Err(GitError::TooLarge { what: "cat-file", why });
    }
    let mut rest = all.as_slice();
    while let Some((_, first)) = rest.first() {
        let mut size = first.size;
        let more = rest.iter().skip(1).take_while(|(_, blob)| {
            size += blob.size;
            size <= BATCH
        });
        let (part, later) = rest.split_at(1 + more.count());
        let oids = part.iter().map(|(_, blob)| blob.oid.clone()).collect();
        let found = bodies(repository, &oids)?;
        for (name, blob) in part {
            take(name, blob, found.get(&blob.oid).map(Vec::as_slice).unwrap_or_default())?;
        }
        rest = later;
    }
    Ok(())
}

fn mode(blob: &Blob) -> u32 {
    if blob.kind == BlobKind::Executable { 0o755 } else { 0o644 }
}

/// Writes one file of a folder that nobody else knows yet.
fn put(path: &Path, blob: &Blob, body: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        make_readable(folder)?;
    }
    if let BlobKind::Link(target) = &blob.kind {
        return std::os::unix::fs::symlink(target, path);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode(blob)).open(path)?;
    file.write_all(body)?;
    // As it is in the repository, whatever the umask of this process says: it is for programs in containers, of any user.
    file.set_permissions(fs::Permissions::from_mode(mode(blob)))?;
    file.sync_all()
}

/// A folder that everybody may look into, with those above it that are not there yet.
fn make_readable(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_readable(above)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Brings the folders up to date that services write to.
fn write_live(
    repository: &Repository,
    root: &Path,
    tree: &Tree,
    folders: &[(&RelPath, &Vec<(String, RelPath)>)],
) -> Result<(), GitError> {
    make_readable(root).map_err(|error| GitError::disk("make", root, &error))?;
    let list = repository.home().join("written.json");
    let text = fs::read(&list).unwrap_or_default();
    let mut written: Written = serde_json::from_slice(&text).unwrap_or_default();
    let top = open_root(root).map_err(|error| GitError::disk("open", root, &error))?;
    for (folder, files) in folders {
        let stale = |path: &RelPath| {
            let own = path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
            own && !files.iter().any(|(_, file)| file == path)
        };
        let gone: Vec<RelPath> = written.files.keys().filter(|path| stale(path)).cloned().collect();
        for path in gone {
            remove_live(&top, &path)
                .map_err(|error| GitError::disk("remove", &root.join(path.as_str()), &error))?;
            written.files.remove(&path);
        }
        let open: Vec<(String, RelPath)> = files
            .iter()
            .filter(|(_, path)| {
                let now =
                    tree.entries.get(path).map(|blob| (blob.oid.clone(), blob.kind == BlobKind::Executable));
                now.as_ref() != written.files.get(path)
            })
            // By the whole path: `each` hands the name back.
            .map(|(_, path)| (path.as_str().to_owned(), path.clone()))
            .collect();
        each(repository, tree, &open, |name, blob, body| {
            let failed = |error: io::Error| GitError::disk("write", &root.join(name), &error);
            put_live(&top, name, blob, body).map_err(failed)?;
            if let Some(path) = RelPath::new(name) {
                let how = (blob.oid.clone(), blob.kind == BlobKind::Executable);
                written.files.insert(path, how);
            }
            Ok(())
        })?;
    }
    let text = serde_json::to_vec(&written).unwrap_or_default();
    replace(&list, &text, 0o600).map_err(|error| GitError::disk("write", &list, &error))
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(root, FOLDER, Mode::empty())?)
}

/// Opens the folder of a path below `top`, part by part. `None`: there is none, and none was to be made.
fn folder_of(top: &OwnedFd, path: &str, make: bool) -> io::Result<Option<(OwnedFd, String)>> {
    let mut here = top.try_clone()?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return Ok(Some((here, part.to_owned())));
        }
        if make {
            let mode = Mode::from_raw_mode(0o755);
            match rustix::fs::mkdirat(&here, part, mode) {
                // A folder that a container made may be a link by now, so its mode is set through a handle of its own.
                Ok(()) => {
                    let made = rustix::fs::openat(&here, part, FOLDER, Mode::empty())?;
                    rustix::fs::fchmod(&made, mode)?;
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        here = match rustix::fs::openat(&here, part, FOLDER, Mode::empty()) {
            Ok(next) => next,
            Err(rustix::io::Errno::NOENT) if !make => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(None)
}

fn put_live(top: &OwnedFd, path: &str, blob: &Blob, body: &[u8]) -> io::Result<()> {
    let Some((folder, name)) = folder_of(top, path, true)? else { return Ok(()) };
    let new = format!(".evenkeel-new-{}", blob.oid.get(..12).unwrap_or_default());
    match rustix::fs::unlinkat(&folder, new.as_str(), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    if let BlobKind::Link(target) = &blob.kind {
        rustix::fs::symlinkat(target.as_str(), &folder, new.as_str())?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let permissions = fs::Permissions::from_mode(mode(blob));
        let mode = Mode::from_raw_mode(mode(blob));
        let mut file = fs::File::from(rustix::fs::openat(&folder, new.as_str(), flags, mode)?);
        file.write_all(body)?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
    }
    Ok(rustix::fs::renameat(&folder, new.as_str(), &folder, name.as_str())?)
}

fn remove_live(top: &OwnedFd, path: &RelPath) -> io::Result<()> {
    let Some((folder, name)) = folder_of(top, path.as_str(), false)? else { return Ok(()) };
    match rustix::fs::unlinkat(&folder, name.as_str(), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes copies that nothing names any more and nobody has touched for a day.
pub(super) fn clear(copies: &Path, used: &BTreeSet<PathBuf>, now: SystemTime) -> usize {
    let Ok(entries) = fs::read_dir(copies) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let named = used.iter().any(|used| used.starts_with(&path));
        let age =
            entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if !named
            && age.is_some_and(|age| age > Duration::from_secs(86_400))
            && fs::remove_dir_all(&path).is_ok()
        {
            removed += 1;
        }
    }
    removed
}
