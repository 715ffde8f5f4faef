//! Saved plans: written by `plan -o`, carried out by `apply FILE`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::controller::clock;
use crate::controller::preview::{PlanReport, Question, preview};
use crate::controller::records::Records;
use crate::controller::saved::{Basis, SavedPlan, Subject, basis};
use crate::desired::DesiredState;
use crate::desired::ident::ServiceId;
use crate::engine::Observe;
use crate::state::record::Record;

/// A plan, and what it was worked out from.
pub(super) struct Made {
    pub report: PlanReport,
    pub basis: Basis,
}

/// Plans for this host. What it is worked out from is looked at first: what moves in between shows later as having moved.
///
/// # Errors
/// A sentence.
pub(super) async fn make(
    settings: &Settings,
    engine: &dyn Observe,
    store: &dyn Records,
    desired: &DesiredState,
    only: &BTreeSet<ServiceId>,
) -> Result<Made, String> {
    let mut records: BTreeMap<ServiceId, Record> = BTreeMap::new();
    for id in store.services().await.map_err(|error| error.to_string())? {
        let record = store.load(&id).await.map_err(|error| error.to_string())?;
        records.insert(id, record);
    }
    let found = basis(engine, &settings.instance, desired, &records, only).await;
    let basis = found.map_err(|error| format!("the engine cannot be asked: {error}"))?;
    let question = Question {
        engine,
        owner: &settings.instance,
        desired: desired.clone(),
        records,
        session: store.session().await.map_err(|error| error.to_string())?,
        limits: settings.limits,
        only: only.clone(),
        wall: clock::wall(),
    };
    let report = preview(question).await.map_err(|error| error.to_string())?;
    Ok(Made { report, basis })
}

/// Writes a plan to a file, whole or not at all.
///
/// # Errors
/// A sentence.
pub(super) fn write(file: &Path, plan: &SavedPlan) -> Result<(), String> {
    let place = file.display();
    let text = serde_json::to_string_pretty(plan).map_err(|error| format!("cannot write JSON: {error}"))?;
    let aside = PathBuf::from(format!("{place}.new"));
    let written = std::fs::File::create(&aside).and_then(|mut to| {
        writeln!(to, "{text}")?;
        to.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&aside, file));
    moved.map_err(|error| format!("the plan cannot be saved to {place}: {error}"))
}

/// # Errors
/// A sentence: it cannot be read, or is something else.
pub(super) fn read(file: &Path) -> Result<SavedPlan, String> {
    let place = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("the plan {place} cannot be read: {error}"))?;
    SavedPlan::parse(&text).map_err(|error| format!("{place} cannot be used: {error}"))
}

/// The services that a saved plan is about; none: all.
pub(super) fn only(plan: &SavedPlan) -> BTreeSet<ServiceId> {
    plan.only.iter().filter_map(|name| ServiceId::parse(name)).collect()
}

/// Why this host is not to be changed by it.
pub(super) fn objections(
    plan: &SavedPlan,
    settings: &Settings,
    desired: &str,
    only: &BTreeSet<ServiceId>,
    made: &Made,
) -> Vec<String> {
    let (host, instance) = (&settings.host, &settings.instance);
    let subject = Subject { host, instance, desired, only, at: plan.at };
    plan.objections(&subject, &made.basis, &made.report)
}
