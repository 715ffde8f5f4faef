//! Words for syntax errors: what people most often mean, then what the parser says.

use std::collections::BTreeSet;
use std::ops::Range;

use toml_parser::{Expected, ParseError};

use super::draft::{Conflict, Key, span, whole};
use crate::desired::FileName;
use crate::desired::diagnostic::Diagnostic;

/// Tables whose dotted names are one flat name each: `traefik.http.routers.x.rule` is one label.
const FLAT: [&str; 2] = ["labels", "annotations"];

/// Does an unquoted value look like text someone forgot to quote?
pub(super) fn is_word(raw: &str) -> bool {
    raw.starts_with(|first: char| first.is_alphabetic() || matches!(first, '/' | '~' | '$' | '*' | '@' | '%'))
        || raw.starts_with("./")
        || raw.starts_with("../")
        || raw.starts_with("--")
}

/// `restart = always`. `alone`: not within a list or inline table, so the text goes on to the end of the line.
pub(super) fn bare_word(file: &FileName, text: &str, place: Range<usize>, alone: bool) -> Diagnostic {
    let rest = text.get(place.start..).unwrap_or_default();
    let line = rest.split(['\n', '\r']).next().unwrap_or_default();
    let value = if alone {
        line.split(" #").next().unwrap_or_default().trim_end()
    } else {
        line.split([',', ']', '}']).next().unwrap_or_default().trim_end()
    };
    let value = value.trim_end_matches(['"', '\'']);
    let end = (place.start + value.len()).max(place.start + 1);
    let label = match value {
        "True" | "TRUE" => "write true".to_owned(),
        "False" | "FALSE" => "write false".to_owned(),
        "null" | "Null" | "NULL" | "~" | "nil" | "None" => {
            "TOML has no null: leave the key out, or write {} for an empty entry".to_owned()
        }
        _ if value.contains('"') || value.contains('\\') => format!("write '{value}'"),
        _ => format!("write \"{value}\""),
    };
    Diagnostic::error("bare-word", span(file, &(place.start..end)), "text needs quotes", label)
}

/// A name that is refused because something stands there already.
pub(super) fn conflict(
    file: &FileName,
    text: &str,
    header: &[Key],
    name: &[Key],
    conflict: Conflict,
    is_header: bool,
) -> Diagnostic {
    let place = span(file, &whole(name));
    let dotted = |keys: &[Key]| keys.iter().map(|key| key.text.as_str()).collect::<Vec<_>>().join(".");
    match conflict {
        Conflict::Twice { first } => {
            let shown = dotted(name);
            let (message, label) = if is_header {
                (format!("the table `{shown}` is opened twice"), "opened again")
            } else {
                (format!("`{shown}` is set twice in one table"), "set again")
            };
            Diagnostic::error("duplicate-key", place, message, label)
                .also(span(file, &first), "first here")
                .help("TOML allows one definition: keep one of the two")
        }
        Conflict::BelowValue { first, at } => {
            let upto = name.get(..at).unwrap_or(name);
            let all: Vec<Key> = header.iter().chain(upto).cloned().collect();
            let label = FLAT.iter().find_map(|flat| {
                let after = all.iter().position(|key| key.text == *flat)?;
                all.get(after + 1..).filter(|rest| !rest.is_empty()).map(dotted)
            });
            match label {
                Some(label) => label_conflict(file, text, place, &first, &label),
                None => {
                    let shown = dotted(&all);
                    let message = format!("`{shown}` already has a value, so it cannot be a table as well");
                    Diagnostic::error("value-and-table", place, message, "goes on below a value")
                        .also(span(file, &first), "the value is set here")
                }
            }
        }
    }
}

fn label_conflict(
    file: &FileName,
    text: &str,
    place: crate::desired::diagnostic::Span,
    first: &Range<usize>,
    label: &str,
) -> Diagnostic {
    let message = format!("label `{label}` already has a value, so TOML cannot continue its name");
    let value = text
        .get(first.end..)
        .and_then(|rest| rest.split(['\n', '\r']).next())
        .and_then(|rest| rest.split_once('='))
        .map(|(_, value)| value.split(" #").next().unwrap_or_default().trim())
        .filter(|value| !value.is_empty())
        .unwrap_or("...");
    Diagnostic::error("label-both-value-and-table", place, message, "goes on below a value")
        .also(span(file, first), "the value is set here")
        .help(format!("quote both names: \"{label}\" = {value}"))
}

/// Turns the parser's errors into diagnostics: one for each line, in order, and none for a line that `known` explains better.
pub(super) fn explain(
    file: &FileName,
    text: &str,
    errors: &[ParseError],
    known: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let lines = Lines::new(text);
    let mut claimed: BTreeSet<usize> = known.iter().map(|d| lines.of(d.primary.span.start)).collect();
    let mut found = known;
    let mut errors: Vec<&ParseError> = errors.iter().collect();
    errors.sort_by_key(|error| error.unexpected().map_or(usize::MAX, |at| at.start()));
    for error in errors {
        let place = error
            .unexpected()
            .or(error.context())
            .map_or(text.len()..text.len(), |at| at.start().min(text.len())..at.end().min(text.len()));
        let line = lines.of(place.start);
        if claimed.insert(line) {
            found.push(explain_one(file, text, &lines, line, place, error));
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    found
}

fn explain_one(
    file: &FileName,
    text: &str,
    lines: &Lines,
    line: usize,
    place: Range<usize>,
    error: &ParseError,
) -> Diagnostic {
    let start = lines.start(line);
    let content = text.get(start..).and_then(|rest| rest.split(['\n', '\r']).next()).unwrap_or_default();
    yaml_line(file, content, start).unwrap_or_else(|| generic(file, place, error))
}

/// `image: nginx` and `- "80:80"`: the two marks of YAML.
fn yaml_line(file: &FileName, line: &str, start: usize) -> Option<Diagnostic> {
    let indent = line.len() - line.trim_start().len();
    let body = line.trim_start();
    if let Some(item) = body.strip_prefix("- ") {
        let place = span(file, &(start + indent..start + indent + 1));
        let item = item.trim();
        return Some(
            Diagnostic::error(
                "yaml-dash",
                place,
                "a list is written in brackets",
                "this is how YAML writes it",
            )
            .help(format!("TOML: name = [{}]", quoted(item)))
            .help("a whole compose.yaml can be converted: `convert compose.yaml`"),
        );
    }
    let (name, value) = body.split_once(':')?;
    let key = name.trim().trim_matches(['"', '\'']);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(plain) || !(value.is_empty() || value.starts_with([' ', '\t'])) {
        return None;
    }
    let colon = start + indent + name.len();
    let place = span(file, &(colon..colon + 1));
    let value = value.split(" #").next().unwrap_or_default().trim();
    let instead = if value.is_empty() {
        format!("TOML: [{key}] opens a table, {key} = [...] is a list")
    } else {
        format!("TOML: {key} = {}", quoted(value))
    };
    Some(
        Diagnostic::error(
            "yaml-colon",
            place,
            format!("expected `=` after the key `{key}`"),
            "this is how YAML writes it",
        )
        .help(instead)
        .help("a whole compose.yaml can be converted: `convert compose.yaml`"),
    )
}

/// A value as TOML writes it: numbers, booleans, lists and what has quotes stay as they are.
fn quoted(value: &str) -> String {
    let literal = value.starts_with(['"', '\'', '[', '{'])
        || value.parse::<f64>().is_ok()
        || matches!(value, "true" | "false");
    if literal {
        value.to_owned()
    } else if value.contains('"') {
        format!("'{value}'")
    } else {
        format!("\"{value}\"")
    }
}

fn generic(file: &FileName, place: Range<usize>, error: &ParseError) -> Diagnostic {
    let label = match error.expected() {
        None => "here".to_owned(),
        Some([]) => "not allowed here".to_owned(),
        Some(list) => {
            let words: Vec<String> = list
                .iter()
                .map(|expected| match expected {
                    Expected::Literal("\n") => "the end of the line".to_owned(),
                    Expected::Literal("#") => "a comment".to_owned(),
                    Expected::Literal(text) => format!("`{text}`"),
                    Expected::Description(text) => (*text).to_owned(),
                    _ => "something else".to_owned(),
                })
                .collect();
            format!("expected {}", words.join(" or "))
        }
    };
    Diagnostic::error("syntax", span(file, &place), error.description(), label)
}

/// Where lines start.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }
    fn of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }
    fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or_default()
    }
}
