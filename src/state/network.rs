//! Networks and volumes: keys of their own, made before the services that need them.

use super::condition::{Condition, ConditionKind};
use super::observed::{ContainerId, ObservedNetwork, ObservedService, ObservedVolume, label};
use super::plan::{Cause, Planned, Step};
use super::time::Timestamp;
use crate::desired::hash::{network_definition, volume_definition};
use crate::desired::ident::ProjectName;
use crate::desired::spec::{NetworkSpec, VolumeSpec};
use crate::desired::{DesiredState, Paused};
use std::collections::{BTreeMap, BTreeSet};

/// What a network or volume needs: steps, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDecision {
    pub plan: Vec<Planned>,
    pub condition: Condition,
    /// When time alone changes it.
    pub again: Option<Timestamp>,
}

/// A desired network: create it, leave it, or make it anew when its definition changed (the engine cannot change one). `members`: every
/// container of ours; their services join the new one by themselves, and a foreign one that is attached forbids it.
#[must_use]
pub fn decide_network(
    spec: &NetworkSpec,
    observed: &[ObservedNetwork],
    members: &BTreeSet<ContainerId>,
    owner: &str,
) -> ObjectDecision {
    let ours = observed.iter().find(|network| owned(&network.labels, owner));
    if spec.external {
        return match observed.first() {
            Some(_) => ready("External", format!("network {} was made elsewhere and is there", spec.name)),
            None => failed(
                "ExternalMissing",
                format!(
                    "network {} is external and does not exist: `docker network create {}`",
                    spec.name, spec.name
                ),
            ),
        };
    }
    match (ours, observed.first()) {
        (None, None) => plan(vec![(Step::CreateNetwork(Box::new(spec.clone())), "it is missing".to_owned())]),
        (None, Some(foreign)) => failed(
            "NameConflict",
            foreign_text("network", &spec.project, &spec.name, &spec.key, &foreign.labels),
        ),
        (Some(network), _)
            if network
                .labels
                .get(label::DEFINITION)
                .is_none_or(|label| *label == network_definition(spec)) =>
        {
            ready("AsDesired", format!("network {}", spec.name))
        }
        (Some(network), _) => match network.containers.iter().find(|id| !members.contains(id)) {
            Some(foreign) => failed("ForeignMember", foreign_member_text(spec, foreign)),
            None => plan(remake(spec, network)),
        },
    }
}

/// A network or volume that is not there, and that nothing here needs: as with Compose it is made when something does.
#[must_use]
pub fn unused(kind: &str, name: &str) -> ObjectDecision {
    ready("Unused", format!("{kind} {name} is made when something here uses it"))
}

fn foreign_member_text(spec: &NetworkSpec, foreign: &ContainerId) -> String {
    let (name, id) = (&spec.name, foreign.short());
    format!(
        "network {name} must be made anew, and container {id}, which is not evenkeel's, is attached to it: `docker network disconnect {name} {id}`"
    )
}

/// Disconnect all, remove, create: the services of the containers connect them again, without a restart.
fn remake(spec: &NetworkSpec, network: &ObservedNetwork) -> Vec<(Step, String)> {
    let why = format!(
        "its definition changed ({}:{}), and the engine cannot change a network",
        spec.source.file, spec.source.line
    );
    let leave = |id: &ContainerId| {
        let step = Step::Disconnect {
            id: id.clone(),
            network: network.name.clone(),
            network_id: network.id.clone(),
        };
        (step, why.clone())
    };
    let mut steps: Vec<(Step, String)> = network.containers.iter().map(leave).collect();
    steps.push((Step::RemoveNetwork { id: network.id.clone(), name: network.name.clone() }, why.clone()));
    steps.push((Step::CreateNetwork(Box::new(spec.clone())), why));
    steps
}

/// A network of ours that no file wants: removed when nothing refers to it. `referenced`: a container of ours (also a stopped one) or a kept
/// revision names it.
#[must_use]
pub fn retire_network(network: &ObservedNetwork, referenced: bool, prune: bool) -> ObjectDecision {
    if referenced || !network.containers.is_empty() || !prune {
        let why =
            if prune { "containers still refer to it" } else { "[policy.prune] networks = false keeps it" };
        return ObjectDecision {
            plan: Vec::new(),
            condition: Condition::new(
                ConditionKind::Orphaned,
                "InUse",
                format!("network {}: no file wants it any more; {why}", network.name),
            ),
            again: None,
        };
    }
    plan(vec![(
        Step::RemoveNetwork { id: network.id.clone(), name: network.name.clone() },
        "no file wants it any more".to_owned(),
    )])
}

/// A desired volume: create it or leave it. A changed definition is refused, because a volume holds data.
#[must_use]
pub fn decide_volume(spec: &VolumeSpec, observed: Option<&ObservedVolume>, owner: &str) -> ObjectDecision {
    match observed {
        None if spec.external => failed(
            "ExternalMissing",
            format!(
                "volume {} is external and does not exist: `docker volume create {}`",
                spec.name, spec.name
            ),
        ),
        None => plan(vec![(Step::CreateVolume(Box::new(spec.clone())), "it is missing".to_owned())]),
        Some(_) if spec.external => {
            ready("External", format!("volume {} was made elsewhere and is there", spec.name))
        }
        Some(volume) if !owned(&volume.labels, owner) => failed(
            "NameConflict",
            foreign_text("volume", &spec.project, &spec.name, &spec.key, &volume.labels),
        ),
        Some(volume)
            if volume
                .labels
                .get(label::DEFINITION)
                .is_some_and(|label| *label != volume_definition(spec)) =>
        {
            failed(
                "DefinitionChanged",
                format!(
                    "volume {} exists with another definition, and it holds data: it is left as it is. To change it: stop its services, copy the data, `docker volume rm {}`, and let evenkeel make it anew; or put the old definition back in {}:{}",
                    spec.name, spec.name, spec.source.file, spec.source.line
                ),
            )
        }
        Some(_) => ready("AsDesired", format!("volume {}", spec.name)),
    }
}

/// The same, where nothing is to be changed: `why` says where that stands.
#[must_use]
pub fn paused(decision: ObjectDecision, why: Option<Paused<'_>>) -> ObjectDecision {
    let (Some(paused), false) = (why, decision.plan.is_empty()) else { return decision };
    let place = super::pause::told(paused);
    let cause = &decision.condition.message;
    let text = format!(
        "nothing is changed while it is paused ({place}); else it would be acted upon, because {cause}"
    );
    let condition = Condition::new(ConditionKind::Paused, "Paused", text);
    ObjectDecision { plan: Vec::new(), condition, again: paused.until.map(Timestamp) }
}

/// What a service would use by its name and is marked as somebody else's, with what to do about it: no container is put into that
/// network, and none writes to that volume. One without any mark is used: the engine makes a missing volume by itself.
#[must_use]
pub fn foreign(observed: &ObservedService, desired: &DesiredState, owner: &str) -> BTreeMap<String, String> {
    let marked = |labels: &BTreeMap<String, String>| {
        !owned(labels, owner)
            && (labels.contains_key(label::OWNER) || labels.contains_key(label::COMPOSE_PROJECT))
    };
    let networks = observed.networks.iter().filter_map(|(name, all)| {
        let spec = desired.networks.get(name).filter(|spec| !spec.external)?;
        // Names are not unique on old engines: ours may be among several.
        let other = all.iter().all(|network| marked(&network.labels)).then(|| all.first())??;
        Some((name.clone(), foreign_text("network", &spec.project, name, &spec.key, &other.labels)))
    });
    let volumes = observed.volumes.iter().filter_map(|(name, volume)| {
        let spec = desired.volumes.get(name).filter(|spec| !spec.external)?;
        let other = volume.as_ref().filter(|volume| marked(&volume.labels))?;
        Some((name.clone(), foreign_text("volume", &spec.project, name, &spec.key, &other.labels)))
    });
    networks.chain(volumes).collect()
}

fn owned(labels: &std::collections::BTreeMap<String, String>, owner: &str) -> bool {
    labels.get(label::OWNER).is_some_and(|label| label == owner)
}

fn foreign_text(
    kind: &str,
    project: &ProjectName,
    name: &str,
    key: &str,
    labels: &std::collections::BTreeMap<String, String>,
) -> String {
    let of_compose = labels.get(label::COMPOSE_PROJECT).filter(|_| !labels.contains_key(label::OWNER));
    let adopt = match of_compose.is_some_and(|found| found == project.as_str()) {
        true => format!("`evenkeel adopt {project}` takes over what Compose started; "),
        false => String::new(),
    };
    let whose = match (labels.get(label::OWNER), labels.get(label::COMPOSE_PROJECT)) {
        (Some(owner), _) => format!(" by evenkeel instance `{owner}`"),
        (None, Some(project)) => format!(" by Compose project `{project}`"),
        (None, None) => String::new(),
    };
    format!(
        "{kind} {name} exists and was not made by this evenkeel{}: {adopt}to use it as it is: [{kind}s.{key}] external = true, name = \"{name}\"; else choose another name",
        if whose.is_empty() { String::new() } else { format!(" but{whose}") }
    )
}

fn ready(reason: &str, text: String) -> ObjectDecision {
    ObjectDecision {
        plan: Vec::new(),
        condition: Condition::new(ConditionKind::Ready, reason, text),
        again: None,
    }
}

fn failed(reason: &str, text: String) -> ObjectDecision {
    ObjectDecision {
        plan: Vec::new(),
        condition: Condition::new(ConditionKind::Failed, reason, text),
        again: None,
    }
}

fn plan(steps: Vec<(Step, String)>) -> ObjectDecision {
    let text = steps.first().map(|(_, why)| why.clone()).unwrap_or_default();
    let plan = steps
        .into_iter()
        .map(|(step, why)| Planned { step, slot: None, cause: Cause(why), housekeeping: false })
        .collect();
    ObjectDecision {
        plan,
        condition: Condition::new(ConditionKind::Progressing, "Converging", text),
        again: None,
    }
}
