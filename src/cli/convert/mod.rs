//! `evenkeel convert`: a compose file becomes a state file, and every loss is told.

mod check;
mod find;
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

pub use check::{Checked, check};
use find::Found;
use place::{Job, Outcome, Output, shown};

use super::{code, files, out};
use crate::config::{Flags, Settings};
use crate::desired::FLEET;
use crate::desired::compose::{Note, Use};
use crate::desired::snapshot::HostFacts;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  evenkeel convert                               the compose file of this folder, beside it
  evenkeel convert shop/compose.yaml --stdout    show what would be written
  evenkeel convert compose.yaml -f prod.yaml     with a file that is laid over it
  evenkeel convert compose.yaml -o /srv/desired  as project in another directory
  evenkeel convert compose.yaml -o desired --copy   and take small files along that it reads or mounts

compose.override.yaml is found by itself, as docker compose does. The project keeps its name, so that `evenkeel plan` sees what
docker compose has started. What is not carried over is told line by line on stderr, then what the loader says of the result.
Ends with 0 when the files were converted.")]
pub struct ConvertArgs {
    /// The compose file, or a folder with one [default: the one in this folder]
    pub file: Option<PathBuf>,
    /// A file that is laid over it; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub over: Vec<PathBuf>,
    /// Directory of the desired state: the project becomes a folder in it [default: beside the compose file]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Name of the project [default: as docker compose finds it]
    #[arg(long, value_name = "PROJECT")]
    pub name: Option<String>,
    /// Print the TOML, and write nothing
    #[arg(long)]
    pub stdout: bool,
    /// Copy small files that the services read or mount, instead of telling of them
    #[arg(long, requires = "output", conflicts_with = "stdout")]
    pub copy: bool,
    /// Overwrite files that are there
    #[arg(long)]
    pub force: bool,
    /// Print what was done and told as JSON
    #[arg(long)]
    pub json: bool,
}

/// Converts, and returns the exit code.
#[must_use]
pub fn run(flags: &Flags, args: &ConvertArgs) -> i32 {
    match convert(flags, args) {
        Ok(()) => code::OK,
        Err(Failure::Sentence(sentence)) => out::fail(sentence),
        Err(Failure::Notes(notes)) => {
            if args.json {
                out::json(&json!({ "files": [], "notes": notes, "problems": [] }));
            } else {
                notes
                    .iter()
                    .for_each(|note| out::note(format_args!("{}", super::render::shown(&note.to_string()))));
            }
            code::ERROR
        }
    }
}

/// What of the environment is text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

enum Failure {
    Sentence(String),
    Notes(Vec<Note>),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

/// Everything about one conversion.
struct Conversion {
    project: String,
    /// Where the state files go.
    folder: PathBuf,
    outcome: Outcome,
    /// The text of `.env`, when it is to be copied.
    env: Option<String>,
    checked: Checked,
}

fn convert(flags: &Flags, args: &ConvertArgs) -> Result<(), Failure> {
    let found = find::find(args.file.as_deref(), &args.over)?;
    let settings = Settings::load(flags, None).map_err(|errors| errors.to_string())?;
    let mut conversion = prepare(args, &found)?;
    let host = HostFacts {
        name: settings.host.clone(),
        environment: environment(),
        home: std::env::var("HOME").ok(),
        ..HostFacts::default()
    };
    conversion.load(&found, &host);
    if !args.stdout {
        conversion.write(args.force)?;
    }
    if args.json {
        conversion.print_json(args)
    } else {
        conversion.print(args)
    }
    Ok(())
}

/// Converts everything and settles the name; writes nothing.
fn prepare(args: &ConvertArgs, found: &Found) -> Result<Conversion, Failure> {
    // The folder is called as the project, whose name may be written in the files.
    let probe = Job { from: &found.folder, to: &found.folder, copy: false };
    let first = place::convert(&probe, &found.files).map_err(Failure::Notes)?;
    let own = |outcome: &Outcome| -> Option<String> {
        let mut names =
            outcome.outputs.iter().filter(|output| output.own).filter_map(|output| output.converted.name());
        names.next_back().map(str::to_owned)
    };
    let written = own(&first);
    let project = find::name(args.name.as_deref(), found, written.as_deref())?;
    let (folder, mut outcome) = match &args.output {
        None => (found.folder.clone(), first),
        Some(root) => {
            let root = std::path::absolute(root).map_err(|error| error.to_string())?;
            let folder = find::clean(&root.join(&project));
            let job = Job { from: &found.folder, to: &folder, copy: args.copy };
            let outcome = place::convert(&job, &found.files).map_err(Failure::Notes)?;
            (folder, outcome)
        }
    };
    let called = folder.file_name().is_some_and(|name| name == project.as_str());
    for output in outcome.outputs.iter_mut().filter(|output| output.own) {
        let name = output.converted.name().map(str::to_owned);
        if output.refines {
            output.converted.drop_name();
        } else if name.as_deref() != Some(&project) && (name.is_some() || !called) {
            output.converted.set_name(&project);
        }
    }
    let env = found.env.clone().filter(|_| folder != found.folder);
    Ok(Conversion { project, folder, outcome, env, checked: Checked::default() })
}

impl Conversion {
    /// The root of the desired state: files of the project lie one folder below.
    fn root(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("/"))
    }

    fn below(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(self.root()).ok()?.to_string_lossy().into_owned())
    }

    /// Asks the loader, with all that it would find.
    fn load(&mut self, found: &Found, host: &HostFacts) {
        let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut put = |path: Option<String>, bytes: Option<Vec<u8>>| {
            if let (Some(path), Some(bytes)) = (path, bytes) {
                all.insert(path, bytes);
            }
        };
        let fleet = self.root().join(FLEET);
        put(self.below(&fleet), fs::read(&fleet).ok());
        for output in &mut self.outcome.outputs {
            let folder = output.to.parent().unwrap_or(Path::new("/")).to_owned();
            output.converted.references(&mut |reference| {
                if matches!(reference.purpose, Use::Read | Use::Content) {
                    let file = find::clean(&folder.join(reference.path.as_str()));
                    let source = self
                        .outcome
                        .copies
                        .iter()
                        .find(|(_, to)| **to == file)
                        .map_or(&file, |(from, _)| from);
                    let below = file.strip_prefix(self.folder.parent().unwrap_or(Path::new("/"))).ok();
                    put(below.map(|path| path.to_string_lossy().into_owned()), fs::read(source).ok());
                }
            });
        }
        for output in &self.outcome.outputs {
            put(self.below(&output.to), Some(output.converted.toml().into_bytes()));
        }
        let env = self.below(&self.folder.join(".env")).unwrap_or_default();
        put(Some(env.clone()), found.env.clone().map(String::into_bytes));
        self.checked = check(&self.root().to_string_lossy(), &all, &env, host);
    }

    fn write(&self, force: bool) -> Result<(), String> {
        let mut writes: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for output in &self.outcome.outputs {
            writes.push((output.to.clone(), output.converted.toml().into_bytes()));
        }
        writes.extend(self.env.as_ref().map(|text| (self.folder.join(".env"), text.clone().into_bytes())));
        for (from, to) in &self.outcome.copies {
            let bytes = fs::read(from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
            writes.push((to.clone(), bytes));
        }
        // What is there already, just so, needs no consent.
        writes.retain(|(path, bytes)| fs::read(path).ok().as_ref() != Some(bytes));
        let there: Vec<String> = writes
            .iter()
            .map(|(path, _)| path)
            .filter(|path| path.exists())
            .map(|path| shown(path))
            .collect();
        if !there.is_empty() && !force {
            return Err(format!(
                "{} is there already: say --force to overwrite, or -o DIR for another place",
                there.join(", ")
            ));
        }
        for (path, bytes) in &writes {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let written = fs::create_dir_all(folder).and_then(|()| files::replace(path, bytes));
            written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Paths of diagnostics begin at the root of the state; people stand elsewhere.
    fn place(&self, file: &str) -> String {
        shown(&self.root().join(file))
    }

    fn print(&self, args: &ConvertArgs) {
        let told = |text: String| out::note(format_args!("{}", super::render::shown(&text)));
        if args.stdout {
            let several = self.outcome.outputs.len() > 1;
            for (number, Output { to, converted, .. }) in self.outcome.outputs.iter().enumerate() {
                if several {
                    let gap = if number > 0 { "\n" } else { "" };
                    out::line(format_args!("{gap}# {}", self.below(to).unwrap_or_else(|| shown(to))));
                }
                out::print(format_args!("{}", converted.toml()));
            }
        }
        self.outcome.notes.iter().for_each(|note| told(note.to_string()));
        for (name, first) in &self.checked.unset {
            let file = self.place(&first.primary.span.file);
            told(format!(
                "{file}:{}:{}: note[unset-variable]: `{name}` is set nowhere: write it into {}, or `${{{name}:-}}` where it may be empty",
                first.line,
                first.column,
                shown(&self.folder.join(".env")),
            ));
        }
        for problem in &self.checked.problems {
            told(format!("{}{}", self.place(""), problem.headline()));
            problem.helps.iter().for_each(|help| told(format!("  help: {help}")));
        }
        self.summary(args).into_iter().for_each(told);
    }

    fn summary(&self, args: &ConvertArgs) -> Vec<String> {
        let mut lines = Vec::new();
        if !args.stdout {
            let files =
                self.outcome.outputs.iter().map(|output| &output.to).chain(self.outcome.copies.values());
            let names: Vec<String> = files.map(|path| shown(path)).collect();
            lines.push(format!("written: {}", names.join(", ")));
        }
        let errors = self.checked.problems.iter().filter(|told| told.is_error()).count();
        let services = self.checked.state.services.len();
        let notes = self.outcome.notes.len() + self.checked.unset.len();
        lines.push(format!(
            "project {}: {services} services, {notes} notes, {errors} errors when it is loaded",
            self.project
        ));
        if !args.stdout {
            lines.push(format!("next: evenkeel plan --desired {}", shown_folder(self.root())));
        }
        lines
    }

    fn print_json(&self, args: &ConvertArgs) {
        let files: Vec<Value> = self
            .outcome
            .outputs
            .iter()
            .map(|output| {
                let mut file = json!({ "from": shown(&output.from), "to": shown(&output.to), "override": output.refines });
                if args.stdout {
                    file["toml"] = output.converted.toml().into();
                }
                file
            })
            .collect();
        let copies: Vec<Value> = self
            .outcome
            .copies
            .iter()
            .map(|(from, to)| json!({ "from": shown(from), "to": shown(to) }))
            .collect();
        let problems: Vec<Value> = self
            .checked
            .problems
            .iter()
            .map(|told| {
                json!({
                    "file": self.place(&told.primary.span.file), "line": told.line, "column": told.column,
                    "severity": told.severity, "slug": told.slug, "message": told.message, "helps": told.helps,
                })
            })
            .collect();
        out::json(&json!({
            "project": self.project,
            "written": !args.stdout,
            "files": files,
            "copies": copies,
            "notes": self.outcome.notes,
            "unset": self.checked.unset.keys().collect::<Vec<_>>(),
            "problems": problems,
        }));
    }
}

fn shown_folder(path: &Path) -> String {
    let text = shown(path);
    if text.is_empty() { ".".to_owned() } else { text }
}
