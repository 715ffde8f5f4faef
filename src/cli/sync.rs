//! `evenkeel sync`: look at the repositories and the files now.

use std::time::{Duration, Instant};

use clap::Args;

use super::context::{block_on, client_failed, settings};
use super::show::one_line;
use super::{code, out};
use crate::config::{Flags, Settings, duration};
use crate::metrics::api::SourceStatus;
use crate::metrics::client::Client;
use crate::{note, say};

/// How often the daemon is asked how far it is.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel sync                    what was just pushed is fetched now, not at the next poll
  evenkeel sync && evenkeel status --watch

Ends with 1 when a repository cannot be synced, or its commit may not be used; what runs is left as it is then.")]
pub struct SyncArgs {
    /// Do not wait until every repository was asked
    #[arg(long)]
    no_wait: bool,
    /// Longest to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &SyncArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(sync(&settings, args)),
        Err(code) => code,
    }
}

async fn sync(settings: &Settings, args: &SyncArgs) -> i32 {
    let client = match Client::find(&settings.socket).await {
        Ok(Some(client)) => client,
        Ok(None) => return out::fail("no daemon runs: `evenkeel apply` fetches and converges once"),
        Err(error) => return client_failed(error),
    };
    match through(&client, args).await {
        Ok(sources) => conclude(&sources, args),
        Err(code) => code,
    }
}

async fn through(client: &Client, args: &SyncArgs) -> Result<Option<Vec<SourceStatus>>, i32> {
    let before = client.status().await.map_err(client_failed)?.host.desired.sources;
    let accepted = client.sync().await.map_err(client_failed)?;
    if args.no_wait {
        if !args.json {
            say!("{}", one_line(&accepted.message));
        }
        return Ok(None);
    }
    all_tried(client, &before, Duration::from_millis(args.timeout)).await.map(Some)
}

/// Waits until every repository was asked since `before`, or the time is up.
pub(super) async fn all_tried(
    client: &Client,
    before: &[SourceStatus],
    timeout: Duration,
) -> Result<Vec<SourceStatus>, i32> {
    let start = Instant::now();
    loop {
        let now = client.status().await.map_err(client_failed)?.host.desired.sources;
        let tried = |source: &SourceStatus| {
            let earlier = before.iter().find(|earlier| earlier.name == source.name);
            source.kind != "git" || earlier.is_none_or(|earlier| earlier.tried != source.tried)
        };
        if now.iter().all(tried) || start.elapsed() >= timeout {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn conclude(sources: &Option<Vec<SourceStatus>>, args: &SyncArgs) -> i32 {
    let Some(sources) = sources else { return code::OK };
    if args.json {
        out::json(sources);
    } else {
        if sources.iter().all(|source| source.kind != "git") {
            note!("no repository is followed: the files were read again");
        }
        for source in sources.iter().filter(|source| source.kind == "git") {
            line(source);
        }
    }
    let bad = sources.iter().any(|source| source.trouble.is_some());
    if bad { code::ERROR } else { code::OK }
}

/// One source for people: also a part of `status`.
pub(super) fn line(source: &SourceStatus) {
    let bad = out::ERROR;
    let commit = source.commit.as_ref().map_or_else(|| "nothing applied yet".to_owned(), ToString::to_string);
    let signer = source.signer.as_ref().map(|signer| format!(", signed by {signer}")).unwrap_or_default();
    say!("{}: {} at {}{}", source.name, source.place, one_line(&commit), one_line(&signer));
    if let Some(why) = &source.trouble {
        say!("  {bad}not synced:{bad:#} {}; what was applied last stands", one_line(why));
    }
}
