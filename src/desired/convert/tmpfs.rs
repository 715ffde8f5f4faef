//! `tmpfs`.

use crate::desired::diagnostic::Diagnostic;

use super::mounts::target;
use super::read::{Field, Reader};

/// Options that the engine takes for a tmpfs; those in the second list with a value.
const TMPFS_FLAGS: [&str; 16] = [
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
];
const TMPFS_VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// `"/run"` or `"/run:size=64m,mode=1777"`; the options sorted, as their order says nothing.
pub(super) fn tmpfs(reader: &mut Reader<'_, '_>, item: &Field<'_>) -> Option<(String, String)> {
    let text = reader.filled(item)?;
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let found = target(reader, item.node.part(0, path.len()), path);
    let mut sorted: Vec<&str> = Vec::new();
    let mut at = path.len() + 1;
    let mut good = true;
    for option in options.split(',') {
        let span = item.node.part(at, at + option.len());
        at += option.len() + 1;
        if option.is_empty() {
            continue;
        }
        let known = match option.split_once('=') {
            Some((name, value)) => TMPFS_VALUES.contains(&name) && !value.is_empty(),
            None => TMPFS_FLAGS.contains(&option),
        };
        let name = option.split_once('=').map_or(option, |(name, _)| name);
        if !known && TMPFS_VALUES.contains(&name) {
            let message = format!("tmpfs option `{name}` needs a value");
            reader.report(Diagnostic::error("bad-mount", span, message, format!("write {name}=...")));
            good = false;
        } else if !known {
            let all: Vec<&str> = TMPFS_VALUES.iter().chain(&TMPFS_FLAGS).copied().collect();
            let listed = "size=, mode=, uid=, gid=, nr_inodes=, nr_blocks=, mpol=, and flags such as noexec, nosuid, ro";
            reader.bad_choice(span, name, "tmpfs option", &all, Some(listed));
            good = false;
        }
        sorted.push(option);
    }
    sorted.sort_unstable();
    sorted.dedup();
    Some((found?, sorted.join(","))).filter(|_| good)
}
