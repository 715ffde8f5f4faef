//! `evenkeel prune`: what nobody needs any more goes.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::adopt::alone;
use super::context::{block_on, chain, client_failed, settings};
use super::show::one_line;
use super::{assemble, code, out, workers};
use crate::config::{Flags, Settings, duration};
use crate::controller::host::Host;
use crate::controller::works::disk::{self, Ground, PruneOrder, PruneReport, PruneStatus};
use crate::metrics::api::WorkQuery;
use crate::metrics::client::{Client, ClientError};
use crate::state::prune::{Disposal, Rule};
use crate::{note, say};

/// How often the daemon is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel prune --dry-run         show what nobody needs: superseded images, leftovers of builds, stopped containers of ours
  evenkeel prune                   the same, and remove it when told to
  evenkeel prune --yes --keep 2 --older-than 72h

Never removed: what a kept revision or any container, running or stopped, was made of; what a file or a build names; images with a name that no
service here has had; volumes. The daemon does the same by itself where the files say so: [policy.prune] images = { keep, older_than }.")]
pub struct PruneArgs {
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
    /// Images of each repository that stay beside the one that serves [default: what the files say, else none]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Only images that nobody has used for this long: 12h, 3d [default: what the files say, else any]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<u64>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &PruneArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        match Way::find(&settings).await {
            Ok(way) => through(&way, args).await,
            Err(code) => code,
        }
    })
}

/// Who does it.
pub(super) enum Way {
    Daemon(Client),
    Alone(Box<Host>, Ground),
}

impl Way {
    /// # Errors
    /// An exit code, after saying why.
    pub(super) async fn find(settings: &Settings) -> Result<Self, i32> {
        match Client::find(&settings.socket).await {
            Ok(Some(client)) => Ok(Self::Daemon(client)),
            Ok(None) => {
                let host = alone(settings).await.map_err(out::fail)?;
                let book = Arc::new(assemble::book(settings).map_err(out::fail)?);
                let ground = workers::ground(settings, &book).map_err(out::fail)?;
                Ok(Self::Alone(Box::new(host), ground))
            }
            Err(error) => Err(client_failed(error)),
        }
    }

    async fn preview(&self, args: &PruneArgs) -> Result<PruneReport, String> {
        match self {
            Self::Daemon(client) => {
                let mut asked = WorkQuery::from([("what".to_owned(), "preview".to_owned())]);
                asked.extend(args.keep.map(|keep| ("keep".to_owned(), keep.to_string())));
                asked.extend(args.older_than.map(|age| ("older_than_ms".to_owned(), age.to_string())));
                client.work(disk::KIND, &asked).await.map_err(|error| chain(&error))
            }
            Self::Alone(host, ground) => {
                let said =
                    host.wish().and_then(|wish| wish.state.guard.images).map(Rule::from).unwrap_or_default();
                let rule = Rule {
                    keep: args.keep.unwrap_or(said.keep),
                    older_than_ms: args.older_than.unwrap_or(said.older_than_ms),
                };
                let goes = disk::look(host, ground, rule).await?.goes;
                Ok(PruneReport { at: host.clock.now().wall, rule, goes, ..PruneReport::default() })
            }
        }
    }

    async fn prune(&self, shown: &PruneReport) -> Result<PruneReport, String> {
        let only = shown.goes.iter().map(|disposal| disk::id(disposal).to_owned()).collect();
        let client = match self {
            Self::Alone(host, ground) => return disk::prune(host, ground, shown.rule, Some(&only)).await,
            Self::Daemon(client) => client,
        };
        let told = |error: ClientError| chain(&error);
        let order = PruneOrder { rule: shown.rule, only };
        let _taken: serde_json::Value = client.work_order(disk::KIND, "prune", &order).await.map_err(told)?;
        loop {
            let status: PruneStatus = client.work(disk::KIND, &WorkQuery::new()).await.map_err(told)?;
            if !status.running {
                return status.last.ok_or_else(|| "the daemon does not tell what became of it".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn through(way: &Way, args: &PruneArgs) -> i32 {
    let shown = match way.preview(args).await {
        Ok(shown) => shown,
        Err(error) => return out::fail(error),
    };
    if args.dry_run || shown.goes.is_empty() {
        if args.json {
            return out::json(&shown);
        }
        show(&shown.goes);
        return code::OK;
    }
    if !args.json {
        show(&shown.goes);
    }
    if !args.yes && (args.json || !agreed(&format!("remove these {}?", shown.goes.len()))) {
        note!("nothing was removed; without being asked: evenkeel prune --yes");
        return code::REFUSED;
    }
    let report = match way.prune(&shown).await {
        Ok(report) => report,
        Err(error) => return out::fail(error),
    };
    if let Some(trouble) = &report.trouble {
        return out::fail(trouble);
    }
    if args.json {
        out::json(&report);
    } else {
        for failed in &report.failed {
            note!("{} stays: {}", name(&failed.what), one_line(&failed.why));
        }
        say!("removed {} of {}", report.goes.len(), shown.goes.len());
    }
    if report.failed.is_empty() { code::OK } else { code::ERROR }
}

/// Asks on a terminal; anywhere else nobody agreed.
pub(super) fn agreed(question: &str) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    note!("{question} [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn name(disposal: &Disposal) -> String {
    match disposal {
        Disposal::Container { name, .. } => format!("container {name}"),
        Disposal::Image { id, names, .. } if names.is_empty() => format!("image {}", id.short()),
        Disposal::Image { names, .. } => format!("image {}", one_line(&names.join(", "))),
    }
}

fn show(goes: &[Disposal]) {
    if goes.is_empty() {
        say!("nothing is there that nobody needs");
        return;
    }
    for disposal in goes {
        match disposal {
            Disposal::Container { why, .. } => say!("{}: {why}", name(disposal)),
            Disposal::Image { size, why, .. } => say!("{} ({} MB): {why}", name(disposal), size / 1_000_000),
        }
    }
}
