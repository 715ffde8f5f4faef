//! Draws diagnostics: for people in rustc's manner, for machines as lines or JSON.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::desired::diagnostic::{Diagnostic, Label, Severity, Span};
use crate::desired::snapshot::{FileContent, Snapshot};

/// How diagnostics are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Each with the lines it is about
    #[default]
    Text,
    /// One line each: `file:line:column: severity[slug]: message`
    Short,
    /// A list of objects
    Json,
    /// Annotations of a GitHub workflow
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// All of `diagnostics` in one format, ending in a line end when there is anything.
#[must_use]
pub fn all(diagnostics: &[Diagnostic], snapshot: &Snapshot, format: Format, colour: bool) -> String {
    let mut out = String::new();
    match format {
        Format::Text => {
            for diagnostic in diagnostics {
                out.push_str(&text(diagnostic, snapshot, colour));
                out.push_str("\n\n");
            }
        }
        Format::Short => {
            for diagnostic in diagnostics {
                let _infallible = writeln!(out, "{}", shown(&diagnostic.headline()));
            }
        }
        Format::Github => diagnostics.iter().for_each(|diagnostic| out.push_str(&github(diagnostic))),
        Format::Json => {
            let list: Vec<Value> =
                diagnostics.iter().map(|diagnostic| object(diagnostic, snapshot)).collect();
            let _infallible = writeln!(out, "{:#}", Value::Array(list));
        }
        Format::Sarif => {
            let _infallible = writeln!(out, "{:#}", sarif(diagnostics));
        }
    }
    out
}

/// One diagnostic with the lines it points at.
#[must_use]
pub fn text(diagnostic: &Diagnostic, snapshot: &Snapshot, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(shown(&diagnostic.message)).id(diagnostic.slug));
    let mut labels = vec![(&diagnostic.primary, AnnotationKind::Primary)];
    labels.extend(diagnostic.secondary.iter().map(|label| (label, AnnotationKind::Context)));
    while let Some((first, _)) = labels.first() {
        let file = first.span.file.clone();
        let (here, others): (Vec<_>, Vec<_>) =
            labels.into_iter().partition(|(label, _)| label.span.file == file);
        labels = others;
        group = match Excerpt::of(&file, &here, snapshot) {
            Some(excerpt) => group.element(excerpt.snippet(&file, &here)),
            None => {
                let place = Origin::path(shown(&file)).line(usize::try_from(diagnostic.line).unwrap_or(1));
                group.element(place)
            }
        };
    }
    for help in &diagnostic.helps {
        group = group.element(Level::HELP.message(shown(help)));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The lines of a file that labels are on, and what lies between: the rest is not given to the renderer, which reads all of it.
struct Excerpt {
    text: String,
    /// Byte of the file that `text` begins with.
    start: usize,
    /// 1-based number of its first line.
    line: usize,
}

impl Excerpt {
    /// None when the file is not there, or is not text.
    fn of(file: &str, labels: &[(&Label, AnnotationKind)], snapshot: &Snapshot) -> Option<Self> {
        let Some(FileContent::Read(bytes)) = snapshot.files.get(file) else { return None };
        let text = std::str::from_utf8(bytes).ok()?;
        let first = labels.iter().map(|(label, _)| label.span.start).min()?.min(text.len());
        let last = labels.iter().map(|(label, _)| label.span.end).max()?.min(text.len());
        let before = bytes.get(..first)?;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end =
            bytes.get(last..)?.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| last + at);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let excerpt = text.get(start..end)?;
        Some(Self { text: harmless(excerpt), start, line })
    }

    fn snippet(
        self,
        file: &str,
        labels: &[(&Label, AnnotationKind)],
    ) -> Snippet<'static, annotate_snippets::Annotation<'static>> {
        let annotations: Vec<_> = labels
            .iter()
            .map(|(label, kind)| kind.span(self.within(&label.span)).label(shown(&label.text)))
            .collect();
        Snippet::source(self.text).path(shown(file)).line_start(self.line).annotations(annotations)
    }

    /// A place of the file within the excerpt, on character boundaries.
    fn within(&self, span: &Span) -> Range<usize> {
        let inside = |at: usize| {
            let mut at = at.saturating_sub(self.start).min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = inside(span.start);
        start..inside(span.end).max(start)
    }
}

/// Terminals act on C1 controls, and the renderer lets them pass; the replacement is as long, so that places stay right.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { '\u{bf}' } else { c }).collect()
}

/// Control characters, and marks that turn the direction of writing around: a terminal obeys them.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from files must not steer the terminal: control characters and marks of writing direction are shown as escapes.
#[must_use]
pub fn shown(text: &str) -> String {
    if !text.contains(steers) {
        return text.to_owned();
    }
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn object(diagnostic: &Diagnostic, snapshot: &Snapshot) -> Value {
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

/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>
fn github(diagnostic: &Diagnostic) -> String {
    let data = |text: &str| {
        let lines: Vec<String> = text.split('\n').map(|line| shown(&line.replace('%', "%25"))).collect();
        lines.join("%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut message = diagnostic.message.clone();
    for line in std::iter::once(&diagnostic.primary.text).chain(&diagnostic.helps) {
        let _infallible = write!(message, "\n{line}");
    }
    format!(
        "::{} file={},line={},col={},title={}::{}\n",
        severity(diagnostic),
        property(&diagnostic.primary.span.file),
        diagnostic.line,
        diagnostic.column,
        property(diagnostic.slug),
        data(&message)
    )
}

fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let mut slugs: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.slug).collect();
    slugs.sort_unstable();
    slugs.dedup();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            json!({
                "ruleId": diagnostic.slug,
                "level": severity(diagnostic),
                "message": { "text": format!("{}: {}", diagnostic.message, diagnostic.primary.text) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": diagnostic.primary.span.file },
                    "region": { "startLine": diagnostic.line, "startColumn": diagnostic.column },
                }}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "columnKind": "unicodeCodePoints",
            "tool": { "driver": {
                "name": "evenkeel",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": slugs.iter().map(|slug| json!({ "id": slug })).collect::<Vec<_>>(),
            }},
            "results": results,
        }],
    })
}
