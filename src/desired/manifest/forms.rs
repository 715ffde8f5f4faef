//! Values that have a short and a long form.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::parts::{Dependency, DeviceRequest, Ulimit};
use super::value::*;

/// A list whose items are short text (or numbers) or a table of the long form.
#[derive(Debug, Clone)]
pub struct ShortOrLong<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ShortOrLong<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ShortOr{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        // Only ports have a number as short form.
        let short = if T::schema_name() == "Port" {
            json_schema!({ "type": ["string", "integer"], "minimum": 1, "maximum": 65535 })
        } else {
            json_schema!({ "type": "string" })
        };
        json_schema!({
            "type": "array",
            "items": { "if": { "type": "object" }, "then": long, "else": short },
        })
    }
}

/// One text, or a list whose items are text or a table of the long form.
#[derive(Debug, Clone)]
pub struct OneOrManyOf<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrManyOf<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({
            "type": ["string", "array"],
            "items": { "if": { "type": "object" }, "then": long, "else": { "type": "string" } },
        })
    }
}

/// One text, or a table of the long form.
#[derive(Debug, Clone)]
pub struct TextOr<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for TextOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({ "if": { "type": "object" }, "then": long, "else": { "type": "string" } })
    }
}

/// A list of tables, or one table that stands for a list of one.
#[derive(Debug, Clone)]
pub struct TableOrList<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for TableOrList<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("TableOrList{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({
            "if": { "type": "array" },
            "then": { "type": "array", "items": one },
            "else": one,
        })
    }
}

/// A list of names, or a table with an entry per name.
#[derive(Debug, Clone)]
pub struct NamesOr<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for NamesOr<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("NamesOr{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "additionalProperties": long,
        })
    }
}

/// A list of services, or a table with a condition or a table per service.
#[derive(Debug, Clone)]
pub struct DependsOn;

impl JsonSchema for DependsOn {
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Dependency>();
        let short = generator.subschema_for::<Condition>();
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "additionalProperties": { "if": { "type": "object" }, "then": long, "else": short },
        })
    }
}

/// A limit for both, or soft and hard.
#[derive(Debug, Clone)]
pub struct UlimitValue;

impl JsonSchema for UlimitValue {
    fn schema_name() -> Cow<'static, str> {
        "UlimitValue".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Ulimit>();
        let short = generator.subschema_for::<Limit>();
        json_schema!({ "if": { "type": "object" }, "then": long, "else": short })
    }
}

/// A service's network when it has none of its own.
#[derive(Debug, Clone)]
pub struct NetworkMode;

impl JsonSchema for NetworkMode {
    fn schema_name() -> Cow<'static, str> {
        "NetworkMode".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [
                { "enum": ["bridge", "host", "none", "default"] },
                { "pattern": "^(service|container):.+$" },
                { "pattern": "\\$" },
            ],
        })
    }
}

/// `"all"`, or a list of requests.
#[derive(Debug, Clone)]
pub struct Gpus;

impl JsonSchema for Gpus {
    fn schema_name() -> Cow<'static, str> {
        "Gpus".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<DeviceRequest>();
        json_schema!({ "type": ["string", "array"], "pattern": "^all$|\\$", "items": long })
    }
}
