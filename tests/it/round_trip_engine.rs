//! The round trip over a real engine: what is made from a definition is reported so that nothing is left to do about it, whatever the engine
//! and the image add, and in whatever spelling it comes back.
//!
//! Containers are made and not started, many at a time. What only a running one shows is laid over the report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{
    Endpoint, Healthcheck, MountSource, Namespace, NetworkMode, Other, PullPolicy, ServiceSpec,
};
use evenkeel::desired::{Revision, Wanted};
use evenkeel::engine::{Engine, Observe, docker};
use evenkeel::state::decide::{Inputs, Limits, Removal, decide};
use evenkeel::state::observed::*;
use evenkeel::state::record::{KeptRevision, Record, RevisionId, RevisionVerdict};
use evenkeel::state::time::{Mono, Now, Timestamp};
use futures_util::StreamExt;

use crate::support::Host;
use crate::support::docker::{docker as run, try_docker};
use crate::{round_trip, told_back};

/// Requests under way.
const AT_ONCE: usize = 16;
/// Definitions that are tried, of a good thousand; all of them with `PROVE=full`. Some are refused by some engines.
const TRIED: usize = 220;

/// What every definition is put on: the networks, volumes, paths and containers it names become these.
struct Site {
    owner: String,
    folder: std::path::PathBuf,
    network: ObservedNetwork,
    volume: String,
    /// The container of every other service.
    other: ContainerId,
    image: ImageFacts,
}

impl Site {
    /// The same definition with what it needs on this host.
    fn placed(&self, mut spec: ServiceSpec, number: usize) -> ServiceSpec {
        let container = &mut spec.container;
        container.image.clone_from(&self.image.tags[0]);
        container.platform = None;
        for (target, mount) in &mut container.mounts {
            match &mut mount.source {
                MountSource::Bind { path, .. } => {
                    let place = self.folder.join(target.trim_matches('/').replace('/', "-"));
                    std::fs::create_dir_all(&place).unwrap();
                    *path = place.to_string_lossy().into_owned();
                }
                MountSource::Volume { name: Some(name), key, .. } => {
                    name.clone_from(&self.volume);
                    *key = None;
                }
                _ => {}
            }
        }
        let other = self.other.0.clone();
        if let NetworkMode::Container(name) = &mut container.network_mode {
            name.clone_from(&other);
        }
        for space in [&mut container.extra.ipc, &mut container.extra.pid] {
            if let Some(Namespace::Container(name)) = space {
                name.clone_from(&other);
            }
        }
        for from in &mut container.extra.volumes_from {
            if let Other::Container(name) = &mut from.from {
                name.clone_from(&other);
            }
        }
        container.extra.links = std::mem::take(&mut container.extra.links)
            .into_iter()
            .map(|mut link| {
                if let Other::Container(name) = &mut link.to {
                    name.clone_from(&other);
                }
                link
            })
            .collect();
        let joined = spec.live.networks.values().next().cloned();
        spec.live.networks.clear();
        if container.network_mode == NetworkMode::Networks {
            let aliases = joined.map(|endpoint| endpoint.aliases).unwrap_or_default();
            let endpoint = Endpoint { aliases, ..Endpoint::default() };
            spec.live.networks.insert(self.network.name.clone(), endpoint);
        }
        spec.live.container_name = Some(format!("{}-{number}", self.owner));
        spec.live.files.clear();
        spec.policy.replicas = 1;
        spec.policy.pull = PullPolicy::Missing;
        spec.policy.depends_on.clear();
        spec.policy.probe = None;
        spec
    }

    /// What is left to do when this container runs and has proved itself.
    fn left(&self, id: &ServiceId, wanted: &Revision, mut seen: ObservedContainer) -> Vec<String> {
        let spec = &*wanted.spec;
        let revision = RevisionId::of(&wanted.hash, &self.image.id);
        seen.status = ContainerStatus::Running;
        seen.started_at = Some(seen.created_at);
        seen.restart = spec.live.restart;
        seen.health = match &spec.container.healthcheck {
            Healthcheck::Set(_) => Health::Healthy,
            _ => Health::None,
        };
        let parent = Parent {
            id: self.other.clone(),
            name: format!("{}-other", self.owner),
            running: true,
            started_at: None,
        };
        let tied: BTreeMap<_, _> =
            spec.container.extra.ties().map(|(name, _)| (name.clone(), parent.clone())).collect();
        let kept = KeptRevision {
            id: revision.clone(),
            number: 1,
            hash: wanted.hash.clone(),
            spec: Arc::clone(&wanted.spec),
            image: self.image.id.clone(),
            digest: None,
            pulled: false,
            verdict: RevisionVerdict::Good,
            cause: String::new(),
            since: Timestamp(0),
            good_since: Some(Timestamp(0)),
            evidence: None,
        };
        let record = Record {
            revisions: vec![kept],
            good: Some(revision.clone()),
            wish: Some(wanted.wish.clone()),
            containers: BTreeSet::from([seen.id.clone()]),
            source: spec.source.file.clone(),
            sequence: 1,
            ..Record::default()
        };
        let volume =
            ObservedVolume { name: self.volume.clone(), driver: "local".to_owned(), labels: BTreeMap::new() };
        let mounted = spec.container.mounts.values().filter_map(|mount| match &mount.source {
            MountSource::Image { reference, .. } => Some((reference.clone(), true)),
            _ => None,
        });
        let observed = ObservedService {
            session: EngineSession(1),
            containers: vec![seen],
            image: Some(self.image.clone()),
            kept_images: BTreeMap::from([(self.image.id.clone(), self.image.clone())]),
            keep_tags: BTreeMap::from([(revision.short().to_owned(), self.image.id.clone())]),
            networks: BTreeMap::from([(self.network.name.clone(), vec![self.network.clone()])]),
            volumes: BTreeMap::from([(self.volume.clone(), Some(volume))]),
            parent: Some(parent),
            dependencies: tied
                .keys()
                .map(|name| {
                    let progress = DependencyProgress::Running;
                    (name.clone(), DependencyState { desired: true, progress, serving: BTreeMap::new() })
                })
                .collect(),
            tied,
            mounted_images: mounted.collect(),
            ..ObservedService::default()
        };
        let desired = Wanted::run(wanted.clone());
        let decision = decide(Inputs {
            id,
            owner: &self.owner,
            desired: Some(&desired),
            removal: Removal::Allowed,
            paused: None,
            window: None,
            observed: &observed,
            record: &record,
            memo: &evenkeel::state::record::Memo::default(),
            refs_in_use: &BTreeSet::new(),
            now: Now { wall: Timestamp(1_800_000_000_000), mono: Mono(1_000_000) },
            limits: Limits::default(),
        });
        let steps = decision.plan.iter().map(|planned| format!("{:?} ({})", planned.step, planned.cause));
        // Weights, rates and limits that the kernel cannot do are told and not tried again and again.
        let changes = decision.condition.reason != "AsDesired";
        steps.chain(changes.then(|| format!("{:?}", decision.condition))).collect()
    }
}

fn full() -> bool {
    std::env::var("PROVE").is_ok_and(|value| value == "full")
}

/// Definitions by a name for people: every form of every key, the examples, and services of real compose files where there are some.
fn definitions() -> Vec<(String, ServiceId, ServiceSpec)> {
    let of = |states: Vec<(String, evenkeel::desired::DesiredState)>| {
        let mut found = Vec::new();
        for (name, state) in states {
            let own = told_back::specs(&state).map(|(id, spec)| (name.clone(), id.clone(), spec.clone()));
            found.extend(own);
        }
        found
    };
    let mut found = round_trip::services();
    found.extend(of(told_back::states()));
    if full() {
        found.extend(of(told_back::real()));
    }
    found
}

/// As many of them as there is time for, from all over.
fn sample<T>(all: Vec<T>) -> Vec<T> {
    let (count, wanted) = (all.len(), if full() { usize::MAX } else { TRIED });
    let chosen =
        |number: usize| count <= wanted || (number * wanted) / count != ((number + 1) * wanted) / count;
    all.into_iter().enumerate().filter(|(number, _)| chosen(*number)).map(|(_, one)| one).collect()
}

#[test]
fn a_plan_after_an_apply_is_empty_for_everything_that_the_real_engine_makes() {
    let Some(host) = Host::new() else { return };
    let began = Instant::now();
    let reference = host.image("1.0", &[("LANG", "C")], &["serve"]);
    let (network, volume) = (format!("{}_net", host.project), format!("{}_data", host.project));
    run(&["network", "create", "--label", &host.label(), &network]);
    run(&["volume", "create", "--label", &host.label(), &volume]);
    let other = host.foreign(&format!("{}-other", host.project), &reference, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = docker::connect(crate::support::machine::address().as_deref(), &host.project).unwrap();
    let site = runtime.block_on(async {
        Site {
            owner: host.project.clone(),
            folder: host.root().join("mounted"),
            network: engine.networks_named(&network).await.unwrap().remove(0),
            volume,
            other: ContainerId(other),
            image: engine.inspect_image(&reference).await.unwrap().unwrap(),
        }
    });
    let mut seen = BTreeSet::new();
    let mut tried: Vec<(String, ServiceId, Revision)> = Vec::new();
    for (number, (name, id, spec)) in definitions().into_iter().enumerate() {
        let revision = Revision::of(site.placed(spec, number));
        if seen.insert(format!("{} {:?}", revision.hash, revision.spec.live.resources)) {
            tried.push((name, id, revision));
        }
    }
    let tried = sample(tried);
    let results: Vec<(Option<ContainerId>, Vec<String>)> = runtime.block_on(async {
        let made = tried.iter().map(|(name, id, wanted)| {
            let (site, engine) = (&site, &engine);
            async move {
                let mut creation = round_trip::creation(id, &wanted.spec, &site.image, &site.owner);
                creation.name = wanted.spec.live.container_name.clone().unwrap();
                creation.labels.revision = RevisionId::of(&wanted.hash, &site.image.id);
                creation.network_ids = BTreeMap::from([(site.network.name.clone(), site.network.id.clone())]);
                creation.parent = Some(site.other.clone());
                creation.tied.values_mut().for_each(|tied| tied.clone_from(&site.other));
                match engine.create(&creation).await {
                    Ok(container) => {
                        let seen = engine.inspect(&container).await.unwrap().unwrap();
                        (Some(container), site.left(id, wanted, seen))
                    }
                    Err(error) => (None, vec![format!("{name}: {error}")]),
                }
            }
        });
        futures_util::stream::iter(made).buffered(AT_ONCE).collect().await
    });
    let made: Vec<&str> = results.iter().filter_map(|(id, _)| id.as_ref()).map(|id| id.0.as_str()).collect();
    remove(&made);
    let refused: Vec<&String> =
        results.iter().filter(|(id, _)| id.is_none()).flat_map(|(_, told)| told).collect();
    let wrong: Vec<String> = results
        .iter()
        .zip(&tried)
        .filter(|((id, left), _)| id.is_some() && !left.is_empty())
        .map(|((_, left), (name, ..))| format!("{name}: {left:#?}"))
        .collect();
    eprintln!(
        "{} definitions made in {:.1} s, {} refused by this engine: {refused:#?}",
        made.len(),
        began.elapsed().as_secs_f32(),
        refused.len()
    );
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), made.len(), wrong.join("\n"));
    assert!(made.len() >= 200, "only {} could be made: {refused:#?}", made.len());
}

/// With their anonymous volumes, by a few clients at once.
fn remove(containers: &[&str]) {
    std::thread::scope(|scope| {
        for part in containers.chunks(containers.len().div_ceil(4).max(1)) {
            scope.spawn(move || {
                for some in part.chunks(50) {
                    let command = ["rm", "--force", "--volumes"].into_iter().chain(some.iter().copied());
                    let _removed = try_docker(&command.collect::<Vec<_>>());
                }
            });
        }
    });
}
