//! Schedules and time zones.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::KIND;
use crate::desired::work::schedule::{self, NICKNAMES};

/// Five fields of cron, or a nickname.
#[derive(Debug, Clone)]
pub struct ScheduleText;

impl JsonSchema for ScheduleText {
    fn schema_name() -> Cow<'static, str> {
        "ScheduleText".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": pattern(),
            "examples": ["30 2 * * *", "*/15 6-22 * * mon-fri", "@daily"],
            KIND: "A schedule: `\"30 2 * * *\"`.",
        })
    }
}

/// What a schedule looks like, within the ranges of its fields.
fn pattern() -> String {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let any_case = |words: &[&str]| -> String {
        let letters = |word: &&str| -> String {
            word.chars().map(|c| format!("[{c}{}]", c.to_ascii_uppercase())).collect()
        };
        words.iter().map(letters).collect::<Vec<_>>().join("|")
    };
    let field = |value: &str, extra: &str| {
        let item = format!("(\\*|({value})(-({value}))?)(/[0-9]+)?{extra}");
        format!("({item})(,({item}))*")
    };
    let fields = [
        field("[0-5]?[0-9]", ""),
        field("[01]?[0-9]|2[0-3]", ""),
        field("0?[1-9]|[12][0-9]|3[01]", "|L|LW|(0?[1-9]|[12][0-9]|3[01])W|\\?"),
        field(&format!("0?[1-9]|1[0-2]|{}", any_case(&MONTHS)), ""),
        field(&format!("[0-7]|{}", any_case(&DAYS)), "|[0-7](#[1-5]|L)|\\?"),
    ];
    format!(
        "^\\s*({})\\s*$|^\\s*@({})\\s*$|\\$",
        fields.join("\\s+"),
        NICKNAMES.map(|(name, _)| name).join("|")
    )
}

/// The IANA name of a time zone. All of them, so that editors can offer them.
#[derive(Debug, Clone)]
pub struct ZoneName;

impl JsonSchema for ZoneName {
    fn schema_name() -> Cow<'static, str> {
        "ZoneName".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [{ "enum": schedule::zones() }, { "pattern": "\\$" }],
            KIND: "The IANA name of a time zone: `\"Europe/Berlin\"`.",
        })
    }
}
