//! PURE. What the operator wants: snapshot in, desired state and diagnostics out. No I/O, no clock, no logging, no panics.

mod check;
pub mod compose;
pub mod convert;
pub mod cut;
pub mod diagnostic;
pub mod dotenv;
mod filename;
mod files;
mod fleet;
pub mod format;
pub mod hash;
pub mod hooks;
pub mod ident;
pub mod interpolate;
mod load;
pub mod manifest;
mod merge;
pub mod node;
mod objects;
pub mod parse;
mod pauses;
mod position;
pub mod probe;
pub mod provided;
pub mod recorded;
mod redact;
pub mod secret;
pub mod snapshot;
mod sources;
pub mod spec;
pub mod suggest;
pub mod timing;
mod toplevel;
pub mod tree;
mod variables;
pub mod work;
pub mod write;

pub use filename::FileName;
pub use files::{FLEET, hosts, state_files};
pub use load::{Loader, load};
pub use pauses::{Pause, Paused, Pauses};
pub use sources::{Loaded, SourcesLoader};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diagnostic::Diagnostic;
use hash::SpecHash;
use ident::{ProjectName, ServiceId};
use provided::{Credential, Provided, ProvidedId};
use spec::{NetworkSpec, ServiceSpec, VolumeSpec};
use timing::{Intervals, Windows};
use work::Works;

/// What is wanted of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Run this revision.
    Run(Arc<Revision>),
    /// The file that defines it does not load: leave everything of it as it is. Never empty.
    Frozen(Vec<Diagnostic>),
}

impl Wanted {
    #[must_use]
    pub fn run(revision: Revision) -> Self {
        Self::Run(Arc::new(revision))
    }
}

/// A spec with what tells it from others. Made once a load: a decision, of which there are many, compares and shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub hash: SpecHash,
    /// See [`hash::wish`].
    pub wish: String,
    pub spec: Arc<ServiceSpec>,
}

impl Revision {
    #[must_use]
    pub fn of(spec: ServiceSpec) -> Self {
        let hash = SpecHash::of(&spec.container);
        Self { wish: hash::wish(&hash, &spec), hash, spec: Arc::new(spec) }
    }
}

/// Everything wanted on this host. What a load took over from the one before it shares, so that comparing two is quick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredState {
    pub services: BTreeMap<ServiceId, Wanted>,
    /// By the engine's name of the network.
    pub networks: BTreeMap<String, Arc<NetworkSpec>>,
    /// By the engine's name of the volume.
    pub volumes: BTreeMap<String, Arc<VolumeSpec>>,
    pub projects: BTreeSet<ProjectName>,
    /// Files that did not load. While there is one, nothing is removed, because what left may be in there; a service
    /// whose last known source is one of these is frozen even when no table of it could be read.
    pub broken: BTreeMap<String, Vec<Diagnostic>>,
    pub guard: Guard,
    pub pauses: Pauses,
    /// `[policy.window]`: when roll-outs begin.
    pub windows: Windows,
    /// `[policy] interval`: how often is looked at what a project has.
    pub intervals: Intervals,
    /// Secrets and configs that the files declare.
    pub provided: BTreeMap<ProvidedId, Provided>,
    /// Logins by host.
    pub credentials: BTreeMap<String, Credential>,
    pub works: Works,
}

/// `[policy.guard]` and `[policy.prune]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Most services one change may remove without consent; `None`: max(1, half of those that run).
    pub max_removals: Option<u32>,
    /// `empty_state = "allow"`: an empty desired state may remove everything (still within `max_removals`).
    pub allow_empty: bool,
    /// `[policy.prune] containers = false`: what left the files is kept and reported.
    pub prune_containers: bool,
    pub prune_networks: bool,
    /// `[policy.prune] images`; `None`: nothing is said of them.
    pub images: Option<PruneImages>,
    /// `unmanaged = "report"`: tell of containers that are not evenkeel's.
    pub report_unmanaged: bool,
}

/// `[policy.prune] images = { keep = 2, older_than = "72h" }`: which images of what ran before may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneImages {
    /// Revisions of each service whose images stay besides the good one.
    pub keep: Option<u32>,
    /// Younger ones stay in any case. Milliseconds.
    pub older_than_ms: Option<u64>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_removals: None,
            allow_empty: false,
            prune_containers: true,
            prune_networks: true,
            images: None,
            report_unmanaged: false,
        }
    }
}
