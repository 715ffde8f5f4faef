//! What a variable stands for may be a secret, wherever it is used: messages about a value that holds one name the
//! variable instead (invariant I14).

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Span};
use super::node::{Node, Table, Value};

/// A shorter value is taken out where it stands in quotes only: `1` would be everywhere.
const SHORT: usize = 3;

/// Takes the values in `given` (by variable) out of diagnostics about replaced texts of `table`.
pub(super) fn redact(told: &mut [Diagnostic], table: &Table, given: &BTreeMap<String, String>) {
    if told.is_empty() || given.is_empty() {
        return;
    }
    let mut replaced = BTreeSet::new();
    table.entries.iter().for_each(|entry| collect(&entry.value, &mut replaced));
    for diagnostic in told {
        let place = &diagnostic.primary.span;
        let within =
            |span: &&Span| span.file == place.file && span.start <= place.start && place.end <= span.end;
        if !replaced.iter().any(within) {
            continue;
        }
        let labels = std::iter::once(&mut diagnostic.primary).chain(&mut diagnostic.secondary);
        let labels = labels.map(|label| &mut label.text);
        for text in labels.chain(&mut diagnostic.helps).chain([&mut diagnostic.message]) {
            *text = without(text, given);
        }
    }
}

/// The places of texts in which variables were replaced.
fn collect<'a>(node: &'a Node, found: &mut BTreeSet<&'a Span>) {
    if node.interpolated {
        found.insert(&node.span);
    }
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Table(table) => table.entries.iter().for_each(|entry| collect(&entry.value, found)),
        _ => {}
    }
}

fn without(text: &str, given: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in given.iter().filter(|(_, value)| value.len() >= SHORT) {
        text = text.replace(value.as_str(), &format!("${{{name}}}"));
    }
    // A message may quote a part of the value: the half of `a:b` that is wrong.
    ['`', '"'].iter().fold(text, |text, quote| {
        let parts = text.split(*quote).enumerate().map(|(number, part)| {
            let quoted = number % 2 == 1 && !part.is_empty();
            let source = given.iter().find(|(_, value)| quoted && value.contains(part));
            source.map_or_else(|| part.to_owned(), |(name, _)| format!("${{{name}}}"))
        });
        parts.collect::<Vec<_>>().join(&quote.to_string())
    })
}
