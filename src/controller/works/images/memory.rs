//! What is remembered, durably, of repositories and of those who follow them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::followers::Followable;
use crate::controller::records::{Records, RecordsError};
use crate::controller::store::{Note, decoded};
use crate::desired::work::answers::Asker;
use crate::state::images::{Followed, Sightings};
use crate::state::time::Timestamp;

/// Kinds of notes.
pub(super) const SEEN: &str = "sightings";
pub(super) const LOOKED: &str = "image-look";
pub(super) const FOLLOWED: &str = "following";
pub(super) const RECORDED: &str = "written-back";

/// What was seen of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub sightings: Sightings,
    /// Indexes whose image for this platform is that of an earlier one, by which it is known: nothing is new here when only other
    /// platforms changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub same: BTreeMap<String, String>,
}

impl Seen {
    /// The digest by which an image is known.
    pub fn known(&self, digest: &str) -> String {
        self.same.get(digest).map_or(digest, String::as_str).to_owned()
    }
}

/// How the looks at one repository went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Looks {
    /// The last one that went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub well: Option<Timestamp>,
    /// Why the last one did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Since when nobody follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub seen: BTreeMap<String, Seen>,
    pub looks: BTreeMap<String, Looks>,
    pub followed: BTreeMap<Asker, Followed>,
    /// What was written back last: tag and digest.
    pub recorded: BTreeMap<Asker, String>,
}

impl Memory {
    pub async fn read(records: &dyn Records) -> Result<Self, RecordsError> {
        let followed: BTreeMap<String, Followed> = decoded(FOLLOWED, records.notes(FOLLOWED).await?);
        let asker = |(key, value): (String, Followed)| Some((serde_json::from_str(&key).ok()?, value));
        let recorded: BTreeMap<String, String> = decoded(RECORDED, records.notes(RECORDED).await?);
        let written = |(key, value): (String, String)| Some((serde_json::from_str(&key).ok()?, value));
        Ok(Self {
            seen: decoded(SEEN, records.notes(SEEN).await?),
            looks: decoded(LOOKED, records.notes(LOOKED).await?),
            followed: followed.into_iter().filter_map(asker).collect(),
            recorded: recorded.into_iter().filter_map(written).collect(),
        })
    }

    pub fn seen(&self, place: &Followable) -> Seen {
        self.seen.get(&place.key()).cloned().unwrap_or_default()
    }

    pub fn looks(&self, place: &Followable) -> Looks {
        self.looks.get(&place.key()).cloned().unwrap_or_default()
    }

    pub fn followed(&self, asker: &Asker) -> Followed {
        self.followed.get(asker).cloned().unwrap_or_default()
    }

    /// Takes over what is in these notes already.
    pub fn set_followed(&mut self, asker: &Asker, followed: Followed) {
        self.followed.insert(asker.clone(), followed);
    }
}

pub(super) fn note_of<T: Serialize>(
    kind: &'static str,
    key: String,
    value: &T,
) -> Result<Note, RecordsError> {
    Note::of(kind, key, value).map_err(|error| RecordsError(format!("a look cannot be noted: {error}")))
}

pub(super) fn key_of(asker: &Asker) -> Result<String, RecordsError> {
    serde_json::to_string(asker).map_err(|error| RecordsError(format!("a name cannot be noted: {error}")))
}
