//! Reading a folder as a context. What has not changed since the last time, by everything that the file system says of it, is not read again.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::{Context, ContextError, Entry, Ignore, Kind};

/// What a context may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: usize,
    /// Bytes.
    pub size: u64,
}

impl Default for Limits {
    /// Far above what people build of, and below what fills a disk by mistake.
    fn default() -> Self {
        Self { entries: 500_000, size: 4 << 30 }
    }
}

/// What a file was like when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            size: meta.size(),
            inode: (meta.dev(), meta.ino()),
        }
    }

    /// A file that was just written may be written again without showing it.
    fn is_settled(&self, now: i64) -> bool {
        self.modified.0.max(self.changed.0) < now - 2
    }
}

/// Digests of files that were read before.
#[derive(Debug, Default)]
pub struct Known {
    files: BTreeMap<Vec<u8>, (Stamp, [u8; 32])>,
    /// Files that were read at the last look.
    pub read: usize,
}

struct Scanner<'a> {
    root: &'a Path,
    ignore: Ignore,
    limits: Limits,
    before: BTreeMap<Vec<u8>, (Stamp, [u8; 32])>,
    known: &'a mut Known,
    entries: Vec<Entry>,
    size: u64,
    now: i64,
}

impl Context {
    /// Reads a folder. Of the patterns in `<dockerfile>.dockerignore`, or else those in `.dockerignore`, what they leave out is left out.
    ///
    /// # Errors
    /// It cannot be read whole, or is too large.
    pub fn read(
        root: &Path,
        dockerfile: Option<&str>,
        limits: Limits,
        known: &mut Known,
        now: SystemTime,
    ) -> Result<Self, ContextError> {
        let root = match std::fs::canonicalize(root) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContextError::Missing { path: root.to_owned() });
            }
            Err(source) => return Err(ContextError::Unreadable { path: root.to_owned(), source }),
        };
        if !root.is_dir() {
            return Err(ContextError::NoFolder { path: root });
        }
        let (ignore, text) = ignore(&root, dockerfile)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = std::mem::take(&mut known.files);
        known.read = 0;
        let mut scanner = Scanner {
            root: &root,
            ignore,
            limits,
            before,
            known,
            entries: Vec::new(),
            size: 0,
            now: i64::try_from(now).unwrap_or(i64::MAX),
        };
        scanner.folder(&root, &[])?;
        let Scanner { mut entries, size, .. } = scanner;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root, entries, ignore: text, size })
    }

    /// Says what is in it and nothing else: 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"evenkeel context 1\n");
        self.entries.iter().for_each(|entry| entry.note(&mut digest));
        hex::encode(digest.finalize())
    }
}

impl Entry {
    pub(super) fn note(&self, digest: &mut Sha256) {
        let word = |digest: &mut Sha256, bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        word(digest, &self.path);
        match &self.kind {
            Kind::Folder => digest.update(b"d"),
            Kind::File { digest: content, .. } => {
                digest.update(b"f");
                digest.update(content);
            }
            Kind::Link(target) => {
                digest.update(b"l");
                word(digest, target);
            }
        }
        // A link has none that counts.
        let mode = if matches!(self.kind, Kind::Link(_)) { 0 } else { self.mode };
        digest.update(mode.to_be_bytes());
    }
}

fn ignore(root: &Path, dockerfile: Option<&str>) -> Result<(Ignore, Option<Vec<u8>>), ContextError> {
    let own = dockerfile.map(|name| root.join(format!("{name}.dockerignore")));
    for path in own.into_iter().chain([root.join(".dockerignore")]) {
        match std::fs::read(&path) {
            Ok(text) => {
                let parsed = Ignore::parse(&String::from_utf8_lossy(&text));
                let ignore = parsed.map_err(|why| ContextError::Ignore { path, why })?;
                return Ok((ignore, Some(text)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ContextError::Unreadable { path, source }),
        }
    }
    Ok((Ignore::default(), None))
}

impl Scanner<'_> {
    fn folder(&mut self, folder: &Path, below: &[u8]) -> Result<(), ContextError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| ContextError::Unreadable { path, source }
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            let path = entry.path();
            let mut name = below.to_vec();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(entry.file_name().as_bytes());
            let meta = match path.symlink_metadata() {
                Ok(meta) => meta,
                // It went while the folder was read: it is not there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ContextError::Unreadable { path, source }),
            };
            self.entry(&path, name, &meta)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: Vec<u8>, meta: &Metadata) -> Result<(), ContextError> {
        let text = String::from_utf8_lossy(&name).into_owned();
        let out = self.ignore.leaves_out(&text);
        let mode = meta.mode() & 0o7777;
        if meta.is_dir() {
            if !out {
                self.add(Entry { path: name.clone(), kind: Kind::Folder, mode })?;
            }
            if !out || self.ignore.may_take_back_below(&text) {
                self.folder(path, &name)?;
            }
            return Ok(());
        }
        if out {
            return Ok(());
        }
        if meta.is_symlink() {
            let target = std::fs::read_link(path)
                .map_err(|source| ContextError::Unreadable { path: path.to_owned(), source })?;
            return self.add(Entry {
                path: name,
                kind: Kind::Link(target.as_os_str().as_bytes().to_vec()),
                mode,
            });
        }
        // Sockets, pipes and devices are no content.
        if !meta.is_file() {
            return Ok(());
        }
        self.size = self.size.saturating_add(meta.size());
        if self.size > self.limits.size {
            return Err(self.too_large(format!("more than {} MiB", self.limits.size >> 20)));
        }
        let digest = self.digest_of(path, &name, meta)?;
        self.add(Entry { path: name, kind: Kind::File { size: meta.size(), digest }, mode })
    }

    fn add(&mut self, entry: Entry) -> Result<(), ContextError> {
        if self.entries.len() >= self.limits.entries {
            return Err(self.too_large(format!("more than {} files", self.limits.entries)));
        }
        self.entries.push(entry);
        Ok(())
    }

    fn too_large(&self, why: String) -> ContextError {
        ContextError::TooLarge { path: self.root.to_owned(), why }
    }

    fn digest_of(&mut self, path: &Path, name: &[u8], meta: &Metadata) -> Result<[u8; 32], ContextError> {
        let stamp = Stamp::of(meta);
        let digest = match self.before.remove(name) {
            Some((before, digest)) if before == stamp => digest,
            _ => {
                self.known.read += 1;
                digest_file(path)
                    .map_err(|source| ContextError::Unreadable { path: path.to_owned(), source })?
            }
        };
        if stamp.is_settled(self.now) {
            self.known.files.insert(name.to_vec(), (stamp, digest));
        }
        Ok(digest)
    }
}

fn digest_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0_u8; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finalize().into()),
            count => digest.update(chunk.get(..count).unwrap_or_default()),
        }
    }
}

/// The path on the disk of an entry.
pub(super) fn on_disk(root: &Path, path: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path))
}
