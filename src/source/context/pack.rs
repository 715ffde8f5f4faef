//! A context as an archive. Two of the same content are the same bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::scan::on_disk;
use super::{Context, ContextError, Entry, Kind};

/// The time of every file: early, the same everywhere, and late enough for formats that begin in 1980, in every time zone.
const TIME: u64 = 315_619_200;

/// A file that the builder is given beside the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    pub path: String,
    pub content: Vec<u8>,
}

/// What was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of the context as it was when it was packed, which may be another one than when it was read.
    pub digest: String,
}

/// Counts and digests what passes through.
struct Passing<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Context {
    /// Writes the archive, with further files, which take the place of those of the same name.
    ///
    /// # Errors
    /// A file cannot be read, or whoever takes the archive went away.
    pub fn pack(&self, extra: &[Extra], to: impl Write) -> Result<Packed, ContextError> {
        let mut archive = tar::Builder::new(to);
        archive.mode(tar::HeaderMode::Deterministic);
        let mut digest = Sha256::new();
        digest.update(b"evenkeel context 1\n");
        for entry in &self.entries {
            let replaced = extra.iter().any(|extra| extra.path.as_bytes() == entry.path);
            self.entry(entry, replaced, &mut archive)?.note(&mut digest);
        }
        for Extra { path, content } in extra {
            let mut header = header(tar::EntryType::Regular, 0o644);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice()).map_err(ContextError::Write)?;
        }
        archive.finish().map_err(ContextError::Write)?;
        archive.into_inner().and_then(|mut to| to.flush()).map_err(ContextError::Write)?;
        Ok(Packed { digest: hex::encode(digest.finalize()) })
    }

    fn entry<W: Write>(
        &self,
        entry: &Entry,
        replaced: bool,
        archive: &mut tar::Builder<W>,
    ) -> Result<Entry, ContextError> {
        let name = on_disk(Path::new(""), &entry.path);
        match &entry.kind {
            Kind::Folder => {
                let mut header = header(tar::EntryType::Directory, entry.mode);
                header.set_size(0);
                archive.append_data(&mut header, &name, io::empty()).map_err(ContextError::Write)?;
                Ok(entry.clone())
            }
            Kind::Link(target) => {
                let mut header = header(tar::EntryType::Symlink, 0o777);
                header.set_size(0);
                let target = on_disk(Path::new(""), target);
                archive.append_link(&mut header, &name, target).map_err(ContextError::Write)?;
                Ok(entry.clone())
            }
            Kind::File { .. } if replaced => Ok(entry.clone()),
            Kind::File { .. } => {
                let path = on_disk(&self.root, &entry.path);
                let unreadable = |source| ContextError::Unreadable { path: path.clone(), source };
                let file = File::open(&path).map_err(unreadable)?;
                // As large as it is now; the header comes first, so what is written behind is cut off and what is missing is an error.
                let size = file.metadata().map_err(unreadable)?.len();
                let mut header = header(tar::EntryType::Regular, entry.mode);
                header.set_size(size);
                let mut passing = Passing { inner: file.take(size), digest: Sha256::new() };
                archive.append_data(&mut header, &name, &mut passing).map_err(ContextError::Write)?;
                let digest = passing.digest.finalize().into();
                Ok(Entry { kind: Kind::File { size, digest }, ..entry.clone() })
            }
        }
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header
}
