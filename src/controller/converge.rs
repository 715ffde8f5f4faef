//! Converging in the foreground: passes until every service in scope stands still, in real time or in played time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::clock::ManualClock;
use super::dispatch::Dispatch;
use super::host::Host;
use super::queue::Reason;
use super::trigger::{Key, Mail};
use crate::desired::ident::ServiceId;
use crate::engine::sim::Sim;
use crate::state::condition::ConditionKind;
use crate::state::time::Mono;

/// With nothing due and nothing heard for this long, whatever is still waited for will not come by itself. Milliseconds.
const STUCK_MS: u64 = 5_000;

/// How time passes between two passes.
pub enum Pace {
    /// As it does.
    Live,
    /// At once: the clock is moved to whatever is due next, and the simulated host with it.
    Played { clock: ManualClock, sim: Sim },
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every service in scope stands still.
    Settled,
    /// Some wait for something that does not come by itself.
    Stuck,
    DeadlinePassed,
}

/// Runs passes for the keys of `scope` until all services among them have settled.
pub async fn converge(
    host: &Arc<Host>,
    dispatch: &mut Dispatch,
    scope: &BTreeSet<Key>,
    deadline: Mono,
    pace: &Pace,
) -> Ending {
    for key in scope {
        dispatch.add(key.clone(), Reason::Operator);
    }
    let mut heard = host.clock.now().mono;
    loop {
        dispatch.start_due();
        let now = host.clock.now().mono;
        if dispatch.is_idle() {
            if let Some(mail) = host.inbox.try_take() {
                deliver(host, dispatch, scope, &mail).await;
                continue;
            }
            if dispatch.queue.backlog(now) == 0 && settled(host, scope) {
                return Ending::Settled;
            }
            if dispatch.queue.backlog(now) == 0 && blocked(host, scope) {
                return Ending::Stuck;
            }
        }
        if now >= deadline {
            return Ending::DeadlinePassed;
        }
        let due = dispatch.next_due();
        let idle = dispatch.is_idle();
        if let Pace::Played { clock, sim } = pace {
            if idle {
                let Some(due) = due.filter(|due| *due <= deadline) else { return Ending::Stuck };
                sim.advance(due.since(now));
                clock.advance_to(due);
            } else {
                play(dispatch, clock, sim).await;
            }
            continue;
        }
        let stuck_at = (idle && due.is_none()).then(|| heard.after(STUCK_MS));
        if stuck_at.is_some_and(|at| now >= at) {
            return Ending::Stuck;
        }
        let wake = [due, stuck_at].into_iter().flatten().fold(deadline, Mono::min);
        tokio::select! {
            _ = dispatch.finished() => heard = host.clock.now().mono,
            mail = host.inbox.take() => {
                deliver(host, dispatch, scope, &mail).await;
                heard = host.clock.now().mono;
            }
            () = host.clock.sleep_until(wake) => {}
        }
    }
}

/// A pass in played time: what its calls took on the simulated host has passed on our clock too.
async fn play(dispatch: &mut Dispatch, clock: &ManualClock, sim: &Sim) {
    let before = sim.with(|host| host.now);
    let _ = dispatch.finished().await;
    let took = sim.with(|host| host.now).saturating_sub(before);
    clock.advance(took);
}

async fn deliver(host: &Host, dispatch: &mut Dispatch, scope: &BTreeSet<Key>, mail: &Mail) {
    host.hear_of_engine(mail).await;
    dispatch.deliver(mail, |key| scope.contains(key));
    if mail.engine == Some(Ok(())) || mail.resync {
        // What happened before the subscription stood is unknown.
        for key in scope {
            dispatch.add(key.clone(), Reason::Resync);
        }
    }
}

fn settled(host: &Host, scope: &BTreeSet<Key>) -> bool {
    services(scope).all(|id| {
        // Not on the board: looked at, and nothing is left of it.
        host.board.entry(id).is_none_or(|entry| entry.status.condition.kind.is_settled())
    })
}

/// A network or volume cannot be as wanted until someone acts, and nobody does anything but wait.
fn blocked(host: &Host, scope: &BTreeSet<Key>) -> bool {
    let failed = |key| host.board.object(key).is_some_and(|found| found.kind == ConditionKind::Failed);
    let waits = |kind: ConditionKind| kind.is_settled() || kind == ConditionKind::Waiting;
    scope.iter().any(failed)
        && services(scope)
            .all(|id| host.board.entry(id).is_none_or(|entry| waits(entry.status.condition.kind)))
}

/// The services among these keys.
pub fn services(scope: &BTreeSet<Key>) -> impl Iterator<Item = &ServiceId> {
    scope.iter().filter_map(Key::service)
}
