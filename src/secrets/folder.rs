//! The files that containers mount. They lie in memory only: a disk that is sold, copied or backed up has none of them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use super::vault::{VALUE_CAP, is_older};
use crate::desired::provided::FileKey;

/// `statfs` of a file system in memory (linux/magic.h): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// What all of them together may take, where evenkeel mounts the file system itself.
const SIZE: &str = "size=256m,mode=0700";

/// See the module.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// How the folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory, and there.
    Good,
    /// Not there yet; it would be in memory.
    Missing,
    OnDisk,
}

impl Folder {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Looks, without making anything.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn look(&self) -> io::Result<Place> {
        let there = self.0.is_dir();
        let nearest = self.0.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        Ok(match (is_in_memory(nearest)?, there) {
            (true, true) => Place::Good,
            (true, false) => Place::Missing,
            (false, _) => Place::OnDisk,
        })
    }

    /// Makes the folder, in memory and for us alone.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn prepare(&self) -> Result<(), String> {
        let path = self.0.display();
        let failed = |error: io::Error| {
            format!(
                "the folder {path} for secrets cannot be made: {error}; make it for evenkeel's user, or set `secrets_dir` to a folder on a tmpfs that this user may write to"
            )
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed)?;
        if !is_in_memory(&self.0).map_err(failed)? {
            self.mount_one()?;
        }
        let meta = fs::metadata(&self.0).map_err(failed)?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!("the folder {path} for secrets belongs to user {}: remove it", meta.uid()));
        }
        if meta.mode() & 0o077 != 0 {
            fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(())
    }

    /// Where the folder is on a disk, a tmpfs over it. Only in the namespace of the whole host: the engine would not see it from another one.
    fn mount_one(&self) -> Result<(), String> {
        let path = self.0.display();
        let refused = |why: &str| {
            format!(
                "{path} is on a disk, and secrets are kept in memory only: {why}; set `secrets_dir` to a folder on a tmpfs (most systems have one at /run), or mount one: mount -t tmpfs -o mode=0700 tmpfs {path}"
            )
        };
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt"));
        let whole_host = matches!((namespace("self"), namespace("1")), (Ok(own), Ok(first)) if own == first);
        if !whole_host {
            return Err(refused("evenkeel cannot mount one where the engine would see it"));
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let data = std::ffi::CString::new(SIZE).map_err(|error| refused(&error.to_string()))?;
        mount("tmpfs", &self.0, "tmpfs", flags, Some(data.as_c_str()))
            .map_err(|error| refused(&format!("one cannot be mounted there ({error})")))?;
        tracing::info!(folder = %path, "a tmpfs was mounted for secrets, because the folder is on a disk");
        Ok(())
    }

    /// The file is there with these permissions.
    #[must_use]
    pub fn has(&self, name: &FileKey) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok_and(|meta| {
            meta.is_file() && meta.mode() & 0o7777 == name.mode && is_whose(name, meta.uid(), meta.gid())
        })
    }

    /// Puts a file there, as a whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, name: &FileKey, content: &[u8]) -> io::Result<()> {
        let draft = self.0.join(format!(".{name}-{:016x}", fastrand::u64(..)));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(content)?;
            give(&file, name)?;
            fs::rename(&draft, self.file(name))
        })();
        if written.is_err() {
            let _left = fs::remove_file(&draft);
        }
        written
    }

    /// What is in a file; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &FileKey) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match File::open(self.file(name)) {
            Ok(file) => file.take(VALUE_CAP + 1).read_to_end(&mut bytes).map(|_| Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes over a file in place: a container that has it mounted has this very file, and would not see another one put in its stead.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_over(&self, name: &FileKey, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.file(name))?;
        let mut before = Vec::new();
        (&file).take(VALUE_CAP + 1).read_to_end(&mut before)?;
        if before == content {
            return Ok(());
        }
        // The content first, then the length: what is too long is cut off, and never is there nothing.
        file.rewind()?;
        file.write_all(content)?;
        file.set_len(content.len() as u64)
    }

    /// Removes files that nobody needs and that are older than `age`; how many.
    pub fn clear(&self, needed: &dyn Fn(&str) -> bool, age: Duration) -> usize {
        let Ok(entries) = fs::read_dir(&self.0) else { return 0 };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let old = |name: &String| {
            let draft = name.starts_with('.');
            (draft || FileKey::parse(name).is_some()) && !needed(name) && is_older(&self.0.join(name), age)
        };
        names.filter(old).filter(|name| fs::remove_file(self.0.join(name)).is_ok()).count()
    }

    fn file(&self, name: &FileKey) -> PathBuf {
        self.0.join(name.to_string())
    }
}

fn give(file: &File, name: &FileKey) -> io::Result<()> {
    // Before it is somebody else's: the other way round would need one more right.
    file.set_permissions(fs::Permissions::from_mode(name.mode))?;
    match fchown(file, Some(name.uid), Some(name.gid)) {
        Ok(()) => Ok(()),
        // Nobody asked for root in particular: whose the file is does not matter where everybody may read it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_anybodys(name) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_anybodys(name: &FileKey) -> bool {
    (name.uid, name.gid) == (0, 0) && name.mode & 0o004 != 0
}

fn is_whose(name: &FileKey, uid: u32, gid: u32) -> bool {
    let own = || uid == rustix::process::geteuid().as_raw() && is_anybodys(name);
    (uid, gid) == (name.uid, name.gid) || own()
}

fn is_in_memory(path: &Path) -> io::Result<bool> {
    let kind = rustix::fs::statfs(path)?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| IN_MEMORY.contains(&kind)))
}
