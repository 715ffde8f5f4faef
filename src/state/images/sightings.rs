//! Since when a registry has shown us what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::state::time::Timestamp;

/// What was seen of one image's tags. Durable: the age of a tag must outlive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// When the tags were first looked at.
    first: Option<Timestamp>,
    tags: BTreeMap<String, Sighting>,
}

/// A tag that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// It was there when we looked for the first time: how long before, nobody can say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_look: bool,
    /// What it stood for when it was asked last, and since when. `None`: never asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<(String, Timestamp)>,
}

impl Sightings {
    /// Takes in a whole list of tags. One that has left is forgotten: should it come back, its age begins anew, because nobody knows who
    /// brought it back. A list that could not be read must not be taken in.
    pub fn listed<'t>(&mut self, tags: impl Iterator<Item = &'t str>, now: Timestamp) {
        let first_look = *self.first.get_or_insert(now) == now;
        let there: BTreeSet<&str> = tags.collect();
        self.tags.retain(|tag, _| there.contains(tag.as_str()));
        for tag in there {
            if !self.tags.contains_key(tag) {
                self.tags.insert(tag.to_owned(), Sighting { first_look, digest: None });
            }
        }
    }

    /// Takes in what a tag stands for. Returns whether that is another image than before.
    pub fn stands_for(&mut self, tag: &str, digest: &str, now: Timestamp) -> bool {
        let Some(sighting) = self.tags.get_mut(tag) else { return false };
        match &mut sighting.digest {
            Some((known, since)) if known == digest => {
                // A clock that was ahead must not make it wait until then.
                *since = (*since).min(now);
                false
            }
            other => {
                let moved = other.is_some();
                // What it stands for now was not there when we looked first.
                sighting.first_look &= !moved;
                *other = Some((digest.to_owned(), now));
                moved
            }
        }
    }

    #[must_use]
    pub fn get(&self, tag: &str) -> Option<&Sighting> {
        self.tags.get(tag)
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.keys().map(String::as_str)
    }

    /// What this tag stood for when it was asked last.
    #[must_use]
    pub fn digest(&self, tag: &str) -> Option<&str> {
        self.tags.get(tag)?.digest.as_ref().map(|(digest, _)| digest.as_str())
    }

    /// Everything that a tag stood for.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        self.tags.values().filter_map(|sighting| sighting.digest.as_ref()).map(|(digest, _)| digest.as_str())
    }

    /// Since when this tag has stood for this digest.
    #[must_use]
    pub fn since(&self, tag: &str, digest: &str) -> Option<Timestamp> {
        let (known, since) = self.tags.get(tag)?.digest.as_ref()?;
        (known == digest).then_some(*since)
    }
}
