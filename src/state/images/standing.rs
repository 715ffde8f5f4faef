//! How an image that was chosen has fared: what of it is the current one, and what is not taken again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pick::Chosen;
use crate::state::record::{KeptRevision, Record, RevisionVerdict};
use crate::state::target::kept;
use crate::state::time::Timestamp;

/// What is remembered of one service or job beside its answer. Durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Followed {
    /// The definition that the rest is about: another one makes a new beginning, as it does for a revision.
    pub definition: String,
    /// What failed here, by digest. The record of a service forgets a rejection when something else is wanted; what it was about must
    /// not be chosen again for that reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, Failed>,
    /// Since when no file wants it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
}

/// An image that did not prove itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub tag: String,
    pub reason: String,
    pub at: Timestamp,
}

impl Followed {
    /// Takes in what became of the answer.
    pub fn learn(&mut self, definition: &str, answer: Option<(&str, &Chosen)>, record: &Record) {
        self.gone = None;
        if self.definition != definition {
            definition.clone_into(&mut self.definition);
            self.failed.clear();
        }
        let Some((image, answer)) = answer else { return };
        let last = record.revisions.iter().filter(|kept| kept.spec.container.image == image);
        let Some(last) = last.max_by_key(|kept| kept.number) else { return };
        match &last.verdict {
            RevisionVerdict::Rejected { reason, at } => {
                let failed = Failed { tag: answer.tag.clone(), reason: reason.clone(), at: *at };
                self.failed.insert(answer.digest.clone(), failed);
            }
            // Also when somebody said that it may be tried again.
            RevisionVerdict::Candidate | RevisionVerdict::Good => {
                self.failed.remove(&answer.digest);
            }
        }
    }
}

/// What later ones are compared with: the answer, unless that failed and something else serves.
#[must_use]
pub fn current(name: &str, answer: Option<&Chosen>, followed: &Followed, record: &Record) -> Option<Chosen> {
    let answer = answer?;
    let serves = || good(record).and_then(|good| pinned(name, &good.spec.container.image));
    if followed.failed.contains_key(&answer.digest) {
        return Some(serves().unwrap_or_else(|| answer.clone()));
    }
    Some(answer.clone())
}

/// The tag that a service really runs. `None`: another one is on its way, and it is too early to say.
#[must_use]
pub fn runs(name: &str, answer: &Chosen, followed: &Followed, record: &Record) -> Option<String> {
    let Some(good) = good(record) else { return Some(answer.tag.clone()) };
    let failed = followed.failed.contains_key(&answer.digest);
    match pinned(name, &good.spec.container.image) {
        Some(serving) if serving == *answer || failed => Some(serving.tag),
        // It ran something else before it followed anything.
        None if failed => Some(answer.tag.clone()),
        _ => None,
    }
}

fn good(record: &Record) -> Option<&KeptRevision> {
    record.good.as_ref().and_then(|good| kept(record, good))
}

/// Tag and digest of `name:tag@sha256:...`.
#[must_use]
pub fn pinned(name: &str, image: &str) -> Option<Chosen> {
    let (tag, digest) = image.strip_prefix(name)?.strip_prefix(':')?.split_once('@')?;
    Some(Chosen { tag: tag.to_owned(), digest: digest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_taken_apart() {
        let chosen =
            |tag: &str, digest: &str| Some(Chosen { tag: tag.to_owned(), digest: digest.to_owned() });
        for (name, image, expected) in [
            ("r", "r:1@sha256:0", chosen("1", "sha256:0")),
            ("h:5000/a/b", "h:5000/a/b:v1.2@sha256:0", chosen("v1.2", "sha256:0")),
            ("r", "r:1", None),
            ("r", "r@sha256:0", None),
            ("r", "rr:1@sha256:0", None),
            ("h:5000/a", "h:5000/b:1@sha256:0", None),
        ] {
            assert_eq!(pinned(name, image), expected, "{image}");
        }
    }

    #[test]
    fn another_definition_forgets_what_failed_and_what_is_gone() {
        let failed = Failed { tag: "1".to_owned(), reason: "it ended".to_owned(), at: Timestamp(1) };
        let mut followed = Followed {
            definition: "a".to_owned(),
            failed: BTreeMap::from([("sha256:0".to_owned(), failed)]),
            gone: Some(Timestamp(1)),
        };
        followed.learn("a", None, &Record::default());
        assert_eq!((followed.failed.len(), followed.gone), (1, None));
        followed.learn("b", None, &Record::default());
        assert_eq!((followed.failed.len(), followed.definition.as_str()), (0, "b"));
    }
}
