//! Series about the engine's disk.

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::MetricsError;
use super::register::Registrar;
use crate::state::space::Space;

pub(super) struct DiskSeries {
    free: Gauge,
    size: Gauge,
    pressure: IntGauge,
    pruned: IntCounterVec,
}

impl DiskSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        let series = Self {
            free: r.float(
                "evenkeel_disk_free_bytes",
                "Room on the file system where the engine keeps its files; 0 while it cannot be told.",
            )?,
            size: r.float(
                "evenkeel_disk_size_bytes",
                "Size of the file system where the engine keeps its files; 0 while it cannot be told.",
            )?,
            pressure: r.gauge(
                "evenkeel_disk_pressure",
                "1 while less is free there than limits.disk_pressure says: nothing is pulled or built.",
            )?,
            pruned: r.counters(
                "evenkeel_pruned_total",
                "What was removed because nothing needed it any more, by kind: `image`, `container`, `artifact`.",
                &["kind"],
            )?,
        };
        for kind in ["image", "container", "artifact"] {
            let _at_zero = series.pruned.with_label_values(&[kind]);
        }
        Ok(series)
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn space(&self, space: Space, pressure: bool) {
        self.free.set(space.free as f64);
        self.size.set(space.total as f64);
        self.pressure.set(i64::from(pressure));
    }

    pub(super) fn pruned(&self, kind: &str, count: u64) {
        self.pruned.with_label_values(&[kind]).inc_by(count);
    }
}
