//! What is wrong with the desired state, in a form that terminals, editors and machines can all show.
//!
//! Drawing is the shell's business (`cli/render.rs`); here a diagnostic is plain values.

use serde::Serialize;

use super::filename::FileName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// Bytes `start..end` of one file of the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    pub file: FileName,
    pub start: usize,
    pub end: usize,
}

/// A marked place with what to say beside its caret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One problem. `file:line:col` of the headline is the start of `primary`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Diagnostic {
    /// The place of the headline: drawn with `^`.
    pub primary: Label,
    pub severity: Severity,
    /// Stable name: `unknown-key`.
    pub slug: &'static str,
    /// One sentence without a full stop. Never holds the value of a secret.
    pub message: String,
    /// Further places, drawn with `-`.
    pub secondary: Vec<Label>,
    /// What to do, one line each.
    pub helps: Vec<String>,
    /// 1-based line and column (in characters) of `primary`; filled in by `load` when all files are known.
    pub line: u32,
    pub column: u32,
}

impl Diagnostic {
    #[must_use]
    pub fn error(
        slug: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            primary: Label { span, text: label.into() },
            severity: Severity::Error,
            slug,
            message: message.into(),
            secondary: Vec::new(),
            helps: Vec::new(),
            line: 0,
            column: 0,
        }
    }

    #[must_use]
    pub fn warning(
        slug: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(slug, span, message, label) }
    }

    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `file:line:col: severity[slug]: message`.
    #[must_use]
    pub fn headline(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self { primary, slug, message, line, column, .. } = self;
        format!("{}:{line}:{column}: {severity}[{slug}]: {message}", primary.span.file)
    }
}
