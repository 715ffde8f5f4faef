//! `include`, and files that services extend: what else a project is made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Files, StateFile, Text, Texts, flag, items, join};
use crate::desired::convert;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::node::{Node, Table};
use crate::desired::snapshot::Snapshot;
use crate::desired::suggest::nearest;

/// Takes included files into the projects that include them, and finds the files that services extend. `texts` are those of this
/// snapshot, `before` what is left of the last one's.
pub(super) fn resolve(snapshot: &Snapshot, texts: &mut Texts, before: Texts, files: &mut Files) {
    let mut library = Library { snapshot, texts, before };
    let mut at = 0;
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    while let Some(file) = files.state.get(at).cloned() {
        at += 1;
        let Some(entry) = file.table.get("include") else { continue };
        for item in items(&entry.value) {
            let Some((path, span)) = target(&file, item, &mut library, &mut files.diagnostics) else {
                continue;
            };
            if !seen.insert((path.clone(), file.project.to_string())) {
                continue;
            }
            take(&file, path, &span, &mut library, files, &mut taken);
        }
    }
    files.state.sort_by(|a, b| a.path.cmp(&b.path));
    for at in 0..files.state.len() {
        let Some(file) = files.state.get(at) else { break };
        let own: BTreeSet<&str> = files
            .state
            .iter()
            .filter(|other| other.project == file.project)
            .map(|other| other.path.as_str())
            .collect();
        let mut bases = Vec::new();
        collect_bases(&file.path, &Arc::clone(&file.table), &own, &mut library, &mut bases);
        for (path, _) in &bases {
            let broken = library.diagnostics(path);
            if !broken.is_empty() {
                files.broken.insert(path.clone(), broken);
            }
        }
        if let Some(file) = files.state.get_mut(at) {
            file.bases = bases;
        }
    }
}

/// Files by their paths, parsed once.
struct Library<'a> {
    snapshot: &'a Snapshot,
    texts: &'a mut Texts,
    before: Texts,
}

impl Library<'_> {
    /// Also of files that are no state by themselves, such as `_base.toml`.
    fn text(&mut self, path: &str) -> Option<Arc<Text>> {
        let (path, content) = self.snapshot.files.get_key_value(path)?;
        if let Some(text) = self.texts.get(path) {
            return Some(Arc::clone(text));
        }
        let known = self.before.remove(path).filter(|text| text.content == *content);
        let text = known.unwrap_or_else(|| Arc::new(Text::of(path, content)));
        self.texts.insert(path.clone(), Arc::clone(&text));
        Some(text)
    }

    fn diagnostics(&mut self, path: &str) -> Vec<Diagnostic> {
        self.text(path).map(|text| text.diagnostics.clone()).unwrap_or_default()
    }
}

fn refuse(told: &mut Vec<Diagnostic>, span: &Span, message: String, label: &str, help: Option<String>) {
    let diagnostic = Diagnostic::error("bad-include", span.clone(), message, label);
    told.push(match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    });
}

/// The path of an entry of `include`, and where it is written.
fn target(
    file: &StateFile,
    item: &Node,
    library: &mut Library<'_>,
    told: &mut Vec<Diagnostic>,
) -> Option<(String, Span)> {
    let written = match item.as_table() {
        Some(table) => {
            let snapshot = library.snapshot;
            let read = |path: &str| snapshot.files.get(path);
            convert::check_keys(table, "Include", "include", &[], &read, told);
            match table.get("path") {
                Some(entry) => &entry.value,
                None => {
                    let message = "`include` has an entry without `path`".to_owned();
                    told.push(Diagnostic::error("missing-key", item.span.clone(), message, "path = \"...\""));
                    return None;
                }
            }
        }
        None => item,
    };
    let Some(text) = written.as_str() else {
        let message = format!("`include` takes paths of files, not {}", written.kind());
        refuse(told, &written.span, message, "a path in quotes", None);
        return None;
    };
    if text.ends_with(".yaml") || text.ends_with(".yml") {
        let message = format!("`{text}` is a Compose file, and only TOML is included");
        let name = text.rsplit_once('/').map_or(text, |(_, name)| name);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let help = format!(
            "convert it once, and include what comes out: `evenkeel convert {text}` writes {stem}.toml"
        );
        refuse(told, &written.span, message, "not TOML", Some(help));
        return None;
    }
    let Some(path) = join(&file.folder, text) else {
        let message = format!("`{}` cannot be included", text.escape_debug());
        let label = if text.contains('$') {
            "no variables here: which files there are must not depend on them"
        } else {
            "only files of the desired state"
        };
        refuse(told, &written.span, message, label, None);
        return None;
    };
    if !library.snapshot.files.contains_key(path.as_str()) {
        let message = format!("included file `{path}` does not exist");
        let known =
            library.snapshot.files.keys().map(|path| path.as_str()).filter(|path| path.ends_with(".toml"));
        let label = match nearest(&path, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no such file".to_owned(),
        };
        refuse(told, &written.span, message, &label, None);
        return None;
    }
    Some((path, written.span.clone()))
}

/// Makes the file at `path` one of the includer's project. One that was state by itself leaves its own project: it is not in two by
/// accident, only when two include it.
fn take(
    includer: &StateFile,
    path: String,
    span: &Span,
    library: &mut Library<'_>,
    files: &mut Files,
    taken: &mut BTreeSet<String>,
) {
    if path == super::FLEET || path == includer.path {
        let message = format!("`{path}` cannot be included");
        let diagnostic = Diagnostic::error("bad-include", span.clone(), message, "it is read by itself");
        files.diagnostics.push(diagnostic);
        return;
    }
    let selectors: Vec<Node> = includer
        .selectors
        .iter()
        .cloned()
        .chain(includer.table.get("on_hosts").map(|entry| entry.value.clone()))
        .collect();
    let same = |file: &&mut StateFile| file.path == path && file.project == includer.project;
    if files.state.iter_mut().find(same).is_some() {
        // A file of the project's own folder: it is there anyway.
        taken.insert(path);
        return;
    }
    let first = taken.insert(path.clone());
    if first && let Some(file) = files.state.iter_mut().find(|file| file.path == path) {
        file.project = includer.project.clone();
        file.selectors = selectors;
        return;
    }
    let Some(text) = library.text(&path) else { return };
    let broken = !text.diagnostics.is_empty();
    if broken {
        files.broken.insert(path.clone(), text.diagnostics.clone());
    }
    files.state.push(StateFile {
        folder: path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
        path,
        project: includer.project.clone(),
        table: Arc::clone(&text.table),
        refines: flag(&text.table, "override"),
        broken,
        selectors,
        bases: Vec::new(),
    });
}

/// The files outside of the project that the services of a file extend, and those that these extend.
fn collect_bases(
    path: &str,
    table: &Table,
    own: &BTreeSet<&str>,
    library: &mut Library<'_>,
    found: &mut Vec<(String, Arc<Table>)>,
) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let services = table.get("services").and_then(|entry| entry.value.as_table());
    let defaults =
        table.get("defaults").and_then(|entry| entry.value.as_table()?.get("services")?.value.as_table());
    let of_services = services.into_iter().flat_map(|services| &services.entries);
    let tables = of_services.filter_map(|entry| entry.value.as_table()).chain(defaults);
    for service in tables {
        let extends = service.get("extends").and_then(|entry| entry.value.as_table());
        let file = extends.and_then(|table| table.get("file")?.value.as_str());
        let Some(file) = file.and_then(|file| join(folder, file)) else { continue };
        if own.contains(file.as_str()) || found.iter().any(|(known, _)| *known == file) {
            continue;
        }
        let Some(text) = library.text(&file) else { continue };
        let table = Arc::clone(&text.table);
        found.push((file.clone(), Arc::clone(&table)));
        collect_bases(&file, &table, own, library, found);
    }
}
