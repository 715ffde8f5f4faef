//! What an answer of the engine changes in what we remember.

use std::collections::BTreeMap;

use super::hooks;
use super::observed::{ContainerId, EngineSession};
use super::plan::{Failure, Outcome, Planned, Step};
use super::record::{
    Attempts, GateWindow, HistoryEntry, HistoryEvent, Memo, Record, RevisionId, UnsettledOp,
};
use super::time::Now;
use crate::desired::spec::{LiveFile, RestartPolicy};

/// A container that ran this long before it needed another start begins its count anew.
const CALM_MS: u64 = 10 * 60_000;

/// Takes in how a step ended. Called once for every step of a plan, in order, also for those not tried.
pub fn settle(
    record: &mut Record,
    memo: &mut Memo,
    planned: &Planned,
    outcome: &Outcome,
    session: EngineSession,
    now: Now,
) -> Vec<HistoryEntry> {
    note_trouble(memo, planned, outcome, now);
    match (&planned.step, outcome) {
        (Step::Pull { image, .. }, Outcome::Done | Outcome::Created(_) | Outcome::Logs(_)) => {
            memo.pull = None;
            memo.pulled = Some((image.clone(), now.mono));
        }
        (Step::Pull { .. }, Outcome::Failed { kind, text }) => {
            memo.pull = Some(bump(memo.pull.take(), *kind, text, now))
        }
        (Step::Create(creation), Outcome::Created(id)) => {
            record.containers.insert(id.clone());
            tell(record, id, &creation.live.files);
        }
        (Step::Deliver { id, files, .. }, Outcome::Done) => tell(record, id, files),
        (Step::MakeExec { key, .. } | Step::StartExec { key, .. }, outcome) => {
            return hooks::settle(record, key, outcome, now);
        }
        (Step::Start { id }, outcome) => settle_start(record, memo, id, outcome, session, now),
        (Step::SetRestart { id, policy }, outcome) => settle_policy(record, id, *policy, outcome),
        (Step::Remove { id, .. }, Outcome::Done) => forget(record, memo, id),
        (Step::SaveLogs { revision, .. }, Outcome::Logs(text)) => {
            keep_evidence(record, revision, text.clone())
        }
        // Evidence is worth one try: the way back does not wait for it.
        (Step::SaveLogs { revision, .. }, Outcome::Failed { text, .. }) => {
            keep_evidence(record, revision, format!("(its log could not be read: {text})"))
        }
        _ => {}
    }
    history(record, planned, outcome, now)
}

/// The container has these contents, or will read them when it is started.
fn tell(record: &mut Record, id: &ContainerId, files: &BTreeMap<String, LiveFile>) {
    if !files.is_empty() {
        let told = files.iter().map(|(path, file)| (path.clone(), file.content.clone()));
        record.told.entry(id.clone()).or_default().extend(told);
    }
}

fn keep_evidence(record: &mut Record, revision: &RevisionId, text: String) {
    if let Some(kept) = record.revisions.iter_mut().find(|kept| kept.id == *revision) {
        kept.evidence = Some(text);
    }
}

/// Steps with a memory of their own (pull, start) are not "trouble" of the service.
fn note_trouble(memo: &mut Memo, planned: &Planned, outcome: &Outcome, now: Now) {
    if matches!(
        planned.step,
        Step::Pull { .. } | Step::SaveLogs { .. } | Step::MakeExec { .. } | Step::StartExec { .. }
    ) {
        return;
    }
    let own_count = matches!(planned.step, Step::Start { .. });
    let slot = if planned.housekeeping { &mut memo.housekeeping } else { &mut memo.trouble };
    match outcome {
        Outcome::NotTried => {}
        // Something the container was made with is gone: it is removed and made anew, but not in a tight circle.
        Outcome::Failed { kind: Failure::NotFound, text } if own_count => {
            *slot = Some(bump(slot.take(), Failure::NotFound, text, now))
        }
        Outcome::Failed { .. } if own_count => {}
        Outcome::Failed { kind, text } => *slot = Some(bump(slot.take(), *kind, text, now)),
        // A create that works does not prove that the start, which failed for what it was made with, will.
        Outcome::Done | Outcome::Created(_) | Outcome::Logs(_) | Outcome::Made(_) | Outcome::Ended { .. } => {
            let keeps = slot.as_ref().is_some_and(|trouble| trouble.kind == Failure::NotFound) && !own_count;
            if !keeps {
                *slot = None;
            }
        }
    }
}

fn bump(before: Option<Attempts>, kind: Failure, text: &str, now: Now) -> Attempts {
    let count = before.map_or(0, |attempts| attempts.count).saturating_add(1);
    Attempts { count, last: now.mono, kind, text: text.to_owned() }
}

fn settle_start(
    record: &mut Record,
    memo: &mut Memo,
    id: &ContainerId,
    outcome: &Outcome,
    session: EngineSession,
    now: Now,
) {
    let unknown = matches!(outcome, Outcome::Failed { kind: Failure::Unknown, .. });
    if !unknown {
        drop_note(record, id, UnsettledOp::Start);
    }
    let before = memo.starts.remove(id).filter(|attempts| now.mono.since(attempts.last) < CALM_MS);
    match outcome {
        // Never taken by an engine that is away: nobody's fault, so it is no attempt.
        Outcome::NotTried | Outcome::Failed { kind: Failure::Unreachable, .. } => {
            if let Some(before) = before {
                memo.starts.insert(id.clone(), before);
            }
        }
        Outcome::Failed { kind, text } => {
            // "It may have been started" is no refusal: the next look tells.
            let text = if unknown { "" } else { text.as_str() };
            memo.starts.insert(id.clone(), bump(before, *kind, text, now));
        }
        _ => {
            record.stopped.remove(id);
            memo.starts.insert(id.clone(), bump(before, Failure::Internal, "", now));
            memo.remade = false;
            // A start after the engine was away is the engine's doing, and a container first seen now has not restarted. One on the way
            // back from another revision says nothing against the one that it goes back to.
            let same_session = memo.gates.get(id).is_none_or(|window| window.session == session);
            let own = record.rolling_back.is_none();
            if record.watch.is_some() && own && same_session && memo.watch_base.contains_key(id) {
                memo.watch_starts = memo.watch_starts.saturating_add(1);
            }
            // Opened at the start, not at the first look: a container that ends before anyone looked has still failed its gate.
            let window = GateWindow {
                since: now.mono,
                session,
                started_at: None,
                restart_count: 0,
                passed: false,
                passed_at: None,
                ended: false,
            };
            memo.gates.insert(id.clone(), window);
        }
    }
}

fn settle_policy(record: &mut Record, id: &ContainerId, policy: RestartPolicy, outcome: &Outcome) {
    let unknown = matches!(outcome, Outcome::Failed { kind: Failure::Unknown, .. });
    if policy != RestartPolicy::No && !unknown {
        drop_note(record, id, UnsettledOp::Promote);
    }
}

/// The answer settles the call it belongs to, which is the last one; an earlier one may still be executed.
fn drop_note(record: &mut Record, id: &ContainerId, op: UnsettledOp) {
    if let Some(at) = record.unsettled.iter().rposition(|note| note.container == *id && note.op == op) {
        record.unsettled.remove(at);
    }
}

fn forget(record: &mut Record, memo: &mut Memo, id: &ContainerId) {
    record.containers.remove(id);
    record.stopped.remove(id);
    record.told.remove(id);
    record.adopted.remove(id);
    record.applied.remove(id);
    record.replaced.remove(id);
    record.unsettled.retain(|note| note.container != *id);
    memo.gates.remove(id);
    memo.starts.remove(id);
    memo.watch_base.remove(id);
}

/// Repairs and live changes of a good revision are history too; what a roll-out does is told by its start and its end.
fn history(record: &Record, planned: &Planned, outcome: &Outcome, now: Now) -> Vec<HistoryEntry> {
    let event = match (&planned.step, outcome) {
        (
            Step::SetResources { .. }
            | Step::Connect { .. }
            | Step::Disconnect { .. }
            | Step::Deliver { signal: Some(_), .. },
            Outcome::Done,
        ) => HistoryEvent::Updated,
        // Containers of hooks have no slot.
        (Step::Start { .. }, Outcome::Done)
            if planned.slot.is_some() && record.intent.is_none() && record.rolling_back.is_none() =>
        {
            HistoryEvent::Repaired
        }
        _ => return Vec::new(),
    };
    let good: Option<RevisionId> = record.good.clone();
    let kept = good.as_ref().and_then(|id| super::target::kept(record, id));
    vec![HistoryEntry {
        at: now.wall,
        number: kept.map(|kept| kept.number),
        image: kept.map(|kept| kept.spec.container.image.clone()).unwrap_or_default(),
        revision: good,
        event,
        reason: planned.cause.0.clone(),
        commit: kept.and_then(|kept| kept.spec.source.commit.clone()),
    }]
}
