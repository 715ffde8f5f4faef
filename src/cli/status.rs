//! `evenkeel status [SERVICE...] [--watch]`.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use super::context::{Host, block_on, client_failed, settings};
use super::service::pick_all;
use super::show::{Cell, Table, age, one_line, revision, style};
use super::{code, look, out};
use crate::config::{Flags, Settings};
use crate::controller::clock;
use crate::desired::ident::ServiceId;
use crate::metrics::api::{HostStatus, StatusReport};
use crate::state::condition::{Condition, ServiceStatus};
use crate::{note, say};

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel status                  every service on this host
  evenkeel status web              one service (evenkeel why web tells more)
  evenkeel status --watch          again whenever something changes
  evenkeel status --json | jq -r '.services[] | select(.condition.kind != \"ready\") | .service'")]
pub struct StatusArgs {
    /// Only these (`project/service`, or `service` where that is clear)
    services: Vec<String>,
    /// Show it again whenever it changes, until interrupted
    #[arg(long, short)]
    watch: bool,
    /// As JSON, the same as /v1/status answers
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &StatusArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(status(&settings, args)),
        Err(code) => code,
    }
}

async fn status(settings: &Settings, args: &StatusArgs) -> i32 {
    let mut shown: Option<StatusReport> = None;
    loop {
        let report = match report(settings).await {
            Ok(report) => report,
            // A daemon that restarts is no reason to stop watching it.
            Err(_) if shown.is_some() => {
                tokio::time::sleep(WATCH).await;
                continue;
            }
            Err(code) => return code,
        };
        let report = match only(report, &args.services) {
            Ok(report) => report,
            Err(error) => return out::fail(error),
        };
        if shown.as_ref().map(still) != Some(still(&report)) {
            if args.watch && !args.json && std::io::stdout().is_terminal() {
                out::print(format_args!("\x1b[H\x1b[2J"));
            }
            show(&report, args.json);
            shown = Some(report);
        }
        if !args.watch {
            return code::OK;
        }
        tokio::time::sleep(WATCH).await;
    }
}

async fn report(settings: &Settings) -> Result<StatusReport, i32> {
    match Host::find(settings).await? {
        Host::Daemon(client) => client.status().await.map_err(client_failed),
        Host::Alone(store) => look::status(settings, &store).await,
    }
}

/// What counts as a change: not a countdown.
fn still(report: &StatusReport) -> StatusReport {
    let mut report = report.clone();
    report.services.iter_mut().for_each(|service| service.next_look_ms = None);
    report
}

fn only(mut report: StatusReport, wanted: &[String]) -> Result<StatusReport, String> {
    if wanted.is_empty() {
        return Ok(report);
    }
    let known: Vec<ServiceId> =
        report.services.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
    let wanted: Vec<String> = pick_all(wanted, &known)?.iter().map(ToString::to_string).collect();
    report.services.retain(|row| wanted.contains(&row.service));
    Ok(report)
}

fn show(report: &StatusReport, json: bool) {
    if json {
        out::json(report);
        return;
    }
    heading(&report.host);
    if report.services.is_empty() {
        say!("no services");
        return;
    }
    let now = clock::wall();
    let mut rows = Table::new(&["SERVICE", "CONDITION", "READY", "REVISION", "IMAGE", "SINCE", "MESSAGE"]);
    for service in &report.services {
        rows.row(row(service, now));
    }
    rows.print();
}

fn row(status: &ServiceStatus, now: crate::state::time::Timestamp) -> Vec<Cell> {
    let ServiceStatus { service, condition, since, desired_replicas, ready, image, .. } = status;
    vec![
        service.as_str().into(),
        Cell::styled(condition.kind.as_str(), style(condition.kind)),
        format!("{ready}/{desired_replicas}").into(),
        revision(status.revision_number, status.revision.as_deref()).into(),
        image.as_str().into(),
        age(*since, now).into(),
        message(condition).into(),
    ]
}

/// The message, unless the condition's word says it all.
fn message(condition: &Condition) -> String {
    let text = one_line(&condition.message);
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(&text)),
        None => text,
    }
}

/// What is true of the host, in the order of how much it matters.
fn heading(host: &HostStatus) {
    let (bad, dim) = (out::ERROR, out::DIM);
    if host.engine.simulated {
        say!("{bad}SIMULATED ENGINE: nothing shown here really runs{bad:#}");
    }
    if host.started.is_none() {
        note!(
            "{dim}no daemon runs: this is what evenkeel sees for itself now (evenkeel run keeps it so){dim:#}"
        );
    }
    if !host.engine.up {
        let why = host.engine.trouble.as_deref().unwrap_or("it does not answer");
        say!("{bad}engine:{bad:#} {} (evenkeel doctor tells more)", one_line(why));
    }
    if host.started.is_some() && !host.store_writable {
        say!(
            "{bad}store:{bad:#} it takes no writes, so nothing is changed until it does (evenkeel doctor tells more)"
        );
    }
    host.desired.sources.iter().filter(|source| source.kind == "git").for_each(super::sync::line);
    if let Some(why) = &host.desired.trouble {
        say!("{bad}desired state:{bad:#} {}; what was read before stands", one_line(why));
    }
    for file in &host.desired.broken_files {
        say!("{bad}broken file:{bad:#} {file}: its services stay as they are (evenkeel validate shows why)");
    }
    if let Some(names) = host.unmanaged.as_ref().filter(|names| !names.is_empty()) {
        const SHOWN: usize = 12;
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more (--json)"),
        };
        let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
        say!("{dim}not evenkeel's: {}{more}{dim:#}", one_line(&first.join(", ")));
    }
    if let Some(guard) = &host.guard {
        say!("{bad}guard:{bad:#} {}", one_line(&guard.reason));
        say!("  waits for consent: {}", guard.services.join(", "));
        say!("  to agree: evenkeel approve {}", guard.token);
    }
}
