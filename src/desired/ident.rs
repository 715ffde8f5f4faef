//! Names of things: projects, services, networks, volumes.
//!
//! They are plain strings that were checked when they were made, so that nothing downstream has to wonder whether a
//! name may stand in a URL path, a label or a file name (the engine pastes names into its URLs unescaped). Shared, because with ten
//! thousand services each name is in a dozen maps.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes a name that follows Compose's grammar: letters, digits, `.`, `_`, `-`, and not starting with a sign.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                is_name(text).then(|| Self(text.into()))
            }
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A project: one folder of the desired state, what Compose calls a project.
    ProjectName
);
name!(
    /// A service within its project.
    ServiceName
);

impl Default for ProjectName {
    /// The project of files at the root.
    fn default() -> Self {
        Self("default".into())
    }
}

/// Compose's grammar for names, which is also safe in URLs, labels and file names. At most 128 bytes.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && text.len() <= 128 && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The identity of a service on this host; printed as `project/service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    pub project: ProjectName,
    pub service: ServiceName,
}

impl ServiceId {
    /// Builds an id from two valid names, as tests and label decoding do.
    #[must_use]
    pub fn new(project: &str, service: &str) -> Option<Self> {
        Some(Self { project: ProjectName::new(project)?, service: ServiceName::new(service)? })
    }

    /// Reads `project/service`, or `service` in the project `default`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((project, service)) => Self::new(project, service),
            None => Self::new("default", text),
        }
    }

    /// The name of the container that serves slot `slot` (Compose's `<project>-<service>-<n>`).
    #[must_use]
    pub fn container_name(&self, slot: u32) -> String {
        format!("{}-{}-{slot}", self.project, self.service)
    }

    /// The repository under which images of kept revisions are tagged locally. The engine wants it in lower case.
    #[must_use]
    pub fn keep_repository(&self) -> String {
        format!("evenkeel/{}-{}", self.project, self.service).to_ascii_lowercase()
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.service)
    }
}
