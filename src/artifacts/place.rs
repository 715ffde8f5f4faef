//! Versions beside a target, the switch between them, and the way back.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::journal::{Inode, Journal, NAME, Open, Swapped, Version};
use super::unpack::sync;
use super::{Fault, Result};
use crate::desired::work::Swap;
use crate::state::time::Timestamp;

/// What is being filled, what is going, and a link on its way: none of them is a version.
const NEW: &str = ".new-";
const GONE: &str = ".gone-";
const LINK: &str = ".link";
/// A link to what was in place before, for whoever has to go back without evenkeel.
const PREVIOUS: &str = "previous";

/// One target on the host.
#[derive(Debug, Clone)]
pub struct Place {
    to: PathBuf,
    folder: PathBuf,
    swap: Swap,
    owner: String,
    artifact: String,
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The version in place; `None`: none of ours, or nothing.
    pub current: Option<String>,
    /// It is in place in the way that is wanted.
    pub as_wanted: bool,
    pub journal: Journal,
    /// Versions that are whole, by id.
    pub whole: Vec<String>,
}

/// How a switch was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    InOne,
    /// The file system cannot exchange: there was a moment without anything in place.
    InTwo,
}

impl Place {
    /// `to`: absolute, clean, at least two levels deep.
    #[must_use]
    pub fn new(to: &str, swap: Swap, owner: &str, artifact: &str) -> Self {
        Self {
            to: PathBuf::from(to),
            folder: PathBuf::from(format!("{to}.d")),
            swap,
            owner: owner.to_owned(),
            artifact: artifact.to_owned(),
        }
    }

    /// Where a version lies, or will.
    #[must_use]
    pub fn version(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// It cannot be looked at; or what is there is somebody else's.
    pub fn look(&self) -> Result<Seen> {
        let journal = match Journal::read(&self.folder)? {
            Some(journal) => journal,
            None => {
                self.refuse_strangers()?;
                Journal::default()
            }
        };
        if !journal.owner.is_empty() && (&journal.owner, &journal.artifact) != (&self.owner, &self.artifact) {
            return Err(Fault::Refused(format!(
                "{} belongs to the artifact {} of the instance {}: two cannot have one target",
                self.folder.display(),
                journal.artifact,
                journal.owner
            )));
        }
        let mut seen = Seen { whole: self.whole()?, ..Seen::default() };
        match fs::symlink_metadata(&self.to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::io("look at", &self.to)(error)),
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&self.to).map_err(Fault::io("look at", &self.to))?;
                let id = self
                    .id_of_link(&target)
                    .ok_or_else(|| self.foreign(&format!("a link to {}", target.display())))?;
                // The link is as good as what it leads to.
                seen.current = Some(id).filter(|id| seen.whole.contains(id));
                seen.as_wanted = self.swap == Swap::Symlink && seen.current.is_some();
            }
            Ok(found) => {
                let inode = inode(&found);
                let known = journal.versions.iter().find(|(_, version)| version.inode == inode);
                let what = if found.is_dir() { "a folder" } else { "a file" };
                let (id, _) = known.ok_or_else(|| self.foreign(what))?;
                seen.current = Some(id.clone());
                seen.as_wanted = self.swap == Swap::Exchange;
            }
        }
        seen.journal = journal;
        Ok(seen)
    }

    fn foreign(&self, what: &str) -> Fault {
        Fault::Refused(format!(
            "{to} is {what} that evenkeel did not make, and it is not touched: move it away (mv {to} {to}.before), or name another path",
            to = self.to.display()
        ))
    }

    fn refuse_strangers(&self) -> Result<()> {
        let mut entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Fault::io("read", &self.folder)(error)),
        };
        // An empty one, or one whose first journal was not written to its end, is what a crash leaves.
        let strange = entries
            .any(|entry| entry.map_or(true, |entry| !entry.file_name().to_string_lossy().starts_with(NAME)));
        if !strange {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(Fault::Refused(format!(
            "{folder} is there and evenkeel did not make it: that is where versions of {} would lie; move it away, or name another path",
            self.to.display()
        )))
    }

    /// `<name>.d/<id>`, as we write it.
    fn id_of_link(&self, target: &Path) -> Option<String> {
        let folder = self.folder.file_name()?;
        let id = target.strip_prefix(folder).ok()?.to_str()?;
        is_id(id).then(|| id.to_owned())
    }

    fn whole(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Fault::io("read", &self.folder)(error)),
        };
        let mut whole = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Fault::io("read", &self.folder))?;
            whole.extend(entry.file_name().to_str().filter(|name| is_id(name)).map(str::to_owned));
        }
        whole.sort();
        Ok(whole)
    }

    /// Makes the folder of versions, takes up what a crash left, and removes what is of no use. Returns what is there then.
    ///
    /// # Errors
    /// See [`Self::look`].
    pub fn prepare(&self) -> Result<Seen> {
        let mut seen = self.look()?;
        let above = self.to.parent().unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(Fault::Refused(format!(
                "{} is no folder: make it first, as whoever is to own it",
                above.display()
            )));
        }
        if !self.folder.exists() {
            let made = fs::DirBuilder::new().mode(0o755).create(&self.folder);
            made.map_err(Fault::io("make the folder", &self.folder))?;
            // Whatever the umask says: what is behind the link must be reached.
            let open = fs::set_permissions(&self.folder, Permissions::from_mode(0o755));
            open.map_err(Fault::io("set the mode of", &self.folder))?;
            sync(above)?;
        }
        let journal = &mut seen.journal;
        (journal.owner, journal.artifact) = (self.owner.clone(), self.artifact.clone());
        self.right_names(journal)?;
        self.clear()?;
        seen.whole = self.whole()?;
        let there = |id: &String| seen.whole.contains(id) || seen.current.as_ref() == Some(id);
        journal.versions.retain(|id, _| there(id));
        if let Some(current) = &seen.current
            && journal.swaps.last().map(|swap| &swap.id) != Some(current)
        {
            // Ended between the switch and its note.
            let at = journal.versions.get(current).map(|version| version.since).unwrap_or_default();
            journal.swaps.push(Swapped { id: current.clone(), at });
        }
        if journal.open.as_ref().is_some_and(|open| !open.hooks || Some(&open.id) != seen.current.as_ref()) {
            // The switch was not made, or was taken back, or nothing was to follow it.
            journal.open = None;
        }
        journal.write(&self.folder)?;
        Ok(seen)
    }

    /// After an exchange the old files have the name of the new ones for a moment.
    fn right_names(&self, journal: &Journal) -> Result<()> {
        let found: Vec<(String, Inode)> = self
            .whole()?
            .into_iter()
            .filter_map(|name| Some((name.clone(), inode(&fs::symlink_metadata(self.version(&name)).ok()?))))
            .collect();
        for (name, inode) in found {
            let right = journal.versions.iter().find(|(_, version)| version.inode == inode).map(|(id, _)| id);
            if let Some(right) = right.filter(|right| **right != name) {
                let (from, to) = (self.version(&name), self.version(right));
                fs::rename(&from, &to).map_err(Fault::io("rename", &from))?;
                sync(&self.folder)?;
            }
        }
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder).map_err(Fault::io("read", &self.folder))? {
            let entry = entry.map_err(Fault::io("read", &self.folder))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(NEW) || name.starts_with(GONE) || *name == *LINK {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A version is filled by `fill`, which is given a path that is not there, and gets its name when it is whole.
    ///
    /// # Errors
    /// Those of `fill`; nothing is left then.
    pub fn stage(&self, id: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let fresh = self.folder.join(format!("{NEW}{id}"));
        remove(&fresh)?;
        if let Err(fault) = fill(&fresh) {
            // What cannot be removed now is removed at the next look.
            let _left = remove(&fresh);
            return Err(fault);
        }
        let whole = self.version(id);
        fs::rename(&fresh, &whole).map_err(Fault::io("rename", &fresh))?;
        sync(&self.folder)
    }

    /// Puts a whole version in place.
    ///
    /// # Errors
    /// What was in place still is.
    pub fn switch(
        &self,
        seen: &mut Seen,
        id: &str,
        image: &str,
        hooks: bool,
        now: Timestamp,
    ) -> Result<Switched> {
        let path = self.version(id);
        let found = fs::symlink_metadata(&path).map_err(Fault::io("look at", &path))?;
        let version = Version { inode: inode(&found), image: image.to_owned(), since: now };
        let before = seen.current.clone();
        let journal = &mut seen.journal;
        journal.versions.insert(id.to_owned(), version);
        journal.open = Some(Open { id: id.to_owned(), before: before.clone(), hooks, done: 0, tries: 0 });
        journal.write(&self.folder)?;
        let switched = match self.swap {
            Swap::Symlink => self.switch_link(seen, id)?,
            Swap::Exchange => self.exchange(seen, &path)?,
        };
        let above = self.to.parent().unwrap_or(Path::new("/"));
        sync(above)?;
        let journal = &mut seen.journal;
        self.right_names(journal)?;
        self.clear()?;
        journal.swaps.push(Swapped { id: id.to_owned(), at: now });
        if !hooks {
            journal.open = None;
        }
        journal.write(&self.folder)?;
        (seen.current, seen.as_wanted) = (Some(id.to_owned()), true);
        seen.whole = self.whole()?;
        self.point_back(before.as_deref());
        Ok(switched)
    }

    fn switch_link(&self, seen: &Seen, id: &str) -> Result<Switched> {
        let fresh = self.folder.join(LINK);
        remove(&fresh)?;
        let folder = self.folder.file_name().unwrap_or_default();
        symlink(Path::new(folder).join(id), &fresh).map_err(Fault::io("make the link", &fresh))?;
        if seen.current.is_some() && !seen.as_wanted {
            // Until now the files themselves were in place.
            return match self.swap_names(&fresh) {
                Ok(()) => Ok(Switched::InOne),
                Err(error) => Err(Fault::io("exchange", &self.to)(error)),
            };
        }
        fs::rename(&fresh, &self.to).map_err(Fault::io("replace", &self.to))?;
        Ok(Switched::InOne)
    }

    fn exchange(&self, seen: &mut Seen, path: &Path) -> Result<Switched> {
        if fs::symlink_metadata(&self.to).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let renamed = renameat_with(CWD, path, CWD, &self.to, RenameFlags::NOREPLACE);
            let renamed = renamed.map_err(io::Error::from).or_else(|error| match error.kind() {
                ErrorKind::AlreadyExists => Err(error),
                // A file system without this flag.
                _ => fs::rename(path, &self.to),
            });
            renamed.map_err(Fault::io("put in place", &self.to))?;
            return Ok(Switched::InOne);
        }
        match self.swap_names(path) {
            Ok(()) => {
                // A link of ours was in place until now, and has the version's name.
                if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
                    remove(path)?;
                }
                Ok(Switched::InOne)
            }
            Err(error) if error.raw_os_error().is_some_and(|code| [INVAL, NOSYS].contains(&code)) => {
                let aside = match &seen.current {
                    Some(id) if seen.as_wanted => self.version(id),
                    _ => self.folder.join(LINK),
                };
                fs::rename(&self.to, &aside).map_err(Fault::io("move aside", &self.to))?;
                fs::rename(path, &self.to).map_err(Fault::io("put in place", &self.to))?;
                Ok(Switched::InTwo)
            }
            Err(error) => Err(Fault::io("exchange", &self.to)(error)),
        }
    }

    fn swap_names(&self, with: &Path) -> io::Result<()> {
        renameat_with(CWD, with, CWD, &self.to, RenameFlags::EXCHANGE).map_err(io::Error::from)
    }

    /// Best effort: it only helps whoever has to do without evenkeel.
    fn point_back(&self, before: Option<&str>) {
        let (fresh, link) = (self.folder.join(LINK), self.folder.join(PREVIOUS));
        let Some(before) = before else { return };
        let made = symlink(before, &fresh).and_then(|()| fs::rename(&fresh, &link));
        if let Err(error) = made {
            tracing::debug!(%error, link = %link.display(), "could not point back");
        }
    }

    /// Notes that the next command after the switch begins. Returns how often it has been begun.
    ///
    /// # Errors
    /// It could not be made durable, so it must not begin.
    pub fn begin_hook(&self, seen: &mut Seen) -> Result<u32> {
        let Some(open) = &mut seen.journal.open else { return Ok(0) };
        open.tries += 1;
        let tries = open.tries;
        seen.journal.write(&self.folder)?;
        Ok(tries)
    }

    /// Notes that the command with this number, from 0, is over.
    ///
    /// # Errors
    /// It could not be made durable: it may be run once more.
    pub fn end_hook(&self, seen: &mut Seen, number: usize) -> Result<()> {
        if let Some(open) = &mut seen.journal.open {
            (open.done, open.tries) = (u32::try_from(number + 1).unwrap_or(u32::MAX), 0);
        }
        seen.journal.write(&self.folder)
    }

    /// The switch is over.
    ///
    /// # Errors
    /// It could not be made durable: the commands may run once more.
    pub fn close(&self, seen: &mut Seen) -> Result<()> {
        seen.journal.open = None;
        seen.journal.write(&self.folder)
    }

    /// A version that was put back is none to go back to.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn forget(&self, seen: &mut Seen, id: &str) -> Result<()> {
        seen.journal.swaps.retain(|swap| swap.id != id);
        seen.journal.write(&self.folder)?;
        remove(&self.folder.join(PREVIOUS))?;
        self.point_back(self.previous(seen).as_deref());
        Ok(())
    }

    /// Removes versions beyond the `keep` newest beside the one in place. Returns how many went.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn drop_old(&self, seen: &mut Seen, keep: usize) -> Result<usize> {
        let mut newest: Vec<String> = Vec::new();
        for swap in seen.journal.swaps.iter().rev() {
            if Some(&swap.id) != seen.current.as_ref() && !newest.contains(&swap.id) {
                newest.push(swap.id.clone());
            }
        }
        newest.truncate(keep);
        let goes: Vec<String> = self
            .whole()?
            .into_iter()
            .filter(|id| !newest.contains(id) && Some(id) != seen.current.as_ref())
            .collect();
        for id in &goes {
            // Under its own name it is whole, to the last.
            let (whole, gone) = (self.version(id), self.folder.join(format!("{GONE}{id}")));
            fs::rename(&whole, &gone).map_err(Fault::io("rename", &whole))?;
            remove(&gone)?;
            seen.journal.versions.remove(id);
        }
        if !goes.is_empty() {
            seen.journal.write(&self.folder)?;
        }
        seen.whole = self.whole()?;
        Ok(goes.len())
    }

    /// The version that was in place before this one, if it is still there.
    #[must_use]
    pub fn previous(&self, seen: &Seen) -> Option<String> {
        let swaps = seen.journal.swaps.iter().rev().map(|swap| &swap.id);
        swaps.filter(|id| Some(*id) != seen.current.as_ref()).find(|id| seen.whole.contains(id)).cloned()
    }
}

const INVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
const NOSYS: i32 = rustix::io::Errno::NOSYS.raw_os_error();

fn inode(found: &fs::Metadata) -> Inode {
    Inode { device: found.dev(), number: found.ino() }
}

/// Ids are hexadecimal: nothing else in the folder is a version.
#[must_use]
pub fn is_id(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A file, a link, or a folder with all that is in it.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(Fault::io("remove", path))
}
