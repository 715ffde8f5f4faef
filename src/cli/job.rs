//! `evenkeel job run|stop JOB`: an operator's word about a job.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::context::{block_on, client_failed, settings};
use super::jobs::named;
use super::show::{clean, one_line};
use super::{code, out};
use crate::config::{Flags, Settings, duration};
use crate::controller::works::jobs::show::{JobOrder, JobOrdered};
use crate::metrics::api::WorkQuery;
use crate::metrics::client::Client;
use crate::state::jobs::view::{JobRow, RunRow};
use crate::{note, say};

/// How often the daemon is asked how far a run is.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel job run nightly --wait  run it now, and wait for its end
  evenkeel job stop nightly        end whatever of it is under way")]
pub struct JobArgs {
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Run a job now
    Run(RunArgs),
    /// Stop a run
    Stop(StopArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel job run nightly         run it beside its schedule
  evenkeel job run nightly --wait  and wait for the end: the exit code is 0 if it succeeded, with all its tries
  evenkeel logs nightly -f         what it prints meanwhile

`overlap` counts for it as for any run: with \"skip\" it is refused while another one is not over.")]
struct RunArgs {
    /// `project/job`, or `job` where that is clear
    job: String,
    /// Wait for its end
    #[arg(long, short)]
    wait: bool,
    /// Longest to wait
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration, requires = "wait")]
    timeout: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel job stop nightly                         whatever of it is under way
  evenkeel job stop nightly --run 20261126T023000Z  one run

It is not tried again, whatever `retries` says.")]
struct StopArgs {
    /// `project/job`, or `job` where that is clear
    job: String,
    /// Only this run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &JobArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        let client = match client(&settings).await {
            Ok(client) => client,
            Err(code) => return code,
        };
        match &args.command {
            JobCommand::Run(args) => run_now(&client, args).await,
            JobCommand::Stop(args) => stop(&client, args).await,
        }
    })
}

async fn client(settings: &Settings) -> Result<Client, i32> {
    match Client::find(&settings.socket).await {
        Ok(Some(client)) => Ok(client),
        Ok(None) => Err(out::fail(format_args!(
            "no daemon answers at {}, and it is the daemon that runs jobs: start `evenkeel run`",
            settings.socket.display()
        ))),
        Err(error) => Err(client_failed(error)),
    }
}

async fn found(client: &Client, job: &str) -> Result<String, i32> {
    let known: Vec<JobRow> = client.work("jobs", &WorkQuery::new()).await.map_err(client_failed)?;
    named(job, &known).map_err(out::fail)
}

async fn order(client: &Client, verb: &str, order: &JobOrder) -> Result<JobOrdered, i32> {
    client.work_order("jobs", verb, order).await.map_err(client_failed)
}

async fn run_now(client: &Client, args: &RunArgs) -> i32 {
    let job = match found(client, &args.job).await {
        Ok(job) => job,
        Err(code) => return code,
    };
    let ordered = match order(client, "run", &JobOrder { job: job.clone(), run: None }).await {
        Ok(ordered) => ordered,
        Err(code) => return code,
    };
    let Some(run) = ordered.runs.first().filter(|_| args.wait) else {
        return told(&ordered, args.json);
    };
    if !args.json {
        note!("{}", one_line(&ordered.message));
    }
    match ended(client, &job, run, Duration::from_millis(args.timeout)).await {
        Ok(Some(row)) => {
            if args.json {
                out::json(&row);
            } else {
                if let Some(tail) = &row.tail {
                    note!("{}", clean(tail));
                }
                say!("{job} {} {}: {}", row.run, row.state, one_line(&row.text));
            }
            if row.state == "succeeded" { code::OK } else { code::ERROR }
        }
        Ok(None) => {
            note!("it is not over yet; the daemon goes on (evenkeel jobs {job})");
            code::TIMED_OUT
        }
        Err(code) => code,
    }
}

/// The end of the last try of a run. `None`: the time is up.
async fn ended(client: &Client, job: &str, run: &str, limit: Duration) -> Result<Option<RunRow>, i32> {
    let start = Instant::now();
    let asked =
        WorkQuery::from([("name".to_owned(), job.to_owned()), ("limit".to_owned(), "1000".to_owned())]);
    let of_it =
        |row: &&RunRow| row.run == run || row.run.strip_prefix(run).is_some_and(|rest| rest.starts_with('-'));
    loop {
        let rows: Vec<JobRow> = client.work("jobs", &asked).await.map_err(client_failed)?;
        let Some(row) = rows.first() else { return Err(out::fail(format_args!("{job} is gone"))) };
        if let Some(end) = row.runs.iter().filter(of_it).find(|row| row.last) {
            return Ok(Some(end.clone()));
        }
        if !row.open.iter().chain(&row.runs).any(|row| of_it(&row)) {
            return Err(out::fail(format_args!("run {run} was passed over (evenkeel jobs {job})")));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn stop(client: &Client, args: &StopArgs) -> i32 {
    let job = match found(client, &args.job).await {
        Ok(job) => job,
        Err(code) => return code,
    };
    match order(client, "stop", &JobOrder { job, run: args.run.clone() }).await {
        Ok(ordered) => told(&ordered, args.json),
        Err(code) => code,
    }
}

fn told(ordered: &JobOrdered, json: bool) -> i32 {
    if json {
        return out::json(ordered);
    }
    say!("{}", one_line(&ordered.message));
    code::OK
}
