//! The desired state as the loop needs it: with what refers to what, and since when it has been so.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::trigger::Key;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::spec::{MountSource, NetworkMode, ServiceSpec};
use crate::desired::timing::Window;
use crate::desired::{DesiredState, Paused, Wanted};
use crate::state::guard::QUIET_MS;
use crate::state::record::Record;
use crate::state::time::{Mono, Timestamp};

/// One desired state, from the moment it was taken over until the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub state: DesiredState,
    /// When it last changed.
    pub since: Mono,
    /// It was read again, unchanged, after the quiet period: removals wait for that, because a file cut while it is written
    /// can parse.
    pub confirmed: bool,
    /// Every image reference that a service names: never untagged.
    pub images: BTreeSet<String>,
    projects: BTreeMap<ProjectName, Arc<Project>>,
}

/// What refers to what within one project. Made anew only when a service of it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Project {
    images: BTreeSet<String>,
    /// Who must look again when a service, a network or a volume changed.
    dependents: BTreeMap<Key, BTreeSet<ServiceId>>,
}

impl Wish {
    #[must_use]
    pub fn new(state: DesiredState, since: Mono) -> Self {
        Self::after(state, since, None)
    }

    /// The same, taking over what the wish before knows of projects that have not changed.
    #[must_use]
    pub fn after(mut state: DesiredState, since: Mono, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            state.pauses.stand(&before.state.pauses, state.broken.keys());
            state.windows.stand(&before.state.windows, state.broken.keys());
        }
        let mut projects = BTreeMap::new();
        for services in by_project(&state) {
            let Some((id, _)) = services.first() else { continue };
            let known = before.and_then(|before| before.project_of(services.as_slice()));
            let project = known.unwrap_or_else(|| Arc::new(Project::of(&services)));
            projects.insert(id.project.clone(), project);
        }
        let images = projects.values().flat_map(|project| &project.images).cloned().collect();
        Self { state, since, confirmed: false, images, projects }
    }

    /// What is known of a project, if exactly these are its services here too.
    fn project_of(&self, services: &[(&ServiceId, &Wanted)]) -> Option<Arc<Project>> {
        let (first, _) = services.first()?;
        let known = self.projects.get(&first.project)?;
        let mut own = self
            .state
            .services
            .range::<ServiceId, _>(*first..)
            .take_while(|(id, _)| id.project == first.project);
        let mut before_first = self.state.services.range::<ServiceId, _>(..*first);
        let begins_here = before_first.next_back().is_none_or(|(id, _)| id.project != first.project);
        let same = services.iter().all(|(id, wanted)| own.next().is_some_and(|own| own == (*id, *wanted)));
        (begins_here && same && own.next().is_none()).then(|| Arc::clone(known))
    }

    /// The same, read again after the quiet period.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }

    /// How long it is known to have been so. Milliseconds; less than the quiet period until it was confirmed.
    #[must_use]
    pub fn quiet_ms(&self, now: Mono) -> u64 {
        let passed = now.since(self.since);
        if self.confirmed { passed.max(QUIET_MS) } else { passed.min(QUIET_MS - 1) }
    }

    /// What is wanted of a service. One whose file does not load any more is frozen, also when nothing of that file could
    /// be read: the record remembers where it was defined (invariant I2).
    #[must_use]
    pub fn wanted(&self, id: &ServiceId, record: &Record) -> Option<Cow<'_, Wanted>> {
        if let Some(wanted) = self.state.services.get(id) {
            return Some(Cow::Borrowed(wanted));
        }
        let problems = self.state.broken.get(&record.source)?;
        Some(Cow::Owned(Wanted::Frozen(problems.clone())))
    }

    /// Where the files say that this service is to be left as it is, at this instant.
    #[must_use]
    pub fn paused(&self, id: &ServiceId, wanted: Option<&Wanted>, now: Timestamp) -> Option<Paused<'_>> {
        let pauses = &self.state.pauses;
        match wanted {
            Some(_) => pauses.of(id, now.0),
            None => pauses.unwanted(now.0).or_else(|| pauses.project(&id.project, now.0)),
        }
    }

    /// When roll-outs of this service may begin.
    #[must_use]
    pub fn window(&self, id: &ServiceId) -> Option<&Window> {
        self.state.windows.of(&id.project, self.state.projects.contains(&id.project))
    }

    /// Services that must look again when this changed.
    pub fn dependents(&self, key: &Key) -> impl Iterator<Item = &ServiceId> {
        // A service is depended on within its project only; a network or a volume may be used from anywhere.
        let own = key.service().map(|id| &id.project);
        let everywhere = own.is_none().then(|| self.projects.values()).into_iter().flatten();
        let projects = own.and_then(|project| self.projects.get(project)).into_iter().chain(everywhere);
        projects.filter_map(|project| project.dependents.get(key)).flatten()
    }

    /// Every key of this state.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let networks = self.state.networks.keys().cloned().map(Key::Network);
        let volumes = self.state.volumes.keys().cloned().map(Key::Volume);
        networks.chain(volumes).chain(self.state.services.keys().cloned().map(Key::Service))
    }

    /// Every key of these projects.
    pub fn keys_of<'a>(&'a self, projects: &'a [ProjectName]) -> impl Iterator<Item = Key> + 'a {
        self.keys().filter(|key| {
            let project = match key {
                Key::Service(id) => Some(&id.project),
                Key::Network(name) => self.state.networks.get(name).map(|spec| &spec.project),
                Key::Volume(name) => self.state.volumes.get(name).map(|spec| &spec.project),
            };
            project.is_some_and(|project| projects.contains(project))
        })
    }

    /// The keys for which this state says something else than `before`, in either direction.
    #[must_use]
    pub fn changed(&self, before: Option<&Self>) -> BTreeSet<Key> {
        let Some(before) = before else { return self.keys().collect() };
        if before.state.pauses != self.state.pauses || before.state.windows != self.state.windows {
            return self.keys().chain(before.keys()).collect();
        }
        let mut keys = BTreeSet::new();
        differing(&before.state.networks, &self.state.networks, |name| {
            keys.insert(Key::Network(name.clone()))
        });
        differing(&before.state.volumes, &self.state.volumes, |name| keys.insert(Key::Volume(name.clone())));
        differing(&before.state.services, &self.state.services, |id| keys.insert(Key::Service(id.clone())));
        // What nobody used until now was not made.
        let changed: Vec<&ServiceId> = keys.iter().filter_map(Key::service).collect();
        let wanted = changed.into_iter().filter_map(|id| Some((id, self.state.services.get(id)?)));
        let objects: Vec<Key> = wanted
            .filter_map(|(id, wanted)| match wanted {
                Wanted::Run(revision) => Some(needs(id, &revision.spec)),
                Wanted::Frozen(_) => None,
            })
            .flatten()
            .filter(|key| match key {
                Key::Network(name) => self.state.networks.contains_key(name),
                Key::Volume(name) => self.state.volumes.contains_key(name),
                _ => false,
            })
            .collect();
        keys.extend(objects);
        keys
    }

    /// Something of the project may need this network or volume, as far as the files say: a service, or one that does not load, or a job.
    #[must_use]
    pub fn may_need(&self, key: &Key, project: &ProjectName) -> bool {
        let own = |id: &ServiceId| id.project == *project;
        self.dependents(key).next().is_some()
            || !self.state.broken.is_empty()
            || self.state.services.iter().any(|(id, wanted)| own(id) && matches!(wanted, Wanted::Frozen(_)))
            || self.state.works.jobs.keys().any(|id| id.project == *project)
    }

    /// These services with everything they need, directly or not: what `apply web` is about.
    #[must_use]
    pub fn with_needs(&self, services: &BTreeSet<ServiceId>) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        let mut open: Vec<ServiceId> = services.iter().cloned().collect();
        while let Some(id) = open.pop() {
            if !keys.insert(Key::Service(id.clone())) {
                continue;
            }
            let Some(Wanted::Run(revision)) = self.state.services.get(&id) else { continue };
            for need in needs(&id, &revision.spec) {
                match need {
                    Key::Service(id) => open.push(id),
                    other => {
                        keys.insert(other);
                    }
                }
            }
        }
        keys
    }
}

impl Project {
    fn of(services: &[(&ServiceId, &Wanted)]) -> Self {
        let mut project = Self::default();
        for (id, wanted) in services {
            let Wanted::Run(revision) = wanted else { continue };
            project.images.insert(revision.spec.container.image.clone());
            for key in needs(id, &revision.spec) {
                project.dependents.entry(key).or_default().insert((*id).clone());
            }
        }
        project
    }
}

/// The services of each project in turn; they stand together in the state.
fn by_project(state: &DesiredState) -> Vec<Vec<(&ServiceId, &Wanted)>> {
    let mut projects: Vec<Vec<(&ServiceId, &Wanted)>> = Vec::new();
    for (id, wanted) in &state.services {
        match projects.last_mut() {
            Some(project) if project.last().is_some_and(|(last, _)| last.project == id.project) => {
                project.push((id, wanted));
            }
            _ => projects.push(vec![(id, wanted)]),
        }
    }
    projects
}

/// What must be there before a service can run.
fn needs(id: &ServiceId, spec: &ServiceSpec) -> BTreeSet<Key> {
    let sibling =
        |name: &ServiceName| Key::Service(ServiceId { project: id.project.clone(), service: name.clone() });
    let mut keys: BTreeSet<Key> = spec.policy.depends_on.keys().map(sibling).collect();
    if let NetworkMode::Service(parent) = &spec.container.network_mode {
        keys.insert(sibling(parent));
    }
    keys.extend(spec.live.networks.keys().cloned().map(Key::Network));
    keys.extend(spec.container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some(Key::Volume(name.clone())),
        _ => None,
    }));
    keys
}

/// Walks both side by side: one comparison for each key, however many there are.
fn differing<K: Ord, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    mut found: impl FnMut(&K) -> bool,
) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let (key, same) = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some((gone, _)), None) => (*gone, false),
            (None, Some((new, _))) => (*new, false),
            (Some((old, was)), Some((new, is))) if old == new => (*new, was == is),
            (Some((old, _)), Some((new, _))) => (*old.min(new), false),
        };
        if !same {
            found(key);
        }
        before.next_if(|(old, _)| *old == key);
        after.next_if(|(new, _)| *new == key);
    }
}
