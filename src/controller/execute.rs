//! One step to one engine call. What is done was decided elsewhere; here is only how, and the last look before it.
//!
//! Before a call that stops, changes or removes a container, the container is inspected once more by its id, and nothing is
//! done unless it still carries our labels (invariant I1). Calls are never cancelled: the engine's implementation runs each
//! to its end in a task of its own, and an answer that never comes is the outcome `Unknown`, not a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Semaphore;

use crate::desired::ident::ServiceId;
use crate::engine::{Engine, EngineError, LogOptions, Result};
use crate::state::observed::ContainerId;
use crate::state::plan::{Failure, Outcome, Step};
use crate::state::words::Words;

use super::progress::Progress;

/// Lines of a failed container's log that are kept as evidence.
const EVIDENCE_LINES: usize = 40;
/// Bytes of evidence kept: enough for a stack trace, small enough for a record.
const EVIDENCE_BYTES: usize = 8 * 1024;
/// Reading a log must not hold up a rollback.
const EVIDENCE_DEADLINE: Duration = Duration::from_secs(10);

/// What every step of one service's pass needs.
pub struct Executor<'a> {
    pub engine: &'a Arc<dyn Engine>,
    /// The instance id.
    pub owner: &'a str,
    /// `None`: the step is about a network or a volume, and its containers may be of any service of ours.
    pub service: Option<&'a ServiceId>,
    /// Pulls at a time on the whole host.
    pub pulls: &'a Semaphore,
    pub progress: &'a dyn Progress,
}

impl Executor<'_> {
    /// Takes one step. Total: every answer of the engine is an outcome.
    pub async fn take(&self, step: &Step) -> Outcome {
        match self.call(step).await {
            Ok(outcome) => outcome,
            Err(EngineError { op, object, kind, message }) => {
                Outcome::Failed { kind, text: format!("{op} {object}: {message}") }
            }
        }
    }

    async fn call(&self, step: &Step) -> Result<Outcome> {
        match step {
            Step::Pull { image, platform } => return self.pull(image, platform.as_deref()).await,
            Step::Create(creation) => return Ok(Outcome::Created(self.engine.create(creation).await?)),
            Step::MakeExec { id, exec, .. } => {
                self.fresh("make a command in", id).await?;
                return Ok(Outcome::Made(self.engine.create_exec(id, exec).await?));
            }
            Step::StartExec { id, exec, limit_ms, .. } => {
                self.fresh("start a command in", id).await?;
                let end = self.engine.start_exec(exec, Duration::from_millis(*limit_ms)).await?;
                return Ok(Outcome::Ended { code: end.code, output: evidence(&end.output) });
            }
            Step::SaveLogs { id, .. } => return Ok(Outcome::Logs(self.last_lines(id).await)),
            Step::Keep { image, repository, tag } => self.engine.tag(image, repository, tag).await?,
            Step::Untag { reference } => self.engine.untag(reference).await?,
            Step::CreateNetwork(network) => {
                self.engine.create_network(network, self.owner).await?;
            }
            Step::CreateVolume(volume) => self.engine.create_volume(volume, self.owner).await?,
            Step::RemoveNetwork { id, .. } => self.engine.remove_network(id).await?,
            Step::Start { id } => {
                self.fresh("start", id).await?;
                self.engine.start(id).await?;
            }
            Step::Stop { id, grace } => {
                self.fresh("stop", id).await?;
                self.engine.stop(id, *grace).await?;
            }
            Step::SetRestart { id, policy } => {
                self.fresh("set restart policy of", id).await?;
                self.engine.set_restart(id, *policy).await?;
            }
            Step::SetResources { id, resources } => {
                self.fresh("set resources of", id).await?;
                self.engine.set_resources(id, resources).await?;
            }
            Step::Deliver { id, files, signal } => {
                self.fresh("deliver files to", id).await?;
                let files = files.iter().map(|(path, file)| (path.clone(), file.content.clone())).collect();
                self.engine.deliver(id, &files, signal.as_deref()).await?;
            }
            Step::Rename { id, name } => {
                self.fresh("rename", id).await?;
                self.engine.rename(id, name).await?;
            }
            Step::Connect { id, network_id, endpoint, aliases, .. } => {
                self.fresh("connect", id).await?;
                self.engine.connect(network_id, id, endpoint, aliases).await?;
            }
            Step::Disconnect { id, network_id, .. } => {
                self.fresh("disconnect", id).await?;
                self.engine.disconnect(network_id, id).await?;
            }
            Step::Remove { id, dead } => match self.fresh("remove", id).await {
                Ok(()) => self.engine.remove(id, *dead).await?,
                // Somebody was faster: gone is what was wanted.
                Err(error) if error.kind == Failure::NotFound => {}
                Err(error) => return Err(error),
            },
        }
        Ok(Outcome::Done)
    }

    /// The look before the act (S1): this very id must still be a container of this service and this instance.
    async fn fresh(&self, op: &'static str, id: &ContainerId) -> Result<()> {
        let Some(found) = self.engine.inspect(id).await? else {
            return Err(EngineError::new(op, id.short(), Failure::NotFound, "the container is gone"));
        };
        let other = self
            .service
            .is_some_and(|service| found.labels.service != *service || found.labels.job.is_some());
        if found.labels.owner != self.owner || other {
            let message = format!(
                "the container belongs to {} of instance {}, so it was left alone",
                found.labels.service, found.labels.owner
            );
            return Err(EngineError::new(op, found.name, Failure::Conflict, message));
        }
        Ok(())
    }

    async fn pull(&self, image: &str, platform: Option<&str>) -> Result<Outcome> {
        // The semaphore is never closed; if it were, pulling without a limit is the lesser evil.
        let _permit = self.pulls.acquire().await.ok();
        let progress = |event| {
            if let Some(service) = self.service {
                self.progress.pull(service, image, &event);
            }
        };
        self.engine.pull(image, platform, &progress).await?;
        Ok(Outcome::Done)
    }

    /// Evidence is worth a try and no more: whatever goes wrong here must not keep a failed container from its removal.
    async fn last_lines(&self, id: &ContainerId) -> String {
        let options = LogOptions { tail: Some(EVIDENCE_LINES), ..LogOptions::default() };
        let mut bytes = Vec::new();
        let read = async {
            let mut stream = self.engine.logs(id, &options).await?;
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?.bytes);
                // Forty lines can be any size: keep the tail, never hold more than twice of what is kept.
                if bytes.len() > 2 * EVIDENCE_BYTES {
                    bytes.drain(..bytes.len() - EVIDENCE_BYTES);
                }
            }
            Ok::<(), EngineError>(())
        };
        match tokio::time::timeout(EVIDENCE_DEADLINE, read).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(container = id.short(), %error, "could not read the log of a failed container")
            }
            Err(_) => {
                tracing::debug!(container = id.short(), "reading the log took too long")
            }
        }
        evidence(&bytes)
    }
}

/// Raw log output as text that is safe in a terminal, a record and an API answer: the last lines, capped, control characters
/// escaped (a hostile image must not write to the operator's terminal).
#[must_use]
pub fn evidence(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(EVIDENCE_LINES);
    let mut escaped = String::new();
    for line in lines.into_iter().skip(skipped) {
        escape_into(line.trim_end_matches('\r'), &mut escaped);
        escaped.push('\n');
    }
    let mut from = escaped.len().saturating_sub(EVIDENCE_BYTES);
    while !escaped.is_char_boundary(from) {
        from += 1;
    }
    escaped.split_off(from).trim_end_matches('\n').to_owned()
}

fn escape_into(line: &str, out: &mut String) {
    for character in line.chars() {
        // Beside the control characters: those that turn the direction of text around.
        let hostile = character.is_control()
            || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match character {
            '\t' => out.push(' '),
            _ if hostile => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", character.escape_unicode());
            }
            _ => out.push(character),
        }
    }
}

/// A step for people: what, on what. `names` are those of the containers of this pass; one that is not in it is told by its
/// short id. Never a value of the environment or a label.
#[must_use]
pub fn describe(step: &Step, names: &BTreeMap<ContainerId, String>) -> String {
    let name = |id: &ContainerId| names.get(id).cloned().unwrap_or_else(|| id.short().to_owned());
    match step {
        Step::Pull { image, .. } => format!("pull {image}"),
        Step::Keep { image, repository, tag } => {
            format!("keep image {} as {repository}:{tag}", image.short())
        }
        Step::Untag { reference } => format!("drop image tag {reference}"),
        Step::CreateNetwork(network) => format!("create network {}", network.name),
        Step::CreateVolume(volume) => format!("create volume {}", volume.name),
        Step::Create(creation) => format!("create {} from {}", creation.name, creation.labels.image_ref),
        Step::Start { id } => format!("start {}", name(id)),
        Step::Stop { id, .. } => format!("stop {}", name(id)),
        Step::SetRestart { id, policy } => {
            format!("set restart policy of {} to {}", name(id), policy.words())
        }
        Step::SetResources { id, .. } => format!("set resources of {}", name(id)),
        Step::Deliver { id, files, signal } => {
            let shown: BTreeSet<&str> = files.values().map(|file| file.shown.as_str()).collect();
            let shown = shown.into_iter().collect::<Vec<_>>().join(" and ");
            match signal {
                Some(signal) => format!("give {} the new {shown} and send it {signal}", name(id)),
                None => format!("give {} the new {shown}", name(id)),
            }
        }
        Step::Rename { id, name: new } => format!("rename {} to {new}", name(id)),
        Step::Connect { id, network, .. } => format!("connect {} to network {network}", name(id)),
        Step::Disconnect { id, network, .. } => format!("disconnect {} from network {network}", name(id)),
        Step::MakeExec { key, id, .. } => format!("make the command of {key} in {}", name(id)),
        Step::StartExec { key, id, .. } => format!("run {key} in {}", name(id)),
        Step::SaveLogs { id, .. } => format!("save the last log lines of {}", name(id)),
        Step::Remove { id, .. } => format!("remove {}", name(id)),
        Step::RemoveNetwork { name, .. } => format!("remove network {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_keeps_the_last_lines_and_escapes_what_a_terminal_would_obey() {
        let log: String = (1..=50).map(|n| format!("line {n}\n")).collect();
        let kept = evidence(log.as_bytes());
        assert_eq!(kept.lines().count(), 40);
        assert!(kept.starts_with("line 11\n") && kept.ends_with("line 50"));
        assert_eq!(evidence(b"a\x1b[31mred\x07\r\nb\tc"), "a\\u{1b}[31mred\\u{7}\nb c");
        assert_eq!(evidence("\u{202e}txt".as_bytes()), "\\u{202e}txt");
        assert_eq!(evidence(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn evidence_is_capped_on_a_character_boundary() {
        let kept = evidence("ä".repeat(20_000).as_bytes());
        assert!(kept.len() <= EVIDENCE_BYTES && kept.chars().all(|c| c == 'ä'));
    }
}
