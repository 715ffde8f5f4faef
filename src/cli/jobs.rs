//! `evenkeel jobs [JOB]`.

use std::collections::BTreeSet;

use clap::Args;

use super::context::{Host, block_on, chain, client_failed, settings};
use super::service::pick_of;
use super::show::{Cell, Table, age, clean, one_line, span};
use super::{code, look, out};
use crate::config::{Flags, Settings};
use crate::controller::clock;
use crate::controller::store::Store;
use crate::controller::works::jobs::journal;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceId;
use crate::desired::work::{Work, WorkId};
use crate::metrics::api::WorkQuery;
use crate::state::jobs::view::{JobRow, RunRow, Showing};
use crate::state::jobs::when::zone_for;
use crate::state::jobs::{JobMemo, JobRecord};
use crate::state::time::Timestamp;
use crate::{note, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel jobs                    every job: what starts it, when next, how it ended last, what was missed
  evenkeel jobs nightly            one job with its last runs: exit code, duration, image, what started it
  evenkeel jobs nightly --tail     with the last lines that each run printed
  evenkeel jobs --json | jq -r '.[] | select(.last.state != \"succeeded\").job'
  evenkeel job run nightly --wait  run it now")]
pub struct JobsArgs {
    /// `project/job`, or `job` where that is clear
    job: Option<String>,
    /// Runs shown of one job, newest first
    #[arg(long, short = 'n', default_value_t = 10, requires = "job", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// With the last lines that each run printed
    #[arg(long, requires = "job")]
    tail: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &JobsArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(jobs(&settings, args)),
        Err(code) => code,
    }
}

async fn jobs(settings: &Settings, args: &JobsArgs) -> i32 {
    let limit = usize::from(args.limit);
    let rows = match rows(settings, args.job.as_deref(), limit).await {
        Ok(rows) => rows,
        Err(code) => return code,
    };
    match (&args.job, rows.first()) {
        (Some(_), Some(row)) if args.json => out::json(row),
        (_, _) if args.json => out::json(&rows),
        (Some(_), Some(row)) => {
            one(row, args.tail);
            code::OK
        }
        (_, None) => {
            note!("there are no jobs on this host");
            code::OK
        }
        (None, Some(_)) => {
            all(&rows);
            code::OK
        }
    }
}

/// What is known, from the daemon or without one; of one job with its runs.
///
/// # Errors
/// An exit code, after saying why.
pub(super) async fn rows(settings: &Settings, job: Option<&str>, limit: usize) -> Result<Vec<JobRow>, i32> {
    match Host::find(settings).await? {
        Host::Daemon(client) => {
            let mut asked = WorkQuery::new();
            if let Some(job) = job {
                let known: Vec<JobRow> = client.work("jobs", &asked).await.map_err(client_failed)?;
                let id = named(job, &known).map_err(out::fail)?;
                asked.insert("name".to_owned(), id);
                asked.insert("limit".to_owned(), limit.to_string());
            }
            client.work("jobs", &asked).await.map_err(client_failed)
        }
        Host::Alone(store) => {
            let rows = alone(settings, &store, limit).map_err(out::fail)?;
            let Some(job) = job else {
                return Ok(rows.into_iter().map(|row| JobRow { runs: Vec::new(), ..row }).collect());
            };
            let id = named(job, &rows).map_err(out::fail)?;
            Ok(rows.into_iter().filter(|row| row.job == id).collect())
        }
    }
}

/// The job that is meant.
pub(super) fn named(job: &str, rows: &[JobRow]) -> Result<String, String> {
    let known: Vec<ServiceId> = rows.iter().filter_map(|row| ServiceId::parse(&row.job)).collect();
    pick_of("job", job, &known).map(|id| id.to_string())
}

/// What the files and the journal say.
fn alone(settings: &Settings, store: &Store, limit: usize) -> Result<Vec<JobRow>, String> {
    let desired = look::desired(settings, None)?;
    let notes = |kind: &str| store.notes(kind).map_err(|error| chain(&error));
    let records = journal::of_notes(notes("job")?, notes("run")?);
    let wanted = &desired.state.works.jobs;
    let ids: BTreeSet<&WorkId> = wanted.keys().chain(records.keys()).collect();
    let (empty, memo, default) = (JobRecord::default(), JobMemo::default(), jiff::tz::TimeZone::system());
    let rows = ids.into_iter().map(|id| {
        let record = records.get(id).unwrap_or(&empty);
        let (spec, problem) = match wanted.get(id) {
            Some(Work::Wanted(spec)) => (Some(&**spec), None),
            Some(Work::Frozen(why)) => (record.spec.as_deref(), why.first().map(Diagnostic::headline)),
            None => (None, Some("no file has it any more".to_owned())),
        };
        let zone = zone_for(spec, &default);
        let showing = Showing {
            id,
            owner: &settings.instance,
            spec,
            record,
            memo: &memo,
            zone: &zone,
            paused: desired.state.pauses.project(&id.project, clock::wall().0).map(|paused| paused.why),
            problem,
            now: clock::wall(),
        };
        showing.row(limit)
    });
    Ok(rows.collect())
}

fn all(rows: &[JobRow]) {
    let now = clock::wall();
    let mut table = Table::new(&["JOB", "STARTS", "NEXT", "LAST", "TOOK", "NOW", "MISSED"]);
    for row in rows {
        let open = row.open.iter().filter(|run| run.state != "waiting").count();
        let waiting = row.open.len() - open;
        let doing = match (open, waiting) {
            (0, 0) => "-".to_owned(),
            (0, waiting) => format!("{waiting} waiting"),
            (1, 0) => "running".to_owned(),
            (open, 0) => format!("{open} running"),
            (open, waiting) => format!("{open} running, {waiting} waiting"),
        };
        let took = row.last.as_ref().and_then(|last| last.took_ms).map_or("-".to_owned(), took);
        table.row([
            row.job.as_str().into(),
            starts(row).into(),
            next(row, now).into(),
            last(row, now),
            took.into(),
            doing.into(),
            row.missed.to_string().into(),
        ]);
    }
    table.print();
    for row in rows {
        if let Some(problem) = &row.problem {
            note!("{}: {}", row.job, one_line(problem));
        }
    }
}

fn starts(row: &JobRow) -> String {
    match &row.timezone {
        Some(zone) => format!("{} {zone}", row.trigger),
        None => row.trigger.clone(),
    }
}

fn next(row: &JobRow, now: Timestamp) -> String {
    match (row.next, &row.paused) {
        (_, Some(_)) => "paused".to_owned(),
        (Some(at), None) => format!("in {}", age(now, at)),
        (None, None) => "-".to_owned(),
    }
}

fn last(row: &JobRow, now: Timestamp) -> Cell {
    let Some(last) = &row.last else { return "never".into() };
    let style = if last.state == "succeeded" { out::GOOD } else { out::BAD };
    let when = last.ended.map(|at| format!(" {} ago", age(at, now))).unwrap_or_default();
    Cell::styled(format!("{}{when}", last.state), style)
}

/// `250ms`, `12.3s`, `5m`.
fn took(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => span(ms),
    }
}

fn one(row: &JobRow, tails: bool) {
    let now = clock::wall();
    say!("{}  {}  {}", row.job, starts(row), row.source);
    if let Some(at) = row.next {
        say!("next       {at} (in {})", age(now, at));
    }
    if let Some(paused) = &row.paused {
        say!("paused     {}", one_line(paused));
    }
    if let Some(problem) = &row.problem {
        say!("problem    {}", one_line(problem));
    }
    if let Some(at) = row.last_success {
        say!("succeeded  {at} ({} ago)", age(at, now));
    }
    if row.missed > 0 {
        let last = row.last_missed.map(|at| format!(", the last one at {at}")).unwrap_or_default();
        say!("missed     {}{last}", row.missed);
    }
    if row.skipped > 0 {
        say!("skipped    {}", row.skipped);
    }
    if row.open.is_empty() && row.runs.is_empty() {
        return;
    }
    say!();
    let mut table = Table::new(&["RUN", "BY", "RESULT", "CODE", "TOOK", "IMAGE", "HOW"]);
    for run in row.open.iter().rev().chain(&row.runs) {
        let style = match run.state.as_str() {
            "succeeded" => out::GOOD,
            "waiting" | "starting" | "running" => out::CHANGE,
            _ => out::BAD,
        };
        table.row([
            run.run.as_str().into(),
            run.cause.as_str().into(),
            Cell::styled(run.state.clone(), style),
            run.code.map_or("-".to_owned(), |code| code.to_string()).into(),
            run.took_ms.map_or("-".to_owned(), took).into(),
            run.image.clone().unwrap_or_else(|| "-".to_owned()).into(),
            how(run).into(),
        ]);
    }
    table.print();
    if tails {
        for run in &row.runs {
            if let Some(tail) = &run.tail {
                say!();
                say!("{}:", run.run);
                say!("{}", clean(tail));
            }
        }
    }
}

fn how(run: &RunRow) -> String {
    match &run.remark {
        Some(remark) => one_line(&format!("{} ({remark})", run.text)),
        None => one_line(&run.text),
    }
}
