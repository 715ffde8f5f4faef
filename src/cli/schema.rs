//! `evenkeel schema`: the JSON Schema for editors.

use std::io::Write;

use crate::desired::manifest;

/// Prints the schema; 0 when it went out whole, else 1.
#[must_use]
pub fn run() -> i32 {
    let mut out = std::io::stdout().lock();
    i32::from(writeln!(out, "{:#}", manifest::schema()).and_then(|()| out.flush()).is_err())
}
