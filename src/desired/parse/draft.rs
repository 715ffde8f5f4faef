//! A table while it is read: TOML's rules for what may be opened, continued or set again.

use std::collections::HashMap;
use std::ops::Range;

use crate::desired::FileName;
use crate::desired::diagnostic::Span;
use crate::desired::node::{Entry, Node, Table, Value};

/// From how many keys on a table is looked up by hash: ten thousand services in a file must not take quadratic time.
const INDEX_FROM: usize = 16;

/// One part of a dotted name.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub text: String,
    pub span: Range<usize>,
}

/// How a table came to be, which decides who may add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Named on the way to another header: its own header may still come.
    Implied,
    /// `[a.b]`.
    Header,
    /// `a.b = 1` made `a`.
    Dotted,
}

#[derive(Debug)]
pub(super) enum Held {
    Leaf(Node),
    Table(Draft),
    /// `[[a]]`, with the first header's place.
    Tables(Vec<Draft>),
}

#[derive(Debug)]
pub(super) struct DraftEntry {
    pub key: Key,
    /// The whole dotted name that defined this, as written.
    pub path: Range<usize>,
    pub value: Held,
}

#[derive(Debug)]
pub(super) struct Draft {
    pub entries: Vec<DraftEntry>,
    pub header: Range<usize>,
    pub origin: Origin,
    index: HashMap<String, usize>,
}

/// Why a name cannot be used here: what stands there already, and where.
#[derive(Debug)]
pub(super) enum Conflict {
    /// The same key, table or header again.
    Twice { first: Range<usize> },
    /// A name goes on below a value; `at` counts the parts of the name up to that value.
    BelowValue { first: Range<usize>, at: usize },
}

impl Draft {
    pub fn new(origin: Origin, header: Range<usize>) -> Self {
        Self { entries: Vec::new(), header, origin, index: HashMap::new() }
    }

    pub fn position(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            return self.entries.iter().position(|entry| entry.key.text == key);
        }
        self.index.get(key).copied()
    }

    pub fn push(&mut self, entry: DraftEntry) -> usize {
        let at = self.entries.len();
        if !self.index.is_empty() {
            self.index.insert(entry.key.text.clone(), at);
        }
        self.entries.push(entry);
        if self.index.is_empty() && self.entries.len() >= INDEX_FROM {
            let texts = self.entries.iter().map(|entry| entry.key.text.clone());
            self.index = texts.enumerate().map(|(at, text)| (text, at)).collect();
        }
        at
    }

    /// The table at the end of a path of entry numbers.
    pub fn at(&mut self, path: &[usize]) -> Option<&mut Draft> {
        path.iter().try_fold(self, |table, &number| match &mut table.entries.get_mut(number)?.value {
            Held::Table(inner) => Some(inner),
            Held::Tables(list) => list.last_mut(),
            Held::Leaf(_) => None,
        })
    }

    /// Walks `keys` down from the table at `path`, making what is missing, and extends `path` accordingly.
    pub fn descend(&mut self, path: &mut Vec<usize>, keys: &[Key], origin: Origin) -> Result<(), Conflict> {
        let first_start = keys.first().map_or(0, |key| key.span.start);
        for (depth, key) in keys.iter().enumerate() {
            let Some(table) = self.at(path) else { return Ok(()) };
            let number = match table.position(&key.text) {
                None => table.push(DraftEntry {
                    key: key.clone(),
                    path: first_start..key.span.end,
                    value: Held::Table(Draft::new(origin, key.span.clone())),
                }),
                Some(number) => {
                    if let Some(entry) = table.entries.get_mut(number) {
                        entry.continued(origin, depth)?;
                    }
                    number
                }
            };
            path.push(number);
        }
        Ok(())
    }

    /// Sets `keys` to a value below the table at `path`.
    pub fn set(&mut self, path: &[usize], keys: Vec<Key>, node: Node) -> Result<(), Conflict> {
        let mut path = path.to_vec();
        let span = whole(&keys);
        let mut keys = keys;
        let Some(last) = keys.pop() else { return Ok(()) };
        self.descend(&mut path, &keys, Origin::Dotted)?;
        let Some(table) = self.at(&path) else { return Ok(()) };
        if let Some(entry) = table.position(&last.text).and_then(|number| table.entries.get(number)) {
            return Err(Conflict::Twice { first: entry.path.clone() });
        }
        table.push(DraftEntry { key: last, path: span, value: Held::Leaf(node) });
        Ok(())
    }

    /// Opens `[keys]` or `[[keys]]` and returns the path to the new current table.
    pub fn open(&mut self, keys: &[Key], header: Range<usize>, array: bool) -> Result<Vec<usize>, Conflict> {
        let mut path = Vec::new();
        let Some((last, parents)) = keys.split_last() else { return Ok(path) };
        self.descend(&mut path, parents, Origin::Implied)?;
        let Some(parent) = self.at(&path) else { return Ok(path) };
        let fresh = Draft::new(Origin::Header, header);
        let number = match parent.position(&last.text) {
            None => parent.push(DraftEntry {
                key: last.clone(),
                path: whole(keys),
                value: if array { Held::Tables(vec![fresh]) } else { Held::Table(fresh) },
            }),
            Some(number) => {
                if let Some(entry) = parent.entries.get_mut(number) {
                    entry.reopened(fresh, array)?;
                }
                number
            }
        };
        path.push(number);
        Ok(path)
    }

    pub fn finish(self, file: &FileName) -> Table {
        let entries = self.entries.into_iter().map(|entry| entry.finish(file)).collect();
        Table { entries, header: span(file, &self.header) }
    }
}

impl DraftEntry {
    /// May a longer name go through this entry?
    fn continued(&mut self, origin: Origin, depth: usize) -> Result<(), Conflict> {
        let first = self.path.clone();
        match &mut self.value {
            Held::Leaf(_) => Err(Conflict::BelowValue { first, at: depth + 1 }),
            Held::Tables(_) if origin == Origin::Dotted => Err(Conflict::Twice { first }),
            Held::Tables(_) => Ok(()),
            Held::Table(table) => match (origin, table.origin) {
                (Origin::Dotted, Origin::Header) => Err(Conflict::Twice { first: table.header.clone() }),
                (Origin::Dotted, _) => {
                    table.origin = Origin::Dotted;
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    /// May a header name this entry, which is already there?
    fn reopened(&mut self, fresh: Draft, array: bool) -> Result<(), Conflict> {
        match &mut self.value {
            Held::Tables(list) if array => {
                list.push(fresh);
                Ok(())
            }
            Held::Table(table) if !array && table.origin == Origin::Implied => {
                table.origin = Origin::Header;
                table.header = fresh.header;
                Ok(())
            }
            Held::Table(table) => Err(Conflict::Twice { first: table.header.clone() }),
            Held::Leaf(_) | Held::Tables(_) => Err(Conflict::Twice { first: self.path.clone() }),
        }
    }

    fn finish(self, file: &FileName) -> Entry {
        let value = match self.value {
            Held::Leaf(node) => node,
            Held::Table(table) => table_node(table, file),
            Held::Tables(list) => {
                let place = list.first().map_or(self.path, |first| first.header.clone());
                let items = list.into_iter().map(|table| table_node(table, file)).collect();
                plain(Value::Array(items), span(file, &place))
            }
        };
        Entry { key: self.key.text, key_span: span(file, &self.key.span), value }
    }
}

fn table_node(table: Draft, file: &FileName) -> Node {
    let table = table.finish(file);
    let place = table.header.clone();
    plain(Value::Table(table), place)
}

pub(super) fn plain(value: Value, span: Span) -> Node {
    Node { value, span, verbatim: false, interpolated: false }
}

pub(super) fn span(file: &FileName, range: &Range<usize>) -> Span {
    Span { file: file.clone(), start: range.start, end: range.end }
}

/// From the first part of a dotted name to the end of its last.
pub(super) fn whole(keys: &[Key]) -> Range<usize> {
    match (keys.first(), keys.last()) {
        (Some(first), Some(last)) => first.span.start..last.span.end,
        _ => 0..0,
    }
}
