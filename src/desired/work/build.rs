//! An image that is built here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::desired::secret::Sensitive;
use crate::desired::spec::{SourcePlace, Ulimit};

/// A build. Texts may hold `${git.hash}`, `${git.short}`, `${git.branch}` and `${build.utc}`, which are known when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// The name without a tag; `None`: `<project>-<service>`, as Compose names it.
    pub image: Option<String>,
    pub context: BuildContext,
    pub dockerfile: Dockerfile,
    pub target: Option<String>,
    /// `None`: the value of a variable where it is built.
    pub args: BTreeMap<String, Option<Sensitive>>,
    pub labels: BTreeMap<String, String>,
    pub options: BuildOptions,
    /// What only BuildKit can do.
    pub buildkit: BuildKit,
    pub policy: BuildPolicy,
    pub source: SourcePlace,
}

impl BuildSpec {
    /// A change of it makes the build due.
    #[must_use]
    pub fn definition(&self) -> String {
        let mut own = Self { source: SourcePlace::default(), ..self.clone() };
        // What is in a commit is the source, which counts by itself.
        if let BuildContext::Committed { path, commit, .. } = &mut own.context {
            path.clear();
            *commit = None;
        }
        super::definition("build", &own)
    }

    /// What of it only BuildKit can do.
    #[must_use]
    pub fn needs_buildkit(&self) -> Option<String> {
        let kit = &self.buildkit;
        let keys = [
            ("additional_contexts", !kit.additional_contexts.is_empty()),
            ("cache_to", !kit.cache_to.is_empty()),
            ("secrets", !kit.secrets.is_empty()),
            ("ssh", !kit.ssh.is_empty()),
            ("entitlements", !kit.entitlements.is_empty()),
            ("provenance", kit.provenance.is_some()),
            ("sbom", kit.sbom.is_some()),
            ("privileged", self.options.privileged),
        ];
        keys.into_iter().find(|(_, asked)| *asked).map(|(key, _)| format!("`{key}`"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildContext {
    /// Absolute path on the host.
    Folder(String),
    /// A folder of a commit of a source.
    Committed {
        /// Its copy on the host, which never changes.
        path: String,
        /// Below the root of the source.
        place: String,
        /// The newest commit that touched it.
        commit: Option<String>,
    },
    Git {
        url: String,
        /// `None`: the branch that the repository names.
        reference: Option<String>,
        folder: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dockerfile {
    /// Within the context.
    Path(String),
    Inline(String),
}

/// What the engine's own builder takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildOptions {
    pub cache_from: Vec<String>,
    pub no_cache: bool,
    pub pull: bool,
    pub network: Option<String>,
    pub extra_hosts: Vec<String>,
    pub shm_size: Option<u64>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub platforms: Vec<String>,
    pub tags: Vec<String>,
    pub privileged: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildKit {
    pub additional_contexts: BTreeMap<String, String>,
    pub cache_to: Vec<String>,
    pub secrets: Vec<BuildSecret>,
    pub ssh: Vec<String>,
    pub entitlements: Vec<String>,
    pub provenance: Option<String>,
    pub sbom: Option<String>,
}

impl BuildKit {
    /// Whether the engine's own builder would do.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        *self != Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    pub source: String,
    pub target: Option<String>,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub mode: Option<u32>,
}

/// When a build is made anew, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPolicy {
    pub track: BTreeSet<Track>,
    /// With the variables of a build.
    pub tag: String,
    /// A range of versions among the repository's tags.
    pub reference: Option<String>,
    pub every_ms: Option<u64>,
    pub base_every_ms: Option<u64>,
    pub push: bool,
    pub keep: u32,
    pub timeout_ms: Option<u64>,
}

impl Default for BuildPolicy {
    fn default() -> Self {
        Self {
            track: BTreeSet::from([Track::Source, Track::Base]),
            tag: "${build.utc}".to_owned(),
            reference: None,
            every_ms: None,
            base_every_ms: None,
            push: false,
            keep: 3,
            timeout_ms: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Track {
    Source,
    Base,
}
