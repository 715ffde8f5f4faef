//! `[artifacts.<name>]` and `[notify.<name>]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::value::*;

/// Files out of an image, put onto the host in one rename.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Artifact {
    /// Where they come from: `"builds.docs"`, `"services.web"`, or an image.
    pub from: Filled,
    /// The path in it.
    pub path: Filled,
    /// The path on the host.
    pub to: Filled,
    /// `symlink`: unpacked beside, and a link moves in one rename; `exchange`: the folder itself is exchanged.
    pub swap: Option<Swap>,
    /// Paths that must be in it, or nothing is replaced.
    pub require: Option<OneOrMany>,
    /// Owner and group on the host: `"www-data:www-data"`.
    pub owner: Option<Filled>,
    /// Permission bits of its files; folders may be entered by whoever may read them.
    pub mode: Option<Mode>,
    /// How many old ones stay, to go back to.
    pub keep: Option<Count>,
    /// Commands on the host after the rename, in order.
    pub after_switch: Option<Vec<SwitchHook>>,
    /// Which hosts get it: names, patterns, `label=value`, and `!` for all but these.
    pub on_hosts: Option<OneOrMany>,
}

/// What runs after an artifact was put in place.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SwitchHook {
    /// The command.
    pub command: Command,
    /// Runs in this image instead of on the host.
    pub image: Option<Filled>,
    /// User it runs as.
    pub user: Option<Filled>,
    /// Its working directory.
    pub working_dir: Option<Filled>,
    /// Its environment.
    pub environment: Option<Environment>,
    /// A command that takes longer is stopped, and has failed.
    pub timeout: Option<DurationText>,
    /// What a failure leads to: `abort` puts the old one back.
    pub on_error: Option<OnHookError>,
}

/// Whom to tell what happened.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Notify {
    /// Where a message is posted to.
    pub url: Filled,
    /// What is told: `"job.failed"`, `"update.*"`; everything when left out.
    pub events: Option<Events>,
    /// HTTP headers of the request.
    pub headers: Option<BTreeMap<String, Text>>,
}

choice!(
    /// How an artifact takes the place of the one before.
    Swap = ["symlink", "exchange"]
);
/// What can be told.
pub(in crate::desired) const EVENTS: [&str; 15] = [
    "update.started",
    "update.committed",
    "update.rejected",
    "update.rolled-back",
    "service.degraded",
    "service.recovered",
    "service.removed",
    "job.succeeded",
    "job.failed",
    "job.missed",
    "build.succeeded",
    "build.failed",
    "artifact.switched",
    "artifact.failed",
    "files.broken",
];

/// Names of events.
#[derive(Debug, Clone)]
pub struct Events;

impl JsonSchema for Events {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Events".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let event = serde_json::json!([{ "enum": EVENTS }, { "pattern": "^[a-z]+\\.\\*$|^\\*$|\\$" }]);
        schemars::json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string", "anyOf": event },
            super::KIND: "An event, or a list of events; `update.*` is all of a kind.",
        })
    }
}
