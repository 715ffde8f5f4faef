//! The border to the engine's API, as tables: each field of a spec and the request it becomes, answers of several engines and what
//! they are taken for.

mod host_rows;
mod inspected;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::{ProjectName, ServiceId, ServiceName};
use evenkeel::desired::secret::Sensitive;
use evenkeel::desired::spec::{
    ContainerPort, ContainerSpec, Device, Endpoint, Healthcheck, HealthcheckSpec, Ipam, IpamPool, LiveSpec,
    Logging, Mount, MountSource, NetworkMode, NetworkSpec, PortBinding, Protocol, Resources, RestartPolicy,
    ServiceSpec, Ulimit, VolumeSpec,
};
use evenkeel::engine::convert::{answers, create, labels, network, observed, resources};
use evenkeel::state::observed::{
    ContainerId, ContainerStatus, Health, ImageFacts, ImageId, ObservedContainer, OwnLabels, label,
};
use evenkeel::state::plan::Creation;
use evenkeel::state::record::RevisionId;
use evenkeel::state::time::EngineStamp;
use serde_json::{Value, json};

const API: (u32, u32) = (1, 41);

fn image_id(digit: &str) -> ImageId {
    ImageId(format!("sha256:{}", digit.repeat(64)))
}

/// A creation of this spec: every network and every other service's container there is an id for.
pub fn creation_of(spec: ServiceSpec) -> Creation {
    let service = |name: &str| (ServiceName::new(name).unwrap(), ContainerId(name.repeat(3)));
    let names = spec.live.networks.keys();
    Creation {
        network_ids: names.map(|name| (name.clone(), format!("id-of-{name}"))).collect(),
        parent: Some(ContainerId("db".repeat(3))),
        tied: ["db", "cache"].map(service).into(),
        spec: spec.container,
        live: spec.live,
        ..plain()
    }
}

/// The request as it is sent.
pub fn request_of(creation: &Creation, api: (u32, u32)) -> Value {
    serde_json::to_value(create::request(creation, api, None).unwrap()).unwrap()
}

/// The plainest creation: slot 2 of `shop/web`, no network.
fn plain() -> Creation {
    let spec = ContainerSpec {
        image: "web:1".to_owned(),
        platform: None,
        command: None,
        entrypoint: None,
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        user: None,
        working_dir: None,
        hostname: None,
        init: None,
        stop_signal: None,
        stop_grace_period: None,
        healthcheck: Healthcheck::Inherit,
        ports: BTreeSet::new(),
        expose: BTreeSet::new(),
        mounts: BTreeMap::new(),
        tmpfs: BTreeMap::new(),
        network_mode: NetworkMode::None,
        logging: None,
        read_only: false,
        privileged: false,
        cap_add: BTreeSet::new(),
        cap_drop: BTreeSet::new(),
        security_opt: BTreeSet::new(),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        devices: Vec::new(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        shm_size: None,
        lifecycle: evenkeel::desired::hooks::Lifecycle::default(),
        extra: Default::default(),
    };
    let hash = SpecHash::of(&spec);
    let image = image_id("a");
    Creation {
        name: "shop-web-2".to_owned(),
        live: LiveSpec::default(),
        labels: OwnLabels {
            owner: "host-1".to_owned(),
            service: ServiceId::new("shop", "web").unwrap(),
            slot: 2,
            revision: RevisionId::of(&hash, &image),
            spec: hash,
            image: image.clone(),
            image_ref: "web:1".to_owned(),
            image_digest: Some("web@sha256:00".to_owned()),
            source: "shop/web.toml:3".to_owned(),
            hook: None,
            job: None,
        },
        spec,
        image: ImageFacts {
            id: image,
            digests: Vec::new(),
            tags: vec!["web:1".to_owned()],
            has_healthcheck: false,
            size: 1,
            architecture: "amd64".to_owned(),
            volumes: BTreeSet::from(["/var/lib/web/".to_owned()]),
            defaults: None,
        },
        network_ids: BTreeMap::from([
            ("shop_a".to_owned(), "1a".to_owned()),
            ("shop_b".to_owned(), "1b".to_owned()),
        ]),
        parent: None,
        tied: Default::default(),
        inherited: BTreeMap::new(),
    }
}

fn body_for(creation: &Creation, api: (u32, u32)) -> Value {
    serde_json::to_value(create::request(creation, api, None).unwrap().body).unwrap()
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn bind(
    path: &str,
    create: bool,
    propagation: Option<&str>,
    selinux: Option<char>,
    read_only: bool,
) -> Mount {
    let propagation = propagation.map(str::to_owned);
    Mount {
        source: MountSource::Bind {
            path: path.to_owned(),
            create,
            propagation,
            selinux,
            content: None,
            recursive: None,
        },
        read_only,
    }
}

fn mounted(creation: &mut Creation, target: &str, mount: Mount) {
    creation.spec.mounts.insert(target.to_owned(), mount);
}

fn joined(creation: &mut Creation, name: &str, endpoint: Endpoint) {
    creation.spec.network_mode = NetworkMode::Networks;
    creation.live.networks.insert(name.to_owned(), endpoint);
}

#[test]
fn each_field_of_a_spec_becomes_its_field_of_the_request() {
    let rows = [
        rows::process_rows(),
        rows::label_rows(),
        rows::network_rows(),
        host_rows::mount_rows(),
        host_rows::host_rows(),
    ]
    .concat();
    assert!(rows.len() >= 90, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, adjust, pointer, expected) in rows {
        let mut creation = plain();
        adjust(&mut creation);
        let body = body_for(&creation, API);
        let found = body.pointer(pointer).cloned().unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}: {pointer} is {found}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plain_request_says_nothing_that_nobody_asked_for() {
    let body = body_for(&plain(), API);
    let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["HostConfig", "Image", "Labels"]));
    assert_eq!(body["HostConfig"], json!({"NetworkMode": "none", "RestartPolicy": {"Name": "no"}}));
}

#[test]
fn newer_engines_make_a_host_path_with_a_colon_too() {
    let mut creation = plain();
    mounted(&mut creation, "/t", bind("/h:1", true, None, None, false));
    let mount = body_for(&creation, (1, 42))["HostConfig"]["Mounts"][0].clone();
    assert_eq!(mount["BindOptions"], json!({"CreateMountpoint": true}));
}

#[test]
fn further_networks_are_joined_in_the_order_of_their_priority() {
    let mut creation = plain();
    creation.network_ids.insert("shop_c".to_owned(), "1c".to_owned());
    for (name, priority) in [("shop_a", 1), ("shop_b", 9), ("shop_c", 1)] {
        joined(&mut creation, name, Endpoint { priority, ..Endpoint::default() });
    }
    let request = create::request(&creation, API, None).unwrap();
    let order: Vec<_> = request.then_connect.iter().map(|joined| joined.network_id.as_str()).collect();
    assert_eq!(order, ["1a", "1c"]);
    creation.network_ids.remove("shop_c");
    assert!(create::request(&creation, API, None).unwrap_err().contains("shop_c"));
}

#[test]
fn no_command_takes_the_images_entrypoint_along_and_nothing_else_does() {
    let image = Some(texts(&["/entry"]));
    for (command, entrypoint, expected) in [
        (Some(vec![]), None, json!(["/entry"])),
        (Some(texts(&["x"])), None, Value::Null),
        (None, None, Value::Null),
        (Some(vec![]), Some(texts(&["/own"])), json!(["/own"])),
    ] {
        let mut creation = plain();
        (creation.spec.command, creation.spec.entrypoint) = (command, entrypoint);
        let body =
            serde_json::to_value(create::request(&creation, API, image.clone()).unwrap().body).unwrap();
        assert_eq!(body.get("Entrypoint").cloned().unwrap_or_default(), expected);
    }
}

#[test]
fn a_network_and_a_volume_are_made_as_defined_and_carry_whose_they_are() {
    let project = ProjectName::new("shop").unwrap();
    let spec = NetworkSpec {
        project: project.clone(),
        key: "front".to_owned(),
        name: "shop_front".to_owned(),
        external: false,
        driver: Some("bridge".to_owned()),
        options: pairs(&[("mtu", "1400")]),
        internal: true,
        attachable: true,
        enable_ipv6: true,
        enable_ipv4: None,
        ipam: Ipam {
            driver: None,
            config: vec![IpamPool {
                subnet: Some("10.5.0.0/24".to_owned()),
                ip_range: Some("10.5.0.0/25".to_owned()),
                gateway: Some("10.5.0.1".to_owned()),
                aux_addresses: pairs(&[("router", "10.5.0.2")]),
            }],
            options: BTreeMap::new(),
        },
        labels: pairs(&[("a", "b")]),
        source: Default::default(),
    };
    let body = serde_json::to_value(network::create(&spec, "host-1")).unwrap();
    let mut labels = body["Labels"].clone();
    let definition = labels.as_object_mut().unwrap().remove(label::DEFINITION).unwrap();
    assert_eq!(definition.as_str().unwrap().len(), 64);
    assert_eq!(
        labels,
        json!({"a": "b", "dev.evenkeel.owner": "host-1", "dev.evenkeel.project": "shop", "dev.evenkeel.network": "front",
            "com.docker.compose.project": "shop", "com.docker.compose.network": "front"})
    );
    assert_eq!(
        body["IPAM"],
        json!({"Config": [{"Subnet": "10.5.0.0/24", "IPRange": "10.5.0.0/25", "Gateway": "10.5.0.1",
            "AuxiliaryAddresses": {"router": "10.5.0.2"}}]})
    );
    for (pointer, expected) in [
        ("/Name", json!("shop_front")),
        ("/Driver", json!("bridge")),
        ("/Internal", json!(true)),
        ("/Attachable", json!(true)),
        ("/EnableIPv6", json!(true)),
        ("/Options", json!({"mtu": "1400"})),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}");
    }
    let spec = VolumeSpec {
        project,
        key: "data".to_owned(),
        name: "shop_data".to_owned(),
        external: false,
        driver: Some("local".to_owned()),
        driver_opts: pairs(&[("type", "nfs")]),
        labels: BTreeMap::new(),
        source: Default::default(),
    };
    let body = serde_json::to_value(network::create_volume(&spec, "host-1")).unwrap();
    assert_eq!((&body["Name"], &body["DriverOpts"]), (&json!("shop_data"), &json!({"type": "nfs"})));
    assert_eq!(body["Labels"][label::VOLUME], json!("data"));
    assert_eq!(body["Labels"][label::COMPOSE_VOLUME], json!("data"));
}

#[test]
fn labels_read_back_as_written_and_any_that_is_missing_or_odd_is_refused() {
    let own = plain().labels;
    let written = labels::of_container(&BTreeMap::new(), &own);
    assert_eq!(labels::decode(&written, "host-1").unwrap(), own);
    for name in [
        label::OWNER,
        label::PROJECT,
        label::SERVICE,
        label::SLOT,
        label::REVISION,
        label::SPEC,
        label::IMAGE_ID,
        label::IMAGE_REF,
        label::SOURCE,
    ] {
        let mut without = written.clone();
        without.remove(name);
        labels::decode(&without, "host-1").expect_err(name);
    }
    for (name, odd) in [
        (label::OWNER, "host-2"),
        (label::PROJECT, "../x"),
        (label::SERVICE, ""),
        (label::SLOT, "0"),
        (label::SLOT, "02"),
        (label::SLOT, "-1"),
        (label::SLOT, "99999999999"),
        (label::REVISION, "abc"),
        (label::SPEC, "ABC"),
        (label::IMAGE_ID, "web:1"),
    ] {
        let mut changed = written.clone();
        changed.insert(name.to_owned(), odd.to_owned());
        let why = labels::decode(&changed, "host-1").expect_err(odd).to_string();
        assert!(why.contains(odd) || why.contains(name), "{why}");
    }
}
