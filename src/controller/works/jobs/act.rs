//! Carrying out one step, and taking in what came of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::{Cell, Jobs};
use crate::controller::execute::evidence;
use crate::controller::host::Host;
use crate::desired::work::WorkId;
use crate::engine::{EngineError, ExecEnd, LogOptions, Result};
use crate::state::jobs::{JobOutcome, JobStep, RunId, settle};
use crate::state::observed::ContainerId;
use crate::state::plan::Failure;

/// Lines of output that are kept with a run.
const LINES: usize = 40;
/// Reading a log must not hold up what comes next.
const LOG_DEADLINE: Duration = Duration::from_secs(10);

impl Jobs {
    pub(super) async fn act(
        self: &Arc<Self>,
        host: &Arc<Host>,
        id: &WorkId,
        cell: &Arc<Cell>,
        run: &RunId,
        step: &JobStep,
    ) {
        if let JobStep::StartExec { .. } = step {
            let mut own = cell.work.lock().await;
            self.follow(host, id, &mut own, run, step);
            return;
        }
        tracing::info!(job = %id, run = %run, step = words(step));
        let outcome = match self.take(host, id, run, step).await {
            Ok(outcome) => outcome,
            Err(EngineError { op, object, kind, message }) => {
                tracing::warn!(job = %id, run = %run, step = words(step), kind = kind.as_str(), error = message, "a step failed");
                JobOutcome::Failed { kind, text: format!("{op} {object}: {message}") }
            }
        };
        self.settled(host, id, cell, run, step, &outcome).await;
    }

    async fn take(&self, host: &Arc<Host>, id: &WorkId, run: &RunId, step: &JobStep) -> Result<JobOutcome> {
        if let JobStep::Pull { image, platform } = step {
            // A pull may be left behind: the engine drops it, and nothing on the host has changed.
            return tokio::select! {
                pulled = pull(host, image, platform.as_deref()) => pulled,
                () = host.stopped() => Ok(JobOutcome::NotTried),
            };
        }
        // The semaphore is never closed; if it were, acting without a limit is the lesser evil.
        let _turn = self.actors.acquire().await.ok();
        let engine = &host.engine;
        match step {
            JobStep::Pull { .. } | JobStep::StartExec { .. } => Ok(JobOutcome::NotTried),
            JobStep::Create(creation) => Ok(JobOutcome::Created(engine.create(creation).await?)),
            JobStep::Start { id: container } => {
                fresh(host, "start", id, run, container).await?;
                engine.start(container).await?;
                Ok(JobOutcome::Done)
            }
            JobStep::Stop { id: container, grace } => {
                fresh(host, "stop", id, run, container).await?;
                engine.stop(container, *grace).await?;
                Ok(JobOutcome::Done)
            }
            JobStep::Collect { id: container, .. } => Ok(JobOutcome::Tail(tail(host, container).await)),
            JobStep::Remove { id: container, dead } => {
                fresh(host, "remove", id, run, container).await?;
                engine.remove(container, *dead).await?;
                Ok(JobOutcome::Done)
            }
            JobStep::MakeExec { id: container, exec } => {
                let found = engine.inspect(container).await?;
                if found.is_none_or(|found| found.labels.owner != host.owner) {
                    let text = "the container is gone";
                    return Err(EngineError::new(
                        "make a command in",
                        container.short(),
                        Failure::NotFound,
                        text,
                    ));
                }
                Ok(JobOutcome::Made(engine.create_exec(container, exec).await?))
            }
        }
    }

    /// What came of a step is remembered, durably where it can be. It happened, so it is true either way.
    pub(super) async fn settled(
        &self,
        host: &Host,
        id: &WorkId,
        cell: &Cell,
        run: &RunId,
        step: &JobStep,
        outcome: &JobOutcome,
    ) {
        let mut own = cell.work.lock().await;
        let (mut record, mut memo) = (own.record.clone(), own.memo.clone());
        settle(&mut record, &mut memo, run, step, outcome, host.clock.now());
        own.memo = memo;
        if let Err(error) = self.remember(host, id, &mut own, record.clone()).await {
            tracing::error!(job = %id, run = %run, %error, "what was just done could not be written down");
            self.tell(host, id, &own.record, &record);
            // Before anything else is done it is.
            own.record = record;
        }
    }
}

pub(super) fn exec_outcome(answer: Result<ExecEnd>) -> JobOutcome {
    match answer {
        Ok(end) => JobOutcome::Ended { code: end.code, tail: evidence(&end.output) },
        Err(error) => JobOutcome::Failed { kind: error.kind, text: error.to_string() },
    }
}

async fn pull(host: &Host, image: &str, platform: Option<&str>) -> Result<JobOutcome> {
    let _permit = host.pulls.acquire().await.ok();
    host.engine.pull(image, platform, &|_| {}).await?;
    Ok(JobOutcome::Done)
}

/// The look before the act: this very id must still be the container of this run.
async fn fresh(
    host: &Host,
    op: &'static str,
    id: &WorkId,
    run: &RunId,
    container: &ContainerId,
) -> Result<()> {
    let Some(found) = host.engine.inspect(container).await? else {
        return Err(EngineError::new(op, container.short(), Failure::NotFound, "the container is gone"));
    };
    let labels = &found.labels;
    let ours = labels.owner == host.owner
        && labels.service.project == id.project
        && labels.service.service == id.name
        && labels.job.as_ref() == Some(run);
    if ours {
        return Ok(());
    }
    let text = "the container is not this run's, so it was left alone";
    Err(EngineError::new(op, found.name, Failure::Conflict, text))
}

/// Worth a try and no more: a run has ended whether its output can be read or not.
async fn tail(host: &Host, id: &ContainerId) -> String {
    let options = LogOptions { tail: Some(LINES), ..LogOptions::default() };
    let mut bytes = Vec::new();
    let read = async {
        let mut stream = host.engine.logs(id, &options).await?;
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?.bytes);
            // Forty lines can be any size.
            if bytes.len() > 64 * 1024 {
                bytes.drain(..bytes.len() - 32 * 1024);
            }
        }
        Ok::<(), EngineError>(())
    };
    match tokio::time::timeout(LOG_DEADLINE, read).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(container = id.short(), %error, "could not read the log of a run"),
        Err(_) => tracing::debug!(container = id.short(), "reading the log of a run took too long"),
    }
    evidence(&bytes)
}

/// For the log.
fn words(step: &JobStep) -> String {
    match step {
        JobStep::Pull { image, .. } => format!("pull {image}"),
        JobStep::Create(creation) => format!("create {} from {}", creation.name, creation.labels.image_ref),
        JobStep::Start { id } => format!("start {}", id.short()),
        JobStep::Stop { id, .. } => format!("stop {}", id.short()),
        JobStep::Collect { id, ending } => format!("{} has ended: {}", id.short(), ending.text),
        JobStep::Remove { id, .. } => format!("remove {}", id.short()),
        JobStep::MakeExec { id, .. } => format!("make its command in {}", id.short()),
        JobStep::StartExec { .. } => "run its command".to_owned(),
    }
}
