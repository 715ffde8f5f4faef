//! SHELL. One file per command: prints, asks, draws progress; decides nothing.

mod completions;
pub mod out;
pub mod render;
pub mod schema;
pub mod validate;

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
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs one command and returns its exit code.
#[must_use]
pub fn run(cli: Cli) -> i32 {
    match cli.command {
        Commands::Validate(args) => validate::run(&cli.settings, &args),
        Commands::Completions(args) => completions::run(&args),
    }
}
