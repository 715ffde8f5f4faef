//! The series of one service. They appear with it and go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use prometheus::{CounterVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::MetricsError;
use super::register::Registrar;
use crate::desired::hooks::HookPoint;
use crate::desired::ident::ServiceId;
use crate::desired::snapshot::Commit;
use crate::desired::spec::DriftGroup;
use crate::state::condition::ConditionKind;

/// What is true of a service now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceGauges<'a> {
    pub condition: ConditionKind,
    pub desired: u32,
    pub running: u32,
    pub ready: u32,
    /// `None`: nothing serves.
    pub revision: Option<Serving<'a>>,
    /// What runs is not what is wanted.
    pub drift: bool,
    /// The wanted revision was rejected and is not tried again by itself.
    pub rejected: bool,
    pub held: bool,
    /// Containers whose probe fails; `None`: nothing of it is probed.
    pub probes_failing: Option<u32>,
    /// Groups of fields that somebody outside changed and that are left so.
    pub outside: &'a BTreeSet<DriftGroup>,
    /// Containers that were adopted and not replaced since.
    pub adopted: usize,
}

/// The revision that serves, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving<'a> {
    /// Short id.
    pub revision: &'a str,
    /// The reference, as written.
    pub image: &'a str,
    /// `shop/web.toml:3`
    pub source: &'a str,
    /// The commit that brought the definition as it is, where it comes from a repository.
    pub commit: Option<&'a Commit>,
}

impl Serving<'_> {
    /// In the order of the labels of the series.
    fn labels(&self) -> Origin {
        let commit = |part: fn(&Commit) -> &str| self.commit.map(part).unwrap_or_default().to_owned();
        [
            self.revision.to_owned(),
            self.image.to_owned(),
            self.source.to_owned(),
            commit(|commit| &commit.id),
            commit(|commit| &commit.author),
            commit(|commit| &commit.subject),
        ]
    }
}

/// Values of the labels that name a revision and where it comes from.
type Origin = [String; 6];

const HOOK_POINTS: [HookPoint; 8] = [
    HookPoint::PreStart,
    HookPoint::PostStart,
    HookPoint::PreStop,
    HookPoint::BeforeUpdate,
    HookPoint::BeforeSwitch,
    HookPoint::AfterUpdate,
    HookPoint::AfterRollback,
    HookPoint::OnFailure,
];
const PROBE_RESULTS: [&str; 2] = ["ok", "failed"];
/// A local answer to the longest timeout that anybody should give a probe.
const PROBE_BUCKETS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

pub(super) struct ServiceSeries {
    condition: IntGaugeVec,
    desired: IntGaugeVec,
    running: IntGaugeVec,
    ready: IntGaugeVec,
    revision: IntGaugeVec,
    drift: IntGaugeVec,
    rejected: IntGaugeVec,
    held: IntGaugeVec,
    probes_failing: IntGaugeVec,
    probes: IntCounterVec,
    probe_duration: HistogramVec,
    hooks: IntCounterVec,
    outside: IntGaugeVec,
    adopted: IntGaugeVec,
    rollbacks: IntCounterVec,
    restarts: IntCounterVec,
    downtime: CounterVec,
    /// Services that have series, with the labels of their info series: it must be removed by these when one of them changes.
    known: Mutex<BTreeMap<ServiceId, Option<Origin>>>,
}

impl ServiceSeries {
    pub(super) fn register(r: &Registrar) -> Result<Self, MetricsError> {
        let service = ["project", "service"];
        Ok(Self {
            condition: r.gauges(
                "evenkeel_service_condition",
                "1 for the condition the service is in, 0 for every other.",
                &["project", "service", "condition"],
            )?,
            desired: r.gauges(
                "evenkeel_service_replicas_desired",
                "Containers the service should have.",
                &service,
            )?,
            running: r.gauges(
                "evenkeel_service_replicas_running",
                "Serving containers that run.",
                &service,
            )?,
            ready: r.gauges(
                "evenkeel_service_replicas_ready",
                "Serving containers that run and, where there is a health check, are healthy.",
                &service,
            )?,
            revision: r.gauges(
                "evenkeel_service_revision_info",
                "Always 1; the labels name the revision that serves, its image, and the line and commit it comes from.",
                &["project", "service", "revision", "image", "source", "commit", "author", "subject"],
            )?,
            drift: r.gauges(
                "evenkeel_service_drift",
                "1 while what runs is not what is wanted.",
                &service,
            )?,
            rejected: r.gauges(
                "evenkeel_service_rejected",
                "1 while the wanted revision is a rejected one, which is not tried again by itself.",
                &service,
            )?,
            held: r.gauges("evenkeel_service_held", "1 while an operator holds the service.", &service)?,
            probes_failing: r.gauges(
                "evenkeel_service_probes_failing",
                "Containers whose probe fails; only of services with a probe.",
                &service,
            )?,
            probes: r.counters(
                "evenkeel_probes_total",
                "Probes made, by result: `ok` or `failed`.",
                &["project", "service", "result"],
            )?,
            probe_duration: r.histograms(
                "evenkeel_probe_duration_seconds",
                "How long probes took, failed ones included, by kind: `http`, `tcp`, `exec`.",
                &PROBE_BUCKETS,
                &["kind"],
            )?,
            hooks: r.counters(
                "evenkeel_hooks_total",
                "Hooks that ended, by point of time and result: `ok` or `failed`.",
                &["project", "service", "hook", "result"],
            )?,
            outside: r.gauges(
                "evenkeel_service_changed_outside",
                "1 while somebody outside changed fields of this group, and they are left so.",
                &["project", "service", "group"],
            )?,
            adopted: r.gauges(
                "evenkeel_service_adopted_containers",
                "Containers of the service that were adopted and not replaced since.",
                &service,
            )?,
            rollbacks: r.counters(
                "evenkeel_rollbacks_total",
                "Revisions that failed and were put back.",
                &service,
            )?,
            restarts: r.counters(
                "evenkeel_service_restarts_total",
                "Restarts of serving containers, by the engine or by evenkeel.",
                &service,
            )?,
            downtime: r.amounts(
                "evenkeel_downtime_seconds_total",
                "Seconds in which a slot that should serve did not.",
                &service,
            )?,
            known: Mutex::new(BTreeMap::new()),
        })
    }

    pub(super) fn set(&self, id: &ServiceId, now: &ServiceGauges<'_>) {
        let ServiceGauges {
            condition,
            desired,
            running,
            ready,
            revision,
            drift,
            rejected,
            held,
            probes_failing,
            outside,
            adopted,
        } = *now;
        let (project, service) = (id.project.as_str(), id.service.as_str());
        let labels = [project, service];
        for kind in ConditionKind::ALL {
            let value = i64::from(kind == condition);
            self.condition.with_label_values(&[project, service, kind.as_str()]).set(value);
        }
        self.desired.with_label_values(&labels).set(i64::from(desired));
        self.running.with_label_values(&labels).set(i64::from(running));
        self.ready.with_label_values(&labels).set(i64::from(ready));
        self.drift.with_label_values(&labels).set(i64::from(drift));
        self.rejected.with_label_values(&labels).set(i64::from(rejected));
        self.held.with_label_values(&labels).set(i64::from(held));
        match probes_failing {
            Some(failing) => self.probes_failing.with_label_values(&labels).set(i64::from(failing)),
            None => drop(self.probes_failing.remove_label_values(&labels)),
        }
        for group in DriftGroup::ALL {
            let value = i64::from(outside.contains(&group));
            self.outside.with_label_values(&[project, service, group.as_str()]).set(value);
        }
        self.adopted.with_label_values(&labels).set(i64::try_from(adopted).unwrap_or(i64::MAX));
        // Exist from the first sight on, at zero: `rate()` needs a first value.
        self.rollbacks.with_label_values(&labels);
        self.restarts.with_label_values(&labels);
        self.downtime.with_label_values(&labels);
        self.set_revision(id, revision);
    }

    fn set_revision(&self, id: &ServiceId, revision: Option<Serving<'_>>) {
        let Ok(mut known) = self.known.lock() else { return };
        let before = known.entry(id.clone()).or_default();
        let now = revision.map(|revision| revision.labels());
        if *before == now {
            return;
        }
        if let Some(labels) = &*before {
            let _gone = self.revision.remove_label_values(&labels_of(id, labels));
        }
        if let Some(labels) = &now {
            self.revision.with_label_values(&labels_of(id, labels)).set(1);
        }
        *before = now;
    }

    pub(super) fn forget(&self, id: &ServiceId) {
        let (project, service) = (id.project.as_str(), id.service.as_str());
        self.set_revision(id, None);
        for kind in ConditionKind::ALL {
            let _gone = self.condition.remove_label_values(&[project, service, kind.as_str()]);
        }
        for group in DriftGroup::ALL {
            let _gone = self.outside.remove_label_values(&[project, service, group.as_str()]);
        }
        let gauges = [
            &self.desired,
            &self.running,
            &self.ready,
            &self.drift,
            &self.rejected,
            &self.held,
            &self.adopted,
        ];
        for gauge in gauges {
            let _gone = gauge.remove_label_values(&[project, service]);
        }
        let _gone = self.probes_failing.remove_label_values(&[project, service]);
        for (point, result) in
            HOOK_POINTS.iter().flat_map(|point| PROBE_RESULTS.map(|result| (point, result)))
        {
            let _gone = self.hooks.remove_label_values(&[project, service, point.as_str(), result]);
        }
        for result in PROBE_RESULTS {
            let _gone = self.probes.remove_label_values(&[project, service, result]);
        }
        for counter in [&self.rollbacks, &self.restarts] {
            let _gone = counter.remove_label_values(&[project, service]);
        }
        let _gone = self.downtime.remove_label_values(&[project, service]);
        if let Ok(mut known) = self.known.lock() {
            known.remove(id);
        }
    }

    pub(super) fn rolled_back(&self, id: &ServiceId) {
        self.rollbacks.with_label_values(&[id.project.as_str(), id.service.as_str()]).inc();
    }

    pub(super) fn hook_ended(&self, id: &ServiceId, point: HookPoint, good: bool) {
        let result = if good { "ok" } else { "failed" };
        self.hooks
            .with_label_values(&[id.project.as_str(), id.service.as_str(), point.as_str(), result])
            .inc();
    }

    pub(super) fn probed(&self, id: &ServiceId, kind: &str, good: bool, took: Duration) {
        let (project, service) = (id.project.as_str(), id.service.as_str());
        for result in PROBE_RESULTS {
            let now = u64::from((result == "ok") == good);
            self.probes.with_label_values(&[project, service, result]).inc_by(now);
        }
        self.probe_duration.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    pub(super) fn restarted(&self, id: &ServiceId, times: u32) {
        let labels = [id.project.as_str(), id.service.as_str()];
        self.restarts.with_label_values(&labels).inc_by(u64::from(times));
    }

    pub(super) fn downtime(&self, id: &ServiceId, down: Duration) {
        let labels = [id.project.as_str(), id.service.as_str()];
        self.downtime.with_label_values(&labels).inc_by(down.as_secs_f64());
    }
}

fn labels_of<'a>(id: &'a ServiceId, origin: &'a Origin) -> Vec<&'a str> {
    let own = [id.project.as_str(), id.service.as_str()];
    own.into_iter().chain(origin.iter().map(String::as_str)).collect()
}
