//! Round trip: what files say becomes a request, the engine tells it back, and nothing is left to do.
//!
//! Over every form of every key in the tables of `tests/it/keys`, the examples of whole states, and what real compose files
//! are converted to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use evenkeel::cli::convert::check;
use evenkeel::controller::preview::{PlanReport, Question, preview};
use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::{MountSource, NetworkMode, ServiceSpec};
use evenkeel::desired::{DesiredState, Wanted, load};
use evenkeel::engine::convert::{answers, create, observed};
use evenkeel::engine::sim::made_up;
use evenkeel::state::decide::Limits;
use evenkeel::state::observed::{ContainerId, OwnLabels};
use evenkeel::state::plan::Creation;
use evenkeel::state::record::RevisionId;
use evenkeel::state::time::Timestamp;
use serde_json::{Value, json};

use crate::compose_corpus;
use crate::keys::{Good, all_good, file, load_text};
use crate::rig::{OWNER, Rig};
use crate::support::machine;

const API: (u32, u32) = (1, 54);

/// Every state that the round trip is made with: what it is called, and what it wants.
pub fn states() -> Vec<(String, DesiredState)> {
    let mut states = Vec::new();
    for Good(lines, ..) in all_good() {
        states.push((lines.to_owned(), load_text(&file(lines)).0));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples");
    for name in ["01-hello.toml", "02-shop.toml", "06-traefik.toml"] {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let vars = "DB_PASSWORD=x\nACME_EMAIL=me@example.com\nDOMAIN=example.com\n";
        let files = [("shop/it.toml", text.as_str()), ("shop/.env", vars)];
        let files = files.map(|(path, text)| {
            (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into()))
        });
        let snapshot = Snapshot { root: "/desired".to_owned(), files: files.into(), ..Snapshot::default() };
        let host = HostFacts { name: "box".to_owned(), ..HostFacts::default() };
        states.push((name.to_owned(), load(&snapshot, &host).0));
    }
    states
}

/// What the real compose files want of a host, as far as they load: the sample `.env` beside a file counts.
pub fn real() -> Vec<(String, DesiredState)> {
    let files = compose_corpus::corpus();
    let host = HostFacts {
        name: "box".to_owned(),
        home: Some("/root".to_owned()),
        api: Some(API),
        ..HostFacts::default()
    };
    let state = |file: &std::path::PathBuf| {
        let (documents, _) = compose_corpus::converted(file).ok()?;
        let env = std::fs::read(format!("{}.env", file.display())).unwrap_or_default();
        let mut content = BTreeMap::from([("project/.env".to_owned(), env)]);
        for (number, toml) in documents.into_iter().enumerate() {
            content.insert(format!("project/{number:02}.toml"), toml.into_bytes());
        }
        // Variables that are set nowhere get a value, as after a conversion.
        let state = check("/srv", &content, "project/.env", &host).state;
        Some((file.file_name()?.to_string_lossy().into_owned(), state))
    };
    files.iter().filter_map(state).collect()
}

pub fn specs(state: &DesiredState) -> impl Iterator<Item = (&ServiceId, &ServiceSpec)> {
    state.services.iter().filter_map(|(id, wanted)| match wanted {
        Wanted::Run(revision) => Some((id, &*revision.spec)),
        Wanted::Frozen(_) => None,
    })
}

/// The creation of slot 1, as the controller makes it.
fn creation(id: &ServiceId, spec: &ServiceSpec) -> Creation {
    let image = made_up(&spec.container.image);
    let hash = SpecHash::of(&spec.container);
    Creation {
        name: id.container_name(1),
        live: spec.live.clone(),
        labels: OwnLabels {
            owner: OWNER.to_owned(),
            service: id.clone(),
            slot: 1,
            revision: RevisionId::of(&hash, &image.id),
            spec: hash,
            image: image.id.clone(),
            image_ref: spec.container.image.clone(),
            image_digest: None,
            source: spec.source.label(),
            hook: None,
            job: None,
        },
        spec: spec.container.clone(),
        image,
        network_ids: spec.live.networks.keys().map(|name| (name.clone(), format!("id-of-{name}"))).collect(),
        parent: matches!(spec.container.network_mode, NetworkMode::Service(_))
            .then(|| ContainerId("ab".repeat(32))),
        inherited: BTreeMap::new(),
        tied: spec
            .container
            .extra
            .ties()
            .map(|(name, _)| (name.clone(), ContainerId("cd".repeat(32))))
            .collect(),
    }
}

/// What an engine's inspect says of a container that was made by this request: its own words, and those of the request.
fn inspected(creation: &Creation, request: &create::CreateRequest) -> answers::Container {
    let body = serde_json::to_value(&request.body).unwrap();
    let mut networks = serde_json::Map::new();
    let first = body.pointer("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object);
    let joined = first.into_iter().flatten().map(|(network, settings)| (network.clone(), settings.clone()));
    let later = request
        .then_connect
        .iter()
        .map(|joined| (joined.network_id.clone(), serde_json::to_value(&joined.settings).unwrap()));
    for (network, mut settings) in joined.chain(later) {
        settings["NetworkID"] = network.clone().into();
        networks.insert(network.trim_start_matches("id-of-").to_owned(), settings);
    }
    let answer = json!({
        "Id": "5f".repeat(32),
        "Name": format!("/{}", creation.name),
        "Created": "2026-11-22T05:33:02.5Z",
        "Image": creation.image.id.0,
        "State": { "Status": "running", "Running": true, "StartedAt": "2026-11-22T05:33:03Z" },
        "Config": body,
        "HostConfig": body["HostConfig"],
        "NetworkSettings": { "Networks": networks },
        "Mounts": [],
    });
    serde_json::from_value(answer).unwrap()
}

#[test]
fn a_request_is_told_back_as_what_was_asked_for() {
    let seen = told_back(&states());
    assert!(seen > 600, "{seen} services");
}

#[test]
fn so_is_every_service_of_real_compose_files() {
    let states = real();
    if states.is_empty() {
        machine::skip("no real compose files here");
        return;
    }
    let seen = told_back(&states);
    let all: usize = states.iter().map(|(_, state)| state.services.len()).sum();
    println!(
        "{seen} of {all} services of {} files; the others do not load, or their images are built",
        states.len()
    );
    assert!(seen * 5 > all * 2, "only {seen} of {all} services are run");
}

fn told_back(states: &[(String, DesiredState)]) -> usize {
    let mut seen = 0;
    for (name, state) in states {
        for (id, spec) in specs(state) {
            let creation = creation(id, spec);
            let request =
                create::request(&creation, API, None).unwrap_or_else(|error| panic!("{name}: {error}"));
            let found = observed::container(&inspected(&creation, &request), OWNER)
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert_eq!(found.labels, creation.labels, "{name}");
            assert_eq!(found.resources, spec.live.resources, "{name}: {id}");
            assert_eq!(found.name, id.container_name(1), "{name}");
            // Its own bridge is told of where a request speaks of it, and is no network of the files.
            let own = |name: &&String| name.as_str() != "bridge" || spec.live.networks.contains_key(*name);
            let wanted: BTreeSet<&String> = spec.live.networks.keys().collect();
            assert_eq!(found.networks.keys().filter(own).collect::<BTreeSet<_>>(), wanted, "{name}: {id}");
            for (network, endpoint) in &spec.live.networks {
                let aliases = evenkeel::state::live::aliases(id, endpoint);
                assert!(found.networks[network].aliases.is_superset(&aliases), "{name}: {id} in {network}");
            }
            assert_eq!(found.stop_timeout, spec.container.stop_grace_period, "{name}: {id}");
            seen += 1;
        }
    }
    seen
}

async fn plan(rig: &Rig, desired: DesiredState) -> PlanReport {
    use evenkeel::controller::records::Records;
    let mut records = BTreeMap::new();
    for id in rig.records.services().await.unwrap() {
        records.insert(id.clone(), rig.records.load(&id).await.unwrap());
    }
    let question = Question {
        engine: &rig.sim,
        owner: OWNER,
        desired,
        records,
        session: rig.records.session().await.unwrap(),
        limits: Limits::default(),
        only: BTreeSet::new(),
        wall: Timestamp(1_767_225_600_000),
    };
    preview(question).await.unwrap()
}

/// Uses something that is made elsewhere, which a simulated host does not have.
fn wants_what_is_elsewhere(state: &DesiredState) -> bool {
    let networks: BTreeSet<&String> =
        state.networks.iter().filter(|(_, spec)| spec.external).map(|(name, _)| name).collect();
    let volumes: BTreeSet<&String> =
        state.volumes.iter().filter(|(_, spec)| spec.external).map(|(name, _)| name).collect();
    specs(state).any(|(_, spec)| {
        let mounts = spec.container.mounts.values().any(|mount| {
            matches!(&mount.source, MountSource::Volume { name: Some(name), .. } if volumes.contains(name))
        });
        mounts
            || spec.live.networks.keys().any(|name| networks.contains(name))
            || matches!(spec.container.network_mode, NetworkMode::Container(_))
    })
}

#[tokio::test(start_paused = true)]
async fn a_plan_after_an_apply_is_empty() {
    let (empty, skipped) = applied_and_planned(states()).await;
    assert!(empty > 300 && skipped.len() < 30, "{empty} tried, not these: {skipped:#?}");
}

#[tokio::test(start_paused = true)]
async fn so_is_one_of_real_compose_files() {
    let states: Vec<_> = real().into_iter().filter(|(_, state)| specs(state).next().is_some()).collect();
    if states.is_empty() {
        machine::skip("no real compose files here");
        return;
    }
    let all = states.len();
    let (empty, skipped) = applied_and_planned(states).await;
    println!("{empty} of {all} files, {} not tried: they need what is made elsewhere", skipped.len());
    assert!(empty * 4 > all * 3, "{empty} of {all}");
}

async fn applied_and_planned(states: Vec<(String, DesiredState)>) -> (usize, Vec<String>) {
    let (mut empty, mut skipped) = (0, Vec::new());
    for (name, state) in states {
        if wants_what_is_elsewhere(&state) {
            skipped.push(name);
            continue;
        }
        let rig = Rig::new();
        let report = rig.apply_with("", |application| application.desired = state.clone()).await;
        let again = plan(&rig, state).await;
        let left: Vec<String> = again
            .services
            .iter()
            .flat_map(|plan| &plan.steps)
            .chain(again.objects.iter().flat_map(|plan| &plan.steps))
            .map(|step| format!("{} ({})", step.step, step.cause))
            .collect();
        assert!(left.is_empty(), "{name}\n{left:#?}\n{:#?}", report.services);
        let differs: Vec<_> = again.services.iter().filter(|plan| !plan.differences.is_empty()).collect();
        assert!(differs.is_empty(), "{name}\n{differs:#?}");
        empty += 1;
    }
    (empty, skipped)
}
