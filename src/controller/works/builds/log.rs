//! What a builder printed, on the disk, and no more of it than is good.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::report::LogPart;
use super::site::lock;
use crate::desired::work::answers::Asker;
use crate::state::builds::keep_repository;

/// What is kept of the beginning. Bytes.
const HEAD: usize = 4 << 20;
/// What is kept of the end of a log that is longer. Bytes.
const TAIL: usize = 64 << 10;
/// The most of one part. Bytes.
const PART: u64 = 256 << 10;

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None`: it could not be made; building goes on.
    file: Option<File>,
    written: usize,
    tail: VecDeque<u8>,
    cut: usize,
}

/// Where the logs of a build are.
pub fn folder(home: &Path, asker: &Asker) -> PathBuf {
    let name = keep_repository(asker);
    home.join("logs").join(name.rsplit('/').next().unwrap_or(&name))
}

fn path(home: &Path, asker: &Asker, id: &str) -> PathBuf {
    folder(home, asker).join(format!("{id}.log"))
}

impl Log {
    pub fn begin(home: &Path, asker: &Asker, id: &str) -> Self {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let make = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder(home, asker))?;
            fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path(home, asker, id))
        };
        let file = make()
            .inspect_err(|error: &io::Error| tracing::warn!(%error, "the log of a build cannot be written"))
            .ok();
        Self { inner: Mutex::new(Inner { file, written: 0, tail: VecDeque::new(), cut: 0 }) }
    }

    pub fn write(&self, text: &str) {
        let mut inner = lock(&self.inner);
        let room = HEAD.saturating_sub(inner.written).min(text.len());
        let (now, later) = text.as_bytes().split_at(room);
        inner.written += now.len();
        if let Some(file) = &mut inner.file {
            // A full disk costs the log and not the build.
            let _lost = file.write_all(now);
        }
        inner.tail.extend(later);
        let over = inner.tail.len().saturating_sub(TAIL);
        inner.tail.drain(..over);
        inner.cut += over;
    }

    /// Writes what was held back.
    pub fn end(&self, words: &str) {
        let mut inner = lock(&self.inner);
        let tail: Vec<u8> = inner.tail.drain(..).collect();
        let cut = inner.cut;
        let Some(file) = &mut inner.file else { return };
        let note = if cut > 0 { format!("\n... {cut} bytes are left out here ...\n") } else { String::new() };
        let all = [note.as_bytes(), &tail, words.as_bytes()].concat();
        let _lost = file.write_all(&all);
    }
}

/// A part of a log from a place on.
///
/// # Errors
/// There is no such log, or it cannot be read.
pub fn part(home: &Path, asker: &Asker, id: &str, from: u64) -> io::Result<LogPart> {
    // An id is no path.
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let mut file = File::open(path(home, asker, id))?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(PART).read_to_end(&mut bytes)?;
    // No letter is cut in two.
    let whole = match std::str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Err(_) => bytes.len(),
    };
    bytes.truncate(whole);
    Ok(LogPart { text: String::from_utf8_lossy(&bytes).into_owned(), next: from + whole as u64 })
}

/// Removes logs that nobody needs any more.
pub fn remove(home: &Path, asker: &Asker, ids: &[String]) {
    for id in ids {
        let _gone = fs::remove_file(path(home, asker, id));
    }
}
