//! Series about images that are followed, and what is told of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use serde::{Deserialize, Serialize};

use super::MetricsError;
use super::register::Registrar;
use crate::state::images::UpdateKind;
use crate::state::time::Timestamp;

/// `/v1/work/images`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesReport {
    pub images: Vec<ImageRow>,
}

/// One service or job whose tag is picked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageRow {
    /// `shop/web`.
    pub service: String,
    /// `service` or `job`.
    pub kind: String,
    /// Without a tag.
    pub image: String,
    /// `semver ^1.8`.
    pub policy: String,
    /// What was chosen last; a service may be on its way to it, or wait for approval.
    pub chosen: Option<TagRow>,
    /// What serves, where that is another one because the chosen one failed.
    pub serving: Option<TagRow>,
    /// The newest that the policy takes, however young.
    pub allowed: Option<String>,
    /// The newest whatever the range.
    pub newest: Option<String>,
    /// What is better than what was chosen, and why it is not taken, the best first.
    pub passed: Vec<PassedRow>,
    /// What going to the newest would change.
    pub update: Option<UpdateKind>,
    /// The last look that went well.
    pub looked: Option<Timestamp>,
    /// Milliseconds until the next look; `None`: no daemon runs.
    pub next_ms: Option<u64>,
    /// Why the last look did not go well.
    pub trouble: Option<String>,
    /// Why it could not be written back into the repository.
    pub unwritten: Option<String>,
    /// Looks since the daemon began, to wait for one.
    pub looks: u64,
}

impl ImageRow {
    /// Unlike that of any other row: a job may have the name of a service.
    #[must_use]
    pub fn key(&self) -> String {
        if self.kind == "job" { format!("{} (job)", self.service) } else { self.service.clone() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRow {
    pub tag: String,
    pub digest: String,
}

/// A tag that is not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedRow {
    pub tag: String,
    /// For people.
    pub why: String,
    /// When it is old enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// What is to be looked at now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOrder {
    /// `shop/web`; none: all.
    pub services: Vec<String>,
}

/// A look that was asked for: it is over when each has had so many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAccepted {
    pub looks: BTreeMap<String, u64>,
}

pub(super) struct ImageSeries {
    requests: IntCounterVec,
    update: IntGaugeVec,
    looked: GaugeVec,
    trouble: IntGaugeVec,
    written: IntCounterVec,
    /// Whose series are shown.
    shown: Mutex<BTreeMap<String, Option<UpdateKind>>>,
}

impl ImageSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        Ok(Self {
            requests: r.counters(
                "evenkeel_registry_requests_total",
                "Questions to registries about images that are followed, by registry and result: `ok`, `not-found`, `unauthorized`, `limited`, `unavailable`, `invalid`.",
                &["registry", "result"],
            )?,
            update: r.gauges(
                "evenkeel_image_update_available",
                "1 for a service or job whose image has a newer tag than the chosen one, allowed by its policy or not, by what it changes: `digest`, `patch`, `minor`, `major`, `tag`.",
                &["service", "kind"],
            )?,
            looked: r.floats(
                "evenkeel_image_check_last_success_timestamp_seconds",
                "When the registry was last asked about the image of a service or job and answered, in seconds since 1970.",
                &["service"],
            )?,
            trouble: r.gauges(
                "evenkeel_image_check_failing",
                "1 while the last look at the registry for a service or job failed; what was chosen before stands.",
                &["service"],
            )?,
            written: r.counters(
                "evenkeel_write_back_total",
                "Tags written back into a repository, by source and result: `pushed`, `unchanged` (it said so already), `failed`.",
                &["source", "result"],
            )?,
            shown: Mutex::default(),
        })
    }
}

impl super::Metrics {
    /// A question to a registry was answered, or not.
    pub fn registry_asked(&self, registry: &str, result: &str) {
        self.images.requests.with_label_values(&[registry, result]).inc();
    }

    /// A tag was written back, or not.
    pub fn written_back(&self, source: &str, result: &str) {
        self.images.written.with_label_values(&[source, result]).inc();
    }

    /// What is known of the images of everybody who follows one; whoever is not in it follows none any more.
    pub fn images_followed(&self, rows: &[ImageRow]) {
        let series = &self.images;
        let mut shown = series.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *shown);
        for (service, kind) in &before {
            let now = rows.iter().find(|row| row.key() == *service);
            if let Some(kind) = kind.filter(|kind| now.is_none_or(|row| row.update != Some(*kind))) {
                let _gone = series.update.remove_label_values(&[service.as_str(), kind.as_str()]);
            }
            if now.is_none() {
                let _gone = series.looked.remove_label_values(&[service.as_str()]);
                let _gone = series.trouble.remove_label_values(&[service.as_str()]);
            }
        }
        for row in rows {
            let key = row.key();
            if let Some(kind) = row.update {
                series.update.with_label_values(&[key.as_str(), kind.as_str()]).set(1);
            }
            if let Some(at) = row.looked {
                series.looked.with_label_values(&[&key]).set(super::seconds(at));
            }
            series.trouble.with_label_values(&[&key]).set(i64::from(row.trouble.is_some()));
            shown.insert(key, row.update);
        }
    }
}
