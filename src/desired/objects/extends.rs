//! `extends`: a service that starts from another one, of its project or of any file of the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Object;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::{self, StateFile};
use crate::desired::ident::ProjectName;
use crate::desired::merge;
use crate::desired::node::{Entry, Table, Value};
use crate::desired::suggest::nearest;

/// Where a service extends from.
enum Base {
    /// A service of the project.
    Own(String),
    /// One of a file that is not the project's; that file's other services have no part in this project.
    Of(String, String),
}

/// Resolves every `extends`.
pub(super) fn resolve(
    project: &ProjectName,
    state: &[&StateFile],
    services: &mut BTreeMap<String, Object>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let extends =
        |object: &Object| object.node.as_table().is_some_and(|table| table.get("extends").is_some());
    let names: Vec<String> =
        services.iter().filter(|(_, object)| extends(object)).map(|(name, _)| name.clone()).collect();
    let tables = state.iter().flat_map(|file| &file.bases).map(|(path, table)| (path.as_str(), table));
    let mut resolving = Resolving {
        project,
        paths: state.iter().map(|file| file.path.as_str()).collect(),
        bases: tables.collect(),
        services,
        diagnostics,
    };
    for name in names {
        resolving.own(&name, &mut Vec::new());
    }
}

struct Resolving<'a> {
    project: &'a ProjectName,
    /// Files of the project.
    paths: BTreeSet<&'a str>,
    /// Files of others, by their paths.
    bases: BTreeMap<&'a str, &'a Arc<Table>>,
    services: &'a mut BTreeMap<String, Object>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Resolving<'_> {
    /// Resolves the `extends` of a service of the project, and first that of the one it extends.
    fn own(&mut self, name: &str, open: &mut Vec<String>) {
        let Some(object) = self.services.get_mut(name) else { return };
        let Value::Table(table) = &mut object.node.value else { return };
        let Some(entry) = table.remove("extends") else { return };
        open.push(name.to_owned());
        let Some(base) = self.base(&entry, None, open) else { return };
        let Some(object) = self.services.get_mut(name) else { return };
        inherit(object, base);
    }

    /// What an `extends` leads to, itself resolved. `within`: the file of others that it stands in.
    fn base(&mut self, entry: &Entry, within: Option<&str>, open: &mut Vec<String>) -> Option<Object> {
        let base = self.named(entry, within)?;
        let called = match &base {
            Base::Own(name) => name.clone(),
            Base::Of(path, name) => format!("{path}: {name}"),
        };
        if open.contains(&called) {
            let way = open.join(" -> ");
            let message = format!("services extend each other: {way} -> {called}");
            let span = entry.value.span.clone();
            self.diagnostics.push(Diagnostic::error("extends-cycle", span, message, "leads back"));
            return None;
        }
        match base {
            Base::Own(name) => {
                if !self.services.contains_key(&name) {
                    let place = format!("project `{}`", self.project);
                    let known: Vec<String> = self.services.keys().cloned().collect();
                    self.unknown(entry, &name, &place, &known);
                    return None;
                }
                self.own(&name, open);
                self.services.get(&name).cloned()
            }
            Base::Of(path, name) => {
                open.push(called);
                self.foreign(entry, &path, &name, open)
            }
        }
    }

    fn foreign(&mut self, entry: &Entry, path: &str, name: &str, open: &mut Vec<String>) -> Option<Object> {
        let table = self.bases.get(path).map(|table| Arc::clone(table))?;
        let services = table.get("services").and_then(|entry| entry.value.as_table());
        let found = services.and_then(|services| services.get(name));
        let Some(found) = found.filter(|found| found.value.as_table().is_some()) else {
            let known: Vec<String> = services
                .iter()
                .flat_map(|services| &services.entries)
                .map(|entry| entry.key.clone())
                .collect();
            self.unknown(entry, name, path, &known);
            return None;
        };
        let mut object = Object {
            node: found.value.clone(),
            place: super::place(found),
            files: BTreeSet::from([path.to_owned()]),
        };
        let Value::Table(table) = &mut object.node.value else { return None };
        if let Some(entry) = table.remove("extends") {
            let base = self.base(&entry, Some(path), open)?;
            inherit(&mut object, base);
        }
        Some(object)
    }

    fn unknown(&mut self, entry: &Entry, name: &str, place: &str, known: &[String]) {
        let message = format!("no service `{}` in {place}", name.escape_debug());
        let label = match nearest(name, known.iter().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "nothing to extend".to_owned(),
        };
        let span = entry.value.span.clone();
        self.diagnostics.push(Diagnostic::error("unknown-extends", span, message, label));
    }

    /// The service that an `extends` names.
    fn named(&mut self, entry: &Entry, within: Option<&str>) -> Option<Base> {
        let here = |name: &str| match within {
            Some(path) => Base::Of(path.to_owned(), name.to_owned()),
            None => Base::Own(name.to_owned()),
        };
        let Some(table) = entry.value.as_table() else {
            if let Some(name) = entry.value.as_str() {
                return Some(here(name));
            }
            let message = format!("`extends` takes the name of a service, not {}", entry.value.kind());
            self.refuse(&entry.value.span, message, "a name, or { service = \"...\" }");
            return None;
        };
        let Some(name) = table.get("service").and_then(|service| service.value.as_str()) else {
            let message = "`extends` does not say which service".to_owned();
            self.refuse(&entry.value.span, message, "service = \"...\"");
            return None;
        };
        let Some(file) = table.get("file") else { return Some(here(name)) };
        let Some(text) = file.value.as_str() else {
            let message = format!("`extends` takes a file's path, not {}", file.value.kind());
            self.refuse(&file.value.span, message, "a path in quotes");
            return None;
        };
        if text.ends_with(".yaml") || text.ends_with(".yml") {
            let message = format!("`{text}` is a Compose file, and only services of TOML files are extended");
            let diagnostic = Diagnostic::error("bad-extends", file.value.span.clone(), message, "not TOML");
            self.diagnostics.push(diagnostic.help(format!("convert it once: `evenkeel convert {text}`")));
            return None;
        }
        let folder = file.value.span.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        match files::join(folder, text) {
            Some(path) if self.paths.contains(path.as_str()) => Some(Base::Own(name.to_owned())),
            Some(path) if self.bases.contains_key(path.as_str()) => Some(Base::Of(path, name.to_owned())),
            Some(path) => {
                let message = format!("extended file `{path}` does not exist");
                self.refuse(&file.value.span, message, "no such file in the desired state");
                None
            }
            None => {
                let message = format!("`{}` cannot be extended", text.escape_debug());
                self.refuse(&file.value.span, message, "only files of the desired state, without variables");
                None
            }
        }
    }

    fn refuse(&mut self, span: &Span, message: String, label: &str) {
        self.diagnostics.push(Diagnostic::error("bad-extends", span.clone(), message, label));
    }
}

/// Puts a service over what it extends.
fn inherit(object: &mut Object, base: Object) {
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
