//! What a YAML document says, with the comments and the place of everything in it.

/// Line and column, 1-based, in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A comment, from its `#` to the end of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub text: String,
    /// An empty line stood below it: it does not speak of what follows.
    pub apart: bool,
}

/// The comments of a key or an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comments {
    pub above: Vec<Comment>,
    pub behind: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    pub value: Value,
    pub place: Place,
    /// `!reset`, `!override`, and what nobody knows.
    pub tag: Option<String>,
    /// Number of its anchor when that is used somewhere, else 0: what it says is then a part of something else, too.
    pub anchor: usize,
    /// Comments at the end of a list or map, below its last entry.
    pub below: Vec<Comment>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    pub node: Node,
    pub comments: Comments,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
    pub comments: Comments,
    /// TOML may take its dots apart: `traefik.enable = true`.
    pub dotted: bool,
}

impl Node {
    pub fn new(value: Value, place: Place) -> Self {
        Self { value, place, ..Self::default() }
    }

    pub fn text(text: impl Into<String>, place: Place) -> Self {
        Self::new(Value::Text(text.into()), place)
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Item] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Is anything in it used through an anchor?
    pub fn is_used(&self) -> bool {
        self.anchor != 0
            || self.entries().iter().any(|entry| entry.node.is_used())
            || self.items().iter().any(|item| item.node.is_used())
    }

    /// Are there comments in it, at any depth?
    pub fn has_comments(&self) -> bool {
        !self.below.is_empty()
            || self.entries().iter().any(|entry| entry.comments.any() || entry.node.has_comments())
            || self.items().iter().any(|item| item.comments.any() || item.node.has_comments())
    }

    /// The comments in it but for those of what is used elsewhere, where they have gone, too.
    pub fn take_own_comments(&mut self, into: &mut Vec<Comment>) {
        if self.anchor == 0 {
            self.take_with(into, &mut |node, into| node.take_own_comments(into));
        }
    }

    /// All comments in it, in order, taken out.
    pub fn take_comments(&mut self, into: &mut Vec<Comment>) {
        self.take_with(into, &mut |node, into| node.take_comments(into));
    }

    fn take_with(&mut self, into: &mut Vec<Comment>, inner: &mut dyn FnMut(&mut Node, &mut Vec<Comment>)) {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.comments.take(into);
                inner(&mut entry.node, into);
            }),
            Value::List(items) => items.iter_mut().for_each(|item| {
                item.comments.take(into);
                inner(&mut item.node, into);
            }),
            _ => {}
        }
        into.append(&mut self.below);
    }
}

impl Comments {
    pub fn any(&self) -> bool {
        !self.above.is_empty() || self.behind.is_some()
    }

    /// Moves all of them away, those behind last.
    pub fn take(&mut self, into: &mut Vec<Comment>) {
        into.append(&mut self.above);
        into.extend(self.behind.take().map(|text| Comment { text, apart: false }));
    }
}
