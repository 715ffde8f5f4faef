//! The shapes of the language: which keys exist where, what they take, and what they mean.
//!
//! These types describe; nothing is ever deserialised into them. The converter works on the tree instead
//! ([`super::node`]), because only there every value still knows its place. From the types come the JSON Schema for
//! editors ([`schema`]) and the set of valid keys of every table ([`keys`]), so that the two cannot disagree.

mod artifact;
mod build;
mod deploy;
mod examples;
mod forms;
mod hooks;
mod job;
mod objects;
mod parts;
mod policy;
mod provided;
mod reference;
mod schedule;
mod service;
mod transform;
mod value;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

pub use artifact::*;
pub use build::*;
pub use deploy::*;
pub use examples::{BASE, Example, INHERITED, Shape, shapes as examples};
pub use forms::*;
pub use hooks::*;
pub use job::*;
pub use objects::*;
pub use parts::*;
pub use policy::*;
pub use provided::*;
pub use reference::reference;
pub use schedule::*;
pub use service::*;
pub use value::*;
pub use watch::*;

/// The JSON Schema (draft 7) of a desired-state file.
#[must_use]
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The keys of a shape: `File`, `Service`, `Healthcheck`, ... (the names of the types here); empty for an unknown name.
#[must_use]
pub fn keys(shape: &str) -> &'static BTreeSet<String> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    KEYS.get(shape).unwrap_or(&NONE)
}

/// Every shape with its keys.
#[must_use]
pub fn shapes() -> &'static BTreeMap<String, BTreeSet<String>> {
    &KEYS
}

/// What the kinds of values call themselves, for [`reference()`]. No keyword of JSON Schema, so the published one is without it.
const KIND: &str = "x-kind";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = DESCRIBED.clone();
    drop_kinds(&mut schema);
    schema
});

fn drop_kinds(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove(KIND);
            object.values_mut().for_each(drop_kinds);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_kinds),
        _ => {}
    }
}

/// The schema with the name of each kind of value.
static DESCRIBED: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft07().with_transform(transform::ForToml);
    settings.into_generator().into_root_schema_for::<File>().to_value()
});

static KEYS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let properties = |schema: &Value| -> BTreeSet<String> {
        let keys = schema.get("properties").and_then(Value::as_object);
        keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    };
    let definitions = SCHEMA.get("definitions").and_then(Value::as_object);
    let mut shapes: BTreeMap<String, BTreeSet<String>> = definitions
        .map(|all| all.iter().map(|(name, schema)| (name.clone(), properties(schema))).collect())
        .unwrap_or_default();
    shapes.retain(|_, keys| !keys.is_empty());
    shapes.insert("File".to_owned(), properties(&SCHEMA));
    shapes
});
