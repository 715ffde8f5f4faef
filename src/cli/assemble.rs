//! Puts the controller's parts together from settings.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::context::chain;
use super::look::{free_bytes, host_facts};
use crate::config::Settings;
use crate::controller::clock::SystemClock;
use crate::controller::host::{DiskProbe, Parts};
use crate::controller::inbound::Loader;
use crate::controller::progress::Progress;
use crate::controller::records::Records;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::snapshot::Snapshot;
use crate::desired::{self, DesiredState};
use crate::engine::{Engine, Observe, docker};
use crate::images::credentials::DockerConfig;
use crate::metrics::Metrics;
use crate::source::read_snapshot;

/// Between two tries to ask an engine that is away where it keeps its files.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The engine on this machine (or where the settings say), with the logins of this user.
///
/// # Errors
/// A sentence: the address or its certificates cannot be used. Whether anybody answers there is not asked.
pub(super) fn engine(settings: &Settings) -> Result<Arc<dyn Engine>, String> {
    let engine = docker::connect(settings.docker_host.as_deref(), &settings.instance);
    let engine = engine.map_err(|error| error.to_string())?;
    Ok(Arc::new(engine.with_logins(Arc::new(DockerConfig::of_user()))))
}

/// Everything a pass needs.
pub(super) fn parts(
    settings: &Settings,
    engine: Arc<dyn Engine>,
    records: Arc<dyn Records>,
    metrics: Arc<Metrics>,
    progress: Arc<dyn Progress>,
) -> Parts {
    let disk_free = disk_probe(Arc::clone(&engine));
    Parts {
        engine,
        records,
        clock: Arc::new(SystemClock),
        metrics,
        progress,
        owner: settings.instance.clone(),
        limits: settings.limits,
        actors: settings.concurrency,
        pulls: settings.pulls,
        disk_free,
    }
}

/// Free bytes where the engine keeps its files, as soon as it has said where that is. An engine elsewhere keeps them where
/// this machine has no such directory, which reads as "cannot be told".
fn disk_probe(engine: Arc<dyn Engine>) -> DiskProbe {
    let root: Arc<OnceLock<PathBuf>> = Arc::default();
    let told = Arc::clone(&root);
    tokio::spawn(async move {
        loop {
            if let Ok(facts) = engine.facts().await {
                let _first = told.set(PathBuf::from(facts.root_dir));
                return;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    });
    Arc::new(move || root.get().and_then(|root| free_bytes(root)))
}

/// Loads snapshots for this host. The engine's version is asked once, before: what it is too old for is told with the files.
pub(super) async fn loader(settings: &Settings, engine: &dyn Observe) -> Loader {
    let facts = engine.facts().await.ok();
    let facts = host_facts(settings, facts.as_ref());
    Arc::new(move |snapshot: &Snapshot| desired::load(snapshot, &facts))
}

/// The files as they are now, with what is wrong in them.
pub(super) struct Loaded {
    pub snapshot: Snapshot,
    pub desired: DesiredState,
    pub problems: Vec<Diagnostic>,
}

/// Reads and loads the desired state once.
///
/// # Errors
/// A sentence: the directory cannot be read as a whole.
pub(super) async fn load(settings: &Settings, engine: &dyn Observe) -> Result<Loaded, String> {
    let snapshot = read_snapshot(&settings.desired).map_err(|error| chain(&error))?;
    let (desired, problems) = loader(settings, engine).await(&snapshot);
    Ok(Loaded { snapshot, desired, problems })
}

/// Whether the files are still what they were.
pub(super) fn unchanged(root: &Path, before: &Snapshot) -> Box<dyn Fn() -> bool + Send + Sync> {
    let (root, before) = (root.to_owned(), before.revision.clone());
    Box::new(move || read_snapshot(&root).is_ok_and(|now| now.revision == before))
}
