//! What was opened, kept: a value must be there again after a reboot, and for a rollback when its file says something else by then.
//!
//! Values lie below `<state>/secrets`, encrypted with a key in the same folder. That is no protection from who may read the whole of the
//! folder (the values have to be readable without anybody's help after a reboot), but from whoever sees a part of it: a copied
//! file, a search through the disk. The same key makes the names of values: who does not have it cannot tell by a name what
//! the value is, nor that two are the same.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use sha2::Sha256;

use crate::desired::provided::{Content, ProvidedId};

/// Bytes of the nonce before each encrypted value.
const NONCE: usize = 24;
/// Digits of a name.
const NAME_DIGITS: usize = 32;
/// Larger values are no secrets. Bytes.
pub const VALUE_CAP: u64 = 1 << 20;

type Sealer = Hmac<Sha256>;

/// What a value is kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// By the name of its content: for containers.
    Values,
    /// Put there by `evenkeel secret set`.
    Store,
    /// Which content a file that changes under a container has: a name.
    Live,
}

impl Shelf {
    fn folder(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Store => "store",
            Self::Live => "live",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Vault {
    dir: PathBuf,
    /// Nothing is written: for commands that only look.
    read_only: bool,
    key: Mutex<Option<[u8; 32]>>,
}

/// A sentence.
pub type VaultError = String;

impl Vault {
    #[must_use]
    pub fn new(state: &Path, read_only: bool) -> Self {
        Self { dir: state.join("secrets"), read_only, key: Mutex::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of a content.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn name(&self, id: &ProvidedId, content: &Content) -> Result<String, VaultError> {
        let mut mac = self.mac("names")?;
        let owner = id.to_string();
        mac.update(&(owner.len() as u64).to_le_bytes());
        mac.update(owner.as_bytes());
        mac.update(content.expose());
        let digits = hex::encode(mac.finalize().into_bytes());
        Ok(digits.get(..NAME_DIGITS).unwrap_or(&digits).to_owned())
    }

    /// Keeps a value. One that is there already is only marked as new, so that it is not cleared away.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, shelf: Shelf, name: &str, value: &[u8]) -> Result<(), VaultError> {
        if self.read_only {
            return Ok(());
        }
        let path = self.path(shelf, name);
        if shelf == Shelf::Values && path.exists() {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            let touched = File::options()
                .write(true)
                .open(&path)
                .and_then(|file| futimens(&file, &times).map_err(io::Error::from));
            if touched.is_ok() {
                return Ok(());
            }
        }
        let mut nonce = [0_u8; NONCE];
        random(&mut nonce)?;
        let aad = format!("{}/{name}", shelf.folder());
        let payload = Payload { msg: value, aad: aad.as_bytes() };
        let sealed = self.cipher()?.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| format!("{} cannot be encrypted", path.display()))?;
        let bytes = [nonce.as_slice(), &sealed].concat();
        self.folder(shelf)
            .and_then(|()| write_whole(&path, &bytes))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// A value; `None` when there is none of this name.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn get(&self, shelf: Shelf, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let path = self.path(shelf, name);
        let failed = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let Some((nonce, sealed)) = bytes.split_first_chunk::<NONCE>() else {
            return Err(failed(&"it is cut short"));
        };
        let aad = format!("{}/{name}", shelf.folder());
        let payload = Payload { msg: sealed, aad: aad.as_bytes() };
        let value = self.cipher()?.decrypt(&XNonce::from(*nonce), payload);
        value.map(Some).map_err(|_| failed(&"it is damaged, or was written with another key"))
    }

    #[must_use]
    pub fn has(&self, shelf: Shelf, name: &str) -> bool {
        self.path(shelf, name).exists()
    }

    /// Takes a value away; whether there was one.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, shelf: Shelf, name: &str) -> Result<bool, VaultError> {
        let path = self.path(shelf, name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(format!("{} cannot be removed: {error}", path.display())),
        }
    }

    /// The names on a shelf.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self, shelf: Shelf) -> Result<Vec<String>, VaultError> {
        let dir = self.dir.join(shelf.folder());
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("{} cannot be read: {error}", dir.display())),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what nobody needs any more and is older than `age`; how many.
    pub fn clear(&self, shelf: Shelf, needed: &dyn Fn(&str) -> bool, age: Duration) -> usize {
        let names = self.names(shelf).unwrap_or_default();
        let old = |name: &&String| !needed(name) && is_older(&self.path(shelf, name), age);
        names.iter().filter(old).filter(|name| self.remove(shelf, name).unwrap_or(false)).count()
    }

    fn path(&self, shelf: Shelf, name: &str) -> PathBuf {
        self.dir.join(shelf.folder()).join(name)
    }

    fn folder(&self, shelf: Shelf) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.dir.join(shelf.folder()))
    }

    fn mac(&self, purpose: &str) -> Result<Sealer, VaultError> {
        let key = self.key()?;
        let mut mac = <Sealer as hmac::KeyInit>::new_from_slice(&key).map_err(|error| error.to_string())?;
        mac.update(format!("evenkeel {purpose} 1\n").as_bytes());
        Ok(mac)
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, VaultError> {
        let key = self.mac("values")?.finalize().into_bytes();
        XChaCha20Poly1305::new_from_slice(&key).map_err(|error| error.to_string())
    }

    /// The key, made when there is none.
    fn key(&self) -> Result<[u8; 32], VaultError> {
        let mut known = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = *known {
            return Ok(key);
        }
        let key = match self.read_key()? {
            Some(key) => key,
            None => self.make_key()?,
        };
        *known = Some(key);
        Ok(key)
    }

    fn read_key(&self) -> Result<Option<[u8; 32]>, VaultError> {
        let path = self.dir.join("key");
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(1024).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        }
        let mut key = [0_u8; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            format!(
                "{} is no key: put it back from a backup, or remove the folder to begin anew",
                path.display()
            )
        })?;
        Ok(Some(key))
    }

    fn make_key(&self) -> Result<[u8; 32], VaultError> {
        let mut key = [0_u8; 32];
        random(&mut key)?;
        if self.read_only {
            // Nothing was ever named with another one, so nothing is taken for changed.
            return Ok(key);
        }
        let path = self.dir.join("key");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).and_then(|()| {
            let draft = self.dir.join(format!(".key-{:016x}", fastrand::u64(..)));
            write_new(&draft, format!("{}\n", hex::encode(key)).as_bytes())?;
            // Two that begin at the same time must not each have a key of their own: a link does not replace.
            let linked = fs::hard_link(&draft, &path);
            fs::remove_file(&draft)?;
            File::open(&self.dir)?.sync_all()?;
            linked
        });
        match made {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.read_key()?.ok_or_else(|| format!("{} vanished", path.display()))
            }
            Err(error) => Err(format!("{} cannot be made: {error}", path.display())),
        }
    }
}

/// Older than this, or not to be told.
pub(super) fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed >= age))
}

fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    let wanted = bytes.len();
    match rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(filled) if filled == wanted => Ok(()),
        Ok(_) => Err("the kernel gave too little randomness; try again".to_owned()),
        Err(error) => Err(format!("the kernel gives no randomness: {error}")),
    }
}

/// Writes a file for us alone, so that it is there as a whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is no file"));
    };
    let draft = dir.join(format!(".{}-{:016x}", name.to_string_lossy(), fastrand::u64(..)));
    let written = write_new(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _left = fs::remove_file(&draft);
    }
    written?;
    File::open(dir)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
