//! An operator's word when no daemon runs: into the store, under its lock, then carried out as `apply` does.

use super::apply::{one, outcome_code, show};
use super::context::chain;
use super::order::exit_code;
use super::out;
use super::service::pick;
use crate::config::Settings;
use crate::controller::clock::{Clock, SystemClock};
use crate::controller::operate;
use crate::controller::store::Store;
use crate::desired::ident::ServiceId;
use crate::metrics::api::Command;
use crate::state::record::Memo;

/// Changes the record. Returns the service meant and what was done, for people. The lock is given back.
///
/// # Errors
/// A sentence: the store is not ours to write, there is no such service, or the word makes no sense for it.
pub(super) async fn order(
    settings: &Settings,
    service: &str,
    command: &Command,
) -> Result<(ServiceId, String), String> {
    let store = Store::open(&settings.state, &settings.instance).map_err(|error| chain(&error))?;
    let records = store.load_all().map_err(|error| chain(&error))?;
    let known: Vec<ServiceId> = records.keys().cloned().collect();
    let id = pick(service, &known)?;
    let record = records.get(&id).cloned().unwrap_or_default();
    // What only a daemon remembers (backoffs, open gates) is nobody's here.
    let (record, line) = operate::apply(&record, &mut Memo::default(), command, SystemClock.now())
        .map_err(|why| format!("{id}: {why}"))?;
    store.save(&id, &record, std::slice::from_ref(&line)).map_err(|error| chain(&error))?;
    let said = match command {
        Command::Rollback { .. } => match line.number {
            Some(number) => format!("{id} goes back to r{number} ({}) and stays there", line.image),
            None => format!("{id} goes back and stays there"),
        },
        Command::Retry => format!("{id}: what was rejected may be tried again"),
        Command::Hold { .. } => format!("{id} is held: {}", line.reason),
        Command::Release => format!("{id} is released: the files decide again"),
        Command::Approve { .. } => match line.number {
            Some(number) => format!("{id}: r{number} ({}) is approved", line.image),
            None => format!("{id}: approved"),
        },
    };
    Ok((id, said))
}

/// Converges that one service and tells how it ended.
pub(super) async fn converge(settings: &Settings, id: &ServiceId, timeout: u64, json: bool) -> i32 {
    let report = match one(settings, id, timeout, json).await {
        Ok(report) => report,
        Err(error) => return out::fail(error),
    };
    show(&report, json);
    let name = id.to_string();
    // Held is what a rollback ends in: here it is no refusal.
    let own = report.services.iter().find(|row| row.service == name);
    own.map_or_else(|| outcome_code(report.outcome), |row| exit_code(row.condition.kind))
}
