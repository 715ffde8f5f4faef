//! The series of jobs. They appear with a job and go with it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::MetricsError;
use super::register::Registrar;
use crate::desired::work::WorkId;
use crate::state::jobs::{JobRecord, Result as RunResult, Stage};

pub(super) struct JobSeries {
    last_success: GaugeVec,
    last_duration: GaugeVec,
    runs: IntCounterVec,
    missed: IntCounterVec,
    skipped: IntCounterVec,
    running: IntGaugeVec,
    known: Mutex<BTreeSet<WorkId>>,
}

/// Not `job`: Prometheus has that label itself, for what it scrapes.
const JOB: [&str; 2] = ["project", "job_name"];

impl JobSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        Ok(Self {
            last_success: r.floats(
                "evenkeel_job_last_success_timestamp_seconds",
                "When a job last ended well, in seconds since 1970; 0 while it never did.",
                &JOB,
            )?,
            last_duration: r.floats(
                "evenkeel_job_last_duration_seconds",
                "How long the run of a job took that ended last.",
                &JOB,
            )?,
            runs: r.counters(
                "evenkeel_job_runs_total",
                "Runs of a job that ended, every try counted, by result: `succeeded`, `failed`, `timed-out`, `replaced`, `stopped`, `broken` (could not be started), `lost` (how it ended is not known).",
                &["project", "job_name", "result"],
            )?,
            missed: r.counters(
                "evenkeel_job_missed_total",
                "Occurrences of a job's schedule that were not run: evenkeel or the host was down, or it could not begin within start_within.",
                &JOB,
            )?,
            skipped: r.counters(
                "evenkeel_job_skipped_total",
                "Runs of a job that were passed over, because of overlap or because it is paused.",
                &JOB,
            )?,
            running: r.gauges("evenkeel_job_running", "Runs of a job that are under way.", &JOB)?,
            known: Mutex::default(),
        })
    }

    /// Counters start where the journal is: a restart of evenkeel loses no end.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn set(&self, id: &WorkId, record: &JobRecord) {
        let labels = [id.project.as_str(), id.name.as_str()];
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        let success = record.last_success.map(super::seconds).unwrap_or_default();
        self.last_success.with_label_values(&labels).set(success);
        let took = record.last_took_ms.unwrap_or_default() as f64 / 1000.0;
        self.last_duration.with_label_values(&labels).set(took);
        for result in RunResult::ALL {
            let counter = self.runs.with_label_values(&[labels[0], labels[1], result.word()]);
            let now = record.results.get(&result).copied().unwrap_or_default();
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        let missed = self.missed.with_label_values(&labels);
        missed.inc_by(record.missed.saturating_sub(missed.get()));
        let skipped = self.skipped.with_label_values(&labels);
        skipped.inc_by(record.skipped.saturating_sub(skipped.get()));
        let running = record.open().filter(|(_, run)| run.stage != Stage::Waiting).count();
        self.running.with_label_values(&labels).set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    pub(super) fn forget(&self, id: &WorkId) {
        if !self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            return;
        }
        let labels = [id.project.as_str(), id.name.as_str()];
        let _gone = self.last_success.remove_label_values(&labels);
        let _gone = self.last_duration.remove_label_values(&labels);
        let _gone = self.missed.remove_label_values(&labels);
        let _gone = self.skipped.remove_label_values(&labels);
        let _gone = self.running.remove_label_values(&labels);
        for result in RunResult::ALL {
            let _gone = self.runs.remove_label_values(&[labels[0], labels[1], result.word()]);
        }
    }
}
