//! `[vars]`, `[defaults]` and `[policy]`: what a project's files say that holds for it and for the folders below.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::desired::DesiredState;
use crate::desired::convert;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::files::{Files, StateFile};
use crate::desired::ident::ProjectName;
use crate::desired::merge;
use crate::desired::snapshot::Snapshot;
use crate::desired::toplevel;
use crate::desired::variables::Level;

/// What levels are made of.
pub(super) struct Sources<'a> {
    pub snapshot: &'a Snapshot,
    pub files: &'a Files,
}

impl Sources<'_> {
    /// The level of each project. What the root says about the whole host goes into the state.
    pub fn levels(
        &self,
        projects: &BTreeMap<&ProjectName, Vec<&StateFile>>,
        state: &mut DesiredState,
        found: &mut Vec<Diagnostic>,
    ) -> BTreeMap<ProjectName, Arc<Level>> {
        let mut levels = BTreeMap::new();
        for (project, files) in projects {
            let home = self.files.homes.get(*project).cloned().unwrap_or_default();
            let mut level = Level { folder: home, ..Level::default() };
            let plain = files.iter().filter(|file| !file.refines);
            for file in plain.chain(files.iter().filter(|file| file.refines)) {
                let section = |name: &str| file.table.get(name).and_then(|entry| entry.value.as_table());
                let of = |kind: &str| section("defaults").and_then(|table| table.get(kind)?.value.as_table());
                let defaults = of("services");
                if defaults.is_some() {
                    level.default_files.insert(file.path.clone());
                }
                let (jobs, builds) = (of("jobs"), of("builds"));
                if jobs.is_some() || builds.is_some() {
                    level.work_files.insert(file.path.clone());
                }
                let parts = [
                    (&mut level.vars, section("vars"), "vars"),
                    (&mut level.defaults, defaults, "defaults.services"),
                    (&mut level.job_defaults, jobs, "defaults.jobs"),
                    (&mut level.build_defaults, builds, "defaults.builds"),
                    (&mut level.policy, section("policy"), "policy"),
                ];
                for (known, more, path) in parts {
                    match more {
                        Some(more) if file.refines => merge::settle(known, more),
                        Some(more) => merge::conflicting(known, more, path, found),
                        None => {}
                    }
                }
            }
            let root = level.folder.is_empty() && **project == ProjectName::default();
            toplevel::policy(&level.policy, root.then_some(&mut *state), found);
            self.check_defaults(&mut level, found);
            levels.insert((*project).clone(), Arc::new(level));
        }
        levels
    }

    /// Checks the keys of `[defaults]` once, and takes out what is wrong so that no object repeats it.
    fn check_defaults(&self, level: &mut Level, found: &mut Vec<Diagnostic>) {
        let read = |path: &str| self.snapshot.files.get(path);
        for (table, shape, place) in [
            (&mut level.defaults, "Service", "defaults.services"),
            (&mut level.job_defaults, "Job", "defaults.jobs"),
            (&mut level.build_defaults, "Build", "defaults.builds"),
        ] {
            let mut wrong = Vec::new();
            convert::check_keys(table, shape, place, &[], &read, &mut wrong);
            table.entries.retain(|entry| wrong.iter().all(|wrong| wrong.primary.span != entry.key_span));
            found.append(&mut wrong);
        }
    }
}

/// The levels that hold for a project: its own, then those of the folders above, the root's last.
pub(super) fn chain(project: &ProjectName, levels: &BTreeMap<ProjectName, Arc<Level>>) -> Vec<Arc<Level>> {
    let Some(own) = levels.get(project) else { return Vec::new() };
    let mut chain = vec![Arc::clone(own)];
    let mut folder = own.folder.as_str();
    while let Some((above, _)) = folder.rsplit_once('/') {
        let owner = |level: &&Arc<Level>| level.folder == above && !above.is_empty();
        chain.extend(levels.values().find(owner).cloned());
        folder = above;
    }
    let root = ProjectName::default();
    if *project != root {
        chain.extend(levels.get(&root).cloned());
    }
    chain
}
