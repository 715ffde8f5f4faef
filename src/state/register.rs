//! What belongs to evenkeel, or does not, whatever the labels say.
//!
//! Labels of a container cannot be changed while it lives. So what was adopted is written down here until its first replacement, which carries
//! labels of its own; and so is what was given back and carries ours for ever.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::observed::{ContainerId, OwnLabels, label};
use crate::desired::DesiredState;
use crate::desired::ident::{ProjectName, ServiceId};

/// How the reason begins why a service is left alone that was given back.
pub const RELEASED: &str = "given back by `evenkeel disown`";

/// See the module. Kept by the store; an empty one says that labels alone count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Register {
    /// Adopted containers, with the labels they would carry had evenkeel made them.
    pub containers: BTreeMap<ContainerId, OwnLabels>,
    /// Adopted networks by id, with the labels they lack.
    pub networks: BTreeMap<String, BTreeMap<String, String>>,
    /// Adopted volumes by name, with the labels they lack.
    pub volumes: BTreeMap<String, BTreeMap<String, String>>,
    /// Containers with our labels that were given back.
    pub released_containers: BTreeSet<ContainerId>,
    /// Networks with our labels that were given back, by id.
    pub released_networks: BTreeSet<String>,
    /// Volumes with our labels that were given back, by name.
    pub released_volumes: BTreeSet<String>,
    /// Services that were given back while files still defined them: left alone until they are adopted again or leave the files.
    pub services: BTreeSet<ServiceId>,
    pub projects: BTreeSet<ProjectName>,
}

impl Register {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts on, or takes off, the labels of a container.
    pub fn container(&self, id: &ContainerId, labels: &mut BTreeMap<String, String>) {
        if self.released_containers.contains(id) {
            labels.retain(|name, _| !name.starts_with(label::RESERVED));
        } else if let Some(own) = self.containers.get(id) {
            labels.extend(written(own));
        }
    }

    /// The same of a network.
    pub fn network(&self, id: &str, labels: &mut BTreeMap<String, String>) {
        mark(labels, self.networks.get(id), self.released_networks.contains(id));
    }

    /// The same of a volume.
    pub fn volume(&self, name: &str, labels: &mut BTreeMap<String, String>) {
        mark(labels, self.volumes.get(name), self.released_volumes.contains(name));
    }

    /// Leaves what was given back alone, whatever the files say, and says so.
    pub fn pause(&self, state: &mut DesiredState) {
        state.pauses.released.clear();
        state.pauses.released_projects.clear();
        for id in self.services.iter().filter(|id| state.services.contains_key(*id)) {
            let place = format!("{RELEASED}; `evenkeel adopt {}` takes it again", id.project);
            state.pauses.released.insert(id.clone(), place);
        }
        for project in self.projects.iter().filter(|project| state.projects.contains(*project)) {
            let place = format!("{RELEASED}; `evenkeel adopt {project}` takes it again");
            state.pauses.released_projects.insert(project.clone(), place);
        }
    }

    /// Forgets containers that are gone for good: no other one will ever have their ids. Returns whether there was such a thing.
    pub fn forget_containers(&mut self, gone: &BTreeSet<ContainerId>) -> bool {
        let before = (self.containers.len(), self.released_containers.len());
        self.containers.retain(|id, _| !gone.contains(id));
        self.released_containers.retain(|id| !gone.contains(id));
        before != (self.containers.len(), self.released_containers.len())
    }

    /// Forgets what was given back and that no file defines any more. Returns whether there was such a thing.
    pub fn forget_undefined(&mut self, state: &DesiredState) -> bool {
        if !state.broken.is_empty() {
            return false;
        }
        let before = (self.services.len(), self.projects.len());
        self.services.retain(|id| state.services.contains_key(id));
        self.projects.retain(|project| state.projects.contains(project));
        before != (self.services.len(), self.projects.len())
    }
}

fn mark(labels: &mut BTreeMap<String, String>, adopted: Option<&BTreeMap<String, String>>, released: bool) {
    if released {
        labels.retain(|name, _| !name.starts_with(label::RESERVED));
    } else if let Some(adopted) = adopted {
        labels.extend(adopted.clone());
    }
}

/// Our labels as they are written.
#[must_use]
pub fn written(own: &OwnLabels) -> BTreeMap<String, String> {
    let service = &own.service;
    let mut labels: BTreeMap<String, String> = [
        (label::OWNER, own.owner.clone()),
        (label::PROJECT, service.project.to_string()),
        (label::SERVICE, service.service.to_string()),
        (label::SLOT, own.slot.to_string()),
        (label::REVISION, own.revision.as_str().to_owned()),
        (label::SPEC, own.spec.as_str().to_owned()),
        (label::IMAGE_ID, own.image.0.clone()),
        (label::IMAGE_REF, own.image_ref.clone()),
        (label::SOURCE, own.source.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    labels.extend(own.image_digest.clone().map(|digest| (label::IMAGE_DIGEST.to_owned(), digest)));
    labels
}
