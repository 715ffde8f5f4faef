//! `[vars]`, `[defaults]` and `[policy]`: one level made of several files.

use super::{refine, same};
use crate::desired::diagnostic::Diagnostic;
use crate::desired::node::{Table, Value};

/// Adds what a plain file of a level says. The same key with two values is an error: the order of files must not matter.
pub(in crate::desired) fn conflicting(
    known: &mut Table,
    more: &Table,
    path: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for entry in &more.entries {
        let name = format!("{path}.{}", entry.key);
        match known.entries.iter_mut().find(|known| known.key == entry.key) {
            None => known.entries.push(entry.clone()),
            Some(known) if same(&known.value, &entry.value) => {}
            Some(known) => match (&mut known.value.value, &entry.value.value) {
                (Value::Table(table), Value::Table(more)) => conflicting(table, more, &name, diagnostics),
                _ => {
                    let message = format!("`{name}` has two values at one level");
                    let diagnostic =
                        Diagnostic::error("defined-twice", entry.key_span.clone(), message, "second value")
                            .also(known.key_span.clone(), "first value")
                            .help("to change the first one, begin this file with: override = true");
                    diagnostics.push(diagnostic);
                }
            },
        }
    }
}

/// Adds what an override file says: it has the last word.
pub(in crate::desired) fn settle(known: &mut Table, more: &Table) {
    refine(known, more);
}
