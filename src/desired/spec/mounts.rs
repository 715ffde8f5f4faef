//! What is mounted into a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: MountSource,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    Bind {
        /// Absolute path on the host.
        path: String,
        /// Create the directory on the host if it is missing (Compose's short form does; the long form when asked).
        create: bool,
        /// `rprivate`, `rshared`, ...
        propagation: Option<String>,
        /// SELinux relabelling: `z` or `Z`.
        selinux: Option<char>,
        /// Digest of what the repository says is in there; a change of it replaces, because a container does not see files
        /// that take the place of those it has open. `None`: not from a repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// `None`: mounts below it come along, read-only ones as far as the engine can.
        #[serde(default, skip_serializing_if = "is_default")]
        recursive: Option<Recursive>,
    },
    Volume {
        /// The engine's name of the volume; `None`: anonymous, handed over to the successor.
        name: Option<String>,
        /// The key in the project's `[volumes]`; `None` for an anonymous one.
        key: Option<String>,
        no_copy: bool,
        /// API 1.45.
        subpath: Option<String>,
        /// Of an anonymous volume that is made for this mount.
        #[serde(default, skip_serializing_if = "is_default")]
        labels: BTreeMap<String, String>,
    },
    /// The files of an image. API 1.48.
    Image {
        /// The reference, with its tag filled in.
        reference: String,
        subpath: Option<String>,
    },
    /// Long-form tmpfs mounts only; short ones are in `ContainerSpec::tmpfs`.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
    },
}

/// What becomes of mounts below a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recursive {
    /// They stay out.
    Disabled,
    /// They come along writable, though the bind is read-only. API 1.44.
    Writable,
    /// They come along read-only, or the container does not start. API 1.44.
    Readonly,
}
