//! Compose files as state files: YAML in, TOML and a note for every loss out. Pure, and bounded whatever comes in.

mod comments;
mod document;
mod lenient;
pub mod note;
mod read;
pub mod references;
mod scalar;
mod shape;
mod tree;
mod write;

pub use note::{Kind, Note};
pub use references::{Reference, Use};
pub use tree::Place;

use tree::{Node, Value};

/// One compose file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// How notes call it.
    pub file: &'a str,
    pub text: &'a str,
    /// It is laid over others, as `docker compose -f base -f this` does.
    pub refines: bool,
}

/// A state file made of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    root: Node,
}

/// Reads a file and converts each document in it. Every one but the first is laid over the ones before, as Compose does. What is not
/// carried over is in the notes, in the order of their places.
///
/// # Errors
/// It is no YAML, is no map, or goes beyond the bounds.
pub fn convert(source: &Source<'_>) -> Result<(Vec<Converted>, Vec<Note>), Note> {
    let mut notes = Vec::new();
    let documents = read::read(source.file, source.text, &mut notes)?;
    let mut converted = Vec::new();
    for (number, root) in documents.into_iter().enumerate() {
        if !matches!(root.value, Value::Map(_) | Value::Null) {
            let message = "a compose file is a map with `services` in it, and this is none";
            return Err(Note::error(source.file, root.place, "not-compose", message));
        }
        let document = document::Document::new(source.file, source.refines || number > 0, &mut notes);
        converted.push(Converted { root: document.convert(root) });
    }
    if converted.is_empty() {
        converted.push(Converted { root: Node::new(Value::Map(Vec::new()), Place::default()) });
    }
    notes.sort();
    notes.dedup();
    Ok((converted, notes))
}

impl Converted {
    /// `name:` as it is written, with variables.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.root.get("name").and_then(Node::as_text)
    }

    pub fn set_name(&mut self, name: &str) {
        document::set_first(&mut self.root, "name", Value::Text(name.to_owned()));
    }

    /// A file that is laid over others leaves the name to them.
    pub fn drop_name(&mut self) {
        if let Value::Map(entries) = &mut self.root.value {
            entries.retain(|entry| entry.key != "name");
        }
    }

    /// Hands every path in the file to `each`, which may change it.
    pub fn references(&mut self, each: &mut dyn FnMut(Reference<'_>)) {
        references::visit(&mut self.root, each);
    }

    #[must_use]
    pub fn toml(&self) -> String {
        write::toml(&self.root)
    }
}

/// Compose's rule for a project's name: lower case, only letters, digits, `-` and `_`, the first a letter or a digit.
#[must_use]
pub fn project_name(text: &str) -> Option<String> {
    let kept: String = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    let name = kept.trim_start_matches(['-', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// Text in the quotes that need the fewest escapes, on one line.
pub(super) fn quoted(text: &str) -> String {
    write::string(text, false)
}

/// Whether a name needs no quotes in TOML.
pub(super) fn is_bare(name: &str) -> bool {
    write::is_bare(name)
}
