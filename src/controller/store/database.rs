//! The database itself: its schema, and how one is made, opened and checked.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::dir::{self, DATABASE, DRAFT};
use super::error::StoreError;
use super::row::Row;
use crate::controller::clock;

/// Raised with every change of the tables or of the rows' format; an older evenkeel then refuses the file.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// `evkl`: tells our database from any other file.
const APPLICATION_ID: i64 = 0x6576_6b6c;
/// The key of `meta` that binds the database to one instance id.
const INSTANCE: &str = "evenkeel.instance";
/// How long a call waits for another process (`status` reads while the daemon writes).
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE record (
        service TEXT PRIMARY KEY, format INTEGER NOT NULL, body TEXT NOT NULL, checksum TEXT NOT NULL
    ) STRICT;
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL,
        format INTEGER NOT NULL, body TEXT NOT NULL, checksum TEXT NOT NULL
    ) STRICT;
    CREATE INDEX history_of_service ON history (service, id);
    CREATE TABLE damaged (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, service ANY, format ANY, body ANY, checksum ANY,
        reason TEXT NOT NULL
    ) STRICT;
";

/// What is remembered of work beside services. It came later than the others, and a program that does not know it does not miss it:
/// so it needs no other version of the schema.
const NOTES: &str = "
    CREATE TABLE IF NOT EXISTS note (
        kind TEXT NOT NULL, key TEXT NOT NULL, format INTEGER NOT NULL, body TEXT NOT NULL, checksum TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID;
";

/// They can be prepared only where every table has every column.
const QUERIES: [&str; 4] = [
    "SELECT service, format, body, checksum FROM record",
    "SELECT id, service, format, body, checksum FROM history",
    "SELECT id, at, service, format, body, checksum, reason FROM damaged",
    "SELECT kind, key, format, body, checksum FROM note",
];

/// An empty database in memory, for a store that has no file.
pub(super) fn in_memory(instance: &str) -> Result<Connection, StoreError> {
    let path = Path::new(":memory:");
    let failed = |source| StoreError::database("create", path, source);
    let connection = Connection::open_in_memory().map_err(failed)?;
    make_tables(&connection, instance).map_err(failed)?;
    Ok(connection)
}

/// Makes `state.db` under another name first: it appears whole or not at all, so that an empty or a half made one is always
/// damage and never "new".
pub(super) fn create(dir: &Path, instance: &str) -> Result<(), StoreError> {
    dir::clear_draft(dir)?;
    let (draft, path) = (dir.join(DRAFT), dir.join(DATABASE));
    dir::make_private(&draft)?;
    let failed = |source| StoreError::database("create", &draft, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(&draft, flags).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "EXTRA").map_err(failed)?;
    make_tables(&connection, instance).map_err(failed)?;
    connection.close().map_err(|(_, source)| failed(source))?;
    fs::rename(&draft, &path).map_err(|source| StoreError::file("put in place", &path, source))?;
    dir::sync(dir)
}

fn make_tables(connection: &Connection, instance: &str) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(NOTES)?;
    connection.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![INSTANCE, instance])?;
    connection.execute_batch("COMMIT")
}

/// Opens `state.db` for writing and checks all of it. `Corrupt` means: set it aside.
pub(super) fn open(dir: &Path, instance: &str) -> Result<Connection, StoreError> {
    let path = &dir.join(DATABASE);
    dir::make_private(path)?;
    let failed = |source| StoreError::database("open", path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // One that is not ours is left as it is, its log too, which SQLite would move into it when we close.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    check_origin(&connection, path)?;
    let mut unused = false;
    match stored_instance(&connection, path)? {
        Some(found) if found == instance => {}
        // A package starts with the default id; whoever gives another one before anything was recorded loses nothing.
        Some(_) if is_unused(&connection).map_err(failed)? => unused = true,
        Some(found) => {
            return Err(StoreError::OtherInstance {
                dir: dir.to_owned(),
                found,
                wanted: instance.to_owned(),
            });
        }
        None => return Err(StoreError::corrupt(path, "it names no instance")),
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    // FULL: a commit has reached the disk when it returns. That is what "durable before the act" stands on.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 4194304;",
        )
        .map_err(failed)?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StoreError::corrupt(path, verdict));
    }
    connection.execute_batch(NOTES).map_err(|source| StoreError::database("write to", path, source))?;
    for query in QUERIES {
        connection.prepare(query).map_err(failed)?;
    }
    if unused {
        let take = "UPDATE meta SET value = ?2 WHERE key = ?1";
        let write = |source| StoreError::database("write to", path, source);
        connection.execute(take, params![INSTANCE, instance]).map_err(write)?;
    }
    settle(&connection).map_err(|source| StoreError::database("write to", path, source))?;
    Ok(connection)
}

/// Nothing was ever written into it.
fn is_unused(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM record) AND NOT EXISTS (SELECT 1 FROM history) AND NOT EXISTS (SELECT 1 FROM damaged)",
        [],
        |row| row.get(0),
    )
}

/// Proves that it can be written, and that what is in it lasts, before anything is decided on the strength of it.
///
/// The log may hold a transaction whose writer was killed, or told of an I/O error, before it reached the disk. It reads as
/// saved, and after a failed `fsync` no later one brings it back (the kernel takes the pages for written). So all of the
/// log is written anew, into the database, and emptied.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    // The time makes it another value: SQLite writes nothing for an update that changes nothing.
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('evenkeel.version', ?1), ('evenkeel.opened', ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![env!("CARGO_PKG_VERSION"), clock::wall().0.to_string()],
    )?;
    let (pages, moved) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    if pages == moved {
        return Ok(());
    }
    // A reader that does not end kept a part of it back.
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
}

/// Opens `state.db` beside a running daemon or without one. Changes nothing.
pub(super) fn open_read_only(dir: &Path) -> Result<Connection, StoreError> {
    let path = &dir.join(DATABASE);
    let opened = open_shared(path).or_else(|error| {
        // Without the right to write, SQLite can't make the index of the log; without a log it needs none.
        let log = fs::metadata(dir.join(format!("{DATABASE}-wal")));
        let quiet = log.map_or(true, |meta| meta.len() == 0);
        if quiet && !matches!(error, StoreError::Newer { .. } | StoreError::Corrupt { .. }) {
            open_immutable(path)
        } else {
            Err(error)
        }
    });
    opened.inspect_err(|error| tracing::debug!(%error, "the store can't be read"))
}

fn open_shared(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::database("read", path, source);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    check_origin(&connection, path)?;
    Ok(connection)
}

fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let failed = |source| StoreError::database("read", path, source);
    let connection = Connection::open_with_flags(uri, flags).map_err(failed)?;
    check_origin(&connection, path)?;
    Ok(connection)
}

/// Whether the file is ours and of a version that this program knows.
fn check_origin(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::database("read", path, source))
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(StoreError::corrupt(path, "it is not a database of evenkeel"));
    }
    match number("user_version")? {
        SCHEMA_VERSION => Ok(()),
        found if found > SCHEMA_VERSION => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        found => Err(StoreError::corrupt(path, format!("there never was a schema {found}"))),
    }
}

/// The instance id the database was made for.
pub(super) fn stored_instance(connection: &Connection, path: &Path) -> Result<Option<String>, StoreError> {
    meta(connection, INSTANCE).map_err(|source| StoreError::database("read", path, source))
}

pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row(params![key], |row| row.get(0))
        .optional()
}

/// Columns `service, format, body, checksum` from column `first` on, whatever stands in them: a value of the wrong type
/// becomes a row that does not decode, so that one bad cell never hides the others.
pub(super) fn raw_row(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<(String, Row)> {
    use rusqlite::types::ValueRef;
    let bytes = |column: usize| -> rusqlite::Result<Vec<u8>> {
        Ok(match row.get_ref(column)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        })
    };
    let format = match row.get_ref(first + 1)? {
        ValueRef::Integer(format) => format,
        _ => -1,
    };
    let service = String::from_utf8_lossy(&bytes(first)?).into_owned();
    Ok((service, Row { format, body: bytes(first + 2)?, checksum: bytes(first + 3)? }))
}
