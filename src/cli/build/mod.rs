//! `evenkeel build`: make images now, or show those that are made here.

mod alone;
mod list;
mod through;

use std::path::PathBuf;

use clap::Args;

use super::context::{block_on, client_failed, settings};
use super::{code, out};
use crate::config::sources::Source;
use crate::config::{Flags, Settings, duration};
use crate::controller::works::builds::report::OutcomeReport;
use crate::metrics::client::Client;
use crate::source::git::Remote;

pub(super) use alone::{Needed, needed};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel build                   look at every source and base image now, and build what is due
  evenkeel build app               build it, whether or not it is due, with its output
  evenkeel build app --ref fix-7   build another branch; nothing runs it by itself
  evenkeel build --list            what is built here, of what, and how the last build went
  evenkeel build app --log         what the last build printed
  evenkeel build --json | jq -r '.[] | select(.result == \"failed\").why'

Ends with 0 when all went well, 1 when a build failed, 4 when one is paused or has to wait, 5 when the time was up.")]
pub struct BuildArgs {
    /// `builds.app`, `services.web`, `shop/builds.app`, or `app` where that is clear [default: whatever is due]
    names: Vec<String>,
    /// Build this branch, tag or commit of its repository instead
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Leave the registry as it is
    #[arg(long)]
    no_push: bool,
    /// Show what is built here
    #[arg(long, conflicts_with_all = ["reference", "no_push", "log"])]
    list: bool,
    /// Print the log of the last build, or of the build with this id
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", requires = "names")]
    log: Option<String>,
    /// Longest to wait
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = duration)]
    timeout: u64,
    /// What became of each as JSON
    #[arg(long)]
    json: bool,
}

/// Where logs of builds and copies of repositories are kept.
pub(super) fn folder(settings: &Settings) -> PathBuf {
    let state = std::path::absolute(&settings.state).unwrap_or_else(|_| settings.state.clone());
    state.join("builds")
}

/// Repositories whose login is good for contexts at the same host, too.
pub(super) fn logins(settings: &Settings) -> Vec<Remote> {
    let remote = |source: &Source| match source {
        Source::Git(git) => Some(git.remote.clone()),
        Source::Directory { .. } => None,
    };
    settings.sources.iter().filter_map(remote).collect()
}

pub(super) fn run(flags: &Flags, args: &BuildArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        match Client::find(&settings.socket).await {
            Err(error) => client_failed(error),
            Ok(client) if args.list => list::list(&settings, client.as_ref(), args).await,
            Ok(client) if args.log.is_some() => list::log(&settings, client.as_ref(), args).await,
            Ok(Some(client)) => through::build(&client, args).await,
            Ok(None) => alone::build(&settings, args).await,
        }
    })
}

/// What became of one of them, as it is told.
#[derive(Debug, Clone, serde::Serialize)]
struct Told {
    name: String,
    #[serde(flatten)]
    outcome: OutcomeReport,
}

fn conclude(told: &[Told], json: bool) -> i32 {
    if json {
        out::json(&told);
    } else {
        told.iter().for_each(say);
        if told.is_empty() {
            crate::say!("nothing is built here");
        }
    }
    let any = |result: &str| told.iter().any(|told| told.outcome.result == result);
    match (any("failed"), any("refused")) {
        (true, _) => code::ERROR,
        (false, true) => code::REFUSED,
        (false, false) => code::OK,
    }
}

fn say(told: &Told) {
    let Told { name, outcome } = told;
    let image = outcome.image.as_deref().unwrap_or_default();
    let why = super::show::one_line(outcome.why.as_deref().unwrap_or_default());
    let (good, bad) = (out::GOOD, out::BAD);
    match outcome.result.as_str() {
        "built" => crate::say!("{name}: {good}built{good:#} {image}"),
        "unchanged" => crate::say!("{name}: the same image came out again: {image}"),
        "current" => crate::say!("{name}: nothing to do, {image} is made of what there is"),
        "refused" => crate::say!("{name}: not built: {why}"),
        _ => crate::say!("{name}: {bad}failed{bad:#}: {why}"),
    }
}
