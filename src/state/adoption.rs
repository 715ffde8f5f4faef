//! Adoption: what runs, compared with what the files say, and the record that takes it over as it is.
//!
//! Nothing is replaced by being adopted. Where the files say the same, the wanted revision is good from the start. Where they differ in what only
//! a new container can change, the revision is the one that runs, read back from the engine, and the service is held on it until its
//! definition changes or somebody releases it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::diff::{Effect, FieldDifference, container_differences, live_differences};
use super::gate::restarts_after;
use super::live;
use super::observed::{ContainerStatus, ImageFacts, ImageId, ObservedContainer, OwnLabels};
use super::record::{HistoryEntry, HistoryEvent, Hold, KeptRevision, Record, RevisionId, RevisionVerdict};
use super::seen::{Scope, seen};
use super::target;
use super::time::Timestamp;
use crate::desired::Revision;
use crate::desired::hash::SpecHash;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{Endpoint, LiveSpec, NetworkMode, ServiceSpec};

/// A container that may be adopted, with its image.
pub struct Candidate {
    /// The labels in it are made up.
    pub container: ObservedContainer,
    pub image: ImageFacts,
}

/// What taking a service over comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// The files say what runs.
    Nothing,
    /// What differs is changed in place, without a restart.
    InPlace,
    /// It stays as it runs until its definition changes or it is released.
    Held,
    /// What the files say is rolled out now.
    RolledOut,
}

/// A service taken over.
pub struct Takeover {
    /// From what runs to what the files say.
    pub differences: Vec<FieldDifference>,
    pub consequence: Consequence,
    pub record: Record,
    /// The labels each container would carry, in the order of the candidates.
    pub labels: Vec<OwnLabels>,
    pub history: HistoryEntry,
}

/// Who adopts what, and when.
pub struct Terms<'a> {
    pub id: &'a ServiceId,
    pub owner: &'a str,
    pub wanted: &'a Revision,
    /// What the wanted reference means on this host.
    pub image: Option<&'a ImageId>,
    /// Roll out what differs now instead of holding.
    pub replace: bool,
    /// What was remembered of a service of this name.
    pub before: &'a Record,
    /// For people: `Compose project shop`.
    pub from: &'a str,
    pub now: Timestamp,
}

/// Takes over the containers of one service, which are those of its slots in this order.
///
/// # Errors
/// A sentence: its containers are not alike.
pub fn take_over(terms: &Terms<'_>, candidates: &[Candidate]) -> Result<Takeover, String> {
    let specs: Vec<ServiceSpec> =
        candidates.iter().map(|one| spec_of(terms, one, candidates.len())).collect();
    let (Some(first), Some(lead)) = (specs.first(), candidates.first()) else {
        return Err("it has no containers".to_owned());
    };
    let differences = differences(terms, first, lead, candidates.len());
    let replaces = differences.iter().any(|difference| difference.effect == Effect::Replace)
        || candidates.len() as u64 > u64::from(terms.wanted.spec.policy.replicas);
    let mut record = Record {
        sequence: terms.before.sequence,
        source: terms.wanted.spec.source.file.clone(),
        wish: Some(terms.wanted.wish.clone()),
        ..Record::default()
    };
    let mut labels: Vec<OwnLabels> = Vec::new();
    for (slot, (spec, one)) in (1_u32..).zip(specs.iter().zip(candidates)) {
        let as_wanted = container_differences(&spec.container, &terms.wanted.spec.container).is_empty();
        let hash = if as_wanted { terms.wanted.hash.clone() } else { SpecHash::of(&spec.container) };
        let image = one.container.image.clone();
        let revision = RevisionId::of(&hash, &image);
        let digest = one.image.digests.first().cloned();
        labels.push(OwnLabels {
            hook: None,
            job: None,
            owner: terms.owner.to_owned(),
            service: terms.id.clone(),
            slot,
            revision: revision.clone(),
            spec: hash.clone(),
            image: image.clone(),
            image_ref: spec.container.image.clone(),
            image_digest: digest.clone(),
            source: spec.source.label(),
        });
        if record.revisions.iter().all(|kept| kept.id != revision) {
            record.sequence += 1;
            let spec =
                if as_wanted && !replaces { Arc::clone(&terms.wanted.spec) } else { Arc::new(spec.clone()) };
            record.revisions.push(KeptRevision {
                id: revision,
                number: record.sequence,
                hash,
                spec,
                image,
                digest,
                pulled: false,
                verdict: RevisionVerdict::Good,
                cause: format!("adopted from {}", terms.from),
                since: terms.now,
                good_since: Some(terms.now),
                evidence: None,
            });
        }
    }
    if record.revisions.len() > 1 && !terms.replace {
        return Err(unlike(candidates, &labels));
    }
    let good = labels.first().map(|own| own.revision.clone());
    record.good.clone_from(&good);
    record.containers = candidates.iter().map(|one| one.container.id.clone()).collect();
    record.adopted =
        candidates.iter().map(|one| (one.container.id.clone(), one.container.name.clone())).collect();
    let ended = |one: &Candidate| {
        one.container.status == ContainerStatus::Exited
            && one.container.exit_code == 0
            && !restarts_after(terms.wanted.spec.live.restart, 0)
    };
    if candidates.iter().all(ended) {
        record.completed.clone_from(&good);
    }
    let consequence = match (replaces, terms.replace, differences.is_empty()) {
        (false, _, true) => Consequence::Nothing,
        (false, _, false) => Consequence::InPlace,
        (true, true, _) => Consequence::RolledOut,
        (true, false, _) => Consequence::Held,
    };
    if consequence == Consequence::Held {
        record.hold = Some(Hold {
            revision: good.clone(),
            until_wish_changes: Some(terms.wanted.wish.clone()),
            expires: None,
            reason: "adopted as it runs, which is not what the files say".to_owned(),
            since: terms.now,
        });
    }
    let kept = good.as_ref().and_then(|id| target::kept(&record, id));
    let history = HistoryEntry {
        at: terms.now,
        number: kept.map(|kept| kept.number),
        image: first.container.image.clone(),
        revision: good,
        event: HistoryEvent::Adopted,
        reason: format!("adopted from {}, as it runs", terms.from),
        commit: None,
    };
    Ok(Takeover { differences, consequence, record, labels, history })
}

fn unlike(candidates: &[Candidate], labels: &[OwnLabels]) -> String {
    let first = labels.first().map(|own| &own.revision);
    let others: Vec<&str> = candidates
        .iter()
        .zip(labels)
        .filter(|(_, own)| Some(&own.revision) != first)
        .map(|(one, _)| one.container.name.as_str())
        .collect();
    let lead = candidates.first().map_or("", |one| one.container.name.as_str());
    format!(
        "its containers are not alike: {} differ from {lead}; bring them into line first (`docker compose up -d`), or say --replace, which rolls the files' definition out to all of them",
        others.join(", ")
    )
}

/// What runs, as a spec, in the words of the wanted one where both say the same.
fn spec_of(terms: &Terms<'_>, one: &Candidate, replicas: usize) -> ServiceSpec {
    let wanted = &terms.wanted.spec;
    let mut spec = ServiceSpec::clone(wanted);
    if let (Some(baked), Some(defaults)) = (&one.container.baked, &one.image.defaults) {
        spec.container = seen(&wanted.container, baked, defaults, &one.image.volumes, Scope::Everything);
        let same_image = terms.image == Some(&one.container.image);
        let same_name =
            baked.image == wanted.container.image || one.image.tags.contains(&wanted.container.image);
        if !same_image && !same_name {
            spec.container.image.clone_from(&baked.image);
        }
    }
    spec.live = live_of(terms.id, &wanted.live, &one.container, &spec.container.network_mode);
    spec.policy.replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    spec
}

/// What can be changed in place, as it is.
#[must_use]
pub fn live_of(
    id: &ServiceId,
    wanted: &LiveSpec,
    container: &ObservedContainer,
    mode: &NetworkMode,
) -> LiveSpec {
    let mut networks: BTreeMap<String, Endpoint> = BTreeMap::new();
    let joined = if *mode == NetworkMode::Networks { Some(&container.networks) } else { None };
    for (name, at) in joined.into_iter().flatten() {
        let usual = |alias: &str| alias == id.service.as_str() || live::is_usual(container, alias);
        let asked = wanted.networks.get(name);
        let known = asked.map(|endpoint| live::aliases(id, endpoint)).unwrap_or_default();
        let mut endpoint = asked.cloned().unwrap_or_default();
        let extra: BTreeSet<String> =
            at.aliases.iter().filter(|alias| !usual(alias) && !known.contains(*alias)).cloned().collect();
        if !extra.is_empty() || !known.iter().all(|alias| at.aliases.contains(alias)) {
            endpoint.aliases = at.aliases.iter().filter(|alias| !usual(alias)).cloned().collect();
        }
        for (asked, seen) in [
            (&mut endpoint.ipv4_address, &at.settings.ipv4_address),
            (&mut endpoint.ipv6_address, &at.settings.ipv6_address),
        ] {
            asked.clone_from(seen);
        }
        networks.insert(name.clone(), endpoint);
    }
    let container_name = match &wanted.container_name {
        Some(name) if *name != container.name => Some(container.name.clone()),
        same => same.clone(),
    };
    LiveSpec {
        restart: container.restart,
        resources: container.resources.clone(),
        networks,
        container_name,
        files: BTreeMap::new(),
    }
}

fn differences(
    terms: &Terms<'_>,
    runs: &ServiceSpec,
    lead: &Candidate,
    replicas: usize,
) -> Vec<FieldDifference> {
    let wanted = &terms.wanted.spec;
    let mut found = container_differences(&runs.container, &wanted.container);
    let other_image = terms.image.is_some_and(|image| *image != lead.container.image);
    if other_image && found.iter().all(|difference| difference.path != "image") {
        let told = |id: &ImageId| Some(format!("{} ({})", wanted.container.image, id.short()));
        let (old, new) = (told(&lead.container.image), terms.image.and_then(told));
        found.insert(0, FieldDifference { path: "image".to_owned(), old, new, effect: Effect::Replace });
    }
    found.extend(live_differences(&runs.live, &wanted.live));
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    if replicas != wanted.policy.replicas {
        found.push(FieldDifference {
            path: "deploy.replicas".to_owned(),
            old: Some(replicas.to_string()),
            new: Some(wanted.policy.replicas.to_string()),
            effect: Effect::None,
        });
    }
    found.sort_by_key(|difference| std::cmp::Reverse(difference.effect));
    found
}
