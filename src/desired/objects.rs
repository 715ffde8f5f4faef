//! The services, networks and volumes of a project, made of all its files.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Span};
use super::files::{StateFile, items};
use super::ident::ProjectName;
use super::merge;
use super::node::{Entry, Node, Value};

mod extends;

/// Something a project defines, merged, before variables are replaced.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub node: Node,
    /// Its name where it is defined: `services.web` of a header, else the key.
    pub place: Span,
    /// Every file that had a part in it.
    pub files: BTreeSet<String>,
}

impl Object {
    fn new(entry: &Entry, file: &StateFile) -> Self {
        Self { node: entry.value.clone(), place: place(entry), files: BTreeSet::from([file.path.clone()]) }
    }

    /// The header, or whatever stands for it.
    pub fn header(&self) -> &Span {
        self.node.as_table().map_or(&self.node.span, |table| &table.header)
    }
}

/// By kind and name.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub services: BTreeMap<String, Object>,
    pub networks: BTreeMap<String, Object>,
    pub volumes: BTreeMap<String, Object>,
    pub configs: BTreeMap<String, Object>,
    pub secrets: BTreeMap<String, Object>,
    pub credentials: BTreeMap<String, Object>,
    pub jobs: BTreeMap<String, Object>,
    pub builds: BTreeMap<String, Object>,
    pub artifacts: BTreeMap<String, Object>,
    pub notify: BTreeMap<String, Object>,
}

impl Objects {
    fn of(&mut self, kind: &str) -> Option<&mut BTreeMap<String, Object>> {
        match kind {
            "services" => Some(&mut self.services),
            "networks" => Some(&mut self.networks),
            "volumes" => Some(&mut self.volumes),
            "configs" => Some(&mut self.configs),
            "secrets" => Some(&mut self.secrets),
            "credentials" => Some(&mut self.credentials),
            "jobs" => Some(&mut self.jobs),
            "builds" => Some(&mut self.builds),
            "artifacts" => Some(&mut self.artifacts),
            "notify" => Some(&mut self.notify),
            _ => None,
        }
    }
}

const KINDS: [&str; 10] = [
    "services",
    "networks",
    "volumes",
    "configs",
    "secrets",
    "credentials",
    "jobs",
    "builds",
    "artifacts",
    "notify",
];

/// Objects that are tables, whatever else; what an empty declaration may be is the conversion's to judge.
const TABLES: [&str; 5] = ["services", "jobs", "builds", "artifacts", "notify"];

/// Merges the files of a project, given in path order: the plain ones, then the override files.
pub(super) fn gather(
    project: &ProjectName,
    files: &[&StateFile],
    diagnostics: &mut Vec<Diagnostic>,
) -> Objects {
    let mut objects = Objects::default();
    for file in files.iter().filter(|file| !file.refines) {
        for (kind, entry) in sections(file, diagnostics) {
            let Some(known) = objects.of(kind) else { continue };
            match known.get_mut(&entry.key) {
                None => {
                    known.insert(entry.key.clone(), Object::new(entry, file));
                }
                Some(first) => {
                    first.files.insert(file.path.clone());
                    if !file.broken {
                        diagnostics.push(defined_twice(project, kind, entry, first));
                    }
                }
            }
        }
    }
    for file in files.iter().filter(|file| file.refines) {
        clear(file, &mut objects, diagnostics);
        for (kind, entry) in sections(file, diagnostics) {
            let Some(known) = objects.of(kind) else { continue };
            match known.get_mut(&entry.key) {
                None => {
                    known.insert(entry.key.clone(), Object::new(entry, file));
                }
                Some(base) => {
                    base.files.insert(file.path.clone());
                    if let (Value::Table(table), Value::Table(more)) =
                        (&mut base.node.value, &entry.value.value)
                    {
                        merge::refine(table, more);
                    }
                }
            }
        }
    }
    extends::resolve(project, files, &mut objects.services, diagnostics);
    objects
}

/// The objects of a file. A service that is no table is reported; networks and volumes are the conversion's to judge.
fn sections<'a>(file: &'a StateFile, diagnostics: &mut Vec<Diagnostic>) -> Vec<(&'static str, &'a Entry)> {
    let mut found = Vec::new();
    for kind in KINDS {
        let Some(section) = file.table.get(kind).and_then(|entry| entry.value.as_table()) else { continue };
        for entry in section.entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
            if TABLES.contains(&kind) && entry.value.as_table().is_none() {
                let message = format!(
                    "`{kind}.{}` takes a table, not {}",
                    entry.key.escape_debug(),
                    entry.value.kind()
                );
                let label = match kind {
                    "services" => "a service is a table: { image = \"...\" }",
                    _ => "write a table: { ... }",
                };
                diagnostics.push(Diagnostic::error("bad-type", entry.value.span.clone(), message, label));
            } else {
                found.push((kind, entry));
            }
        }
    }
    found
}

/// `services.web` in `[services.web]`, or the key.
fn place(entry: &Entry) -> Span {
    let key = &entry.key_span;
    match entry.value.as_table().map(|table| &table.header) {
        Some(header) if header.file == key.file && header.start < key.start && key.end < header.end => {
            Span { file: key.file.clone(), start: header.start + 1, end: key.end }
        }
        _ => key.clone(),
    }
}

fn defined_twice(project: &ProjectName, kind: &str, entry: &Entry, first: &Object) -> Diagnostic {
    let message = format!("{kind}.{} is defined twice in project `{project}`", entry.key);
    Diagnostic::error("defined-twice", place(entry), message, "second definition")
        .also(first.place.clone(), "first definition")
        .help("to refine the first one, begin this file with: override = true")
}

/// `reset = ["services.web.ports"]`.
fn clear(file: &StateFile, objects: &mut Objects, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entry) = file.table.get("reset") else { return };
    for item in items(&entry.value) {
        let Some(path) = item.as_str() else {
            let message = format!("`reset` takes names of keys, not {}", item.kind());
            let label = "such as \"services.web.ports\"";
            diagnostics.push(Diagnostic::error("bad-type", item.span.clone(), message, label));
            continue;
        };
        let cleared = path
            .split_once('.')
            .and_then(|(kind, below)| Some(clear_one(objects.of(kind)?, below, &file.path)))
            .unwrap_or(false);
        if !cleared {
            let message = format!("nothing stands at `{}`", path.escape_debug());
            let diagnostic = Diagnostic::error(
                "reset-nothing",
                item.span.clone(),
                message,
                "no file before this one sets it",
            );
            diagnostics.push(diagnostic.help("form: \"services.<name>.<key>\""));
        }
    }
}

fn clear_one(known: &mut BTreeMap<String, Object>, below: &str, file: &str) -> bool {
    if known.remove(below).is_some() {
        return true;
    }
    known.iter_mut().any(|(name, object)| {
        let path = below.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let (Some(path), Value::Table(table)) = (path, &mut object.node.value) else { return false };
        let cleared = merge::reset(table, path);
        if cleared {
            object.files.insert(file.to_owned());
        }
        cleared
    })
}
