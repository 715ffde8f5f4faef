//! The look at the whole host: who is there, and did anything move since its last pass?
//!
//! One list call tells whether a settled service moved; only those that did are looked at closely. So the net below lost
//! events costs next to nothing, and can be drawn often.

use std::collections::{BTreeMap, BTreeSet};

use super::board::Summary;
use super::host::Host;
use super::objects::owner_filter;
use super::trigger::Key;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::engine::{ContainerFilter, EngineFacts, Result};
use crate::metrics::api::EngineStatus;
use crate::state::observed::{ContainerSummary, label};

/// What a look at the whole host gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relist {
    pub services: BTreeMap<ServiceId, Listed>,
    /// Only of a thorough look.
    pub whole: Option<Whole>,
}

/// What only a thorough look asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    pub facts: EngineFacts,
    /// Names of all networks with our owner label.
    pub networks: BTreeSet<String>,
    /// Containers that are not ours, where the files ask for them.
    pub unmanaged: Option<BTreeSet<String>>,
}

/// One service in the engine's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    pub containers: Summary,
    /// The file that its containers say defined it.
    pub source: String,
}

/// Asks the engine: one list call, and a few more for a thorough look. Runs beside the loop, which must not wait for it.
///
/// # Errors
/// Those of the reads: then nothing is known, which is not the same as "nothing is there".
pub async fn relist(host: &Host, thorough: bool) -> Result<Relist> {
    let whole = if thorough {
        let facts = host.engine.facts().await?;
        super::disown::forget_gone(host).await?;
        let networks = host.engine.owned_networks(&host.owner).await?;
        let networks = networks.into_iter().map(|network| network.name).collect();
        Some(Whole { facts, networks, unmanaged: unmanaged(host).await? })
    } else {
        None
    };
    let rows = host.engine.list_containers(&owner_filter(&host.owner)).await?;
    Ok(Relist { services: by_service(rows), whole })
}

/// One more call, and only where the files ask for it.
async fn unmanaged(host: &Host) -> Result<Option<BTreeSet<String>>> {
    if !host.wish().is_some_and(|wish| wish.state.guard.report_unmanaged) {
        return Ok(None);
    }
    let rows = host.engine.list_containers(&ContainerFilter::default()).await?;
    Ok(Some(not_ours(&rows, &host.owner)))
}

/// Names of containers that are not this instance's.
#[must_use]
pub fn not_ours(rows: &[ContainerSummary], owner: &str) -> BTreeSet<String> {
    let other = |row: &&ContainerSummary| row.labels.get(label::OWNER).is_none_or(|by| by != owner);
    let name =
        |row: &ContainerSummary| row.names.first().cloned().unwrap_or_else(|| row.id.short().to_owned());
    rows.iter().filter(other).map(name).collect()
}

/// Rows whose labels name no service are nobody's: somebody else made them.
fn by_service(rows: Vec<ContainerSummary>) -> BTreeMap<ServiceId, Listed> {
    let mut services: BTreeMap<ServiceId, Listed> = BTreeMap::new();
    for row in rows {
        let project = row.labels.get(label::PROJECT).and_then(|text| ProjectName::new(text));
        let service = row.labels.get(label::SERVICE).and_then(|text| ServiceName::new(text));
        let (Some(project), Some(service)) = (project, service) else { continue };
        let listed = services.entry(ServiceId { project, service }).or_default();
        if let Some(source) = row.labels.get(label::SOURCE) {
            // `shop/web.toml:3@<commit>`: the file is what comes before the line.
            listed.source = source.split([':', '@']).next().unwrap_or_default().to_owned();
        }
        let name = row.names.into_iter().next().unwrap_or_default();
        listed.containers.insert(row.id, (name, row.status));
    }
    services
}

/// The keys to look at after a relist. After a thorough one all of them; else those that moved, and those with more to do
/// anyway.
#[must_use]
pub fn due(host: &Host, relist: &Relist) -> BTreeSet<Key> {
    let mut services: BTreeSet<ServiceId> = relist.services.keys().cloned().collect();
    services.extend(host.guard.known());
    let mut keys = BTreeSet::new();
    if let Some(wish) = host.wish() {
        services.extend(wish.state.services.keys().cloned());
        if let Some(whole) = &relist.whole {
            keys.extend(wish.keys());
            keys.extend(whole.networks.iter().cloned().map(Key::Network));
        }
    }
    let nothing = Summary::new();
    for id in services {
        let now = relist.services.get(&id).map_or(&nothing, |listed| &listed.containers);
        if relist.whole.is_some() || !host.board.is_settled_with(&id, now) {
            keys.insert(Key::Service(id));
        }
    }
    keys
}

/// Tells the guard what the host holds.
pub fn note(host: &Host, relist: &Relist) {
    let nothing = Listed::default();
    let ids: BTreeSet<ServiceId> = relist.services.keys().cloned().chain(host.guard.known()).collect();
    for id in ids {
        let listed = relist.services.get(&id).unwrap_or(&nothing);
        // The record knows better where the service was defined than a label of long ago.
        let source = if host.guard.has_source(&id) { "" } else { &listed.source };
        host.guard.note(&id, !listed.containers.is_empty(), source);
    }
    host.guard.complete();
}

/// What the status says of an engine that answers.
#[must_use]
pub fn engine_status(facts: &EngineFacts) -> EngineStatus {
    EngineStatus {
        up: true,
        version: facts.version.clone(),
        api: format!("{}.{}", facts.api.0, facts.api.1),
        simulated: facts.simulated,
        trouble: None,
    }
}
