//! Series about repositories and webhooks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::MetricsError;
use super::register::Registrar;
use crate::desired::snapshot::Commit;
use crate::state::time::Timestamp;

fn labels<'a>(source: &'a str, commit: &'a Commit) -> [&'a str; 4] {
    [source, &commit.id, &commit.author, &commit.subject]
}

/// A look at a branch that has not moved, to a first fetch on a slow line.
const SYNC_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// One try to sync a source.
#[derive(Debug, Clone, Copy)]
pub struct SyncOutcome<'a> {
    pub source: &'a str,
    /// applied, unchanged, unverified, failed.
    pub result: &'a str,
    pub took: Duration,
    /// What is in force is what the branch says.
    pub well: bool,
    pub unverified: bool,
    /// In force after this try.
    pub commit: Option<&'a Commit>,
    pub at: Timestamp,
}

pub(super) struct SyncSeries {
    total: IntCounterVec,
    duration: HistogramVec,
    last_success: GaugeVec,
    commit: IntGaugeVec,
    unverified: IntCounterVec,
    webhooks: IntCounterVec,
    /// The commit that each source shows, to take it away when another one comes.
    shown: Mutex<BTreeMap<String, Commit>>,
}

impl SyncSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        Ok(Self {
            total: r.counters(
                "evenkeel_sync_total",
                "Tries to sync a repository, by result: `applied`, `unchanged`, `unverified`, `failed`.",
                &["source", "result"],
            )?,
            duration: r.histograms(
                "evenkeel_sync_duration_seconds",
                "How long tries to sync a repository took, failed ones included.",
                &SYNC_BUCKETS,
                &["source"],
            )?,
            last_success: r.floats(
                "evenkeel_sync_last_success_timestamp_seconds",
                "When a repository was last synced, in seconds since 1970; the commit in force is then what its branch says.",
                &["source"],
            )?,
            commit: r.gauges(
                "evenkeel_source_commit_info",
                "Always 1; the labels say which commit of a repository is in force, whose it is, and what it says it does.",
                &["source", "commit", "author", "subject"],
            )?,
            unverified: r.counters(
                "evenkeel_sync_verification_failures_total",
                "Tries that ended with a commit that is not signed by an allowed signer.",
                &["source"],
            )?,
            webhooks: r.counters(
                "evenkeel_webhook_requests_total",
                "Webhook requests, by kind of forge and result: `accepted`, `refused` (wrong signature), `invalid`.",
                &["kind", "result"],
            )?,
            shown: Mutex::new(BTreeMap::new()),
        })
    }

    pub(super) fn synced(&self, outcome: &SyncOutcome<'_>) {
        let source = outcome.source;
        // All results are there from the first try on: an alert can then see that there is no success.
        for result in ["applied", "unchanged", "unverified", "failed"] {
            let _at_zero = self.total.with_label_values(&[source, result]);
        }
        self.total.with_label_values(&[source, outcome.result]).inc();
        self.duration.with_label_values(&[source]).observe(outcome.took.as_secs_f64());
        if outcome.well {
            self.last_success.with_label_values(&[source]).set(super::seconds(outcome.at));
        }
        let failures = self.unverified.with_label_values(&[source]);
        if outcome.unverified {
            failures.inc();
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = shown.get(source).filter(|before| Some(*before) != outcome.commit) {
            let _gone = self.commit.remove_label_values(&labels(source, before));
        }
        if let Some(commit) = outcome.commit {
            self.commit.with_label_values(&labels(source, commit)).set(1);
            shown.insert(source.to_owned(), commit.clone());
        }
    }

    pub(super) fn webhook(&self, kind: &str, result: &str) {
        self.webhooks.with_label_values(&[kind, result]).inc();
    }
}
