//! An operator's word as a change of a record: the same with a daemon (in the service's pass) and without one.

use crate::metrics::api::Command;
use crate::state::operator::{approve, forget_attempts, hold, release, retry, rollback};
use crate::state::record::{HistoryEntry, Memo, Record};
use crate::state::time::{Now, Timestamp};

/// Applies `command`. The caller makes the record durable and looks at the service again.
///
/// # Errors
/// Why it cannot be done, for people.
pub fn apply(
    record: &Record,
    memo: &mut Memo,
    command: &Command,
    now: Now,
) -> Result<(Record, HistoryEntry), String> {
    let changed = match command {
        Command::Rollback { to } => rollback(record, to.as_deref(), "rolled back by hand", now.wall),
        Command::Retry => retry(record, now.wall),
        Command::Hold { message, for_ms } => {
            let expires = for_ms.map(|ms| Timestamp(now.wall.0.saturating_add_unsigned(ms)));
            let reason = message.as_deref().map(str::trim).filter(|text| !text.is_empty());
            hold(record, reason.unwrap_or("held by hand"), expires, now.wall)
        }
        Command::Release => release(record, now.wall),
        Command::Approve { revision } => approve(record, revision.as_deref(), now.wall),
    }?;
    // Whoever acts by hand does not want to wait for a backoff of before.
    forget_attempts(memo);
    Ok(changed)
}
