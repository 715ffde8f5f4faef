//! What the last read found, so that the next one opens only what may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::payload::{self, Named};
use crate::desired::snapshot::{FileContent, RelPath, Snapshot};

/// The coarsest time stamps of a local file system (FAT). A file that was read again this long after it first looked so, and still
/// did, cannot change any more without another time stamp.
const COARSEST: Duration = Duration::from_secs(2);

/// A read, as the next one needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) snapshot: Arc<Snapshot>,
    facts: BTreeMap<RelPath, Fact>,
}

/// What tells that a file is the same: the kernel changes at least one with every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    id: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            id: (meta.dev(), meta.ino()),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What is known of one file beside its content.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// `None`: a link, which may lead elsewhere without a trace on itself.
    stamp: Option<Stamp>,
    /// When it was first seen with this stamp.
    since: Instant,
    /// It was read so late after `since` that an equal stamp means equal content.
    settled: bool,
    digest: [u8; 32],
    /// The files that it names, if it is TOML.
    named: Arc<BTreeSet<Named>>,
}

impl Known {
    pub(super) fn of(snapshot: Arc<Snapshot>, facts: BTreeMap<RelPath, Fact>) -> Self {
        Self { snapshot, facts }
    }

    /// The content of a file that cannot have changed since it was read.
    pub(super) fn unchanged(&self, path: &RelPath, stamp: Stamp) -> Option<(FileContent, Fact)> {
        let fact = self.facts.get(path).filter(|fact| fact.settled && fact.stamp == Some(stamp))?;
        let content = self.snapshot.files.get(path)?;
        Some((content.clone(), fact.clone()))
    }

    /// What there is to know of a file that was just read.
    pub(super) fn fact(&self, path: &RelPath, stamp: Option<Stamp>, content: &FileContent) -> Fact {
        let before = self.facts.get(path);
        let now = Instant::now();
        let since =
            before.filter(|fact| stamp.is_some() && fact.stamp == stamp).map_or(now, |fact| fact.since);
        let settled = stamp.is_some() && now.duration_since(since) >= COARSEST;
        // Equal content names the same files; looking through it is most of what a read costs.
        if let Some(fact) = before.filter(|_| self.snapshot.files.get(path) == Some(content)) {
            return Fact { stamp, since, settled, ..fact.clone() };
        }
        Fact { stamp, since, settled, digest: digest_of(content), named: Arc::new(named_by(path, content)) }
    }
}

impl Fact {
    pub(super) fn named(&self) -> &BTreeSet<Named> {
        &self.named
    }
}

fn named_by(path: &RelPath, content: &FileContent) -> BTreeSet<Named> {
    match content {
        FileContent::Read(bytes) if path.file_name().ends_with(".toml") => {
            std::str::from_utf8(bytes).map(|text| payload::named(path.folder(), text)).unwrap_or_default()
        }
        FileContent::Read(_) | FileContent::Unreadable(_) => BTreeSet::new(),
    }
}

fn digest_of(content: &FileContent) -> [u8; 32] {
    let (kind, bytes) = match content {
        FileContent::Read(bytes) => ("read", &bytes[..]),
        FileContent::Unreadable(sentence) => ("unreadable", sentence.as_bytes()),
    };
    let mut digest = Sha256::new();
    digest.update(kind);
    digest.update(b"\n");
    digest.update(bytes);
    digest.finalize().into()
}

/// A digest over the digests of all files. Lengths go in first, so that no two different snapshots can give the same bytes.
pub(super) fn digest(facts: &BTreeMap<RelPath, Fact>) -> String {
    let mut digest = Sha256::new();
    digest.update(b"evenkeel snapshot 2\n");
    for (path, fact) in facts {
        digest.update(format!("{} {path} ", path.as_str().len()));
        digest.update(fact.digest);
    }
    hex::encode(digest.finalize())
}
