//! `deploy` of a service.

use schemars::JsonSchema;

use super::parts::DeviceRequest;
use super::value::*;

/// Replicas, limits, and how updates go.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Deploy {
    /// How many containers on each host that is meant.
    pub replicas: Option<Count>,
    /// `replicated` (the default): `replicas` of them on each host that is meant; `global`: one.
    pub mode: Option<DeployMode>,
    /// Which hosts are meant, in Swarm's words.
    pub placement: Option<Placement>,
    /// Limits and reservations.
    pub resources: Option<Resources>,
    /// How an update goes.
    pub update_config: Option<UpdateConfig>,
    /// How the way back from a failed update goes, where that differs.
    pub rollback_config: Option<RollbackConfig>,
    /// Labels; here they go on the container too, under `labels`.
    pub labels: Option<Labels>,
    /// The long form of `restart`, which it overrides.
    pub restart_policy: Option<RestartPolicy>,
}

/// Which hosts are meant, in Swarm's words.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Placement {
    /// All must hold: `["node.labels.zone == eu", "node.hostname != fra2"]`.
    pub constraints: Option<OneOrMany>,
}

/// Limits and reservations.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// What the container never gets more of.
    pub limits: Option<Limits>,
    /// What stays the container's.
    pub reservations: Option<Reservations>,
}

/// Upper limits.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// Cores: `"0.5"`.
    pub cpus: Option<Cores>,
    /// Memory: `"512m"`.
    pub memory: Option<Size>,
    /// Processes and threads.
    pub pids: Option<Limit>,
}

/// Reservations.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reservations {
    /// Memory: `"256m"`.
    pub memory: Option<Size>,
    /// Devices of the host by what they can do, such as graphics processors.
    pub devices: Option<Vec<DeviceRequest>>,
}

/// How an update goes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpdateConfig {
    /// `stop-first` (the default), `start-first`, or `auto`: start-first where old and new provably do not collide.
    pub order: Option<Order>,
    /// Containers replaced at a time (1); 0 is all.
    pub parallelism: Option<Count>,
    /// Pause between two of them.
    pub delay: Option<DurationText>,
    /// `rollback` (the default), `pause` or `continue`.
    pub failure_action: Option<OnUpdateFailure>,
    /// How long a new container without a healthcheck must run to count as good (`10s`).
    pub monitor: Option<DurationText>,
    /// Part of the containers that may fail: `0.25`.
    pub max_failure_ratio: Option<Ratio>,
}

/// How the way back from a failed update goes. Keys that are left out are as in `update_config`, but for `parallelism`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RollbackConfig {
    /// `stop-first`, `start-first` or `auto`.
    pub order: Option<Order>,
    /// Containers put back at a time; 0, and when left out, is all.
    pub parallelism: Option<Count>,
    /// Pause between two of them.
    pub delay: Option<DurationText>,
    /// How long a container without a healthcheck must run to count as good again.
    pub monitor: Option<DurationText>,
}

/// The long form of `restart`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any` (the default); Compose also takes `restart`'s words here.
    pub condition: Option<RestartCondition>,
    /// Most restarts, with `on-failure`.
    pub max_attempts: Option<Count>,
}
