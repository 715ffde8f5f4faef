//! What is mounted into a container.

use serde::{Deserialize, Serialize};

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
    },
    Volume {
        /// The engine's name of the volume; `None`: anonymous, handed over to the successor.
        name: Option<String>,
        /// The key in the project's `[volumes]`; `None` for an anonymous one.
        key: Option<String>,
        no_copy: bool,
        /// API 1.45.
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
