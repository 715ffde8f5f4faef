//! `rollback`, `retry`, `hold`, `release`, `approve`: an operator's word, to the daemon or, when none runs, to the store.

use std::time::{Duration, Instant};

use clap::Args;

use super::context::{block_on, client_failed, settings};
use super::service::pick;
use super::show::{one_line, word};
use super::{alone, artifacts, code, out};
use crate::config::{Flags, Settings, duration};
use crate::controller::works::artifacts::Verb;
use crate::desired::ident::ServiceId;
use crate::metrics::api::{Accepted, Command};
use crate::metrics::client::Client;
use crate::state::condition::{ConditionKind, ServiceStatus};
use crate::{note, say};

/// How often the daemon is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// A condition that stood for this long stands: the pass that the order woke has begun by then.
const STEADY: Duration = Duration::from_millis(1000);

/// What every order that changes containers takes.
#[derive(Debug, Args)]
pub struct Waiting {
    /// Do not wait until the service has settled
    #[arg(long)]
    no_wait: bool,
    /// Longest to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel rollback web            to the last good revision before the one that serves
  evenkeel rollback web --to 3     to revision 3 (evenkeel why web lists them)
  evenkeel release web             the files decide again

It stays there until the desired state of the service changes or it is released.")]
pub struct RollbackArgs {
    /// `project/service`, or `service` where that is clear; `artifacts.NAME` means files on the host
    service: String,
    /// Number or start of the id of a kept revision [default: the last good one before this]
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel retry web               try the rejected revision once more

Without it, a rejected revision is not tried again until the desired state of the service changes.")]
pub struct RetryArgs {
    /// `project/service`, or `service` where that is clear
    service: String,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel hold web -m \"black friday\" --for 2d
  evenkeel hold shop/db            until evenkeel release shop/db

A held service stays on its revision, whatever the files say; what dies is still repaired.")]
pub struct HoldArgs {
    /// `project/service`, or `service` where that is clear
    service: String,
    /// Why, for those who look at it later
    #[arg(long, short)]
    message: Option<String>,
    /// End it by itself after this long: 90s, 15m, 1h30m, 2d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    for_ms: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel release web             ends a hold or a rollback by hand: the files decide again")]
pub struct ReleaseArgs {
    /// `project/service`, or `service` where that is clear
    service: String,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel status                  shows what waits: revisions of services, and removals with their token
  evenkeel approve shop/db --revision 1a2b3c4d
                                   lets exactly that revision of a service be rolled out
  evenkeel approve shop/db         the same with the revision that waits now
  evenkeel approve 4f1c9a2b        lets exactly the removals of that token go

Removals without a running daemon: evenkeel apply --allow-removals.")]
pub struct ApproveArgs {
    /// A service whose revision waits, or the token of removals
    #[arg(value_name = "SERVICE|TOKEN")]
    what: String,
    /// Number or start of the id of the revision meant; refused if another one waits by now
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) fn rollback(flags: &Flags, args: &RollbackArgs) -> i32 {
    if let Some(artifact) = artifacts::named(&args.service) {
        return artifacts::order(flags, &artifact, Verb::Rollback, args.to.clone(), args.waiting.json);
    }
    let command = Command::Rollback { to: args.to.clone() };
    order(flags, &args.service, &command, Some(&args.waiting), args.waiting.json)
}

pub(super) fn retry(flags: &Flags, args: &RetryArgs) -> i32 {
    order(flags, &args.service, &Command::Retry, Some(&args.waiting), args.waiting.json)
}

pub(super) fn hold(flags: &Flags, args: &HoldArgs) -> i32 {
    let command = Command::Hold { message: args.message.clone(), for_ms: args.for_ms };
    order(flags, &args.service, &command, None, args.json)
}

pub(super) fn release(flags: &Flags, args: &ReleaseArgs) -> i32 {
    order(flags, &args.service, &Command::Release, Some(&args.waiting), args.waiting.json)
}

pub(super) fn approve(flags: &Flags, args: &ApproveArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let (what, json) = (args.what.as_str(), args.waiting.json);
    block_on(async {
        match Client::find(&settings.socket).await {
            Ok(Some(client)) => match waiting_revision(&client, args).await {
                Ok(Some(revision)) => {
                    let command = Command::Approve { revision: Some(revision) };
                    by_daemon(&client, what, &command, Some(&args.waiting), json).await
                }
                Ok(None) => match client.approve(what).await {
                    Ok(accepted) => accepted_as(&accepted, json),
                    Err(error) => client_failed(error),
                },
                Err(code) => code,
            },
            Ok(None) => {
                let command = Command::Approve { revision: args.revision.clone() };
                match alone::order(&settings, what, &command).await {
                    Ok((_, message)) => accepted_as(&Accepted { message }, json),
                    Err(error) => out::fail(format!(
                        "no daemon runs, and {error}; removals: `evenkeel apply --allow-removals`"
                    )),
                }
            }
            Err(error) => client_failed(error),
        }
    })
}

/// The revision of the service that is meant: the one given, else the one that this very status shows, so that no other can
/// slip in between. `None`: it is a token.
async fn waiting_revision(client: &Client, args: &ApproveArgs) -> Result<Option<String>, i32> {
    if args.revision.is_some() {
        return Ok(args.revision.clone());
    }
    let rows = client.status().await.map_err(client_failed)?.services;
    let known: Vec<ServiceId> = rows.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
    let id = match pick(&args.what, &known) {
        Ok(id) => id.to_string(),
        Err(error) if args.what.contains('/') => return Err(out::fail(error)),
        Err(_) => return Ok(None),
    };
    let row = rows.into_iter().find(|row| row.service == id);
    match row.and_then(|row| row.awaiting) {
        Some(revision) => Ok(Some(revision)),
        None => Err(out::fail(format!(
            "no revision of {id} waits for approval (evenkeel status shows what does)"
        ))),
    }
}

fn accepted_as(accepted: &Accepted, json: bool) -> i32 {
    if json {
        return out::json(accepted);
    }
    say!("{}", one_line(&accepted.message));
    code::OK
}

fn order(flags: &Flags, service: &str, command: &Command, waiting: Option<&Waiting>, json: bool) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        match Client::find(&settings.socket).await {
            Ok(Some(client)) => by_daemon(&client, service, command, waiting, json).await,
            Ok(None) => by_itself(&settings, service, command, waiting, json).await,
            Err(error) => client_failed(error),
        }
    })
}

async fn by_daemon(
    client: &Client,
    service: &str,
    command: &Command,
    waiting: Option<&Waiting>,
    json: bool,
) -> i32 {
    let known = match client.status().await {
        Ok(report) => report.services,
        Err(error) => return client_failed(error),
    };
    let known: Vec<ServiceId> = known.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
    let id = match pick(service, &known) {
        Ok(id) => id,
        Err(error) => return out::fail(error),
    };
    let accepted = match client.command(&id, command).await {
        Ok(accepted) => match command {
            Command::Hold { .. } => Accepted { message: format!("held: {}", accepted.message) },
            _ => accepted,
        },
        Err(error) => return client_failed(error),
    };
    let Some(waiting) = waiting.filter(|waiting| !waiting.no_wait) else {
        return accepted_as(&accepted, json);
    };
    if !json {
        note!("{}", one_line(&accepted.message));
    }
    let (status, settled) = match settled(client, &id, Duration::from_millis(waiting.timeout)).await {
        Ok(found) => found,
        Err(code) => return code,
    };
    conclude(&id, status.as_ref(), settled, json)
}

/// Without a daemon the record is changed under the store's lock, then the service is converged as `apply` does.
async fn by_itself(
    settings: &Settings,
    service: &str,
    command: &Command,
    waiting: Option<&Waiting>,
    json: bool,
) -> i32 {
    let id = match alone::order(settings, service, command).await {
        Ok((id, message)) => {
            if !json || waiting.is_none() {
                note!("no daemon runs: written into the store in {}", settings.state.display());
            }
            if waiting.is_none_or(|waiting| waiting.no_wait) {
                return accepted_as(&Accepted { message }, json);
            }
            id
        }
        Err(error) => return out::fail(error),
    };
    let timeout = waiting.map_or(0, |waiting| waiting.timeout);
    alone::converge(settings, &id, timeout, json).await
}

/// Asks until the service has settled, or the time is up. `None`: it is gone.
async fn settled(
    client: &Client,
    id: &ServiceId,
    timeout: Duration,
) -> Result<(Option<ServiceStatus>, bool), i32> {
    let start = Instant::now();
    let name = id.to_string();
    let mut steady: Option<(Instant, ServiceStatus)> = None;
    loop {
        let report = client.status().await.map_err(client_failed)?;
        let Some(status) = report.services.into_iter().find(|row| row.service == name) else {
            return Ok((None, true));
        };
        let same = steady.as_ref().is_some_and(|(_, before)| before.condition == status.condition);
        if !same {
            steady = Some((Instant::now(), status.clone()));
        }
        let stands = steady.as_ref().is_some_and(|(since, _)| since.elapsed() >= STEADY);
        if status.condition.kind.is_settled() && stands {
            return Ok((Some(status), true));
        }
        if start.elapsed() >= timeout {
            return Ok((Some(status), false));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn conclude(id: &ServiceId, status: Option<&ServiceStatus>, settled: bool, json: bool) -> i32 {
    let Some(status) = status else {
        note!("{id} is gone");
        return code::OK;
    };
    if json {
        out::json(status);
    } else {
        say!("{id} is {}: {}", word(&status.condition), one_line(&status.condition.message));
    }
    if settled {
        return exit_code(status.condition.kind);
    }
    note!("it has not settled yet; the daemon goes on (evenkeel status {id})");
    code::TIMED_OUT
}

/// The exit code for how one service ended.
pub(super) fn exit_code(kind: ConditionKind) -> i32 {
    match kind {
        ConditionKind::Ready | ConditionKind::Completed | ConditionKind::Held | ConditionKind::Removed => {
            code::OK
        }
        ConditionKind::RolledBack => code::ROLLED_BACK,
        ConditionKind::Orphaned
        | ConditionKind::Paused
        | ConditionKind::AwaitingApproval
        | ConditionKind::AwaitingWindow => code::REFUSED,
        ConditionKind::Progressing | ConditionKind::Waiting => code::TIMED_OUT,
        ConditionKind::Degraded | ConditionKind::Failed | ConditionKind::Frozen => code::ERROR,
    }
}
