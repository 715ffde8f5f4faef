//! The whole simulated engine as one value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::app::Behaviour;
use super::call::Pending;
use super::container::{Container, HostPort};
use super::copy_on_write::CopyOnWrite;
use super::exec::Command;
use super::fault::{Fault, Op, Scripted};
use super::image::Registry;
use super::profile::Profile;
use crate::engine::{EngineError, EngineEvent, EngineFacts, EventKind, Result};
use crate::state::observed::{
    ContainerId, ContainerStatus, EngineSession, ExecId, ImageFacts, ImageId, ObservedVolume, label,
};
use crate::state::plan::Failure;
use crate::state::time::{EngineStamp, Timestamp};

/// Events the engine remembers (RELIABILITY.md fact 6).
const EVENTS_KEPT: usize = 256;
/// 2026-01-01, where a simulated engine's clock starts: nanoseconds since 1970.
const EPOCH: i64 = 1_767_225_600_000_000_000;

/// A network of the simulated engine. Old engines allow several of one name, so the key is the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
}

/// The simulated engine with everything on it: a plain value without a clock, a thread or chance. It is copied to explore what
/// could happen next, and compared to see where that ends. Time passes in [`Host::advance`] and in calls that take time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub facts: CopyOnWrite<EngineFacts>,
    /// Which engine it is like where engines differ.
    pub profile: Profile,
    /// Milliseconds since the simulation began.
    pub now: u64,
    /// Down between [`Host::kill`] and [`Host::restart`].
    pub alive: bool,
    /// Grows with every restart of the engine.
    pub session: EngineSession,
    pub containers: BTreeMap<ContainerId, CopyOnWrite<Container>>,
    pub images: CopyOnWrite<BTreeMap<ImageId, ImageFacts>>,
    /// By id.
    pub networks: CopyOnWrite<BTreeMap<String, Network>>,
    pub volumes: CopyOnWrite<BTreeMap<String, ObservedVolume>>,
    pub registry: CopyOnWrite<Registry>,
    /// By image reference, as a spec names it, or image id.
    pub scripts: CopyOnWrite<BTreeMap<String, Behaviour>>,
    /// What applications of every other image do.
    pub default_script: CopyOnWrite<Behaviour>,
    /// Ports that processes outside the engine listen on.
    pub listeners: BTreeSet<HostPort>,
    /// Ports that a killed engine believes taken, and how many restarts they have survived (RELIABILITY.md fact 4).
    pub leaked: BTreeMap<HostPort, u32>,
    /// No byte is left where the engine keeps its files (RELIABILITY.md fact 8).
    pub disk_full: bool,
    pub(super) epoch: i64,
    pub(super) last_stamp: i64,
    pub(super) serial: u64,
    pub(super) faults: BTreeMap<Op, VecDeque<Scripted>>,
    pub(super) pending: Vec<Pending>,
    pub(super) hung: BTreeSet<ContainerId>,
    pub(super) execs: BTreeMap<ExecId, Command>,
    events: VecDeque<(u64, EngineEvent)>,
    event_count: u64,
    /// Events that will not be reported.
    pub events_lost: u64,
    calls: BTreeMap<Op, u64>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// An empty engine that knows no image.
    #[must_use]
    pub fn new() -> Self {
        let mut host = Self {
            facts: facts().into(),
            profile: Profile::default(),
            now: 0,
            alive: true,
            session: EngineSession(1),
            containers: BTreeMap::new(),
            images: CopyOnWrite::default(),
            networks: CopyOnWrite::default(),
            volumes: CopyOnWrite::default(),
            registry: CopyOnWrite::default(),
            scripts: CopyOnWrite::default(),
            default_script: CopyOnWrite::default(),
            listeners: BTreeSet::new(),
            leaked: BTreeMap::new(),
            disk_full: false,
            epoch: EPOCH,
            last_stamp: EPOCH,
            serial: 0,
            faults: BTreeMap::new(),
            pending: Vec::new(),
            hung: BTreeSet::new(),
            execs: BTreeMap::new(),
            events: VecDeque::new(),
            event_count: 0,
            events_lost: 0,
            calls: BTreeMap::new(),
        };
        for name in ["bridge", "host", "none"] {
            let driver = if name == "none" { "null" } else { name };
            let id = host.next_id("network");
            let network =
                Network { name: name.to_owned(), driver: driver.to_owned(), labels: BTreeMap::new() };
            host.networks.insert(id, network);
        }
        host
    }

    /// Every image that is asked for can be pulled; its id is made up from its reference.
    #[must_use]
    pub fn any_image() -> Self {
        let mut host = Self::new();
        host.registry.any = true;
        host
    }

    /// Begins at this moment of the wall clock, as another engine than one that began at another: ids and stamps tell them apart,
    /// so that nothing remembered of an earlier simulation is taken for this one's.
    #[must_use]
    pub fn began_at(mut self, wall: Timestamp) -> Self {
        self.epoch = wall.0.saturating_mul(1_000_000);
        self.last_stamp = self.epoch;
        self.facts.id = format!("simulated-{}", wall.0);
        self
    }

    /// What applications made from this reference (or image id) do from their next creation on.
    pub fn script(&mut self, reference: &str, behaviour: Behaviour) {
        self.scripts.insert(super::image::full_reference(reference), behaviour);
    }

    /// Changes what a container's application does from its next start on.
    pub fn script_container(&mut self, id: &ContainerId, behaviour: Behaviour) {
        if let Some(container) = self.containers.get_mut(id) {
            container.script = behaviour;
        }
    }

    /// The next call of `op` (after those scripted before) goes wrong like this.
    pub fn fail(&mut self, op: Op, fault: Fault) {
        let view = (fault == Fault::StaleRead).then(|| Arc::new(self.containers.clone()));
        self.faults.entry(op).or_default().push_back(Scripted { fault, view });
    }

    /// Forgets every scripted fault: faults that stop.
    pub fn calm(&mut self) {
        self.faults.clear();
        self.events_lost = 0;
    }

    /// How often `op` was called.
    #[must_use]
    pub fn calls(&self, op: Op) -> u64 {
        self.calls.get(&op).copied().unwrap_or(0)
    }

    /// Calls that ask for a change, all operations together.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.calls.iter().filter(|(op, _)| op.writes()).map(|(_, count)| count).sum()
    }

    /// The container of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Container> {
        self.containers.values().map(|one| &**one).find(|container| container.name == name)
    }

    /// Remembered events later than number `seen`, with their numbers.
    pub fn events_since(&self, seen: u64) -> impl Iterator<Item = &(u64, EngineEvent)> {
        self.events.iter().filter(move |(number, _)| *number > seen)
    }

    /// The number of the last event.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// Two hosts of one fingerprint behave alike from here on. Left out: what was counted, what was reported, and when it all
    /// began (stamps count back from now).
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut seen = self.clone();
        let stamp = seen.stamp();
        let back = |at: EngineStamp| EngineStamp(stamp.0.saturating_sub(at.0) / 1_000_000);
        for container in seen.containers.values_mut() {
            container.started_at = container.started_at.map(back);
            container.finished_at = container.finished_at.map(back);
            container.created_at = EngineStamp::default();
            container.run_since = self.now.saturating_sub(container.run_since);
            container.restart_at = container.restart_at.map(|at| at.saturating_sub(self.now));
            if let Some(stopping) = container.stopping.as_mut() {
                stopping.due = stopping.due.saturating_sub(self.now);
            }
            container.log.clear();
        }
        for pending in &mut seen.pending {
            pending.due = pending.due.saturating_sub(self.now);
        }
        (seen.now, seen.epoch, seen.last_stamp, seen.event_count, seen.session) =
            (0, 0, 0, 0, EngineSession(0));
        seen.events.clear();
        seen.calls.clear();
        let mut digest = Written(DefaultHasher::new());
        // Writing to a hasher cannot fail.
        let _ = write!(digest, "{seen:?}");
        digest.0.finish()
    }

    /// The engine's clock now. Later than every stamp given before, so that two starts can always be told apart.
    pub(super) fn stamp(&mut self) -> EngineStamp {
        let clock =
            i64::try_from(self.now).unwrap_or(i64::MAX).saturating_mul(1_000_000).saturating_add(self.epoch);
        self.last_stamp = clock.max(self.last_stamp.saturating_add(1));
        EngineStamp(self.last_stamp)
    }

    /// A new id of 64 digits. Its first twelve count up, so that ids are in the order in which things were made whatever else happened:
    /// two hosts that differ in what is gone by now behave alike.
    pub(super) fn next_id(&mut self, kind: &str) -> String {
        self.serial += 1;
        let digest = Sha256::digest(format!("{} {kind} {}", self.facts.id, self.serial));
        let mut id = format!("{:012x}{}", self.serial, hex::encode(digest));
        id.truncate(64);
        id
    }

    pub(super) fn count(&mut self, op: Op) {
        *self.calls.entry(op).or_default() += 1;
    }

    pub(super) fn emit(
        &mut self,
        kind: EventKind,
        action: &str,
        object: &str,
        attributes: BTreeMap<String, String>,
    ) {
        self.event_count += 1;
        if self.events_lost > 0 {
            self.events_lost -= 1;
            return;
        }
        let event = EngineEvent { kind, action: action.to_owned(), object: object.to_owned(), attributes };
        self.events.push_back((self.event_count, event));
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    /// An event of a container, with its labels and name.
    pub(super) fn emit_container(&mut self, id: &ContainerId, action: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let mut attributes = container.labels.clone();
        attributes.retain(|name, _| name.starts_with(label::RESERVED));
        attributes.insert("name".to_owned(), container.name.clone());
        self.emit(EventKind::Container, action, &id.0, attributes);
    }

    /// Whoever has not read them by now never will.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    pub(super) fn container(&self, op: Op, id: &ContainerId) -> Result<&Container> {
        self.containers.get(id).map(|one| &**one).ok_or_else(|| no_such_container(op, id))
    }

    pub(super) fn container_mut(&mut self, op: Op, id: &ContainerId) -> Result<&mut Container> {
        self.containers.get_mut(id).map(|one| &mut **one).ok_or_else(|| no_such_container(op, id))
    }

    /// Lets time pass: applications end, are restarted and turn healthy, late requests are executed.
    pub fn advance(&mut self, ms: u64) {
        let until = self.now.saturating_add(ms);
        while let Some((due, what)) = self.next_due(until) {
            self.now = self.now.max(due);
            match what {
                Due::Container(id) => self.play(&id),
                Due::Pending => self.run_pending(),
            }
        }
        self.now = until;
    }

    /// Milliseconds until something happens by itself; `None`: nothing will.
    #[must_use]
    pub fn next_change(&self) -> Option<u64> {
        self.next_due(u64::MAX - 1).map(|(due, _)| due.saturating_sub(self.now))
    }

    fn next_due(&self, until: u64) -> Option<(u64, Due)> {
        // A dead engine neither restarts nor checks anything; its containers' ends are noticed when it is back.
        if !self.alive {
            return None;
        }
        let containers = self.containers.values().filter_map(|container| {
            Some((container.next_due(self.now)?, Due::Container(container.id.clone())))
        });
        let pending = self.pending.iter().map(|pending| (pending.due, Due::Pending));
        containers.chain(pending).filter(|(due, _)| *due <= until).min()
    }
}

/// What is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Container(ContainerId),
    Pending,
}

/// Hashes what is written to it.
struct Written(DefaultHasher);

impl std::fmt::Write for Written {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn facts() -> EngineFacts {
    EngineFacts {
        version: "20.10.24-simulated".to_owned(),
        api: (1, 41),
        id: "simulated".to_owned(),
        root_dir: "/var/lib/evenkeel-simulated-engine".to_owned(),
        os: "linux".to_owned(),
        architecture: "x86_64".to_owned(),
        live_restore: false,
        simulated: true,
        clock: None,
    }
}

pub(super) fn no_such_container(op: Op, id: &ContainerId) -> EngineError {
    EngineError::new(op.as_str(), id.short(), Failure::NotFound, format!("No such container: {}", id.0))
}

/// Why a container in this state takes no such order, in the engine's words.
pub(super) fn refuse_dying(op: Op, container: &Container) -> Result<()> {
    let (kind, what) = match container.status {
        ContainerStatus::Dead => (Failure::Conflict, "is marked for removal"),
        ContainerStatus::Removing => {
            (Failure::InProgress, "is being removed: removal is already in progress")
        }
        _ => return Ok(()),
    };
    let text = format!("container {} {what}", container.id.short());
    Err(EngineError::new(op.as_str(), &container.name, kind, text))
}
