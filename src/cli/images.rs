//! `evenkeel images`: which tag of each image that is followed runs, and why no other one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::assemble::{self, Word};
use super::context::{block_on, chain, client_failed, settings};
use super::show::{Cell, Table, age, one_line, span};
use super::sources::Take;
use super::{code, look, out};
use crate::config::{Flags, Settings, duration};
use crate::controller::clock::{self, SystemClock};
use crate::controller::records::{Durable, Records};
use crate::controller::store::Store;
use crate::controller::works::images::{Alone, Whom};
use crate::metrics::Metrics;
use crate::metrics::api::WorkQuery;
use crate::metrics::client::Client;
use crate::metrics::images::{CheckAccepted, CheckOrder, ImageRow, ImagesReport};
use crate::state::time::Timestamp;
use crate::{note, say};

/// How often a daemon is asked whether its look is over.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel images                  every image that is followed: what was chosen, what there is, why it is not taken
  evenkeel images web --check      ask the registry now
  evenkeel images --json | jq -r '.images[] | select(.update) | .service + \" \" + .newest'

Ends with 1 when a registry could not be asked; what was chosen before stands then.")]
pub struct ImagesArgs {
    /// Only these (`project/service`, or `service` where that is clear)
    services: Vec<String>,
    /// Ask the registries now, and take what the policies choose
    #[arg(long)]
    check: bool,
    /// Longest to wait for them
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: u64,
    /// As JSON, the same as /v1/work/images answers
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &ImagesArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        let rows = match Client::find(&settings.socket).await {
            Ok(Some(client)) => through_daemon(&client, args).await,
            Ok(None) => by_itself(&settings, args).await.map_err(out::fail),
            Err(error) => Err(client_failed(error)),
        };
        match rows {
            Ok(rows) => conclude(rows, args),
            Err(code) => code,
        }
    })
}

async fn through_daemon(client: &Client, args: &ImagesArgs) -> Result<Vec<ImageRow>, i32> {
    let all = rows(client).await?;
    let names = meant(&all, &args.services).map_err(out::fail)?;
    if !args.check {
        return Ok(only(all, &names));
    }
    let order = CheckOrder { services: names.clone() };
    let accepted: CheckAccepted =
        client.work_order("images", "check", &order).await.map_err(client_failed)?;
    let start = Instant::now();
    loop {
        let all = rows(client).await?;
        let counts: BTreeMap<String, u64> = all.iter().map(|row| (row.key(), row.looks)).collect();
        // One that has left the files meanwhile is waited for no longer.
        let over = |(key, looks): (&String, &u64)| counts.get(key).is_none_or(|now| now >= looks);
        if accepted.looks.iter().all(over) {
            return Ok(only(all, &names));
        }
        if start.elapsed() >= Duration::from_millis(args.timeout) {
            note!("the registries take their time: this is what is known so far; the daemon goes on");
            return Ok(only(all, &names));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn rows(client: &Client) -> Result<Vec<ImageRow>, i32> {
    let report: ImagesReport = client.work("images", &WorkQuery::new()).await.map_err(client_failed)?;
    Ok(report.images)
}

async fn by_itself(settings: &Settings, args: &ImagesArgs) -> Result<Vec<ImageRow>, String> {
    let secrets = assemble::secrets(settings, true);
    let engine = look::engine(settings)?;
    let word = Word::of(Arc::clone(&engine)).await;
    let desired = assemble::load(settings, &word, &secrets, Take::Applied)?.desired;
    let store = if args.check {
        note!("no daemon runs: what is found is written into the store in {}", settings.state.display());
        Store::open(&settings.state, &settings.instance)
    } else {
        note!("no daemon runs: this is what was seen last (--check asks now)");
        Store::open_read_only(&settings.state)
    };
    let store = Arc::new(store.map_err(|error| chain(&error))?);
    let book = crate::controller::works::Book::read(&store).map_err(|error| chain(&error))?;
    let records: Arc<dyn Records> = Arc::new(Durable::new(store));
    let alone = Alone { records: &*records, book: &book, clock: &SystemClock };
    let failed = |error: crate::controller::records::RecordsError| error.to_string();
    let all = alone.rows(&desired).await.map_err(failed)?;
    let names = meant(&all, &args.services)?;
    if !args.check {
        return Ok(only(all, &names));
    }
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let registries = assemble::registries(settings, &secrets);
    let whom = Whom::These(names.iter().cloned().collect());
    let _found = alone.look(&desired, &whom, &*registries, &*engine, &metrics).await.map_err(failed)?;
    Ok(only(alone.rows(&desired).await.map_err(failed)?, &names))
}

/// The names meant, among those that follow an image.
fn meant(all: &[ImageRow], texts: &[String]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for text in texts {
        let own = |row: &&ImageRow| {
            row.service == *text || row.service.split_once('/').is_some_and(|(_, name)| name == text)
        };
        let mut names: Vec<&String> = all.iter().filter(own).map(|row| &row.service).collect();
        names.dedup();
        match names.as_slice() {
            [one] => found.push((*one).clone()),
            [] => {
                let known: Vec<&str> = all.iter().map(|row| row.service.as_str()).collect();
                return Err(match known.as_slice() {
                    [] => format!("`{text}` follows no image, and nothing else does"),
                    known => format!("`{text}` follows no image; there is {}", known.join(", ")),
                });
            }
            several => {
                let all: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                return Err(format!("`{text}` is in several projects; which one? {}", all.join(", ")));
            }
        }
    }
    Ok(found)
}

fn only(mut rows: Vec<ImageRow>, names: &[String]) -> Vec<ImageRow> {
    rows.retain(|row| names.is_empty() || names.contains(&row.service));
    rows
}

fn conclude(rows: Vec<ImageRow>, args: &ImagesArgs) -> i32 {
    let failed = args.check && rows.iter().any(|row| row.trouble.is_some());
    if args.json {
        out::json(&ImagesReport { images: rows });
    } else {
        show(&rows);
    }
    if failed { code::ERROR } else { code::OK }
}

fn show(rows: &[ImageRow]) {
    if rows.is_empty() {
        say!("no image is followed (image_policy; see docs/images.md)");
        return;
    }
    let now = clock::wall();
    let mut table =
        Table::new(&["SERVICE", "POLICY", "CURRENT", "ALLOWED", "NEWEST", "UPDATE", "LOOKED", "NOT TAKEN"]);
    for row in rows {
        let update = match row.update {
            Some(kind) => Cell::styled(kind.as_str(), out::CHANGE),
            None => "-".into(),
        };
        let current = row.serving.as_ref().or(row.chosen.as_ref()).map(|tag| tag.tag.clone());
        table.row([
            row.key().into(),
            row.policy.clone().into(),
            or_dash(current),
            or_dash(row.allowed.clone()),
            or_dash(row.newest.clone()),
            update,
            row.looked.map_or_else(|| "never".to_owned(), |at| age(at, now)).into(),
            passed(row, now).into(),
        ]);
    }
    table.print();
    for row in rows {
        if let Some(why) = &row.trouble {
            let (bad, key) = (out::BAD, row.key());
            let next = row.next_ms.map(|ms| format!("; asked again in {}", span(ms))).unwrap_or_default();
            let stands = if row.chosen.is_some() { "; what was chosen stands" } else { "" };
            say!("{bad}{key}:{bad:#} {}{stands}{next}", one_line(why));
        }
        if let Some(why) = &row.unwritten {
            let (bad, key) = (out::BAD, row.key());
            say!("{bad}{key}:{bad:#} it runs, and is not written back: {}", one_line(why));
        }
    }
}

fn or_dash(text: Option<String>) -> Cell {
    text.map_or_else(|| "-".to_owned(), |text| one_line(&text)).into()
}

/// `2.1: younger than min_age, taken in 3h; 3.0: outside of the range`
fn passed(row: &ImageRow, now: Timestamp) -> String {
    const SHOWN: usize = 3;
    let texts = row.passed.iter().take(SHOWN).map(|passed| {
        let wait = passed.due.map(|due| u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default());
        let due = wait.map(|ms| format!(" (for another {})", span(ms))).unwrap_or_default();
        format!("{}: {}{due}", passed.tag, one_line(&passed.why))
    });
    let mut texts: Vec<String> = texts.collect();
    if row.passed.len() > SHOWN {
        texts.push(format!("{} more (--json)", row.passed.len() - SHOWN));
    }
    texts.join("; ")
}
