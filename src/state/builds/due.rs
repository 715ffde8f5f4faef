//! What makes a build due.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::{BuildRecord, Inputs};
use crate::desired::work::Track;

/// Why a build is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// There is no image yet.
    First,
    Definition,
    Source,
    Commit,
    /// The image that this name in the Dockerfile stands for.
    Base(String),
    /// By hand.
    Asked,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("there is no image yet"),
            Self::Definition => f.write_str("its definition changed"),
            Self::Source => f.write_str("its source changed"),
            Self::Commit => f.write_str("its commit changed"),
            Self::Base(name) => write!(f, "its base image {name} changed"),
            Self::Asked => f.write_str("it was asked for"),
        }
    }
}

/// What is to be done about a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its newest image is made of what there is now.
    Current,
    Due(Vec<Cause>),
    /// It was tried with exactly this, and may work after a while. Milliseconds after the try.
    Later(u64),
    /// It was tried with exactly this, and trying again cannot help.
    Failed,
}

/// What changed since an image was made.
#[must_use]
pub fn causes(track: &BTreeSet<Track>, last: Option<&Inputs>, now: &Inputs) -> Vec<Cause> {
    let Some(last) = last else { return vec![Cause::First] };
    let mut causes = Vec::new();
    if last.definition != now.definition {
        causes.push(Cause::Definition);
    }
    if track.contains(&Track::Source) {
        if last.content != now.content {
            causes.push(Cause::Source);
        } else if last.commit != now.commit {
            causes.push(Cause::Commit);
        }
    }
    if track.contains(&Track::Base) {
        // What nobody knew when it was built says nothing now.
        let before = |name: &String| last.bases.get(name);
        let changed =
            now.bases.iter().filter(|(name, digest)| before(name).is_some_and(|before| before != *digest));
        causes.extend(changed.map(|(name, _)| Cause::Base(name.clone())));
    }
    causes
}

/// See [`Verdict`]. `asked`: somebody wants it made whether or not it is due.
#[must_use]
pub fn judge(track: &BTreeSet<Track>, record: &BuildRecord, now: &Inputs, asked: bool) -> Verdict {
    let mut causes = causes(track, record.newest().map(|made| &made.inputs), now);
    if asked {
        causes.push(Cause::Asked);
        return Verdict::Due(causes);
    }
    if causes.is_empty() {
        return Verdict::Current;
    }
    match &record.failed {
        Some(failed) if self::causes(track, Some(&failed.inputs), now).is_empty() => match failed.transient {
            true => Verdict::Later(backoff_ms(failed.tries)),
            false => Verdict::Failed,
        },
        _ => Verdict::Due(causes),
    }
}

const FIRST_MS: u64 = 15_000;
const LONGEST_MS: u64 = 3_600_000;

/// How long to wait after so many tries.
#[must_use]
pub fn backoff_ms(tries: u32) -> u64 {
    let doubled = tries.saturating_sub(1).min(16);
    (FIRST_MS << doubled).min(LONGEST_MS)
}
