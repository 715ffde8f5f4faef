//! Events of the TOML parser to a tree, without recursion.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{Event, EventKind};
use toml_parser::{ParseError, Source};

use super::draft::{Conflict, Draft, Key, Origin, plain, span, whole};
use super::syntax;
use crate::desired::FileName;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::{Node, Table, Value};

/// Deepest tree, counting tables and lists, in all: what walks the tree later may recurse.
const MAX_LEVELS: usize = 100;

pub(super) struct Built {
    pub table: Table,
    pub errors: Vec<ParseError>,
    pub diagnostics: Vec<Diagnostic>,
}

pub(super) fn build<'i>(file: &'i FileName, source: Source<'i>, events: &[Event]) -> Built {
    let mut builder = Builder::new(file, source);
    for event in events {
        builder.take(event);
    }
    Built { table: builder.root.finish(file), errors: builder.errors, diagnostics: builder.diagnostics }
}

/// An array or inline table that is still open.
enum Frame {
    Array { start: usize, items: Vec<Node> },
    Inline { start: usize, table: Draft, target: Vec<Key> },
}

struct Builder<'i> {
    file: &'i FileName,
    source: Source<'i>,
    root: Draft,
    /// The table that keys go to; `None` below a header that was refused.
    current: Option<Vec<usize>>,
    /// Name of the current header, for messages.
    header: Vec<Key>,
    /// Start of a header being read, and whether it is `[[ ]]`.
    opening: Option<(usize, bool)>,
    /// The dotted name being read.
    name: Vec<Key>,
    /// The name before `=`, at the top level.
    target: Vec<Key>,
    frames: Vec<Frame>,
    errors: Vec<ParseError>,
    diagnostics: Vec<Diagnostic>,
}

impl<'i> Builder<'i> {
    fn new(file: &'i FileName, source: Source<'i>) -> Self {
        Self {
            file,
            source,
            root: Draft::new(Origin::Header, 0..0),
            current: Some(Vec::new()),
            header: Vec::new(),
            opening: None,
            name: Vec::new(),
            target: Vec::new(),
            frames: Vec::new(),
            errors: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    fn take(&mut self, event: &Event) {
        let place = event.span().start()..event.span().end();
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.frames.clear();
                self.name.clear();
                self.opening = Some((place.start, event.kind() == EventKind::ArrayTableOpen));
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => self.open(place.end),
            EventKind::SimpleKey => self.key(event),
            EventKind::KeyValSep => {
                let name = std::mem::take(&mut self.name);
                match self.frames.last_mut() {
                    None => self.target = name,
                    Some(Frame::Inline { target, .. }) => *target = name,
                    Some(Frame::Array { .. }) => {}
                }
            }
            EventKind::ArrayOpen => self.frames.push(Frame::Array { start: place.start, items: Vec::new() }),
            EventKind::InlineTableOpen => {
                let table = Draft::new(Origin::Header, place.clone());
                self.frames.push(Frame::Inline { start: place.start, table, target: Vec::new() });
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => self.close(place.end),
            EventKind::Scalar => {
                let node = self.scalar(event, place);
                self.put(node);
            }
            EventKind::Newline => self.end_of_line(place.start),
            EventKind::ValueSep => self.name.clear(),
            EventKind::KeySep | EventKind::Whitespace | EventKind::Comment | EventKind::Error => {}
        }
    }

    /// A header or key that a line left open ends with the line, so that the next line is read for itself.
    fn end_of_line(&mut self, end: usize) {
        if self.opening.is_some() {
            self.open(end);
        }
        if self.frames.is_empty() {
            self.name.clear();
            self.target.clear();
        }
    }

    fn key(&mut self, event: &Event) {
        let mut text = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut text, &mut self.errors);
        }
        let span = event.span().start()..event.span().end();
        self.name.push(Key { text: text.into_owned(), span });
    }

    fn open(&mut self, end: usize) {
        let Some((start, array)) = self.opening.take() else { return };
        let name = std::mem::take(&mut self.name);
        if name.is_empty() || self.too_deep(name.len(), &whole(&name)) {
            self.current = None;
            return;
        }
        self.current = match self.root.open(&name, start..end, array) {
            Ok(path) => Some(path),
            Err(conflict) => {
                self.refuse_header(&name, conflict);
                None
            }
        };
        self.header = name;
    }

    fn close(&mut self, end: usize) {
        match self.frames.pop() {
            None => {}
            Some(Frame::Array { start, items }) => {
                let node = plain(Value::Array(items), span(self.file, &(start..end)));
                self.put(node);
            }
            Some(Frame::Inline { start, mut table, .. }) => {
                table.header = start..end;
                let table = table.finish(self.file);
                let node = plain(Value::Table(table), span(self.file, &(start..end)));
                self.put(node);
            }
        }
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) {
        let (name, outcome) = match self.frames.last_mut() {
            Some(Frame::Array { items, .. }) => {
                items.push(node);
                return;
            }
            Some(Frame::Inline { target, .. }) => {
                let name = std::mem::take(target);
                if name.is_empty() || self.too_deep(name.len(), &whole(&name)) {
                    return;
                }
                // Borrowed anew: the depth check above needed the builder.
                let Some(Frame::Inline { table, .. }) = self.frames.last_mut() else { return };
                let outcome = table.set(&[], name.clone(), node);
                (name, outcome)
            }
            None => {
                let name = std::mem::take(&mut self.target);
                if name.is_empty() || self.too_deep(name.len(), &whole(&name)) {
                    return;
                }
                let Some(path) = &self.current else { return };
                let outcome = self.root.set(path, name.clone(), node);
                (name, outcome)
            }
        };
        if let Err(conflict) = outcome {
            self.refuse_key(&name, conflict);
        }
    }

    /// Is the tree too deep with `more` levels here? Reported once per place.
    fn too_deep(&mut self, more: usize, place: &Range<usize>) -> bool {
        let header = self.current.as_ref().map_or(0, |path| path.len() * 2);
        let open: usize = self.frames.iter().map(Frame::levels).sum();
        let deep = header + self.target.len() + open + more > MAX_LEVELS;
        if deep {
            let span = span(self.file, place);
            let message = format!("nested too deeply: more than {MAX_LEVELS} levels");
            self.diagnostics.push(Diagnostic::error("too-deep", span, message, "here"));
        }
        deep
    }

    fn scalar(&mut self, event: &Event, place: Range<usize>) -> Node {
        let Some(raw) = self.source.get(event) else {
            return plain(Value::Boolean(false), span(self.file, &place));
        };
        let mut text = Cow::Borrowed("");
        let mut errors = Vec::new();
        let kind = raw.decode_scalar(&mut text, &mut errors);
        if !errors.is_empty() && event.encoding().is_none() && syntax::is_word(raw.as_str()) {
            let alone = self.frames.is_empty();
            self.diagnostics.push(syntax::bare_word(self.file, self.source.input(), place.clone(), alone));
        } else {
            self.errors.extend(errors);
        }
        let single = matches!(event.encoding(), Some(Encoding::BasicString | Encoding::LiteralString));
        let inner = raw.as_str().get(1..raw.len().saturating_sub(1));
        let verbatim = single && inner == Some(text.as_ref());
        let value = match kind {
            ScalarKind::String => Value::String(text.into_owned()),
            ScalarKind::Boolean(value) => Value::Boolean(value),
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(number) => Value::Integer(number),
                Err(_) => self.bad_number(&place, Value::Integer(0)),
            },
            ScalarKind::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() || text.contains("inf") || text.contains("nan") => {
                    Value::Float(number)
                }
                _ => self.bad_number(&place, Value::Float(0.0)),
            },
            ScalarKind::DateTime => {
                if let Err(error) = text.parse::<toml::value::Datetime>() {
                    let place = span(self.file, &place);
                    self.diagnostics.push(Diagnostic::error("syntax", place, error.to_string(), "here"));
                }
                Value::Datetime(text.into_owned())
            }
        };
        Node { value, span: span(self.file, &place), verbatim, interpolated: false }
    }

    fn bad_number(&mut self, place: &Range<usize>, instead: Value) -> Value {
        // When the parser has already said what is wrong with the number, that is enough.
        let known = self.errors.iter().any(|error| {
            error.unexpected().is_some_and(|at| at.start() >= place.start && at.end() <= place.end)
        });
        let word = self.diagnostics.iter().any(|known| known.primary.span.start == place.start);
        if !known && !word {
            let place = span(self.file, place);
            let message = "the number is out of range";
            self.diagnostics.push(Diagnostic::error(
                "syntax",
                place,
                message,
                "64 bits with a sign hold less",
            ));
        }
        instead
    }

    fn refuse_header(&mut self, name: &[Key], conflict: Conflict) {
        let diagnostic = syntax::conflict(self.file, self.source.input(), &[], name, conflict, true);
        self.diagnostics.push(diagnostic);
    }

    fn refuse_key(&mut self, name: &[Key], conflict: Conflict) {
        // Within an inline table the names of the header say nothing about where we are.
        let header: &[Key] = if self.frames.is_empty() { &self.header } else { &[] };
        let diagnostic = syntax::conflict(self.file, self.source.input(), header, name, conflict, false);
        self.diagnostics.push(diagnostic);
    }
}

impl Frame {
    fn levels(&self) -> usize {
        match self {
            Self::Array { .. } => 1,
            Self::Inline { target, .. } => 1 + target.len(),
        }
    }
}
