//! Several sources as one desired state, and what a repository adds to a service: the content it mounts, and its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::FileName;
use super::diagnostic::{Diagnostic, Span};
use super::ident::{ProjectName, ServiceId};
use super::snapshot::{Commit, HostFacts, Snapshot};
use super::spec::{ServiceSpec, SourcePlace};
use super::tree::{Pin, Pinned, Tree};
use super::work::answers::Answers;
use super::work::{JobSpec, Runs, Work, WorkId};
use super::{DesiredState, Guard, Loader, PruneImages, Revision, Wanted};

/// Loads one snapshot after the other, each with the sources beside it.
#[derive(Debug, Default)]
pub struct SourcesLoader {
    /// By the name of the source.
    loaders: BTreeMap<String, Loader>,
    /// What the last load made of each service of a repository, to be the same again when nothing changed.
    settled: BTreeMap<(String, ServiceId), Settled>,
    answers: Arc<Answers>,
}

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub state: DesiredState,
    pub diagnostics: Vec<Diagnostic>,
    /// By the name of the source: what has to be on the disk before services are started.
    pub pins: BTreeMap<String, BTreeSet<Pin>>,
}

#[derive(Debug, Clone)]
struct Settled {
    /// As the loader gave it; it gives the same again when nothing changed.
    loaded: Arc<Revision>,
    commit: Option<Commit>,
    prefix: String,
    pins: Vec<Pin>,
    result: Arc<Revision>,
}

impl SourcesLoader {
    /// The images that were chosen or made, from now on.
    pub fn set_answers(&mut self, answers: Arc<Answers>) {
        self.answers = answers;
    }

    /// See [`super::load()`]. With several sources each owns its projects: one that two of them define is left as it is. What a source
    /// that could not be read yet defines is unknown, so nothing is removed until then.
    pub fn load(&mut self, snapshot: &Snapshot, host: &HostFacts) -> Loaded {
        let several = !snapshot.beside.is_empty() || !snapshot.missing.is_empty();
        let parts: Vec<&Snapshot> =
            std::iter::once(snapshot).chain(snapshot.beside.iter().map(|part| &**part)).collect();
        let mut loaded: Vec<(&Snapshot, DesiredState)> = Vec::new();
        let mut whole = Loaded::default();
        let mut settled = BTreeMap::new();
        for part in parts {
            let (mut state, mut found) = self.loaders.entry(part.name.clone()).or_default().load(part, host);
            let prefix = if several { format!("{}//", part.name) } else { String::new() };
            found.iter_mut().for_each(|told| place(told, &prefix));
            state.broken = std::mem::take(&mut state.broken)
                .into_iter()
                .map(|(file, told)| (format!("{prefix}{file}"), placed(told, &prefix)))
                .collect();
            state.answer(&self.answers);
            state.works.write_back = std::mem::take(&mut state.works.write_back)
                .into_values()
                .map(|to| (part.name.clone(), to))
                .collect();
            state.works.sources =
                state.projects.iter().map(|project| (project.clone(), part.name.clone())).collect();
            let mut pins = BTreeSet::new();
            if let Some(tree) = part.tree.as_deref() {
                pins.extend(state.works.pin(tree, &part.root));
            }
            for (id, wanted) in &mut state.services {
                self.settle(part, &prefix, id, wanted, &mut pins, &mut settled);
                if let Wanted::Frozen(why) = wanted {
                    found.extend(why.iter().filter(|told| told.slug == "unusable-mount").cloned());
                }
            }
            for (id, work) in &mut state.works.jobs {
                settle_job(part, &prefix, id, work, &mut pins);
                if let Work::Frozen(why) = work {
                    found.extend(why.iter().filter(|told| told.slug == "unusable-mount").cloned());
                }
            }
            state.works.not_run.iter_mut().for_each(|told| place(told, &prefix));
            if !pins.is_empty() {
                whole.pins.insert(part.name.clone(), pins);
            }
            whole.diagnostics.append(&mut found);
            loaded.push((part, state));
        }
        self.settled = settled;
        whole.state = together(loaded, &mut whole.diagnostics);
        whole.diagnostics.extend(whole.state.works.not_run.iter().cloned());
        for (name, why) in &snapshot.missing {
            let span = Span { file: format!("{name}//").into(), start: 0, end: 0 };
            let message = format!("the source `{name}` could not be read yet: {why}");
            let told =
                Diagnostic::error("missing-source", span, message, "nothing is removed until it can be");
            whole.state.broken.entry(format!("{name}//")).or_default().push(told.clone());
            whole.diagnostics.push(told);
        }
        whole
    }

    /// Binds one service to the content it mounts and to its commit.
    fn settle(
        &self,
        part: &Snapshot,
        prefix: &str,
        id: &ServiceId,
        wanted: &mut Wanted,
        pins: &mut BTreeSet<Pin>,
        settled: &mut BTreeMap<(String, ServiceId), Settled>,
    ) {
        let revision = match wanted {
            Wanted::Run(revision) => revision,
            Wanted::Frozen(why) => {
                *why = placed(std::mem::take(why), prefix);
                return;
            }
        };
        if part.tree.is_none() && prefix.is_empty() {
            return;
        }
        let spec = &*revision.spec;
        let pin = |tree: &Tree| tree.pin(spec, &part.root);
        let own = match part.tree.as_deref().map_or_else(|| Ok(Pinned::default()), pin) {
            Ok(own) => own,
            Err(why) => {
                let span = Span { file: format!("{prefix}{}", spec.source.file).into(), start: 0, end: 0 };
                let message = format!("a mount of `{}` cannot be used: {why}", id.service);
                let mut told = Diagnostic::error("unusable-mount", span, message, "mounted here");
                (told.line, told.column) = (spec.source.line, 1);
                *wanted = Wanted::Frozen(vec![told]);
                return;
            }
        };
        let mounted = own.pins.iter().flat_map(|pin| &pin.files).map(|(_, path)| path.as_str());
        let read = spec.source.files.iter().map(String::as_str);
        let commit = part.tree.as_deref().and_then(|tree| tree.last_touched(read.chain(mounted))).cloned();
        pins.extend(own.pins.iter().cloned());
        let key = (part.name.clone(), id.clone());
        let same = |known: &&Settled| {
            Arc::ptr_eq(&known.loaded, revision)
                && known.commit == commit
                && known.pins == own.pins
                && known.prefix == prefix
        };
        let now = if let Some(known) = self.settled.get(&key).filter(same) {
            known.clone()
        } else {
            let (mut spec, pins) = (ServiceSpec::clone(spec), own.pins.clone());
            own.bind(&mut spec);
            spec.source.commit.clone_from(&commit);
            spec.source.file = format!("{prefix}{}", spec.source.file);
            spec.source.files = spec.source.files.iter().map(|file| format!("{prefix}{file}")).collect();
            // Where it was read is no part of either digest.
            let result = if pins.is_empty() {
                Revision { spec: Arc::new(spec), ..Revision::clone(revision) }
            } else {
                Revision::of(spec)
            };
            let result = Arc::new(result);
            Settled { loaded: Arc::clone(revision), commit, prefix: prefix.to_owned(), pins, result }
        };
        *wanted = Wanted::Run(Arc::clone(&now.result));
        settled.insert(key, now);
    }
}

/// Binds a job to the content it mounts and to its commit, like a service.
fn settle_job(
    part: &Snapshot,
    prefix: &str,
    id: &WorkId,
    work: &mut Work<JobSpec>,
    pins: &mut BTreeSet<Pin>,
) {
    let job = match work {
        Work::Wanted(job) => job,
        Work::Frozen(why) => {
            *why = placed(std::mem::take(why), prefix);
            return;
        }
    };
    let Some(tree) = part.tree.as_deref() else {
        if !prefix.is_empty() {
            put_below(&mut Arc::make_mut(job).source, prefix);
        }
        return;
    };
    let own = match &job.runs {
        Runs::Container { spec, .. } => tree.pin(spec, &part.root),
        Runs::Exec(_) => Ok(Pinned::default()),
    };
    let own = match own {
        Ok(own) => own,
        Err(why) => {
            let file = format!("{prefix}{}", job.source.file).into();
            let message = format!("a mount of job `{}` cannot be used: {why}", id.name);
            let span = Span { file, start: 0, end: 0 };
            let mut told = Diagnostic::error("unusable-mount", span, message, "mounted here");
            (told.line, told.column) = (job.source.line, 1);
            *work = Work::Frozen(vec![told]);
            return;
        }
    };
    let mounted = own.pins.iter().flat_map(|pin| &pin.files).map(|(_, path)| path.as_str());
    let read = job.source.files.iter().map(String::as_str);
    let commit = tree.last_touched(read.chain(mounted)).cloned();
    pins.extend(own.pins.iter().cloned());
    let job = Arc::make_mut(job);
    if let Runs::Container { spec, .. } = &mut job.runs {
        own.bind(spec);
    }
    job.source.commit = commit;
    put_below(&mut job.source, prefix);
}

/// Files of one of several sources are told with its name.
fn put_below(source: &mut SourcePlace, prefix: &str) {
    if !prefix.is_empty() {
        source.file = format!("{prefix}{}", source.file);
        source.files = source.files.iter().map(|file| format!("{prefix}{file}")).collect();
    }
}

fn place(told: &mut Diagnostic, prefix: &str) {
    if prefix.is_empty() {
        return;
    }
    for label in std::iter::once(&mut told.primary).chain(&mut told.secondary) {
        label.span.file = format!("{prefix}{}", label.span.file).into();
    }
}

fn placed(mut told: Vec<Diagnostic>, prefix: &str) -> Vec<Diagnostic> {
    told.iter_mut().for_each(|told| place(told, prefix));
    told
}

/// One state of several. A project belongs to one source: whoever wrote it twice is told, and nothing of it changes.
fn together(loaded: Vec<(&Snapshot, DesiredState)>, found: &mut Vec<Diagnostic>) -> DesiredState {
    let owners = owners(&loaded);
    let mut whole: Option<DesiredState> = None;
    for (part, mut state) in loaded {
        for (id, wanted) in &mut state.services {
            let Some(all) = owners.get(&id.project).filter(|all| all.len() > 1) else { continue };
            let file = match &*wanted {
                Wanted::Run(revision) => revision.spec.source.file.as_str().into(),
                Wanted::Frozen(why) => {
                    why.first().map(|told| told.primary.span.file.clone()).unwrap_or_default()
                }
            };
            let told = two_sources(&id.project, all, &part.name, file);
            if !found.contains(&told) {
                found.push(told.clone());
            }
            *wanted = Wanted::Frozen(vec![told]);
        }
        for (id, work) in &mut state.works.jobs {
            let Some(all) = owners.get(&id.project).filter(|all| all.len() > 1) else { continue };
            let file = match &*work {
                Work::Wanted(job) => job.source.file.as_str().into(),
                Work::Frozen(why) => {
                    why.first().map(|told| told.primary.span.file.clone()).unwrap_or_default()
                }
            };
            let told = two_sources(&id.project, all, &part.name, file);
            if !found.contains(&told) {
                found.push(told.clone());
            }
            *work = Work::Frozen(vec![told]);
        }
        whole = Some(match whole {
            None => state,
            Some(before) => join(before, state),
        });
    }
    whole.unwrap_or_default()
}

fn two_sources(project: &ProjectName, all: &[String], here: &str, file: FileName) -> Diagnostic {
    let message = format!("the project `{project}` is defined by several sources: {}", all.join(", "));
    let span = Span { file, start: 0, end: 0 };
    let mut told = Diagnostic::error("two-sources", span, message, format!("here in `{here}`"))
        .help("a project belongs to one source: give it another name in one of them");
    (told.line, told.column) = (1, 1);
    told
}

fn owners(loaded: &[(&Snapshot, DesiredState)]) -> BTreeMap<ProjectName, Vec<String>> {
    let mut owners: BTreeMap<ProjectName, Vec<String>> = BTreeMap::new();
    for (part, state) in loaded {
        let jobs = state.works.jobs.keys().map(|id| &id.project);
        let own: BTreeSet<&ProjectName> = state.services.keys().map(|id| &id.project).chain(jobs).collect();
        for project in own {
            owners.entry(project.clone()).or_default().push(part.name.clone());
        }
    }
    owners
}

fn join(mut one: DesiredState, mut other: DesiredState) -> DesiredState {
    // What the first one defines stands; of a project that both define every service is frozen.
    pause_by_project(&mut one);
    pause_by_project(&mut other);
    let DesiredState {
        services,
        networks,
        volumes,
        projects,
        broken,
        guard,
        pauses,
        windows,
        intervals,
        provided,
        credentials,
        works,
    } = other;
    one.pauses.host = one.pauses.host.or(pauses.host);
    one.pauses.everywhere = one.pauses.everywhere.or(pauses.everywhere);
    one.pauses.projects.extend(pauses.projects);
    one.pauses.services.extend(pauses.services);
    one.windows.join(windows);
    one.intervals.join(intervals);
    services.into_iter().for_each(|(id, wanted)| {
        one.services.entry(id).or_insert(wanted);
    });
    networks.into_iter().for_each(|(name, spec)| {
        one.networks.entry(name).or_insert(spec);
    });
    volumes.into_iter().for_each(|(name, spec)| {
        one.volumes.entry(name).or_insert(spec);
    });
    provided.into_iter().for_each(|(id, provided)| {
        one.provided.entry(id).or_insert(provided);
    });
    credentials.into_iter().for_each(|(host, credential)| {
        one.credentials.entry(host).or_insert(credential);
    });
    one.projects.extend(projects);
    one.broken.extend(broken);
    one.works.join(works);
    one.guard = stricter(&one.guard, &guard);
    one
}

/// What a source says of everything, it says of its own projects only.
fn pause_by_project(state: &mut DesiredState) {
    for project in &state.projects {
        let everywhere = &state.pauses.everywhere;
        state.pauses.projects.entry(project.clone()).or_insert_with(|| everywhere.clone());
    }
}

/// The guard is one for the host, so the more careful word counts.
fn stricter(one: &Guard, other: &Guard) -> Guard {
    let max_removals = match (one.max_removals, other.max_removals) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Guard {
        max_removals,
        allow_empty: one.allow_empty && other.allow_empty,
        prune_containers: one.prune_containers && other.prune_containers,
        prune_networks: one.prune_networks && other.prune_networks,
        images: match (one.images, other.images) {
            (Some(one), Some(other)) => Some(PruneImages {
                keep: one.keep.max(other.keep),
                older_than_ms: one.older_than_ms.max(other.older_than_ms),
            }),
            (one, other) => one.or(other),
        },
        report_unmanaged: one.report_unmanaged || other.report_unmanaged,
    }
}
