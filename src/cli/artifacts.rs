//! `evenkeel artifacts`: files that are kept in place on the host, and the way back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::adopt::alone;
use super::context::{block_on, chain, client_failed, settings};
use super::show::{Cell, Table, one_line};
use super::{assemble, code, look, out, workers};
use crate::config::{Flags, Settings};
use crate::controller::host::Host;
use crate::controller::works::artifacts::{
    ArtifactOrder, ArtifactRow, ArtifactWorker, Condition, KIND, Verb, seen_rows,
};
use crate::desired::work::WorkId;
use crate::metrics::api::WorkQuery;
use crate::metrics::client::Client;
use crate::{note, say};

/// How often the daemon is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel artifacts                           every artifact with what is in place, and what it can go back to
  evenkeel artifacts rollback shop/static      back to the version before, until its source or its definition changes
  evenkeel artifacts rollback static --to 1a2b
  evenkeel artifacts release static            the files decide again
  evenkeel artifacts retry static              try once more what was refused or put back

`evenkeel rollback artifacts.static` is the same as `evenkeel artifacts rollback static`.")]
pub struct ArtifactsArgs {
    #[command(subcommand)]
    word: Option<Word>,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Go back to an earlier version, and stay there
    Rollback {
        /// `project/name`, or `name` where that is clear
        artifact: String,
        /// Start of the id of a version [default: the one before]
        #[arg(long, value_name = "ID")]
        to: Option<String>,
    },
    /// End a rollback: the files decide again
    Release {
        /// `project/name`, or `name` where that is clear
        artifact: String,
    },
    /// Try once more what was refused or put back
    Retry {
        /// `project/name`, or `name` where that is clear
        artifact: String,
    },
}

pub(super) fn run(flags: &Flags, args: &ArtifactsArgs) -> i32 {
    match &args.word {
        None => list(flags, args.json),
        Some(Word::Rollback { artifact, to }) => {
            order(flags, artifact, Verb::Rollback, to.clone(), args.json)
        }
        Some(Word::Release { artifact }) => order(flags, artifact, Verb::Release, None, args.json),
        Some(Word::Retry { artifact }) => order(flags, artifact, Verb::Retry, None, args.json),
    }
}

/// `artifacts.static`, `shop/artifacts.static`: what else takes services may be asked for.
pub(super) fn named(text: &str) -> Option<String> {
    match text.split_once('/') {
        Some((project, name)) => Some(format!("{project}/{}", name.strip_prefix("artifacts.")?)),
        None => text.strip_prefix("artifacts.").map(str::to_owned),
    }
}

fn list(flags: &Flags, json: bool) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        // Without a daemon the files are read and the host is looked at; the store is left to a daemon that may be starting.
        let rows = match Client::find(&settings.socket).await {
            Ok(Some(client)) => client.work(KIND, &WorkQuery::new()).await.map_err(|error| chain(&error)),
            Ok(None) => look::desired(&settings, None)
                .map(|desired| seen_rows(&desired.state.works, &settings.instance)),
            Err(error) => return client_failed(error),
        };
        match rows {
            Ok(rows) if json => out::json(&rows),
            Ok(rows) => {
                show(&rows);
                code::OK
            }
            Err(error) => out::fail(error),
        }
    })
}

pub(super) fn order(flags: &Flags, artifact: &str, verb: Verb, to: Option<String>, json: bool) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        let way = match Way::find(&settings).await {
            Ok(way) => way,
            Err(code) => return code,
        };
        match way.order(artifact, verb, to).await {
            Ok(row) if json => {
                out::json(&row);
                exit_code(row.condition)
            }
            Ok(row) => {
                say!("{} is {}: {}", row.artifact, row.condition.as_str(), one_line(&row.message));
                exit_code(row.condition)
            }
            Err(error) => out::fail(error),
        }
    })
}

fn exit_code(condition: Condition) -> i32 {
    match condition {
        Condition::Ready | Condition::Held => code::OK,
        Condition::Progressing | Condition::Waiting => code::TIMED_OUT,
        Condition::Rejected => code::ROLLED_BACK,
        Condition::Failed | Condition::Frozen => code::ERROR,
    }
}

/// Who does it.
enum Way {
    Daemon(Client),
    Alone(Box<Host>, Arc<ArtifactWorker>),
}

impl Way {
    async fn find(settings: &Settings) -> Result<Self, i32> {
        match Client::find(&settings.socket).await {
            Ok(Some(client)) => Ok(Self::Daemon(client)),
            Ok(None) => {
                let host = alone(settings).await.map_err(out::fail)?;
                let book = Arc::new(assemble::book(settings).map_err(out::fail)?);
                let worker = workers::artifacts(settings, &book).map_err(out::fail)?;
                Ok(Self::Alone(Box::new(host), worker))
            }
            Err(error) => Err(client_failed(error)),
        }
    }

    async fn rows(&self) -> Result<Vec<ArtifactRow>, String> {
        match self {
            Self::Daemon(client) => client.work(KIND, &WorkQuery::new()).await.map_err(|error| chain(&error)),
            Self::Alone(host, worker) => Ok(worker.rows(host).await),
        }
    }

    /// Returns how it stands then.
    async fn order(&self, artifact: &str, verb: Verb, to: Option<String>) -> Result<ArtifactRow, String> {
        let rows = self.rows().await?;
        let name = meant(artifact, &rows)?;
        let client = match self {
            Self::Daemon(client) => client,
            Self::Alone(host, worker) => {
                let id = name.split_once('/').and_then(|(project, name)| WorkId::new(project, name));
                let id = id.ok_or_else(|| format!("`{name}` is no artifact"))?;
                worker.obey(host, &id, verb, to.as_deref()).await?;
                note!("no daemon runs: done by this command");
                return worker.once(host, &id).await;
            }
        };
        let word = ArtifactOrder { name: name.clone(), to };
        let _taken: serde_json::Value =
            client.work_order(KIND, verb.as_str(), &word).await.map_err(|error| chain(&error))?;
        let started = Instant::now();
        loop {
            let row = self.rows().await?.into_iter().find(|row| row.artifact == name);
            let row = row.ok_or_else(|| format!("{name} is gone"))?;
            if row.condition != Condition::Progressing || started.elapsed() > Duration::from_secs(600) {
                return Ok(row);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn meant(text: &str, rows: &[ArtifactRow]) -> Result<String, String> {
    let text = named(text).unwrap_or_else(|| text.to_owned());
    let fits =
        |row: &&ArtifactRow| row.artifact == text || row.artifact.split('/').nth(1) == Some(text.as_str());
    let found: Vec<&ArtifactRow> = rows.iter().filter(fits).collect();
    let list =
        |rows: &[&ArtifactRow]| rows.iter().map(|row| row.artifact.clone()).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => Ok(one.artifact.clone()),
        [] if rows.is_empty() => {
            Err(format!("there is no artifact `{text}`: the files define none for this host"))
        }
        [] => {
            Err(format!("there is no artifact `{text}`; there is {}", list(&rows.iter().collect::<Vec<_>>())))
        }
        several => Err(format!("`{text}` is in several projects; which one? {}", list(several))),
    }
}

fn show(rows: &[ArtifactRow]) {
    if rows.is_empty() {
        say!("the files define no artifacts for this host");
        return;
    }
    let mut table = Table::new(&["ARTIFACT", "CONDITION", "IN PLACE", "SINCE", "AT", "MESSAGE"]);
    for row in rows {
        table.row([
            Cell::from(row.artifact.clone()),
            Cell::from(row.condition.as_str()),
            Cell::from(row.current.clone().unwrap_or_else(|| "-".to_owned())),
            Cell::from(row.since.map_or_else(|| "-".to_owned(), |since| since.to_string())),
            Cell::from(one_line(&row.to)),
            Cell::from(one_line(&row.message)),
        ]);
    }
    table.print();
    for row in rows {
        for version in row.versions.iter().filter(|version| !version.current) {
            say!(
                "{} can go back to {} of {} ({})",
                row.artifact,
                version.id,
                version.since,
                one_line(&version.image)
            );
        }
    }
}
