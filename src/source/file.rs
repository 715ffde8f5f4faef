//! Reads one file of a desired state, whatever it turns out to be.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::desired::snapshot::FileContent;

/// No file of a desired state is larger. Bytes.
pub const FILE_LIMIT: u64 = 1 << 20;

pub(super) enum FileRead {
    Content(FileContent),
    /// There is nothing at the path, or at the end of the link.
    Gone,
    Changing,
}

/// Reads one file, whatever it is: a link only below the root, a FIFO or a device never (not even opening them may block or
/// have effects, hence the flags and the check before).
pub(super) fn read_file(real_root: &Path, path: &Path) -> FileRead {
    let unusable = |sentence: &str| FileRead::Content(FileContent::Unreadable(sentence.to_owned()));
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileRead::Gone,
        _ => unusable(&format!("it can't be read: {}", plain(error))),
    };
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) => return failed(&error),
    };
    if !real.starts_with(real_root) {
        return unusable("the link leads out of the desired state; put the file itself there");
    }
    match fs::symlink_metadata(&real) {
        Ok(meta) if !meta.is_file() => return unusable(&format!("it is {}, not a file", kind(&meta))),
        Ok(_) => {}
        Err(error) => return failed(&error),
    }
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(flags).open(&real) {
        Ok(file) => read_open(file).unwrap_or_else(|error| failed(&error)),
        Err(error) => failed(&error),
    }
}

fn read_open(file: File) -> io::Result<FileRead> {
    let before = file.metadata()?;
    if !before.is_file() {
        return Ok(FileRead::Changing);
    }
    // No more than it has: it is kept for as long as it stays the same.
    let mut bytes = Vec::with_capacity(usize::try_from(before.len().min(FILE_LIMIT)).unwrap_or_default());
    let read = (&file).take(FILE_LIMIT + 1).read_to_end(&mut bytes)? as u64;
    if read > FILE_LIMIT {
        let sentence = format!("it is larger than {} MiB", FILE_LIMIT >> 20);
        return Ok(FileRead::Content(FileContent::Unreadable(sentence)));
    }
    let after = file.metadata()?;
    let stamp = |meta: &Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
    if stamp(&before) != stamp(&after) || after.len() != read {
        return Ok(FileRead::Changing);
    }
    Ok(FileRead::Content(FileContent::Read(bytes.into())))
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "something else"
    }
}

/// The system's words without Rust's `(os error 13)`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}
