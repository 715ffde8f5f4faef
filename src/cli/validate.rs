//! `evenkeel validate`: are the files right? Asks no engine and needs no daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::render::{self, Finding, Format, Page};
use super::{code, out};
use crate::config::{Flags, Settings};
use crate::desired::diagnostic::{Diagnostic, Label};
use crate::desired::snapshot::{HostFacts, Snapshot};
use crate::desired::work::answers::NOT_CHOSEN;
use crate::desired::{self, DesiredState, Loader, Wanted};
use crate::source::read_snapshot;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  evenkeel validate                      the directory of the settings, ./desired by default
  evenkeel validate --host fra1 infra    another directory, as host fra1 would read it
  evenkeel validate --all-hosts          as every host in fleet.toml would read it, for a repository's CI
  evenkeel validate --format short       one line for each problem, as editors take it
  evenkeel validate --format github      annotations in a GitHub workflow
  evenkeel validate --format sarif > problems.sarif

Where fleet.toml lists hosts and this one is not among them, --all-hosts is understood.
Ends with 1 when there is an error; warnings alone end with 0. Needs no engine and no daemon.")]
pub struct ValidateArgs {
    /// Directory of the desired state [default: that of the settings]
    pub dir: Option<PathBuf>,
    /// As every host in fleet.toml would read the files; problems of some hosts only name them
    #[arg(long)]
    pub all_hosts: bool,
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
    if args.all_hosts && flags.host.is_some() {
        out::note(format_args!(
            "--host is one host and --all-hosts are all of them: leave one of the two out"
        ));
        return code::USAGE;
    }
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
    let named = !args.all_hosts && (flags.host.is_some() || std::env::var_os("EVENKEEL_HOST").is_some());
    let hosts = hosts(&snapshot, &facts, named, args.all_hosts);
    let outcome = check(&snapshot, &facts, &hosts);

    let format = if args.json { Format::Json } else { args.format };
    let colour = format == Format::Text
        && std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let place = std::env::current_dir().map(|here| from_here(root, &here)).unwrap_or_default();
    let page = Page { snapshot: &snapshot, place: &place, colour };
    out::print(format_args!("{}", render::all(&outcome.findings, &page, format)));
    if format == Format::Text {
        out::note(format_args!("{}", outcome.summary(&hosts)));
    }
    if outcome.errors() > 0 { code::ERROR } else { code::OK }
}

/// The hosts to check for: the one that was named, or this one, or every one when all are asked for or this one is not of the
/// fleet.
fn hosts(snapshot: &Snapshot, facts: &HostFacts, named: bool, all: bool) -> Vec<String> {
    let listed = desired::hosts(snapshot);
    let one = named || listed.is_empty() || (!all && listed.contains(&facts.name));
    if one { vec![facts.name.clone()] } else { listed }
}

/// The folder of the desired state as seen from the working directory: a repository's checks want to know files from its root.
fn from_here(root: &Path, here: &Path) -> String {
    let root = root.strip_prefix(here).unwrap_or(root);
    let parts: PathBuf = root.components().filter(|part| *part != Component::CurDir).collect();
    parts.to_string_lossy().into_owned()
}

/// What a check found, over all hosts.
#[derive(Debug, Default)]
struct Outcome {
    findings: Vec<Finding>,
    services: BTreeSet<String>,
    jobs: BTreeSet<String>,
    builds: BTreeSet<String>,
    artifacts: BTreeSet<String>,
    frozen: BTreeSet<String>,
}

fn check(snapshot: &Snapshot, facts: &HostFacts, hosts: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    // What is the same but for the name of the host is one problem, told in the words for the first of them.
    let mut found: BTreeMap<Diagnostic, (Diagnostic, BTreeSet<String>)> = BTreeMap::new();
    let mut loader = Loader::default();
    for host in hosts {
        let facts = HostFacts { name: host.clone(), ..facts.clone() };
        let (state, diagnostics) = loader.load(snapshot, &facts);
        for diagnostic in diagnostics {
            let (_, concerned) =
                found.entry(nameless(&diagnostic, host)).or_insert_with(|| (diagnostic, BTreeSet::new()));
            concerned.insert(host.clone());
        }
        outcome.note(&state);
    }
    let finding = |(diagnostic, concerned): (Diagnostic, BTreeSet<String>)| Finding {
        diagnostic,
        everywhere: concerned.len() == hosts.len(),
        hosts: concerned.into_iter().collect(),
    };
    outcome.findings = found.into_values().map(finding).collect();
    outcome.findings.sort_by(|a, b| a.diagnostic.cmp(&b.diagnostic));
    outcome
}

/// The same, whatever the host is called.
fn nameless(diagnostic: &Diagnostic, host: &str) -> Diagnostic {
    let without =
        |text: &str| text.replace(&format!("`{host}`"), "``").replace(&format!("hosts.{host}.vars"), "");
    let label = |label: &Label| Label { span: label.span.clone(), text: without(&label.text) };
    Diagnostic {
        primary: label(&diagnostic.primary),
        message: without(&diagnostic.message),
        secondary: diagnostic.secondary.iter().map(label).collect(),
        helps: diagnostic.helps.iter().map(|help| without(help)).collect(),
        ..diagnostic.clone()
    }
}

impl Outcome {
    fn note(&mut self, state: &DesiredState) {
        for (id, wanted) in &state.services {
            self.services.insert(id.to_string());
            // An image that is chosen or built is known on the host only: that is nothing to mend in the files.
            let mends = |why: &Vec<Diagnostic>| why.iter().any(|told| told.slug != NOT_CHOSEN);
            if matches!(wanted, Wanted::Frozen(why) if mends(why)) {
                self.frozen.insert(id.to_string());
            }
        }
        self.jobs.extend(state.works.jobs.keys().map(ToString::to_string));
        self.builds.extend(state.works.builds.keys().map(ToString::to_string));
        self.artifacts.extend(state.works.artifacts.keys().map(ToString::to_string));
    }

    fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.diagnostic.is_error()).count()
    }

    fn summary(&self, hosts: &[String]) -> String {
        let errors = self.errors();
        let warnings = self.findings.len() - errors;
        let count = |number: usize, one: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        let mut defined = vec![count(self.services.len(), "service")];
        for (all, one) in [(&self.jobs, "job"), (&self.builds, "build"), (&self.artifacts, "artifact")] {
            if !all.is_empty() {
                defined.push(count(all.len(), one));
            }
        }
        let mut parts = vec![defined.join(", ")];
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
