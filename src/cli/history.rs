//! `evenkeel history [SERVICE]`.

use clap::Args;

use super::context::{Host, block_on, client_failed, settings};
use super::service::pick;
use super::show::{Table, one_line, revision};
use super::{code, out, revisions};
use crate::config::{Flags, Settings};
use crate::desired::ident::ServiceId;
use crate::metrics::api::HistoryRow;
use crate::note;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel history                 what happened on this host, newest first
  evenkeel history web --limit 5
  evenkeel history web --revisions the revisions that are kept: image, digest, times, what came of them
  evenkeel history web --json | jq -r '.[].event'")]
pub struct HistoryArgs {
    /// `project/service`, or `service` where that is clear
    service: Option<String>,
    /// Lines shown, newest first
    #[arg(long, short = 'n', default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The kept revisions of the service instead, newest first: what `rollback --to` takes
    #[arg(long, requires = "service", conflicts_with = "limit")]
    revisions: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &HistoryArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(history(&settings, args)),
        Err(code) => code,
    }
}

async fn history(settings: &Settings, args: &HistoryArgs) -> i32 {
    if let (true, Some(service)) = (args.revisions, &args.service) {
        return match revisions::of(settings, service).await {
            Ok(rows) if args.json => out::json(&rows),
            Ok(rows) => {
                revisions::show(&rows);
                code::OK
            }
            Err(code) => code,
        };
    }
    match rows(settings, args).await {
        Ok(rows) if args.json => out::json(&rows),
        Ok(rows) if rows.is_empty() => {
            note!("nothing has happened yet");
            code::OK
        }
        Ok(rows) => {
            show(&rows);
            code::OK
        }
        Err(code) => code,
    }
}

async fn rows(settings: &Settings, args: &HistoryArgs) -> Result<Vec<HistoryRow>, i32> {
    let limit = usize::from(args.limit);
    let store_failed = |error| out::fail(super::context::chain(&error));
    match Host::find(settings).await? {
        Host::Daemon(client) => {
            let id = match &args.service {
                Some(text) => Some(named(text, &client.history(None, 1000).await.map_err(client_failed)?)?),
                None => None,
            };
            client.history(id.as_ref(), limit).await.map_err(client_failed)
        }
        Host::Alone(store) => {
            let all = |id: Option<&ServiceId>, limit| {
                let rows = store.history(id, limit).map_err(store_failed)?;
                Ok(rows.iter().map(|row| HistoryRow::of(&row.service, &row.entry)).collect::<Vec<_>>())
            };
            let id = match &args.service {
                Some(text) => Some(named(text, &all(None, 1000)?)?),
                None => None,
            };
            all(id.as_ref(), limit)
        }
    }
}

/// A service of the past may be unknown to the present: it is looked for in the history itself. A full name needs no look.
fn named(text: &str, rows: &[HistoryRow]) -> Result<ServiceId, i32> {
    if let Some(id) = ServiceId::parse(text).filter(|_| text.contains('/')) {
        return Ok(id);
    }
    let mut known: Vec<ServiceId> = rows.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
    known.sort();
    known.dedup();
    pick(text, &known).map_err(out::fail)
}

fn show(rows: &[HistoryRow]) {
    let mut lines = Table::new(&["TIME", "SERVICE", "EVENT", "REVISION", "IMAGE", "REASON"]);
    for row in rows {
        lines.row([
            row.at.to_string().into(),
            row.service.as_str().into(),
            event(row).into(),
            revision(row.number, row.revision.as_deref()).into(),
            row.image.as_str().into(),
            one_line(&row.reason).into(),
        ]);
    }
    lines.print();
}

/// The word that JSON has too.
fn event(row: &HistoryRow) -> String {
    let word = serde_json::to_value(row.event).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
