//! The state directory: who may read it, who holds it, and how a damaged database leaves it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::error::StoreError;
use crate::state::time::Timestamp;

/// The database's file in the state directory.
pub(super) const DATABASE: &str = "state.db";
/// Where a new database is prepared, so that `state.db` is never half made.
pub(super) const DRAFT: &str = "state.db.new";
/// SQLite's own files beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Databases that were set aside are kept for whoever wants to look into them, but a bad disk must not fill itself with them.
const SET_ASIDE_KEPT: usize = 5;

/// Which file a path leads to.
pub(super) type FileId = (u64, u64);

pub(super) fn file_id(path: &Path) -> Option<FileId> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Makes the directory, or checks the one that is there. Returns its real path.
///
/// What stands in it decides what a privileged process does with the engine, and it holds environment values: nobody else
/// may write into it, and nobody else should read it.
pub(super) fn prepare(dir: &Path) -> Result<PathBuf, StoreError> {
    let failed = |doing| move |source| StoreError::file(doing, dir, source);
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(failed("create the folders above"))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        // A name lasts when the directory it stands in was synced: what is in a directory that is gone is not durable.
        Ok(()) => sync(&dir.join(".."))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StoreError::file("create the state directory", dir, error)),
    }
    let dir = &fs::canonicalize(dir).map_err(failed("find the state directory"))?;
    let meta = fs::metadata(dir).map_err(failed("look at the state directory"))?;
    if !meta.is_dir() {
        return Err(StoreError::Unsafe { dir: dir.clone(), reason: "it is not a directory".to_owned() });
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us {
        let reason = format!(
            "it belongs to user {}, and evenkeel runs as user {us}: run `chown {us} {}`, or choose another directory",
            meta.uid(),
            dir.display()
        );
        return Err(StoreError::Unsafe { dir: dir.clone(), reason });
    }
    if meta.mode() & 0o077 != 0 {
        restrict(dir, meta.mode())?;
    }
    Ok(dir.clone())
}

/// Takes others' rights off a directory that is ours alone. One that also holds something else (`/tmp`, a home) is not ours
/// to change: it is refused when others may write there, and otherwise the files' own modes must do.
fn restrict(dir: &Path, mode: u32) -> Result<(), StoreError> {
    let entries = fs::read_dir(dir).map_err(|source| StoreError::file("list", dir, source))?;
    let ours = entries.filter_map(Result::ok).all(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name == "lock" || name.starts_with(DATABASE)
    });
    if ours {
        return fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(|source| StoreError::file("take others' rights off", dir, source));
    }
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let reason = format!(
        "others may write into it and it holds other files too: choose a directory of its own, or run `chmod 700 {}`",
        dir.display()
    );
    Err(StoreError::Unsafe { dir: dir.to_owned(), reason })
}

/// Held as long as the process may write. The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes `<dir>/lock`, or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let failed = |source| StoreError::file("lock", &path, source);
        // A file that is deleted between our open and our lock would be locked for nothing: look again, a few times.
        for _ in 0..10 {
            let mut file = private().read(true).truncate(false).open(&path).map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(StoreError::InUse { dir: dir.to_owned(), pid: holder(&mut file) });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
            write_pid(&mut file).map_err(failed)?;
            let lock = Self { path: path.clone(), file };
            if lock.is_in_place() {
                return Ok(lock);
            }
        }
        Err(failed(io::Error::other("it is deleted again and again by someone else")))
    }

    /// False when someone removed the file: another process could then lock a new one.
    pub(super) fn is_in_place(&self) -> bool {
        let ours = self.file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        ours.is_some() && ours == file_id(&self.path)
    }
}

impl Drop for Lock {
    /// Closing alone would not do: a child that was forked a moment ago holds the same open file until it has called `exec`.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    let pid = text.trim();
    let known = read.is_ok() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    if known { pid.to_owned() } else { "unknown".to_owned() }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Options that create a file for us alone and follow no link.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.create(true).write(true).mode(0o600).custom_flags(flags);
    options
}

/// Creates `path` for us alone if it is missing, and takes others' rights off it. SQLite gives its companions the same mode.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::file("open", path, source);
    let file = private().truncate(false).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(())
}

/// The directory's own entries (names created, renamed, removed) are on the disk when this returns.
pub(super) fn sync(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| StoreError::file("write to disk", dir, source))
}

/// Removes what is left of a database that was never finished.
pub(super) fn clear_draft(dir: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = dir.join(format!("{DRAFT}{suffix}"));
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("remove", &path, error)),
        }
    }
    Ok(())
}

/// SQLite's log without its database: replayed into a new database it would damage that.
pub(super) fn has_orphaned_log(dir: &Path) -> bool {
    file_id(&dir.join(DATABASE)).is_none()
        && COMPANIONS.iter().any(|suffix| file_id(&dir.join(format!("{DATABASE}{suffix}"))).is_some())
}

/// Renames the database and its companions to `state.db.corrupt-<utc>`. The database goes first: a crash in between leaves
/// an orphaned log, which the next start recognises.
pub(super) fn set_aside(dir: &Path, at: Timestamp) -> Result<PathBuf, StoreError> {
    let stamp: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let mut name = format!("{DATABASE}.corrupt-{stamp}");
    let taken = |name: &str| {
        file_id(&dir.join(name)).is_some() || file_id(&dir.join(format!("{name}-wal"))).is_some()
    };
    for number in 2..1000 {
        if !taken(&name) {
            break;
        }
        name = format!("{DATABASE}.corrupt-{stamp}.{number}");
    }
    for suffix in std::iter::once("").chain(COMPANIONS) {
        let (from, to) = (dir.join(format!("{DATABASE}{suffix}")), dir.join(format!("{name}{suffix}")));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("set aside", &from, error)),
        }
    }
    sync(dir)?;
    drop_oldest_set_aside(dir);
    Ok(dir.join(name))
}

/// Best effort: what can't be removed is no reason to stop.
fn drop_oldest_set_aside(dir: &Path) {
    let prefix = format!("{DATABASE}.corrupt-");
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .map(|name| COMPANIONS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    let surplus = names.len().saturating_sub(SET_ASIDE_KEPT);
    for name in names.iter().take(surplus) {
        for suffix in std::iter::once("").chain(COMPANIONS) {
            let _ = fs::remove_file(dir.join(format!("{name}{suffix}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_given_back_is_free_whoever_still_holds_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        // What a forked child has until it calls `exec`.
        let inherited = lock.file.try_clone().unwrap();
        assert!(Lock::take(dir.path()).is_err());
        drop(lock);
        Lock::take(dir.path()).unwrap();
        drop(inherited);
    }
}
