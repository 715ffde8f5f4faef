//! What a look at a job finds on the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::Jobs;
use crate::controller::host::Host;
use crate::controller::objects::owner_filter;
use crate::controller::observe::{Surroundings, observe};
use crate::controller::wish::Wish;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::work::{JobSpec, Runs, WorkId};
use crate::engine::{ContainerFilter, Result};
use crate::state::jobs::{JobRecord, Run, RunId, Seen, container_name};
use crate::state::network;
use crate::state::observed::{DependencyProgress, DependencyState, EngineSession, ObservedContainer, label};
use crate::state::plan::{Failure, Lookups};

impl Jobs {
    /// Everything that a decision about a job looks at.
    ///
    /// # Errors
    /// The first look that failed: half a view decides nothing.
    pub(super) async fn look(
        &self,
        host: &Host,
        wish: &Wish,
        id: &WorkId,
        spec: Option<&JobSpec>,
        record: &JobRecord,
        (lookups, session): (&Lookups, EngineSession),
    ) -> Result<Seen> {
        let own = ServiceId { project: id.project.clone(), service: id.name.clone() };
        let sibling = |name: &ServiceName| ServiceId { project: id.project.clone(), service: name.clone() };
        let serving = |id: &ServiceId| host.board.entry(id)?.parent.map(|parent| parent.id);
        let dependencies = lookups.dependencies.iter().map(|name| {
            let id = sibling(name);
            let desired = wish.state.services.contains_key(&id);
            let state = host.board.progress(&id).unwrap_or(DependencyState {
                desired,
                progress: DependencyProgress::Pending,
                serving: BTreeMap::new(),
            });
            (name.clone(), state)
        });
        let nothing = BTreeSet::new();
        let known = Surroundings {
            session,
            recorded: &nothing,
            dependencies: dependencies.collect(),
            parent: lookups.parent.as_ref().and_then(serving),
            tied: lookups
                .tied
                .iter()
                .filter_map(|name| Some((name.clone(), serving(&sibling(name))?)))
                .collect(),
            disk_free: (host.disk_free)(),
        };
        let mut around = observe(&*host.engine, &host.owner, &own, lookups, known).await?;
        around.foreign = network::foreign(&around, &wish.state, &host.owner);
        let within = match spec.map(|spec| &spec.runs) {
            Some(Runs::Exec(exec)) => match serving(&sibling(&exec.service)) {
                Some(container) => host.engine.inspect(&container).await?,
                None => None,
            },
            _ => None,
        };
        let containers = containers(host, id, record).await?;
        let outlived = |run: &Run| run.session.is_some_and(|began| began != session);
        let live_restore =
            record.open().any(|(_, run)| outlived(run)) && host.engine.facts().await?.live_restore;
        Ok(Seen { containers, execs: around.execs.clone(), around, within, live_restore })
    }

    /// Containers of jobs that the journal knows nothing of: it was lost, or they are of jobs that are gone. `false`: the engine did not say.
    pub(super) async fn look_for_strangers(&self, host: &Host) -> bool {
        let rows = match host.engine.list_containers(&owner_filter(&host.owner)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "containers of jobs could not be listed");
                return false;
            }
        };
        for row in rows {
            let text = |name: &str| row.labels.get(name).map(String::as_str).unwrap_or_default();
            let id = WorkId::new(text(label::PROJECT), text(label::JOB));
            let (Some(id), Some(run)) = (id, RunId::parse(text(label::RUN))) else { continue };
            let cell = self.cell(&id);
            if !cell.work.lock().await.record.runs.contains_key(&run) {
                tracing::info!(job = %id, run = %run, "a run is on the engine that the journal does not know");
                super::lock(&cell.ticket).strangers = true;
                self.wake(&id);
            }
        }
        true
    }
}

async fn containers(
    host: &Host,
    id: &WorkId,
    record: &JobRecord,
) -> Result<BTreeMap<RunId, ObservedContainer>> {
    let labels = [
        (label::OWNER, host.owner.as_str()),
        (label::PROJECT, id.project.as_str()),
        (label::JOB, id.name.as_str()),
    ];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let filter = ContainerFilter { labels, ..ContainerFilter::default() };
    let mut ids: BTreeSet<_> =
        host.engine.list_containers(&filter).await?.into_iter().map(|row| row.id).collect();
    // The list may be behind: those of open runs are asked for by their id whether it shows them or not.
    ids.extend(
        record.open().filter(|(_, run)| run.exec.is_none()).filter_map(|(_, run)| run.container.clone()),
    );
    let own = ServiceId { project: id.project.clone(), service: id.name.clone() };
    let mut found = BTreeMap::new();
    for container in ids {
        let seen = match host.engine.inspect(&container).await {
            Err(error) if error.kind == Failure::Conflict => None,
            answer => answer?,
        };
        let Some(seen) = seen else { continue };
        let Some(run) = seen.labels.job.clone().filter(|_| seen.labels.service == own) else { continue };
        // Anybody can copy labels: the name must be the run's, or the id the one that is remembered.
        let known = record.runs.get(&run).and_then(|run| run.container.as_ref()) == Some(&seen.id);
        if known || seen.name == container_name(&own, &run) {
            found.insert(run, seen);
        } else {
            tracing::warn!(job = %id, container = seen.name, "this container carries the labels of a job, but neither its name nor its id is ours: left alone");
        }
    }
    Ok(found)
}
