//! What probes have found, as far as decisions depend on it. Who probes is the shell's business (`controller/probe.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observed::{ContainerId, ContainerStatus, Health, ObservedContainer, ObservedService};
use super::record::Record;
use super::target;
use super::time::{EngineStamp, Mono};
use crate::desired::Wanted;
use crate::desired::probe::Probe;
use crate::desired::spec::ServiceSpec;

/// Before the first success it is looked this often at least: who waits for it should not wait longer than it takes.
const EAGER_MS: u64 = 1_000;

/// What the probes of one start of one container came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSeen {
    pub health: Health,
    /// What the last one came to, for people.
    pub last: String,
    /// Failures in a row.
    pub failures: u32,
    /// How often `threshold` failures in a row were reached: each counts against a fresh revision as a restart does.
    pub rounds: u32,
}

/// Probing one start of one container: results in, health out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeState {
    since: Mono,
    passed: bool,
    successes: u32,
    seen: ProbeSeen,
}

impl ProbeState {
    #[must_use]
    pub fn new(now: Mono) -> Self {
        let seen = ProbeSeen { health: Health::Starting, last: String::new(), failures: 0, rounds: 0 };
        Self { since: now, passed: false, successes: 0, seen }
    }

    #[must_use]
    pub fn seen(&self) -> &ProbeSeen {
        &self.seen
    }

    /// Takes a result in. Compose's rules for health checks: a failure within the start period does not count before the first
    /// success; failures count when there were `threshold` in a row, and successes when there were `success`.
    pub fn take(&mut self, probe: &Probe, result: &Result<(), String>, now: Mono) {
        match result {
            Ok(()) => {
                self.successes = self.successes.saturating_add(1);
                self.seen.failures = 0;
                "it succeeded".clone_into(&mut self.seen.last);
                if self.successes >= probe.success.max(1) {
                    self.passed = true;
                    self.seen.health = Health::Healthy;
                }
            }
            Err(text) => {
                self.successes = 0;
                self.seen.last.clone_from(text);
                if !self.passed && now < self.since.after(probe.start_period_ms) {
                    return;
                }
                self.seen.failures = self.seen.failures.saturating_add(1);
                let threshold = probe.threshold.max(1);
                if self.seen.failures >= threshold {
                    self.seen.health = Health::Unhealthy;
                }
                if self.seen.failures.is_multiple_of(threshold) {
                    self.seen.rounds = self.seen.rounds.saturating_add(1);
                }
            }
        }
    }

    /// Milliseconds until the next one.
    #[must_use]
    pub fn pause_ms(&self, probe: &Probe, now: Mono) -> u64 {
        let starting = !self.passed && now < self.since.after(probe.start_period_ms);
        let rising = self.seen.health != Health::Healthy && self.successes > 0;
        if starting || rising { probe.interval_ms.min(EAGER_MS) } else { probe.interval_ms }
    }
}

/// One start of one container, to be probed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeKey {
    pub container: ContainerId,
    pub started_at: Option<EngineStamp>,
}

/// What should be probed now: containers that run and whose revision says how.
#[must_use]
pub fn targets(
    observed: &ObservedService,
    record: &Record,
    desired: Option<&Wanted>,
) -> BTreeMap<ProbeKey, Probe> {
    let target = |container: &ObservedContainer| {
        let probe = spec_of(container, record, desired)?.policy.probe.clone()?;
        let key = ProbeKey { container: container.id.clone(), started_at: container.started_at };
        (container.status == ContainerStatus::Running).then_some((key, probe))
    };
    observed.containers.iter().filter_map(target).collect()
}

/// The file's word where it is about this very spec: a probe may have changed since the record was made.
fn spec_of<'a>(
    container: &ObservedContainer,
    record: &'a Record,
    desired: Option<&'a Wanted>,
) -> Option<&'a ServiceSpec> {
    match desired {
        Some(Wanted::Run(wanted)) if wanted.hash == container.labels.spec => Some(&*wanted.spec),
        _ => target::kept(record, &container.labels.revision).map(|kept| &*kept.spec),
    }
}

/// Lays what probes found over what the engine reports: from here on a container with a probe has a health. Where the engine
/// has one too (a check of the image), the worse counts.
pub fn overlay(
    observed: &mut ObservedService,
    targets: &BTreeMap<ProbeKey, Probe>,
    found: &BTreeMap<ProbeKey, ProbeSeen>,
) {
    for container in &mut observed.containers {
        let key = ProbeKey { container: container.id.clone(), started_at: container.started_at };
        if !targets.contains_key(&key) {
            continue;
        }
        let seen = found.get(&key).cloned().unwrap_or_else(|| ProbeState::new(Mono(0)).seen.clone());
        if worse(seen.health, container.health) {
            container.health = seen.health;
            container.health_log.clone_from(&seen.last);
        }
        container.probe = Some(seen);
    }
}

fn worse(probe: Health, check: Health) -> bool {
    let rank = |health| match health {
        Health::None => 0,
        Health::Healthy => 1,
        Health::Starting => 2,
        Health::Unhealthy => 3,
    };
    rank(probe) > rank(check)
}

/// How often the probes of a container that runs have found it failing.
#[must_use]
pub fn rounds(container: &ObservedContainer) -> u32 {
    container.probe.as_ref().map_or(0, |seen| seen.rounds)
}

/// It is the probe that finds this container failing.
#[must_use]
pub fn is_failing(container: &ObservedContainer) -> bool {
    container.probe.as_ref().is_some_and(|seen| seen.health == Health::Unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::probe::{OnProbeFailure, ProbeCheck};

    fn probe(start_period_ms: u64, success: u32) -> Probe {
        Probe {
            check: ProbeCheck::Tcp { port: 80 },
            interval_ms: 10_000,
            timeout_ms: 1_000,
            start_period_ms,
            threshold: 3,
            success,
            on_failure: OnProbeFailure::Report,
        }
    }

    fn played(probe: &Probe, results: &[(u64, bool)]) -> Vec<(Health, u32, u32)> {
        let mut state = ProbeState::new(Mono(0));
        let mut seen = Vec::new();
        for (at, good) in results {
            let result = if *good { Ok(()) } else { Err("connection refused".to_owned()) };
            state.take(probe, &result, Mono(*at));
            seen.push((state.seen.health, state.seen.failures, state.seen.rounds));
        }
        seen
    }

    #[test]
    fn a_threshold_of_failures_in_a_row_makes_it_failing_and_one_success_well() {
        use Health::{Healthy, Starting, Unhealthy};
        let told = played(
            &probe(0, 1),
            &[(0, false), (1, false), (2, true), (3, false), (4, false), (5, false), (6, false), (7, true)],
        );
        assert_eq!(
            told,
            [
                (Starting, 1, 0),
                (Starting, 2, 0),
                (Healthy, 0, 0),
                (Healthy, 1, 0),
                (Healthy, 2, 0),
                (Unhealthy, 3, 1),
                (Unhealthy, 4, 1),
                (Healthy, 0, 1),
            ]
        );
    }

    #[test]
    fn within_the_start_period_failures_do_not_count_before_the_first_success() {
        use Health::{Healthy, Starting, Unhealthy};
        let patient = probe(10_000, 1);
        let told = played(&patient, &[(1, false), (5_000, false), (9_999, false), (10_000, false)]);
        assert_eq!(told, [(Starting, 0, 0), (Starting, 0, 0), (Starting, 0, 0), (Starting, 1, 0)]);
        let told = played(&patient, &[(1, true), (2, false), (3, false), (4, false)]);
        assert_eq!(told, [(Healthy, 0, 0), (Healthy, 1, 0), (Healthy, 2, 0), (Unhealthy, 3, 1)]);
    }

    #[test]
    fn several_successes_can_be_asked_for_and_are_asked_for_quickly() {
        use Health::{Healthy, Starting};
        let twice = probe(0, 2);
        let told = played(&twice, &[(0, true), (1, false), (2, true), (3, true)]);
        assert_eq!(told, [(Starting, 0, 0), (Starting, 1, 0), (Starting, 0, 0), (Healthy, 0, 0)]);
        let mut state = ProbeState::new(Mono(0));
        assert_eq!(state.pause_ms(&twice, Mono(0)), 10_000);
        state.take(&twice, &Ok(()), Mono(0));
        assert_eq!(state.pause_ms(&twice, Mono(0)), 1_000);
        state.take(&twice, &Ok(()), Mono(1));
        assert_eq!(state.pause_ms(&twice, Mono(1)), 10_000);
    }

    #[test]
    fn a_persisting_failure_counts_again_after_every_threshold() {
        let told = played(&probe(0, 1), &(0..9).map(|at| (at, false)).collect::<Vec<_>>());
        assert_eq!(told.last(), Some(&(Health::Unhealthy, 9, 3)));
    }
}
