//! Series about artifacts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::MetricsError;
use super::register::Registrar;
use crate::desired::work::WorkId;
use crate::state::time::Timestamp;

pub(super) struct ArtifactSeries {
    info: IntGaugeVec,
    last_swap: GaugeVec,
    ready: IntGaugeVec,
    swaps: IntCounterVec,
    /// The version that each shows, to take it away when another one comes.
    shown: Mutex<BTreeMap<WorkId, String>>,
}

/// How a switch went, or why there was none.
const RESULTS: [&str; 6] = ["switched", "rolled-back", "put-back", "refused", "hook-failed", "failed"];

impl ArtifactSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        let whose = &["project", "artifact"];
        Ok(Self {
            info: r.gauges(
                "evenkeel_artifact_info",
                "Always 1; the labels say which version of an artifact is in place.",
                &["project", "artifact", "id"],
            )?,
            last_swap: r.floats(
                "evenkeel_artifact_last_swap_timestamp_seconds",
                "When the version in place was put there, in seconds since 1970.",
                whose,
            )?,
            ready: r.gauges(
                "evenkeel_artifact_ready",
                "1 while what is in place is what is wanted, or where an operator went back to.",
                whose,
            )?,
            swaps: r.counters(
                "evenkeel_artifact_swaps_total",
                "Switches of artifacts by result: `switched`, `rolled-back` (by hand), `put-back` (a command after it failed), `hook-failed` (with nothing to put back), `refused` (what was copied), `failed`.",
                &["project", "artifact", "result"],
            )?,
            shown: Mutex::default(),
        })
    }

    pub(super) fn set(&self, id: &WorkId, current: Option<&str>, since: Option<Timestamp>, condition: &str) {
        let (project, name) = (id.project.as_str(), id.name.as_str());
        for result in RESULTS {
            let _at_zero = self.swaps.with_label_values(&[project, name, result]);
        }
        self.ready.with_label_values(&[project, name]).set(i64::from(matches!(condition, "ready" | "held")));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = shown.get(id).filter(|before| Some(before.as_str()) != current) {
            let _gone = self.info.remove_label_values(&[project, name, before]);
        }
        match current {
            Some(current) => {
                self.info.with_label_values(&[project, name, current]).set(1);
                shown.insert(id.clone(), current.to_owned());
            }
            None => drop(shown.remove(id)),
        }
        if let Some(since) = since {
            self.last_swap.with_label_values(&[project, name]).set(super::seconds(since));
        }
    }

    pub(super) fn swapped(&self, id: &WorkId, result: &str) {
        self.swaps.with_label_values(&[id.project.as_str(), id.name.as_str(), result]).inc();
    }

    pub(super) fn forget(&self, id: &WorkId) {
        let (project, name) = (id.project.as_str(), id.name.as_str());
        let before = self.shown.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(before) = before {
            let _gone = self.info.remove_label_values(&[project, name, &before]);
        }
        let _gone = self.ready.remove_label_values(&[project, name]);
        let _gone = self.last_swap.remove_label_values(&[project, name]);
        for result in RESULTS {
            let _gone = self.swaps.remove_label_values(&[project, name, result]);
        }
    }
}
