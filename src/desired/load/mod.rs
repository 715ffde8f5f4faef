//! Snapshot to desired state. Everything is reported, nothing stops at the first error, and what does not load freezes
//! exactly what it had a part in.

mod project;

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::check;
use crate::desired::convert;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::{self, FLEET, Files, StateFile};
use crate::desired::fleet::Fleet;
use crate::desired::hash::SpecHash;
use crate::desired::ident::{ProjectName, ServiceId};
use crate::desired::merge;
use crate::desired::node::Table;
use crate::desired::position::Positions;
use crate::desired::snapshot::{HostFacts, Snapshot};
use crate::desired::spec::ServiceSpec;
use crate::desired::toplevel;
use crate::desired::variables::Level;
use crate::desired::{DesiredState, Revision, Wanted};

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
}

/// Loads a snapshot for one host.
///
/// Every problem of every file is among the diagnostics, sorted by place, each with its line and column. A file with
/// an error is in [`DesiredState::broken`], and each service it has a part in is [`Wanted::Frozen`]; the others are not
/// affected. An empty snapshot gives an empty state.
#[must_use]
pub fn load(snapshot: &Snapshot, host: &HostFacts) -> (DesiredState, Vec<Diagnostic>) {
    let mut files = files::sort(snapshot);
    let found = std::mem::take(&mut files.diagnostics);
    let mut loading = Loading {
        snapshot,
        host,
        files: &files,
        positions: Positions::new(snapshot),
        found,
        drafts: Vec::new(),
        state: DesiredState::default(),
    };
    loading.run();
    loading.finish()
}

struct Loading<'a> {
    snapshot: &'a Snapshot,
    host: &'a HostFacts,
    files: &'a Files,
    positions: Positions<'a>,
    found: Vec<Diagnostic>,
    drafts: Vec<Draft>,
    state: DesiredState,
}

impl<'a> Loading<'a> {
    fn run(&mut self) {
        let good = self.files.state.iter().filter(|file| !file.broken);
        good.for_each(|file| toplevel::check(file, &mut self.found));
        let fleet_file = self.files.state.iter().find(|file| file.path == FLEET);
        let hosts = fleet_file.and_then(|file| file.table.get("hosts")).map(|entry| &entry.value);
        let fleet = Fleet::read(hosts, self.host, &mut self.found);

        let mut projects: BTreeMap<&ProjectName, Vec<&StateFile>> = BTreeMap::new();
        for file in &self.files.state {
            let selector = file.table.get("on_hosts").filter(|_| file.path != FLEET);
            if selector.is_none_or(|entry| fleet.selects(&entry.value, &mut self.found)) {
                projects.entry(&file.project).or_default().push(file);
            }
        }
        let levels = self.levels(&projects);
        for (project, files) in &projects {
            self.project(project, files, &fleet, &levels);
        }
        check::check(&mut self.drafts, &self.host.name, &mut self.found);
    }

    /// `[vars]`, `[defaults]` and `[policy]` of each project.
    fn levels(&mut self, projects: &BTreeMap<&ProjectName, Vec<&StateFile>>) -> BTreeMap<ProjectName, Level> {
        let mut levels = BTreeMap::new();
        for (project, files) in projects {
            let home = self.files.homes.get(*project).cloned().unwrap_or_default();
            let mut level = Level { folder: home, ..Level::default() };
            let plain = files.iter().filter(|file| !file.refines);
            for file in plain.chain(files.iter().filter(|file| file.refines)) {
                let section = |name: &str| file.table.get(name).and_then(|entry| entry.value.as_table());
                let defaults = section("defaults").and_then(|table| table.get("services")?.value.as_table());
                if defaults.is_some() {
                    level.default_files.insert(file.path.clone());
                }
                let parts = [
                    (&mut level.vars, section("vars"), "vars"),
                    (&mut level.defaults, defaults, "defaults.services"),
                    (&mut level.policy, section("policy"), "policy"),
                ];
                for (known, more, path) in parts {
                    match more {
                        Some(more) if file.refines => merge::settle(known, more),
                        Some(more) => merge::conflicting(known, more, path, &mut self.found),
                        None => {}
                    }
                }
            }
            let root = level.folder.is_empty() && **project == ProjectName::default();
            toplevel::policy(&level.policy, root.then_some(&mut self.state), &mut self.found);
            self.check_defaults(&mut level);
            levels.insert((*project).clone(), level);
        }
        levels
    }

    /// Checks the keys of `[defaults.services]` once, and takes out what is wrong so that no service repeats it.
    fn check_defaults(&mut self, level: &mut Level) {
        let mut wrong = Vec::new();
        let read = |path: &str| self.snapshot.files.get(path);
        convert::check_keys(&level.defaults, "Service", "defaults.services", &[], &read, &mut wrong);
        level.defaults.entries.retain(|entry| wrong.iter().all(|wrong| wrong.primary.span != entry.key_span));
        self.found.append(&mut wrong);
    }

    /// The levels that hold for a project: its own, then those of the folders above, the root's last.
    fn chain<'l>(project: &ProjectName, levels: &'l BTreeMap<ProjectName, Level>) -> Vec<&'l Level> {
        let Some(own) = levels.get(project) else { return Vec::new() };
        let mut chain = vec![own];
        let mut folder = own.folder.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            let owner = |level: &&Level| level.folder == above && !above.is_empty();
            chain.extend(levels.values().find(owner));
            folder = above;
        }
        let root = ProjectName::default();
        if *project != root {
            chain.extend(levels.get(&root));
        }
        chain
    }

    fn finish(mut self) -> (DesiredState, Vec<Diagnostic>) {
        // Of a file that is no TOML nothing more can be said.
        let broken = &self.files.broken;
        self.found.retain(|told| !broken.contains_key(&told.primary.span.file));
        self.found.extend(broken.values().flatten().cloned());
        for told in &mut self.found {
            (told.line, told.column) = self.positions.of(&told.primary.span.file, told.primary.span.start);
        }
        self.found.sort();
        self.found.dedup();

        for told in self.found.iter().filter(|told| told.is_error()) {
            self.state.broken.entry(told.primary.span.file.clone()).or_default().push(told.clone());
        }
        let fleet = self.state.broken.get(FLEET).cloned().unwrap_or_default();
        for draft in self.drafts {
            let mut why = draft.frozen;
            for told in &mut why {
                (told.line, told.column) =
                    self.positions.of(&told.primary.span.file, told.primary.span.start);
            }
            why.extend(draft.files.iter().filter_map(|file| self.state.broken.get(file)).flatten().cloned());
            why.extend(fleet.iter().cloned());
            why.sort();
            why.dedup();
            let wanted = match draft.spec {
                Some(spec) if why.is_empty() => {
                    Wanted::Run(Box::new(Revision { hash: SpecHash::of(&spec.container), spec }))
                }
                _ => Wanted::Frozen(or_unexplained(why, &draft.header)),
            };
            self.state.services.insert(draft.id, wanted);
        }
        (self.state, self.found)
    }
}

/// A frozen service always says why.
fn or_unexplained(why: Vec<Diagnostic>, header: &Span) -> Vec<Diagnostic> {
    if !why.is_empty() {
        return why;
    }
    let message = "the service could not be understood, and no reason was found";
    vec![Diagnostic::error("unexplained", header.clone(), message, "please report this")]
}
