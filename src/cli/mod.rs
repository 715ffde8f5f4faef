//! SHELL. One file per command: prints, asks, draws progress; decides nothing.

mod adopt;
mod alone;
mod apply;
mod artifacts;
mod assemble;
mod build;
mod completions;
mod context;
pub mod convert;
mod disown;
mod doctor;
mod files;
mod fmt;
mod history;
mod images;
mod job;
mod jobs;
mod logs;
mod look;
mod messages;
mod observe;
mod observed;
mod order;
pub mod out;
mod plan;
mod progress;
mod prune;
pub mod render;
mod revisions;
mod rm;
mod run;
mod saved;
pub mod schema;
mod secret;
mod service;
pub mod show;
mod simulated;
mod sources;
mod status;
mod supervise;
mod sync;
pub mod validate;
mod why;
mod workers;

use clap::{Parser, Subcommand};

use crate::config::Flags;

/// Exit codes (DESIGN.md 7).
pub mod code {
    /// Converged, or nothing to do.
    pub const OK: i32 = 0;
    pub const ERROR: i32 = 1;
    /// Changes pending; only `plan --detailed-exitcode` says so.
    pub const CHANGES: i32 = 2;
    pub const ROLLED_BACK: i32 = 3;
    /// Refused by a guard, a hold or a window.
    pub const REFUSED: i32 = 4;
    pub const TIMED_OUT: i32 = 5;
    /// The call itself is wrong.
    pub const USAGE: i32 = 64;
}

/// Keeps a Docker host on an even keel: TOML files in, running containers out, rolled back when they fail.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  evenkeel validate                check the files in ./desired
  evenkeel plan                    show what would change on this host, and why
  evenkeel apply                   change it, wait until it works, go back if it does not
  evenkeel run                     keep it so
  evenkeel why shop/web            what it is, what it waits for, what caused the last change

Exit codes:
  0 converged or nothing to do   1 error   2 changes pending (plan --detailed-exitcode)
  3 rolled back   4 refused by guard, hold or window   5 timed out   64 usage"
)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Flags,
    #[command(subcommand)]
    pub command: Commands,
}

#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Check the files of the desired state, without an engine
    Validate(validate::ValidateArgs),
    /// Show what would be done, field by field, with cause and order
    Plan(plan::PlanArgs),
    /// Save what is on this host, to plan against it elsewhere
    Observe(observe::ObserveArgs),
    /// Converge once, wait for the gates, go back if they fail
    Apply(apply::ApplyArgs),
    /// Keep this host converged: the daemon
    Run(run::RunArgs),
    /// Build images now, and show those that are built here
    Build(build::BuildArgs),
    /// Look at the repositories and the files now
    Sync(sync::SyncArgs),
    /// Show every service with its condition
    Status(status::StatusArgs),
    /// Explain one service: what it is, what it waits for, what caused the last change
    Why(why::WhyArgs),
    /// Show which tag of each image that is followed runs, and why no other one
    Images(images::ImagesArgs),
    /// Show what happened, newest first
    History(history::HistoryArgs),
    /// Go back to an earlier revision, and stay there
    Rollback(order::RollbackArgs),
    /// Try a rejected revision again
    Retry(order::RetryArgs),
    /// Keep a service on its revision, whatever the files say
    Hold(order::HoldArgs),
    /// End a hold, or a rollback by hand
    Release(order::ReleaseArgs),
    /// Consent to removals that the guard holds back
    Approve(order::ApproveArgs),
    /// Take over what docker compose, or somebody, started: no restart, no new container
    Adopt(adopt::AdoptArgs),
    /// Give a service or a project back: it runs on, and evenkeel leaves it alone
    Disown(disown::DisownArgs),
    /// Show the files that are kept in place on the host, and go back to earlier ones
    Artifacts(artifacts::ArtifactsArgs),
    /// Remove a service: containers, record and, when named, its volumes, images and definition
    Rm(rm::RmArgs),
    /// Remove what nobody needs any more: superseded images, leftovers of builds, stopped containers of ours
    Prune(prune::PruneArgs),
    /// Show what a service's containers print
    Logs(logs::LogsArgs),
    /// Show jobs: when they run next, how they ended, what was missed
    Jobs(jobs::JobsArgs),
    /// Run a job now, or stop a run
    Job(job::JobArgs),
    /// Set, list and encrypt secrets of this host
    Secret(secret::SecretArgs),
    /// Show whom the files say to tell what happens, and try it
    Notify(messages::NotifyArgs),
    /// Check the engine, permissions, paths, clock and disk
    Doctor(doctor::DoctorArgs),
    /// Make state files of compose files
    Convert(convert::ConvertArgs),
    /// Lay state files out the usual way; comments and meaning stay
    Fmt(fmt::FmtArgs),
    /// Print the JSON Schema of the files, for editors, or the reference of the language
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs one command and returns its exit code.
#[must_use]
pub fn run(cli: &Cli) -> i32 {
    let flags = &cli.settings;
    match &cli.command {
        Commands::Validate(args) => validate::run(flags, args),
        Commands::Plan(args) => plan::run(flags, args),
        Commands::Observe(args) => observe::run(flags, args),
        Commands::Apply(args) => apply::run(flags, args),
        Commands::Run(args) => run::run(flags, args),
        Commands::Build(args) => build::run(flags, args),
        Commands::Sync(args) => sync::run(flags, args),
        Commands::Status(args) => status::run(flags, args),
        Commands::Why(args) => why::run(flags, args),
        Commands::Images(args) => images::run(flags, args),
        Commands::History(args) => history::run(flags, args),
        Commands::Rollback(args) => order::rollback(flags, args),
        Commands::Retry(args) => order::retry(flags, args),
        Commands::Hold(args) => order::hold(flags, args),
        Commands::Release(args) => order::release(flags, args),
        Commands::Approve(args) => order::approve(flags, args),
        Commands::Adopt(args) => adopt::run(flags, args),
        Commands::Disown(args) => disown::run(flags, args),
        Commands::Artifacts(args) => artifacts::run(flags, args),
        Commands::Rm(args) => rm::run(flags, args),
        Commands::Prune(args) => prune::run(flags, args),
        Commands::Logs(args) => logs::run(flags, args),
        Commands::Jobs(args) => jobs::run(flags, args),
        Commands::Job(args) => job::run(flags, args),
        Commands::Secret(args) => secret::run(flags, args),
        Commands::Notify(args) => messages::run(flags, args),
        Commands::Doctor(args) => doctor::run(flags, args),
        Commands::Convert(args) => convert::run(flags, args),
        Commands::Fmt(args) => fmt::run(flags, args),
        Commands::Schema(args) => schema::run(args),
        Commands::Completions(args) => completions::run(args),
    }
}
