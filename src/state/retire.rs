//! What is over: predecessors, slots beyond the wanted number, services nobody wants, revisions beyond the kept ones.

use super::condition::{Condition, ConditionKind};
use super::create::staged_name;
use super::decide::{Pass, Removal};
use super::observed::{ContainerId, ContainerStatus, ObservedContainer};
use super::plan::Step;
use super::record::{HistoryEvent, KeptRevision, Record, RevisionVerdict};
use super::roll::{Roll, Slot};
use super::target;
use crate::desired::spec::{DriftGroup, RestartPolicy, Strategy};

/// How often a drain that waits for its beginning is looked at, in milliseconds.
const DRAIN_LOOK_MS: u64 = 2_000;

impl Pass<'_> {
    /// A slot that proved itself while others are still to come: what it replaced is stopped now.
    pub(super) fn release_olds_of_proved_slots(&mut self, roll: &Roll<'_>, slots: &[Slot]) {
        for (slot, state) in (1..).zip(slots) {
            if matches!(state, Slot::Done | Slot::Completed) {
                self.put_down_others(slot, roll);
            }
        }
    }

    pub(super) fn after_commit(&mut self, roll: &Roll<'_>, slots: &[Slot]) {
        if !roll.committed || slots.iter().any(|slot| matches!(slot, Slot::Busy)) {
            return;
        }
        let serving = |slot: &Slot| matches!(slot, Slot::Done | Slot::Completed | Slot::Impaired(_));
        for (slot, _) in (1..).zip(slots).filter(|(_, state)| serving(state)) {
            self.put_down_others(slot, roll);
            self.give_plain_name(slot, roll);
            self.remove_predecessors(slot, roll);
        }
        self.remove_slots_above(roll.spec().policy.replicas);
        if slots.iter().all(serving) {
            self.keep_image(roll.kept);
            self.drop_old_revisions(roll);
            self.tidy_hooks();
        }
    }

    /// Stops the others of a slot and takes their restart policy off.
    fn put_down_others(&mut self, slot: u32, roll: &Roll<'_>) {
        let view = self.view(slot, roll);
        for other in view.others {
            if other.status == ContainerStatus::Paused {
                continue;
            }
            let id = other.id.clone();
            if other.status.is_up() && self.drains(roll, view.current) {
                continue;
            }
            if other.status.is_up() {
                self.step(Some(slot), Step::Stop { id, grace: other.stop_timeout }, "its successor serves");
            } else if other.restart != RestartPolicy::No && other.status == ContainerStatus::Exited {
                let step = Step::SetRestart { id, policy: RestartPolicy::No };
                self.step(Some(slot), step, "so that an engine restart cannot bring it back");
            }
        }
    }

    /// `rollout.drain`: the one that went before goes on for a while beside its successor. A whole new set takes over at once, when it
    /// is committed.
    fn drains(&mut self, roll: &Roll<'_>, successor: Option<&ObservedContainer>) -> bool {
        let rollout = roll.spec().policy.rollout;
        let serves = successor.filter(|container| container.status.is_up());
        let over = roll.committed && self.record.watch.is_none();
        let (Some(serves), false, 1..) = (serves, over, rollout.drain_ms) else { return false };
        let passed = match rollout.strategy {
            Strategy::BlueGreen => self.memo.watch_since,
            _ => self.memo.gates.get(&serves.id).and_then(|window| window.passed_at),
        };
        let now = self.inputs.now.mono;
        // After a restart of ours the time begins anew, with the next look through the gate.
        let end = passed.map_or(now.after(DRAIN_LOOK_MS), |passed| passed.after(rollout.drain_ms));
        if now < end {
            self.look_at(end);
        }
        now < end
    }

    /// The serving container gets its plain name; cosmetic, after the commit, never in the way (DESIGN.md 4).
    fn give_plain_name(&mut self, slot: u32, roll: &Roll<'_>) {
        let view = self.view(slot, roll);
        let plain = target::plain_name(self.inputs.id, roll.spec(), slot);
        let Some(current) = view.current.filter(|current| current.name != plain) else { return };
        // It keeps the name it was adopted with until it is replaced, unless the files give it one.
        let adopted_so = self.record.adopted.get(&current.id) == Some(&current.name);
        if adopted_so && roll.spec().live.container_name.is_none() {
            return;
        }
        let what = format!("name {plain} -> {}", current.name);
        let Some(why) = self.set_right(roll, &current.id, DriftGroup::Name, &what, "it serves") else {
            return;
        };
        // The engine answers rename with 404 while it restarts a container.
        if current.status == ContainerStatus::Restarting
            || self.inputs.observed.name_holders.contains_key(&plain)
        {
            return;
        }
        if let Some(holder) = self.inputs.observed.containers.iter().find(|container| container.name == plain)
        {
            if holder.status.is_up() {
                return;
            }
            let revision = &holder.labels.revision;
            let aside = match target::kept(&self.record, revision) {
                Some(kept) if *revision != roll.kept.id => staged_name(&plain, kept),
                _ => format!("{plain}.{}-{}", revision.short(), holder.id.short()),
            };
            self.tidy(
                Some(slot),
                Step::Rename { id: holder.id.clone(), name: aside },
                "its successor takes the name",
            );
        }
        self.tidy(Some(slot), Step::Rename { id: current.id.clone(), name: plain }, why);
    }

    /// The newest stopped container of the previous revision stays for the watch window: going back is then a plain start.
    fn remove_predecessors(&mut self, slot: u32, roll: &Roll<'_>) {
        let previous = self.record.watch.as_ref().and_then(|watch| watch.previous.clone());
        let view = self.view(slot, roll);
        let kept: Option<ContainerId> = view
            .others
            .iter()
            .filter(|other| {
                Some(&other.labels.revision) == previous.as_ref() && other.status == ContainerStatus::Exited
            })
            .max_by_key(|other| other.started_at)
            .map(|other| other.id.clone());
        for other in view.others.iter().filter(|other| Some(&other.id) != kept.as_ref()) {
            self.remove_stopped(other, "its successor serves");
        }
    }

    fn remove_stopped(&mut self, container: &ObservedContainer, why: &str) {
        let id = container.id.clone();
        let slot = Some(container.labels.slot);
        match container.status {
            ContainerStatus::Dead => {
                self.tidy(slot, Step::Remove { id, dead: true }, "the engine left it half removed")
            }
            ContainerStatus::Created | ContainerStatus::Exited => {
                self.tidy(slot, Step::Remove { id, dead: false }, why)
            }
            _ => {}
        }
    }

    pub(super) fn remove_slots_above(&mut self, replicas: u32) {
        let observed = self.inputs.observed;
        for container in observed
            .containers
            .iter()
            .filter(|container| container.labels.slot > replicas || container.labels.slot == 0)
        {
            self.take_away(container, false, "it is more than the wanted number of replicas");
        }
    }

    /// Nobody wants the service: its containers go, its volumes stay (I12).
    pub(super) fn retire_service(&mut self) -> Condition {
        let observed = self.inputs.observed;
        let left = !observed.containers.is_empty()
            || !observed.hooks.is_empty()
            || !observed.keep_tags.is_empty()
            || self.record != Record::default();
        if let (Removal::Held(why), true) = (self.inputs.removal, left) {
            return Condition::new(
                ConditionKind::Orphaned,
                "RemovalHeld",
                format!("no file wants it any more; {why}"),
            );
        }
        for container in observed.containers.iter().chain(&observed.hooks) {
            self.take_away(container, false, "no file wants it any more");
        }
        if !observed.containers.is_empty() || !observed.hooks.is_empty() {
            return Condition::new(ConditionKind::Progressing, "Removing", "no file wants it any more");
        }
        let repository = self.inputs.id.keep_repository();
        for tag in observed.keep_tags.keys() {
            self.tidy(None, Step::Untag { reference: format!("{repository}:{tag}") }, "its service is gone");
        }
        self.untag_pulled(|_| true);
        if self.record != Record::default() {
            let good = self.record.good.clone();
            self.note(HistoryEvent::Removed, good, "no file wants it any more".to_owned());
            self.record = Record::default();
        }
        Condition::new(
            ConditionKind::Removed,
            "Removed",
            "no file wants it any more, and it is gone; volumes were kept",
        )
    }

    /// Keeps the newest revisions, and always those that something may go back to. What a dropped one kept on the host goes.
    fn drop_old_revisions(&mut self, roll: &Roll<'_>) {
        let record = &self.record;
        let watch = record.watch.as_ref().and_then(|watch| watch.previous.as_ref());
        let hold = record.hold.as_ref().and_then(|hold| hold.revision.as_ref());
        let waiting = record.awaiting.as_ref().map(|waiting| &waiting.revision);
        let needed = |kept: &KeptRevision| {
            kept.id == roll.kept.id
                || [record.good.as_ref(), record.intent.as_ref(), watch, hold, waiting]
                    .contains(&Some(&kept.id))
                || self
                    .inputs
                    .observed
                    .containers
                    .iter()
                    .any(|container| container.labels.revision == kept.id)
                || self.is_wanted_and_rejected(kept)
        };
        let surplus = record.revisions.len().saturating_sub(self.inputs.limits.keep_revisions.max(1));
        let dropped: Vec<KeptRevision> =
            record.revisions.iter().filter(|kept| !needed(kept)).take(surplus).cloned().collect();
        self.record.revisions.retain(|kept| !dropped.iter().any(|gone| gone.id == kept.id));
        let repository = self.inputs.id.keep_repository();
        let tags = &self.inputs.observed.keep_tags;
        let known: Vec<String> =
            self.record.revisions.iter().map(|kept| kept.id.short().to_owned()).collect();
        for tag in tags.keys().filter(|tag| !known.contains(tag)) {
            let reference = format!("{repository}:{tag}");
            self.tidy(None, Step::Untag { reference }, "its revision is not kept any more");
        }
        let still_kept: Vec<_> = self.record.revisions.iter().map(|kept| kept.image.clone()).collect();
        let gone: Vec<KeptRevision> =
            dropped.into_iter().filter(|gone| !still_kept.contains(&gone.image)).collect();
        self.untag_references(&gone);
    }

    /// A rejected revision is remembered for as long as the file still wants it.
    fn is_wanted_and_rejected(&self, kept: &KeptRevision) -> bool {
        let wanted = match self.inputs.desired {
            Some(crate::desired::Wanted::Run(wanted)) => wanted.hash == kept.hash,
            _ => true,
        };
        wanted && matches!(kept.verdict, RevisionVerdict::Rejected { .. })
    }

    fn untag_pulled(&mut self, which: impl Fn(&KeptRevision) -> bool) {
        let gone: Vec<KeptRevision> =
            self.record.revisions.iter().filter(|kept| which(kept)).cloned().collect();
        self.untag_references(&gone);
    }

    /// References that evenkeel itself pulled, still mean what it pulled, and that no desired service names.
    fn untag_references(&mut self, gone: &[KeptRevision]) {
        for kept in gone.iter().filter(|kept| kept.pulled) {
            let reference = known_by(&kept.spec.container.image);
            let facts = self.inputs.observed.kept_images.get(&kept.image);
            let still = facts
                .is_some_and(|facts| facts.tags.iter().chain(&facts.digests).any(|name| *name == reference));
            if still && !self.inputs.refs_in_use.iter().any(|used| known_by(used) == reference) {
                self.tidy(None, Step::Untag { reference }, "its revision is not kept any more");
            }
        }
    }
}

/// The name under which the engine keeps what was pulled by this reference: what has a digest gets no tag.
fn known_by(reference: &str) -> String {
    let Some((name, digest)) = reference.split_once('@') else { return reference.to_owned() };
    // A colon before the last slash is a port's.
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name.get(path..).and_then(|last| last.find(':')).map_or(name.len(), |colon| path + colon);
    format!("{}@{digest}", name.get(..tag).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::known_by;

    #[test]
    fn what_was_pulled_by_its_digest_is_known_by_repository_and_digest() {
        for (reference, name) in [
            ("web:1", "web:1"),
            ("registry:5000/shop/web:1", "registry:5000/shop/web:1"),
            ("web@sha256:00", "web@sha256:00"),
            ("web:1@sha256:00", "web@sha256:00"),
            ("registry:5000/shop/web:1@sha256:00", "registry:5000/shop/web@sha256:00"),
            ("registry:5000/shop/web@sha256:00", "registry:5000/shop/web@sha256:00"),
        ] {
            assert_eq!(known_by(reference), name);
        }
    }
}
