//! What a command sees for itself when no daemon runs: the files, the store and the engine, all read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::statvfs;

use super::assemble::register;
use super::context::chain;
use super::out;
use super::service::pick;
use super::sources::{self, Facts, Take};
use crate::config::Settings;
use crate::controller::clock::{Clock, SystemClock};
use crate::controller::observe::{Surroundings, observe};
use crate::controller::relist::not_ours;
use crate::controller::store::Store;
use crate::controller::wish::Wish;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::provided::Answers;
use crate::desired::snapshot::{HostFacts, Platform};
use crate::desired::{DesiredState, Loaded, SourcesLoader, Wanted};
use crate::engine::adopted::Adopted;
use crate::engine::{ContainerFilter, CountUp, EngineFacts, Observe, docker};
use crate::metrics::api::{
    DesiredStatus, EngineStatus, HistoryRow, HostStatus, SourceStatus, StatusReport, WhyReport,
};
use crate::state::condition::{Condition, ConditionKind, ServiceStatus};
use crate::state::decide::{Inputs, Removal, decide};
use crate::state::observed::{DependencyProgress, DependencyState, EngineSession, ObservedService};
use crate::state::plan::Lookups;
use crate::state::record::{Memo, Record};
use crate::state::space::Space;
use crate::state::time::Mono;
use crate::state::{lookups, network, status};

/// The engine, for reading only: what this returns has no method that writes.
///
/// # Errors
/// A sentence: the address or its certificates cannot be used. Whether anybody answers there is not asked.
pub(super) fn engine(settings: &Settings) -> Result<Arc<dyn Observe>, String> {
    docker(settings).map(|engine| Arc::new(engine) as Arc<dyn Observe>)
}

/// The same, for what can also be counted up.
///
/// # Errors
/// See [`engine`].
pub(super) fn docker(settings: &Settings) -> Result<impl CountUp + use<>, String> {
    let engine = docker::connect(settings.docker_host.as_deref(), &settings.instance);
    let engine = engine.map_err(|error| error.to_string())?;
    Ok(Adopted::new(engine, register(settings)?))
}

/// What the loader must know of this host.
pub(super) fn host_facts(settings: &Settings, facts: Option<&EngineFacts>) -> HostFacts {
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    HostFacts {
        name: settings.host.clone(),
        environment: environment.collect(),
        api: facts.map(|facts| facts.api),
        engine_version: facts.map(|facts| facts.version.clone()),
        platform: Some(platform(facts)),
        home: std::env::var("HOME").ok().filter(|home| !home.is_empty()),
        timezone: jiff::tz::TimeZone::system().iana_name().map(str::to_owned),
        provided: settings.secrets_dir.to_string_lossy().into_owned(),
        answers: Answers::default(),
    }
}

/// The engine's word; until it has been heard, this machine's own: usually they are the same.
fn platform(facts: Option<&EngineFacts>) -> Platform {
    let said = facts.filter(|facts| !facts.architecture.is_empty());
    let own =
        || Platform { os: std::env::consts::OS.to_owned(), architecture: std::env::consts::ARCH.to_owned() };
    said.map_or_else(own, |facts| Platform { os: facts.os.clone(), architecture: facts.architecture.clone() })
}

/// The desired state as it is in the files now.
///
/// # Errors
/// A sentence: the directory cannot be read as a whole.
pub(super) fn desired(settings: &Settings, facts: Option<&EngineFacts>) -> Result<Desired, String> {
    let host = host_facts(settings, facts);
    let known = host.clone();
    let read = sources::read(settings, Take::Applied, &(Arc::new(move || known.clone()) as Facts))?;
    let secrets = super::assemble::secrets(settings, true);
    let mut loader = SourcesLoader::default();
    loader.set_answers(super::assemble::book(settings)?.answers());
    let Loaded { state, diagnostics, pins: _ } = secrets.load(&mut loader, &read.snapshot, host);
    let sources = sources::statuses(settings, Some(&read.snapshot));
    Ok(Desired { state, problems: diagnostics, sources })
}

/// What the files say, with what is wrong in them and where they come from.
pub(super) struct Desired {
    pub state: DesiredState,
    pub problems: Vec<Diagnostic>,
    pub sources: Vec<SourceStatus>,
}

/// One service as it looks now.
struct Seen {
    record: Record,
    desired: Option<Wanted>,
    observed: ObservedService,
    condition: Condition,
    progress: DependencyState,
}

/// Everything, looked at twice: what depends on something else needs to know how far that is.
struct Whole {
    facts: Option<EngineFacts>,
    trouble: Option<String>,
    state: DesiredState,
    problems: Vec<Diagnostic>,
    sources: Vec<SourceStatus>,
    unreadable: Option<String>,
    seen: BTreeMap<ServiceId, Seen>,
    unmanaged: Option<Vec<String>>,
}

/// `status` without a daemon.
///
/// # Errors
/// An exit code, after saying why: the store cannot be read.
pub(super) async fn status(settings: &Settings, store: &Store) -> Result<StatusReport, i32> {
    let whole = whole(settings, store).await?;
    let services = whole.seen.iter().map(|(id, seen)| row(store, id, seen)).collect();
    Ok(StatusReport { host: host(settings, &whole), services })
}

/// `why` without a daemon.
///
/// # Errors
/// An exit code, after saying why.
pub(super) async fn why(settings: &Settings, store: &Store, service: &str) -> Result<WhyReport, i32> {
    let whole = whole(settings, store).await?;
    if let Some(trouble) = &whole.trouble {
        crate::note!("the engine cannot be asked: {trouble}");
    }
    let known: Vec<ServiceId> = whole.seen.keys().cloned().collect();
    let id = pick(service, &known).map_err(out::fail)?;
    let Some(seen) = whole.seen.get(&id) else { return Err(out::fail(format_args!("{id} is gone"))) };
    let history = store.history(Some(&id), 1).map_err(|error| out::fail(chain(&error)))?;
    let history = history.iter().map(|row| HistoryRow::of(&row.service, &row.entry)).collect();
    let problems = match &seen.desired {
        Some(Wanted::Frozen(problems)) => problems.iter().map(Diagnostic::headline).collect(),
        _ => Vec::new(),
    };
    Ok(WhyReport::of(row(store, &id, seen), &seen.record, history, problems))
}

async fn whole(settings: &Settings, store: &Store) -> Result<Whole, i32> {
    let records = store.load_all().map_err(|error| out::fail(chain(&error)))?;
    let engine = engine(settings).map_err(out::fail)?;
    let asked = engine.facts().await;
    let trouble = asked.as_ref().err().map(ToString::to_string);
    let facts = asked.ok();
    let (Desired { state, problems, sources }, unreadable) = match desired(settings, facts.as_ref()) {
        Ok(desired) => (desired, None),
        Err(error) => {
            let sources = sources::statuses(settings, None);
            (Desired { state: DesiredState::default(), problems: Vec::new(), sources }, Some(error))
        }
    };
    let seen = BTreeMap::new();
    let unmanaged = match (state.guard.report_unmanaged, engine.list_containers(&ContainerFilter::default()))
    {
        (true, rows) => rows.await.ok().map(|rows| not_ours(&rows, &settings.instance).into_iter().collect()),
        (false, _) => None,
    };
    let mut whole = Whole { facts, trouble, state, problems, sources, unreadable, seen, unmanaged };
    if let Some(adopted) = engine.adopted() {
        adopted.get().pause(&mut whole.state);
    }
    let wish = Wish::new(whole.state.clone(), Mono(0));
    let ids: BTreeSet<ServiceId> = whole.state.services.keys().chain(records.keys()).cloned().collect();
    for _round in 0..2 {
        for id in &ids {
            let record = records.get(id).cloned().unwrap_or_default();
            let wanted = wish.wanted(id, &record).map(std::borrow::Cow::into_owned);
            let seen = one(settings, &engine, &whole, &wish, id, record, wanted).await;
            whole.seen.insert(id.clone(), seen);
        }
    }
    Ok(whole)
}

async fn one(
    settings: &Settings,
    engine: &Arc<dyn Observe>,
    whole: &Whole,
    wish: &Wish,
    id: &ServiceId,
    record: Record,
    wanted: Option<Wanted>,
) -> Seen {
    let now = SystemClock.now();
    let lookups = lookups(id, wanted.as_ref(), &record, now);
    let surroundings = surroundings(whole, id, &lookups, &record);
    let observed = match &whole.trouble {
        Some(trouble) => Err(trouble.clone()),
        None => {
            let found = observe(&**engine, &settings.instance, id, &lookups, surroundings).await;
            found.map_err(|error| error.to_string()).map(|mut observed| {
                observed.foreign = network::foreign(&observed, &whole.state, &settings.instance);
                observed
            })
        }
    };
    let (observed, condition) = match observed {
        Ok(observed) => {
            let decision = decide(Inputs {
                id,
                owner: &settings.instance,
                desired: wanted.as_ref(),
                paused: wish.paused(id, wanted.as_ref(), now.wall),
                window: wish.window(id),
                removal: Removal::Held("nobody removes it: no daemon runs"),
                observed: &observed,
                record: &record,
                memo: &Memo::default(),
                refs_in_use: &wish.images,
                now,
                limits: settings.limits,
            });
            (observed, decision.condition)
        }
        Err(error) => {
            let text = format!("it could not be looked at: {error}");
            (ObservedService::default(), Condition::new(ConditionKind::Waiting, "EngineUnreachable", text))
        }
    };
    let progress = status::dependency(wanted.as_ref(), &observed, &record, &condition);
    Seen { record, desired: wanted, observed, condition, progress }
}

fn surroundings<'r>(
    whole: &Whole,
    id: &ServiceId,
    lookups: &Lookups,
    record: &'r Record,
) -> Surroundings<'r> {
    let dependency = |name: &ServiceName| {
        let id = ServiceId { project: id.project.clone(), service: name.clone() };
        let unknown = DependencyState {
            desired: whole.state.services.contains_key(&id),
            progress: DependencyProgress::Pending,
            serving: BTreeMap::new(),
        };
        whole.seen.get(&id).map_or(unknown, |seen| seen.progress.clone())
    };
    let tied = lookups.tied.iter().filter_map(|name| {
        let id = ServiceId { project: id.project.clone(), service: name.clone() };
        let seen = whole.seen.get(&id)?;
        Some((name.clone(), status::parent(&seen.observed, &seen.record)?.id))
    });
    let parent = lookups.parent.as_ref().and_then(|id| whole.seen.get(id));
    Surroundings {
        session: EngineSession::default(),
        recorded: &record.containers,
        dependencies: lookups.dependencies.iter().map(|name| (name.clone(), dependency(name))).collect(),
        parent: parent.and_then(|seen| status::parent(&seen.observed, &seen.record)).map(|parent| parent.id),
        tied: tied.collect(),
        disk_free: whole.facts.as_ref().and_then(|facts| space(Path::new(&facts.root_dir))),
    }
}

fn row(store: &Store, id: &ServiceId, seen: &Seen) -> ServiceStatus {
    let Seen { record, desired, observed, condition, progress: _ } = seen;
    // What happened last is when it became what it is, as far as anybody wrote it down.
    let last = store.history(Some(id), 1).ok().and_then(|rows| rows.first().map(|row| row.entry.at));
    let since = last.unwrap_or_else(|| SystemClock.now().wall);
    status::status(id, desired.as_ref(), observed, record, condition.clone(), None, since)
}

fn host(settings: &Settings, whole: &Whole) -> HostStatus {
    let facts = whole.facts.clone().unwrap_or_default();
    HostStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: settings.instance.clone(),
        host: settings.host.clone(),
        started: None,
        engine: EngineStatus {
            up: whole.facts.is_some(),
            version: facts.version,
            api: format!("{}.{}", facts.api.0, facts.api.1),
            simulated: facts.simulated,
            trouble: whole.trouble.clone(),
        },
        desired: DesiredStatus {
            path: sources::shown(settings),
            revision: String::new(),
            loaded: None,
            services: whole.state.services.len(),
            broken_files: whole.state.broken.keys().cloned().collect(),
            problems: whole.problems.iter().map(Diagnostic::headline).collect(),
            trouble: whole.unreadable.clone(),
            sources: whole.sources.clone(),
        },
        guard: None,
        store_writable: false,
        queue_depth: 0,
        unmanaged: whole.unmanaged.clone(),
    }
}

/// Room in the file system that this lies on. `None`: it cannot be told from here.
pub(super) fn space(path: &Path) -> Option<Space> {
    if path.as_os_str().is_empty() {
        return None;
    }
    statvfs(path).ok().map(|found| Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}
