//! `evenkeel rm`: a service goes with all trace of it.

mod definition;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::{block_on, chain, settings};
use super::prune::{Way, agreed};
use super::service::pick;
use super::show::one_line;
use super::{code, out};
use crate::config::sources::Source;
use crate::config::{Flags, Settings};
use crate::controller::works::disk::{self, RemovalPlan, RemovalReport, RemovalState, Removing};
use crate::desired::ident::ServiceId;
use crate::metrics::api::WorkQuery;
use crate::metrics::client::Client;
use crate::{note, say};
use definition::Edit;

/// How often the daemon is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// A daemon reads changed files within moments; one that does not by then reads others.
const READ_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel rm shop/old --dry-run               show what there is of it, and what would go
  evenkeel rm shop/old --definition            take it out of its file, then remove containers, record and kept images' tags
  evenkeel rm shop/old --definition --volumes --images --yes

Volumes go only with --volumes, and of them only those that evenkeel made and nobody else uses. Comments in the file stay. A service that a
repository defines must be taken out there first. The history stays.")]
pub struct RmArgs {
    /// `project/service`, or `service` where that is clear
    service: String,
    /// Its volumes too, with what is in them
    #[arg(long)]
    volumes: bool,
    /// The images too that only it has had
    #[arg(long)]
    images: bool,
    /// Take it out of the files that define it
    #[arg(long)]
    definition: bool,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What would go, files included.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a RemovalPlan,
    /// Files it would be taken out of.
    files: Vec<String>,
}

pub(super) fn run(flags: &Flags, args: &RmArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        match through(&settings, args).await {
            Ok(code) => code,
            Err(Refusal::Said(code)) => code,
            Err(Refusal::Because(error)) => out::fail(error),
        }
    })
}

enum Refusal {
    Said(i32),
    Because(String),
}

impl From<String> for Refusal {
    fn from(error: String) -> Self {
        Self::Because(error)
    }
}

async fn through(settings: &Settings, args: &RmArgs) -> Result<i32, Refusal> {
    let asked = Removing { volumes: args.volumes, images: args.images };
    let way = Way::find(settings).await.map_err(Refusal::Said)?;
    let id = meant(&way, &args.service).await?;
    let mut plan = look(&way, &id, asked).await?;
    let edits = match (&plan.defined, args.definition) {
        (Some(_), true) => definition::edits(settings, &id, args.volumes)?,
        _ => Vec::new(),
    };
    let elsewhere =
        plan.defined.as_ref().filter(|_| edits.is_empty()).map(|place| next_step(settings, args, &id, place));
    let shown =
        Shown { plan: &plan, files: edits.iter().map(|edit| edit.path.display().to_string()).collect() };
    if args.json {
        if args.dry_run || !args.yes {
            out::json(&shown);
        }
    } else {
        show(&shown);
    }
    if let Some(why) = plan.trouble.clone().or(elsewhere) {
        return if args.dry_run { note_only(&why) } else { Err(why.into()) };
    }
    if args.dry_run {
        return Ok(code::OK);
    }
    if !args.yes && (args.json || !agreed(&format!("remove {id}?"))) {
        note!("nothing was removed; without being asked: evenkeel rm {id} ... --yes");
        return Ok(code::REFUSED);
    }
    let way = if edits.is_empty() { way } else { without_definition(settings, way, &edits, &id).await? };
    plan.defined = None;
    let report = remove(&way, &id, &plan).await?;
    if args.json {
        out::json(&report);
    } else {
        conclude(&report);
    }
    Ok(if report.left.is_empty() { code::OK } else { code::ERROR })
}

fn note_only(why: &str) -> Result<i32, Refusal> {
    note!("{}", one_line(why));
    Ok(code::REFUSED)
}

/// Why it would come back, and what to do about it.
fn next_step(settings: &Settings, args: &RmArgs, id: &ServiceId, place: &str) -> String {
    let git = settings.sources.iter().any(|source| matches!(source, Source::Git(_)));
    if !args.definition && !git {
        return format!("{place} defines {id}, so it would come back: --definition takes it out of there");
    }
    format!(
        "{place} defines {id}, and that comes from a repository: take it out there, and call evenkeel rm again when the commit is in force"
    )
}

/// The service meant, among those that are here or in the files.
async fn meant(way: &Way, text: &str) -> Result<ServiceId, String> {
    let known: Vec<ServiceId> = match way {
        Way::Daemon(client) => {
            let rows = client.status().await.map_err(|error| chain(&error))?.services;
            rows.iter().filter_map(|row| ServiceId::parse(&row.service)).collect()
        }
        Way::Alone(host, _) => {
            let mut known = host.guard.known();
            known.extend(
                host.wish()
                    .into_iter()
                    .flat_map(|wish| wish.state.services.keys().cloned().collect::<Vec<_>>()),
            );
            known.into_iter().collect()
        }
    };
    pick(text, &known)
}

async fn look(way: &Way, id: &ServiceId, asked: Removing) -> Result<RemovalPlan, String> {
    match way {
        Way::Daemon(client) => {
            let query = WorkQuery::from(
                [
                    ("what", "rm".to_owned()),
                    ("service", id.to_string()),
                    ("volumes", asked.volumes.to_string()),
                    ("images", asked.images.to_string()),
                ]
                .map(|(key, value)| (key.to_owned(), value)),
            );
            client.work(disk::KIND, &query).await.map_err(|error| chain(&error))
        }
        Way::Alone(host, ground) => disk::plan(host, ground, id, asked).await,
    }
}

/// Writes the files, and waits until whoever removes has read them.
async fn without_definition(
    settings: &Settings,
    way: Way,
    edits: &[Edit],
    id: &ServiceId,
) -> Result<Way, Refusal> {
    for edit in edits {
        edit.write()?;
        note!("{id} was taken out of {}", edit.path.display());
    }
    let client = match way {
        Way::Daemon(client) => client,
        // Looks at the files once more; the lock of the store is given back for that.
        Way::Alone(host, ground) => {
            drop((host, ground));
            return Way::find(settings).await.map_err(Refusal::Said);
        }
    };
    client.sync().await.map_err(|error| chain(&error))?;
    let way = Way::Daemon(client);
    let started = std::time::Instant::now();
    while look(&way, id, Removing::default()).await.is_ok_and(|plan| plan.defined.is_some()) {
        if started.elapsed() > READ_WITHIN {
            return Err(format!("the daemon still wants {id}: does it read the same files?").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(way)
}

async fn remove(way: &Way, id: &ServiceId, plan: &RemovalPlan) -> Result<RemovalReport, String> {
    match way {
        Way::Daemon(client) => by_daemon(client, id, plan).await,
        Way::Alone(host, ground) => {
            disk::begin(host, plan).await?;
            let begun = disk::begun(host).await?.remove(id).unwrap_or_default();
            disk::remove(host, ground, id, begun).await
        }
    }
}

async fn by_daemon(client: &Client, id: &ServiceId, plan: &RemovalPlan) -> Result<RemovalReport, String> {
    let _taken: serde_json::Value =
        client.work_order(disk::KIND, "rm", plan).await.map_err(|error| chain(&error))?;
    let query = WorkQuery::from(
        [("what", "removal".to_owned()), ("service", id.to_string())]
            .map(|(key, value)| (key.to_owned(), value)),
    );
    loop {
        let state: Option<RemovalState> =
            client.work(disk::KIND, &query).await.map_err(|error| chain(&error))?;
        match state {
            Some(RemovalState::Running) => tokio::time::sleep(LOOK).await,
            Some(RemovalState::Done(report)) => return Ok(report),
            Some(RemovalState::Failed(error)) => return Err(error),
            None => {
                return Err(format!(
                    "the daemon was started anew; evenkeel status tells whether {id} is gone"
                ));
            }
        }
    }
}

fn show(shown: &Shown<'_>) {
    let Shown { plan, files } = shown;
    say!("{}:", plan.service);
    for file in files {
        say!("  its definition in {file}");
    }
    for name in &plan.containers {
        say!("  container {name}");
    }
    if plan.revisions > 0 {
        say!("  its record: {} kept revisions, with the tags that keep their images", plan.revisions);
    }
    for volume in &plan.volumes {
        match &volume.stays {
            None if volume.declared && files.is_empty() => {
                say!(
                    "  volume {} with everything in it; the files declare it, so it is made anew, empty",
                    volume.name
                );
            }
            None => say!("  volume {} with everything in it", volume.name),
            Some(why) => say!("  (volume {} stays: {})", volume.name, one_line(why)),
        }
    }
    for name in &plan.images {
        say!("  image {}", one_line(name));
    }
}

fn conclude(report: &RemovalReport) {
    for text in &report.left {
        note!("left: {}", one_line(text));
    }
    say!(
        "{} is gone: {} containers, {} volumes, {} images",
        report.service,
        report.containers.len(),
        report.volumes.len(),
        report.images.len()
    );
}
