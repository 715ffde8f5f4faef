//! Series about images that are built here.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::MetricsError;
use super::register::Registrar;
use crate::desired::work::answers::Asker;
use crate::state::time::Timestamp;

/// From a build that comes out of the cache to one that compiles a browser.
const BUILD_BUCKETS: [f64; 11] = [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0];
/// Ways a build can end.
const RESULTS: [&str; 3] = ["built", "unchanged", "failed"];

pub(super) struct BuildSeries {
    total: IntCounterVec,
    duration: HistogramVec,
    last_success: GaugeVec,
    failing: IntGaugeVec,
}

impl BuildSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        let labels = ["project", "build"];
        Ok(Self {
            total: r.counters(
                "evenkeel_builds_total",
                "Builds that ended, by result: `built`, `unchanged` (the same image came out), `failed`.",
                &["project", "build", "result"],
            )?,
            duration: r.histograms(
                "evenkeel_build_duration_seconds",
                "How long builds took, failed ones included, without their push.",
                &BUILD_BUCKETS,
                &labels,
            )?,
            last_success: r.floats(
                "evenkeel_build_last_success_timestamp_seconds",
                "When a build last ended well, in seconds since 1970.",
                &labels,
            )?,
            failing: r.gauges(
                "evenkeel_build_failing",
                "1 while the last try to build an image failed.",
                &labels,
            )?,
        })
    }

    pub(super) fn built(&self, asker: &Asker, result: &str, took: Duration, at: Timestamp) {
        let (project, build) = match asker {
            Asker::Service(id) => (id.project.as_str(), format!("services.{}", id.service)),
            Asker::Job(id) => (id.project.as_str(), format!("jobs.{}", id.name)),
            Asker::Build(id) => (id.project.as_str(), format!("builds.{}", id.name)),
        };
        for known in RESULTS {
            let _at_zero = self.total.with_label_values(&[project, &build, known]);
        }
        self.total.with_label_values(&[project, &build, result]).inc();
        self.duration.with_label_values(&[project, &build]).observe(took.as_secs_f64());
        let failed = result == "failed";
        self.failing.with_label_values(&[project, &build]).set(i64::from(failed));
        if !failed {
            self.last_success.with_label_values(&[project, &build]).set(super::seconds(at));
        }
    }
}
