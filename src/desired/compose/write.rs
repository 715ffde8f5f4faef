//! A tree as TOML: scalars, lists and small maps in the lines of their table, larger maps as tables of their own.

use std::fmt::Write as _;

use super::scalar;
use super::tree::{Comment, Comments, Entry, Item, Node, Value};

/// Longest line that an inline table or a list on one line may make, in characters.
const WIDTH: usize = 100;
/// Most entries of an inline table, unless it is an item of a list.
const SMALL: usize = 5;

/// The whole text.
pub(super) fn toml(root: &Node) -> String {
    let mut writer = Writer::default();
    writer.body(&mut Vec::new(), root);
    let pending = std::mem::take(&mut writer.pending);
    writer.comments(&pending);
    writer.out
}

/// May stand in TOML without quotes.
pub(super) fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Comments above a table that gets no header of its own.
    pending: Vec<Comment>,
}

/// How an entry is written.
enum Form {
    /// In the lines of its table: the text behind `=`, and what its name is led by (`deploy.` for `replicas`).
    Line(String),
    Table,
    Tables,
}

impl Writer {
    /// The entries of a table, below its header.
    fn body(&mut self, path: &mut Vec<String>, node: &Node) {
        let mut tables = Vec::new();
        for entry in node.entries() {
            match form(entry, path) {
                Form::Line(line) => {
                    self.comments(&entry.comments.above);
                    self.line(&line, &entry.comments, &entry.node);
                }
                other => tables.push((entry, other)),
            }
        }
        for (entry, form) in &tables {
            path.push(entry.key.clone());
            match form {
                Form::Tables => self.tables(path, entry),
                _ => self.table(path, &entry.node, &entry.comments, false),
            }
            path.pop();
        }
        if !node.below.is_empty() {
            if !tables.is_empty() {
                self.blank();
            }
            self.comments(&node.below);
        }
    }

    fn line(&mut self, line: &str, comments: &Comments, node: &Node) {
        let behind = comments.behind.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
        // In a list of several lines it stands behind the bracket, so that it stays with the name.
        let (first, rest) = match (line.split_once('\n'), &node.value) {
            (Some((first, rest)), Value::List(_)) => (first, Some(rest)),
            _ => (line, None),
        };
        self.out.push_str(first);
        self.out.push_str(&behind);
        if let Some(rest) = rest {
            self.out.push('\n');
            self.out.push_str(rest);
        }
        self.out.push('\n');
    }

    /// `[path]` and what belongs below. `item`: of a list, `[[path]]`.
    fn table(&mut self, path: &mut Vec<String>, node: &Node, comments: &Comments, item: bool) {
        let mut above = std::mem::take(&mut self.pending);
        above.extend(comments.above.iter().cloned());
        let lines = node.entries().iter().any(|entry| matches!(form(entry, path), Form::Line(_)));
        if !item && !lines && !node.entries().is_empty() {
            // The headers below say it all.
            above.extend(comments.behind.iter().map(|text| Comment { text: text.clone(), apart: false }));
            self.pending = above;
        } else {
            self.blank();
            self.comments(&above);
            let name: Vec<String> = path.iter().map(|part| key(part)).collect();
            let (open, close) = if item { ("[[", "]]") } else { ("[", "]") };
            let _infallible = write!(self.out, "{open}{}{close}", name.join("."));
            if let Some(text) = &comments.behind {
                let _infallible = write!(self.out, " {text}");
            }
            self.out.push('\n');
        }
        self.body(path, node);
    }

    fn tables(&mut self, path: &mut Vec<String>, entry: &Entry) {
        let mut whole = Comments::default();
        let mut outer = entry.comments.clone();
        outer.take(&mut whole.above);
        self.pending.append(&mut whole.above);
        for item in entry.node.items() {
            self.table(path, &item.node, &item.comments, true);
        }
        self.comments(&entry.node.below);
    }

    fn comments(&mut self, comments: &[Comment]) {
        for comment in comments {
            self.out.push_str(&comment.text);
            self.out.push('\n');
            if comment.apart {
                self.blank();
            }
        }
    }

    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

fn form(entry: &Entry, path: &[String]) -> Form {
    let node = &entry.node;
    let name = name(entry);
    match &node.value {
        Value::Map(entries) => {
            let own = path.is_empty() || matches!(path, [only] if only == "services");
            if own || node.has_comments() {
                return Form::Table;
            }
            let (name, inner) = if entry.key == "deploy" { chain(name, node) } else { (name, node) };
            let few = entries.len() <= SMALL && inner.entries().len() <= SMALL && !spans_lines(inner);
            let line = format!("{name} = {}", inline(inner));
            if few && line.chars().count() <= WIDTH { Form::Line(line) } else { Form::Table }
        }
        Value::List(items) => {
            let line = format!("{name} = {}", inline(node));
            let short = line.chars().count() <= WIDTH && !node.has_comments() && !spans_lines(node);
            let maps = !items.is_empty() && items.iter().all(|item| matches!(item.node.value, Value::Map(_)));
            match (short, maps) {
                (true, _) => Form::Line(line),
                (false, true) if items.iter().any(|item| wants_header(&item.node)) => Form::Tables,
                (false, _) => Form::Line(format!("{name} = {}", list(node))),
            }
        }
        Value::Text(text) => Form::Line(format!("{name} = {}", string(text, true))),
        _ => Form::Line(format!("{name} = {}", scalar_of(entry))),
    }
}

/// The value of an entry on one line. The modes of files are read as people write them.
fn scalar_of(entry: &Entry) -> String {
    match entry.node.value {
        Value::Int(mode @ 0..=0o7777) if entry.key == "mode" => format!("0o{mode:o}"),
        _ => inline(&entry.node),
    }
}

/// An item that would not be read easily on one line.
fn wants_header(node: &Node) -> bool {
    node.has_comments() || spans_lines(node) || inline(node).chars().count() > WIDTH + 20
}

/// `deploy: { resources: { limits: ... } }` is `deploy.resources.limits = ...`, as far as there is one way down.
fn chain(mut name: String, mut node: &Node) -> (String, &Node) {
    while let [only] = node.entries() {
        let _infallible = write!(name, ".{}", key(&only.key));
        node = &only.node;
        if only.dotted {
            break;
        }
    }
    (name, node)
}

/// Is there text of several lines in it?
fn spans_lines(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => is_block(text),
        Value::List(items) => items.iter().any(|item| spans_lines(&item.node)),
        Value::Map(entries) => entries.iter().any(|entry| spans_lines(&entry.node)),
        _ => false,
    }
}

/// A list with one item to a line.
fn list(node: &Node) -> String {
    let mut out = "[\n".to_owned();
    for Item { node, comments } in node.items() {
        let mut above = comments.above.clone();
        let mut bare = node.clone();
        bare.take_comments(&mut above);
        for comment in &above {
            let _infallible = writeln!(out, "  {}", comment.text);
        }
        let value = match &bare.value {
            Value::Text(text) => string(text, true),
            _ => inline(&bare),
        };
        let behind = comments.behind.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
        let _infallible = writeln!(out, "  {value},{behind}");
    }
    for comment in &node.below {
        let _infallible = writeln!(out, "  {}", comment.text);
    }
    out.push(']');
    out
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Text(text) => string(text, false),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(&item.node)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|entry| format!("{} = {}", name(entry), scalar_of(entry))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn float(number: f64) -> String {
    if number.is_finite() { format!("{number:?}") } else { scalar::float_text(number).to_lowercase() }
}

fn name(entry: &Entry) -> String {
    if entry.dotted { entry.key.clone() } else { key(&entry.key) }
}

pub(super) fn key(text: &str) -> String {
    if is_bare(text) { text.to_owned() } else { string(text, false) }
}

fn is_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
}

/// Text in the quotes that need the fewest escapes. `block`: it may go over several lines.
pub(super) fn string(text: &str, block: bool) -> String {
    let marked = text.contains(['"', '\\']);
    let escaped = |c: char| c.is_control() && c != '\t';
    if block && is_block(text) {
        let plain = !text.chars().any(|c| escaped(c) && c != '\n');
        return match plain {
            true if !marked => format!("\"\"\"\n{text}\"\"\""),
            true if !text.contains("'''") && !text.ends_with('\'') => format!("'''\n{text}'''"),
            _ => format!("\"\"\"\n{}\"\"\"", escape(text, true)),
        };
    }
    if marked && !text.contains('\'') && !text.chars().any(escaped) {
        return format!("'{text}'");
    }
    format!("\"{}\"", escape(text, false))
}

fn escape(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if lines => out.push('\n'),
            '\n' => out.push_str("\\n"),
            '\t' if lines => out.push('\t'),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _infallible = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
