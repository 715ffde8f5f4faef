//! What is remembered of work beside services: images that were chosen, builds, runs of jobs, artifacts. JSON by kind and key; what
//! stands in it is the affair of whoever wrote it.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Row, Store, StoreError, database};

/// One thing to remember, or to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `answer`, `sightings`, `run`, ...
    pub kind: &'static str,
    pub key: String,
    /// `None`: forget it.
    pub body: Option<serde_json::Value>,
}

impl Note {
    /// # Errors
    /// The value has no JSON.
    pub fn of<T: Serialize>(
        kind: &'static str,
        key: impl Into<String>,
        value: &T,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self { kind, key: key.into(), body: Some(serde_json::to_value(value)?) })
    }

    #[must_use]
    pub fn forget(kind: &'static str, key: impl Into<String>) -> Self {
        Self { kind, key: key.into(), body: None }
    }
}

/// Those that can be read as what they should be. One that cannot is told, and as good as forgotten.
pub fn decoded<T: DeserializeOwned>(
    kind: &str,
    notes: BTreeMap<String, serde_json::Value>,
) -> BTreeMap<String, T> {
    let mut read = BTreeMap::new();
    for (key, body) in notes {
        match serde_json::from_value(body) {
            Ok(value) => drop(read.insert(key, value)),
            Err(error) => {
                tracing::warn!(kind, key, %error, "a note in the store is of another form, and left out")
            }
        }
    }
    read
}

impl Store {
    /// Everything of one kind, by key. What does not decode is told, and left out.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn notes(&self, kind: &str) -> Result<BTreeMap<String, serde_json::Value>, StoreError> {
        self.with("read the notes in", |_, connection| {
            let sql = "SELECT key, format, body, checksum FROM note WHERE kind = ?1";
            let mut statement = match connection.prepare_cached(sql) {
                Ok(statement) => statement,
                // Opened for reading, and written by a version without them.
                Err(_) if !has_notes(connection)? => return Ok(BTreeMap::new()),
                Err(error) => return Err(error),
            };
            let rows = statement.query_map(params![kind], |row| database::raw_row(row, 0))?;
            let mut notes = BTreeMap::new();
            for row in rows {
                let (key, row) = row?;
                match row.decode(&table(kind), &key) {
                    Ok(body) => drop(notes.insert(key, body)),
                    Err(reason) => {
                        tracing::error!(kind, key, reason, "a note in the store is damaged and left out");
                    }
                }
            }
            Ok(notes)
        })
    }

    /// Makes them durable, all or none.
    ///
    /// # Errors
    /// None of them is.
    pub fn set_notes(&self, notes: &[Note]) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for Note { kind, key, body } in notes {
            let row = body.as_ref().map(|body| Row::encode(&table(kind), key, body)).transpose();
            rows.push(row.map_err(|source| StoreError::Encode { service: format!("{kind} {key}"), source })?);
        }
        self.writing("save to", |_, connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (Note { kind, key, .. }, row) in notes.iter().zip(&rows) {
                match row {
                    Some(row) => put(&transaction, kind, key, row)?,
                    None => {
                        let sql = "DELETE FROM note WHERE kind = ?1 AND key = ?2";
                        transaction.prepare_cached(sql)?.execute(params![kind, key])?;
                    }
                }
            }
            transaction.commit()
        })
    }
}

fn put(connection: &Connection, kind: &str, key: &str, row: &Row) -> rusqlite::Result<()> {
    let (body, checksum) = (String::from_utf8_lossy(&row.body), String::from_utf8_lossy(&row.checksum));
    connection
        .prepare_cached(
            "INSERT INTO note (kind, key, format, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (kind, key) DO UPDATE
             SET format = excluded.format, body = excluded.body, checksum = excluded.checksum",
        )?
        .execute(params![kind, key, row.format, body, checksum])?;
    Ok(())
}

/// The kind is part of what the checksum is over.
fn table(kind: &str) -> String {
    format!("note {kind}")
}

fn has_notes(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'note')";
    connection.query_row(sql, [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn notes_come_back_by_kind_and_go_when_they_are_forgotten() {
        let store = Store::in_memory("test").unwrap();
        let first = [Note::of("run", "a", &1).unwrap(), Note::of("answer", "a", &"x").unwrap()];
        store.set_notes(&first).unwrap();
        store.set_notes(&[Note::of("run", "b", &2).unwrap(), Note::forget("run", "a")]).unwrap();
        assert_eq!(store.notes("run").unwrap(), BTreeMap::from([("b".to_owned(), json!(2))]));
        assert_eq!(store.notes("answer").unwrap(), BTreeMap::from([("a".to_owned(), json!("x"))]));
    }

    #[test]
    fn a_store_of_a_version_without_notes_takes_them_and_reads_as_having_none() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), "test").unwrap());
        let old = Connection::open(dir.path().join("state.db")).unwrap();
        old.execute_batch("DROP TABLE note").unwrap();
        drop(old);
        assert!(Store::open_read_only(dir.path()).unwrap().notes("run").unwrap().is_empty());
        let store = Store::open(dir.path(), "test").unwrap();
        store.set_notes(&[Note::of("run", "a", &1).unwrap()]).unwrap();
        assert_eq!(Store::open_read_only(dir.path()).unwrap().notes("run").unwrap().len(), 1);
    }
}
