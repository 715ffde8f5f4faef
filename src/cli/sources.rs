//! From settings to sources: followed by the daemon, or read once by a command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::context::chain;
use crate::config::sources::Source;
use crate::config::{Settings, WatchKind};
use crate::controller::clock;
use crate::controller::inbound::{Followed, Inbound, Several, Synced};
use crate::controller::sources::SourceBoard;
use crate::desired::SourcesLoader;
use crate::desired::snapshot::{HostFacts, Snapshot, SourceRevision};
use crate::metrics::server::Hook;
use crate::metrics::{Metrics, SyncOutcome};
use crate::source::git::{self, Checkout, GitError, GitSettings, GitSource, SyncResult};
use crate::source::{self, DirSource, combine, read_snapshot};

/// Where a command takes a repository's commit from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// The newest there is, into a folder that is gone afterwards: nothing is changed.
    Preview,
    /// The newest there is, for good: what services need is put on the disk.
    Newest,
    /// What was applied last; nobody is asked.
    Applied,
}

/// What was read of all sources.
pub(super) struct Read {
    pub snapshot: Snapshot,
    /// Directories with what was in them: a commit cannot change under anybody's hands.
    pub directories: Vec<(PathBuf, SourceRevision)>,
}

/// What a loader must know of this host, asked for when it is needed.
pub(super) type Facts = Arc<dyn Fn() -> HostFacts + Send + Sync>;

/// Reads every source once. One of several that cannot be read is told of in the snapshot.
///
/// # Errors
/// A sentence: nothing could be read.
pub(super) fn read(settings: &Settings, take: Take, facts: &Facts) -> Result<Read, String> {
    let mut directories = Vec::new();
    let mut parts = Vec::new();
    for source in &settings.sources {
        let part = match source {
            Source::Directory { path, .. } => match read_snapshot(path) {
                Ok(snapshot) => {
                    directories.push((path.clone(), snapshot.revision.clone()));
                    Ok(Arc::new(snapshot))
                }
                Err(error) => Err(chain(&error)),
            },
            Source::Git(git) => commit(git, &settings.state, take, facts)
                .map_err(|error| format!("the repository {}: {error}", git.name)),
        };
        parts.push((source.name().to_owned(), part));
    }
    let troubles: Vec<String> = parts.iter().filter_map(|(_, part)| part.as_ref().err().cloned()).collect();
    let snapshot = combine(parts).ok_or_else(|| troubles.join("; "))?;
    Ok(Read { snapshot, directories })
}

fn commit(git: &GitSettings, state: &Path, take: Take, facts: &Facts) -> Result<Arc<Snapshot>, GitError> {
    let stop = Arc::new(AtomicBool::new(false));
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let snapshot = match take {
        Take::Applied => {
            let taken = Checkout::new(git, &state, &stop).last()?;
            taken.ok_or_else(|| GitError::Refused("nothing of it was applied here yet".to_owned()))?.snapshot
        }
        Take::Preview => {
            let folder = Scratch::new().map_err(|error| GitError::Refused(error.to_string()))?;
            Checkout::at(git, &folder.0.join(&git.name), &state, &stop).fetch()?.snapshot
        }
        Take::Newest => {
            let mut checkout = Checkout::new(git, &state, &stop);
            let snapshot = checkout.fetch()?.snapshot;
            checkout.apply(&snapshot, &needs(facts)(&snapshot))?;
            snapshot
        }
    };
    Ok(snapshot)
}

/// A folder that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("evenkeel-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// What a commit needs on the disk, as far as this host is concerned.
fn needs(facts: &Facts) -> git::Needs {
    let (facts, loader) = (Arc::clone(facts), Mutex::new(SourcesLoader::default()));
    Arc::new(move |snapshot: &Snapshot| {
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        let pins = loader.load(snapshot, &facts()).pins;
        pins.into_values().flatten().collect()
    })
}

/// The sources as the daemon follows them, what is known of them, and how a webhook wakes each.
pub(super) struct Inbounds {
    pub inbound: Box<dyn Inbound>,
    pub board: Arc<SourceBoard>,
    pub hooks: Vec<Hook>,
}

/// Starts to follow every source.
///
/// # Errors
/// A sentence: one of them cannot be followed.
pub(super) fn follow(settings: &Settings, facts: &Facts, metrics: &Arc<Metrics>) -> Result<Inbounds, String> {
    let board = Arc::new(SourceBoard::default());
    let several = settings.sources.len() > 1;
    let mut parts: Vec<(String, Box<dyn Inbound>)> = Vec::new();
    let mut hooks = Vec::new();
    for source in &settings.sources {
        let failed = |error: std::io::Error| format!("cannot follow {}: {error}", source.shown());
        let inbound: Box<dyn Inbound> = match source {
            Source::Directory { name, path } => {
                if several {
                    board.set(name, |status| {
                        "directory".clone_into(&mut status.kind);
                        status.place = source.shown();
                    });
                }
                let (source, updates) = DirSource::watch(path, watch(settings)).map_err(failed)?;
                Box::new(Followed { source, updates })
            }
            Source::Git(git) => {
                board.set(&git.name, |status| {
                    "git".clone_into(&mut status.kind);
                    status.place = source.shown();
                });
                let tell = tell(Arc::clone(&board), Arc::clone(metrics));
                let followed = GitSource::watch((**git).clone(), &settings.state, needs(facts), tell);
                let (source, updates) = followed.map_err(failed)?;
                if let Some(secret_file) = git.webhook_secret_file.clone() {
                    hooks.push(Hook { secret_file, wake: source.waker() });
                }
                Box::new(Synced { source, updates })
            }
        };
        parts.push((source.name().to_owned(), inbound));
    }
    let inbound = match (several, parts.pop()) {
        (false, Some((_, only))) => only,
        (_, last) => {
            parts.extend(last);
            Box::new(Several::new(parts))
        }
    };
    Ok(Inbounds { inbound, board, hooks })
}

fn watch(settings: &Settings) -> source::Settings {
    source::Settings {
        poll: settings.watch == WatchKind::Poll,
        rescan_ms: settings.intervals.rescan_ms,
        quiet_ms: settings.limits.removal_quiet_ms,
    }
}

/// Puts every try to sync on the board and into the metrics.
fn tell(board: Arc<SourceBoard>, metrics: Arc<Metrics>) -> git::Tell {
    Arc::new(move |synced: &git::Synced| {
        let now = clock::wall();
        let well = matches!(synced.result, SyncResult::Applied | SyncResult::Unchanged);
        metrics.synced(&SyncOutcome {
            source: &synced.source,
            result: synced.result.as_str(),
            took: synced.took,
            well,
            unverified: synced.result == SyncResult::Unverified,
            commit: synced.commit.as_ref(),
            at: now,
        });
        board.set(&synced.source, |status| {
            status.commit.clone_from(&synced.commit);
            status.signer.clone_from(&synced.signer);
            status.result = Some(synced.result.as_str().to_owned());
            status.tried = Some(now);
            if well {
                status.synced = Some(now);
            }
            status.trouble = synced.trouble.as_ref().map(ToString::to_string);
            status.failures = if well { 0 } else { status.failures.saturating_add(1) };
        });
    })
}

/// Removes copies of repository files that neither a kept revision nor the desired state names any more.
pub(super) fn clear_copies(settings: &Settings, named: &BTreeSet<PathBuf>) {
    for source in &settings.sources {
        let Source::Git(git) = source else { continue };
        let removed = git::clear_copies(&git.home(&settings.state), named, clock::system_time());
        if removed > 0 {
            tracing::info!(
                source = git.name,
                removed,
                "copies of files that no kept revision uses were removed"
            );
        }
    }
}

/// Where the files of the first source lie on this host, for what is mounted from beside them.
pub(super) fn root(settings: &Settings) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = match settings.sources.first() {
        Some(Source::Git(git)) => absolute(&git.home(&settings.state)).join("tree"),
        Some(Source::Directory { path, .. }) => absolute(path),
        None => absolute(&settings.desired),
    };
    path.to_string_lossy().into_owned()
}

/// The names of the repositories among these sources.
pub(super) fn repositories(sources: &[Source]) -> Vec<String> {
    let names = sources.iter().filter_map(|source| match source {
        Source::Git(git) => Some(git.name.clone()),
        Source::Directory { .. } => None,
    });
    names.collect()
}

/// For people: where the desired state comes from.
pub(super) fn shown(settings: &Settings) -> String {
    let all: Vec<String> = settings.sources.iter().map(Source::shown).collect();
    all.join(", ")
}

/// What is said of the sources without a daemon.
pub(super) fn statuses(
    settings: &Settings,
    snapshot: Option<&Snapshot>,
) -> Vec<crate::metrics::api::SourceStatus> {
    let several = settings.sources.len() > 1;
    let parts: BTreeMap<&str, &Snapshot> = snapshot
        .into_iter()
        .flat_map(|first| std::iter::once(first).chain(first.beside.iter().map(|part| &**part)))
        .map(|part| (part.name.as_str(), part))
        .collect();
    let told = settings.sources.iter().filter(|source| several || matches!(source, Source::Git(_)));
    told.map(|source| crate::metrics::api::SourceStatus {
        name: source.name().to_owned(),
        kind: if matches!(source, Source::Git(_)) { "git" } else { "directory" }.to_owned(),
        place: source.shown(),
        commit: parts.get(source.name()).and_then(|part| part.revision.commit.clone()),
        trouble: snapshot.and_then(|snapshot| snapshot.missing.get(source.name()).cloned()),
        ..Default::default()
    })
    .collect()
}
