//! Commands in containers that run: made, started, asked about, each by its own request.
//!
//! The engine starts a command that was made once and never again, so whoever keeps its id can ask for the start as often as need
//! be. A command cannot be stopped through the engine: one that takes too long is left to itself.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::Instant;

use super::fault::{Call, Look, engine_error};
use super::streams::Demux;
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::desired::probe::Exec;
use crate::engine::convert::answers;
use crate::engine::{EngineError, ExecEnd, READ_DEADLINE, Result, WRITE_DEADLINE};
use crate::state::observed::{ContainerId, ExecId, ExecSeen};
use crate::state::plan::Failure;

/// How often a command whose output goes on is asked about: a process that it left behind may hold its output open.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the engine may take to note the end of a command whose output has ended.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
/// Output kept: the end of it.
const KEPT: usize = 8 * 1024;

impl Docker {
    pub(super) async fn make_exec(&self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        let op = "make a command in";
        let path = format!("/containers/{}/exec", path_segment(op, &id.0)?);
        let variable = |(name, value): (&String, &Option<crate::desired::secret::Sensitive>)| match value {
            Some(value) => format!("{name}={}", value.expose()),
            None => name.clone(),
        };
        let env: Vec<String> = exec.environment.iter().map(variable).collect();
        let body = json!({
            "AttachStdout": true, "AttachStderr": true, "Cmd": exec.command, "Env": env,
            "User": exec.user.clone().unwrap_or_default(), "Privileged": exec.privileged,
            "WorkingDir": exec.working_dir.clone().unwrap_or_default(),
        });
        let made: std::result::Result<answers::MadeExec, _> =
            self.wire.post(&path, body.to_string(), WRITE_DEADLINE).await;
        match made {
            Ok(made) => Ok(ExecId(made.id)),
            Err(error) => Err(self.judged(op, id, Call::Write, &error).await.0),
        }
    }

    pub(super) async fn look_at_exec(&self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        let path = format!("/exec/{}/json", path_segment("inspect command", &exec.0)?);
        let seen: Option<answers::Exec> = self.read_existing("inspect command", exec.short(), &path).await?;
        Ok(seen.map(|seen| ExecSeen { running: seen.running, code: seen.exit_code }))
    }

    /// Starts it and reads what it prints until it has ended, or the time is up.
    pub(super) async fn follow_exec(&self, exec: &ExecId, limit: Duration) -> Result<ExecEnd> {
        let path = format!("/exec/{}/start", path_segment("start command", &exec.0)?);
        let until = Instant::now() + limit;
        let body = json!({ "Detach": false, "Tty": false }).to_string();
        let mut printed = Vec::new();
        match self.wire.open_post(&path, body, READ_DEADLINE.min(limit)).await {
            Ok(mut stream) => {
                let mut frames = Demux::new(false);
                loop {
                    let pause = ASK_EVERY.min(until.saturating_duration_since(Instant::now()));
                    match tokio::time::timeout(pause, stream.next()).await {
                        Ok(Some(Ok(bytes))) => {
                            frames.push(bytes).iter().for_each(|chunk| keep(&mut printed, &chunk.bytes));
                        }
                        Ok(Some(Err(_)) | None) => break,
                        Err(_) => {
                            let ended = self.look_at_exec(exec).await?.is_some_and(|seen| !seen.running);
                            if ended || Instant::now() >= until {
                                break;
                            }
                        }
                    }
                }
            }
            Err(error @ WireError::Refused { .. }) => {
                // A command that the engine could not run has an end, too (126, 127); one that runs already is waited for.
                match self.look_at_exec(exec).await? {
                    Some(seen) if seen.running || seen.code.is_some() => {
                        keep(&mut printed, error.to_string().as_bytes());
                    }
                    _ => return Err(exec_error(exec, &error)),
                }
            }
            Err(WireError::Late(_)) if Instant::now() >= until => {}
            Err(error) => return Err(exec_error(exec, &error)),
        }
        self.end_of(exec, until, printed).await
    }

    async fn end_of(&self, exec: &ExecId, until: Instant, printed: Vec<u8>) -> Result<ExecEnd> {
        let settled = Instant::now() + SETTLES_WITHIN;
        loop {
            let seen = self.look_at_exec(exec).await?.ok_or_else(|| {
                let text = "its container ended before it did";
                EngineError::new("follow command", exec.short(), Failure::NotFound, text)
            })?;
            if !seen.running && seen.code.is_some() {
                return Ok(ExecEnd { code: seen.code, output: printed });
            }
            let limit = if seen.running { until } else { settled };
            if Instant::now() >= limit {
                return Ok(ExecEnd { code: None, output: printed });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn exec_error(exec: &ExecId, error: &WireError) -> EngineError {
    engine_error("start command", exec.short(), Call::Write, error, Look::Blind)
}

/// The end is what tells why it failed.
fn keep(printed: &mut Vec<u8>, bytes: &[u8]) {
    printed.extend_from_slice(bytes);
    if printed.len() > 2 * KEPT {
        printed.drain(..printed.len() - KEPT);
    }
}
