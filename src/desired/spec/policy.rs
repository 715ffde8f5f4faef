//! What only evenkeel reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rollout::Rollout;
use super::{DriftPolicy, is_default};
use crate::desired::hooks::Hooks;
use crate::desired::ident::ServiceName;
use crate::desired::probe::Probe;

/// What evenkeel itself acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub replicas: u32,
    pub pull: PullPolicy,
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    pub update: UpdateConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Never removed, and replaced only when somebody has approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// Every roll-out over something that serves waits until somebody has approved it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approve: bool,
    /// `[policy.drift]` of its project and the folders above.
    #[serde(default, skip_serializing_if = "DriftPolicy::is_default")]
    pub drift: DriftPolicy,
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    #[default]
    Missing,
    Always,
    Never,
    /// Compose's `daily`, `weekly`, `every_<duration>`: seconds.
    Every(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub condition: DependencyCondition,
    /// Restart this service after evenkeel replaced or restarted the dependency.
    pub restart: bool,
    /// `false`: a missing or failed dependency is no obstacle.
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// `deploy.update_config` with DESIGN.md's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateConfig {
    pub order: UpdateOrder,
    /// Slots replaced at a time; 0 is all of them.
    pub parallelism: u32,
    /// Milliseconds between batches.
    pub delay_ms: u64,
    pub failure_action: FailureAction,
    /// Milliseconds a container without a healthcheck must run (one with a check ends earlier, when healthy).
    pub monitor_ms: u64,
    /// Milliseconds until a container with a healthcheck must be healthy.
    pub healthy_within_ms: u64,
    /// Failed slots tolerated, in thousandths of all slots (Compose's `max_failure_ratio`).
    pub max_failure_permille: u32,
    /// `deploy.rollback_config`: what goes another way when the way leads back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollback: RollbackConfig,
}

/// `deploy.rollback_config`. What is not said is as in `update_config`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RollbackConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub order: Option<UpdateOrder>,
    #[serde(skip_serializing_if = "is_default")]
    pub parallelism: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    pub delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub monitor_ms: Option<u64>,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self {
            order: UpdateOrder::StopFirst,
            parallelism: 1,
            delay_ms: 0,
            failure_action: FailureAction::Rollback,
            monitor_ms: 10_000,
            healthy_within_ms: 180_000,
            max_failure_permille: 0,
            rollback: RollbackConfig::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    StopFirst,
    StartFirst,
    /// start-first where an overlap is provably safe, else stop-first.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    Rollback,
    Pause,
    Continue,
}
