//! `evenkeel doctor`: is everything there that evenkeel needs? Looks, and changes nothing.

mod checks;
mod repositories;
mod secrets;

use clap::Args;
use serde::Serialize;

use super::context::{block_on, settings};
use super::{code, out};
use crate::config::{Flags, Settings};
use crate::say;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel doctor                  check this machine
  evenkeel doctor --json | jq -r '.[] | select(.level == \"fail\") | .fix'

Exits with 1 when something fails; warnings do not count.")]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// What to do about it.
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), fix: None }
    }
    fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, found: found.into(), fix: Some(fix.into()) }
    }
    fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, found, fix) }
    }
}

pub(super) fn run(flags: &Flags, args: &DoctorArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(doctor(&settings, args)),
        Err(code) => code,
    }
}

async fn doctor(settings: &Settings, args: &DoctorArgs) -> i32 {
    let findings = checks::all(settings).await;
    if args.json {
        out::json(&findings);
    } else {
        findings.iter().for_each(show);
    }
    if findings.iter().any(|finding| finding.level == Level::Fail) { code::ERROR } else { code::OK }
}

fn show(finding: &Finding) {
    let Finding { check, level, found, fix } = finding;
    let (word, style) = match level {
        Level::Ok => ("ok", out::GOOD),
        Level::Warn => ("warn", out::CHANGE),
        Level::Fail => ("fail", out::ERROR),
    };
    say!("{style}{word:<4}{style:#}  {check:<13}  {}", super::show::one_line(found));
    if let Some(fix) = fix {
        say!("                     {fix}");
    }
}
