//! The tag to take, one question to the registry at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rank::{Rank, Ranker, version_of};
use super::sightings::Sightings;
use crate::state::time::Timestamp;

/// A tag, and what it stood for when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    pub tag: String,
    /// `sha256:...`, of the index where there is one.
    pub digest: String,
}

/// What a service has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current<'a> {
    pub tag: &'a str,
    pub digest: &'a str,
}

/// Everything one choice depends on.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub ranker: &'a Ranker,
    pub min_age_ms: u64,
    /// A tag below the current one may be taken when that one is gone.
    pub downgrade: bool,
    pub sightings: &'a Sightings,
    /// Digests that the registry was asked for in this round, by tag: older answers may be out of date.
    pub asked: &'a BTreeMap<String, String>,
    /// `None`: nothing was ever taken.
    pub current: Option<Current<'a>>,
    /// Digests that failed here, or were put back by hand.
    pub rejected: &'a dyn Fn(&str) -> bool,
    pub now: Timestamp,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Ask what this tag stands for, take the answer in, and choose again.
    Ask(String),
    /// Something other than the current one.
    Take {
        chosen: Chosen,
        passed: Vec<(String, Why)>,
    },
    Stay(Stay),
}

/// Nothing new is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stay {
    /// What was better and is not taken, the best first.
    pub passed: Vec<(String, Why)>,
    /// When the first of them is old enough.
    pub due: Option<Timestamp>,
}

/// Why a candidate is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Old enough at this time, if it still stands for the same image then.
    TooYoung(Timestamp),
    /// What it stands for has failed here.
    Rejected,
}

/// Chooses. Looks at the candidates from the best on and takes the first that is old enough and has not failed.
///
/// Where nothing was ever taken, what was there when the registry was first asked is good enough: its age is not known, and a new
/// service should not wait for days.
#[must_use]
pub fn choose(round: Round<'_>) -> Turn {
    let ranked = round.ranker.ranked(round.sightings.tags());
    let floor = floor(&round);
    let mut stay = Stay::default();
    for (rank, tag) in &ranked {
        if floor.as_ref().is_some_and(|(least, current)| (rank, tag) < (least, current)) {
            break;
        }
        let Some(digest) = round.asked.get(*tag) else { return Turn::Ask((*tag).to_owned()) };
        if round.current == Some(Current { tag, digest }) {
            break;
        }
        let why = if (round.rejected)(digest) {
            Why::Rejected
        } else {
            let due = due(&round, tag, digest);
            let first_look = round.sightings.get(tag).is_some_and(|sighting| sighting.first_look);
            if due <= round.now || (round.current.is_none() && first_look) {
                let chosen = Chosen { tag: (*tag).to_owned(), digest: digest.clone() };
                return Turn::Take { chosen, passed: stay.passed };
            }
            stay.due = Some(stay.due.map_or(due, |earlier| earlier.min(due)));
            Why::TooYoung(due)
        };
        stay.passed.push(((*tag).to_owned(), why));
    }
    Turn::Stay(stay)
}

/// What nothing below is taken of. A current tag that is no candidate (another policy, a range that has moved) binds nothing, and
/// with `downgrade` neither does one that is gone. One that is there does: that it was pushed again is no reason to go back.
fn floor<'a>(round: &Round<'a>) -> Option<(Rank, &'a str)> {
    let current = round.current?;
    let binds = !round.downgrade || round.sightings.get(current.tag).is_some();
    let rank = round.ranker.rank(current.tag).ok().filter(|_| binds)?;
    Some((rank, current.tag))
}

/// When this tag has stood for this image long enough.
fn due(round: &Round<'_>, tag: &str, digest: &str) -> Timestamp {
    let since = round.sightings.since(tag, digest).unwrap_or(round.now);
    Timestamp(since.0.saturating_add(i64::try_from(round.min_age_ms).unwrap_or(i64::MAX)))
}

/// What an update would change, for people and for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateKind {
    /// The same tag stands for another image.
    Digest,
    Patch,
    Minor,
    Major,
    /// Another tag that is not a version.
    Tag,
}

impl UpdateKind {
    pub const ALL: [Self; 5] = [Self::Digest, Self::Patch, Self::Minor, Self::Major, Self::Tag];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Tag => "tag",
        }
    }
}

/// What changes from one to the other; `None`: nothing.
#[must_use]
pub fn update_kind(current: Current<'_>, next: Current<'_>) -> Option<UpdateKind> {
    if current.tag == next.tag {
        return (current.digest != next.digest).then_some(UpdateKind::Digest);
    }
    let (Some((from, _)), Some((to, _))) = (version_of(current.tag), version_of(next.tag)) else {
        return Some(UpdateKind::Tag);
    };
    Some(if from.major != to.major {
        UpdateKind::Major
    } else if from.minor != to.minor {
        UpdateKind::Minor
    } else if from != to {
        UpdateKind::Patch
    } else {
        UpdateKind::Tag
    })
}
