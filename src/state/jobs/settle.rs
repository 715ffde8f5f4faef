//! What came of a call.

use super::decide::JobStep;
use super::record::{Ending, JobMemo, JobRecord};
use super::run::{Result, RunId, Stage};
use crate::state::observed::{ContainerId, ExecId};
use crate::state::plan::Failure;
use crate::state::time::Now;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    Done,
    Created(ContainerId),
    Made(ExecId),
    /// The end of its output.
    Tail(String),
    /// A command ended; `None`: its time was up.
    Ended {
        code: Option<i64>,
        tail: String,
    },
    Failed {
        kind: Failure,
        text: String,
    },
    /// It was not sent.
    NotTried,
}

/// Tries of what the engine refuses and might take later.
const TRIES: u32 = 5;

/// Takes in what came of a step. Total: an answer that does not fit the step changes nothing.
pub fn settle(
    record: &mut JobRecord,
    memo: &mut JobMemo,
    id: &RunId,
    step: &JobStep,
    outcome: &JobOutcome,
    now: Now,
) {
    let spec = record.spec.clone();
    let spec = spec.as_deref();
    let Some(run) = record.runs.get_mut(id) else { return };
    match (step, outcome) {
        (_, JobOutcome::NotTried) => {}
        (JobStep::Pull { .. }, JobOutcome::Failed { kind: Failure::Unreachable, .. }) => {}
        (JobStep::Pull { .. }, JobOutcome::Failed { kind, text }) => {
            memo.not_pulled(id, *kind, text, now.mono)
        }
        (JobStep::Pull { .. }, _) => {
            record.pulled = Some(now.wall);
            if !memo.pulled.insert(id.clone()) {
                memo.not_pulled(id, Failure::NotFound, "it was pulled, and is not there", now.mono);
            }
        }
        (JobStep::Create(_), JobOutcome::Created(container)) => {
            run.container = Some(container.clone());
            run.stage = Stage::Made;
            memo.troubles.remove(id);
        }
        (JobStep::Start { .. }, JobOutcome::Done) => {
            if let Stage::Starting(session) = run.stage {
                run.session = Some(session);
            }
            run.stage = Stage::Running;
            run.started.get_or_insert(now.wall);
            memo.running.insert(id.clone(), (now.mono, 0));
            memo.troubles.remove(id);
        }
        // Never taken.
        (JobStep::Start { .. }, JobOutcome::Failed { kind: Failure::Unreachable, .. }) => {
            run.stage = Stage::Made
        }
        // It may have been carried out, or may yet: what is seen next tells.
        (
            _,
            JobOutcome::Failed {
                kind: Failure::Unknown | Failure::Unreachable | Failure::InProgress, ..
            },
        ) => {}
        (JobStep::Start { .. }, JobOutcome::Failed { kind, text }) => {
            run.stage = Stage::Made;
            if memo.refuse(id, *kind, text, now.mono) >= TRIES || kind.is_permanent() {
                broken(record, id, "it could not be started", text, spec, now);
            }
        }
        (JobStep::Create(_) | JobStep::MakeExec { .. }, JobOutcome::Failed { kind, text }) => {
            let lasting =
                kind.is_permanent() || *kind == Failure::Conflict && matches!(step, JobStep::Create(_));
            if memo.refuse(id, *kind, text, now.mono) >= TRIES || lasting {
                broken(record, id, "its container could not be made", text, spec, now);
            } else if matches!(step, JobStep::MakeExec { .. }) {
                run.stage = Stage::Waiting;
            }
        }
        (JobStep::MakeExec { id: container, .. }, JobOutcome::Made(exec)) => {
            run.exec = Some(exec.clone());
            run.container = Some(container.clone());
            run.stage = Stage::Made;
        }
        (JobStep::Collect { ending, .. }, outcome) => {
            let tail = if let JobOutcome::Tail(tail) = outcome { tail.clone() } else { String::new() };
            let (code, text, took_ms) = (ending.code, ending.text.clone(), ending.took_ms);
            record.finish(id, ending.result, Ending { code, text, tail, took_ms }, spec, now);
        }
        (JobStep::Remove { .. }, JobOutcome::Done | JobOutcome::Failed { kind: Failure::NotFound, .. }) => {
            run.container = None;
            if run.stage == Stage::Remaking {
                run.stage = Stage::Intended;
                memo.doubts.remove(id);
            }
        }
        (JobStep::StartExec { .. }, JobOutcome::Ended { code: Some(code), tail }) => {
            let result = if *code == 0 { Result::Succeeded } else { Result::Failed };
            run.container = None;
            run.started.get_or_insert(now.wall);
            let ending = Ending {
                code: Some(*code),
                text: format!("ended with {code}"),
                tail: tail.clone(),
                took_ms: None,
            };
            record.finish(id, result, ending, spec, now);
        }
        _ => {}
    }
}

fn broken(
    record: &mut JobRecord,
    id: &RunId,
    what: &str,
    why: &str,
    spec: Option<&crate::desired::work::JobSpec>,
    now: Now,
) {
    let ending = Ending { text: format!("{what}: {why}"), ..Ending::default() };
    record.finish(id, Result::Broken, ending, spec, now);
}
