//! The rarer fields, on the engine that is there.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::ident::ServiceName;
use evenkeel::desired::spec::{Link, Namespace, NetworkMode, Other, VolumesFrom};
use evenkeel::engine::{Engine, Observe};
use serde_json::{Value, json};

use super::world::World;
use crate::support::docker::inspect;

fn at<'a>(json: &'a Value, pointer: &str) -> &'a Value {
    json.pointer(pointer).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn the_engine_understands_the_rarer_fields() {
    let Some(world) = World::new() else { return };
    let mut creation = world.creation("rare", &["serve"]).await;
    let extra = &mut creation.spec.extra;
    extra.tty = true;
    extra.stdin_open = true;
    extra.domainname = Some("example.org".to_owned());
    extra.mac_address = Some("02:42:ac:11:7e:05".to_owned());
    extra.group_add = BTreeSet::from(["44".to_owned()]);
    extra.dns_opt = vec!["ndots:2".to_owned()];
    extra.dns_search = vec!["example.org".to_owned()];
    extra.oom_score_adj = Some(100);
    extra.device_cgroup_rules = vec!["c 1:3 mr".to_owned()];
    extra.unmasked = true;
    extra.ipc = Some(Namespace::Shareable);
    extra.pid = Some(Namespace::Host);
    extra.cgroup = Some("host".to_owned());
    creation.spec.network_mode = NetworkMode::Bridge;
    let id = world.running(&creation).await;
    let seen = inspect(&id.0).unwrap().json;
    let mac = json!("02:42:ac:11:7e:05");
    assert_eq!(at(&seen, "/NetworkSettings/Networks/bridge/MacAddress"), &mac, "{seen:#}");
    for (pointer, expected) in [
        ("/Config/Tty", json!(true)),
        ("/Config/OpenStdin", json!(true)),
        ("/Config/Domainname", json!("example.org")),
        ("/HostConfig/GroupAdd", json!(["44"])),
        ("/HostConfig/DnsOptions", json!(["ndots:2"])),
        ("/HostConfig/DnsSearch", json!(["example.org"])),
        ("/HostConfig/OomScoreAdj", json!(100)),
        ("/HostConfig/DeviceCgroupRules", json!(["c 1:3 mr"])),
        ("/HostConfig/MaskedPaths", json!([])),
        ("/HostConfig/ReadonlyPaths", json!([])),
        ("/HostConfig/IpcMode", json!("shareable")),
        ("/HostConfig/PidMode", json!("host")),
        ("/HostConfig/CgroupnsMode", json!("host")),
    ] {
        assert_eq!(at(&seen, pointer), &expected, "{pointer}");
    }
}

#[tokio::test]
async fn a_container_that_is_tied_to_another_one_says_to_which() {
    let Some(world) = World::new() else { return };
    let mut owner = world.creation("owner", &["serve"]).await;
    owner.spec.extra.ipc = Some(Namespace::Shareable);
    owner.spec.network_mode = NetworkMode::Bridge;
    let owner_id = world.running(&owner).await;
    let service = ServiceName::new("owner").unwrap();

    let mut tied = world.creation("tied", &["serve"]).await;
    tied.tied = BTreeMap::from([(service.clone(), owner_id.clone())]);
    tied.spec.network_mode = NetworkMode::Bridge;
    tied.spec.extra.ipc = Some(Namespace::Service(service.clone()));
    let from = Other::Service(service.clone());
    tied.spec.extra.volumes_from = vec![VolumesFrom { from: from.clone(), read_only: true }];
    let id = world.running(&tied).await;
    let seen = world.seen(&id).await;
    assert_eq!(seen.tied, BTreeSet::from([owner_id.0.clone()]), "ipc and volumes name one container");

    let mut linked = world.creation("linked", &["serve"]).await;
    linked.tied = tied.tied.clone();
    linked.spec.network_mode = NetworkMode::Bridge;
    linked.spec.extra.links = BTreeSet::from([Link { to: from, alias: "other".to_owned() }]);
    let id = world.running(&linked).await;
    assert_eq!(world.seen(&id).await.tied, BTreeSet::from([owner.name.clone()]), "a link tells a name");

    // A predecessor is renamed before another one has its name: that is how a link to it is known from one to its successor.
    let aside = format!("{}.aside", owner.name);
    world.docker.rename(&owner_id, &aside).await.unwrap();
    assert_eq!(world.seen(&id).await.tied, BTreeSet::from([aside]), "a link goes with the container's name");
}

#[tokio::test]
async fn what_an_endpoint_was_asked_for_is_what_is_reported_of_it() {
    let Some(world) = World::new() else { return };
    let network = world.network("links");
    let id = world.docker.create_network(&network, &world.host.project).await.unwrap();
    let mut creation = world.creation("end", &["serve"]).await;
    World::join(&mut creation, &network.name, &id, 0);
    let endpoint = creation.live.networks.get_mut(&network.name).unwrap();
    endpoint.links = BTreeSet::from(["end:myself".to_owned()]);
    endpoint.driver_opts = BTreeMap::from([("org.example".to_owned(), "1".to_owned())]);
    let wanted = evenkeel::state::observed::EndpointFacts::asked(endpoint);
    let container = world.running(&creation).await;
    let mut found = world.seen(&container).await.networks[&network.name].settings.clone();
    assert!(found.mac_address.is_some(), "{found:?}");
    found.mac_address = None;
    assert_eq!(found, wanted);
    assert_eq!(world.docker.inspect(&container).await.unwrap().unwrap().id, container);
}
