//! Labels: written on everything we make, read back strictly.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::desired::hash::{SpecHash, network_definition, volume_definition};
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::spec::{NetworkSpec, VolumeSpec};
use crate::state::jobs::RunId;
use crate::state::observed::{ImageId, OwnLabels, label};
use crate::state::record::RevisionId;

/// Why labels do not make a container ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotOurs {
    #[error("it has no owner label: evenkeel did not make it")]
    NoOwner,
    #[error("it belongs to the evenkeel instance `{0}`")]
    OtherOwner(String),
    #[error("its label `{0}` is missing")]
    Missing(&'static str),
    #[error("its label `{name}` is not valid: `{value}`")]
    Malformed { name: &'static str, value: String },
}

/// Every label of a container: the spec's, Compose's (so that other tools group our containers) and ours, which win.
#[must_use]
pub fn of_container(spec: &BTreeMap<String, String>, own: &OwnLabels) -> BTreeMap<String, String> {
    let mut labels = spec.clone();
    let service = &own.service;
    let mut put = |name: &str, value: &str| {
        labels.insert(name.to_owned(), value.to_owned());
    };
    put(label::COMPOSE_PROJECT, service.project.as_str());
    put(label::COMPOSE_SERVICE, service.service.as_str());
    put(label::COMPOSE_NUMBER, &own.slot.to_string());
    let serves = own.hook.is_none() && own.job.is_none();
    put(label::COMPOSE_ONEOFF, if serves { "False" } else { "True" });
    if let Some(hook) = &own.hook {
        put(label::HOOK, hook);
    }
    // `docker compose ps` lists nothing without it. What Compose would put there is a hash of its own, so `up` takes ours for changed.
    put(label::COMPOSE_HASH, own.spec.as_str());
    put(label::OWNER, &own.owner);
    put(label::PROJECT, service.project.as_str());
    match &own.job {
        // Whoever looks for services does not find it.
        Some(run) => {
            put(label::JOB, service.service.as_str());
            put(label::RUN, run.as_str());
        }
        None => put(label::SERVICE, service.service.as_str()),
    }
    put(label::SLOT, &own.slot.to_string());
    put(label::REVISION, own.revision.as_str());
    put(label::SPEC, own.spec.as_str());
    put(label::IMAGE_ID, &own.image.0);
    put(label::IMAGE_REF, &own.image_ref);
    if let Some(digest) = &own.image_digest {
        put(label::IMAGE_DIGEST, digest);
    }
    put(label::SOURCE, &own.source);
    labels
}

/// Every label of a network.
#[must_use]
pub fn of_network(network: &NetworkSpec, owner: &str) -> BTreeMap<String, String> {
    let mut labels = network.labels.clone();
    labels.extend([
        (label::OWNER.to_owned(), owner.to_owned()),
        (label::PROJECT.to_owned(), network.project.to_string()),
        (label::NETWORK.to_owned(), network.key.clone()),
        (label::DEFINITION.to_owned(), network_definition(network)),
        (label::COMPOSE_PROJECT.to_owned(), network.project.to_string()),
        (label::COMPOSE_NETWORK.to_owned(), network.key.clone()),
    ]);
    labels
}

/// Every label of a volume.
#[must_use]
pub fn of_volume(volume: &VolumeSpec, owner: &str) -> BTreeMap<String, String> {
    let mut labels = volume.labels.clone();
    labels.extend([
        (label::OWNER.to_owned(), owner.to_owned()),
        (label::PROJECT.to_owned(), volume.project.to_string()),
        (label::VOLUME.to_owned(), volume.key.clone()),
        (label::DEFINITION.to_owned(), volume_definition(volume)),
        (label::COMPOSE_PROJECT.to_owned(), volume.project.to_string()),
        (label::COMPOSE_VOLUME.to_owned(), volume.key.clone()),
    ]);
    labels
}

/// Reads our labels back. Strict: a container is ours with every label in form, or it is not ours at all.
///
/// # Errors
/// The first reason why it is not.
pub fn decode(labels: &BTreeMap<String, String>, owner: &str) -> Result<OwnLabels, NotOurs> {
    let found = labels.get(label::OWNER).ok_or(NotOurs::NoOwner)?;
    if found != owner {
        return Err(NotOurs::OtherOwner(piece(found)));
    }
    let project = parsed(labels, label::PROJECT, ProjectName::new)?;
    let job = match labels.contains_key(label::JOB) {
        true => Some(parsed(labels, label::RUN, RunId::parse)?),
        false => None,
    };
    let name = if job.is_some() { label::JOB } else { label::SERVICE };
    let service = parsed(labels, name, ServiceName::new)?;
    Ok(OwnLabels {
        owner: found.clone(),
        service: ServiceId { project, service },
        slot: parsed(labels, label::SLOT, slot)?,
        revision: parsed(labels, label::REVISION, RevisionId::parse)?,
        spec: parsed(labels, label::SPEC, SpecHash::parse)?,
        image: parsed(labels, label::IMAGE_ID, image_id)?,
        image_ref: text(labels, label::IMAGE_REF)?.to_owned(),
        image_digest: labels.get(label::IMAGE_DIGEST).cloned(),
        source: text(labels, label::SOURCE)?.to_owned(),
        hook: labels.get(label::HOOK).cloned(),
        job,
    })
}

fn text<'a>(labels: &'a BTreeMap<String, String>, name: &'static str) -> Result<&'a str, NotOurs> {
    labels.get(name).map(String::as_str).ok_or(NotOurs::Missing(name))
}

fn parsed<T>(
    labels: &BTreeMap<String, String>,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, NotOurs> {
    let value = text(labels, name)?;
    parse(value).ok_or_else(|| malformed(name, value))
}

fn malformed(name: &'static str, value: &str) -> NotOurs {
    NotOurs::Malformed { name, value: piece(value) }
}

/// Label values come from whoever made the container, so a message carries only a short piece of one, and nothing of it that
/// a terminal would obey.
fn piece(value: &str) -> String {
    value.escape_debug().take(60).collect()
}

fn slot(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number)
}

fn image_id(text: &str) -> Option<ImageId> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    SpecHash::parse(digits).map(|_| ImageId(text.to_owned()))
}
