//! `environment` and `env_file`. Values may be secrets: no message ever shows one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::dotenv::{self, Format};
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::secret::Sensitive;
use crate::desired::snapshot::FileContent;

use super::keys::{Parent, key_after_table, opened_by_header};
use super::paths;
use super::read::{Field, Fields, Reader, literal};

type Variables = BTreeMap<String, Option<Sensitive>>;

/// The container's environment: every `env_file` in order, then `environment` over it. Files that had a part go to
/// `files`.
pub(super) fn environment(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    files: &mut BTreeSet<String>,
) -> Variables {
    let mut variables = Variables::new();
    if let Some(field) = fields.get("env_file") {
        env_files(reader, &field, &mut variables, files);
    }
    if let Some(field) = fields.get("environment") {
        match &field.node.value {
            Value::Table(_) => table(reader, fields, &field, &mut variables),
            Value::Array(_) => list(reader, &field, &mut variables),
            _ => reader.wrong_type(&field, "a table or a list", "environment = { NAME = \"value\" }"),
        }
    }
    variables
}

fn table(reader: &mut Reader<'_, '_>, service: &Fields<'_>, field: &Field<'_>, variables: &mut Variables) {
    let Some(table) = field.node.as_table() else { return };
    let parents = [Parent { path: &service.path, shape: "Service" }, Parent { path: "", shape: "File" }];
    let by_header = opened_by_header(&table.header, reader.context.read);
    for entry in &table.entries {
        let path = format!("{}.{}", field.path, entry.key);
        let item = Field { node: &entry.value, key: &entry.key_span, path };
        let slipped = key_after_table(entry, table, &field.path, &parents, reader.context.read);
        let Some(text) = literal(&entry.value) else {
            match slipped {
                Some(diagnostic) => reader.report(diagnostic),
                None => reader.wrong_type(&item, "text", "\"...\""),
            }
            continue;
        };
        if by_header && slipped.is_some() && manifest::keys("Service").contains(&entry.key) {
            // It may be meant: programs do read variables called `user`. Most often it is a line that slipped down.
            let message = format!("`{}` becomes an environment variable here", entry.key);
            let label = "this line belongs to the table opened above it";
            let diagnostic = Diagnostic::warning("key-after-table", entry.key_span.clone(), message, label);
            let help =
                format!("if the key of {} was meant: move the line up, before this table", service.path);
            reader.report(diagnostic.also(table.header.clone(), "opened here").help(help));
        }
        if !name_is_good(reader, &item, &entry.key) || text.contains('\0') {
            continue;
        }
        variables.insert(entry.key.clone(), Some(Sensitive::new(text)));
    }
}

fn list(reader: &mut Reader<'_, '_>, field: &Field<'_>, variables: &mut Variables) {
    for item in reader.list(field, "environment = [\"NAME=value\"]").unwrap_or_default() {
        let Value::String(text) = &item.node.value else {
            reader.wrong_type(&item, "text", "\"NAME=value\"");
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), (reader.context.variables)(text)),
        };
        if name_is_good(reader, &item, name) {
            variables.insert(name.to_owned(), value.map(Sensitive::new));
        }
    }
}

fn name_is_good(reader: &mut Reader<'_, '_>, item: &Field<'_>, name: &str) -> bool {
    let fault = if name.is_empty() {
        "a variable needs a name"
    } else if name.contains(['=', '\0']) {
        "a variable's name cannot hold `=` or NUL"
    } else if name.chars().any(char::is_whitespace) {
        "a variable's name cannot hold blanks"
    } else {
        return true;
    };
    let message = format!("`{}`: {fault}", item.path);
    reader.report(Diagnostic::error("bad-variable", item.node.span.clone(), message, "write NAME=value"));
    false
}

fn env_files(
    reader: &mut Reader<'_, '_>,
    field: &Field<'_>,
    variables: &mut Variables,
    files: &mut BTreeSet<String>,
) {
    for item in reader.one_or_many(field, "env_file = [\"app.env\"]").unwrap_or_default() {
        let mut required = true;
        let mut raw = false;
        let path_field = match &item.node.value {
            Value::Table(table) => {
                let long = Fields::new(table, item.path.clone());
                reader.check(&long, "EnvFile", &[]);
                required = long.get("required").and_then(|field| reader.flag(&field)).unwrap_or(true);
                let format = long.get("format");
                raw = format
                    .and_then(|field| reader.choice(&field, "format", manifest::EnvFileFormat::WORDS))
                    == Some("raw");
                let Some(path) = long.get("path") else {
                    reader.error(
                        "missing-key",
                        item.node,
                        format!("`{}` has an entry without `path`", item.path),
                        "add path = \"app.env\"",
                    );
                    continue;
                };
                path
            }
            _ => item.clone(),
        };
        let Some(path) = reader.filled(&path_field) else { continue };
        if let Some((file, bytes)) = find(reader, "env_file", &path_field, path, required) {
            read(reader, &file, &bytes, raw, variables);
            files.insert(file);
        }
    }
}

/// The file of an `env_file` or `label_file` (`what`) and its bytes; a fault is reported at the path.
pub(super) fn find(
    reader: &mut Reader<'_, '_>,
    what: &str,
    field: &Field<'_>,
    path: &str,
    required: bool,
) -> Option<(String, Bytes)> {
    let Some(file) = paths::below_root(reader.context, &field.node.span.file, path) else {
        let message = format!("{what} `{path}` lies outside of the desired state");
        let label = "only files below its root are read";
        reader.error("env-file-outside", field.node, message, label);
        return None;
    };
    match (reader.context.read)(&file) {
        Some(FileContent::Read(bytes)) => return Some((file, bytes.clone())),
        Some(FileContent::Unreadable(why)) => {
            let message = format!("{what} `{file}` cannot be read");
            let why = why.clone();
            reader.error("unreadable-file", field.node, message, why);
        }
        None if required => {
            let message = format!("{what} `{file}` does not exist");
            let diagnostic =
                Diagnostic::error("missing-file", field.node.span.clone(), message, "no such file");
            reader.report(match what {
                "env_file" => diagnostic.help("if it may be missing: { path = \"...\", required = false }"),
                _ => diagnostic,
            });
        }
        None => {}
    }
    None
}

fn read(reader: &mut Reader<'_, '_>, file: &str, bytes: &[u8], raw: bool, variables: &mut Variables) {
    let format = if raw { Format::Raw } else { Format::Compose };
    let lookup = |name: &str| (reader.context.variables)(name);
    let pairs = dotenv::parse(file, bytes, format, &lookup, reader.diagnostics);
    variables.extend(pairs.into_iter().map(|(name, value)| (name, Some(Sensitive::new(value)))));
}
