//! SHELL: the Prometheus registry with its typed methods, and the HTTP server.
//!
//! Every event of the controller has one method here, so that names, labels and units live in one place. All of them are
//! listed in `metrics/exposition.txt` (invariant I15) and explained in `docs/metrics.md`. No label ever carries a value that
//! an operator may want to keep secret: labels are names of things, revisions, image references and words of ours.

pub mod adoption;
pub mod api;
mod artifacts;
mod builds;
pub mod client;
mod disk;
pub mod images;
mod jobs;
mod messages;
mod register;
pub mod server;
mod service;
mod sync;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};
use thiserror::Error;

use crate::desired::work::answers::Asker;
use crate::state::plan::Failure;
use crate::state::time::Timestamp;
use artifacts::ArtifactSeries;
use builds::BuildSeries;
use disk::DiskSeries;
use jobs::JobSeries;
use register::Registrar;
use service::ServiceSeries;
pub use service::{ServiceGauges, Serving};
pub use sync::SyncOutcome;
use sync::SyncSeries;

/// The registry refused a series, or its text could not be written.
#[derive(Debug, Error)]
#[error("metrics: {0}")]
pub struct MetricsError(String);

/// How a pass for one key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassResult {
    /// Nothing was to be done.
    Noop,
    /// Every step of the plan was carried out.
    Acted,
    /// Something failed; it is tried again after a backoff.
    Failed,
    /// The revision was rejected and the previous one is being put back.
    RolledBack,
    /// A guard, a hold or a frozen file kept it from acting.
    Refused,
}

impl PassResult {
    pub const ALL: [Self; 5] = [Self::Noop, Self::Acted, Self::Failed, Self::RolledBack, Self::Refused];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Acted => "acted",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
        }
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutResult {
    Committed,
    /// Failed its gate (or its watch) and was put back.
    RolledBack,
    /// Failed with nothing to go back to.
    Failed,
    /// The desired state changed before it was through.
    Superseded,
}

impl RolloutResult {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// What a load of the desired state came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadGauges {
    /// Diagnostics of severity error.
    pub errors: usize,
    /// Files that did not load; their services are frozen.
    pub broken_files: usize,
    /// Services wanted on this host, frozen ones included.
    pub services: usize,
    /// Secrets and configs that services here need and that this host does not have or cannot open.
    pub secrets_unavailable: usize,
    /// When it was loaded.
    pub at: Timestamp,
}

/// All series of evenkeel. Cheap to call from anywhere; share it in an `Arc`.
pub struct Metrics {
    registry: Registry,
    reconcile_total: IntCounterVec,
    reconcile_duration: Histogram,
    queue_depth: IntGauge,
    queue_oldest: Gauge,
    queue_retries: IntCounter,
    /// Age of the oldest entry when it was told and the moment it was told: the scrape adds what passed since.
    oldest: Mutex<Option<(Duration, Instant)>>,
    services: ServiceSeries,
    syncs: SyncSeries,
    builds: BuildSeries,
    messages: messages::NotifySeries,
    jobs: JobSeries,
    disk: DiskSeries,
    images: images::ImageSeries,
    artifacts: ArtifactSeries,
    rollout_duration: HistogramVec,
    engine_requests: IntCounterVec,
    engine_duration: HistogramVec,
    engine_up: IntGauge,
    engine_events: IntCounter,
    engine_reconnects: IntCounter,
    desired_errors: IntGauge,
    desired_broken_files: IntGauge,
    desired_services: IntGauge,
    secrets_unavailable: IntGauge,
    desired_last_load: Gauge,
    desired_loads: IntCounterVec,
    image_pulls: IntCounterVec,
    image_pull_duration: Histogram,
    guard_refused: IntGauge,
    unmanaged: IntGauge,
    store_writable: IntGauge,
    desired_readable: IntGauge,
    watch_events: IntCounter,
}

/// Upper bounds in seconds: a pass is mostly a handful of engine calls, sometimes a stop with its grace.
const PASS_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// From one local read to a write that runs into its 120 s deadline.
const CALL_BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
/// A rollout waits for gates: ten seconds of `monitor` up to deadlines of many minutes.
const ROLLOUT_BUCKETS: [f64; 9] = [1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0, 180.0, 600.0];
/// A cached layer to a large image on a slow line.
const PULL_BUCKETS: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0];

#[allow(clippy::cast_precision_loss)]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1000.0
}

impl Metrics {
    /// A registry of its own with every series, and the process collector.
    ///
    /// # Errors
    /// When a series is registered twice or has an invalid name: a mistake in this file, which the tests find.
    pub fn new() -> Result<Self, MetricsError> {
        let r = Registrar::new(Registry::new());
        r.process()?;
        let build: IntGaugeVec = r.gauges(
            "evenkeel_build_info",
            "Always 1; the labels say which evenkeel this is.",
            &["version", "arch"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH]).set(1);
        let metrics = Self {
            reconcile_total: r.counters(
                "evenkeel_reconcile_total",
                "Passes over one key (a service, network or volume), by how they ended.",
                &["result"],
            )?,
            reconcile_duration: r.histogram(
                "evenkeel_reconcile_duration_seconds",
                "How long a pass over one key took.",
                &PASS_BUCKETS,
            )?,
            queue_depth: r.gauge("evenkeel_queue_depth", "Keys that are due and wait for a free worker.")?,
            queue_oldest: r.float(
                "evenkeel_queue_oldest_seconds",
                "How long the key that waits longest has been due; 0 when none waits.",
            )?,
            queue_retries: r
                .counter("evenkeel_queue_retries_total", "Passes that were put back with a backoff.")?,
            oldest: Mutex::new(None),
            services: ServiceSeries::register(&r)?,
            syncs: SyncSeries::register(&r)?,
            builds: BuildSeries::register(&r)?,
            messages: messages::NotifySeries::register(&r)?,
            jobs: JobSeries::register(&r)?,
            disk: DiskSeries::register(&r)?,
            images: images::ImageSeries::register(&r)?,
            artifacts: ArtifactSeries::register(&r)?,
            rollout_duration: r.histograms(
                "evenkeel_rollout_duration_seconds",
                "From the first act of a rollout to its end, by update order and outcome.",
                &ROLLOUT_BUCKETS,
                &["order", "result"],
            )?,
            engine_requests: r.counters(
                "evenkeel_engine_requests_total",
                "Calls to the container engine, by operation and outcome (`ok` or the kind of failure).",
                &["operation", "result"],
            )?,
            engine_duration: r.histograms(
                "evenkeel_engine_request_duration_seconds",
                "How long calls to the container engine took.",
                &CALL_BUCKETS,
                &["operation"],
            )?,
            engine_up: r.gauge("evenkeel_engine_up", "1 while the container engine answers, else 0.")?,
            engine_events: r.counter(
                "evenkeel_engine_events_total",
                "Events received from the container engine that concern evenkeel.",
            )?,
            engine_reconnects: r.counter(
                "evenkeel_engine_reconnects_total",
                "Times the connection to the engine was found again after it was lost.",
            )?,
            desired_errors: r
                .gauge("evenkeel_desired_errors", "Errors in the desired state as it was last read.")?,
            desired_broken_files: r.gauge(
                "evenkeel_desired_broken_files",
                "Files of the desired state that do not load; their services are left as they are.",
            )?,
            desired_services: r.gauge("evenkeel_desired_services", "Services wanted on this host.")?,
            secrets_unavailable: r.gauge(
                "evenkeel_secrets_unavailable",
                "Secrets and configs that services on this host need and that cannot be had or opened here.",
            )?,
            desired_last_load: r.float(
                "evenkeel_desired_last_load_timestamp_seconds",
                "When the desired state was last read whole, in seconds since 1970.",
            )?,
            desired_loads: r.counters(
                "evenkeel_desired_loads_total",
                "Reads of the desired state: `ok`, `broken` (some file did not load), `unreadable` (nothing was taken over).",
                &["result"],
            )?,
            image_pulls: r.counters(
                "evenkeel_image_pulls_total",
                "Image pulls, by outcome (`ok` or the kind of failure).",
                &["result"],
            )?,
            image_pull_duration: r.histogram(
                "evenkeel_image_pull_duration_seconds",
                "How long image pulls took, failed ones included.",
                &PULL_BUCKETS,
            )?,
            unmanaged: r.gauge(
                "evenkeel_unmanaged_containers",
                "Containers on the host that are not evenkeel's; 0 unless the files ask for them.",
            )?,
            guard_refused: r.gauge(
                "evenkeel_guard_refused",
                "Services whose removal the guard holds back until someone consents.",
            )?,
            store_writable: r.gauge(
                "evenkeel_store_writable",
                "1 while the store takes writes; at 0 nothing is changed on the host.",
            )?,
            desired_readable: r.gauge(
                "evenkeel_desired_readable",
                "1 while the desired state can be read; at 0 what was read last stands.",
            )?,
            watch_events: r.counter(
                "evenkeel_watch_events_total",
                "Changes noticed in the directory of the desired state.",
            )?,
            registry: r.into_registry(),
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Series whose labels are known beforehand exist from the start: `rate()` needs a first value.
    fn start_at_zero(&self) {
        for result in PassResult::ALL {
            self.reconcile_total.with_label_values(&[result.as_str()]);
        }
        for result in ["ok", "broken", "unreadable"] {
            self.desired_loads.with_label_values(&[result]);
        }
        self.image_pulls.with_label_values(&["ok"]);
    }

    /// One pass over one key ended.
    pub fn reconciled(&self, result: PassResult, took: Duration) {
        self.reconcile_total.with_label_values(&[result.as_str()]).inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// The queue as it is now: how many keys are due, and how long the oldest of them has been.
    pub fn queue(&self, depth: usize, oldest: Option<Duration>) {
        self.queue_depth.set(as_i64(depth));
        if let Ok(mut slot) = self.oldest.lock() {
            *slot = oldest.map(|age| (age, Instant::now()));
        }
    }

    /// A key was put back with a backoff.
    pub fn queue_retry(&self) {
        self.queue_retries.inc();
    }

    /// Everything about one service that is true now. Replaces what was said of it before.
    pub fn service(&self, service: &crate::desired::ident::ServiceId, now: &ServiceGauges<'_>) {
        self.services.set(service, now);
    }

    /// The service is gone: so are its series.
    pub fn forget(&self, service: &crate::desired::ident::ServiceId) {
        self.services.forget(service);
    }

    /// A revision was rejected and the previous one put back.
    pub fn rolled_back(&self, service: &crate::desired::ident::ServiceId) {
        self.services.rolled_back(service);
    }

    /// Restarts of serving containers that were seen: by the engine, or by evenkeel after they died.
    pub fn restarted(&self, service: &crate::desired::ident::ServiceId, times: u32) {
        self.services.restarted(service, times);
    }

    /// A hook of the service ended.
    pub fn hook_ended(
        &self,
        service: &crate::desired::ident::ServiceId,
        point: crate::desired::hooks::HookPoint,
        good: bool,
    ) {
        self.services.hook_ended(service, point, good);
    }

    /// One probe of a container ended.
    pub fn probed(&self, service: &crate::desired::ident::ServiceId, kind: &str, good: bool, took: Duration) {
        self.services.probed(service, kind, good, took);
    }

    /// A slot of the service that should serve did not, for this long.
    pub fn downtime(&self, service: &crate::desired::ident::ServiceId, down: Duration) {
        self.services.downtime(service, down);
    }

    /// A rollout ended; `order` is `stop-first` or `start-first`.
    pub fn rollout(&self, order: &str, result: RolloutResult, took: Duration) {
        self.rollout_duration.with_label_values(&[order, result.as_str()]).observe(took.as_secs_f64());
    }

    /// One call to the engine was answered (or given up).
    pub fn engine_request(&self, operation: &str, result: Result<(), Failure>, took: Duration) {
        self.engine_requests.with_label_values(&[operation, outcome(result)]).inc();
        self.engine_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// The engine answers, or does not.
    pub fn engine_up(&self, up: bool) {
        self.engine_up.set(i64::from(up));
    }

    /// An event of the engine came in.
    pub fn engine_event(&self) {
        self.engine_events.inc();
    }

    /// The engine was found again.
    pub fn engine_reconnected(&self) {
        self.engine_reconnects.inc();
    }

    /// The desired state was read whole and taken over.
    pub fn desired_loaded(&self, load: LoadGauges) {
        let result = if load.broken_files > 0 || load.errors > 0 { "broken" } else { "ok" };
        self.desired_loads.with_label_values(&[result]).inc();
        self.desired_errors.set(as_i64(load.errors));
        self.desired_broken_files.set(as_i64(load.broken_files));
        self.desired_services.set(as_i64(load.services));
        self.secrets_unavailable.set(as_i64(load.secrets_unavailable));
        #[allow(clippy::cast_precision_loss)]
        self.desired_last_load.set(seconds(load.at));
    }

    /// The desired state could not be read: what was known before stands.
    pub fn desired_unreadable(&self) {
        self.desired_loads.with_label_values(&["unreadable"]).inc();
    }

    /// A pull ended.
    pub fn pulled(&self, result: Result<(), Failure>, took: Duration) {
        self.image_pulls.with_label_values(&[outcome(result)]).inc();
        self.image_pull_duration.observe(took.as_secs_f64());
    }

    /// How many removals wait for consent now.
    pub fn guard_refused(&self, services: usize) {
        self.guard_refused.set(as_i64(services));
    }

    /// How many containers are not evenkeel's, where the files ask.
    pub fn unmanaged(&self, containers: usize) {
        self.unmanaged.set(as_i64(containers));
    }

    /// The store takes writes, or does not.
    pub fn store_writable(&self, writable: bool) {
        self.store_writable.set(i64::from(writable));
    }

    /// The source of the desired state can be read, or not: what it says is another matter.
    pub fn desired_readable(&self, readable: bool) {
        self.desired_readable.set(i64::from(readable));
    }

    /// A repository was synced, or was not.
    pub fn synced(&self, outcome: &SyncOutcome<'_>) {
        self.syncs.synced(outcome);
    }

    /// An image was built, or was not: `built`, `unchanged`, `failed`.
    pub fn built(&self, asker: &Asker, result: &str, took: Duration, at: Timestamp) {
        self.builds.built(asker, result, took, at);
    }

    /// A webhook request was answered.
    pub fn webhook(&self, kind: &str, result: &str) {
        self.syncs.webhook(kind, result);
    }

    /// What is remembered of a job.
    pub fn job(&self, id: &crate::desired::work::WorkId, record: &crate::state::jobs::JobRecord) {
        self.jobs.set(id, record);
    }

    /// A job is gone.
    pub fn forget_job(&self, id: &crate::desired::work::WorkId) {
        self.jobs.forget(id);
    }

    /// Everything about one artifact that is true now.
    pub fn artifact(
        &self,
        id: &crate::desired::work::WorkId,
        current: Option<&str>,
        since: Option<Timestamp>,
        condition: &str,
    ) {
        self.artifacts.set(id, current, since, condition);
    }

    /// Files were put in place, or were not.
    pub fn artifact_swapped(&self, id: &crate::desired::work::WorkId, result: &str) {
        self.artifacts.swapped(id, result);
    }

    /// The artifact is gone: so are its series.
    pub fn forget_artifact(&self, id: &crate::desired::work::WorkId) {
        self.artifacts.forget(id);
    }

    /// The room where the engine keeps its files.
    pub fn disk_space(&self, space: crate::state::space::Space, pressure: bool) {
        self.disk.space(space, pressure);
    }

    /// Things of this kind were removed because nothing needed them.
    pub fn pruned(&self, kind: &str, count: u64) {
        self.disk.pruned(kind, count);
    }

    /// Something changed in the directory of the desired state.
    pub fn watch_event(&self) {
        self.watch_events.inc();
    }

    /// The text exposition of everything, process metrics included.
    ///
    /// # Errors
    /// When a series cannot be written as text.
    pub fn render(&self) -> Result<String, MetricsError> {
        let oldest = self.oldest.lock().ok().and_then(|slot| *slot);
        let age = oldest.map_or(Duration::ZERO, |(age, told)| age + told.elapsed());
        self.queue_oldest.set(age.as_secs_f64());
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(MetricsError::from)
    }
}

impl From<prometheus::Error> for MetricsError {
    fn from(error: prometheus::Error) -> Self {
        Self(error.to_string())
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The word for an outcome: `ok`, or the kind of failure as it is stored everywhere else.
fn outcome(result: Result<(), Failure>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Failure::NotFound) => "not-found",
        Err(Failure::Conflict) => "conflict",
        Err(Failure::InProgress) => "in-progress",
        Err(Failure::Invalid) => "invalid",
        Err(Failure::PortBusy) => "port-busy",
        Err(Failure::NoSpace) => "no-space",
        Err(Failure::Unauthorized) => "unauthorized",
        Err(Failure::Registry) => "registry",
        Err(Failure::Unreachable) => "unreachable",
        Err(Failure::Unknown) => "unknown",
        Err(Failure::Internal) => "internal",
    }
}
