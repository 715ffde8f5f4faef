//! An archive becomes files.
//!
//! Nothing in it is followed: each path was let in by the [`Gate`], which knows every folder on the way as one that was made here, and the folder that
//! it all goes into is entered by nobody else while it is filled.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use super::entry::{Gate, Kind, Limits, Make};
use super::{Fault, Result};

/// How files are to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Permission bits of files; of folders, with the right to enter for whoever may read. `None`: as in the image.
    pub mode: Option<u32>,
}

/// An archive ends with two blocks of zeros.
const BLOCK: usize = 512;
/// Bits that an image must not bring onto the host: whoever runs the file would be somebody else.
const PLAIN: u32 = 0o777;

/// Unpacks what was copied from `source` into `root`, which must not be there, and makes all of it durable. `require`: paths that must
/// be in it.
///
/// # Errors
/// Something of it may not be there, or cannot be. What was made of it is left to be removed.
pub fn unpack(
    archive: impl Read,
    root: &Path,
    source: &str,
    look: &Look,
    require: &[String],
    limits: Limits,
) -> Result<()> {
    let refused = |why: String| Fault::Refused(format!("the archive of {source} is refused: {why}"));
    let mut gate = Gate::new(source, limits);
    let mut work = Work { root, look, folders: BTreeMap::new(), made: Vec::new() };
    let mut zeros = 0;
    let mut archive = Archive::new(Ends { archive, zeros: &mut zeros });
    let read = |error: io::Error| Fault::Io { what: format!("read the archive of {source}"), error };
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let path = entry.path_bytes().into_owned();
        let target = entry.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default();
        let kind = match entry.header().entry_type() {
            EntryType::Directory => Kind::Folder,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                Kind::File { size: entry.size() }
            }
            EntryType::Symlink => Kind::Symlink { target: &target },
            EntryType::Link => Kind::Hardlink { target: &target },
            EntryType::XGlobalHeader => continue,
            _ => Kind::Other,
        };
        let size = entry.size();
        let make = gate.admit(&path, kind).map_err(refused)?;
        let mode = entry.header().mode().unwrap_or(0o755) & PLAIN;
        let modified = entry.header().mtime().unwrap_or_default();
        work.make(make, (mode, modified, size), &mut entry)?;
    }
    drop(archive);
    // A line that breaks between two files would look like the end of it.
    if zeros < BLOCK {
        return Err(read(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early")));
    }
    gate.finish().map_err(refused)?;
    let missing: Vec<&str> = require.iter().map(String::as_str).filter(|path| !gate.has(path)).collect();
    if !missing.is_empty() {
        return Err(Fault::Refused(format!("{source} lacks what it must have: {}", missing.join(", "))));
    }
    work.finish()
}

/// Counts the zeros that an archive ends with.
struct Ends<'z, R> {
    archive: R,
    zeros: &'z mut usize,
}

impl<R: Read> Read for Ends<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.archive.read(into)?;
        let piece = into.get(..size).unwrap_or_default();
        let trailing = piece.iter().rev().take_while(|byte| **byte == 0).count();
        *self.zeros = if trailing == size { *self.zeros + size } else { trailing };
        Ok(size)
    }
}

struct Work<'a> {
    root: &'a Path,
    look: &'a Look,
    /// Modes that folders get at the end: until then evenkeel must be able to write into them.
    folders: BTreeMap<PathBuf, u32>,
    /// Files, to be made durable.
    made: Vec<PathBuf>,
}

impl Work<'_> {
    /// `says`: mode, time and size, as the archive says them.
    fn make(&mut self, make: Make, says: (u32, u64, u64), content: &mut impl Read) -> Result<()> {
        let (mode, modified, size) = says;
        match make {
            Make::Folder(path) => {
                self.folder(&path)?;
                self.folders.insert(path, mode);
                Ok(())
            }
            Make::File(path) => {
                self.above(&path)?;
                self.file(&path, (mode, modified, size), content)
            }
            Make::Symlink { at, target } => {
                self.above(&at)?;
                let full = self.root.join(&at);
                symlink(target, &full).map_err(Fault::io("make the link", &full))?;
                self.own(&full)
            }
            Make::Hardlink { at, to } => {
                self.above(&at)?;
                let full = self.root.join(&at);
                fs::hard_link(self.root.join(to), &full).map_err(Fault::io("make the file", &full))
            }
        }
    }

    /// Folders that the archive does not tell of.
    fn above(&mut self, path: &Path) -> Result<()> {
        let Some(above) = path.parent() else { return Ok(()) };
        let missing: Vec<PathBuf> = above
            .ancestors()
            .take_while(|folder| !self.folders.contains_key(*folder))
            .map(Path::to_owned)
            .collect();
        for folder in missing.into_iter().rev() {
            self.folder(&folder)?;
            self.folders.insert(folder, 0o755);
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> Result<()> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        if !path.as_os_str().is_empty() {
            self.above(path)?;
        }
        let full = self.root.join(path);
        // `join` of nothing ends in a slash, which is fine for a folder.
        fs::DirBuilder::new().mode(0o700).create(&full).map_err(Fault::io("make the folder", &full))
    }

    fn file(&mut self, path: &Path, says: (u32, u64, u64), content: &mut impl Read) -> Result<()> {
        let (mode, modified, size) = says;
        let full = if path.as_os_str().is_empty() { self.root.to_owned() } else { self.root.join(path) };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(&full)
            .map_err(Fault::io("make the file", &full))?;
        let written = io::copy(content, &mut file).map_err(Fault::io("write", &full))?;
        if written != size {
            let early = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends early");
            return Err(Fault::io("write", &full)(early));
        }
        file.flush().map_err(Fault::io("write", &full))?;
        self.own(&full)?;
        let mode = self.look.mode.unwrap_or(mode) & PLAIN;
        file.set_permissions(Permissions::from_mode(mode)).map_err(Fault::io("set the mode of", &full))?;
        let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(modified));
        if let Some(at) = at {
            // A time that the file system cannot have is no reason to refuse the file.
            let _set = file.set_modified(at);
        }
        self.made.push(full);
        Ok(())
    }

    fn own(&self, full: &Path) -> Result<()> {
        match self.look.owner {
            Some((user, group)) => {
                lchown(full, Some(user), Some(group)).map_err(Fault::io("give away", full))
            }
            None => Ok(()),
        }
    }

    /// Modes of folders, the inner ones first, and everything onto the disk.
    fn finish(self) -> Result<()> {
        // One flush of the file system, then what each file has to say about it: thousands of flushes would take minutes.
        let top = File::open(self.root).map_err(Fault::io("open", self.root))?;
        rustix::fs::syncfs(&top).map_err(|error| Fault::io("flush", self.root)(error.into()))?;
        for file in &self.made {
            sync(file)?;
        }
        for (path, mode) in self.folders.iter().rev() {
            let full = if path.as_os_str().is_empty() { self.root.to_owned() } else { self.root.join(path) };
            self.own(&full)?;
            let mode = self.look.mode.map_or(*mode, |mode| mode | (mode & 0o444) >> 2) & PLAIN;
            fs::set_permissions(&full, Permissions::from_mode(mode))
                .map_err(Fault::io("set the mode of", &full))?;
            sync(&full)?;
        }
        Ok(())
    }
}

/// Makes a file, or the names in a folder, durable.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Fault::io("flush", path))
}

/// As bytes, for messages of paths that are no text.
#[must_use]
pub fn told(path: &Path) -> String {
    String::from_utf8_lossy(path.as_os_str().as_bytes()).escape_debug().to_string()
}
