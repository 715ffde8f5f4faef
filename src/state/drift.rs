//! Drift: what others changed of what runs, told from what the files changed.
//!
//! Three are compared: what was last seen in effect in this very container (`Record::applied`), what is wanted, and what is there. Where the first two
//! agree and the third does not, somebody outside changed it, and `[policy.drift]` says what becomes of that. In every other case the files
//! changed, or it never was as wanted, and it is brought there.

use std::collections::BTreeMap;

use super::condition::{Condition, ConditionKind};
use super::create::image_of;
use super::decide::Pass;
use super::diff::{self, FieldDifference};
use super::live;
use super::observed::{ContainerId, ObservedContainer};
use super::plan::Step;
use super::record::{Applied, Fight, HistoryEvent};
use super::roll::{Roll, Slot, View};
use super::seen::config_drift;
use super::target;
use super::words::Words;
use crate::desired::spec::{DriftAction, DriftGroup, LiveSpec, RestartPolicy};

/// Changes of one group that are set right at once; more than these in a row is a fight, and fights are slowed down.
const FREE: u32 = 8;
/// Longest pause between two rounds of a fight. Milliseconds.
const LONGEST: u64 = 3_600_000;
/// A group that was left in peace this long beyond its pause begins anew. Milliseconds.
const PEACE: u64 = 600_000;

impl Pass<'_> {
    /// Somebody else changed this group of this container: both what was in effect and what is wanted say otherwise than what is there.
    pub(super) fn is_outside(&self, roll: &Roll<'_>, container: &ContainerId, group: DriftGroup) -> bool {
        let wanted = &roll.spec().live;
        roll.committed
            && self.record.applied.get(container).is_some_and(|applied| same(&applied.live, wanted, group))
    }

    /// Whether a difference is set right now. `what`: the fields, from what is wanted to what is there. Returns the cause of the step.
    pub(super) fn set_right(
        &mut self,
        roll: &Roll<'_>,
        container: &ContainerId,
        group: DriftGroup,
        what: &str,
        otherwise: &str,
    ) -> Option<String> {
        if !self.is_outside(roll, container, group) {
            return Some(otherwise.to_owned());
        }
        let text = format!("{what} by someone outside");
        match roll.spec().policy.drift.of(group) {
            DriftAction::Ignore => None,
            DriftAction::Report => {
                self.leave(group, text);
                None
            }
            DriftAction::Heal => self.may_heal(group, &text).then(|| format!("drift: {text}; the files win")),
        }
    }

    /// The next step that brings what can be changed in place to the spec, with its cause: limits and networks.
    pub(super) fn next_in_place(
        &mut self,
        roll: &Roll<'_>,
        container: &ObservedContainer,
    ) -> Option<(Step, String)> {
        if let Some(step) = live::next_limits(roll.spec(), container) {
            let what = limits_text(&roll.spec().live, container);
            let why = "its limits differ from the file";
            if let Some(why) = self.set_right(roll, &container.id, DriftGroup::Limits, &what, why) {
                return Some((step, why));
            }
        }
        let (id, owner, observed) = (self.inputs.id, self.inputs.owner, self.inputs.observed);
        let (step, why) = live::next_networks(id, roll.spec(), container, observed, owner)?;
        let (name, what) = match &step {
            Step::Connect { network, .. } => (network, format!("network {network} left")),
            Step::Disconnect { network, .. } if roll.spec().live.networks.contains_key(network) => {
                (network, format!("aliases or address on network {network} changed"))
            }
            Step::Disconnect { network, .. } => (network, format!("network {network} joined")),
            _ => return Some((step, why)),
        };
        // A network that was made anew took its members away: nobody outside did.
        let known = self.record.applied.get(&container.id).and_then(|applied| applied.networks.get(name));
        let now = live::network_id(observed, name, owner);
        if roll.spec().live.networks.contains_key(name) && known != now.as_ref() {
            return Some((step, why));
        }
        let why = self.set_right(roll, &container.id, DriftGroup::Networks, &what, &why)?;
        Some((step, why))
    }

    /// Why a container of this slot is replaced that is not made as its spec says.
    pub(super) fn drift_cause(&self, view: &View<'_>) -> Option<String> {
        view.others.iter().find_map(|other| self.record.replaced.get(&other.id)).cloned()
    }

    /// Somebody who changes it back again and again is not followed at the same pace.
    fn may_heal(&mut self, group: DriftGroup, text: &str) -> bool {
        let now = self.inputs.now.mono;
        let pause = |count: u32| match count.checked_sub(FREE) {
            None => 0,
            Some(more) => target::backoff_ms(more + 1, LONGEST / 60).saturating_mul(60),
        };
        let fight = self
            .memo
            .fights
            .get(&group)
            .filter(|fight| now.since(fight.last) < pause(fight.count).saturating_add(PEACE));
        let count = fight.map_or(0, |fight| fight.count);
        if let Some(due) = fight.map(|fight| fight.last.after(pause(count))).filter(|due| now < *due) {
            self.look_at(due);
            let wait = super::gate::seconds(due.since(now).max(1_000));
            self.leave(
                group,
                format!("{text}, again and again ({count} times); set right once more in {wait}"),
            );
            return false;
        }
        self.memo.fights.insert(group, Fight { count: count.saturating_add(1), last: now });
        true
    }

    /// It is told, once, and stays as somebody else made it.
    pub(super) fn leave(&mut self, group: DriftGroup, text: String) {
        if !self.record.drift.contains(&group) {
            let good = self.record.good.clone();
            self.note(HistoryEvent::Drifted, good, format!("{}: {text}", group.as_str()));
        }
        self.drift.insert(group, text);
    }

    /// An engine starts what these policies cover again by itself, unless somebody told it to stop it. `None`: it is started.
    pub(super) fn stopped_by_hand(&mut self, roll: &Roll<'_>, container: &ObservedContainer) -> Option<Slot> {
        let covered = matches!(container.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped);
        let action = roll.spec().policy.drift.state;
        if !covered || action == DriftAction::Heal || !self.record.applied.contains_key(&container.id) {
            return None;
        }
        let text =
            format!("{} was stopped by someone outside and is left so: `docker start {0}`", container.name);
        if action == DriftAction::Report {
            self.leave(DriftGroup::State, text.clone());
        }
        Some(Slot::Impaired(Condition::new(ConditionKind::Degraded, "StoppedByHand", text)))
    }

    /// A container of the wanted revision that was made otherwise than its spec says: by whom its labels were copied, or by an engine that
    /// changed its mind. It is replaced once for what was found; what comes back in the new one is how this engine tells it, and is left.
    pub(super) fn note_config_drift(&mut self, roll: &Roll<'_>) {
        // One after the other: what an engine tells otherwise after an upgrade must not take every replica down at once.
        if !roll.committed || !self.record.replaced.is_empty() {
            return;
        }
        let newest = self.inputs.observed.containers.iter().map(|container| container.created_at).max();
        for container in &self.inputs.observed.containers {
            if container.labels.revision != roll.kept.id {
                continue;
            }
            let Some(found) = self.config_of(roll, container).filter(|found| !found.is_empty()) else {
                continue;
            };
            let text = format!("{} by someone outside", diff::summary(&found));
            match roll.spec().policy.drift.config {
                DriftAction::Ignore => {}
                DriftAction::Report => self.leave(DriftGroup::Config, text),
                DriftAction::Heal => {
                    let before = |field: &FieldDifference| self.record.replaced_for.get(&field.path).copied();
                    let fresh =
                        found.iter().any(|field| before(field).is_none_or(|at| container.created_at <= at));
                    if fresh {
                        let at = newest.unwrap_or(container.created_at);
                        for field in found {
                            self.record.replaced_for.entry(field.path).or_insert(at);
                        }
                        self.record
                            .replaced
                            .insert(container.id.clone(), format!("drift: {text}; the files win"));
                        return;
                    } else {
                        let again = "which a new container did not change";
                        self.leave(DriftGroup::Config, format!("{text}, {again}"));
                    }
                }
            }
        }
    }

    fn config_of(&self, roll: &Roll<'_>, container: &ObservedContainer) -> Option<Vec<FieldDifference>> {
        let image = image_of(self.inputs.observed, roll.kept)?;
        // A container of another image is another revision, whatever its label says.
        // Engines do not agree on which of an image's digests they give here, so what it was made from by name or id counts as well.
        let by_name = container
            .baked
            .as_ref()
            .is_some_and(|baked| baked.image == image.id.0 || image.tags.contains(&baked.image));
        if container.image != image.id && container.baked.is_some() && !by_name {
            let told = |id: &super::observed::ImageId| Some(id.short().to_owned());
            return Some(vec![FieldDifference {
                path: "image".to_owned(),
                old: told(&image.id),
                new: told(&container.image),
                effect: diff::Effect::Replace,
            }]);
        }
        config_drift(&roll.spec().container, container, image)
    }

    /// What a container shows that is as wanted in every way is what a later look compares with.
    pub(super) fn note_applied(&mut self, roll: &Roll<'_>, container: &ObservedContainer) {
        let wanted = &roll.spec().live;
        let drifted = |group: &DriftGroup| {
            self.drift.contains_key(group) || roll.spec().policy.drift.of(*group) == DriftAction::Ignore
        };
        let (observed, owner) = (self.inputs.observed, self.inputs.owner);
        let id_of = |name: &String| Some((name.clone(), live::network_id(observed, name, owner)?));
        let networks: BTreeMap<String, String> = wanted.networks.keys().filter_map(id_of).collect();
        let known = self.record.applied.get(&container.id);
        let same = known.is_some_and(|known| {
            known.networks == networks
                && DriftGroup::ALL
                    .iter()
                    .filter(|group| !drifted(group))
                    .all(|group| same(&known.live, wanted, *group))
        });
        if !same {
            self.record.applied.insert(container.id.clone(), Applied { live: wanted.clone(), networks });
        }
    }

    /// What is left as others made it, for whom it concerns.
    pub(super) fn drifted(&self, settled: Condition) -> Condition {
        if settled.kind != ConditionKind::Ready || self.drift.is_empty() {
            return settled;
        }
        let texts: Vec<&str> = self.drift.values().map(String::as_str).collect();
        Condition::new(
            ConditionKind::Ready,
            "Drifted",
            format!("{}; drift: {}", settled.message, texts.join("; ")),
        )
    }
}

/// What differs, as what somebody did: from what is wanted to what is there.
#[must_use]
pub(super) fn limits_text(wanted: &LiveSpec, container: &ObservedContainer) -> String {
    let there = LiveSpec { resources: container.resources.clone(), ..wanted.clone() };
    diff::summary(&diff::live_differences(wanted, &there))
}

#[must_use]
pub(super) fn restart_text(wanted: &LiveSpec, container: &ObservedContainer) -> String {
    format!("restart {} -> {}", wanted.restart.words(), container.restart.words())
}

fn same(one: &LiveSpec, other: &LiveSpec, group: DriftGroup) -> bool {
    match group {
        DriftGroup::Limits => one.resources == other.resources,
        DriftGroup::Restart => one.restart == other.restart,
        DriftGroup::Networks => one.networks == other.networks,
        DriftGroup::Name => one.container_name == other.container_name,
        DriftGroup::State | DriftGroup::Config => true,
    }
}
