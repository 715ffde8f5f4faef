//! Commands in simulated containers.

use super::call::Call;
use super::fault::Op;
use super::host::Host;
use crate::desired::probe::Exec;
use crate::engine::{EngineError, ExecEnd, Result};
use crate::state::observed::{ContainerId, ContainerStatus, ExecId, ExecSeen};
use crate::state::plan::Failure;
use crate::state::time::EngineStamp;

/// A command that was made in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub container: ContainerId,
    pub words: Vec<String>,
    /// The start of the container that it was made in: it ends with that.
    pub started_at: Option<EngineStamp>,
    /// When it ends, and with what, once it was started.
    pub run: Option<(u64, i64)>,
}

impl Host {
    /// Makes a command in a container that runs.
    pub fn create_exec(&mut self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        let call = Call::MakeExec { id: id.clone(), words: exec.command.clone() };
        self.call(call)?.made(Op::MakeExec, id.short()).map(ExecId)
    }

    /// Starts a command and lets the time pass that it takes, `limit` milliseconds at most.
    pub fn start_exec(&mut self, exec: &ExecId, limit: u64) -> Result<ExecEnd> {
        self.call(Call::StartExec { exec: exec.clone() })?;
        let due = self.execs.get(exec).and_then(|command| command.run).map_or(0, |(due, _)| due);
        self.advance(due.saturating_sub(self.now).min(limit));
        let seen = self.exec_seen(exec).ok_or_else(|| gone(exec))?;
        Ok(ExecEnd { code: seen.code.filter(|_| !seen.running), output: Vec::new() })
    }

    pub fn inspect_exec(&mut self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        self.read(Op::InspectExec, exec.short(), |host| Ok(host.exec_seen(exec)))
    }

    /// Commands that were started, and how often each program was: for tests.
    #[must_use]
    pub fn commands_run(&self) -> Vec<String> {
        let started = self.execs.values().filter(|command| command.run.is_some());
        started.map(|command| command.words.join(" ")).collect()
    }

    fn exec_seen(&self, exec: &ExecId) -> Option<ExecSeen> {
        let command = self.execs.get(exec)?;
        let container = self.containers.get(&command.container)?;
        // The engine forgets the commands of a container that ended.
        if container.status != ContainerStatus::Running || container.started_at != command.started_at {
            return None;
        }
        Some(match command.run {
            None => ExecSeen { running: false, code: None },
            Some((due, _)) if due > self.now => ExecSeen { running: true, code: None },
            Some((_, code)) => ExecSeen { running: false, code: Some(code) },
        })
    }

    pub(super) fn run_make_exec(&mut self, id: &ContainerId, words: &[String]) -> Result<String> {
        let refuse = |kind, text: &str| Err(EngineError::new("make a command in", id.short(), kind, text));
        let Some(container) = self.containers.get(id) else {
            return refuse(Failure::NotFound, "No such container");
        };
        if container.status != ContainerStatus::Running {
            return refuse(Failure::Conflict, "Container is not running");
        }
        let started_at = container.started_at;
        let exec = self.next_id("exec");
        let command = Command { container: id.clone(), words: words.to_vec(), started_at, run: None };
        self.execs.insert(ExecId(exec.clone()), command);
        Ok(exec)
    }

    /// Once: a command that was started before is left as it is.
    pub(super) fn run_start_exec(&mut self, exec: &ExecId) -> Result<()> {
        if self.exec_seen(exec).is_none() {
            return Err(gone(exec));
        }
        let script = |host: &Self, command: &Command| {
            host.containers.get(&command.container).map(|found| found.script.command(&command.words))
        };
        let Some(command) = self.execs.get(exec).filter(|command| command.run.is_none()) else {
            return Ok(());
        };
        let (takes, code) = script(self, command).unwrap_or_default();
        let due = self.now.saturating_add(takes);
        if let Some(command) = self.execs.get_mut(exec) {
            command.run = Some((due, code));
        }
        Ok(())
    }
}

fn gone(exec: &ExecId) -> EngineError {
    EngineError::new("start command", exec.short(), Failure::NotFound, "No such exec instance")
}
