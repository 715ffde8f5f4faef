//! Series about messages to people.

use prometheus::IntCounterVec;

use super::MetricsError;
use super::register::Registrar;
use crate::desired::work::WorkId;

pub(super) struct NotifySeries {
    total: IntCounterVec,
}

impl NotifySeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        Ok(Self {
            total: r.counters(
                "evenkeel_notifications_total",
                "Messages to people, by result: `delivered`, `failed` (given up after some tries), `dropped` (too many waited).",
                &["project", "notify", "result"],
            )?,
        })
    }
}

impl super::Metrics {
    /// A message came to its end.
    pub fn notified(&self, id: &WorkId, result: &str) {
        self.messages.total.with_label_values(&[id.project.as_str(), id.name.as_str(), result]).inc();
    }
}
