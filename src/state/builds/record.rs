//! What is remembered of a build. Durable: a killed evenkeel goes on where it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::due::Cause;
use crate::state::observed::ImageId;
use crate::state::time::Timestamp;

/// What an image is made of, as far as a change of it makes the build due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Digest of what the files say.
    pub definition: String,
    /// Digest of the context and the Dockerfile.
    pub content: String,
    /// Where the definition asks for it (`${git.hash}`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// By the name in the Dockerfile: the digest at the registry, or the id of an image that is only here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, String>,
}

/// A good image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// `20180923T082316Z`: its log is called so, too.
    pub id: String,
    /// What containers are made of.
    pub image: String,
    pub image_id: ImageId,
    pub tag: String,
    /// Everything that it is called by on this host; the first one is ours alone and keeps it.
    pub names: Vec<String>,
    pub inputs: Inputs,
    pub causes: Vec<Cause>,
    /// The commit that it was made of, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub at: Timestamp,
    pub took_ms: u64,
    /// What the registry calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A build that was begun. Written before the engine is asked for anything, with everything that is needed to finish it: the files may
/// say something else by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHand {
    pub id: String,
    /// The engine gives it this name when it is whole, and not before.
    pub keep: String,
    pub tag: String,
    /// Further names to give.
    pub names: Vec<String>,
    pub push: bool,
    /// Nobody runs it by itself: a branch that was asked for by hand.
    pub aside: bool,
    pub inputs: Inputs,
    pub causes: Vec<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag is new with each build.
    pub dated: bool,
    pub begun: Timestamp,
    pub took_ms: u64,
}

/// The last try, when it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub id: String,
    pub at: Timestamp,
    pub inputs: Inputs,
    pub why: String,
    /// It may be otherwise without a change: a registry that was away.
    pub transient: bool,
    /// With these inputs.
    pub tries: u32,
}

/// A name of an image that went out of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub name: String,
    pub image_id: ImageId,
}

/// Everything that is remembered of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Good images, newest first.
    #[serde(default)]
    pub made: Vec<Made>,
    #[serde(default)]
    pub hand: Option<InHand>,
    #[serde(default)]
    pub failed: Option<Failed>,
    /// Names to take away.
    #[serde(default)]
    pub dropped: Vec<Dropped>,
    /// Ids of builds with a log, newest first, the failed ones among them.
    #[serde(default)]
    pub logs: Vec<String>,
}

/// Logs of builds that failed are kept beside those of good images.
const FAILED_LOGS: usize = 5;

impl BuildRecord {
    /// The newest good image.
    #[must_use]
    pub fn newest(&self) -> Option<&Made> {
        self.made.first()
    }

    /// An id that no build of this record has, from the time it begins at.
    #[must_use]
    pub fn next_id(&self, stamp: &str) -> String {
        let taken = |id: &str| {
            self.logs.iter().any(|known| known == id)
                || self.made.iter().any(|made| made.id == id)
                || self.hand.as_ref().is_some_and(|hand| hand.id == id)
        };
        let numbered = (2..1000).map(|number| format!("{stamp}-{number}"));
        std::iter::once(stamp.to_owned()).chain(numbered).find(|id| !taken(id)).unwrap_or_default()
    }

    /// Takes in an image that turned out well. Names of those beyond `keep` go, but for names that a newer one has.
    pub fn succeed(&mut self, made: Made, keep: u32) {
        self.hand = None;
        self.failed = None;
        self.made.retain(|known| known.id != made.id);
        self.made.insert(0, made);
        let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
        let gone = self.made.split_off(keep.min(self.made.len()));
        for old in gone {
            for name in old.names {
                if !self.made.iter().any(|made| made.names.contains(&name)) {
                    self.dropped.push(Dropped { name, image_id: old.image_id.clone() });
                }
            }
        }
    }

    /// The same image came out again: what it was made of is what counts from now on.
    pub fn confirm(&mut self, inputs: Inputs) {
        self.failed = None;
        if let Some(hand) = self.hand.take() {
            self.logs.retain(|id| *id != hand.id);
        }
        if let Some(newest) = self.made.first_mut() {
            newest.inputs = inputs;
        }
    }

    /// Takes in a try that came to nothing. What is good stays good.
    pub fn fail(&mut self, failed: Failed) {
        let before = self.failed.as_ref().filter(|before| before.inputs == failed.inputs);
        let tries = before.map_or(0, |before| before.tries).saturating_add(1);
        self.hand = None;
        self.failed = Some(Failed { tries, ..failed });
    }

    /// Notes that a log begins, and returns those that nobody needs any more.
    pub fn log_begins(&mut self, id: &str, keep: u32) -> Vec<String> {
        self.logs.retain(|known| known != id);
        self.logs.insert(0, id.to_owned());
        let most = usize::try_from(keep).unwrap_or(usize::MAX).saturating_add(FAILED_LOGS);
        let good: Vec<&String> = self.made.iter().map(|made| &made.id).collect();
        let mut gone = Vec::new();
        let mut count = 0;
        self.logs.retain(|id| {
            count += 1;
            let stays = count <= most || good.contains(&id);
            if !stays {
                gone.push(id.clone());
            }
            stays
        });
        gone
    }
}
