//! What the kernel tells about a directory tree.
//!
//! Each folder that was read is watched by itself, never recursively: skipped folders (`.git`) cost nothing, and a folder
//! that was replaced is recognised by its inode. The parents of the root are watched for the root alone, because a root that
//! is replaced reports its own departure and then nothing. What the kernel does not tell (network file systems, a queue that
//! overflowed, a watch that could not be had) the regular read finds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::debounce::Edit;
use super::read::FolderId;

/// More folders than this are not watched but read regularly: the kernel's default limit is 8192 for all programs together.
const FOLDER_LIMIT: usize = 4096;

/// What wakes the thread that reads. Holds no more than the fact that something happened, however much does.
#[derive(Debug, Default)]
pub(super) struct Wake {
    signals: Mutex<Signals>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signals {
    edit: Option<Edit>,
    rescan: bool,
    stop: bool,
    /// The folders watched now. The kernel drops a watch when its folder is removed; so do we, to watch its successor.
    watched: BTreeMap<PathBuf, FolderId>,
    /// The paths that lead to the root: all that counts in the folders above it.
    roots: Vec<PathBuf>,
    /// A folder above the root went away, and the watch on it too.
    parents_lost: bool,
}

/// What happened since the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Woken {
    pub(super) edit: Option<Edit>,
    pub(super) rescan: bool,
    pub(super) stop: bool,
}

impl Wake {
    fn lock(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rescan(&self) {
        self.lock().rescan = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits at most `limit` for anything to happen, and takes it.
    pub(super) fn wait(&self, limit: Duration) -> Woken {
        let quiet = |signals: &mut Signals| signals.edit.is_none() && !signals.rescan && !signals.stop;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, quiet);
        let (mut signals, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Woken { edit: signals.edit.take(), rescan: std::mem::take(&mut signals.rescan), stop: signals.stop }
    }

    fn event(&self, event: notify::Result<Event>) {
        let mut signals = self.lock();
        let edit = match &event {
            Ok(event) if event.need_rescan() => {
                signals.forget_watches();
                Some(Edit::Finished)
            }
            Ok(event) => signals.judge(event),
            Err(_) => Some(Edit::Ongoing),
        };
        if edit.is_some() {
            // The latest says best how things stand.
            signals.edit = edit;
            drop(signals);
            self.changed.notify_all();
        }
    }
}

impl Signals {
    /// The kernel's queue ran over. That a folder went, and its watch with it, may be among what was lost, and its successor can
    /// bear the same inode: every folder is watched anew.
    fn forget_watches(&mut self) {
        self.watched.clear();
        self.parents_lost = true;
    }

    fn judge(&mut self, event: &Event) -> Option<Edit> {
        let edit = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Edit::Finished,
            // Our own reading: listening to it, the watch would feed itself.
            EventKind::Access(_) => return None,
            EventKind::Modify(ModifyKind::Name(_)) => Edit::Finished,
            _ => Edit::Ongoing,
        };
        if !event.paths.is_empty() && !event.paths.iter().any(|path| self.concerns(path)) {
            return None;
        }
        if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            for path in &event.paths {
                self.watched.retain(|folder, _| !folder.starts_with(path));
                self.parents_lost |= self.leads_to_root(path);
            }
        }
        Some(edit)
    }

    fn leads_to_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| root.starts_with(path))
    }

    fn concerns(&self, path: &Path) -> bool {
        self.leads_to_root(path)
            || self.watched.contains_key(path)
            || path.parent().is_some_and(|parent| self.watched.contains_key(parent))
    }
}

/// The watches of one root.
pub(super) struct Watches {
    wake: Arc<Wake>,
    watcher: RecommendedWatcher,
    /// Folders above the root, with the one that is watched there.
    parents: BTreeMap<PathBuf, FolderId>,
}

impl Watches {
    pub(super) fn new(wake: &Arc<Wake>) -> notify::Result<Self> {
        let told = Arc::clone(wake);
        let watcher = notify::recommended_watcher(move |event| told.event(event))?;
        Ok(Self { wake: Arc::clone(wake), watcher, parents: BTreeMap::new() })
    }

    /// Watches the folders that the last read visited, and the way to the root. Returns whether a watch is new: what
    /// happened there before has not been told, so it must be read once more.
    ///
    /// # Errors
    /// The kernel gives no more watches, or can't watch here.
    pub(super) fn arm(&mut self, root: &Path, folders: &BTreeMap<PathBuf, FolderId>) -> notify::Result<bool> {
        if folders.len() > FOLDER_LIMIT {
            return Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        }
        let watched = self.wake.lock().watched.clone();
        // Leave first: a folder that was renamed keeps its watch under the old name otherwise.
        for (path, id) in &watched {
            if folders.get(path) != Some(id) {
                let _ = self.watcher.unwatch(path);
                self.wake.lock().watched.remove(path);
            }
        }
        let mut new = self.arm_parents(root)?;
        for (path, id) in folders {
            if watched.get(path) != Some(id) {
                // First in the set, so that an event that comes at once is not taken for a stranger's.
                self.wake.lock().watched.insert(path.clone(), *id);
                match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                    Ok(()) => new = true,
                    Err(error) => {
                        self.wake.lock().watched.remove(path);
                        if !matches!(error.kind, notify::ErrorKind::PathNotFound) {
                            return Err(error);
                        }
                        new = true;
                    }
                }
            }
        }
        Ok(new)
    }

    fn arm_parents(&mut self, root: &Path) -> notify::Result<bool> {
        let mut roots = vec![root.to_owned()];
        // A link to the root is watched by its real place, where the events name it.
        if let (Some(parent), Some(name)) = (root.parent(), root.file_name())
            && let Ok(parent) = parent.canonicalize()
        {
            roots.push(parent.join(name));
        }
        roots.extend(root.canonicalize());
        roots.sort_unstable();
        roots.dedup();
        let wanted: BTreeMap<PathBuf, FolderId> = roots
            .iter()
            .filter_map(|path| super::read::folder_of(path))
            .filter_map(|(path, id)| Some((path.canonicalize().ok()?, id)))
            .collect();
        let lost = {
            let mut signals = self.wake.lock();
            signals.roots = roots;
            std::mem::take(&mut signals.parents_lost)
        };
        if lost {
            for path in std::mem::take(&mut self.parents).into_keys() {
                let _ = self.watcher.unwatch(&path);
            }
        }
        for path in self.parents.keys() {
            // One that lies within the tree of another root path is watched for its own sake.
            if !wanted.contains_key(path) && !self.wake.lock().watched.contains_key(path) {
                let _ = self.watcher.unwatch(path);
            }
        }
        let mut new = false;
        for (path, id) in &wanted {
            if self.parents.get(path) != Some(id) {
                new = true;
                match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.parents = wanted;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use notify::event::Flag;

    use super::*;

    const NOTHING: Woken = Woken { edit: None, rescan: false, stop: false };

    #[test]
    fn after_an_overflow_everything_is_read_and_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("desired");
        std::fs::create_dir(&root).unwrap();
        let folders = BTreeMap::from_iter(super::super::read::folder_of(&root.join("x")));
        assert!(folders.contains_key(&root));
        let wake = Arc::new(Wake::default());
        let mut watches = Watches::new(&wake).unwrap();
        assert!(watches.arm(&root, &folders).unwrap());
        assert!(!watches.arm(&root, &folders).unwrap(), "nothing is left to watch");
        assert_eq!(wake.wait(Duration::ZERO), NOTHING);

        // As notify tells of IN_Q_OVERFLOW.
        wake.event(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(wake.wait(Duration::ZERO).edit, Some(Edit::Finished));
        assert!(watches.arm(&root, &folders).unwrap(), "what was watched before counts no more");
        std::fs::write(root.join("web.toml"), "").unwrap();
        assert!(wake.wait(Duration::from_secs(10)).edit.is_some(), "the new watch tells of nothing");
    }

    #[test]
    fn more_folders_than_may_be_watched_are_none() {
        let wake = Arc::new(Wake::default());
        let one = super::super::read::folder_of(Path::new("/tmp/x")).unwrap().1;
        let many = (0..=FOLDER_LIMIT).map(|n| (PathBuf::from(format!("/tmp/x/{n}")), one)).collect();
        let refused = Watches::new(&wake).unwrap().arm(Path::new("/tmp/x"), &many).unwrap_err();
        assert!(matches!(refused.kind, notify::ErrorKind::MaxFilesWatch), "{refused}");
    }
}
