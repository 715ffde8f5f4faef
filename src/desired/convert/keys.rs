//! Is every key of a table one that exists there? What else it may have been meant to be.

use crate::desired::diagnostic::{Diagnostic, Severity, Span};
use crate::desired::manifest;
use crate::desired::node::{Entry, Table};
use crate::desired::snapshot::FileContent;
use crate::desired::suggest::nearest;

use super::read::{Fields, Reader};
use super::{Files, unsupported};

/// A table around the one that is checked, for keys that slipped below a later header.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// `services.web`; empty for the file itself.
    pub path: &'a str,
    /// Its shape: `Service`.
    pub shape: &'a str,
}

/// Checks the keys of `table` against a shape of [`manifest`]. `path` names the table in messages (`services.web`;
/// empty for the file itself), `parents` are the tables around it, the nearest first.
pub fn check_keys(
    table: &Table,
    shape: &str,
    path: &str,
    parents: &[Parent<'_>],
    files: &Files<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let known = manifest::keys(shape);
    for entry in &table.entries {
        if known.contains(&entry.key) || entry.key.starts_with("x-") {
            continue;
        }
        let found = unsupported_key(entry, shape, path)
            .or_else(|| key_after_table(entry, table, path, parents, files))
            .unwrap_or_else(|| unknown_key(entry, shape, path));
        diagnostics.push(found);
    }
}

impl Reader<'_, '_> {
    /// [`check_keys`] for a table below a service (or a network, ...).
    pub(super) fn check(&mut self, fields: &Fields<'_>, shape: &str, parents: &[Parent<'_>]) {
        check_keys(fields.table, shape, &fields.path, parents, self.context.read, self.diagnostics);
    }
}

fn unsupported_key(entry: &Entry, shape: &str, path: &str) -> Option<Diagnostic> {
    let unsupported::Unsupported { reason, harmless } = unsupported::find(shape, &entry.key)?;
    let verb = if harmless { "has no effect" } else { "is not supported" };
    let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
    let message = format!("`{}`{place} {verb}", entry.key);
    let mut diagnostic = Diagnostic::error("unsupported-key", entry.key_span.clone(), message, reason);
    if harmless {
        diagnostic.severity = Severity::Warning;
    }
    Some(diagnostic)
}

/// A key of a table further out that stands below this table's header.
pub(super) fn key_after_table(
    entry: &Entry,
    table: &Table,
    path: &str,
    parents: &[Parent<'_>],
    files: &Files<'_>,
) -> Option<Diagnostic> {
    let key = &entry.key;
    let header = &table.header;
    if !opened_by_header(header, files)
        || header.file != entry.key_span.file
        || entry.key_span.start < header.end
    {
        return None;
    }
    let parent = parents.iter().find(|parent| manifest::keys(parent.shape).contains(key))?;
    let owner = if parent.path.is_empty() { "the file itself" } else { parent.path };
    let here = if path.is_empty() { "the file" } else { path };
    let mut help = format!("`{key}` is a key of {owner}: move the line up");
    if let Some(line) = line_of(header, files) {
        help.push_str(&format!(", before line {line}"));
    }
    let message = format!("`{key}` is not a key of {here}");
    let label = "this line belongs to the table opened above it";
    let diagnostic = Diagnostic::error("key-after-table", entry.key_span.clone(), message, label);
    Some(diagnostic.also(header.clone(), "opened here").help(help))
}

fn unknown_key(entry: &Entry, shape: &str, path: &str) -> Diagnostic {
    let key = entry.key.as_str();
    let place = if path.is_empty() { "at the top of the file".to_owned() } else { format!("in {path}") };
    let diagnostic = |label: String| {
        let message = format!("unknown key `{key}` {place}");
        Diagnostic::error("unknown-key", entry.key_span.clone(), message, label)
    };
    if let Some(near) = nearest(key, manifest::keys(shape).iter().map(String::as_str)) {
        return diagnostic(format!("did you mean `{near}`?"));
    }
    if let Some((place, _)) = PLACES.iter().find(|(_, shape)| manifest::keys(shape).contains(key)) {
        return diagnostic(format!("`{key}` is a key of {place}"));
    }
    let elsewhere = PLACES.iter().find_map(|(place, shape)| {
        let near = nearest(key, manifest::keys(shape).iter().map(String::as_str))?;
        Some(format!("did you mean `{near}`, a key of {place}?"))
    });
    if let Some(label) = elsewhere {
        return diagnostic(label);
    }
    let all: Vec<&str> = manifest::keys(shape).iter().map(String::as_str).collect();
    let diagnostic = diagnostic("no key has this name; own ones begin with `x-`".to_owned());
    if all.len() <= 15 { diagnostic.help(format!("one of: {}", all.join(", "))) } else { diagnostic }
}

/// Where people may look for a key, the likelier first.
const PLACES: [(&str, &str); 22] = [
    ("a service", "Service"),
    ("a service's `deploy`", "Deploy"),
    ("a service's `deploy.update_config`", "UpdateConfig"),
    ("a service's `healthcheck`", "Healthcheck"),
    ("a service's `deploy.resources.limits`", "Limits"),
    ("a service's `deploy.resources`", "Resources"),
    ("a service's `deploy.restart_policy`", "RestartPolicy"),
    ("a service's `logging`", "Logging"),
    ("a service's entry in `networks`", "Endpoint"),
    ("a service's entry in `depends_on`", "Dependency"),
    ("a service's `rollout`", "Rollout"),
    ("a service's `image_policy`", "ImagePolicy"),
    ("a service's `build`", "BuildSection"),
    ("a service's `build_policy`", "BuildPolicy"),
    ("a job", "Job"),
    ("an artifact", "Artifact"),
    ("a network", "Network"),
    ("a network's `ipam`", "Ipam"),
    ("a volume", "Volume"),
    ("the file itself", "File"),
    ("`policy`", "Policy"),
    ("`policy.guard`", "GuardPolicy"),
];

/// Whether a table was opened by a `[header]`, not by a brace or a dotted key.
pub(super) fn opened_by_header(header: &Span, files: &Files<'_>) -> bool {
    let Some(FileContent::Read(bytes)) = files(&header.file) else { return false };
    // The header's span may begin at the bracket or just behind it.
    let before = header.start.checked_sub(1).and_then(|at| bytes.get(at));
    bytes.get(header.start) == Some(&b'[') || before == Some(&b'[')
}

/// 1-based line of a place, when the file's text is at hand.
pub(super) fn line_of(span: &Span, files: &Files<'_>) -> Option<u32> {
    let Some(FileContent::Read(bytes)) = files(&span.file) else { return None };
    let before = bytes.get(..span.start.min(bytes.len()))?;
    let feeds = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(feeds + 1).ok()
}
