//! Reading nodes as the types that keys want, with the message for each way it can go wrong.

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::node::{Node, Table, Value};
use crate::desired::suggest::nearest;

use super::{Context, scalar};

/// One conversion under way: where to look things up, and where problems go.
pub(super) struct Reader<'r, 'c> {
    pub context: &'r Context<'c>,
    pub diagnostics: &'r mut Vec<Diagnostic>,
}

/// A value with the key it stands under and its path for messages: `services.web.healthcheck.interval`.
#[derive(Clone)]
pub(super) struct Field<'t> {
    pub node: &'t Node,
    pub key: &'t Span,
    pub path: String,
}

impl<'t> Field<'t> {
    /// The same key, another value: an item of its list.
    pub(super) fn item(&self, node: &'t Node) -> Self {
        Self { node, key: self.key, path: self.path.clone() }
    }

    /// The last part of the path: the key itself.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(_, name)| name)
    }
}

/// A table and its path.
#[derive(Clone)]
pub(super) struct Fields<'t> {
    pub table: &'t Table,
    pub path: String,
}

impl<'t> Fields<'t> {
    pub(super) fn new(table: &'t Table, path: String) -> Self {
        Self { table, path }
    }

    pub(super) fn get(&self, key: &str) -> Option<Field<'t>> {
        let entry = self.table.get(key)?;
        Some(Field { node: &entry.value, key: &entry.key_span, path: format!("{}.{key}", self.path) })
    }

    /// Every entry but for `x-` ones.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'t str, Field<'t>)> + '_ {
        self.table.entries.iter().filter(|entry| !entry.key.starts_with("x-")).map(|entry| {
            let path = format!("{}.{}", self.path, entry.key);
            (entry.key.as_str(), Field { node: &entry.value, key: &entry.key_span, path })
        })
    }
}

impl Reader<'_, '_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports an error at the whole value.
    pub(super) fn error(
        &mut self,
        slug: &'static str,
        node: &Node,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.report(Diagnostic::error(slug, node.span.clone(), message, label));
    }

    /// `expected`: "a duration"; `right`: how to write it, with quotes as needed.
    pub(super) fn wrong_type(&mut self, field: &Field<'_>, expected: &str, right: &str) {
        let message = format!("`{}` takes {expected}, not {}", field.path, field.node.kind());
        self.error("bad-type", field.node, message, format!("write {right}"));
    }

    /// Text. A number or a boolean is an error that shows it in quotes, as in Compose.
    pub(super) fn text<'t>(&mut self, field: &Field<'t>) -> Option<&'t str> {
        match &field.node.value {
            Value::String(text) if text.contains('\0') => {
                self.error("bad-text", field.node, "text cannot hold a NUL character", "holds a NUL");
                None
            }
            Value::String(text) => Some(text),
            _ => {
                let right =
                    literal(field.node).map_or_else(|| "\"...\"".to_owned(), |text| format!("\"{text}\""));
                self.wrong_type(field, "text", &right);
                None
            }
        }
    }

    /// Text that is not empty.
    pub(super) fn filled<'t>(&mut self, field: &Field<'t>) -> Option<&'t str> {
        let text = self.text(field)?;
        if text.trim().is_empty() {
            self.error(
                "empty-text",
                field.node,
                format!("`{}` is empty", field.path),
                "write a value, or leave the key out",
            );
            return None;
        }
        Some(text)
    }

    pub(super) fn flag(&mut self, field: &Field<'_>) -> Option<bool> {
        match &field.node.value {
            Value::Boolean(flag) => Some(*flag),
            Value::String(text) => {
                let flag = scalar::boolean(text);
                match flag {
                    Some(flag) if field.node.interpolated => Some(flag),
                    _ => {
                        let right = if flag == Some(false) { "false" } else { "true" };
                        self.wrong_type(field, "true or false", &format!("{right} without quotes"));
                        None
                    }
                }
            }
            _ => {
                self.wrong_type(field, "true or false", "true or false");
                None
            }
        }
    }

    /// A whole number between `least` and `most`.
    pub(super) fn whole(&mut self, field: &Field<'_>, least: i64, most: i64) -> Option<i64> {
        let number = match &field.node.value {
            Value::Integer(number) => Some(*number),
            Value::String(text) if field.node.interpolated => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let right = match &field.node.value {
                Value::String(text) if text.trim().parse::<i64>().is_ok() => {
                    format!("{} without quotes", text.trim())
                }
                Value::Float(number) if number.is_finite() => format!("{number:.0}"),
                _ => "a number such as 3".to_owned(),
            };
            self.wrong_type(field, "a whole number", &right);
            return None;
        };
        if !(least..=most).contains(&number) {
            let (message, label) = if number < least {
                (format!("`{}` is below {least}", field.path), format!("at least {least}"))
            } else {
                (format!("`{}` is above {most}", field.path), format!("at most {most}"))
            };
            self.error("out-of-range", field.node, message, label);
            return None;
        }
        Some(number)
    }

    /// One of `choices`; `what` names the kind: "restart policy".
    pub(super) fn choice<'c>(
        &mut self,
        field: &Field<'_>,
        what: &str,
        choices: &[&'c str],
    ) -> Option<&'c str> {
        let Value::String(text) = &field.node.value else {
            // A bare true, false or number: show the choice that it probably stands for.
            let literal = literal(field.node).unwrap_or_default();
            let meant = match literal.as_str() {
                "false" => choices.iter().find(|choice| matches!(**choice, "no" | "none")),
                _ => None,
            };
            let right = meant.or(choices.first()).map_or("...", |choice| *choice);
            self.wrong_type(field, "text", &format!("\"{right}\""));
            return None;
        };
        let found = choices.iter().find(|choice| **choice == text).copied();
        if found.is_none() {
            self.bad_choice(field.node.span.clone(), text, what, choices, None);
        }
        found
    }

    /// Reports that `text` is none of `choices`. `listed` replaces the list of the help where a choice has a pattern.
    pub(super) fn bad_choice(
        &mut self,
        span: Span,
        text: &str,
        what: &str,
        choices: &[&str],
        listed: Option<&str>,
    ) {
        let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let label = nearest(text, choices.iter().copied())
            .map_or_else(|| "none of the choices".to_owned(), |near| format!("did you mean \"{near}\"?"));
        let all = listed.map_or_else(|| choices.join(", "), str::to_owned);
        let message = format!("`{text}` is not {article} {what}");
        self.report(Diagnostic::error("bad-choice", span, message, label).help(format!("one of: {all}")));
    }

    /// A duration in nanoseconds. A bare number is an error (Compose's too): seconds or milliseconds, who knows.
    pub(super) fn duration(&mut self, field: &Field<'_>) -> Option<u64> {
        match duration(field.node) {
            Ok(nanoseconds) => return Some(nanoseconds),
            Err(Some(told)) => self.report(*told),
            Err(None) => self.wrong_type(field, "a duration", "for example \"30s\""),
        }
        None
    }

    /// A size in bytes: text with a unit, or a bare whole number of bytes.
    pub(super) fn size(&mut self, field: &Field<'_>) -> Option<u64> {
        match &field.node.value {
            Value::Integer(number) => {
                let size = u64::try_from(*number).ok();
                if size.is_none() {
                    self.bad_size(field, &number.to_string(), "it is negative");
                }
                size
            }
            Value::String(text) => match scalar::size(text) {
                Ok(size) => Some(size),
                Err(fault) => {
                    self.bad_size(field, text, fault);
                    None
                }
            },
            _ => {
                self.wrong_type(field, "a size", "for example \"512m\"");
                None
            }
        }
    }

    fn bad_size(&mut self, field: &Field<'_>, text: &str, fault: &str) {
        let diagnostic = Diagnostic::error(
            "bad-size",
            field.node.span.clone(),
            format!("`{text}` is not a size: {fault}"),
            "write for example \"512m\"",
        );
        self.report(diagnostic.help("units: b k m g t (powers of 1024); a bare number is bytes"));
    }

    pub(super) fn table<'t>(&mut self, field: &Field<'t>, right: &str) -> Option<Fields<'t>> {
        let table = field.node.as_table();
        if table.is_none() {
            self.wrong_type(field, "a table", right);
        }
        table.map(|table| Fields::new(table, field.path.clone()))
    }

    /// A list; each item with the list's key.
    pub(super) fn list<'t>(&mut self, field: &Field<'t>, right: &str) -> Option<Vec<Field<'t>>> {
        match &field.node.value {
            Value::Array(items) => Some(items.iter().map(|item| field.item(item)).collect()),
            _ => {
                self.wrong_type(field, "a list", right);
                None
            }
        }
    }

    /// A list of texts, or one text alone.
    pub(super) fn one_or_many<'t>(&mut self, field: &Field<'t>, right: &str) -> Option<Vec<Field<'t>>> {
        match &field.node.value {
            Value::String(_) => Some(vec![field.clone()]),
            _ => self.list(field, right),
        }
    }
}

/// A scalar as people would write it inside quotes, and as Compose passes it on; `None` for lists and tables.
pub(super) fn literal(node: &Node) -> Option<String> {
    match &node.value {
        Value::Float(number) => Some(scalar::float_text(*number)),
        _ => node.scalar(),
    }
}

/// Reads a duration as nanoseconds.
///
/// # Errors
/// What is wrong with it; nothing when it is neither text nor a number.
pub(in crate::desired) fn duration(node: &Node) -> Result<u64, Option<Box<Diagnostic>>> {
    const UNITS: &str = "units: ms s m h d w, also combined: \"1m30s\"";
    let unitless = |number: &str| {
        let label = format!("write \"{number}s\"");
        let told = Diagnostic::error("unit-missing", node.span.clone(), "a duration needs a unit", label);
        Some(Box::new(told.help(UNITS)))
    };
    match &node.value {
        Value::Integer(number) => Err(unitless(&number.to_string())),
        Value::Float(number) => Err(unitless(&number.to_string())),
        Value::String(text) => scalar::duration(text).map_err(|fault| match fault {
            scalar::DurationFault::NoUnit => unitless(text.trim()),
            fault => {
                let message = format!("`{text}` is not a duration: {fault}");
                let label = "write for example \"1m30s\"";
                let told = Diagnostic::error("bad-duration", node.span.clone(), message, label);
                Some(Box::new(told.help(UNITS)))
            }
        }),
        _ => Err(None),
    }
}
