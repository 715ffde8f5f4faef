//! The durable memory: one SQLite database in the state directory.
//!
//! - A record and the history that explains it are saved in one transaction that is on the disk when [`Store::save`]
//!   returns. An error means that it is not: do not act.
//! - One process writes. A lock on the directory keeps a second evenkeel out; readers (`status`, `history`) need no lock.
//! - A database that is damaged is set aside, never deleted, and an empty one takes its place: what is healthy on the engine
//!   is learned again, and nothing that runs changes for it. [`Store::health`] tells, so that people are told.
//! - A file that was deleted or replaced under a running daemon, and any I/O error, make the next call open it afresh; what
//!   was believed to be saved is then forgotten, and saved again.
//!
//! All calls block, for one or two writes to the disk at most: milliseconds on an SSD, more on a busy disk. Asynchronous code
//! calls them through `tokio::task::spawn_blocking`. A `Store` may be shared between threads.

mod database;
mod dir;
mod error;
mod notes;
mod records;
mod row;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

pub use error::{StoreError, StoreErrorKind};
pub use notes::{Note, decoded};
pub use row::Row;

use super::clock;
use crate::desired::ident::ServiceId;
use crate::state::record::{HistoryEntry, Record};
use crate::state::register::Register;
use dir::{DATABASE, FileId, Lock};
use records::{Damaged, read_records, service_id, write};

/// What the store found when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StoreHealth {
    #[default]
    Good,
    /// The whole database was damaged. It is kept at `path`; rejections, holds and history in it are not known any more.
    SetAside { path: PathBuf, reason: String },
    /// Single records were damaged. They are kept in the table `damaged`; these services are learned anew.
    RecordsSetAside { services: Vec<String>, reason: String },
}

/// A line of history as it is stored. A larger `id` is later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    pub id: i64,
    pub service: ServiceId,
    #[serde(flatten)]
    pub entry: HistoryEntry,
}

/// The key of `meta` under which the register lies.
const REGISTER: &str = "register";

/// The store. See the module.
#[derive(Debug)]
pub struct Store {
    /// The database's path, for messages.
    path: PathBuf,
    instance: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    access: Access,
    /// `None` after an error: the next call opens it again.
    connection: Option<Connection>,
    health: StoreHealth,
    /// The JSON last saved per service, so that a pass that changed nothing writes nothing.
    saved: BTreeMap<ServiceId, Vec<u8>>,
}

#[derive(Debug)]
enum Access {
    Write { dir: PathBuf, lock: Lock, file: Option<FileId> },
    Read,
    Memory,
}

impl Store {
    /// Opens the store in `dir` for `instance`, making both when they are missing. Holds the directory's lock until dropped.
    ///
    /// # Errors
    /// `Refused`: another process has it, it belongs to another instance, or a newer version wrote it. `Unwritable`: the
    /// disk is full, read-only or failing. A damaged database is no error: it is set aside, and [`Self::health`] says so.
    pub fn open(dir: &Path, instance: &str) -> Result<Self, StoreError> {
        let dir = dir::prepare(dir)?;
        let lock = Lock::take(&dir)?;
        let path = dir.join(DATABASE);
        let mut inner = Inner {
            access: Access::Write { dir, lock, file: None },
            connection: None,
            health: StoreHealth::Good,
            saved: BTreeMap::new(),
        };
        inner.ensure_open(instance)?;
        Ok(Self { path, instance: Some(instance.to_owned()), inner: Mutex::new(inner) })
    }

    /// Opens what is in `dir` for reading, beside a running daemon or without one. Nothing there: an empty store.
    ///
    /// # Errors
    /// It can't be read, is damaged, or a newer version wrote it. Nothing is set aside.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let Ok(dir) = fs::canonicalize(dir) else { return Self::reading(dir, None) };
        let there = dir::file_id(&dir.join(DATABASE)).is_some();
        let connection = there.then(|| database::open_read_only(&dir)).transpose()?;
        Self::reading(&dir, connection)
    }

    fn reading(dir: &Path, connection: Option<Connection>) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        let instance = match &connection {
            Some(connection) => database::stored_instance(connection, &path)?,
            None => None,
        };
        let connection = match connection {
            Some(connection) => connection,
            None => database::in_memory("")?,
        };
        Ok(Self { path, instance, inner: Mutex::new(Inner::holding(Access::Read, connection)) })
    }

    /// A store that lasts as long as the process: for the simulated engine and for tests.
    ///
    /// # Errors
    /// Only for want of memory.
    pub fn in_memory(instance: &str) -> Result<Self, StoreError> {
        let inner = Inner::holding(Access::Memory, database::in_memory(instance)?);
        Ok(Self {
            path: PathBuf::from(":memory:"),
            instance: Some(instance.to_owned()),
            inner: Mutex::new(inner),
        })
    }

    /// The instance the store belongs to; `None` for an empty one that was opened for reading.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// The last damage that was found when the database was opened, which may be later than the start.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.lock().health.clone()
    }

    /// Every record. Records that do not decode are set aside (see [`StoreHealth::RecordsSetAside`]).
    ///
    /// # Errors
    /// The database can't be read.
    pub fn load_all(&self) -> Result<BTreeMap<ServiceId, Record>, StoreError> {
        self.with("read the records in", |inner, connection| {
            let (records, damaged) = read_records(connection)?;
            inner.set_records_aside(connection, damaged)?;
            for (id, (_, body)) in &records {
                inner.saved.insert(id.clone(), body.clone());
            }
            Ok(records.into_iter().map(|(id, (record, _))| (id, record)).collect())
        })
    }

    /// The record of one service; `None` when there is none that decodes.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn record(&self, id: &ServiceId) -> Result<Option<Record>, StoreError> {
        self.with("read the records in", |_, connection| {
            let sql = "SELECT service, format, body, checksum FROM record WHERE service = ?1";
            let key = id.to_string();
            let row = connection
                .prepare_cached(sql)?
                .query_row(params![key], |row| database::raw_row(row, 0))
                .optional()?;
            Ok(row.and_then(|(_, row)| row.decode("record", &key).ok()))
        })
    }

    /// Makes `record` and the new lines of `history` durable, both or neither. Returns whether anything was written: a
    /// record that is already there and no history cost nothing.
    ///
    /// # Errors
    /// It is not durable: what it would have licensed must not be done.
    pub fn save(
        &self,
        id: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<bool, StoreError> {
        let key = id.to_string();
        let encode = |source| StoreError::Encode { service: key.clone(), source };
        let row = Row::encode("record", &key, record).map_err(encode)?;
        let lines: Vec<Row> = history
            .iter()
            .map(|entry| Row::encode("history", &key, entry))
            .collect::<Result<_, _>>()
            .map_err(encode)?;
        self.writing("save to", |inner, connection| {
            if lines.is_empty() && inner.saved.get(id) == Some(&row.body) {
                return Ok(false);
            }
            write(connection, &key, &row, &lines)?;
            inner.saved.insert(id.clone(), row.body);
            Ok(true)
        })
    }

    /// Removes the record of a service that is gone for good. Its history stays.
    ///
    /// # Errors
    /// It is still there.
    pub fn forget(&self, id: &ServiceId) -> Result<(), StoreError> {
        self.writing("remove a record from", |inner, connection| {
            connection.execute("DELETE FROM record WHERE service = ?1", params![id.to_string()])?;
            inner.saved.remove(id);
            Ok(())
        })
    }

    /// The latest `limit` lines of one service or of all, latest first. Lines that do not decode are left out.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn history(&self, id: Option<&ServiceId>, limit: usize) -> Result<Vec<HistoryRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with("read the history in", |_, connection| {
            let sql = "SELECT id, service, format, body, checksum FROM history
                       WHERE ?1 IS NULL OR service = ?1 ORDER BY id DESC LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![id.map(ToString::to_string), limit], |row| {
                Ok((row.get::<_, i64>(0)?, database::raw_row(row, 1)?))
            })?;
            let mut lines = Vec::new();
            for row in rows {
                let (id, (key, row)) = row?;
                match (service_id(&key), row.decode::<HistoryEntry>("history", &key)) {
                    (Some(service), Ok(entry)) => lines.push(HistoryRow { id, service, entry }),
                    (_, decoded) => {
                        let reason = decoded.err().unwrap_or_else(|| "it names no service".to_owned());
                        tracing::warn!(line = id, reason, "a line of the history is damaged and left out");
                    }
                }
            }
            Ok(lines)
        })
    }

    /// A small fact that belongs to no service. Keys that start with `evenkeel.` are the store's own.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.with("read", |_, connection| database::meta(connection, key))
    }

    /// Makes a small fact durable.
    ///
    /// # Errors
    /// It is not durable.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.writing("write to", |_, connection| {
            connection.prepare_cached(sql)?.execute(params![key, value])?;
            Ok(())
        })
    }

    /// What was adopted and what was given back.
    ///
    /// # Errors
    /// The database can't be read. One that does not decode is an error too: without it, what was adopted is nobody's.
    pub fn register(&self) -> Result<Register, StoreError> {
        let Some(text) = self.meta(REGISTER)? else { return Ok(Register::default()) };
        serde_json::from_str(&text)
            .map_err(|source| StoreError::Encode { service: REGISTER.to_owned(), source })
    }

    /// Makes another register durable, with the records that go with it: all or nothing.
    ///
    /// # Errors
    /// Nothing of it is durable.
    pub fn set_register<'a>(
        &self,
        register: &Register,
        changed: impl Iterator<Item = (&'a ServiceId, Option<&'a Record>, &'a [HistoryEntry])>,
    ) -> Result<(), StoreError> {
        let encode = |service: &str| {
            let service = service.to_owned();
            move |source| StoreError::Encode { service, source }
        };
        let text = serde_json::to_string(register).map_err(encode(REGISTER))?;
        let mut rows = Vec::new();
        for (id, record, history) in changed {
            let key = id.to_string();
            let row = record.map(|record| Row::encode("record", &key, record)).transpose();
            let lines =
                history.iter().map(|entry| Row::encode("history", &key, entry)).collect::<Result<_, _>>();
            let (row, lines) = (row.map_err(encode(&key))?, lines.map_err(encode(&key))?);
            rows.push(records::Changed { id: id.clone(), key, row, lines });
        }
        self.writing("save to", |inner, connection| {
            records::write_all(connection, (REGISTER, &text), &rows)?;
            for row in rows {
                match row.row {
                    Some(saved) => drop(inner.saved.insert(row.id, saved.body)),
                    None => drop(inner.saved.remove(&row.id)),
                }
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held can't leave it half changed: every change is a whole transaction.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Inner, &mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if matches!(self.lock().access, Access::Read) {
            return Err(StoreError::ReadOnly);
        }
        self.with(doing, work)
    }

    fn with<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Inner, &mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut inner = self.lock();
        inner.ensure_open(self.instance.as_deref().unwrap_or_default())?;
        let Some(mut connection) = inner.connection.take() else { return Err(StoreError::ReadOnly) };
        let result = work(&mut inner, &mut connection);
        if result.is_ok() || !matches!(inner.access, Access::Write { .. }) {
            inner.connection = Some(connection);
        } else {
            // After a failed write nothing may be believed of what the kernel still holds: open the file again.
            inner.saved.clear();
        }
        result.map_err(|source| StoreError::database(doing, &self.path, source))
    }
}

impl Inner {
    fn holding(access: Access, connection: Connection) -> Self {
        Self { access, connection: Some(connection), health: StoreHealth::Good, saved: BTreeMap::new() }
    }

    /// Opens the database if it is not, or not any more the file at its path; sets a damaged one aside.
    fn ensure_open(&mut self, instance: &str) -> Result<(), StoreError> {
        let Access::Write { dir, lock, file } = &mut self.access else { return Ok(()) };
        if self.connection.is_some() && lock.is_in_place() && *file == dir::file_id(&dir.join(DATABASE)) {
            return Ok(());
        }
        self.connection = None;
        self.saved.clear();
        if !lock.is_in_place() {
            *dir = dir::prepare(dir)?;
            *lock = Lock::take(dir)?;
        }
        let (mut connection, health) = open_or_set_aside(dir, instance)?;
        *file = dir::file_id(&dir.join(DATABASE));
        if health != StoreHealth::Good {
            self.health = health;
        }
        let path = dir.join(DATABASE);
        let (_, damaged) = read_records(&mut connection)
            .map_err(|source| StoreError::database("read the records in", &path, source))?;
        self.set_records_aside(&mut connection, damaged)
            .map_err(|source| StoreError::database("set damaged records aside in", &path, source))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Takes damaged records out of the way, keeping what they were. A reader only notes them.
    fn set_records_aside(
        &mut self,
        connection: &mut Connection,
        damaged: Vec<Damaged>,
    ) -> rusqlite::Result<()> {
        let Some(first) = damaged.first() else { return Ok(()) };
        if !matches!(self.access, Access::Read) {
            records::set_aside(connection, &damaged)?;
        }
        for row in &damaged {
            tracing::error!(service = row.service, reason = row.reason, "a record is damaged and set aside");
        }
        if !matches!(self.health, StoreHealth::SetAside { .. }) {
            let services = damaged.iter().map(|row| row.service.clone()).collect();
            self.health = StoreHealth::RecordsSetAside { services, reason: first.reason.clone() };
        }
        Ok(())
    }
}

/// Opens the database in `dir`, making a new one where there is none or where it is damaged.
fn open_or_set_aside(dir: &Path, instance: &str) -> Result<(Connection, StoreHealth), StoreError> {
    let there = dir::file_id(&dir.join(DATABASE)).is_some();
    let opened = match there {
        true => database::open(dir, instance),
        false if dir::has_orphaned_log(dir) => {
            Err(StoreError::corrupt(&dir.join(DATABASE), "it is gone, and only its log is left"))
        }
        false => {
            database::create(dir, instance)?;
            return Ok((database::open(dir, instance)?, StoreHealth::Good));
        }
    };
    match opened {
        Ok(connection) => Ok((connection, StoreHealth::Good)),
        Err(StoreError::Corrupt { path, reason }) => {
            let aside = dir::set_aside(dir, clock::wall())?;
            tracing::error!(
                store = %path.display(), kept = %aside.display(), reason,
                "the store was damaged and is set aside; an empty one takes its place"
            );
            database::create(dir, instance)?;
            Ok((database::open(dir, instance)?, StoreHealth::SetAside { path: aside, reason }))
        }
        Err(error) => Err(error),
    }
}
