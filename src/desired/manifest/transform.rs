//! What every generated schema needs so that it fits TOML and this language.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

/// No nulls (TOML has none: an optional key is left out), `x-` keys wherever keys are fixed, and nothing beside a
/// `$ref`, whose neighbours draft 7 ignores.
#[derive(Debug, Clone)]
pub(super) struct ForToml;

impl Transform for ForToml {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        drop_null_type(object);
        drop_null_branch(object);
        object.remove("format");
        if object.get("additionalProperties") == Some(&Value::Bool(false)) {
            object.insert("patternProperties".to_owned(), json!({ "^x-": true }));
        }
        if object.contains_key("$ref")
            && object.len() > 1
            && let Some(target) = object.remove("$ref")
        {
            object.insert("allOf".to_owned(), json!([{ "$ref": target }]));
        }
    }
}

fn drop_null_type(object: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = object.get_mut("type") else { return };
    types.retain(|kind| kind != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        object.insert("type".to_owned(), only);
    }
}

fn drop_null_branch(object: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else { return };
    let before = branches.len();
    branches.retain(|branch| branch != &json!({ "type": "null" }));
    if branches.len() == before {
        return;
    }
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}
