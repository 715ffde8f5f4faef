//! Which files of a snapshot are state, and which project each belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::diagnostic::{Diagnostic, Span};
use super::ident::ProjectName;
use super::node::{Node, Table, Value};
use super::parse;
use super::snapshot::{FileContent, RelPath, Snapshot};

mod include;

/// The fleet-wide file, at the root only.
pub const FLEET: &str = "fleet.toml";

/// One state file.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    pub path: String,
    pub folder: String,
    pub project: ProjectName,
    /// Shared with the [`Texts`], so that the same table means the same file with the same text.
    pub table: Arc<Table>,
    /// `override = true`: refines what plain files define.
    pub refines: bool,
    /// It could not be read as TOML; `table` is what could be recovered.
    pub broken: bool,
    /// `on_hosts` of the files that include it: it holds where they do.
    pub selectors: Vec<Node>,
    /// Files of other projects that its services extend, with what is in them.
    pub bases: Vec<(String, Arc<Table>)>,
}

/// The state files, what is wrong with them as TOML, and where each project lives.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub state: Vec<StateFile>,
    /// Files that cannot be read as TOML. Nothing else is said about them.
    pub broken: BTreeMap<String, Vec<Diagnostic>>,
    /// What is wrong with names, `ignore` and the like.
    pub diagnostics: Vec<Diagnostic>,
    /// The folder of each project, `""` for the root.
    pub homes: BTreeMap<ProjectName, String>,
}

/// What each file was parsed to, for the next load: a file that has not changed is not parsed again.
pub(super) type Texts = BTreeMap<RelPath, Arc<Text>>;

/// One file, parsed.
#[derive(Debug)]
pub(super) struct Text {
    content: FileContent,
    table: Arc<Table>,
    diagnostics: Vec<Diagnostic>,
    /// Paths within the state that its tables use.
    places: BTreeSet<String>,
}

impl Text {
    fn of(path: &RelPath, content: &FileContent) -> Self {
        let parsed = match content {
            FileContent::Read(bytes) => parse::parse(path.as_str(), bytes),
            FileContent::Unreadable(why) => {
                parse::Parsed { diagnostics: vec![unreadable(path, why)], ..Default::default() }
            }
        };
        let mut places = BTreeSet::new();
        collect_places(&parsed.table, path.folder(), &mut places);
        // A folder with the file itself in it (`build = "."`) cannot make everything beside the file payload.
        places.retain(|place| !is_below(path.as_str(), place));
        let parse::Parsed { table, diagnostics } = parsed;
        Self { content: content.clone(), table: Arc::new(table), diagnostics, places }
    }
}

/// Sorts the files of a snapshot. State files come in bytewise order of their paths. `texts` are those of the last snapshot,
/// and become those of this one.
pub(super) fn sort(snapshot: &Snapshot, texts: &mut Texts) -> Files {
    let mut files = Files::default();
    let mut now = Texts::new();
    let mut before = std::mem::take(texts);
    for (path, content) in &snapshot.files {
        let is_state = match content {
            FileContent::Read(_) => path.file_name().ends_with(".toml"),
            FileContent::Unreadable(_) => looks_like_state(path),
        };
        if is_state && !is_left_out(path) {
            let known = before.remove(path).filter(|text| text.content == *content);
            now.insert(path.clone(), known.unwrap_or_else(|| Arc::new(Text::of(path, content))));
        }
    }
    *texts = now;
    let mut read: Read<'_> = texts.iter().map(|(path, text)| (path, &**text)).collect();
    let ignored = ignored(&read, &mut files.diagnostics);
    read.retain(|(path, _)| path.as_str() == FLEET || !ignored.is_match(path.as_str()));
    let payload = payload(&read);
    read.retain(|(path, _)| !payload.contains(path.as_str()));

    let names = folder_names(&read, &mut files);
    for (path, text) in read {
        let broken = !text.diagnostics.is_empty();
        if broken {
            files.broken.insert(path.as_str().to_owned(), text.diagnostics.clone());
        }
        let project = project_of(path, &text.table, &names);
        let refines = flag(&text.table, "override");
        let folder = path.folder().to_owned();
        let path = path.as_str().to_owned();
        files.state.push(StateFile {
            path,
            folder,
            project,
            table: Arc::clone(&text.table),
            refines,
            broken,
            selectors: Vec::new(),
            bases: Vec::new(),
        });
    }
    files.find_homes(&names);
    include::resolve(snapshot, texts, before, &mut files);
    files
}

/// The names in `[hosts]` of fleet.toml, for a command that checks the files for every host.
#[must_use]
pub fn hosts(snapshot: &Snapshot) -> Vec<String> {
    let content = RelPath::new(FLEET).and_then(|path| snapshot.files.get(&path));
    let Some(FileContent::Read(bytes)) = content else { return Vec::new() };
    let table = parse::parse(FLEET, bytes).table;
    let hosts = table.get("hosts").and_then(|entry| entry.value.as_table());
    hosts.map(|hosts| hosts.entries.iter().map(|entry| entry.key.clone()).collect()).unwrap_or_default()
}

/// The paths of the files that are state: not what services mount or read, and not what is ignored.
#[must_use]
pub fn state_files(snapshot: &Snapshot) -> Vec<String> {
    let files = sort(snapshot, &mut Texts::new());
    files
        .state
        .into_iter()
        .filter(|file| !super::toplevel::is_foreign(&file.table))
        .map(|file| file.path)
        .collect()
}

/// Names starting with `.` or `_`, and everything in such folders.
fn is_left_out(path: &RelPath) -> bool {
    path.as_str().split('/').any(|part| part.starts_with(['.', '_']))
}

/// A file, or a whole folder, that would be state if it could be read. The source notes names that are not UTF-8 with the
/// replacement character.
fn looks_like_state(path: &RelPath) -> bool {
    path.file_name().ends_with(".toml") || path.as_str().contains('\u{fffd}')
}

fn unreadable(path: &RelPath, why: &str) -> Diagnostic {
    let span = Span { file: path.as_str().into(), start: 0, end: 0 };
    Diagnostic::error("unreadable", span, format!("cannot be read: {why}"), "its services stay as they are")
}

type Read<'a> = Vec<(&'a RelPath, &'a Text)>;

/// `ignore = ["glob"]` of fleet.toml.
fn ignored(read: &Read<'_>, diagnostics: &mut Vec<Diagnostic>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    let fleet = read.iter().find(|(path, _)| path.as_str() == FLEET);
    if let Some(entry) = fleet.and_then(|(_, parsed)| parsed.table.get("ignore")) {
        for item in items(&entry.value) {
            match item.as_str().map(Glob::new) {
                Some(Ok(glob)) => {
                    set.add(glob);
                }
                Some(Err(error)) => {
                    let message = format!("not a pattern for paths: {}", error.kind());
                    diagnostics.push(Diagnostic::error("bad-glob", item.span.clone(), message, "here"));
                }
                None => {
                    let message = format!("`ignore` takes paths, not {}", item.kind());
                    diagnostics.push(Diagnostic::error(
                        "bad-type",
                        item.span.clone(),
                        message,
                        "write a pattern in quotes",
                    ));
                }
            }
        }
    }
    set.build().unwrap_or_default()
}

/// The items of a list, or the one value that stands for a list of one.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Array(items) => items,
        _ => std::slice::from_ref(node),
    }
}

fn flag(table: &Table, key: &str) -> bool {
    table.get(key).is_some_and(|entry| entry.value.value == Value::Boolean(true))
}

/// TOML files that a state file mounts, reads or builds from. What only a payload file refers to does not count, hence the
/// second round.
fn payload(read: &Read<'_>) -> BTreeSet<String> {
    let mut payload = BTreeSet::new();
    for _round in 0..2 {
        let state = read.iter().filter(|(path, _)| !payload.contains(path.as_str()));
        let places: BTreeSet<&str> = state.flat_map(|(_, text)| &text.places).map(String::as_str).collect();
        if places.is_empty() {
            return BTreeSet::new();
        }
        payload = read
            .iter()
            .map(|(path, _)| path.as_str())
            .filter(|path| *path != FLEET && is_payload(path, &places))
            .map(str::to_owned)
            .collect();
    }
    payload
}

/// Is the path one of the places, or below one?
fn is_payload(path: &str, places: &BTreeSet<&str>) -> bool {
    let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
    folders.chain([path]).any(|part| places.contains(part))
}

fn is_below(path: &str, place: &str) -> bool {
    place.is_empty() || path == place || path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}

/// Paths within the state that a file's tables use: mounts, `env_file`, `build`, `file` of configs and secrets.
fn collect_places(table: &Table, folder: &str, found: &mut BTreeSet<String>) {
    let section = |name: &str| table.get(name).and_then(|entry| entry.value.as_table());
    let objects = |name: &str| {
        let entries = section(name).map(|table| table.entries.as_slice()).unwrap_or_default();
        entries.iter().filter_map(|entry| entry.value.as_table())
    };
    let mut note = |text: Option<&str>| found.extend(text.and_then(|text| join(folder, text)));
    for object in ["services", "jobs", "defaults"].into_iter().flat_map(objects) {
        for key in ["volumes", "env_file", "label_file"] {
            let Some(entry) = object.get(key) else { continue };
            for item in items(&entry.value) {
                let long = item.as_table();
                let path = long.and_then(|long| long.get("source").or_else(|| long.get("path")));
                match path {
                    Some(path) => note(path.value.as_str()),
                    None if key == "volumes" => note(item.as_str().map(mount_source)),
                    None => note(item.as_str()),
                }
            }
        }
        if let Some(build) = object.get("build") {
            let context = build.value.as_table().and_then(|table| table.get("context"));
            note(context.map_or(build.value.as_str(), |context| context.value.as_str()));
        }
    }
    for object in ["configs", "secrets", "builds"].into_iter().flat_map(objects) {
        for key in ["file", "age", "sops", "context"] {
            note(object.get(key).and_then(|entry| entry.value.as_str()));
        }
    }
}

/// The source of a short mount, `""` for a volume or a path on the host.
fn mount_source(text: &str) -> &str {
    match text.split_once(':') {
        Some((source, _)) if source.starts_with('.') => source,
        _ => "/",
    }
}

/// A path as written in a file of `folder`, from the root; `None` when it leads outside or holds a variable.
pub(super) fn join(folder: &str, text: &str) -> Option<String> {
    if text.starts_with(['/', '~']) || text.contains('$') || text.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What `name = "..."` in the plain files of each folder says. At the root each file speaks for itself.
fn folder_names(read: &Read<'_>, files: &mut Files) -> BTreeMap<String, ProjectName> {
    let mut names: BTreeMap<String, (ProjectName, Span)> = BTreeMap::new();
    for (path, parsed) in read {
        let Some(entry) = parsed.table.get("name") else { continue };
        let span = entry.value.span.clone();
        let Some(text) = entry.value.as_str() else {
            let message = format!("`name` takes text, not {}", entry.value.kind());
            files.diagnostics.push(Diagnostic::error("bad-type", span, message, "the name of the project"));
            continue;
        };
        if path.as_str() == FLEET {
            let message = "fleet.toml belongs to no project, so it has no `name`";
            files.diagnostics.push(Diagnostic::error(
                "misplaced",
                entry.key_span.clone(),
                message,
                "not here",
            ));
            continue;
        }
        let Some(name) = explicit_name(text) else {
            let message = format!("`{}` cannot be the name of a project", text.escape_debug());
            let label = match derived_name(text) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "not a name".to_owned(),
            };
            let help = "lower-case letters, digits, - and _, starting with a letter or digit";
            files.diagnostics.push(Diagnostic::error("bad-name", span, message, label).help(help));
            continue;
        };
        if path.folder().is_empty() || flag(&parsed.table, "override") {
            continue;
        }
        match names.get(path.folder()) {
            Some((first, place)) if *first != name => {
                let message = format!("the folder {}/ has two names: `{first}` and `{name}`", path.folder());
                let diagnostic = Diagnostic::error("two-names", span, message, "second name")
                    .also(place.clone(), "first name")
                    .help("all files of a folder are one project: name it once");
                files.diagnostics.push(diagnostic);
            }
            Some(_) => {}
            None => {
                names.insert(path.folder().to_owned(), (name, span));
            }
        }
    }
    names.into_iter().map(|(folder, (name, _))| (folder, name)).collect()
}

fn project_of(path: &RelPath, table: &Table, names: &BTreeMap<String, ProjectName>) -> ProjectName {
    let own = table.get("name").and_then(|entry| entry.value.as_str()).and_then(explicit_name);
    let speaks = path.folder().is_empty() || flag(table, "override");
    own.filter(|_| speaks && path.as_str() != FLEET)
        .or_else(|| names.get(path.folder()).cloned())
        .or_else(|| derived_name(path.folder().rsplit('/').next().unwrap_or_default()))
        .unwrap_or_default()
}

fn explicit_name(text: &str) -> Option<ProjectName> {
    (derived_name(text)?.as_str() == text).then(|| ProjectName::new(text)).flatten()
}

/// Compose's rule for a folder's name: lower case, without what a name cannot have.
fn derived_name(text: &str) -> Option<ProjectName> {
    let good = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name: String = text.to_lowercase().chars().filter(good).collect();
    ProjectName::new(name.trim_start_matches(['-', '_']))
}

impl Files {
    /// Finds each project's folder, and folders that are one project without having said so.
    fn find_homes(&mut self, names: &BTreeMap<String, ProjectName>) {
        self.homes.insert(ProjectName::default(), String::new());
        let mut implied: BTreeMap<&ProjectName, &StateFile> = BTreeMap::new();
        for file in self.state.iter().filter(|file| !file.refines && !file.folder.is_empty()) {
            self.homes.entry(file.project.clone()).or_insert_with(|| file.folder.clone());
            if names.contains_key(&file.folder) {
                continue;
            }
            match implied.get(&file.project) {
                Some(first) if first.folder != file.folder => {
                    let span = Span { file: file.path.as_str().into(), start: 0, end: 0 };
                    let message = format!(
                        "two folders are both project `{}`: {}/ and {}/",
                        file.project, first.folder, file.folder
                    );
                    let diagnostic = Diagnostic::error("two-folders", span, message, "second folder")
                        .help(format!("give one of them another name: name = \"{}-2\"", file.project));
                    self.diagnostics.push(diagnostic);
                }
                Some(_) => {}
                None => {
                    implied.insert(&file.project, file);
                }
            }
        }
        for file in &self.state {
            self.homes.entry(file.project.clone()).or_insert_with(|| file.folder.clone());
        }
    }
}
