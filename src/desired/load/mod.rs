//! Snapshot to desired state. Everything is reported, nothing stops at the first error, and what does not load freezes
//! exactly what it had a part in.

mod kept;
mod levels;
mod project;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::desired::check;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::{self, FLEET, Files, StateFile, Texts};
use crate::desired::fleet::Fleet;
use crate::desired::ident::{ProjectName, ServiceId};
use crate::desired::node::Table;
use crate::desired::position::Positions;
use crate::desired::provided::UNAVAILABLE;
use crate::desired::snapshot::{HostFacts, Snapshot};
use crate::desired::spec::ServiceSpec;
use crate::desired::toplevel;
use crate::desired::variables::Level;
use crate::desired::{DesiredState, Pause, Wanted};

pub(super) use kept::Settled;
use kept::{Inputs, Kept};
use project::Loading;

/// A service on its way into the state.
pub(super) struct Draft {
    pub id: ServiceId,
    /// The merged table with variables replaced; its places lead to where each value was written.
    pub table: Table,
    pub header: Span,
    pub files: BTreeSet<String>,
    /// None when it does not convert, or a file it needs does not load.
    pub spec: Option<ServiceSpec>,
    /// Why it is left as it is, beside faults of its files.
    pub frozen: Vec<Diagnostic>,
    /// See [`Settled::paused`].
    pub paused: Option<Option<Pause>>,
}

/// Loads a snapshot for one host.
///
/// Every problem of every file is among the diagnostics, sorted by place, each with its line and column. A file with
/// an error is in [`DesiredState::broken`], and each service it has a part in is [`Wanted::Frozen`]; the others are not
/// affected. An empty snapshot gives an empty state.
#[must_use]
pub fn load(snapshot: &Snapshot, host: &HostFacts) -> (DesiredState, Vec<Diagnostic>) {
    Loader::default().load(snapshot, host)
}

/// Loads one snapshot after the other. A project nothing of which has changed is not loaded again; what comes out is always
/// what [`load`] would give (a property test holds the two together).
#[derive(Debug, Default)]
pub struct Loader {
    host: HostFacts,
    root: String,
    texts: Texts,
    levels: BTreeMap<ProjectName, Arc<Level>>,
    projects: BTreeMap<ProjectName, Arc<Kept>>,
}

impl Loader {
    /// See [`load`].
    pub fn load(&mut self, snapshot: &Snapshot, host: &HostFacts) -> (DesiredState, Vec<Diagnostic>) {
        if self.host != *host || self.root != snapshot.root {
            self.host = host.clone();
            self.root.clone_from(&snapshot.root);
            self.levels.clear();
            self.projects.clear();
        }
        let mut files = files::sort(snapshot, &mut self.texts);
        let mut found = std::mem::take(&mut files.diagnostics);
        let mut state = DesiredState::default();
        let good = files.state.iter().filter(|file| !file.broken);
        let mut checked = BTreeSet::new();
        good.filter(|file| checked.insert(&file.path)).for_each(|file| toplevel::check(file, &mut found));
        let fleet_file = files.state.iter().find(|file| file.path == FLEET);
        let hosts = fleet_file.and_then(|file| file.table.get("hosts")).map(|entry| &entry.value);
        let fleet = Fleet::read(hosts, host, &mut found);
        state.pauses.host = fleet.paused();

        let mut projects: BTreeMap<&ProjectName, Vec<&StateFile>> = BTreeMap::new();
        for file in &files.state {
            let selector = file.table.get("on_hosts").filter(|_| file.path != FLEET);
            // What is wrong with those of other files is told there.
            let included = file.selectors.iter().all(|node| fleet.selects(node, &mut Vec::new()));
            if selector.is_none_or(|entry| fleet.selects(&entry.value, &mut found)) && included {
                projects.entry(&file.project).or_default().push(file);
            }
        }
        let read = levels::Sources { snapshot, files: &files };
        let mut levels = read.levels(&projects, &mut state, &mut found);
        for (project, level) in &mut levels {
            if let Some(before) = self.levels.get(project).filter(|before| **before == *level) {
                *level = Arc::clone(before);
            }
        }
        let mut kept = BTreeMap::new();
        for (project, own) in &projects {
            let chain = levels::chain(project, &levels);
            let inputs = Inputs::of(own, fleet_file, &chain, &files);
            let before = self.projects.get(*project).filter(|before| before.holds(&inputs, snapshot));
            let loaded = before.cloned().unwrap_or_else(|| {
                let loading = Loading::new(snapshot, host, &files, &fleet);
                Arc::new(loading.project(project, own, chain, inputs))
            });
            kept.insert((*project).clone(), loaded);
        }
        let result = whole(snapshot, host, &files, kept.values(), state, found);
        self.levels = levels;
        self.projects = kept;
        result
    }
}

/// Puts the projects together: what they declare, what clashes between them, and every service with all that concerns it.
fn whole<'a>(
    snapshot: &Snapshot,
    host: &HostFacts,
    files: &Files,
    projects: impl Iterator<Item = &'a Arc<Kept>>,
    mut state: DesiredState,
    mut found: Vec<Diagnostic>,
) -> (DesiredState, Vec<Diagnostic>) {
    let mut services: Vec<&Settled> = Vec::new();
    for kept in projects {
        found.extend(kept.found.iter().cloned());
        kept.networks.iter().for_each(|(spec, place)| {
            check::declare_network(&mut state, spec, place, &mut found);
        });
        kept.volumes.iter().for_each(|(spec, place)| {
            check::declare_volume(&mut state, spec, place, &mut found);
        });
        state.provided.extend(kept.provided.iter().cloned());
        kept.credentials.iter().for_each(|(host, credential, place)| {
            check::declare_credential(&mut state, host, credential, place, &mut found);
        });
        if let Some(spec) = &kept.implied {
            state.networks.entry(spec.name.clone()).or_insert_with(|| Arc::clone(spec));
        }
        state.projects.insert(kept.project.clone());
        match &kept.paused {
            Some(said) if kept.project == ProjectName::default() => state.pauses.everywhere.clone_from(said),
            Some(said) => {
                state.pauses.projects.insert(kept.project.clone(), said.clone());
            }
            None => {}
        }
        state.windows.say(&kept.project, kept.window.as_ref());
        state.intervals.say(&kept.project, kept.interval.as_ref());
        let own =
            kept.services.iter().filter_map(|service| Some((service.id.clone(), service.paused.clone()?)));
        state.pauses.services.extend(own);
        services.extend(&kept.services);
        state.works.join(kept.works.clone());
    }
    let built = work::built(&services, &mut state.works);
    let mut clashes = check::host(&services, &host.name, &mut found);

    // Of a file that is no TOML nothing more can be said.
    found.retain(|told| !files.broken.contains_key(&*told.primary.span.file));
    found.extend(files.broken.values().flatten().cloned());
    let mut positions = Positions::new(snapshot);
    positions.fill(&mut found);
    positions.fill(&mut state.works.not_run);
    found.sort();
    found.dedup();
    for told in found.iter().filter(|told| told.is_error() && told.slug != UNAVAILABLE) {
        state.broken.entry(told.primary.span.file.to_string()).or_default().push(told.clone());
    }
    let fleet = state.broken.get(FLEET).cloned().unwrap_or_default();
    let wanted = services.into_iter().enumerate().map(|(number, service)| {
        let mut why = service.frozen.clone();
        why.extend(clashes.remove(&number).unwrap_or_default());
        why.extend(built.get(&service.id).cloned());
        positions.fill(&mut why);
        if !state.broken.is_empty() {
            why.extend(service.files.iter().filter_map(|file| state.broken.get(file)).flatten().cloned());
        }
        why.extend(fleet.iter().cloned());
        why.sort();
        why.dedup();
        let wanted = match &service.revision {
            Some(revision) if why.is_empty() => Wanted::Run(Arc::clone(revision)),
            _ => Wanted::Frozen(or_unexplained(why, &service.header)),
        };
        (service.id.clone(), wanted)
    });
    state.services = wanted.collect();
    (state, found)
}

/// A frozen service always says why.
fn or_unexplained(why: Vec<Diagnostic>, header: &Span) -> Vec<Diagnostic> {
    if !why.is_empty() {
        return why;
    }
    let message = "the service could not be understood, and no reason was found";
    vec![Diagnostic::error("unexplained", header.clone(), message, "please report this")]
}
