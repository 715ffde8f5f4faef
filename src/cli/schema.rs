//! `evenkeel schema`: the JSON Schema for editors, and the reference of the language for people.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::desired::manifest;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  evenkeel schema > evenkeel.schema.json
  evenkeel schema | jq '.properties | keys'
  evenkeel schema --format markdown | less

An editor that knows Taplo takes it from a first line `#:schema ./evenkeel.schema.json`.")]
pub struct SchemaArgs {
    /// For editors, or for people: every key with what it takes, its default and an example
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON Schema, draft 7
    #[default]
    Json,
    /// The reference, docs/reference.md
    Markdown,
}

/// Prints the schema or the reference; 0 when it went out whole, else 1.
#[must_use]
pub fn run(args: &SchemaArgs) -> i32 {
    let mut out = std::io::stdout().lock();
    let written = match args.format {
        Format::Json => writeln!(out, "{:#}", manifest::schema()),
        Format::Markdown => write!(out, "{}", manifest::reference()),
    };
    i32::from(written.and_then(|()| out.flush()).is_err())
}
