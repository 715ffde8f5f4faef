//! What is built here, and what builders printed.

use super::{BuildArgs, folder};
use crate::cli::context::{chain, client_failed};
use crate::cli::show::{Cell, Table, age, clean, one_line};
use crate::cli::{code, out};
use crate::config::Settings;
use crate::controller::clock;
use crate::controller::store::{Store, decoded};
use crate::controller::works::builds::report::{BuildReport, BuildState, LogPart};
use crate::controller::works::builds::{Board, KIND, part};
use crate::desired::work::answers::Asker;
use crate::metrics::api::WorkQuery;
use crate::metrics::client::Client;
use crate::say;
use crate::state::builds::BuildRecord;

pub(super) async fn list(settings: &Settings, client: Option<&Client>, args: &BuildArgs) -> i32 {
    let mut reports = match reports(settings, client).await {
        Ok(reports) => reports,
        Err(code) => return code,
    };
    if !args.names.is_empty() {
        let board = Board::of(&reports);
        let mut chosen = Vec::new();
        for name in &args.names {
            match board.named(name) {
                Ok(asker) => chosen.push(asker),
                Err(error) => return out::fail(error),
            }
        }
        reports.retain(|(asker, _)| chosen.contains(asker));
    }
    let reports: Vec<BuildReport> = reports.into_iter().map(|(_, report)| report).collect();
    if args.json {
        return out::json(&reports);
    }
    if reports.is_empty() {
        say!("nothing is built here");
        return code::OK;
    }
    let now = clock::wall();
    let mut rows = Table::new(&["BUILD", "STATE", "IMAGE", "BUILT", "MADE IN", "STANDS ON", "MESSAGE"]);
    for report in &reports {
        let style = match report.state {
            BuildState::Current => out::GOOD,
            BuildState::Failed => out::BAD,
            BuildState::Building | BuildState::Waiting => out::CHANGE,
            BuildState::Unknown | BuildState::Paused => out::DIM,
        };
        let image = report.image.as_ref();
        rows.row([
            Cell::from(report.name.as_str()),
            Cell::styled(report.state.as_str(), style),
            image.map_or("-", |image| image.image.as_str()).into(),
            image.map_or_else(|| "-".to_owned(), |image| age(image.at, now)).into(),
            image
                .map_or_else(|| "-".to_owned(), |image| format!("{:.1} s", image.took_ms as f64 / 1000.0))
                .into(),
            if report.stands_on.is_empty() { "-".to_owned() } else { report.stands_on.join(", ") }.into(),
            one_line(&report.why).into(),
        ]);
    }
    rows.print();
    code::OK
}

/// From the daemon, or what is remembered.
async fn reports(settings: &Settings, client: Option<&Client>) -> Result<Vec<(Asker, BuildReport)>, i32> {
    let remembered = || {
        let store = Store::open_read_only(&settings.state).map_err(|error| out::fail(chain(&error)))?;
        let notes = store.notes(KIND).map_err(|error| out::fail(chain(&error)))?;
        let records = decoded::<BuildRecord>(KIND, notes);
        let board = Board::default();
        let known: Vec<(Asker, BuildRecord)> = records
            .into_iter()
            .filter_map(|(key, record)| Some((serde_json::from_str(&key).ok()?, record)))
            .collect();
        board.keep(known.iter().map(|(asker, _)| asker));
        known.iter().for_each(|(asker, record)| board.recorded(asker, record));
        Ok(board.reports())
    };
    let Some(client) = client else { return remembered() };
    let told: Vec<BuildReport> = client.work("builds", &WorkQuery::new()).await.map_err(client_failed)?;
    Ok(told.into_iter().filter_map(|report| Some((Board::asker(&report.name)?, report))).collect())
}

pub(super) async fn log(settings: &Settings, client: Option<&Client>, args: &BuildArgs) -> i32 {
    let reports = match reports(settings, client).await {
        Ok(reports) => reports,
        Err(code) => return code,
    };
    let board = Board::of(&reports);
    for name in &args.names {
        let asker = match board.named(name) {
            Ok(asker) => asker,
            Err(error) => return out::fail(error),
        };
        let report = reports.iter().find(|(own, _)| *own == asker).map(|(_, report)| report);
        let ids = report.map(|report| report.logs.clone()).unwrap_or_default();
        let wanted = args.log.clone().filter(|id| !id.is_empty()).or_else(|| ids.first().cloned());
        let Some(id) = wanted else { return out::fail(format_args!("{name} was not built yet")) };
        let mut from = 0;
        loop {
            let LogPart { text, next } = match part(&folder(settings), &asker, &id, from) {
                Ok(part) => part,
                Err(error) => {
                    let known = ids.join(", ");
                    return out::fail(format_args!("there is no log {id}: {error} (there is: {known})"));
                }
            };
            if text.is_empty() {
                break;
            }
            if args.json {
                out::json_line(&serde_json::json!({ "id": id, "text": text }));
            } else {
                out::print(format_args!("{}", clean(&text)));
            }
            from = next;
        }
    }
    code::OK
}
