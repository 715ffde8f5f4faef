//! A run that is a command in a service's container.
//!
//! The engine starts a command that was made once and never again, so whoever has its id may ask for the start as often as need be. It cannot be
//! ended through the engine, and is forgotten with the container's life: what is forgotten then is lost, not run again.

use super::decide::{JobStep, Pass, Seen};
use super::follow::seconds;
use super::run::{Result, Run, RunId, Stage, StopCause};
use crate::state::observed::ExecSeen;

/// How often a command is asked about. Milliseconds.
const LOOK_MS: u64 = 1_000;

impl Pass<'_> {
    pub(super) fn follow_exec(&mut self, id: &RunId, run: &Run, seen: &Seen) {
        let Some(exec) = &run.exec else {
            // Whether it was made is not known, and does not matter: nobody has its id, so nobody can start it.
            return self.stage_waiting(id);
        };
        if run.stop == Some(StopCause::Hand) && run.stage == Stage::Made {
            return self.end(id, Result::Stopped, "somebody stopped it before it began".to_owned());
        }
        let limit = self.job().and_then(|job| job.timeout_ms);
        match seen.execs.get(exec).copied().flatten() {
            None if run.stage == Stage::Made => self.stage_waiting(id),
            None => {
                let text = "its container ended before it did, or the engine has forgotten it";
                self.end(id, Result::Lost, text.to_owned());
            }
            // Whoever follows it has what it printed, too.
            Some(ExecSeen { running: false, .. }) if self.inputs.followed.contains(id) => {
                self.look_in(LOOK_MS)
            }
            Some(ExecSeen { running: false, code: Some(code) }) => self.exec_ended(id, code),
            Some(ExecSeen { running: false, code: None }) => {
                let (session, exec) = (self.inputs.session, exec.clone());
                if self.inputs.paused.is_some() {
                    return self.look_in(LOOK_MS);
                }
                self.stage(id, Stage::Starting(session));
                self.step(id, JobStep::StartExec { exec, limit_ms: limit });
                self.look_in(LOOK_MS);
            }
            Some(ExecSeen { running: true, .. }) => self.exec_runs(id, run, limit),
        }
    }

    fn stage_waiting(&mut self, id: &RunId) {
        self.edit(id, |run| {
            run.stage = Stage::Waiting;
            run.exec = None;
            run.container = None;
        });
        self.look_in(0);
    }

    fn exec_ended(&mut self, id: &RunId, code: i64) {
        let result = if code == 0 { Result::Succeeded } else { Result::Failed };
        self.edit(id, |run| run.container = None);
        let job = self.job().cloned();
        let ending = super::record::Ending {
            code: Some(code),
            text: format!("ended with {code}"),
            ..super::record::Ending::default()
        };
        self.record.finish(id, result, ending, job.as_ref(), self.inputs.now);
        self.look_in(0);
    }

    fn exec_runs(&mut self, id: &RunId, run: &Run, limit: Option<u64>) {
        let now = self.inputs.now;
        if run.stage != Stage::Running {
            self.edit(id, |run| {
                run.stage = Stage::Running;
                run.started.get_or_insert(now.wall);
            });
        }
        let known =
            run.started.map_or(0, |at| u64::try_from(now.wall.0.saturating_sub(at.0)).unwrap_or_default());
        let (since, before) = *self.memo.running.entry(id.clone()).or_insert((now.mono, known));
        let ran = before.saturating_add(now.mono.since(since));
        match limit {
            Some(limit) if ran >= limit => {
                let text = format!(
                    "it took more than {}; the engine cannot end a command, so it goes on unobserved",
                    seconds(limit)
                );
                self.end(id, Result::TimedOut, text);
            }
            limit => self.look_in(limit.map_or(LOOK_MS, |limit| limit - ran).min(LOOK_MS)),
        }
    }
}
