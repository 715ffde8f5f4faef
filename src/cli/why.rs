//! `evenkeel why SERVICE`: what it is, what it waits for, what caused the last change.

use clap::Args;

use super::context::{Host, block_on, client_failed, settings};
use super::service::pick;
use super::show::{Table, age, clean, one_line, revision, span, word};
use super::{code, look, out};
use crate::config::{Flags, Settings};
use crate::controller::clock;
use crate::desired::ident::ServiceId;
use crate::metrics::api::{RevisionRow, WhyReport};
use crate::say;
use crate::state::record::RevisionVerdict;
use crate::state::time::Timestamp;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel why web                 why it is as it is, with the evidence against rejected revisions
  evenkeel why shop/web --json")]
pub struct WhyArgs {
    /// `project/service`, or `service` where that is clear
    service: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &WhyArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(why(&settings, args)),
        Err(code) => code,
    }
}

async fn why(settings: &Settings, args: &WhyArgs) -> i32 {
    match report(settings, &args.service).await {
        Ok(report) if args.json => out::json(&report),
        Ok(report) => {
            show(&report, clock::wall());
            code::OK
        }
        Err(code) => code,
    }
}

async fn report(settings: &Settings, service: &str) -> Result<WhyReport, i32> {
    match Host::find(settings).await? {
        Host::Daemon(client) => {
            let status = client.status().await.map_err(client_failed)?;
            let known: Vec<ServiceId> =
                status.services.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
            let id = pick(service, &known).map_err(out::fail)?;
            client.why(&id).await.map_err(client_failed)
        }
        Host::Alone(store) => look::why(settings, &store, service).await,
    }
}

/// `waits      for the health check`.
fn fact(name: &str, text: impl std::fmt::Display) {
    let bold = out::BOLD;
    say!("  {bold}{name:<9}{bold:#}  {text}");
}

fn show(report: &WhyReport, now: Timestamp) {
    let status = &report.status;
    let bold = out::BOLD;
    say!(
        "{bold}{}{bold:#} is {} ({}) for {}",
        status.service,
        word(&status.condition),
        status.condition.reason,
        age(status.since, now)
    );
    if !status.condition.message.is_empty() {
        fact(
            if status.condition.kind.is_settled() { "because" } else { "now" },
            one_line(&status.condition.message),
        );
    }
    for problem in &report.problems {
        fact("broken", one_line(problem));
    }
    if let Some(hold) = &report.hold {
        let on =
            hold.revision.as_deref().map_or_else(|| "what is good".to_owned(), |id| format!("revision {id}"));
        let until = match (hold.expires, hold.until_change) {
            (Some(at), _) => format!("until {at}"),
            (None, true) => "until its desired state changes or `evenkeel release`".to_owned(),
            (None, false) => "until `evenkeel release`".to_owned(),
        };
        fact("held", format_args!("on {on} {until}: {} (since {})", one_line(&hold.reason), hold.since));
    }
    if let Some(waiting) = &report.awaiting {
        let which = revision(Some(waiting.number), Some(&waiting.revision));
        let what = if waiting.window { "its window for" } else { "approval of" };
        fact("awaits", format_args!("{what} {which} {} (since {})", waiting.image, waiting.since));
        fact("", one_line(&waiting.cause));
        fact(
            "",
            format_args!(
                "{}: evenkeel approve {} --revision {}",
                if waiting.window { "sooner" } else { "to agree" },
                status.service,
                waiting.revision
            ),
        );
    }
    for hook in &report.hooks {
        fact("hook", format_args!("{} (revision {}, {})", one_line(&hook.told), hook.revision, hook.began));
        for line in hook.output.iter().flat_map(|output| output.lines()) {
            fact("", clean(line));
        }
    }
    for row in status.containers.iter().filter(|row| row.probe.is_some()) {
        fact("probe", format_args!("{}: {}", row.name, one_line(row.probe.as_deref().unwrap_or_default())));
    }
    fact(
        "serves",
        format_args!(
            "{} of {} ready, {} {}",
            status.ready,
            status.desired_replicas,
            revision(status.revision_number, status.revision.as_deref()),
            status.image
        ),
    );
    fact("defined", format_args!("in {}", status.source));
    if let Some(commit) = &status.commit {
        fact("commit", one_line(&commit.to_string()));
    }
    if !status.order.is_empty() {
        fact("replaced", &status.order);
    }
    if let Some(change) = &report.last_change {
        let event = format!("{:?}", change.event).to_lowercase();
        let which = revision(change.number, change.revision.as_deref());
        fact("changed", format_args!("{} {event} {which} {}", change.at, change.image));
        if !change.reason.is_empty() {
            fact("", one_line(&change.reason));
        }
    }
    for open in &report.unsettled {
        fact("unsettled", format_args!("{open}: its answer never came; nobody else gets what it would hold"));
    }
    if let Some(ms) = status.next_look_ms {
        fact("looked at", format_args!("again in {}", span(ms)));
    }
    containers(report);
    revisions(&report.revisions);
}

fn containers(report: &WhyReport) {
    if report.status.containers.is_empty() {
        return;
    }
    say!();
    let mut rows = Table::new(&["CONTAINER", "ID", "STATE", "HEALTH", "RESTARTS", "REVISION", "SERVES"]);
    for row in &report.status.containers {
        rows.row([
            row.name.as_str().into(),
            row.id.as_str().into(),
            row.state.as_str().into(),
            row.health.as_str().into(),
            row.restarts.to_string().into(),
            row.revision.as_str().into(),
            if row.serving { "yes" } else { "no" }.into(),
        ]);
    }
    rows.print();
}

fn revisions(revisions: &[RevisionRow]) {
    for kept in revisions {
        say!();
        let (verdict, style) = super::revisions::outcome(kept);
        say!("r{} {} {}  {style}{verdict}{style:#}  since {}", kept.number, kept.id, kept.image, kept.since);
        if let RevisionVerdict::Rejected { reason, at } = &kept.verdict {
            fact(
                "because",
                format_args!(
                    "{} ({at}); not tried again until its files change or `evenkeel retry`",
                    one_line(reason)
                ),
            );
        }
        if !kept.cause.is_empty() {
            fact("came by", one_line(&kept.cause));
        }
        if let Some(evidence) = kept.evidence.as_deref().filter(|text| !text.is_empty()) {
            fact("its log", "ended with");
            for line in clean(evidence).lines() {
                say!("    | {line}");
            }
        }
    }
}
