//! Diagnostics for machines: JSON, annotations of GitHub, SARIF.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Finding, Page, shown};
use crate::desired::diagnostic::{Diagnostic, Label, Severity, Span};
use crate::desired::snapshot::{FileContent, Snapshot};

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

pub(super) fn object(finding: &Finding, snapshot: &Snapshot) -> Value {
    let diagnostic = &finding.diagnostic;
    let label = |label: &Label| {
        let (line, column) = position(snapshot, &label.span.file, label.span.start);
        let (end_line, end_column) = position(snapshot, &label.span.file, label.span.end);
        json!({
            "file": label.span.file, "line": line, "column": column,
            "end_line": end_line, "end_column": end_column, "text": label.text,
        })
    };
    json!({
        "file": diagnostic.primary.span.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "severity": severity(diagnostic),
        "slug": diagnostic.slug,
        "message": diagnostic.message,
        "primary": label(&diagnostic.primary),
        "secondary": diagnostic.secondary.iter().map(label).collect::<Vec<_>>(),
        "helps": diagnostic.helps,
        "hosts": finding.hosts,
    })
}

/// 1-based line and column in characters.
fn position(snapshot: &Snapshot, file: &str, offset: usize) -> (usize, usize) {
    let Some(FileContent::Read(bytes)) = snapshot.files.get(file) else { return (1, 1) };
    let before = bytes.get(..offset.min(bytes.len())).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
    (line, column)
}

/// A file of the desired state as it is called from the root of the repository.
fn from_root(place: &str, file: &str) -> String {
    if place.is_empty() { file.to_owned() } else { format!("{}/{file}", place.trim_end_matches('/')) }
}

/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>
pub(super) fn github(finding: &Finding, place: &str) -> String {
    let diagnostic = &finding.diagnostic;
    let data = |text: &str| {
        let lines: Vec<String> = text.split('\n').map(|line| shown(&line.replace('%', "%25"))).collect();
        lines.join("%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!(
        "::{} file={},line={},col={},title={}::{}\n",
        severity(diagnostic),
        property(&from_root(place, &diagnostic.primary.span.file)),
        diagnostic.line,
        diagnostic.column,
        property(diagnostic.slug),
        data(&whole(finding, "\n"))
    )
}

/// <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>. By its fingerprint a problem is known again when lines
/// above it come and go.
pub(super) fn gitlab(finding: &Finding, place: &str) -> Value {
    let diagnostic = &finding.diagnostic;
    let path = from_root(place, &diagnostic.primary.span.file);
    let mut fingerprint = Sha256::new();
    for part in [diagnostic.slug, &path, &diagnostic.message] {
        fingerprint.update(part);
        fingerprint.update([0]);
    }
    json!({
        "description": whole(finding, ". "),
        "check_name": diagnostic.slug,
        "severity": if diagnostic.is_error() { "major" } else { "minor" },
        "fingerprint": hex::encode(fingerprint.finalize()),
        "location": { "path": path, "lines": { "begin": diagnostic.line } },
    })
}

/// The message with all that belongs to it.
fn whole(finding: &Finding, between: &str) -> String {
    let Diagnostic { message, primary, helps, .. } = &finding.diagnostic;
    let mut text = message.clone();
    for line in std::iter::once(&primary.text).chain(helps).chain(&finding.concerned()) {
        let _infallible = write!(text, "{between}{line}");
    }
    text
}

/// What cannot stand in the path of an URI as it is; `/` can.
const URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
pub(super) fn sarif(findings: &[Finding], page: &Page<'_>) -> Value {
    let slugs: BTreeSet<&str> = findings.iter().map(|finding| finding.diagnostic.slug).collect();
    let rules: Vec<Value> = slugs.iter().map(|slug| json!({ "id": slug })).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, page)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "columnKind": "unicodeCodePoints",
            "tool": { "driver": {
                "name": "evenkeel",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(finding: &Finding, page: &Page<'_>) -> Value {
    let diagnostic = &finding.diagnostic;
    let related: Vec<Value> = diagnostic
        .secondary
        .iter()
        .map(|label| {
            json!({ "physicalLocation": physical(&label.span, page), "message": { "text": label.text } })
        })
        .collect();
    json!({
        "ruleId": diagnostic.slug,
        "level": severity(diagnostic),
        "message": { "text": whole(finding, "\n") },
        "locations": [{ "physicalLocation": physical(&diagnostic.primary.span, page) }],
        "relatedLocations": related,
        "properties": { "hosts": finding.hosts },
    })
}

fn physical(span: &Span, page: &Page<'_>) -> Value {
    let (line, column) = position(page.snapshot, &span.file, span.start);
    let (end_line, end_column) = position(page.snapshot, &span.file, span.end.max(span.start));
    let file = from_root(page.place, &span.file);
    json!({
        "artifactLocation": { "uri": utf8_percent_encode(&file, URI).to_string() },
        "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
    })
}
