//! Draws diagnostics: for people in rustc's manner, for machines as lines or JSON.

mod machine;

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::Value;

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
    /// A Code Quality report, for merge requests of GitLab
    Gitlab,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// A diagnostic, and whom it concerns when the files were checked for several hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub diagnostic: Diagnostic,
    pub hosts: Vec<String>,
    /// Every host that was checked: then none of them needs to be named.
    pub everywhere: bool,
}

impl From<Diagnostic> for Finding {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, hosts: Vec::new(), everywhere: true }
    }
}

impl Finding {
    /// `on fra1, nyc1`; `None` where there is nothing to tell apart.
    fn concerned(&self) -> Option<String> {
        /// More names than this say less than a number.
        const MOST: usize = 8;
        if self.everywhere {
            return None;
        }
        let names: Vec<String> = self.hosts.iter().take(MOST).map(|host| shown(host)).collect();
        let more = match self.hosts.len().saturating_sub(MOST) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("on {}{more}", names.join(", ")))
    }
}

/// What findings are printed with.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub snapshot: &'a Snapshot,
    /// The folder of the desired state as seen from where the reader of annotations stands.
    pub place: &'a str,
    pub colour: bool,
}

/// All of `findings` in one format, ending in a line end when there is anything.
#[must_use]
pub fn all(findings: &[Finding], page: &Page<'_>, format: Format) -> String {
    let mut out = String::new();
    match format {
        Format::Text => {
            for finding in findings {
                out.push_str(&drawn(finding, page.snapshot, page.colour));
                out.push_str("\n\n");
            }
        }
        Format::Short => {
            for finding in findings {
                let hosts = finding.concerned().map(|hosts| format!(" ({hosts})")).unwrap_or_default();
                let _infallible = writeln!(out, "{}{hosts}", shown(&finding.diagnostic.headline()));
            }
        }
        Format::Github => {
            findings.iter().for_each(|finding| out.push_str(&machine::github(finding, page.place)))
        }
        Format::Json => {
            let list: Vec<Value> =
                findings.iter().map(|finding| machine::object(finding, page.snapshot)).collect();
            let _infallible = writeln!(out, "{:#}", Value::Array(list));
        }
        Format::Gitlab => {
            let list: Vec<Value> =
                findings.iter().map(|finding| machine::gitlab(finding, page.place)).collect();
            let _infallible = writeln!(out, "{:#}", Value::Array(list));
        }
        Format::Sarif => {
            let _infallible = writeln!(out, "{:#}", machine::sarif(findings, page));
        }
    }
    out
}

/// One diagnostic with the lines it points at.
#[must_use]
pub fn text(diagnostic: &Diagnostic, snapshot: &Snapshot, colour: bool) -> String {
    drawn(&Finding::from(diagnostic.clone()), snapshot, colour)
}

fn drawn(finding: &Finding, snapshot: &Snapshot, colour: bool) -> String {
    let diagnostic = &finding.diagnostic;
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
    if let Some(hosts) = finding.concerned() {
        group = group.element(Level::NOTE.message(hosts));
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
