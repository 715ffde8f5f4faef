//! How long slots that had served did not, for the metric. Decides nothing.

use std::collections::BTreeMap;

use crate::state::observed::{ContainerId, ContainerStatus, Health, ObservedContainer, ObservedService};
use crate::state::time::Mono;

/// Counts between looks, so that an outage that lasts is told while it lasts.
#[derive(Debug, Default)]
pub struct Downtime {
    /// Slots that have served. `Some`: down, and counted up to then.
    slots: BTreeMap<u32, Option<Mono>>,
    /// Looked at before, by this process.
    looked: bool,
}

impl Downtime {
    /// Takes in a look at a service that should have so many replicas. Returns the milliseconds lost since the last one, over all
    /// slots. `proved`: it served before this process began.
    pub fn look(&mut self, observed: &ObservedService, replicas: u32, proved: bool, now: Mono) -> u64 {
        if !std::mem::replace(&mut self.looked, true) && proved {
            self.slots.extend((1..=replicas).map(|slot| (slot, None)));
        }
        self.slots.retain(|slot, _| *slot <= replicas);
        let mut lost = 0;
        for slot in 1..=replicas {
            let serving = observed.containers.iter().any(|container| serves(container, slot));
            match self.slots.get_mut(&slot) {
                Some(down) => {
                    lost += down.map_or(0, |since| now.since(since));
                    *down = (!serving).then_some(now);
                }
                None if serving => {
                    self.slots.insert(slot, None);
                }
                None => {}
            }
        }
        lost
    }

    /// A container is about to be stopped: its slot is down from now on, unless another one serves there.
    pub fn stopping(&mut self, id: &ContainerId, observed: &ObservedService, now: Mono) {
        let Some(stopped) = observed.containers.iter().find(|container| container.id == *id) else { return };
        let slot = stopped.labels.slot;
        let others = observed.containers.iter().any(|other| other.id != *id && serves(other, slot));
        if let (false, Some(down)) = (others, self.slots.get_mut(&slot)) {
            down.get_or_insert(now);
        }
    }

    /// What ran to its end is missed by nobody.
    pub fn completed(&mut self) {
        self.slots.clear();
    }
}

fn serves(container: &ObservedContainer, slot: u32) -> bool {
    container.labels.slot == slot
        && container.status == ContainerStatus::Running
        && matches!(container.health, Health::None | Health::Healthy)
}
