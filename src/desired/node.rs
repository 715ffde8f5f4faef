//! The tree between TOML and the manifest: values with the place each came from.
//!
//! The loader works on this tree (merge, defaults, interpolation) before any type is involved, so that every diagnostic
//! can point at the byte it is about, whichever file a merged value came from.

use super::diagnostic::Span;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
    /// For text: the raw form has no escapes or line joins, so byte `i` of the text is byte `span.start + 1 + i` of the file
    /// (the opening quote takes one). Lets a diagnostic point into a string; `false` points at the whole string.
    pub verbatim: bool,
    /// A variable was replaced in this text: it may then stand for a number or a boolean, as in Compose.
    pub interpolated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// As written.
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

/// A table in the order it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub entries: Vec<Entry>,
    /// The header (`[services.web]`), the opening brace's table or the key that implied it: what "this table" points at.
    pub header: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Table {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

impl Node {
    #[must_use]
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
    /// The text of a scalar, as maps of text (`environment`, labels, variables) take numbers and booleans.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::String(text) | Value::Datetime(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Array(_) | Value::Table(_) => None,
        }
    }
    /// What a message calls this kind of value.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::String(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
    /// The place of bytes `start..end` within this text, or of the whole value when it is not written verbatim.
    #[must_use]
    pub fn part(&self, start: usize, end: usize) -> Span {
        if self.verbatim {
            let base = self.span.start + 1;
            Span { file: self.span.file.clone(), start: base + start, end: base + end }
        } else {
            self.span.clone()
        }
    }
}
