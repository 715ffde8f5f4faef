//! What is kept of a project from one load to the next: what it was made of, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Draft;
use crate::desired::check;
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::files::{FLEET, Files, StateFile};
use crate::desired::ident::{ProjectName, ServiceId};
use crate::desired::node::Table;
use crate::desired::provided::{Credential, Provided, ProvidedId};
use crate::desired::snapshot::{FileContent, Snapshot};
use crate::desired::spec::{NetworkSpec, ServiceSpec, VolumeSpec};
use crate::desired::timing::Window;
use crate::desired::variables::Level;
use crate::desired::work::Works;
use crate::desired::work::answers::tagged;
use crate::desired::{Pause, Revision};

/// A service as far as its own project says.
#[derive(Debug)]
pub(in crate::desired) struct Settled {
    pub id: ServiceId,
    /// What the names of its containers begin with: `<project>-<service>`.
    pub prefix: String,
    pub header: Span,
    pub files: BTreeSet<String>,
    pub revision: Option<Arc<Revision>>,
    pub frozen: Vec<Diagnostic>,
    /// Where its container's name is written.
    pub name: Span,
    /// Where each of its ports is written, in the order of the spec.
    pub ports: Vec<Span>,
    /// What it says of `paused`, if it says something: where, when that is yes.
    pub paused: Option<Option<Pause>>,
    /// The image as it is written, without a tag and not chosen otherwise: the name of a build perhaps. With its place.
    pub untagged: Option<(String, Span)>,
    /// The spec with its tag left open, should it be one that is built here.
    pub open: Option<Box<ServiceSpec>>,
}

impl Settled {
    pub(super) fn of(draft: Draft) -> Self {
        let (name, ports) = check::places(&draft);
        let untagged = untagged(&draft);
        let Draft { id, header, files, spec, frozen, paused, .. } = draft;
        // What is not built here is `latest` then.
        let latest = spec.as_ref().filter(|_| untagged.is_some()).and_then(|spec| tagged(spec, "latest"));
        let (spec, open) = match latest {
            Some(latest) => (Some(latest), spec.map(Box::new)),
            None => (spec, None),
        };
        let revision = spec.map(|spec| Arc::new(Revision::of(spec)));
        let prefix = format!("{}-{}", id.project, id.service);
        Self { id, prefix, header, files, revision, frozen, name, ports, paused, untagged, open }
    }

    pub fn spec(&self) -> Option<&ServiceSpec> {
        self.revision.as_ref().map(|revision| &*revision.spec)
    }
}

fn untagged(draft: &Draft) -> Option<(String, Span)> {
    let image = &draft.table.get("image")?.value;
    let text = image.as_str()?;
    let last = text.rsplit('/').next().unwrap_or_default();
    let spec = draft.spec.as_ref().filter(|_| !last.contains([':', '@']))?;
    let name = spec.container.image.strip_suffix(":latest")?;
    draft.frozen.is_empty().then(|| (name.to_owned(), image.span.clone()))
}

/// What a file says, and whether it refines.
type OwnFile = (Arc<Table>, bool);

/// Everything that a project's load depends on beside the host, the root, and the files it reads by name.
#[derive(Debug)]
pub(super) struct Inputs {
    /// Its files in their order. The same table is the same file with the same text.
    files: Vec<OwnFile>,
    /// Files of other projects that its services extend.
    bases: Vec<Arc<Table>>,
    fleet: Option<Arc<Table>>,
    chain: Vec<Arc<Level>>,
    /// What is wrong with files of other projects whose defaults hold here.
    broken: Vec<Diagnostic>,
}

impl Inputs {
    pub fn of(own: &[&StateFile], fleet: Option<&StateFile>, chain: &[Arc<Level>], files: &Files) -> Self {
        let of_defaults = chain.iter().flat_map(|level| &level.default_files);
        Self {
            files: own.iter().map(|file| (Arc::clone(&file.table), file.refines)).collect(),
            bases: own.iter().flat_map(|file| &file.bases).map(|(_, table)| Arc::clone(table)).collect(),
            fleet: fleet.map(|file| Arc::clone(&file.table)),
            chain: chain.to_vec(),
            broken: of_defaults
                .map(String::as_str)
                .chain([FLEET])
                .filter_map(|path| files.broken.get(path))
                .flatten()
                .cloned()
                .collect(),
        }
    }

    /// Compares by identity: equal content that was read into another place only costs another load.
    fn same(&self, other: &Self) -> bool {
        let Self { files, bases, fleet, chain, broken } = self;
        let same_fleet = match (fleet, &other.fleet) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let same_file = |((a, a_refines), (b, b_refines)): (&OwnFile, &OwnFile)| {
            Arc::ptr_eq(a, b) && a_refines == b_refines
        };
        same_fleet
            && *broken == other.broken
            && files.len() == other.files.len()
            && bases.len() == other.bases.len()
            && bases.iter().zip(&other.bases).all(|(a, b)| Arc::ptr_eq(a, b))
            && files.iter().zip(&other.files).all(same_file)
            && chain.len() == other.chain.len()
            && chain.iter().zip(&other.chain).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// A project, loaded.
#[derive(Debug)]
pub(super) struct Kept {
    pub project: ProjectName,
    pub inputs: Inputs,
    /// Files that were looked at by name, there or not: `.env`, `env_file`, profiles, and lines of TOML for messages.
    pub reads: BTreeMap<String, Option<FileContent>>,
    pub found: Vec<Diagnostic>,
    pub services: Vec<Settled>,
    /// With the place of each declaration.
    pub networks: Vec<(Arc<NetworkSpec>, Span)>,
    pub volumes: Vec<(Arc<VolumeSpec>, Span)>,
    pub works: Works,
    /// The network `default`, when a service uses it and nobody declares it.
    pub implied: Option<Arc<NetworkSpec>>,
    pub provided: Vec<(ProvidedId, Provided)>,
    /// With the place of each.
    pub credentials: Vec<(String, Credential, Span)>,
    /// What `[policy]` says of `paused` for this project, if it says something.
    pub paused: Option<Option<Pause>>,
    pub window: Option<Window>,
    pub interval: Option<u64>,
}

impl Kept {
    /// A load of these inputs would come to the same.
    pub fn holds(&self, inputs: &Inputs, snapshot: &Snapshot) -> bool {
        self.inputs.same(inputs)
            && self.reads.iter().all(|(path, read)| snapshot.files.get(path.as_str()) == read.as_ref())
    }
}
