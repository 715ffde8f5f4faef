//! The services, networks and volumes of a project, made of all its files.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Span};
use super::files::{StateFile, items};
use super::ident::ProjectName;
use super::merge;
use super::node::{Entry, Node, Value};
use super::suggest::nearest;

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
    extend_all(project, files, &mut objects.services, diagnostics);
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

/// Resolves every `extends`.
fn extend_all(
    project: &ProjectName,
    files: &[&StateFile],
    services: &mut BTreeMap<String, Object>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let extends =
        |object: &Object| object.node.as_table().is_some_and(|table| table.get("extends").is_some());
    let names: Vec<String> =
        services.iter().filter(|(_, object)| extends(object)).map(|(name, _)| name.clone()).collect();
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for name in names {
        let mut open = Vec::new();
        extend(project, &paths, services, &name, &mut open, diagnostics);
    }
}

/// Resolves the `extends` of one service, and first that of the one it extends.
fn extend(
    project: &ProjectName,
    paths: &BTreeSet<&str>,
    services: &mut BTreeMap<String, Object>,
    name: &str,
    open: &mut Vec<String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(object) = services.get_mut(name) else { return };
    let Value::Table(table) = &mut object.node.value else { return };
    let Some(entry) = table.remove("extends") else { return };
    open.push(name.to_owned());
    let Some(base) = base_of(&entry, paths, diagnostics) else { return };
    if open.contains(&base) {
        let way = open.join(" -> ");
        let message = format!("services extend each other: {way} -> {base}");
        diagnostics.push(Diagnostic::error("extends-cycle", entry.value.span, message, "leads back"));
        return;
    }
    if !services.contains_key(&base) {
        let message = format!("no service `{}` in project `{project}`", base.escape_debug());
        let label = match nearest(&base, services.keys().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "nothing to extend".to_owned(),
        };
        diagnostics.push(Diagnostic::error("unknown-extends", entry.value.span, message, label));
        return;
    }
    extend(project, paths, services, &base, open, diagnostics);
    let Some(base) = services.get(&base).cloned() else { return };
    let Some(object) = services.get_mut(name) else { return };
    if let (Value::Table(own), Value::Table(mut table)) = (&mut object.node.value, base.node.value) {
        table.header = own.header.clone();
        // Where a service runs and when it is switched on is its own affair.
        table
            .entries
            .retain(|entry| !matches!(entry.key.as_str(), "on_hosts" | "profiles" | "container_name"));
        merge::refine(&mut table, own);
        *own = table;
    }
    object.files.extend(base.files);
}

/// The service an `extends` names.
fn base_of(entry: &Entry, paths: &BTreeSet<&str>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let mut refuse = |span: &Span, message: String, label: &str| {
        diagnostics.push(Diagnostic::error("bad-extends", span.clone(), message, label));
        None
    };
    let Some(table) = entry.value.as_table() else {
        return match entry.value.as_str() {
            Some(name) => Some(name.to_owned()),
            None => {
                let message = format!("`extends` takes the name of a service, not {}", entry.value.kind());
                refuse(&entry.value.span, message, "a name, or { service = \"...\" }")
            }
        };
    };
    if let Some(file) = table.get("file") {
        let folder = file.value.span.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = file.value.as_str().and_then(|text| super::files::join(folder, text));
        if !path.is_some_and(|path| paths.contains(path.as_str())) {
            let message = "`extends` reaches only files of its own project in this version".to_owned();
            return refuse(&file.value.span, message, "not one of them");
        }
    }
    match table.get("service").and_then(|service| service.value.as_str()) {
        Some(name) => Some(name.to_owned()),
        None => {
            refuse(&entry.value.span, "`extends` does not say which service".to_owned(), "service = \"...\"")
        }
    }
}
