//! `evenkeel run`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::{chain, settings};
use super::sources::{self, Inbounds};
use super::{assemble, out, simulated, supervise, workers};
use crate::config::{DaemonFlags, Flags, Listen, Settings};
use crate::controller::inbound::Inbound;
use crate::controller::progress::Silent;
use crate::controller::records::{Durable, Records};
use crate::controller::refresh::Refreshed;
use crate::controller::run::{Daemon, Setup};
use crate::controller::store::{Store, StoreHealth};
use crate::controller::trigger::Signal;
use crate::controller::works::Book;
use crate::desired::spec::MountSource;
use crate::engine::{Engine, Observe};
use crate::metrics::Metrics;
use crate::metrics::api::Api;
use crate::metrics::server::{Hook, Server};
use crate::secrets::Secrets;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel run                     converge this host to ./desired (or /etc/evenkeel/desired), and keep it so
  evenkeel run --desired /srv/desired --state /var/lib/evenkeel
  evenkeel run --engine simulated  the same job on an engine that exists in memory only
  kill -HUP PID                    read the files and look at everything, now

The first SIGTERM or SIGINT finishes the step in hand, the second ends at once. Containers go on without evenkeel.")]
pub struct RunArgs {
    /// The engine: docker, or one that exists in this process only
    #[arg(long, value_enum, default_value_t = EngineKind::Docker)]
    engine: EngineKind,
    #[command(flatten)]
    daemon: DaemonFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineKind {
    /// What DOCKER_HOST or --docker-host names
    Docker,
    /// Nothing it reports is real, and nothing is remembered
    Simulated,
}

pub(super) fn run(flags: &Flags, args: &RunArgs) -> i32 {
    let settings = match settings(flags, Some(&args.daemon)) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out::fail(format_args!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        match daemon(&settings, args.engine).await {
            Ok(code) => i32::from(code),
            Err(error) => out::fail(error),
        }
    });
    // What was told to end at once does not wait for a thread that reads.
    runtime.shutdown_background();
    code
}

async fn daemon(settings: &Settings, kind: EngineKind) -> Result<u8, String> {
    // Signals first: one that comes while we start must not end us in the middle.
    let signals = signals().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let store = Arc::new(store(settings, kind)?);
    let listen = match settings.listen {
        Listen::On(address) => Some(address),
        Listen::Off => None,
    };
    let server = Server::bind(listen, Some(&settings.socket)).await.map_err(|error| chain(&error))?;
    if let Some(address) = server.address() {
        tracing::info!("metrics and status at http://{address}/");
    }
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let book = Arc::new(Book::read(&store).map_err(|error| chain(&error))?);
    let secrets = assemble::secrets(settings, kind == EngineKind::Simulated);
    let (setup, hooks) = setup(settings, kind, (store, &book), &secrets, Arc::clone(&metrics)).await?;
    let daemon = Daemon::new(setup).await.map_err(|error| error.to_string())?;
    let daemon = daemon.with_workers(workers::all(settings, kind, &book, &secrets)?);
    let stop = CancellationToken::new();
    let handle = Arc::new(daemon.handle());
    let supervised = supervise::follow(Arc::clone(&handle) as Arc<dyn Api>);
    let server = server.with_hooks(hooks);
    let serving = tokio::spawn(server.serve(handle, metrics, stop.clone()));
    let reason = daemon.run(signals).await;
    supervised.abort();
    stop.cancel();
    // Answers under way have their own deadline; a server that panicked has told so itself.
    let _served = serving.await;
    Ok(reason.exit_code())
}

/// What is simulated is not remembered: it is gone with the process, and its memory must not be mistaken for that of a host.
fn store(settings: &Settings, kind: EngineKind) -> Result<Store, String> {
    let opened = match kind {
        EngineKind::Docker => Store::open(&settings.state, &settings.instance),
        EngineKind::Simulated => Store::in_memory(&settings.instance),
    };
    let store = opened.map_err(|error| chain(&error))?;
    match store.health() {
        StoreHealth::Good => {}
        StoreHealth::SetAside { path, reason } => {
            tracing::error!(path = %path.display(), reason, "the store was damaged and is set aside; what is healthy is learned as good again, rejections, holds and history in it are lost");
        }
        StoreHealth::RecordsSetAside { services, reason } => {
            tracing::error!(
                services = services.join(", "),
                reason,
                "records were damaged and are set aside; these services are learned anew"
            );
        }
    }
    Ok(store)
}

async fn setup(
    settings: &Settings,
    kind: EngineKind,
    (store, book): (Arc<Store>, &Arc<Book>),
    secrets: &Arc<Secrets>,
    metrics: Arc<Metrics>,
) -> Result<(Setup, Vec<Hook>), String> {
    let sim = (kind == EngineKind::Simulated).then(simulated::engine);
    let engine: Arc<dyn Engine> = match &sim {
        None => assemble::engine(settings, secrets)?,
        Some(sim) => Arc::new(sim.clone()),
    };
    let word = assemble::Word::of(Arc::clone(&engine) as Arc<dyn Observe>).await;
    let load = assemble::loader(settings, &word, secrets, book);
    let load = match sim {
        Some(sim) => simulated::with_what_is_built_here(load, sim),
        None => load,
    };
    clear_copies(settings, &store);
    if kind == EngineKind::Docker {
        restore_secrets(secrets, &store);
    }
    let Inbounds { inbound, board, hooks } =
        sources::follow(settings, &assemble::facts(settings, &word), &metrics)?;
    let inbound = refreshed(inbound, secrets, (&store, book), kind);
    let records: Arc<dyn Records> = Arc::new(Durable::new(store));
    let setup = Setup {
        parts: assemble::parts(settings, (engine, &word), records, metrics, Arc::new(Silent)),
        inbound,
        load,
        path: sources::shown(settings),
        host_name: settings.host.clone(),
        sources: board,
        resync_ms: settings.intervals.resync_ms,
    };
    Ok((setup, hooks))
}

/// Of the files that services mount from repositories, those stay that a kept revision names: going back needs them. Done at
/// the start: what comes up later is a day old before it can go.
fn clear_copies(settings: &Settings, store: &Store) {
    match store.load_all() {
        Ok(records) => {
            let kept = records.values().flat_map(|record| &record.revisions);
            let mounts = kept.flat_map(|kept| kept.spec.container.mounts.values());
            let named = mounts.filter_map(|mount| match &mount.source {
                MountSource::Bind { path, .. } => Some(PathBuf::from(path)),
                _ => None,
            });
            sources::clear_copies(settings, &named.collect());
        }
        Err(error) => tracing::warn!(%error, "old copies of repository files are not cleared away"),
    }
}

/// How often it is looked whether a secret or a file of the host has changed.
const LOOK_AT_SECRETS: Duration = Duration::from_secs(10);
/// Looks between two times that what nobody needs is removed.
const LOOKS_A_CLEARING: u32 = 360;

/// After a reboot nothing is left of the files that containers mount. What ran then is down until they are back.
fn restore_secrets(secrets: &Secrets, store: &Store) {
    match store.load_all() {
        Ok(records) => {
            let kept = records.values().flat_map(|record| &record.revisions);
            let missing = secrets.restore(kept.map(|kept| &*kept.spec));
            if missing > 0 {
                tracing::warn!(
                    missing,
                    "files of secrets that kept revisions have cannot be put back; a start that needs one will say why"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "files of secrets are put back when they are needed"),
    }
}

/// The same sources, said again when a secret or a file of the host has changed, or an image was chosen.
fn refreshed(
    inbound: Box<dyn Inbound>,
    secrets: &Arc<Secrets>,
    (store, book): (&Arc<Store>, &Arc<Book>),
    kind: EngineKind,
) -> Box<dyn Inbound> {
    let (secrets, store, book) = (Arc::clone(secrets), Arc::clone(store), Arc::clone(book));
    let looks = AtomicU32::new(0);
    let stale = Arc::new(move || {
        let due = looks.fetch_add(1, Ordering::Relaxed) % LOOKS_A_CLEARING == LOOKS_A_CLEARING - 1;
        if due && kind == EngineKind::Docker {
            clear_secrets(&secrets, &store);
        }
        secrets.is_stale() || book.is_stale()
    });
    Box::new(Refreshed::new(inbound, stale, LOOK_AT_SECRETS))
}

fn clear_secrets(secrets: &Secrets, store: &Store) {
    // Without the records nobody knows what is needed.
    let Ok(records) = store.load_all() else { return };
    let kept = records.values().flat_map(|record| &record.revisions);
    let removed = secrets.clear(kept.map(|kept| &*kept.spec));
    if removed > 0 {
        tracing::info!(removed, "values of secrets that no kept revision has were removed");
    }
}

fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(8);
    let kinds = [
        (SignalKind::hangup(), Signal::Reload),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::interrupt(), Signal::Interrupt),
    ];
    for (kind, meaning) in kinds {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if meaning != Signal::Reload {
                    supervise::stopping();
                }
                if sender.send(meaning).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}
