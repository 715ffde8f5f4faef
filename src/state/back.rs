//! The way back from a revision that failed, where `deploy.rollback_config` has rules of its own for it. Without such rules everything
//! that failed is taken away at once, and its predecessors are started at once.

use super::decide::Pass;
use super::observed::{ContainerStatus, Health, ObservedContainer};
use super::order::{self, Order};
use super::record::KeptRevision;
use super::roll::Roll;
use super::target;
use crate::desired::spec::{RestartPolicy, RollbackConfig, UpdateConfig};

impl Pass<'_> {
    /// The rules of the revision that failed, while its predecessor is put back.
    fn way_back(&self) -> Option<RollbackConfig> {
        let failed = self.record.rolling_back.as_ref()?;
        target::kept(&self.record, failed).map(|kept| kept.spec.policy.update.rollback)
    }

    /// The order in which `kept` takes over.
    pub(super) fn order_of(&self, kept: &KeptRevision) -> Order {
        let back = self.way_back().and_then(|back| back.order);
        order::order_as(&kept.spec, back.unwrap_or(kept.spec.policy.update.order))
    }

    /// The rules for the gate of this roll.
    pub(super) fn gate_rules(&self, roll: &Roll<'_>) -> UpdateConfig {
        let mut rules = roll.spec().policy.update.clone();
        if let Some(monitor) = self.way_back().filter(|_| roll.committed).and_then(|back| back.monitor_ms) {
            rules.monitor_ms = monitor;
        }
        rules
    }

    /// How many slots go back at a time; `None`: all of them.
    pub(super) fn back_at_a_time(&self, roll: &Roll<'_>) -> Option<u32> {
        self.way_back().filter(|_| roll.committed)?.parallelism.filter(|number| *number > 0)
    }

    /// Milliseconds between two slots that go back.
    pub(super) fn back_delay(&self, roll: &Roll<'_>) -> u64 {
        let own = roll.spec().policy.update.delay_ms;
        self.way_back().and_then(|back| back.delay_ms).unwrap_or(own)
    }

    /// A container of the failed revision that passed its gate (it has its restart policy) and goes on until it is the turn of its
    /// slot. Of a service without a restart policy nobody can tell, so those are taken away at once.
    pub(super) fn waits_to_go_back(&self, container: &ObservedContainer, roll: &Roll<'_>) -> bool {
        let serves = container.status == ContainerStatus::Running
            && container.restart != RestartPolicy::No
            && container.health != Health::Unhealthy;
        serves
            && self.back_at_a_time(roll).is_some()
            && self.record.rolling_back.as_ref() == Some(&container.labels.revision)
            && !self.is_back(container.labels.slot, roll)
    }

    /// The predecessor serves in this slot and has passed the gate again.
    pub(super) fn is_back(&self, slot: u32, roll: &Roll<'_>) -> bool {
        let current = self.view(slot, roll).current;
        current.is_some_and(|container| {
            let passed = self.memo.gates.get(&container.id).is_some_and(|window| window.passed);
            container.status.is_up() && passed
        })
    }

    /// Slots that are neither back nor served by the failed revision: they come first, and all at once.
    pub(super) fn slots_on_their_way_back(&self, roll: &Roll<'_>) -> u32 {
        let slots = 1..=roll.spec().policy.replicas;
        let under_way =
            slots.filter(|slot| !self.is_back(*slot, roll) && !self.is_served_by_the_failed(*slot, roll));
        u32::try_from(under_way.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_served_by_the_failed(&self, slot: u32, roll: &Roll<'_>) -> bool {
        let mut containers = self.inputs.observed.containers.iter();
        containers.any(|container| container.labels.slot == slot && self.waits_to_go_back(container, roll))
    }
}
