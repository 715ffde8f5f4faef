//! What an answer about a command of a hook changes in what is remembered.

use super::run::{HookEnd, HookKey};
use crate::desired::hooks::HookPoint;
use crate::state::plan::{Failure, Outcome};
use crate::state::record::{HistoryEntry, HistoryEvent, Record};
use crate::state::target;
use crate::state::time::Now;

pub(in crate::state) fn settle(
    record: &mut Record,
    key: &HookKey,
    outcome: &Outcome,
    now: Now,
) -> Vec<HistoryEntry> {
    let Some(run) = record.hooks.iter_mut().find(|run| run.key == *key) else { return Vec::new() };
    match outcome {
        Outcome::Made(exec) => run.exec = Some(exec.clone()),
        Outcome::Ended { code, output } => {
            run.end = Some(code.map_or(HookEnd::TimedOut, HookEnd::Code));
            if run.failed() && !output.is_empty() {
                run.output = Some(output.clone());
            }
        }
        // Never taken by an engine that is away. One that does not answer about a container that is about to be stopped is not
        // waited for; about any other it is asked again.
        Outcome::Failed { kind: Failure::Unreachable, .. } => {}
        Outcome::Failed { kind: Failure::Unknown, .. } if key.point != HookPoint::PreStop => {}
        Outcome::Failed { text, .. } => run.end = Some(HookEnd::Broken(text.clone())),
        Outcome::Done | Outcome::Created(_) | Outcome::Logs(_) | Outcome::NotTried => {}
    }
    let Some(run) = record.hooks.iter().find(|run| run.key == *key && run.end.is_some()).cloned() else {
        return Vec::new();
    };
    if let (Some(output), Some(kept)) =
        (&run.output, record.revisions.iter_mut().find(|kept| kept.id == key.revision))
    {
        kept.evidence = Some(output.clone());
    }
    let kept = target::kept(record, &key.revision);
    vec![HistoryEntry {
        at: now.wall,
        number: kept.map(|kept| kept.number),
        image: kept.map(|kept| kept.spec.container.image.clone()).unwrap_or_default(),
        revision: Some(key.revision.clone()),
        event: if run.failed() { HistoryEvent::HookFailed } else { HistoryEvent::HookRan },
        reason: run.told(),
        commit: kept.and_then(|kept| kept.spec.source.commit.clone()),
    }]
}
