//! `[jobs.<name>]`: work that runs and ends.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::schedule::{ScheduleText, ZoneName};
use super::service::Service;
use super::value::*;

/// A job: work that runs and ends, in a container of its own or within a service. One trigger: `schedule`, `after`, `on_change`, or none, by hand.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, transform = without_keys_of_services)]
pub struct Job {
    #[schemars(flatten)]
    pub service: Service,
    /// When it runs, as cron says it: minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    /// With both days restricted either is enough.
    pub schedule: Option<ScheduleText>,
    /// The time zone of `schedule`. A time that the clock skips runs at the next minute there is, one that it repeats runs once.
    pub timezone: Option<ZoneName>,
    /// Jobs whose end starts this one, each with the end that counts.
    pub after: Option<BTreeMap<String, Ending>>,
    /// Run it once for each definition: when it is new, and whenever it changed.
    pub on_change: Option<Flag>,
    /// Run the command within this service instead of in a container of its own: `"services.db"`.
    pub exec_in: Option<Filled>,
    /// What happens when a run is due and the one before still goes on.
    pub overlap: Option<Overlap>,
    /// What happens to runs that were missed while the host or evenkeel was down.
    pub catch_up: Option<CatchUp>,
    /// A run that could not start within this time of its schedule is missed.
    pub start_within: Option<DurationText>,
    /// A run that takes longer is stopped, and has failed.
    pub timeout: Option<DurationText>,
    /// How often a failed run is tried again.
    pub retries: Option<Count>,
    /// Time before a failed run is tried again.
    pub retry_delay: Option<DurationText>,
    /// Start at random up to this long after the schedule, so that not all hosts start at once.
    pub jitter: Option<DurationText>,
    /// How many containers of ended runs stay, for their logs.
    pub keep: Option<KeepRuns>,
}

/// How many ended runs are kept.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct KeepRuns {
    /// Runs that ended well.
    pub success: Option<Count>,
    /// Runs that failed.
    pub failure: Option<Count>,
}

choice!(
    /// How a job ended.
    Ending = ["succeeded", "failed", "finished"]
);
choice!(
    /// What happens when a run is due and the one before still goes on.
    Overlap = ["skip", "queue", "replace", "allow"]
);
choice!(
    /// What happens to missed runs.
    CatchUp = ["skip", "once"]
);

/// Keys of a service that say nothing of work that ends.
pub(in crate::desired) const NOT_OF_JOBS: [&str; 6] =
    ["restart", "ports", "scale", "container_name", "rollout", "extends"];

/// A schema that was flattened into another one closes it with a keyword that draft 7 does not have.
pub(super) fn close(schema: &mut Schema) {
    if schema.remove("unevaluatedProperties").is_some() {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

fn without_keys_of_services(schema: &mut Schema) {
    close(schema);
    if let Some(Value::Object(keys)) = schema.get_mut("properties") {
        keys.retain(|key, _| !NOT_OF_JOBS.contains(&key.as_str()));
    }
}
