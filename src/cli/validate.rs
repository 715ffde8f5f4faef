//! `evenkeel validate`: are the files right? Asks no engine and needs no daemon.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::render::{self, Format};
use super::{code, out};
use crate::config::{Flags, Settings};
use crate::desired::diagnostic::Diagnostic;
use crate::desired::snapshot::{HostFacts, Snapshot};
use crate::desired::{self, DesiredState, Wanted};
use crate::source::read_snapshot;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  evenkeel validate                      the directory of the settings, ./desired by default
  evenkeel validate --host fra1 infra    another directory, as host fra1 would read it
  evenkeel validate --format short       one line for each problem, as editors take it
  evenkeel validate --format github      annotations in a GitHub workflow

Where fleet.toml lists hosts and this one is not among them, the files are checked for each of them.
Ends with 1 when there is an error; warnings alone end with 0.")]
pub struct ValidateArgs {
    /// Directory of the desired state [default: that of the settings]
    pub dir: Option<PathBuf>,
    /// How problems are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// As JSON, the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// Checks the files and returns the exit code.
#[must_use]
pub fn run(flags: &Flags, args: &ValidateArgs) -> i32 {
    let settings = match Settings::load(flags, None) {
        Ok(settings) => settings,
        Err(errors) => return out::fail(errors),
    };
    let root = args.dir.as_ref().unwrap_or(&settings.desired);
    let snapshot = match read_snapshot(root) {
        Ok(snapshot) => snapshot,
        Err(error) => return out::fail(error),
    };
    let facts = HostFacts {
        name: settings.host.clone(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        home: std::env::var("HOME").ok(),
        ..HostFacts::default()
    };
    let named = flags.host.is_some() || std::env::var_os("EVENKEEL_HOST").is_some();
    let hosts = hosts(&snapshot, &facts, named);
    let outcome = check(&snapshot, &facts, &hosts);

    let format = if args.json { Format::Json } else { args.format };
    let colour = format == Format::Text
        && std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    out::print(format_args!("{}", render::all(&outcome.diagnostics, &snapshot, format, colour)));
    if format == Format::Text {
        out::note(format_args!("{}", outcome.summary(&hosts)));
    }
    if outcome.errors() > 0 { code::ERROR } else { code::OK }
}

/// The hosts to check for: the one that was named, or this one, or every one when this one is not of the fleet.
fn hosts(snapshot: &Snapshot, facts: &HostFacts, named: bool) -> Vec<String> {
    let listed = desired::hosts(snapshot);
    if named || listed.is_empty() || listed.contains(&facts.name) { vec![facts.name.clone()] } else { listed }
}

/// What a check found, over all hosts.
#[derive(Debug, Default)]
struct Outcome {
    diagnostics: Vec<Diagnostic>,
    services: BTreeSet<String>,
    frozen: BTreeSet<String>,
}

fn check(snapshot: &Snapshot, facts: &HostFacts, hosts: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    for host in hosts {
        let facts = HostFacts { name: host.clone(), ..facts.clone() };
        let (state, diagnostics) = desired::load(snapshot, &facts);
        outcome.diagnostics.extend(diagnostics);
        outcome.note(&state);
    }
    outcome.diagnostics.sort();
    outcome.diagnostics.dedup();
    outcome
}

impl Outcome {
    fn note(&mut self, state: &DesiredState) {
        for (id, wanted) in &state.services {
            self.services.insert(id.to_string());
            if matches!(wanted, Wanted::Frozen(_)) {
                self.frozen.insert(id.to_string());
            }
        }
    }

    fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    fn summary(&self, hosts: &[String]) -> String {
        let errors = self.errors();
        let warnings = self.diagnostics.len() - errors;
        let count = |number: usize, one: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        let mut parts = vec![count(self.services.len(), "service")];
        if hosts.len() > 1 {
            parts.push(format!("on {}", count(hosts.len(), "host")));
        }
        let found = match (errors, warnings) {
            (0, 0) => "no problems".to_owned(),
            (0, _) => count(warnings, "warning"),
            (_, 0) => count(errors, "error"),
            _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        };
        let frozen = match self.frozen.len() {
            0 => String::new(),
            frozen => format!("; {} would stay as it is until then", count(frozen, "service")),
        };
        format!("{}: {found}{frozen}", parts.join(" "))
    }
}
