//! From the tree of a compose file to the tree of a state file: the same keys in the same order, without what TOML has no words for.

use std::collections::HashSet;

use super::note::Note;
use super::scalar;
use super::shape::{self, Shape};
use super::tree::{Comment, Entry, Item, Node, Place, Value};
use crate::desired::suggest::nearest;

/// A document on its way.
pub(super) struct Document<'a> {
    file: &'a str,
    /// It is laid over other files: `!reset` and `!override` mean something.
    refines: bool,
    /// What `!reset` and `!override` clear.
    reset: Vec<String>,
    profiles: Option<Place>,
    notes: &'a mut Vec<Note>,
}

/// An entry that is left out leaves its comments to the next one.
type Kept = Result<Entry, Vec<Comment>>;

/// Longest name that is taken apart at its dots, in parts.
const MOST_PARTS: usize = 24;

impl<'a> Document<'a> {
    pub fn new(file: &'a str, refines: bool, notes: &'a mut Vec<Note>) -> Self {
        Self { file, refines, reset: Vec::new(), profiles: None, notes }
    }

    /// Converts a whole document.
    pub fn convert(mut self, root: Node) -> Node {
        let mut root = self.shaped(root, &shape::FILE, "");
        if let Some(place) = self.profiles {
            let message = "`profiles` are switched on per host, with `profiles` below [hosts.<name>] in fleet.toml; there is no command line for them";
            self.note(place, "profiles", message);
        }
        if self.refines {
            let place = root.place;
            if !self.reset.is_empty() {
                let items = self.reset.iter().map(|path| Node::text(path.as_str(), place));
                let items = items.map(|node| Item { node, ..Item::default() }).collect();
                set_first(&mut root, "reset", Value::List(items));
            }
            set_first(&mut root, "override", Value::Bool(true));
        }
        root
    }

    fn note(&mut self, place: Place, slug: &'static str, message: impl Into<String>) {
        self.notes.push(Note::new(self.file, place, slug, message));
    }

    fn shaped(&mut self, node: Node, shape: &Shape, path: &str) -> Node {
        match shape {
            Shape::Any => self.generic(node, path),
            Shape::Text => text(node, path),
            Shape::Number => number(node),
            Shape::Bool => boolean(node),
            Shape::Texts { dotted } => self.texts(node, *dotted, path),
            Shape::Passed => self.passed(node, path),
            Shape::Named(inner) => self.named(node, inner, path),
            Shape::List(inner) => match node.value {
                Value::List(_) => self.items(node, path, |this, item| this.shaped(item, inner, path)),
                _ => self.shaped(node, inner, path),
            },
            Shape::Short(inner) => match node.value {
                Value::Map(_) => self.shaped(node, inner, path),
                _ => self.generic(text(node, path), path),
            },
            Shape::Table(keys) => match node.value {
                Value::Map(_) => self.entries(node, |this, entry| this.key(entry, keys, path)),
                _ => self.generic(node, path),
            },
        }
    }

    /// Goes through the entries of a map.
    fn entries(&mut self, mut node: Node, mut each: impl FnMut(&mut Self, Entry) -> Kept) -> Node {
        let Value::Map(entries) = std::mem::take(&mut node.value) else { return node };
        let (mut kept, mut left): (Vec<Entry>, Vec<Comment>) =
            (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            match each(self, entry) {
                Ok(mut entry) => {
                    left.append(&mut entry.comments.above);
                    entry.comments.above = std::mem::take(&mut left);
                    kept.push(entry);
                }
                Err(mut comments) => left.append(&mut comments),
            }
        }
        node.below.splice(0..0, left);
        node.value = Value::Map(kept);
        node
    }

    /// Goes through the items of a list. An item without value says nothing.
    fn items(&mut self, mut node: Node, path: &str, mut each: impl FnMut(&mut Self, Node) -> Node) -> Node {
        let Value::List(items) = std::mem::take(&mut node.value) else { return node };
        let (mut kept, mut left): (Vec<Item>, Vec<Comment>) = (Vec::with_capacity(items.len()), Vec::new());
        for mut item in items {
            if item.node.is_null() {
                self.note(
                    item.node.place,
                    "empty",
                    format!("an item of {path} has no value and is left out"),
                );
                item.comments.take(&mut left);
                continue;
            }
            self.tag(&item.node, path, false);
            left.append(&mut item.comments.above);
            item.comments.above = std::mem::take(&mut left);
            item.node = each(self, item.node);
            kept.push(item);
        }
        node.below.splice(0..0, left);
        node.value = Value::List(kept);
        node
    }

    /// A key of a table whose keys are known.
    fn key(&mut self, mut entry: Entry, keys: &[(&str, Shape)], path: &str) -> Kept {
        let here = below(path, &entry.key);
        if entry.key.starts_with("x-") {
            // A fragment has gone where it is used; anything else is somebody's, and nobody here minds it.
            if path.is_empty() && entry.node.is_used() {
                let mut comments = Vec::new();
                entry.comments.take(&mut comments);
                entry.node.take_own_comments(&mut comments);
                return Err(comments);
            }
            entry.node = self.generic(entry.node, &here);
            return if entry.node.is_null() { Err(outer_comments(entry)) } else { Ok(entry) };
        }
        if path.is_empty() && entry.key == "version" {
            return Err(outer_comments(entry));
        }
        let Some((_, shape)) = keys.iter().find(|(key, _)| *key == entry.key) else {
            let near = nearest(&entry.key, keys.iter().map(|(key, _)| *key));
            let meant = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let message = format!(
                "`{here}` is not a key of the Compose Specification: kept as `x-{}`, without effect{meant}",
                entry.key
            );
            self.note(entry.place, "unknown-key", message);
            entry.key = format!("x-{}", entry.key);
            entry.node = self.generic(entry.node, &here);
            return if entry.node.is_null() { Err(outer_comments(entry)) } else { Ok(entry) };
        };
        if self.tag(&entry.node, &here, true) {
            return Err(outer_comments(entry));
        }
        if entry.node.is_null() {
            self.note(entry.place, "empty", format!("`{here}` has no value and is left out"));
            return Err(outer_comments(entry));
        }
        self.differences(&entry, &here);
        entry.node = self.shaped(entry.node, shape, &here);
        Ok(entry)
    }

    /// What means something else from now on.
    fn differences(&mut self, entry: &Entry, here: &str) {
        match entry.key.as_str() {
            "profiles" => {
                self.profiles.get_or_insert(entry.place);
            }
            "update_config" if entry.node.get("failure_action").is_none() => {
                let message = format!(
                    "an update that fails is rolled back; Compose would pause it: `{here}.failure_action = \"pause\"`"
                );
                self.note(entry.place, "failure-action", message);
            }
            _ => {}
        }
    }

    /// Whether the tag says that the value is to be left out.
    fn tag(&mut self, node: &Node, here: &str, keyed: bool) -> bool {
        match node.tag.as_deref() {
            Some(tag @ ("!reset" | "!override")) if keyed => {
                if self.refines {
                    self.reset.push(here.to_owned());
                } else if tag == "!reset" {
                    self.note(
                        node.place,
                        "reset",
                        format!("`{here}` is reset in a file that is laid over no other: left out"),
                    );
                }
                tag == "!reset"
            }
            Some(tag) => {
                let tag: String = tag.chars().filter(|c| !c.is_control()).take(40).collect();
                self.note(node.place, "unknown-tag", format!("the tag `{tag}` of {here} is left out"));
                false
            }
            None => false,
        }
    }

    fn generic(&mut self, node: Node, path: &str) -> Node {
        match node.value {
            Value::Map(_) => self.entries(node, |this, mut entry| {
                let here = below(path, &entry.key);
                if this.tag(&entry.node, &here, true) || entry.node.is_null() {
                    if entry.node.is_null() && !here.split('.').any(|key| key.starts_with("x-")) {
                        this.note(entry.place, "empty", format!("`{here}` has no value and is left out"));
                    }
                    return Err(outer_comments(entry));
                }
                entry.node = this.generic(entry.node, &here);
                Ok(entry)
            }),
            Value::List(_) => self.items(node, path, |this, item| this.generic(item, path)),
            _ => node,
        }
    }

    /// Things by their names: one that says nothing is there all the same.
    fn named(&mut self, node: Node, inner: &Shape, path: &str) -> Node {
        match node.value {
            Value::Map(_) => {}
            Value::List(_) => return self.items(node, path, |_, item| text(item, path)),
            _ => return self.shaped(node, inner, path),
        }
        self.entries(node, |this, mut entry| {
            let here = below(path, &entry.key);
            if path.is_empty() && entry.key.starts_with("x-") {
                return Err(outer_comments(entry));
            }
            if this.tag(&entry.node, &here, true) {
                return Err(outer_comments(entry));
            }
            if entry.node.is_null() {
                entry.node.value = if matches!(inner, Shape::Text) {
                    Value::Text(String::new())
                } else {
                    Value::Map(Vec::new())
                };
            }
            legacy_external(&mut entry.node);
            entry.node = this.shaped(entry.node, inner, &here);
            shorten_condition(&mut entry.node);
            Ok(entry)
        })
    }

    /// Names and texts, where no value is empty text.
    fn texts(&mut self, node: Node, dotted: bool, path: &str) -> Node {
        let mut node = match node.value {
            Value::Map(_) => self.entries(node, |this, mut entry| {
                let here = below(path, &entry.key);
                if this.tag(&entry.node, &here, true) {
                    return Err(outer_comments(entry));
                }
                entry.node = match entry.node.value {
                    Value::Null => Node { value: Value::Text(String::new()), ..entry.node },
                    Value::Float(_) => text(entry.node, ""),
                    _ => this.generic(entry.node, &here),
                };
                Ok(entry)
            }),
            Value::List(_) => self.items(node, path, |this, item| this.generic(text(item, path), path)),
            _ => return text(node, path),
        };
        if dotted {
            take_apart(&mut node);
        }
        node
    }

    /// Names and texts, where a name without value takes it from outside: only the list form can say so.
    fn passed(&mut self, node: Node, path: &str) -> Node {
        if !node.entries().iter().any(|entry| entry.node.is_null() && entry.node.tag.is_none()) {
            return self.texts(node, false, path);
        }
        let mut passed: HashSet<String> = HashSet::new();
        for entry in node.entries().iter().filter(|entry| entry.node.is_null()) {
            passed.insert(entry.key.clone());
        }
        let mut node = self.texts(node, false, path);
        let Value::Map(entries) = std::mem::take(&mut node.value) else { return node };
        let lines = entries.into_iter().map(|entry| {
            let line = match scalar::text_of(&entry.node.value) {
                Some(value) if !passed.contains(&entry.key) => format!("{}={value}", entry.key),
                _ => entry.key,
            };
            Item { node: Node::text(line, entry.node.place), comments: entry.comments }
        });
        node.value = Value::List(lines.collect());
        node
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn outer_comments(mut entry: Entry) -> Vec<Comment> {
    let mut comments = Vec::new();
    entry.comments.take(&mut comments);
    // Of a list where all is commented out, the comments are all that is left to keep.
    entry.node.take_comments(&mut comments);
    comments
}

/// Puts a key before all others, below the comments that speak of the file.
pub(super) fn set_first(root: &mut Node, key: &str, value: Value) {
    let place = root.place;
    if !matches!(root.value, Value::Map(_)) {
        root.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut root.value else { return };
    entries.retain(|entry| entry.key != key);
    let mut first = Entry { key: key.to_owned(), place, node: Node::new(value, place), ..Entry::default() };
    if let Some(known) = entries.first_mut()
        && let Some(last) = known.comments.above.iter().rposition(|comment| comment.apart)
    {
        first.comments.above = known.comments.above.drain(..=last).collect();
    }
    entries.insert(0, first);
}

fn text(mut node: Node, path: &str) -> Node {
    let key = path.rsplit('.').next().unwrap_or_default();
    node.value = match node.value {
        Value::Bool(false) if key == "restart" => Value::Text("no".to_owned()),
        value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            scalar::text_of(&value).map_or(Value::Null, Value::Text)
        }
        value => value,
    };
    node
}

/// Whole numbers beyond this are not the same as a float.
const WHOLE: f64 = 9_007_199_254_740_992.0;

fn number(mut node: Node) -> Node {
    if let Value::Text(text) = &node.value
        && let Some(number) = scalar::integer(text.trim()).or_else(|| scalar::float(text.trim()))
        && !text.trim().starts_with('0')
    {
        node.value = number;
    } else if let Value::Text(text) = &node.value
        && let Some(number) = scalar::float(text.trim()).filter(|_| text.contains('.') || text.trim() == "0")
    {
        node.value = number;
    }
    if let Value::Float(float) = node.value
        && float.fract() == 0.0
        && float.abs() < WHOLE
    {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within bounds")]
        let whole = float as i64;
        node.value = Value::Int(whole);
    }
    node
}

fn boolean(mut node: Node) -> Node {
    if let Value::Text(text) = &node.value {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" => node.value = Value::Bool(true),
            "false" | "no" | "off" | "0" | "n" => node.value = Value::Bool(false),
            _ => {}
        }
    }
    node
}

/// `external: { name: x }`, as Compose wrote it once.
fn legacy_external(node: &mut Node) {
    let Value::Map(entries) = &mut node.value else { return };
    let Some(at) = entries.iter().position(|entry| entry.key == "external") else { return };
    let named = entries.iter().any(|entry| entry.key == "name");
    let Some(external) = entries.get_mut(at) else { return };
    let Value::Map(inner) = &mut external.node.value else { return };
    let name = inner.iter().position(|entry| entry.key == "name").map(|at| inner.swap_remove(at));
    if !inner.is_empty() {
        return;
    }
    external.node.value = Value::Bool(true);
    if let Some(name) = name.filter(|_| !named) {
        entries.insert(at + 1, name);
    }
}

/// `{ condition = "service_healthy" }` is `"service_healthy"`.
fn shorten_condition(node: &mut Node) {
    let short = match node.entries() {
        [only] if only.key == "condition" && !node.has_comments() => only.node.as_text().map(str::to_owned),
        _ => None,
    };
    if let Some(condition) = short {
        node.value = Value::Text(condition);
    }
}

/// Lets names be taken apart at their dots, unless one of them is the beginning of another.
fn take_apart(node: &mut Node) {
    let Value::Map(entries) = &mut node.value else { return };
    let parts = |key: &str| key.split('.').count() <= MOST_PARTS && key.split('.').all(super::write::is_bare);
    let names: HashSet<String> =
        entries.iter().map(|entry| entry.key.clone()).filter(|key| parts(key)).collect();
    let mut clashing: HashSet<&str> = HashSet::new();
    for name in &names {
        for (at, _) in name.match_indices('.') {
            if let Some(shorter) = name.get(..at).and_then(|shorter| names.get(shorter)) {
                clashing.extend([shorter.as_str(), name.as_str()]);
            }
        }
    }
    for entry in entries {
        let plain = !matches!(entry.node.value, Value::Map(_) | Value::List(_));
        entry.dotted = plain && names.contains(&entry.key) && !clashing.contains(entry.key.as_str());
    }
}
