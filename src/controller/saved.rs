//! A saved plan: what would be done, and what that was worked out from. It is carried out only where both still hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::objects::owner_filter;
use super::preview::PlanReport;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::{DesiredState, Wanted};
use crate::engine::{Observe, Result};
use crate::state::observed::{ContainerId, ContainerStatus, ImageId, label};
use crate::state::record::{Hold, Record, RevisionId, RevisionVerdict};
use crate::state::time::Timestamp;

/// The form of the file. Another number means that something in it means something else.
const VERSION: u64 = 1;
const KIND: &str = "evenkeel plan";

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedPlan {
    kind: String,
    version: u64,
    /// The evenkeel that made it, for people.
    by: String,
    pub at: Timestamp,
    pub host: String,
    pub instance: String,
    /// Digest of the files.
    pub desired: String,
    /// The services it was asked for; empty: all.
    pub only: BTreeSet<String>,
    pub basis: Basis,
    pub report: PlanReport,
}

/// What a plan was worked out from: whatever may move between its making and its carrying out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// By `project/service`.
    services: BTreeMap<String, ServiceBasis>,
    /// What each wanted reference means on the host; `None`: it is not there.
    images: BTreeMap<String, Option<ImageId>>,
    /// Ids by name.
    networks: BTreeMap<String, BTreeSet<String>>,
    volumes: BTreeMap<String, bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ServiceBasis {
    /// By name.
    containers: BTreeMap<String, Seen>,
    remembered: Remembered,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    id: ContainerId,
    status: ContainerStatus,
}

/// What of a record decides what is done. No spec is in it, and so no value of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    good: Option<RevisionId>,
    intent: Option<RevisionId>,
    rejected: BTreeSet<RevisionId>,
    completed: Option<RevisionId>,
    rolling_back: Option<RevisionId>,
    hold: Option<Hold>,
    unsettled: usize,
}

/// The file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedPlanError {
    #[error("it is not a saved plan ({0}): make one with `evenkeel plan -o FILE`")]
    Unreadable(String),
    #[error(
        "it has form {found}, and this evenkeel ({by}) reads form {VERSION}: make it anew with the same version of evenkeel that applies it",
        by = env!("CARGO_PKG_VERSION")
    )]
    Version { found: String },
}

/// What the plan is for.
pub struct Subject<'a> {
    pub host: &'a str,
    pub instance: &'a str,
    /// Digest of the files.
    pub desired: &'a str,
    pub only: &'a BTreeSet<ServiceId>,
    pub at: Timestamp,
}

impl SavedPlan {
    #[must_use]
    pub fn new(subject: &Subject<'_>, basis: Basis, report: PlanReport) -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            by: env!("CARGO_PKG_VERSION").to_owned(),
            at: subject.at,
            host: subject.host.to_owned(),
            instance: subject.instance.to_owned(),
            desired: subject.desired.to_owned(),
            only: subject.only.iter().map(ToString::to_string).collect(),
            basis,
            report,
        }
    }

    /// Reads a saved one.
    ///
    /// # Errors
    /// It is something else, or of another version.
    pub fn parse(text: &str) -> std::result::Result<Self, SavedPlanError> {
        let unreadable = |error: serde_json::Error| SavedPlanError::Unreadable(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        if value.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) {
            return Err(SavedPlanError::Unreadable(format!("it does not say \"kind\": \"{KIND}\"")));
        }
        match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            version => {
                let found = version.map_or_else(|| "none".to_owned(), ToString::to_string);
                return Err(SavedPlanError::Version { found });
            }
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Why it is not to be carried out; empty: everything is as it was when it was made, and the same would be done.
    #[must_use]
    pub fn objections(&self, subject: &Subject<'_>, basis: &Basis, fresh: &PlanReport) -> Vec<String> {
        let mut found = Vec::new();
        if self.instance != subject.instance || self.host != subject.host {
            found.push(format!(
                "it was made for instance {} on host {}, and this is {} on {}",
                self.instance, self.host, subject.instance, subject.host
            ));
            return found;
        }
        if self.desired != subject.desired {
            found.push("the files are not the ones that it was made from".to_owned());
        }
        self.basis.moved(basis, &mut found);
        if found.is_empty() {
            found.extend(otherwise(&self.report, fresh));
        }
        found
    }
}

/// What a plan for these services (all, when none are named) would be worked out from.
///
/// # Errors
/// Those of the reads.
pub async fn basis(
    engine: &dyn Observe,
    owner: &str,
    desired: &DesiredState,
    records: &BTreeMap<ServiceId, Record>,
    scope: &BTreeSet<ServiceId>,
) -> Result<Basis> {
    let mut basis = Basis::default();
    let meant = |id: &ServiceId| scope.is_empty() || scope.contains(id);
    for (id, record) in records.iter().filter(|(id, _)| meant(id)) {
        basis.services.entry(id.to_string()).or_default().remembered = Remembered::of(record);
    }
    for row in engine.list_containers(&owner_filter(owner)).await? {
        let project = row.labels.get(label::PROJECT).and_then(|text| ProjectName::new(text));
        let service = row.labels.get(label::SERVICE).and_then(|text| ServiceName::new(text));
        let (Some(project), Some(service)) = (project, service) else { continue };
        let id = ServiceId { project, service };
        if meant(&id) {
            let name = row.names.into_iter().next().unwrap_or_default();
            let seen = Seen { id: row.id, status: row.status };
            basis.services.entry(id.to_string()).or_default().containers.insert(name, seen);
        }
    }
    for (_, wanted) in desired.services.iter().filter(|(id, _)| meant(id)) {
        let Wanted::Run(revision) = wanted else { continue };
        let reference = &revision.spec.container.image;
        if !basis.images.contains_key(reference) {
            let found = engine.inspect_image(reference).await?;
            basis.images.insert(reference.clone(), found.map(|facts| facts.id));
        }
    }
    for name in desired.networks.keys() {
        let ids = engine.networks_named(name).await?.into_iter().map(|network| network.id).collect();
        basis.networks.insert(name.clone(), ids);
    }
    for name in desired.volumes.keys() {
        basis.volumes.insert(name.clone(), engine.volume(name).await?.is_some());
    }
    Ok(basis)
}

impl Remembered {
    fn of(record: &Record) -> Self {
        let rejected = record
            .revisions
            .iter()
            .filter(|kept| matches!(kept.verdict, RevisionVerdict::Rejected { .. }))
            .map(|kept| kept.id.clone());
        Self {
            good: record.good.clone(),
            intent: record.intent.clone(),
            rejected: rejected.collect(),
            completed: record.completed.clone(),
            rolling_back: record.rolling_back.clone(),
            hold: record.hold.clone(),
            unsettled: record.unsettled.len(),
        }
    }
}

impl Basis {
    fn moved(&self, now: &Self, found: &mut Vec<String>) {
        let nothing = ServiceBasis::default();
        let names: BTreeSet<&String> = self.services.keys().chain(now.services.keys()).collect();
        for name in names {
            let before = self.services.get(name).unwrap_or(&nothing);
            before.moved(name, now.services.get(name).unwrap_or(&nothing), found);
        }
        for (reference, before) in &self.images {
            match (before, now.images.get(reference).and_then(Option::as_ref)) {
                (Some(before), Some(after)) if before != after => {
                    found.push(format!("{reference} is another image now: {}", after.short()));
                }
                (None, Some(_)) => found.push(format!("{reference} was not on the host, and is now")),
                (Some(_), None) => found.push(format!("{reference} is not on the host any more")),
                _ => {}
            }
        }
        for (name, before) in &self.networks {
            if now.networks.get(name).is_some_and(|after| after != before) {
                found.push(format!("network {name} was made, removed or made anew"));
            }
        }
        for (name, before) in &self.volumes {
            if now.volumes.get(name).is_some_and(|after| after != before) {
                found.push(format!("volume {name} {}", if *before { "is gone" } else { "was made" }));
            }
        }
    }
}

impl ServiceBasis {
    fn moved(&self, service: &str, now: &Self, found: &mut Vec<String>) {
        let names: BTreeSet<&String> = self.containers.keys().chain(now.containers.keys()).collect();
        for name in names {
            match (self.containers.get(name), now.containers.get(name)) {
                (Some(_), None) => found.push(format!("{service}: container {name} is gone")),
                (None, Some(_)) => found.push(format!("{service}: container {name} is new")),
                (Some(before), Some(after)) if before.id != after.id => {
                    found.push(format!(
                        "{service}: container {name} is another one now ({})",
                        after.id.short()
                    ));
                }
                (Some(before), Some(after)) if before.status != after.status => {
                    let (before, after) = (word(before.status), word(after.status));
                    found.push(format!("{service}: container {name} was {before}, and is {after}"));
                }
                _ => {}
            }
        }
        let (before, after) = (&self.remembered, &now.remembered);
        if before.hold != after.hold {
            let what = if after.hold.is_some() { "is held now" } else { "is not held any more" };
            found.push(format!("{service} {what}"));
        }
        let without = |remembered: &Remembered| Remembered { hold: None, ..remembered.clone() };
        if without(before) != without(after) {
            found.push(format!("{service}: another revision was tried, proved itself or failed since"));
        }
    }
}

fn word(status: ContainerStatus) -> String {
    format!("{status:?}").to_lowercase()
}

/// The first service or object with which something else would be done now. Everything that was compared is the same; what is left
/// is time itself, as a hold that ends.
fn otherwise(before: &PlanReport, now: &PlanReport) -> Option<String> {
    type Steps<'a> = BTreeMap<&'a str, Vec<&'a str>>;
    fn steps(report: &PlanReport) -> Steps<'_> {
        let services = report.services.iter().map(|plan| (plan.service.as_str(), &plan.steps));
        let objects = report.objects.iter().map(|plan| (plan.object.as_str(), &plan.steps));
        services
            .chain(objects)
            .filter(|(_, steps)| !steps.is_empty())
            .map(|(name, steps)| (name, steps.iter().map(|step| step.step.as_str()).collect()))
            .collect()
    }
    let (before, now) = (steps(before), steps(now));
    let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    let other = names.into_iter().find(|name| before.get(name) != now.get(name))?;
    let told = |steps: Option<&Vec<&str>>| match steps {
        Some(steps) => steps.join(", "),
        None => "nothing".to_owned(),
    };
    Some(format!(
        "{other}: the plan was `{}`, and is `{}` now",
        told(before.get(other)),
        told(now.get(other))
    ))
}
