//! What a desired state holds beside services, networks and volumes: jobs, builds, artifacts, whom to tell, and how images are
//! chosen. Typed, valid by construction, and in canonical form like [`super::spec`].

pub mod answers;
mod artifact;
mod build;
mod context;
mod image;
mod job;
pub mod schedule;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::diagnostic::Diagnostic;
use super::ident::{ProjectName, ServiceName};
use super::spec::{ServiceSpec, SourcePlace};

pub use artifact::*;
pub use build::*;
pub use image::*;
pub use job::*;

/// The identity of a job, build, artifact or notification on this host; printed as `project/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkId {
    pub project: ProjectName,
    pub name: ServiceName,
}

impl WorkId {
    #[must_use]
    pub fn new(project: &str, name: &str) -> Option<Self> {
        Some(Self { project: ProjectName::new(project)?, name: ServiceName::new(name)? })
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// What is wanted of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work<T> {
    Wanted(Arc<T>),
    /// What defines it does not load: leave everything of it as it is. Never empty.
    Frozen(Vec<Diagnostic>),
}

impl<T> Work<T> {
    /// What is wanted, when it loads.
    #[must_use]
    pub fn wanted(&self) -> Option<&Arc<T>> {
        match self {
            Self::Wanted(spec) => Some(spec),
            Self::Frozen(_) => None,
        }
    }
}

/// Everything of this kind that is wanted on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Works {
    pub jobs: BTreeMap<WorkId, Work<JobSpec>>,
    pub builds: BTreeMap<WorkId, Work<BuildSpec>>,
    pub artifacts: BTreeMap<WorkId, Work<ArtifactSpec>>,
    pub notify: BTreeMap<WorkId, Work<NotifySpec>>,
    /// Services whose image is not said but chosen or made. They are frozen among the services until [`answers`] puts their image in, and this
    /// is what is wanted of them.
    pub chosen: BTreeMap<super::ident::ServiceId, Arc<Chosen>>,
    /// Jobs whose image is written without a tag: it may be one that is built here.
    pub untagged: BTreeMap<WorkId, String>,
    /// Where and how tags are written back, by the name of the source.
    pub write_back: BTreeMap<String, WriteBack>,
    /// Which source defines a project, where there are several.
    pub sources: BTreeMap<ProjectName, String>,
    /// What this version does not run, one warning at each place. Part of no file's faults: the files are right.
    pub not_run: Vec<Diagnostic>,
}

impl Works {
    /// Takes over what another source defines; what is here stands.
    pub fn join(&mut self, other: Self) {
        fn add<K: Ord, V>(own: &mut BTreeMap<K, V>, more: BTreeMap<K, V>) {
            for (key, value) in more {
                own.entry(key).or_insert(value);
            }
        }
        let Self { jobs, builds, artifacts, notify, chosen, untagged, write_back, sources, mut not_run } =
            other;
        add(&mut self.jobs, jobs);
        add(&mut self.builds, builds);
        add(&mut self.artifacts, artifacts);
        add(&mut self.notify, notify);
        add(&mut self.chosen, chosen);
        add(&mut self.untagged, untagged);
        add(&mut self.write_back, write_back);
        add(&mut self.sources, sources);
        self.not_run.append(&mut not_run);
    }
}

/// A service with all that is known of it before its image is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its image is the name without a tag.
    pub spec: ServiceSpec,
    pub image: ImageSource,
}

/// `[policy.write_back]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBack {
    /// `None`: the one that is followed.
    pub branch: Option<String>,
    /// Name and address; `None`: evenkeel on this host.
    pub author: Option<(String, String)>,
    /// With [`WriteBack::WORDS`] in it.
    pub message: Option<String>,
}

impl WriteBack {
    /// What stands in `${...}` in a message.
    pub const WORDS: [&'static str; 6] = ["service", "image", "tag", "old", "digest", "host"];

    /// What a commit says: `words` gives what each of [`Self::WORDS`] stands for.
    #[must_use]
    pub fn message(&self, words: &dyn Fn(&str) -> String) -> String {
        let mut text = self.message.clone().unwrap_or_else(|| "${service}: ${image} ${tag}".to_owned());
        for word in Self::WORDS {
            text = text.replace(&format!("${{{word}}}"), &words(word));
        }
        text
    }
}

/// A digest over everything that a definition says, but not where it is written: 64 hex digits.
fn definition<T: Serialize>(what: &str, spec: &T) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("evenkeel {what} 1\n"));
    digest.update(serde_json::to_string(spec).unwrap_or_default());
    hex::encode(digest.finalize())
}

/// Whom to tell what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifySpec {
    /// May hold a token.
    pub url: super::secret::Sensitive,
    /// Names of events, `update.*` taken apart; empty: all.
    pub events: std::collections::BTreeSet<String>,
    pub headers: BTreeMap<String, super::secret::Sensitive>,
    pub source: SourcePlace,
}

impl NotifySpec {
    /// Whether it is to be told of this. One that stands at the root, beside all projects, is told of every project; what is of no project
    /// everybody is told.
    #[must_use]
    pub fn wants(&self, id: &WorkId, event: &str, project: Option<&ProjectName>) -> bool {
        let file = self.source.file.rsplit_once("//").map_or(self.source.file.as_str(), |(_, file)| file);
        let own = !file.contains('/') || project.is_none_or(|project| *project == id.project);
        own && (self.events.is_empty() || self.events.contains(event))
    }
}
