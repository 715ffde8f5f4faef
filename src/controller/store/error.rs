//! What can go wrong with the store, and what that means for the controller: whatever it is, nothing is done on the engine
//! that needed the record.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A failed operation on the store. The causes below it are in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the state directory {} is in use by another evenkeel (process {pid}): stop that one, or give this one a state directory of its own",
        dir.display()
    )]
    InUse { dir: PathBuf, pid: String },
    #[error(
        "the state in {} belongs to the instance `{found}`, not to `{wanted}`: use that instance id, or another state directory",
        dir.display()
    )]
    OtherInstance { dir: PathBuf, found: String, wanted: String },
    #[error(
        "{} was written by a newer evenkeel (schema {found}; this one knows {known}): install that version again, or move the file away to start with an empty one",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the state directory {} can't be trusted: {reason}", dir.display())]
    Unsafe { dir: PathBuf, reason: String },
    #[error("can't {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("can't {doing} {}", path.display())]
    Database { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("this store was opened for reading only")]
    ReadOnly,
    #[error("can't write down the record of {service}")]
    Encode { service: String, source: serde_json::Error },
}

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// Someone must choose another directory, instance or version: not worth another try.
    Refused,
    /// Disk full, read-only, I/O errors: what was to be saved is *not* durable. Do not act; try again later.
    Unwritable,
    /// The database is damaged. Do not act; the next call (or start) sets it aside and begins anew.
    Corrupt,
    /// A mistake in the program.
    Internal,
}

impl StoreErrorKind {
    /// For logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unwritable => "unwritable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

impl StoreError {
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::InUse { .. } | Self::OtherInstance { .. } | Self::Newer { .. } | Self::Unsafe { .. } => {
                StoreErrorKind::Refused
            }
            Self::File { .. } | Self::Database { .. } => StoreErrorKind::Unwritable,
            Self::Corrupt { .. } => StoreErrorKind::Corrupt,
            Self::ReadOnly | Self::Encode { .. } => StoreErrorKind::Internal,
        }
    }

    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }

    /// Sorts what SQLite says into "damaged" and "could not be done".
    pub(super) fn database(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            Self::Corrupt { path: path.to_owned(), reason: source.to_string() }
        } else {
            Self::Database { doing, path: path.to_owned(), source }
        }
    }

    pub(super) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }
}

/// Whether the bytes of the database are wrong, as opposed to a disk that refuses or a lock that is held.
fn is_damage(error: &rusqlite::Error) -> bool {
    const SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => {
            matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || cause.extended_code == SHORT_READ
                // SQLITE_ERROR: a table or a column is missing. Our statements are fixed, so the file is wrong.
                || cause.extended_code == rusqlite::ffi::SQLITE_ERROR
        }
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}
