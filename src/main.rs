//! Parse, call, map the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser;
use evenkeel::cli::{self, Cli, code};

fn main() -> ExitCode {
    // One TLS provider for the whole process, before anything could ask for it. Already installed is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    exit(cli::run(&cli))
}

/// Help and version are answers; everything else is a wrong call, for which clap's own code 2 would mean "changes pending".
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when this cannot be printed.
    let _printed = error.print();
    exit(if error.use_stderr() { code::USAGE } else { code::OK })
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
