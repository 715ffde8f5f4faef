//! Lists that are maps in disguise, and lists whose items have an identity.

use super::same;
use crate::desired::node::{Entry, Node, Table, Value};

/// What makes two items of a list the same item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Being equal.
    Equal,
    /// Address, container port, host port and protocol.
    Port,
    /// The path in the container.
    Target,
    /// `target`, else `source`, else the name.
    Source,
}

/// Appends the items of `over`; one with the identity of an item that is there replaces it.
pub(super) fn append(base: &mut Node, over: &Node, identity: Identity) {
    let (Value::Array(items), Value::Array(more)) = (&mut base.value, &over.value) else {
        *base = over.clone();
        return;
    };
    for item in more {
        let known = items.iter_mut().find(|known| match identity {
            Identity::Equal => same(known, item),
            _ => {
                let key = key_of(item, identity);
                key.is_some() && key_of(known, identity) == key
            }
        });
        match known {
            Some(known) => *known = item.clone(),
            None => items.push(item.clone()),
        }
    }
}

/// `dns = "1.1.1.1"` is `dns = ["1.1.1.1"]`.
pub(super) fn many(node: &mut Node) {
    if !matches!(node.value, Value::Array(_)) {
        let item = node.clone();
        node.value = Value::Array(vec![item]);
        node.verbatim = false;
    }
}

fn key_of(item: &Node, identity: Identity) -> Option<String> {
    match (identity, &item.value) {
        (Identity::Port, Value::Table(table)) => {
            let part = |key: &str| table.get(key).and_then(|entry| entry.value.scalar()).unwrap_or_default();
            let protocol =
                Some(part("protocol")).filter(|p| !p.is_empty()).unwrap_or_else(|| "tcp".to_owned());
            Some(format!("{}:{}:{}/{protocol}", part("host_ip"), part("published"), part("target")))
        }
        (Identity::Port, _) => short_port(&item.scalar()?),
        (Identity::Target, Value::Table(table)) => {
            table.get("target").or_else(|| table.get("source"))?.value.scalar()
        }
        (Identity::Target, _) => {
            let text = item.scalar()?;
            let parts = split(&text, ':');
            parts.get(1).or(parts.first()).map(|part| (*part).to_owned())
        }
        (Identity::Source, Value::Table(table)) => {
            table.get("target").or_else(|| table.get("source"))?.value.scalar()
        }
        (Identity::Source, _) => item.scalar(),
        (Identity::Equal, _) => None,
    }
}

fn short_port(written: &str) -> Option<String> {
    let (ports, protocol) = match split(written, '/').as_slice() {
        [ports, protocol] => (*ports, (*protocol).to_owned()),
        _ => (written, "tcp".to_owned()),
    };
    let parts = split(ports, ':');
    let (target, before) = parts.split_last()?;
    let (published, address) = match before.split_last() {
        Some((published, address)) => (*published, address.join(":")),
        None => ("", String::new()),
    };
    Some(format!("{address}:{published}:{target}/{protocol}"))
}

/// Splits at a sign, but not within `${...}` or `[...]`.
fn split(text: &str, sign: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut open, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => open += 1,
            '}' | ']' => open = open.saturating_sub(1),
            _ if c == sign && open == 0 => {
                parts.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// The key of a `K=V` line.
pub(super) fn line_key(item: &Node) -> Option<&str> {
    item.as_str().map(|line| line.split_once('=').map_or(line, |(key, _)| key))
}

/// Merges `K=V` lists and tables by key.
pub(super) fn mapping(base: &mut Node, over: &Node, flat: bool) {
    match (&mut base.value, &over.value) {
        (Value::Table(table), Value::Table(more)) => {
            let mut merged = if flat { flatten(table) } else { table.clone() };
            let more = if flat { flatten(more) } else { more.clone() };
            for entry in more.entries {
                match merged.entries.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => *known = entry,
                    None => merged.entries.push(entry),
                }
            }
            *table = merged;
        }
        (Value::Array(_) | Value::Table(_), Value::Array(_) | Value::Table(_)) => {
            let more = lines(over, flat);
            let mut merged = lines(base, flat);
            merged.retain(|known| {
                let key = line_key(known);
                key.is_none() || !more.iter().any(|item| line_key(item) == key)
            });
            merged.extend(more);
            base.value = Value::Array(merged);
        }
        _ => *base = over.clone(),
    }
}

/// A map as a list of `K=V` lines.
fn lines(node: &Node, flat: bool) -> Vec<Node> {
    match &node.value {
        Value::Array(items) => items.clone(),
        Value::Table(table) => {
            let table = if flat { flatten(table) } else { table.clone() };
            table.entries.into_iter().map(line).collect()
        }
        _ => vec![node.clone()],
    }
}

fn line(entry: Entry) -> Node {
    match entry.value.scalar() {
        Some(value) => Node {
            value: Value::String(format!("{}={value}", entry.key)),
            span: entry.value.span,
            verbatim: false,
            interpolated: entry.value.interpolated,
        },
        // A list or table where text belongs: the conversion says so.
        None => entry.value,
    }
}

/// `traefik.http.x = "y"` is one name.
fn flatten(table: &Table) -> Table {
    let mut flat = Table { entries: Vec::new(), header: table.header.clone() };
    flatten_into(table, "", &mut flat);
    flat
}

fn flatten_into(table: &Table, prefix: &str, flat: &mut Table) {
    for entry in &table.entries {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        match &entry.value.value {
            Value::Table(inner) if !inner.entries.is_empty() => flatten_into(inner, &key, flat),
            _ => flat.entries.push(Entry { key, ..entry.clone() }),
        }
    }
}

/// Merges lists of names and tables by name. A name alone stands for `empty`, or for an empty table.
pub(super) fn named(base: &mut Node, over: &Node, empty: &str) {
    match (&mut base.value, &over.value) {
        (Value::Array(_), Value::Array(_)) => append(base, over, Identity::Equal),
        (Value::Array(_) | Value::Table(_), Value::Array(_) | Value::Table(_)) => {
            let mut merged = by_name(base, empty);
            for entry in by_name(over, empty).entries {
                match merged.entries.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => match (&mut known.value.value, &entry.value.value) {
                        (Value::Table(table), Value::Table(more)) => super::refine(table, more),
                        _ => *known = entry,
                    },
                    None => merged.entries.push(entry),
                }
            }
            base.value = Value::Table(merged);
        }
        _ => *base = over.clone(),
    }
}

fn by_name(node: &Node, empty: &str) -> Table {
    match &node.value {
        Value::Table(table) => table.clone(),
        Value::Array(items) => {
            let entries = items.iter().filter_map(|item| {
                let value = match empty {
                    "" => Value::Table(Table { entries: Vec::new(), header: item.span.clone() }),
                    text => Value::String(text.to_owned()),
                };
                let value = Node { value, span: item.span.clone(), verbatim: false, interpolated: false };
                Some(Entry { key: item.as_str()?.to_owned(), key_span: item.span.clone(), value })
            });
            Table { entries: entries.collect(), header: node.span.clone() }
        }
        _ => Table { entries: Vec::new(), header: node.span.clone() },
    }
}
