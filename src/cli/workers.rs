//! The work beside services that the daemon has.

use std::path::PathBuf;
use std::sync::Arc;

use super::run::EngineKind;
use super::{assemble, build};
use crate::config::Settings;
use crate::config::sources::Source;
use crate::controller::works::artifacts::ArtifactWorker;
use crate::controller::works::builds::Builds;
use crate::controller::works::disk::{DiskWorker, Ground};
use crate::controller::works::images::{Images, Recorder};
use crate::controller::works::jobs::Jobs;
use crate::controller::works::messages::Notify;
use crate::controller::works::{Book, Worker};
use crate::engine::wait::Wait;
use crate::secrets::Secrets;

/// Where the engine has the authorities of registries, too.
const CERTIFICATES: &str = "/etc/docker/certs.d";

/// One of each kind.
///
/// # Errors
/// A sentence: the engine's address cannot be used.
pub(super) fn all(
    settings: &Settings,
    kind: EngineKind,
    book: &Arc<Book>,
    secrets: &Arc<Secrets>,
) -> Result<Vec<Arc<dyn Worker>>, String> {
    let mut workers: Vec<Arc<dyn Worker>> = vec![
        Arc::new(Notify::new(settings.host.clone(), PathBuf::from(CERTIFICATES))),
        images(settings, kind, book, secrets),
        jobs(settings, kind, book),
    ];
    // A simulated engine has no disk. Why there is no line to a real one the engine itself has told.
    if let (EngineKind::Docker, Ok(ground)) = (kind, ground(settings, book)) {
        workers.push(DiskWorker::new(ground));
        workers.extend(artifacts(settings, book).ok().map(|worker| worker as Arc<dyn Worker>));
    }
    // An engine in memory has no builder.
    if kind == EngineKind::Docker {
        workers.push(Arc::new(Builds::new(
            assemble::maker(settings, secrets)?,
            assemble::registries(settings, secrets),
            Arc::clone(book),
            build::folder(settings),
            build::logins(settings),
        )));
    }
    Ok(workers)
}

fn images(
    settings: &Settings,
    kind: EngineKind,
    book: &Arc<Book>,
    secrets: &Arc<Secrets>,
) -> Arc<dyn Worker> {
    let images = Images::new(assemble::registries(settings, secrets), Arc::clone(book));
    Arc::new(match kind {
        EngineKind::Docker => images.with_recorder(recorder(settings)),
        // Nothing that is only simulated is told to others.
        EngineKind::Simulated => images,
    })
}

/// The repositories that tags are written back to.
fn recorder(settings: &Settings) -> Recorder {
    let sources = settings.sources.iter().filter_map(|source| match source {
        Source::Git(git) => Some((**git).clone()),
        Source::Directory { .. } => None,
    });
    let only = settings.sources.len() == 1;
    let state = std::path::absolute(&settings.state).unwrap_or_else(|_| settings.state.clone());
    Recorder::new(sources.collect(), only, state, settings.host.clone())
}

fn jobs(settings: &Settings, kind: EngineKind, book: &Arc<Book>) -> Arc<dyn Worker> {
    // Without a line of its own it looks more often: why there is none the engine itself has told.
    let wait = match kind {
        EngineKind::Docker => assemble::line(settings).ok(),
        EngineKind::Simulated => None,
    };
    let wait = wait.map(|engine| Arc::new(engine) as Arc<dyn Wait>);
    Arc::new(Jobs::new(Arc::clone(book), wait, jiff::tz::TimeZone::system()))
}

/// Files that are kept in place on this host.
///
/// # Errors
/// A sentence: the engine's address cannot be used.
pub(super) fn artifacts(settings: &Settings, book: &Arc<Book>) -> Result<Arc<ArtifactWorker>, String> {
    Ok(ArtifactWorker::new(Arc::new(assemble::line(settings)?), Arc::clone(book)))
}

/// What pruning and removing need.
///
/// # Errors
/// A sentence: the engine's address cannot be used.
pub(super) fn ground(settings: &Settings, book: &Arc<Book>) -> Result<Ground, String> {
    Ok(Ground { engine: Arc::new(assemble::line(settings)?), book: Arc::clone(book) })
}
