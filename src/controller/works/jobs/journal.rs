//! The journal of runs in the store: a note for each job, and one for each run.

use std::collections::BTreeMap;

use crate::controller::records::{Records, RecordsError};
use crate::controller::store::{Note, decoded};
use crate::desired::work::WorkId;
use crate::state::jobs::{JobRecord, Run, RunId};

const JOB: &str = "job";
const RUN: &str = "run";

/// See the module.
pub struct Journal;

impl Journal {
    /// Every job that is remembered, with its runs.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(records: &dyn Records) -> Result<BTreeMap<WorkId, JobRecord>, RecordsError> {
        Ok(of_notes(records.notes(JOB).await?, records.notes(RUN).await?))
    }

    /// Makes durable what differs between two states of a job's record. `None`: it is forgotten.
    ///
    /// # Errors
    /// Nothing of it is.
    pub async fn write(
        records: &dyn Records,
        id: &WorkId,
        before: &JobRecord,
        after: Option<&JobRecord>,
    ) -> Result<(), RecordsError> {
        let told = |error: serde_json::Error| RecordsError(format!("job {id} cannot be noted: {error}"));
        let mut notes = Vec::new();
        let none = BTreeMap::new();
        let runs = after.map_or(&none, |after| &after.runs);
        match after {
            None => notes.push(Note::forget(JOB, id.to_string())),
            Some(after) => {
                let own = |record: &JobRecord| JobRecord { runs: BTreeMap::new(), ..record.clone() };
                if own(before) != own(after) {
                    notes.push(Note::of(JOB, id.to_string(), after).map_err(told)?);
                }
            }
        }
        for (run, is) in runs.iter().filter(|(run, is)| before.runs.get(*run) != Some(*is)) {
            notes.push(Note::of(RUN, key(id, run), is).map_err(told)?);
        }
        for run in before.runs.keys().filter(|run| !runs.contains_key(*run)) {
            notes.push(Note::forget(RUN, key(id, run)));
        }
        if notes.is_empty() {
            return Ok(());
        }
        records.set_notes(notes).await
    }
}

/// What notes of both kinds say, wherever they were read.
#[must_use]
pub fn of_notes(
    jobs: BTreeMap<String, serde_json::Value>,
    runs: BTreeMap<String, serde_json::Value>,
) -> BTreeMap<WorkId, JobRecord> {
    let mut records = BTreeMap::new();
    for (key, record) in decoded::<JobRecord>(JOB, jobs) {
        let Some(id) = key.split_once('/').and_then(|(project, name)| WorkId::new(project, name)) else {
            continue;
        };
        records.insert(id, record);
    }
    for (key, run) in decoded::<Run>(RUN, runs) {
        let mut parts = key.split('/');
        let (Some(project), Some(name), Some(run_id)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (Some(id), Some(run_id)) = (WorkId::new(project, name), RunId::parse(run_id)) else { continue };
        records.entry(id).or_default().runs.insert(run_id, run);
    }
    records
}

fn key(id: &WorkId, run: &RunId) -> String {
    format!("{id}/{run}")
}
