//! Requests mean on the real engine what the spec says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel::desired::secret::Sensitive;
use evenkeel::desired::spec::{
    ContainerPort, Device, Healthcheck, HealthcheckSpec, Logging, Mount, MountSource, NetworkMode,
    PortBinding, Protocol, Ulimit,
};
use evenkeel::engine::docker::connect;
use evenkeel::engine::{ContainerFilter, Engine, EventKind, Observe};
use evenkeel::state::observed::{ContainerStatus, label};
use evenkeel::state::plan::Failure;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::world::World;
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::wait::free_port;

fn at<'a>(json: &'a Value, pointer: &str) -> &'a Value {
    json.pointer(pointer).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn the_engine_understands_every_field_of_a_spec() {
    let Some(world) = World::new() else { return };
    let mut creation = world.creation("all", &["serve"]).await;
    let port = free_port();
    let spec = &mut creation.spec;
    spec.environment = BTreeMap::from([
        ("GREETING".to_owned(), Some(Sensitive::new("hello = world"))),
        ("VERSION".to_owned(), None),
    ]);
    spec.labels = BTreeMap::from([("org.example".to_owned(), "yes".to_owned())]);
    spec.user = Some("65534".to_owned());
    spec.working_dir = Some("/tmp".to_owned());
    spec.hostname = Some("box".to_owned());
    spec.init = Some(false);
    spec.stop_signal = Some("SIGINT".to_owned());
    spec.stop_grace_period = Some(4);
    spec.healthcheck = Healthcheck::Set(HealthcheckSpec {
        test: vec!["CMD".to_owned(), "/program".to_owned(), "check".to_owned()],
        interval: Some(1_000_000_000),
        timeout: Some(2_000_000_000),
        start_period: Some(3_000_000_000),
        start_interval: None,
        retries: Some(4),
    });
    let tcp = |port| ContainerPort { port, protocol: Protocol::Tcp };
    let local = Some("127.0.0.1".parse().unwrap());
    spec.ports =
        BTreeSet::from([PortBinding { container: tcp(8080), host_ip: local, host_port: Some((port, port)) }]);
    spec.expose = BTreeSet::from([tcp(9000)]);
    spec.tmpfs = BTreeMap::from([("/scratch".to_owned(), "size=1m".to_owned())]);
    spec.logging = Some(Logging {
        driver: Some("json-file".to_owned()),
        options: BTreeMap::from([("max-size".to_owned(), "1m".to_owned())]),
    });
    spec.read_only = true;
    spec.cap_add = BTreeSet::from(["NET_BIND_SERVICE".to_owned()]);
    spec.cap_drop = BTreeSet::from(["ALL".to_owned()]);
    spec.security_opt = BTreeSet::from(["no-new-privileges".to_owned()]);
    spec.extra_hosts = vec!["peer:10.1.2.3".to_owned()];
    spec.dns = vec!["10.9.9.9".to_owned()];
    spec.devices = vec![Device {
        host: "/dev/null".to_owned(),
        container: "/dev/nothing".to_owned(),
        permissions: "rw".to_owned(),
    }];
    spec.ulimits = BTreeMap::from([("nofile".to_owned(), Ulimit { soft: 100, hard: 200 })]);
    spec.shm_size = Some(8 << 20);
    spec.network_mode = NetworkMode::Bridge;
    let id = world.running(&creation).await;
    let seen = inspect(&id.0).unwrap().json;
    for (pointer, expected) in [
        ("/Config/User", json!("65534")),
        ("/Config/WorkingDir", json!("/tmp")),
        ("/Config/Hostname", json!("box")),
        ("/Config/StopSignal", json!("SIGINT")),
        ("/Config/StopTimeout", json!(4)),
        ("/Config/Healthcheck/Retries", json!(4)),
        ("/Config/Labels/org.example", json!("yes")),
        ("/Config/Labels/com.docker.compose.oneoff", json!("False")),
        ("/Config/Labels/com.docker.compose.container-number", json!("1")),
        ("/Config/ExposedPorts/9000~1tcp", json!({})),
        ("/HostConfig/PortBindings/8080~1tcp/0/HostPort", json!(port.to_string())),
        ("/NetworkSettings/Ports/8080~1tcp/0/HostIp", json!("127.0.0.1")),
        ("/HostConfig/Tmpfs/~1scratch", json!("size=1m")),
        ("/HostConfig/LogConfig/Config/max-size", json!("1m")),
        ("/HostConfig/ReadonlyRootfs", json!(true)),
        ("/HostConfig/CapDrop/0", json!("ALL")),
        ("/HostConfig/SecurityOpt/0", json!("no-new-privileges")),
        ("/HostConfig/ExtraHosts/0", json!("peer:10.1.2.3")),
        ("/HostConfig/Dns/0", json!("10.9.9.9")),
        ("/HostConfig/Devices/0/PathInContainer", json!("/dev/nothing")),
        ("/HostConfig/Ulimits/0/Soft", json!(100)),
        ("/HostConfig/ShmSize", json!(8 << 20)),
        ("/HostConfig/RestartPolicy/Name", json!("no")),
        ("/State/Running", json!(true)),
    ] {
        assert_eq!(at(&seen, pointer), &expected, "{pointer}");
    }
    let environment = at(&seen, "/Config/Env").as_array().unwrap();
    assert!(
        environment.contains(&json!("GREETING=hello = world")) && environment.contains(&json!("VERSION"))
    );
    let found = world.seen(&id).await;
    assert_eq!(
        (found.labels, found.stop_timeout, found.image),
        (creation.labels, Some(4), creation.image.id)
    );
}

#[tokio::test]
async fn no_command_at_all_leaves_the_images_entrypoint_alone() {
    let Some(world) = World::new() else { return };
    let mut creation = world.creation("bare", &[]).await;
    creation.spec.command = Some(Vec::new());
    let id = world.docker.create(&creation).await.unwrap();
    let seen = inspect(&id.0).unwrap().json;
    assert_eq!(at(&seen, "/Config/Entrypoint"), &json!(["/program"]));
    assert!(at(&seen, "/Config/Cmd").as_array().is_none_or(Vec::is_empty), "{}", at(&seen, "/Config/Cmd"));
}

#[tokio::test]
async fn a_missing_host_path_is_made_when_asked_and_refused_when_not() {
    let Some(world) = World::new() else { return };
    let bind = |path: &str, create| Mount {
        source: MountSource::Bind {
            path: path.to_owned(),
            create,
            propagation: None,
            selinux: None,
            content: None,
            recursive: None,
        },
        read_only: true,
    };
    let folder = world.host.root().join("host");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut creation = world.creation("binds", &["serve"]).await;
    creation.spec.mounts = BTreeMap::from([("/data".to_owned(), bind(&path("made"), true))]);
    world.running(&creation).await;
    assert!(folder.join("made").is_dir());

    let mut creation = world.creation("refused", &["serve"]).await;
    creation.spec.mounts = BTreeMap::from([("/data".to_owned(), bind(&path("missing"), false))]);
    let error = world.docker.create(&creation).await.unwrap_err();
    assert_eq!(error.kind, Failure::Invalid, "{error}");
    assert!(!folder.join("missing").exists());
}

#[tokio::test]
async fn volumes_named_and_anonymous_are_seen_and_handed_over() {
    let Some(world) = World::new() else { return };
    let volume = world.volume("data");
    world.docker.create_volume(&volume, &world.host.project).await.unwrap();
    let mount = |name: Option<&str>| Mount {
        source: MountSource::Volume {
            name: name.map(str::to_owned),
            key: None,
            no_copy: false,
            subpath: None,
            labels: BTreeMap::new(),
        },
        read_only: false,
    };
    let mut creation = world.creation("old", &["serve"]).await;
    creation.spec.mounts =
        BTreeMap::from([("/data".to_owned(), mount(Some(&volume.name))), ("/cache".to_owned(), mount(None))]);
    let old = world.seen(&world.docker.create(&creation).await.unwrap()).await;
    assert_eq!(old.volumes["/data"], volume.name);
    let anonymous = old.volumes["/cache"].clone();
    assert_eq!(anonymous.len(), 64);

    creation.name = format!("{}-new-1", world.host.project);
    creation.inherited = old.volumes.clone();
    let new = world.seen(&world.docker.create(&creation).await.unwrap()).await;
    assert_eq!(new.volumes, old.volumes);
    world.docker.remove(&old.id, false).await.unwrap();
    world.docker.remove(&new.id, false).await.unwrap();
    assert!(world.docker.volume(&anonymous).await.unwrap().is_some(), "volumes outlive every container");
    docker(&["volume", "rm", &anonymous]);
}

#[tokio::test]
async fn several_networks_are_joined_before_the_start_even_with_a_twin_of_the_same_name() {
    let Some(world) = World::new() else { return };
    let owner = &world.host.project;
    let (front, back) = (world.network("front"), world.network("back"));
    let front_id = world.docker.create_network(&front, owner).await.unwrap();
    let back_id = world.docker.create_network(&back, owner).await.unwrap();
    // Old engines make a second network of the same name without a word; newer ones refuse.
    let twin = json!({ "Name": front.name, "Labels": { "evenkeel-test": owner } }).to_string();
    let twin_made = std::process::Command::new("curl")
        .args(["--silent", "--fail", "--unix-socket"])
        .arg(crate::support::machine::socket())
        .args(["--header", "Content-Type: application/json", "--data", &twin])
        .arg("http://engine/v1.41/networks/create")
        .output()
        .is_ok_and(|output| output.status.success());
    let named = world.docker.networks_named(&front.name).await.unwrap();
    assert_eq!(named.len(), if twin_made { 2 } else { 1 });

    let mut creation = world.creation("web", &["serve"]).await;
    World::join(&mut creation, &front.name, &front_id, 0);
    World::join(&mut creation, &back.name, &back_id, 10);
    creation.live.networks.get_mut(&back.name).unwrap().aliases.insert("other".to_owned());
    let id = world.running(&creation).await;
    let seen = world.seen(&id).await;
    assert_eq!(seen.networks[&front.name].network_id, front_id);
    assert_eq!(seen.networks[&back.name].network_id, back_id);
    let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(seen.networks[&front.name].aliases, text(&["web"]));
    assert_eq!(seen.networks[&back.name].aliases, text(&["other", "web"]));
    assert_eq!(seen.network_mode, back.name, "the first joined, by priority");

    // Leaving and joining again, twice each: already so is fine.
    for _ in 0..2 {
        world.docker.disconnect(&front_id, &id).await.unwrap();
    }
    assert!(!world.seen(&id).await.networks.contains_key(&front.name));
    for _ in 0..2 {
        let endpoint = &creation.live.networks[&front.name];
        world.docker.connect(&front_id, &id, endpoint, &text(&["web"])).await.unwrap();
    }
    assert_eq!(world.seen(&id).await.networks[&front.name].aliases, text(&["web"]));
    let attached = world.docker.networks_named(&back.name).await.unwrap();
    assert!(attached[0].containers.contains(&id));
}

#[tokio::test]
async fn a_container_that_cannot_join_all_its_networks_is_not_left_behind() {
    let Some(world) = World::new() else { return };
    let mut creation = world.creation("half", &["serve"]).await;
    for (key, priority) in [("front", 1), ("back", 0)] {
        let network = world.network(key);
        let id = world.docker.create_network(&network, &world.host.project).await.unwrap();
        World::join(&mut creation, &network.name, &id, priority);
    }
    let back = world.network("back").name;
    creation.live.networks.get_mut(&back).unwrap().ipv4_address = Some("no address".to_owned());
    let error = world.docker.create(&creation).await.unwrap_err();
    assert_eq!(error.kind, Failure::Invalid, "{error}");
    assert!(error.to_string().contains(&back), "{error}");
    assert!(inspect(&creation.name).is_none());
}

#[tokio::test]
async fn of_many_requests_for_one_network_one_network_comes() {
    let Some(world) = World::new() else { return };
    let (network, owner) = (world.network("one"), world.host.project.as_str());
    let requests = (0..8).map(|_| world.docker.create_network(&network, owner));
    let ids: BTreeSet<String> =
        futures_util::future::join_all(requests).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1);
    let named = world.docker.networks_named(&network.name).await.unwrap();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].labels[label::OWNER], owner);
    assert_eq!(named[0].labels[label::COMPOSE_NETWORK], "one");
    assert_eq!(world.docker.owned_networks(owner).await.unwrap(), named);
    // Its name within a longer one is another network.
    assert_eq!(world.docker.networks_named(&network.name[1..]).await.unwrap(), []);
    for _ in 0..2 {
        world.docker.remove_network(&named[0].id).await.unwrap();
    }
}

#[tokio::test]
async fn foreign_networks_volumes_and_containers_are_not_taken_for_ours() {
    let Some(world) = World::new() else { return };
    let (network, volume) = (world.network("theirs"), world.volume("theirs"));
    docker(&["network", "create", "--label", &world.label(), &network.name]);
    docker(&["volume", "create", "--label", &world.label(), &volume.name]);
    let owner = &world.host.project;
    assert_eq!(world.docker.create_network(&network, owner).await.unwrap_err().kind, Failure::Conflict);
    assert_eq!(world.docker.create_volume(&volume, owner).await.unwrap_err().kind, Failure::Conflict);

    let creation = world.creation("web", &["serve"]).await;
    let id = world.docker.create(&creation).await.unwrap();
    assert_eq!(world.docker.create(&creation).await.unwrap(), id, "a lost answer is found again");
    let stranger = connect(None, "someone-else").unwrap();
    let error = stranger.inspect(&id).await.unwrap_err();
    assert_eq!(error.kind, Failure::Conflict);
    assert!(error.message.contains(owner.as_str()), "{error}");
}

#[tokio::test]
async fn the_list_has_every_state_and_holds_to_its_filter() {
    let Some(world) = World::new() else { return };
    let port = free_port();
    let mut creation = world.creation("up", &["serve"]).await;
    creation.spec.network_mode = NetworkMode::Bridge;
    creation.spec.ports = BTreeSet::from([PortBinding {
        container: ContainerPort { port: 8080, protocol: Protocol::Tcp },
        host_ip: None,
        host_port: Some((port, port)),
    }]);
    let up = world.running(&creation).await;
    let down = world.docker.create(&world.creation("down", &["serve"]).await).await.unwrap();
    let labels = BTreeMap::from([(label::OWNER.to_owned(), world.host.project.clone())]);
    let listed = world
        .docker
        .list_containers(&ContainerFilter { labels, ..ContainerFilter::default() })
        .await
        .unwrap();
    let row = |id| listed.iter().find(|row| row.id == id).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(row(down).status, ContainerStatus::Created);
    let up = row(up);
    assert_eq!((up.status, up.names[0].as_str()), (ContainerStatus::Running, creation.name.as_str()));
    assert_eq!(up.host_ports, BTreeSet::from([(port, "tcp".to_owned())]));
    assert!(world.docker.list_containers(&ContainerFilter::default()).await.unwrap().len() >= 2);
}

#[tokio::test]
async fn what_happens_after_the_subscription_is_in_the_stream() {
    let Some(world) = World::new() else { return };
    let creation = world.creation("seen", &["serve"]).await;
    let mut events = world.docker.events().await.unwrap();
    let id = world.docker.create(&creation).await.unwrap();
    let first = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if event.object == id.0 {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(10), first).await.unwrap();
    assert_eq!((event.kind, event.action.as_str()), (EventKind::Container, "create"));
    assert_eq!(event.attributes[label::OWNER], world.host.project);
}

#[tokio::test]
async fn a_creation_whose_caller_went_away_is_carried_out() {
    let Some(world) = World::new() else { return };
    let creation = world.creation("orphan", &["serve"]).await;
    world.docker.facts().await.unwrap();
    let mut call = Box::pin(world.docker.create(&creation));
    // Polled once, so that it has begun; then dropped.
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while inspect(&creation.name).is_none() {
        assert!(std::time::Instant::now() < end, "it was never created");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_container_between_two_starts_is_there_whatever_rename_says() {
    let Some(world) = World::new() else { return };
    let creation = world.creation("loop", &["fail", "1"]).await;
    let id = world.docker.create(&creation).await.unwrap();
    world.docker.set_restart(&id, evenkeel::desired::spec::RestartPolicy::Always).await.unwrap();
    world.docker.start(&id).await.unwrap();
    world.until(&id, |seen| seen.status == ContainerStatus::Restarting && seen.restart_count > 3).await;
    let name = format!("{}.old", creation.name);
    match world.docker.rename(&id, &name).await {
        Ok(()) => assert_eq!(world.seen(&id).await.name, name),
        Err(error) => assert_eq!(error.kind, Failure::Conflict, "{error}"),
    }
    world.docker.stop(&id, Some(1)).await.unwrap();
    world.docker.remove(&id, true).await.unwrap();
    world.docker.remove(&id, true).await.unwrap();
}

#[tokio::test]
async fn force_never_kills_what_runs() {
    let Some(world) = World::new() else { return };
    let id = world.running(&world.creation("alive", &["serve"]).await).await;
    let error = world.docker.remove(&id, true).await.unwrap_err();
    assert_eq!(error.kind, Failure::Conflict, "{error}");
    assert_eq!(world.seen(&id).await.status, ContainerStatus::Running);
}

#[tokio::test]
async fn what_it_was_created_with_is_gone_and_the_start_says_so() {
    let Some(world) = World::new() else { return };
    let network = world.network("brief");
    let network_id = world.docker.create_network(&network, &world.host.project).await.unwrap();
    let mut creation = world.creation("lost", &["serve"]).await;
    World::join(&mut creation, &network.name, &network_id, 0);
    let id = world.docker.create(&creation).await.unwrap();
    world.docker.remove_network(&network_id).await.unwrap();
    let error = world.docker.start(&id).await.unwrap_err();
    assert_eq!(error.kind, Failure::NotFound, "{error}");
    assert!(error.message.contains("created with"), "{error}");
    assert_eq!(world.seen(&id).await.status, ContainerStatus::Created);
}

#[tokio::test]
async fn a_user_whom_the_image_does_not_know_is_the_specs_fault() {
    let Some(world) = World::new() else { return };
    let mut creation = world.creation("user", &["serve"]).await;
    creation.spec.user = Some("nobody-here".to_owned());
    let id = world.docker.create(&creation).await.unwrap();
    let error = world.docker.start(&id).await.unwrap_err();
    assert_eq!(error.kind, Failure::Invalid, "{error}");
}

#[tokio::test]
async fn tags_are_given_read_and_taken_and_twice_is_fine() {
    let Some(world) = World::new() else { return };
    let creation = world.creation("tags", &["serve"]).await;
    let repository = format!("evenkeel/{}-tags", world.host.project);
    for tag in ["aaaaaaaa", "bbbbbbbb", "bbbbbbbb"] {
        world.docker.tag(&creation.image.id, &repository, tag).await.unwrap();
    }
    let tags = world.docker.repository_tags(&repository).await.unwrap();
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["aaaaaaaa", "bbbbbbbb"]);
    assert!(tags.values().all(|image| *image == creation.image.id));
    for tag in ["aaaaaaaa", "bbbbbbbb", "bbbbbbbb"] {
        world.docker.untag(&format!("{repository}:{tag}")).await.unwrap();
    }
    assert_eq!(world.docker.repository_tags(&repository).await.unwrap(), BTreeMap::new());
    assert_eq!(world.docker.inspect_image("evenkeel/never-made:1").await.unwrap(), None);
}

#[tokio::test]
async fn a_pull_that_cannot_reach_its_registry_fails_at_once_and_as_such() {
    let Some(world) = World::new() else { return };
    let error = world.docker.pull("127.0.0.1:1/nothing:1", None, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind, Failure::Registry, "{error}");
    let error = world.docker.pull("Not A Reference", None, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind, Failure::Invalid, "{error}");
}

#[tokio::test]
async fn the_engine_says_who_it_is() {
    let Some(world) = World::new() else { return };
    let facts = world.docker.facts().await.unwrap();
    let version = try_docker(&["version", "--format", "{{.Server.Version}}"]).unwrap();
    assert_eq!(facts.version, version);
    assert!(facts.api >= (1, 41) && facts.api <= evenkeel::engine::NEWEST_TESTED_API);
    assert!(!facts.id.is_empty() && facts.root_dir.starts_with('/') && !facts.simulated);
}
