//! Probing: one task for every start of every container that is to be probed, for as long as it is.
//!
//! What a probe means was decided elsewhere (`state::probe`); here is when it is made. A change of what is known wakes the
//! service's pass; everything else waits for the pass's own time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::queue::Reason;
use super::trigger::{Inbox, Key, Trigger};
use crate::desired::ident::ServiceId;
use crate::desired::probe::Probe;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::state::probe::{ProbeKey, ProbeSeen, ProbeState};
use crate::state::time::Mono;

/// Probes at a time on one host: enough that one slow container delays no other, few enough for a small host.
const AT_A_TIME: usize = 32;

type Found = Arc<Mutex<BTreeMap<ServiceId, BTreeMap<ProbeKey, ProbeSeen>>>>;

/// See the module.
pub struct Prober {
    tools: Tools,
    tasks: Mutex<BTreeMap<(ServiceId, ProbeKey), Task>>,
}

struct Task {
    probe: Probe,
    handle: AbortHandle,
}

/// What every task needs.
#[derive(Clone)]
struct Tools {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    turns: Arc<Semaphore>,
    found: Found,
}

impl Prober {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        inbox: Arc<Inbox>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        let tools = Tools { engine, clock, inbox, metrics, turns, found: Arc::default() };
        Self { tools, tasks: Mutex::default() }
    }

    /// These, and nothing else of this service, are probed from now on. Returns what is known of them.
    pub fn aim(&self, id: &ServiceId, targets: &BTreeMap<ProbeKey, Probe>) -> BTreeMap<ProbeKey, ProbeSeen> {
        let mut tasks = lock(&self.tasks);
        tasks.retain(|(service, key), task| {
            let goes_on = service != id || targets.get(key) == Some(&task.probe);
            if !goes_on {
                task.handle.abort();
            }
            goes_on
        });
        let mut found = lock(&self.tools.found);
        let known = found.entry(id.clone()).or_default();
        known.retain(|key, _| tasks.contains_key(&(id.clone(), key.clone())));
        for (key, probe) in targets {
            tasks.entry((id.clone(), key.clone())).or_insert_with(|| {
                let run = probing(self.tools.clone(), id.clone(), key.clone(), probe.clone());
                Task { probe: probe.clone(), handle: tokio::spawn(run).abort_handle() }
            });
        }
        let known = known.clone();
        if targets.is_empty() {
            found.remove(id);
        }
        known
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        lock(&self.tasks).values().for_each(|task| task.handle.abort());
    }
}

async fn probing(tools: Tools, id: ServiceId, key: ProbeKey, probe: Probe) {
    let now = || tools.clock.now().mono;
    let mut state = ProbeState::new(now());
    loop {
        let timeout = Duration::from_millis(probe.timeout_ms);
        let answer = {
            // Never closed; if it were, probing without a limit is the lesser evil.
            let _turn = tools.turns.acquire().await.ok();
            let began = tokio::time::Instant::now();
            let answer = tools.engine.probe(&key.container, &probe.check, timeout).await;
            if let Ok(result) = &answer {
                tools.metrics.probed(&id, probe.check.kind(), result.is_ok(), began.elapsed());
            }
            answer
        };
        match answer {
            Ok(result) => {
                let before = state.seen().clone();
                state.take(&probe, &result, now());
                tell(&tools, &id, &key, &before, state.seen());
            }
            // Nobody could try: the engine is away, or the container is gone, and its pass hears of both.
            Err(error) => {
                tracing::debug!(service = %id, container = key.container.short(), %error, "could not probe")
            }
        }
        let pause = state.pause_ms(&probe, now());
        tools.clock.sleep_until(jittered(now(), pause)).await;
    }
}

fn tell(tools: &Tools, id: &ServiceId, key: &ProbeKey, before: &ProbeSeen, seen: &ProbeSeen) {
    lock(&tools.found).entry(id.clone()).or_default().insert(key.clone(), seen.clone());
    let turned = seen.health != before.health;
    if turned {
        let (container, health) = (key.container.short(), seen.health);
        tracing::info!(service = %id, container, ?health, last = seen.last, "what the probe finds has changed");
    }
    if turned || seen.rounds != before.rounds {
        tools.inbox.post(Trigger::Key(Key::Service(id.clone()), Reason::Engine));
    }
}

/// Between 95 and 105 %: many containers that started together should not be probed in step for ever.
fn jittered(now: Mono, pause_ms: u64) -> Mono {
    let slack = pause_ms / 20;
    now.after(pause_ms - slack + fastrand::u64(0..=2 * slack))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
