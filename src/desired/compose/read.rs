//! YAML text to trees: anchors and merge keys expanded, comments where they belong, everything within bounds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use saphyr_parser::{Event, ScalarStyle, Span, Tag};

use super::comments::{self, Found};
use super::lenient::{self, Parsed};
use super::note::Note;
use super::scalar;
use super::tree::{Comment, Comments, Entry, Item, Node, Place, Value};

/// Longest file, in bytes. The largest real ones have about 100 000.
const LONGEST: usize = 4 << 20;
/// Deepest nesting, what aliases add included.
const DEEPEST: usize = 64;
/// Most values a file may expand to: aliases of aliases double with every line.
const MOST_NODES: usize = 200_000;
/// Most text a file may expand to, in bytes.
const MOST_TEXT: usize = 32 << 20;

/// Reads all documents of a file; empty ones are left out. What is odd but readable goes to `notes`.
///
/// # Errors
/// It is no YAML, or it is beyond the bounds.
pub(super) fn read(file: &str, text: &str, notes: &mut Vec<Note>) -> Result<Vec<Node>, Note> {
    let fail = |place, slug, message: &str| Err(Note::error(file, place, slug, message));
    if text.len() > LONGEST {
        return fail(Place { line: 1, column: 1 }, "too-large", "the file is larger than 4 MiB");
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let parsed = lenient::parse(file, text)?;
    let mut builder = Builder {
        file,
        next: starts(&parsed.events, parsed.chars.len()),
        comments: comments::find(&parsed.chars, &parsed.scalars()).into(),
        parsed,
        at: 0,
        anchors: HashMap::new(),
        used: HashSet::new(),
        fragment: false,
        nodes: 0,
        text: 0,
        notes,
    };
    builder.documents()
}

/// For each event, where the next thing after it begins, in characters.
fn starts(events: &[(Event<'_>, Span)], end: usize) -> Vec<usize> {
    let mut next = end;
    let mut starts: Vec<usize> = Vec::with_capacity(events.len());
    for (event, span) in events.iter().rev() {
        starts.push(next);
        let begins = matches!(
            event,
            Event::Scalar(..)
                | Event::Alias(_)
                | Event::MappingStart(..)
                | Event::SequenceStart(..)
                | Event::DocumentStart(true)
        );
        if begins {
            next = span.start.index();
        }
    }
    starts.reverse();
    starts
}

/// What an anchor stands for, and what a copy of it costs.
struct Anchored {
    /// With its comments when it stands in an `x-` fragment, which is left out: they go where it is used first.
    node: Rc<Node>,
    bare: Rc<Node>,
    nodes: usize,
    text: usize,
    depth: usize,
}

struct Builder<'a> {
    file: &'a str,
    parsed: Parsed,
    next: Vec<usize>,
    at: usize,
    comments: VecDeque<Found>,
    anchors: HashMap<usize, Anchored>,
    used: HashSet<usize>,
    /// What is read now stands below an `x-` key of the file.
    fragment: bool,
    nodes: usize,
    text: usize,
    notes: &'a mut Vec<Note>,
}

/// A node with what the parent needs to know of it.
struct Built {
    node: Node,
    /// Line it ends on.
    last_line: usize,
}

impl Builder<'_> {
    fn error(&self, place: Place, slug: &'static str, message: impl Into<String>) -> Note {
        Note::error(self.file, place, slug, message)
    }

    fn take(&mut self) -> Option<(Event<'static>, Span)> {
        let event = self.parsed.events.get_mut(self.at)?;
        self.at += 1;
        Some((std::mem::replace(&mut event.0, Event::Nothing), event.1))
    }

    fn documents(&mut self) -> Result<Vec<Node>, Note> {
        let mut documents: Vec<Node> = Vec::new();
        while let Some((event, span)) = self.parsed.events.get(self.at) {
            if matches!(
                event,
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd
            ) {
                self.at += 1;
                continue;
            }
            let mut above = Vec::new();
            self.comments_before(span.start.index(), &mut above);
            let mut node = self.node(0)?.node;
            let end = self.next.get(self.at.saturating_sub(1)).copied().unwrap_or(usize::MAX);
            self.comments_before(end, &mut node.below);
            match &mut node.value {
                Value::Map(entries) if !entries.is_empty() => {
                    if let Some(first) = entries.first_mut() {
                        first.comments.above.splice(0..0, above);
                    }
                }
                _ => node.below.splice(0..0, above).for_each(drop),
            }
            self.anchors.clear();
            self.fragment = false;
            forget_unused(&mut node, &self.used);
            match documents.last_mut() {
                Some(before) if node.is_null() => before.below.append(&mut node.below),
                _ if node.is_null() && node.below.is_empty() => {}
                _ => documents.push(node),
            }
        }
        let mut rest = Vec::new();
        self.comments_before(usize::MAX, &mut rest);
        match documents.last_mut() {
            Some(last) => last.below.append(&mut rest),
            None if !rest.is_empty() => documents.push(Node { below: rest, ..Node::default() }),
            None => {}
        }
        Ok(documents)
    }

    /// Takes all comments that begin before a character.
    fn comments_before(&mut self, end: usize, into: &mut Vec<Comment>) {
        while self.comments.front().is_some_and(|found| found.at < end) {
            into.extend(self.comments.pop_front().map(|found| found.comment));
        }
    }

    /// Takes the comment behind what ends on `line`.
    fn comment_behind(&mut self, line: usize, comments: &mut Comments) {
        let here = |found: &Found| !found.alone && found.place.line == line;
        if self.comments.front().is_some_and(here)
            && let Some(found) = self.comments.pop_front()
        {
            match comments.behind {
                None => comments.behind = Some(found.comment.text),
                Some(_) => comments.above.push(Comment { apart: false, ..found.comment }),
            }
        }
    }

    /// Takes the comments below the last entry of a list or map that are indented as its entries are.
    fn comments_below(&mut self, column: usize, into: &mut Vec<Comment>) {
        let end = self.next.get(self.at.saturating_sub(1)).copied().unwrap_or(usize::MAX);
        while let Some(found) = self.comments.front() {
            if found.at >= end || !found.alone || found.place.column < column {
                return;
            }
            into.extend(self.comments.pop_front().map(|found| found.comment));
        }
    }

    fn count(&mut self, nodes: usize, text: usize, place: Place) -> Result<(), Note> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(text);
        if self.nodes > MOST_NODES || self.text > MOST_TEXT {
            let message = format!(
                "with its aliases the file has more than {MOST_NODES} values, or {} MiB of text",
                MOST_TEXT >> 20
            );
            return Err(self.error(place, "too-large", message));
        }
        Ok(())
    }

    fn node(&mut self, depth: usize) -> Result<Built, Note> {
        let Some((event, span)) = self.take() else {
            return Err(self.error(Place::default(), "yaml-syntax", "the file ends too early"));
        };
        let place = self.parsed.place(&span);
        if depth > DEEPEST {
            return Err(self.error(place, "too-deep", format!("nested more than {DEEPEST} levels deep")));
        }
        let before = (self.nodes, self.text);
        self.count(1, 0, place)?;
        let last_line = span.end.line();
        let (mut built, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(0, text.len(), place)?;
                let value = self.scalar(&text, style, tag.as_deref(), place);
                let last_line = match style {
                    // It ends where the next line begins; what stands behind its header is met before its text.
                    ScalarStyle::Literal | ScalarStyle::Folded => place.line,
                    ScalarStyle::Plain => last_line,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => self.parsed.last_line(&span),
                };
                let mut node = Node::new(value, place);
                node.tag = local(tag.as_deref());
                (Built { node, last_line }, anchor)
            }
            Event::Alias(id) => return self.alias(id, depth, place, last_line),
            Event::SequenceStart(anchor, tag) => {
                let mut built = self.list(depth, place)?;
                built.node.tag = local(tag.as_deref());
                (built, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let mut built = self.map(depth, place)?;
                built.node.tag = local(tag.as_deref());
                (built, anchor)
            }
            _ => return Err(self.error(place, "yaml-syntax", "something else was expected here")),
        };
        built.node.anchor = anchor;
        if anchor != 0 {
            let mut bare = built.node.clone();
            bare.take_comments(&mut Vec::new());
            let bare = Rc::new(bare);
            let node = if self.fragment { Rc::new(built.node.clone()) } else { Rc::clone(&bare) };
            let (nodes, text) = (self.nodes - before.0, self.text - before.1);
            let depth = height(&bare);
            self.anchors.insert(anchor, Anchored { node, bare, nodes, text, depth });
        }
        Ok(built)
    }

    fn alias(&mut self, id: usize, depth: usize, place: Place, last_line: usize) -> Result<Built, Note> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(self.error(place, "yaml-alias", "an alias within what it stands for has no end"));
        };
        if depth + anchored.depth > DEEPEST {
            return Err(self.error(
                place,
                "too-deep",
                format!("nested more than {DEEPEST} levels deep with its aliases"),
            ));
        }
        let first = !self.used.contains(&id) && !self.fragment;
        let (nodes, text) = (anchored.nodes, anchored.text);
        let node = Rc::clone(if first { &anchored.node } else { &anchored.bare });
        self.count(nodes, text, place)?;
        self.used.insert(id);
        Ok(Built { node: Node::clone(&node), last_line })
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Value {
        let plain = style == ScalarStyle::Plain;
        let words = || Value::Text(text.to_owned());
        let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        let value = match core {
            None if plain => return scalar::resolve(text),
            None | Some("str" | "merge") => return words(),
            Some("null") => Some(Value::Null),
            Some("bool") => Some(scalar::resolve(text)).filter(|value| matches!(value, Value::Bool(_))),
            Some("int") => scalar::integer(text),
            Some("float") => scalar::float(text),
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            let message = format!("`!!{}` is ignored: the value is kept as text", core.unwrap_or_default());
            self.notes.push(Note::new(self.file, place, "unknown-tag", message));
            words()
        })
    }

    fn list(&mut self, depth: usize, place: Place) -> Result<Built, Note> {
        let (mut items, mut last_line) = (Vec::new(), place.line);
        let mut column = place.column;
        while let Some((event, span)) = self.parsed.events.get(self.at) {
            let span = *span;
            let (start, line) = (span.start.index(), span.start.line());
            if matches!(event, Event::SequenceEnd) {
                // `[` and `]` have a place of their own; a block's end is where the next thing begins.
                last_line = last_line.max(if span.is_empty() { 0 } else { line });
                self.at += 1;
                break;
            }
            let mut comments = Comments::default();
            self.comments_before(start, &mut comments.above);
            if items.is_empty() && line == place.line && column > 1 {
                // The dash stands before its first item.
                column = column.min(span.start.col() + 1);
            }
            let built = self.node(depth + 1)?;
            self.comment_behind(built.last_line, &mut comments);
            last_line = built.last_line;
            items.push(Item { node: built.node, comments });
        }
        let mut node = Node::new(Value::List(items), place);
        self.comments_below(column, &mut node.below);
        Ok(Built { node, last_line })
    }

    fn map(&mut self, depth: usize, place: Place) -> Result<Built, Note> {
        let mut fields = Fields::default();
        let (mut last_line, mut column) = (place.line, None);
        while let Some((event, span)) = self.parsed.events.get(self.at) {
            let (start, line) = (span.start.index(), span.start.line());
            if matches!(event, Event::MappingEnd) {
                last_line = last_line.max(if span.is_empty() { 0 } else { line });
                self.at += 1;
                break;
            }
            let merges = matches!(event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let mut comments = Comments::default();
            self.comments_before(start, &mut comments.above);
            let key = self.node(depth + 1)?;
            column.get_or_insert(key.node.place.column);
            self.comment_behind(key.last_line, &mut comments);
            if depth == 0 {
                self.fragment = key.node.as_text().is_some_and(|key| key.starts_with("x-"));
            }
            let value = self.node(depth + 1)?;
            self.comment_behind(value.last_line, &mut comments);
            last_line = value.last_line;
            let at = key.node.place;
            if merges {
                self.merge(&mut fields, value.node, comments, at);
            } else if let Some(name) = self.key_text(&key.node) {
                let entry = Entry { key: name, place: at, node: value.node, comments, dotted: false };
                self.add(&mut fields, entry);
            }
        }
        let mut node = Node::new(Value::Map(fields.entries), place);
        if let Some(column) = column {
            self.comments_below(column, &mut node.below);
        }
        Ok(Built { node, last_line })
    }

    fn key_text(&mut self, key: &Node) -> Option<String> {
        let text = match &key.value {
            Value::Null => Some("null".to_owned()),
            value => scalar::text_of(value),
        };
        if text.is_none() {
            let message = "a list or map as a key means nothing to Compose: left out";
            self.notes.push(Note::new(self.file, key.place, "complex-key", message));
        }
        text
    }

    /// An own key: wins over a merged one, wherever that stands.
    fn add(&mut self, fields: &mut Fields, mut entry: Entry) {
        let known = fields.names.get(&entry.key).copied();
        fields.names.insert(entry.key.clone(), (known.map_or(fields.entries.len(), |(at, _)| at), false));
        let Some((at, merged)) = known else {
            fields.entries.push(entry);
            return;
        };
        let Some(known) = fields.entries.get_mut(at) else { return };
        if !merged {
            let line = known.place.line;
            let message =
                format!("`{}` is given twice: this one is taken, the one in line {line} left out", entry.key);
            self.notes.push(Note::new(self.file, entry.place, "duplicate-key", message));
        }
        let mut above = Vec::new();
        known.comments.take(&mut above);
        entry.comments.above.splice(0..0, above);
        *known = entry;
    }

    /// `<<: *base` or `<<: [*one, *two]`: what is not there yet.
    fn merge(&mut self, fields: &mut Fields, value: Node, mut comments: Comments, at: Place) {
        let sources: Vec<Node> = match value.value {
            Value::List(items) => items.into_iter().map(|item| item.node).collect(),
            _ => vec![value],
        };
        let mut above = Vec::new();
        comments.take(&mut above);
        for source in sources {
            let Value::Map(more) = source.value else {
                if !source.is_null() {
                    self.notes.push(Note::new(self.file, at, "bad-merge", "`<<` takes maps only: left out"));
                }
                continue;
            };
            for mut entry in more {
                if fields.names.contains_key(&entry.key) {
                    continue;
                }
                entry.comments.above.append(&mut above);
                fields.names.insert(entry.key.clone(), (fields.entries.len(), true));
                fields.entries.push(entry);
            }
        }
        if let Some(last) = fields.entries.last_mut() {
            last.comments.above.append(&mut above);
        }
    }
}

/// The entries of a map, and for each name where it is and whether it came by a merge.
#[derive(Default)]
struct Fields {
    entries: Vec<Entry>,
    names: HashMap<String, (usize, bool)>,
}

/// Forgets anchors that nothing uses.
fn forget_unused(node: &mut Node, used: &HashSet<usize>) {
    if !used.contains(&node.anchor) {
        node.anchor = 0;
    }
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().for_each(|entry| forget_unused(&mut entry.node, used)),
        Value::List(items) => items.iter_mut().for_each(|item| forget_unused(&mut item.node, used)),
        _ => {}
    }
}

fn height(node: &Node) -> usize {
    let entries = node.entries().iter().map(|entry| height(&entry.node));
    1 + entries.chain(node.items().iter().map(|item| height(&item.node))).max().unwrap_or(0)
}

/// A tag that is not YAML's own.
fn local(tag: Option<&Tag>) -> Option<String> {
    let tag = tag.filter(|tag| !tag.is_yaml_core_schema())?;
    Some(format!("{}{}", tag.handle, tag.suffix))
}
