//! `evenkeel fmt`: state files in the usual layout.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use similar::TextDiff;

use super::convert::check;
use super::{code, files, out};
use crate::config::{Flags, Settings};
use crate::desired::snapshot::HostFacts;
use crate::desired::{Wanted, format};
use crate::source::read_snapshot;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  evenkeel fmt                    every state file in the directory of the settings
  evenkeel fmt desired/shop       those of a folder
  evenkeel fmt --check            name the files that are laid out otherwise, and end with 1: for a repository's CI
  evenkeel fmt --diff             show what would change
  evenkeel fmt - < web.toml       from stdin to stdout, for editors

Spaces, quotes, commas and empty lines are made the same everywhere; the order of everything and all comments stay. A file is
written only when it means the same as before, which is asked of the loader. Owner and mode stay.")]
pub struct FmtArgs {
    /// Files and folders [default: the directory of the desired state]; `-` is stdin
    pub paths: Vec<PathBuf>,
    /// Change nothing; end with 1 when a file is laid out otherwise
    #[arg(long)]
    pub check: bool,
    /// Change nothing; show what would change
    #[arg(long)]
    pub diff: bool,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Outcome {
    file: String,
    #[serde(flatten)]
    result: Result,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "why", rename_all = "lowercase")]
enum Result {
    Unchanged,
    Changed,
    Failed(String),
}

/// Lays the files out and returns the exit code.
#[must_use]
pub fn run(flags: &Flags, args: &FmtArgs) -> i32 {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return stdin(args);
    }
    let paths = match named(flags, args) {
        Ok(paths) => paths,
        Err(error) => return out::fail(error),
    };
    let outcomes: Vec<Outcome> = paths.iter().map(|path| one(path, args)).collect();
    if args.json {
        out::json(&outcomes);
    } else {
        outcomes.iter().for_each(|outcome| tell(outcome, args));
    }
    let any = |what: fn(&Result) -> bool| outcomes.iter().any(|outcome| what(&outcome.result));
    let failed = any(|result| matches!(result, Result::Failed(_)));
    if failed || (args.check && any(|result| *result == Result::Changed)) { code::ERROR } else { code::OK }
}

fn tell(outcome: &Outcome, args: &FmtArgs) {
    let file = super::render::shown(&outcome.file);
    match &outcome.result {
        Result::Unchanged => {}
        Result::Changed => match &outcome.diff {
            Some(diff) => out::print(format_args!("{diff}")),
            None if args.check => out::line(format_args!("{file}")),
            None => out::note(format_args!("formatted {file}")),
        },
        Result::Failed(why) => out::note(format_args!("{}error:{:#} {file}{why}", out::ERROR, out::ERROR)),
    }
}

/// The files that were asked for: of a folder, those that are state and not another program's.
fn named(flags: &Flags, args: &FmtArgs) -> std::result::Result<BTreeSet<PathBuf>, String> {
    let mut roots = args.paths.clone();
    if roots.is_empty() {
        roots.push(Settings::load(flags, None).map_err(|errors| errors.to_string())?.desired);
    }
    let mut found = BTreeSet::new();
    for root in roots {
        if !root.is_dir() {
            found.insert(root);
            continue;
        }
        let snapshot = read_snapshot(&root).map_err(|error| error.to_string())?;
        found.extend(crate::desired::state_files(&snapshot).into_iter().map(|file| root.join(file)));
    }
    Ok(found)
}

fn stdin(args: &FmtArgs) -> i32 {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return out::fail(format_args!("cannot read stdin: {error}"));
    }
    match formatted("stdin", &text) {
        Ok(fresh) if args.diff => out::print(format_args!("{}", diff("stdin", &text, &fresh))),
        Ok(fresh) if args.check => return if fresh == text { code::OK } else { code::ERROR },
        Ok(fresh) => out::print(format_args!("{fresh}")),
        Err(why) => return out::fail(format_args!("stdin{why}")),
    }
    code::OK
}

fn one(path: &Path, args: &FmtArgs) -> Outcome {
    let file = path.to_string_lossy().into_owned();
    let text = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            return Outcome { file, result: Result::Failed(": no text in UTF-8".to_owned()), diff: None };
        }
        Err(error) => return Outcome { file, result: Result::Failed(format!(": {error}")), diff: None },
    };
    let fresh = match formatted(&file, &text) {
        Ok(fresh) => fresh,
        Err(why) => return Outcome { file, result: Result::Failed(why), diff: None },
    };
    if fresh == text {
        return Outcome { file, result: Result::Unchanged, diff: None };
    }
    let diff = args.diff.then(|| diff(&file, &text, &fresh));
    if !args.check
        && !args.diff
        && let Err(error) = files::replace(path, fresh.as_bytes())
    {
        return Outcome { file, result: Result::Failed(format!(": cannot be written: {error}")), diff: None };
    }
    Outcome { file, result: Result::Changed, diff }
}

/// The text laid out, if that means the same: value by value, and to the loader.
fn formatted(file: &str, text: &str) -> std::result::Result<String, String> {
    let fresh = format::format(text).map_err(|(why, at)| {
        let before = text.get(..at).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(":{}:{column}: {why}", before.matches('\n').count() + 1)
    })?;
    if !format::same(text, &fresh) || meaning(file, text) != meaning(file, &fresh) {
        return Err(
            ": laid out it would mean something else, so it is left alone; please report this".to_owned()
        );
    }
    Ok(fresh)
}

/// What the loader makes of a file, but for the places of what it complains about.
fn meaning(file: &str, text: &str) -> String {
    let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if name.ends_with(".toml") { name } else { "file.toml".to_owned() };
    let files = [(format!("project/{name}"), text.as_bytes().to_vec())].into();
    let checked = check("/", &files, "project/.env", &HostFacts::default());
    let services = checked.state.services.iter().map(|(id, wanted)| match wanted {
        Wanted::Run(revision) => (id, Some((&revision.hash, &revision.wish))),
        Wanted::Frozen(_) => (id, None),
    });
    let services: Vec<_> = services.collect();
    let problems: BTreeSet<_> = checked.problems.iter().map(|told| (told.slug, &told.message)).collect();
    let unset: Vec<_> = checked.unset.keys().collect();
    format!("{services:?} {:?} {:?} {problems:?} {unset:?}", checked.state.networks, checked.state.volumes)
}

fn diff(file: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().header(file, file).to_string()
}
