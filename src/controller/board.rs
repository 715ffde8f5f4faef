//! What is true now, for people, the API and metrics: written by passes and the loop, read by anybody at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::sources::SourceBoard;
use super::trigger::Key;
use crate::desired::ident::ServiceId;
use crate::metrics::api::{DesiredStatus, EngineStatus, GuardStatus, HostStatus, StatusReport};
use crate::state::condition::{Condition, ServiceStatus};
use crate::state::observed::{ContainerId, ContainerStatus, DependencyState, Parent};
use crate::state::time::{Mono, Timestamp};

/// What the engine's list says of one service's containers; equal means that nothing moved.
pub type Summary = BTreeMap<ContainerId, (String, ContainerStatus)>;

/// One service on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub status: ServiceStatus,
    /// How far it is, for services that depend on it.
    pub progress: DependencyState,
    /// Its container whose network namespace others may share.
    pub parent: Option<Parent>,
    /// Its containers when its last pass ended with nothing left to do; `None`: that pass has more to do.
    pub settled: Option<Summary>,
    /// When it is looked at again by itself.
    pub due: Option<Mono>,
}

#[derive(Debug, Default)]
struct Inner {
    host: HostStatus,
    services: BTreeMap<ServiceId, Entry>,
    /// Networks and volumes.
    objects: BTreeMap<Key, Condition>,
    /// The first look at every key is over.
    looked: bool,
    /// When the loop last turned.
    turned: Mono,
    /// When the engine's containers were last listed.
    listed: Mono,
    sources: Arc<SourceBoard>,
}

/// See the module. No lock is ever held across an await.
#[derive(Debug, Default)]
pub struct Board {
    inner: RwLock<Inner>,
}

impl Board {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a service's new status up. Returns whether its condition is another kind or reason, and whether its dependents have reason to look again.
    pub fn publish(&self, id: &ServiceId, entry: Entry) -> (bool, bool) {
        let mut inner = self.write();
        let before = inner.services.get(id);
        let same = before.is_some_and(|before| same(&before.status.condition, &entry.status.condition));
        let moved =
            before.is_none_or(|before| before.progress != entry.progress || before.parent != entry.parent);
        inner.services.insert(id.clone(), entry);
        (!same, moved)
    }

    /// Changes the condition of a service that could not be looked at; everything else stays as it was last seen.
    /// Returns whether there was such a service.
    pub fn condition(&self, id: &ServiceId, condition: &Condition, now: Timestamp) -> bool {
        let mut inner = self.write();
        let Some(entry) = inner.services.get_mut(id) else { return false };
        if !same(&entry.status.condition, condition) {
            entry.status.since = now;
        }
        entry.status.condition = condition.clone();
        entry.settled = None;
        true
    }

    /// Notes how the last pass of a service ended.
    pub fn ended(&self, id: &ServiceId, settled: Option<Summary>, due: Option<Mono>) {
        if let Some(entry) = self.write().services.get_mut(id) {
            entry.settled = settled;
            entry.due = due;
        }
    }

    pub fn remove(&self, id: &ServiceId) {
        self.write().services.remove(id);
    }

    /// Puts up where a network or a volume stands. Returns whether that is news.
    pub fn publish_object(&self, key: &Key, condition: &Condition) -> bool {
        let before = self.write().objects.insert(key.clone(), condition.clone());
        before.is_none_or(|before| !same(&before, condition))
    }

    pub fn forget_object(&self, key: &Key) {
        self.write().objects.remove(key);
    }

    /// Where a network or a volume stands.
    #[must_use]
    pub fn object(&self, key: &Key) -> Option<Condition> {
        self.read().objects.get(key).cloned()
    }

    #[must_use]
    pub fn entry(&self, id: &ServiceId) -> Option<Entry> {
        self.read().services.get(id).cloned()
    }

    /// Its last pass left nothing to do, and its containers are still as that pass saw them.
    #[must_use]
    pub fn is_settled_with(&self, id: &ServiceId, now: &Summary) -> bool {
        self.read().services.get(id).and_then(|entry| entry.settled.as_ref()).is_some_and(|seen| seen == now)
    }

    #[must_use]
    pub fn progress(&self, id: &ServiceId) -> Option<DependencyState> {
        self.read().services.get(id).map(|entry| entry.progress.clone())
    }

    /// Services on the board.
    #[must_use]
    pub fn services(&self) -> BTreeSet<ServiceId> {
        self.read().services.keys().cloned().collect()
    }

    /// Looks at every entry in turn.
    pub fn each(&self, mut look: impl FnMut(&ServiceId, &Entry)) {
        self.read().services.iter().for_each(|(id, entry)| look(id, entry));
    }

    /// The services one of whose containers this is, by full or short id.
    #[must_use]
    pub fn owners_of(&self, container: &ContainerId) -> Vec<ServiceId> {
        let holds = |entry: &Entry| {
            entry.status.containers.iter().any(|row| !row.id.is_empty() && container.0.starts_with(&row.id))
        };
        self.read().services.iter().filter(|(_, entry)| holds(entry)).map(|(id, _)| id.clone()).collect()
    }

    /// Everything, as `/v1/status` gives it away.
    #[must_use]
    pub fn report(&self, now: Mono) -> StatusReport {
        let inner = self.read();
        let services = inner.services.values().map(|entry| {
            let next_look_ms = entry.due.map(|due| due.since(now));
            ServiceStatus { next_look_ms, ..entry.status.clone() }
        });
        let mut host = inner.host.clone();
        host.desired.sources = inner.sources.all();
        StatusReport { host, services: services.collect() }
    }

    #[must_use]
    pub fn host(&self) -> HostStatus {
        self.read().host.clone()
    }

    /// Changes what is said of the host.
    pub fn set_host(&self, change: impl FnOnce(&mut HostStatus)) {
        change(&mut self.write().host);
    }

    pub fn set_engine(&self, engine: EngineStatus) {
        self.write().host.engine = engine;
    }

    pub fn set_desired(&self, desired: DesiredStatus) {
        self.write().host.desired = desired;
    }

    pub fn set_guard(&self, guard: Option<GuardStatus>) {
        self.write().host.guard = guard;
    }

    /// Where word of the sources is found.
    pub fn set_sources(&self, sources: Arc<SourceBoard>) {
        self.write().sources = sources;
    }

    pub fn first_look_done(&self) {
        self.write().looked = true;
    }

    #[must_use]
    pub fn looked(&self) -> bool {
        self.read().looked
    }

    pub fn turn(&self, now: Mono) {
        self.write().turned = now;
    }

    #[must_use]
    pub fn last_turn(&self) -> Mono {
        self.read().turned
    }

    pub fn list(&self, now: Mono) {
        self.write().listed = now;
    }

    #[must_use]
    pub fn last_list(&self) -> Mono {
        self.read().listed
    }
}

fn same(one: &Condition, other: &Condition) -> bool {
    one.kind == other.kind && one.reason == other.reason
}
