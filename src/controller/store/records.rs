//! Records and history in the database: the statements and what keeps them bounded.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior, params};

use super::database;
use super::row::Row;
use crate::controller::clock;
use crate::desired::ident::ServiceId;
use crate::state::record::Record;

/// Lines of history kept per service, and of all services together: years of it, and yet bounded.
const HISTORY_PER_SERVICE: i64 = 500;
const HISTORY_TOTAL: i64 = 20_000;

/// A record that does not decode.
pub(super) struct Damaged {
    rowid: i64,
    pub(super) service: String,
    pub(super) reason: String,
}

/// Records with the JSON they were read from.
pub(super) type Records = BTreeMap<ServiceId, (Record, Vec<u8>)>;

/// Every record, and those that can't be used.
pub(super) fn read_records(connection: &mut Connection) -> rusqlite::Result<(Records, Vec<Damaged>)> {
    let sql = "SELECT rowid, service, format, body, checksum FROM record";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, database::raw_row(row, 1)?)))?;
    let (mut records, mut damaged) = (Records::new(), Vec::new());
    for row in rows {
        let (rowid, (key, row)) = row?;
        let reason = match (service_id(&key), row.decode::<Record>("record", &key)) {
            (Some(id), Ok(record)) => {
                records.insert(id, (record, row.body));
                continue;
            }
            (None, _) => "it names no service".to_owned(),
            (_, Err(reason)) => reason,
        };
        damaged.push(Damaged { rowid, service: key, reason });
    }
    Ok((records, damaged))
}

/// Keys are written as `project/service`; anything else was not written by us.
pub(super) fn service_id(key: &str) -> Option<ServiceId> {
    key.split_once('/').and_then(|(project, service)| ServiceId::new(project, service))
}

/// Writes a record and its lines of history in one transaction.
pub(super) fn write(
    connection: &mut Connection,
    key: &str,
    row: &Row,
    lines: &[Row],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put(&transaction, key, row)?;
    tell(&transaction, key, lines)?;
    transaction.commit()
}

/// What becomes of one record, ready to be written.
pub(super) struct Changed {
    pub(super) id: ServiceId,
    pub(super) key: String,
    /// `None`: it goes.
    pub(super) row: Option<Row>,
    pub(super) lines: Vec<Row>,
}

/// Writes a small fact and several records in one transaction.
pub(super) fn write_all(
    connection: &mut Connection,
    (name, fact): (&str, &str),
    changed: &[Changed],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![name, fact],
    )?;
    for Changed { id: _, key, row, lines } in changed {
        match row {
            Some(row) => put(&transaction, key, row)?,
            None => drop(transaction.execute("DELETE FROM record WHERE service = ?1", params![key])?),
        }
        tell(&transaction, key, lines)?;
    }
    transaction.commit()
}

fn put(connection: &Connection, key: &str, row: &Row) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO record (service, format, body, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (service) DO UPDATE
             SET format = excluded.format, body = excluded.body, checksum = excluded.checksum",
        )?
        .execute(params![key, row.format, text(&row.body), text(&row.checksum)])?;
    Ok(())
}

fn tell(connection: &Connection, key: &str, lines: &[Row]) -> rusqlite::Result<()> {
    for line in lines {
        connection
            .prepare_cached("INSERT INTO history (service, format, body, checksum) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, line.format, text(&line.body), text(&line.checksum)])?;
    }
    if !lines.is_empty() {
        prune_history(connection, key)?;
    }
    Ok(())
}

/// Rows are JSON and hex, which is text, and text is what people see with `sqlite3`.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn prune_history(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM history WHERE service = ?1 AND id <=
             (SELECT id FROM history WHERE service = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![key, HISTORY_PER_SERVICE])?;
    connection
        .prepare_cached(
            "DELETE FROM history WHERE id <= (SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute(params![HISTORY_TOTAL])?;
    Ok(())
}

/// Moves damaged records out of the way, keeping what they were.
pub(super) fn set_aside(connection: &mut Connection, damaged: &[Damaged]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in damaged {
        transaction.execute(
            "INSERT INTO damaged (at, service, format, body, checksum, reason)
             SELECT ?1, service, format, body, checksum, ?2 FROM record WHERE rowid = ?3",
            params![clock::wall().0, row.reason, row.rowid],
        )?;
        transaction.execute("DELETE FROM record WHERE rowid = ?1", params![row.rowid])?;
    }
    transaction.commit()
}
