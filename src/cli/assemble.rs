//! Puts the controller's parts together from settings.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::context::chain;
use super::look::{host_facts, space};
use super::sources::{self, Facts, Read, Take};
use crate::config::Settings;
use crate::controller::clock::SystemClock;
use crate::controller::host::{DiskProbe, Parts};
use crate::controller::inbound::Loader;
use crate::controller::progress::Progress;
use crate::controller::records::Records;
use crate::controller::store::Store;
use crate::controller::works::Book;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::snapshot::{Snapshot, SourceRevision};
use crate::desired::{self, DesiredState, SourcesLoader};
use crate::engine::adopted::{Adopted, Shared};
use crate::engine::build::Build;
use crate::engine::files::Files;
use crate::engine::{Engine, EngineFacts, Observe, docker};
use crate::images::credentials::DockerConfig;
use crate::images::registry::Client;
use crate::metrics::Metrics;
use crate::secrets::{Logins, Secrets};
use crate::source::read_snapshot;

/// Between two tries to ask an engine that is away where it keeps its files.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What this host knows of secrets. `read_only`: for commands that change nothing.
pub(super) fn secrets(settings: &Settings, read_only: bool) -> Arc<Secrets> {
    let state = std::path::absolute(&settings.state).unwrap_or_else(|_| settings.state.clone());
    Arc::new(Secrets::new(&state, &settings.secrets_dir, &settings.age_key_file, read_only))
}

/// The engine on this machine (or where the settings say), with the logins of this user.
///
/// # Errors
/// A sentence: the address or its certificates cannot be used. Whether anybody answers there is not asked.
pub(super) fn engine(settings: &Settings, secrets: &Arc<Secrets>) -> Result<Arc<dyn Engine>, String> {
    let engine =
        line(settings)?.with_logins(logins(secrets)).with_files(Arc::clone(secrets) as Arc<dyn Files>);
    Ok(Arc::new(Adopted::new(engine, register(settings)?)))
}

/// Who builds and pushes images: the same engine, with the same logins.
///
/// # Errors
/// See [`engine`].
pub(super) fn maker(settings: &Settings, secrets: &Arc<Secrets>) -> Result<Arc<dyn Build>, String> {
    Ok(Arc::new(line(settings)?.with_logins(logins(secrets))))
}

/// A line to the engine, without logins and without what is known of adopted containers.
///
/// # Errors
/// See [`engine`].
pub(super) fn line(settings: &Settings) -> Result<docker::Docker, String> {
    let engine = docker::connect(settings.docker_host.as_deref(), &settings.instance);
    engine.map_err(|error| error.to_string())
}

/// Those that the files name, then those of this user.
fn logins(secrets: &Arc<Secrets>) -> Arc<Logins> {
    Arc::new(Logins::new(Arc::clone(secrets), Arc::new(DockerConfig::of_user())))
}

/// Registries, asked with the logins of the pulls.
pub(super) fn registries(settings: &Settings, secrets: &Arc<Secrets>) -> Arc<Client> {
    Arc::new(Client::new(settings.registries.clone(), logins(secrets)))
}

/// What was adopted and given back on this host, as the store knows it.
///
/// # Errors
/// A sentence: the store cannot be read, and without it nobody knows what is whose.
pub(super) fn register(settings: &Settings) -> Result<Shared, String> {
    let store = Store::open_read_only(&settings.state).map_err(|error| chain(&error))?;
    Ok(Shared::new(store.register().map_err(|error| chain(&error))?))
}

/// The images that were chosen or made on this host, as the store knows them.
///
/// # Errors
/// A sentence: the store cannot be read.
pub(super) fn book(settings: &Settings) -> Result<Book, String> {
    let store = Store::open_read_only(&settings.state).map_err(|error| chain(&error))?;
    Book::read(&store).map_err(|error| chain(&error))
}

/// What the engine says of itself, as soon as it has said it.
#[derive(Clone)]
pub(super) struct Word(Arc<OnceLock<EngineFacts>>);

impl Word {
    /// Asks once, and goes on asking behind the scenes when the engine is away.
    pub(super) async fn of(engine: Arc<dyn Observe>) -> Self {
        let word = Self(Arc::default());
        if !word.ask(&*engine).await {
            let later = word.clone();
            tokio::spawn(async move {
                while !later.ask(&*engine).await {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            });
        }
        word
    }

    async fn ask(&self, engine: &dyn Observe) -> bool {
        let Ok(facts) = engine.facts().await else { return false };
        let _first = self.0.set(facts);
        true
    }

    /// Room where the engine keeps its files. An engine elsewhere keeps them where this machine has no such directory,
    /// which reads as "cannot be told".
    fn disk_probe(&self) -> DiskProbe {
        let word = self.clone();
        Arc::new(move || word.0.get().and_then(|facts| space(Path::new(&facts.root_dir))))
    }
}

/// Everything a pass needs.
pub(super) fn parts(
    settings: &Settings,
    (engine, word): (Arc<dyn Engine>, &Word),
    records: Arc<dyn Records>,
    metrics: Arc<Metrics>,
    progress: Arc<dyn Progress>,
) -> Parts {
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
        disk_free: word.disk_probe(),
    }
}

/// Loads snapshots for this host and, as far as it is known by then, for its engine. What has not changed since the last one is
/// not loaded again.
pub(super) fn loader(settings: &Settings, word: &Word, secrets: &Arc<Secrets>, book: &Arc<Book>) -> Loader {
    let (facts, book) = (facts(settings, word), Arc::clone(book));
    let loader = Mutex::new(SourcesLoader::default());
    let secrets = Arc::clone(secrets);
    Arc::new(move |snapshot: &Snapshot| {
        let mut loader = loader.lock().unwrap_or_else(|poisoned| {
            // It panicked halfway: nothing that it kept is believed.
            let mut half = poisoned.into_inner();
            *half = SourcesLoader::default();
            half
        });
        loader.set_answers(book.for_load());
        let desired::Loaded { state, diagnostics, pins: _ } = secrets.load(&mut loader, snapshot, facts());
        (state, diagnostics)
    })
}

/// This host as the loader must know it, with what the engine has said of itself by the time it is asked for.
pub(super) fn facts(settings: &Settings, word: &Word) -> Facts {
    let (settings, word) = (settings.clone(), word.clone());
    Arc::new(move || host_facts(&settings, word.0.get()))
}

/// The files as they are now, with what is wrong in them.
pub(super) struct Loaded {
    pub snapshot: Snapshot,
    pub directories: Vec<(PathBuf, SourceRevision)>,
    pub desired: DesiredState,
    pub problems: Vec<Diagnostic>,
}

/// Reads and loads the desired state once.
///
/// # Errors
/// A sentence: nothing can be read as a whole.
pub(super) fn load(
    settings: &Settings,
    word: &Word,
    secrets: &Arc<Secrets>,
    take: Take,
) -> Result<Loaded, String> {
    let Read { snapshot, directories } = sources::read(settings, take, &facts(settings, word))?;
    let book = Arc::new(book(settings)?);
    let (desired, problems) = loader(settings, word, secrets, &book)(&snapshot);
    Ok(Loaded { snapshot, directories, desired, problems })
}

/// Whether the files are still what they were. A commit is.
pub(super) fn unchanged(before: &[(PathBuf, SourceRevision)]) -> Box<dyn Fn() -> bool + Send + Sync> {
    let before = before.to_vec();
    Box::new(move || {
        before.iter().all(|(root, known)| read_snapshot(root).is_ok_and(|now| now.revision == *known))
    })
}
