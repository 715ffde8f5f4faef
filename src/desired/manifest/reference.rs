//! `docs/reference.md`: every key of the language, from the same types as the schema, with an example each.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::examples::{self, BASE, Example, INHERITED, Shape};
use super::{DESCRIBED, KIND};

const PREFACE: &str = "\
# Reference of the language

Every key of every table, in the order of the files: what it takes, what it is when left out, and an example. How the parts work together is
told in [desired-state.md](desired-state.md). This page is printed by `evenkeel schema --format markdown`, from the types that
the JSON Schema comes from.

A number or a boolean may be text that holds a variable (`\"${REPLICAS}\"`); keys that begin with `x-` are allowed in every table and ignored.

Each example is a file of its own in the project `shop`. It begins with `override = true`, which is not repeated below, and refines
this state; one that begins with `# fleet.toml` stands for that file.
";

/// The page, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = PREFACE.to_owned();
    for (path, text) in BASE.iter().filter(|(path, _)| path.ends_with(".toml")) {
        let _ = write!(page, "\n```toml\n# {path}\n{text}```\n");
    }
    page.push_str("\n## Tables\n\n");
    for shape in examples::shapes() {
        let _ = writeln!(page, "- [{}](#{})", title(shape), anchor(shape.name));
    }
    for shape in examples::shapes() {
        table(&mut page, shape);
    }
    page
}

fn title(shape: &Shape) -> String {
    if shape.name == "File" { "The file itself".to_owned() } else { format!("`{}`", shape.at) }
}

fn anchor(name: &str) -> String {
    format!("table-{}", name.to_lowercase())
}

/// The schema of a shape.
fn definition(name: &str) -> Option<&'static Value> {
    if name == "File" { Some(&DESCRIBED) } else { DESCRIBED.get("definitions")?.get(name) }
}

fn table(page: &mut String, shape: &Shape) {
    let Some(schema) = definition(shape.name) else { return };
    let required: Vec<&str> = strings(schema.get("required"));
    let _ = write!(page, "\n<a id=\"{}\"></a>\n\n## {}\n\n", anchor(shape.name), title(shape));
    let _ = writeln!(page, "{}", description(schema));
    if let Some((_, _, more)) = INHERITED.iter().find(|(name, ..)| *name == shape.name) {
        let _ = write!(page, "\nIt takes {more}; and these:\n");
    }
    for example in shape.keys {
        let Example(key, default, _) = example;
        let Some(property) = schema.get("properties").and_then(|all| all.get(*key)) else { continue };
        let mut facts = vec![kind(property)];
        if required.contains(key) {
            facts.push("must be there".to_owned());
        }
        if !default.is_empty() {
            facts.push(format!("default: {default}"));
        }
        let _ = write!(page, "\n### `{key}`\n\n*{}*\n\n{}\n", facts.join("; "), description(property));
        let _ = write!(page, "\n```toml\n{}```\n", shape.text(example));
    }
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    // A table's name in a sentence of the page is code, not HTML.
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// What a value is, in words.
fn kind(schema: &Value) -> String {
    let Some(object) = schema.as_object() else { return "anything".to_owned() };
    if let Some(kind) = object.get(KIND).and_then(Value::as_str) {
        return kind.trim_end_matches('.').to_lowercase_first();
    }
    if let Some(name) = reference_to(object) {
        return link(name);
    }
    if let Some(words) = choices(object) {
        return words;
    }
    if let (Some(long), short) = (object.get("then"), object.get("else")) {
        return either(short, long);
    }
    let mut kinds = Vec::new();
    for name in types(object) {
        kinds.push(match name {
            "boolean" => "true or false".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "string" => "text".to_owned(),
            "array" => format!("a list of {}", object.get("items").map_or_else(|| "values".to_owned(), kind)),
            _ => match object.get("additionalProperties") {
                Some(inner @ Value::Object(_)) => format!("a table of {}", kind(inner)),
                _ => "a table".to_owned(),
            },
        });
    }
    kinds.join(", or ")
}

/// A short form beside a long one.
fn either(short: Option<&Value>, long: &Value) -> String {
    match short {
        Some(short) => format!("{}, or {}", kind(short), kind(long)),
        None => kind(long),
    }
}

fn types(object: &Map<String, Value>) -> Vec<&str> {
    match object.get("type") {
        Some(Value::String(one)) => vec![one],
        several => strings(several),
    }
}

/// The shape that a schema stands for.
fn reference_to(object: &Map<String, Value>) -> Option<&str> {
    let direct = object.get("$ref").or_else(|| object.get("allOf")?.get(0)?.get("$ref"));
    direct?.as_str()?.strip_prefix("#/definitions/")
}

fn link(name: &str) -> String {
    match examples::shapes().into_iter().find(|shape| shape.name == name) {
        Some(shape) => format!("a table, see [{}](#{})", title(shape), anchor(name)),
        None => "a table".to_owned(),
    }
}

/// `one of "a", "b"`.
fn choices(object: &Map<String, Value>) -> Option<String> {
    let branches = object.get("anyOf")?.as_array()?;
    let words = branches.iter().find_map(|branch| branch.get("enum"));
    let words: Vec<String> = strings(words).iter().map(|word| format!("`\"{word}\"`")).collect();
    let more = branches.iter().filter_map(|branch| branch.get("pattern")?.as_str()).any(|text| text != "\\$");
    let open = if more { ", or another form of it" } else { "" };
    (!words.is_empty()).then(|| format!("one of {}{open}", words.join(", ")))
}

trait LowerFirst {
    fn to_lowercase_first(&self) -> String;
}

impl LowerFirst for str {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
    }
}
