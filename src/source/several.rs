//! Several snapshots as one.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::desired::snapshot::{Snapshot, SourceRevision};

/// Puts sources together, by name: each with what was read of it, or why nothing could be. One source alone stays as it is. `None` when
/// nothing could be read of any.
#[must_use]
pub fn combine(parts: Vec<(String, Result<Arc<Snapshot>, String>)>) -> Option<Snapshot> {
    let alone = parts.len() == 1;
    let mut digest = Sha256::new();
    digest.update(b"evenkeel sources 1\n");
    let (mut read, mut missing) = (Vec::new(), std::collections::BTreeMap::new());
    for (name, part) in parts {
        match part {
            Ok(snapshot) => {
                digest.update(format!("{name} {}\n", snapshot.revision.digest));
                let mut snapshot = Arc::unwrap_or_clone(snapshot);
                snapshot.name = name;
                read.push(snapshot);
            }
            Err(why) => {
                digest.update(format!("{name} is missing: {why}\n"));
                missing.insert(name, why);
            }
        }
    }
    let mut read = read.into_iter();
    let mut first = read.next()?;
    if !alone {
        first.beside = read.map(Arc::new).collect();
        first.missing = missing;
        let commit = first.revision.commit.take();
        first.revision = SourceRevision { digest: hex::encode(digest.finalize()), commit };
    }
    Some(first)
}
