//! What a conversion has to say about a place of the file it reads.

use std::fmt;

use serde::Serialize;

use super::tree::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The file cannot be converted.
    Error,
    /// Something is not carried over, or means something else from now on.
    Note,
}

/// One line for the user. Never holds the value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Note {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub kind: Kind,
    /// Stable name: `unknown-key`.
    pub slug: &'static str,
    pub message: String,
}

impl Note {
    pub fn new(file: &str, place: Place, slug: &'static str, message: impl Into<String>) -> Self {
        let Place { line, column } = place;
        Self { file: file.to_owned(), line, column, kind: Kind::Note, slug, message: message.into() }
    }

    pub fn error(file: &str, place: Place, slug: &'static str, message: impl Into<String>) -> Self {
        Self { kind: Kind::Error, ..Self::new(file, place, slug, message) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Error => "error",
            Kind::Note => "note",
        };
        let Self { file, line, column, slug, message, .. } = self;
        write!(f, "{file}:{line}:{column}: {kind}[{slug}]: {message}")
    }
}
