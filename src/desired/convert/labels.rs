//! Maps of text: labels, options, sysctls. Map or list, dotted keys flattened.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::dotenv::{self, Format};
use crate::desired::node::{Table, Value};

use super::environment;
use super::read::{Field, Fields, Reader, literal};

/// One pair with the place of its name.
pub(super) struct Pair {
    pub name: String,
    pub text: String,
    pub span: Span,
}

impl Reader<'_, '_> {
    /// `{ a.b = 1 }` or `["a.b=1"]`. `separator` between the two in the list form; a list item without it has an
    /// empty value. `lists`: whether the list form exists for this key.
    pub(super) fn pairs(&mut self, field: &Field<'_>, lists: bool) -> Vec<Pair> {
        let mut pairs = Vec::new();
        match &field.node.value {
            Value::Table(table) => self.flatten(field, table, "", &mut pairs),
            Value::Array(items) if lists => {
                for item in items {
                    let item = field.item(item);
                    let Some(text) = self.text(&item) else { continue };
                    let (name, value) = text.split_once('=').unwrap_or((text, ""));
                    let span = item.node.part(0, name.len());
                    pairs.push(Pair { name: name.to_owned(), text: value.to_owned(), span });
                }
            }
            _ => {
                let name = field.name();
                let right = format!("{name} = {{ name = \"value\" }}");
                self.wrong_type(field, if lists { "a table or a list" } else { "a table" }, &right);
            }
        }
        pairs.retain(|pair| {
            let named = !pair.name.trim().is_empty();
            if !named {
                let message = format!("`{}` has an entry without a name", field.path);
                self.report(Diagnostic::error("empty-name", pair.span.clone(), message, "a name is missing"));
            }
            named
        });
        pairs
    }

    fn flatten(&mut self, field: &Field<'_>, table: &Table, prefix: &str, pairs: &mut Vec<Pair>) {
        for entry in &table.entries {
            // Only the outermost level: `x-` may begin a label's later part.
            let name = format!("{prefix}{}", entry.key);
            match &entry.value.value {
                Value::Table(inner) => self.flatten(field, inner, &format!("{name}."), pairs),
                _ => match literal(&entry.value) {
                    Some(text) => pairs.push(Pair { name, text, span: entry.key_span.clone() }),
                    None => {
                        let path = format!("{}.{name}", field.path);
                        let item = Field { node: &entry.value, key: &entry.key_span, path };
                        self.wrong_type(&item, "text", "\"...\"");
                    }
                },
            }
        }
    }

    /// Labels of a container, a network or a volume: what evenkeel and Compose themselves write is reserved.
    pub(super) fn labels(&mut self, field: &Field<'_>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for Pair { name, text, span } in self.pairs(field, true) {
            if !self.is_reserved(&name, span) {
                labels.insert(name, text);
            }
        }
        labels
    }

    fn is_reserved(&mut self, name: &str, span: Span) -> bool {
        let reserved =
            ["dev.evenkeel.", "com.docker.compose."].into_iter().find(|prefix| name.starts_with(prefix));
        if let Some(prefix) = reserved {
            let message = format!("label `{name}` is reserved");
            let label = format!("evenkeel writes `{prefix}*` itself");
            self.report(Diagnostic::error("reserved-label", span, message, label));
        }
        reserved.is_some()
    }

    /// A map of options.
    pub(super) fn options(&mut self, field: &Field<'_>) -> BTreeMap<String, String> {
        self.pairs(field, false).into_iter().map(|pair| (pair.name, pair.text)).collect()
    }
}

/// The labels of every `label_file`, the later ones over the earlier. Files that had a part go to `files`.
pub(super) fn label_files(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    files: &mut BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(field) = service.get("label_file") else { return labels };
    for item in reader.one_or_many(&field, "label_file = [\"app.labels\"]").unwrap_or_default() {
        let Some(path) = reader.filled(&item) else { continue };
        let Some((file, bytes)) = environment::find(reader, "label_file", &item, path, true) else {
            continue;
        };
        let lookup = |name: &str| (reader.context.variables)(name);
        let pairs = dotenv::parse(&file, &bytes, Format::Compose, &lookup, reader.diagnostics);
        for (name, text) in pairs {
            if !reader.is_reserved(&name, item.node.span.clone()) {
                labels.insert(name, text);
            }
        }
        files.insert(file);
    }
    labels
}
