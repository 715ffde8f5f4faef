//! A hook as a command in a container that runs.

use super::run::{HookEnd, HookKey};
use super::{Went, waits};
use crate::desired::hooks::Hook;
use crate::state::decide::Pass;
use crate::state::observed::{ExecSeen, ObservedContainer};
use crate::state::plan::Step;

/// How often a command that an earlier process of ours started is asked about, in milliseconds.
const ASK_EVERY: u64 = 1_000;

impl<'a> Pass<'a> {
    /// The next step of a command: made, started, ended. The engine starts a command once, so asking for its start again is safe.
    pub(super) fn command(
        &mut self,
        key: &HookKey,
        hook: &Hook,
        container: &'a ObservedContainer,
        limit_ms: u64,
    ) -> Went {
        self.begin(key);
        let Some(run) = self.run_of(key) else { return Went::Done };
        if run.end.is_some() {
            return if run.failed() { Went::Failed(run.told()) } else { Went::Done };
        }
        let slot = Some(container.labels.slot);
        let Some(exec) = run.exec.clone() else {
            let step = Step::MakeExec {
                key: key.clone(),
                id: container.id.clone(),
                exec: Box::new(hook.exec.clone()),
            };
            self.step(slot, step, format!("{key} comes now"));
            return Went::Under(waits(key));
        };
        match self.inputs.observed.execs.get(&exec).copied().flatten() {
            // Forgotten by the engine with its end (it died, or it was long ago): run again, it cannot be told.
            None => {
                if let Some(run) = self.record.hooks.iter_mut().find(|run| run.key == *key) {
                    run.exec = None;
                }
                Went::Under(waits(key))
            }
            Some(ExecSeen { running: false, code: Some(code) }) => {
                self.end(key, HookEnd::Code(code));
                self.told_end(key)
            }
            Some(ExecSeen { running: true, .. }) => {
                let now = self.inputs.now.mono;
                let until = self.memo.hooks.entry(key.clone()).or_insert(now).after(limit_ms);
                if now >= until {
                    self.end(key, HookEnd::TimedOut);
                    return self.told_end(key);
                }
                self.look_at(until.min(now.after(ASK_EVERY)));
                Went::Under(waits(key))
            }
            Some(ExecSeen { running: false, code: None }) => {
                let step = Step::StartExec { key: key.clone(), id: container.id.clone(), exec, limit_ms };
                self.step(slot, step, format!("{key} comes now"));
                Went::Under(waits(key))
            }
        }
    }
}
