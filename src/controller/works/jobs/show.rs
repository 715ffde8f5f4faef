//! Jobs for the API, and operators' words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Desired, Jobs};
use crate::controller::host::Host;
use crate::desired::work::WorkId;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};
use crate::state::jobs::view::{JobRow, Showing};
use crate::state::jobs::when::zone_for;
use crate::state::jobs::{RunId, by_hand, stop_by_hand};

/// Runs that are shown of one job where nobody says how many.
const RUNS: usize = 10;

/// Body of `POST /v1/work/jobs/run` and `/stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobOrder {
    /// `project/job`.
    pub job: String,
    /// Of `stop`: only this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrdered {
    pub job: String,
    pub runs: Vec<String>,
    pub message: String,
}

fn fault(kind: ApiErrorKind, text: impl Into<String>) -> ApiError {
    ApiError::new(kind, text)
}

impl Jobs {
    pub(super) async fn rows(
        &self,
        host: &Arc<Host>,
        asked: &WorkQuery,
        local: bool,
    ) -> Result<Value, ApiError> {
        self.is_ready()?;
        let name = asked.get("name");
        let limit = match asked.get("limit").map(|text| text.parse::<usize>()) {
            None => RUNS,
            Some(Ok(limit)) => limit,
            Some(Err(_)) => return Err(fault(ApiErrorKind::Invalid, "`limit` is not a number")),
        };
        let ids: Vec<WorkId> = self.cells().keys().cloned().collect();
        let mut rows = Vec::new();
        for id in ids.into_iter().filter(|id| name.is_none_or(|name| *name == id.to_string())) {
            let mut row = self.row(host, &id, if name.is_some() { limit } else { 0 }).await;
            if !local {
                row.open.iter_mut().chain(&mut row.last).chain(&mut row.runs).for_each(|run| run.tail = None);
            }
            rows.push(row);
        }
        if let (Some(name), true) = (name, rows.is_empty()) {
            return Err(fault(ApiErrorKind::NotFound, format!("there is no job `{name}`")));
        }
        serde_json::to_value(rows).map_err(|error| fault(ApiErrorKind::Internal, error.to_string()))
    }

    fn is_ready(&self) -> Result<(), ApiError> {
        if self.ready.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(fault(ApiErrorKind::Unavailable, "the journal of jobs was not read yet: try again in a moment"))
    }

    async fn row(&self, host: &Arc<Host>, id: &WorkId, runs: usize) -> JobRow {
        let cell = self.cell(id);
        let wish = host.wish();
        let own = cell.work.lock().await;
        let desired = wish.as_ref().map(|wish| Desired::of(wish, id, &own.record));
        let spec = match &desired {
            Some(desired) => desired.spec(&own.record),
            None => own.record.spec.as_deref(),
        };
        let problem = match &desired {
            Some(Desired::Frozen(why)) => Some(why.clone()),
            Some(Desired::Gone) => Some("no file has it any more".to_owned()),
            Some(Desired::Run(_)) | None => None,
        };
        let zone = zone_for(spec, &self.zone);
        let now = host.clock.now().wall;
        let showing = Showing {
            id,
            owner: &host.owner,
            spec,
            record: &own.record,
            memo: &own.memo,
            zone: &zone,
            paused: wish
                .as_ref()
                .and_then(|wish| wish.state.pauses.project(&id.project, now.0))
                .map(|paused| paused.why),
            problem,
            now,
        };
        showing.row(runs)
    }

    pub(super) async fn obey(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        self.is_ready()?;
        let order: JobOrder =
            serde_json::from_value(order).map_err(|error| fault(ApiErrorKind::Invalid, error.to_string()))?;
        let id = order.job.split_once('/').and_then(|(project, name)| WorkId::new(project, name));
        let known = id.filter(|id| self.cells().contains_key(id));
        let Some(id) = known else {
            return Err(fault(ApiErrorKind::NotFound, format!("there is no job `{}`", order.job)));
        };
        let ordered = match verb {
            "run" => self.run_now(host, &id).await?,
            "stop" => self.stop_now(host, &id, order.run.as_deref()).await?,
            _ => {
                let text = format!("nobody can `{verb}` a job: `run` and `stop` is what there is");
                return Err(fault(ApiErrorKind::NotFound, text));
            }
        };
        self.wake(&id);
        serde_json::to_value(ordered).map_err(|error| fault(ApiErrorKind::Internal, error.to_string()))
    }

    async fn run_now(&self, host: &Arc<Host>, id: &WorkId) -> Result<JobOrdered, ApiError> {
        let conflict = |text: String| fault(ApiErrorKind::Conflict, format!("{id} is not run: {text}"));
        let wish = host.wish().ok_or_else(|| {
            fault(ApiErrorKind::Unavailable, "the files were not read yet: try again in a moment")
        })?;
        if let Some(paused) = wish.state.pauses.project(&id.project, host.clock.now().wall.0) {
            return Err(conflict(format!("{} says paused", paused.why)));
        }
        let cell = self.cell(id);
        let mut own = cell.work.lock().await;
        let desired = Desired::of(&wish, id, &own.record);
        let spec = match &desired {
            Desired::Run(spec) => spec,
            Desired::Frozen(why) => return Err(conflict(why.clone())),
            Desired::Gone => return Err(conflict("no file has it any more".to_owned())),
        };
        let mut record = own.record.clone();
        let run = by_hand(&mut record, spec, host.clock.now()).map_err(conflict)?;
        self.write(host, id, &mut own, record).await?;
        let message = format!("{id} runs as {run}");
        Ok(JobOrdered { job: id.to_string(), runs: vec![run.to_string()], message })
    }

    async fn stop_now(
        &self,
        host: &Arc<Host>,
        id: &WorkId,
        run: Option<&str>,
    ) -> Result<JobOrdered, ApiError> {
        let which = match run.map(RunId::parse) {
            None => None,
            Some(Some(run)) => Some(run),
            Some(None) => return Err(fault(ApiErrorKind::Invalid, "this is not the id of a run")),
        };
        let cell = self.cell(id);
        let mut own = cell.work.lock().await;
        let mut record = own.record.clone();
        let stopped = stop_by_hand(&mut record, which.as_ref(), host.clock.now())
            .map_err(|text| fault(ApiErrorKind::Conflict, format!("{id}: {text}")))?;
        self.write(host, id, &mut own, record).await?;
        let runs: Vec<String> = stopped.iter().map(ToString::to_string).collect();
        Ok(JobOrdered { job: id.to_string(), message: format!("{id}: {} stops", runs.join(", ")), runs })
    }

    async fn write(
        &self,
        host: &Arc<Host>,
        id: &WorkId,
        own: &mut super::Own,
        record: crate::state::jobs::JobRecord,
    ) -> Result<(), ApiError> {
        let written = self.remember(host, id, own, record).await;
        written
            .map_err(|error| fault(ApiErrorKind::Unavailable, format!("it cannot be written down: {error}")))
    }
}
