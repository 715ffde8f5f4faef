//! What an engine reports of a container made from a spec shows no drift from that spec: of every key of the language, through the create request and
//! what engines make of it (defaults of theirs and of the image merged in). `round_trip_engine` asks a real one.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::desired::{Wanted, load, manifest};
use evenkeel::engine::convert::{answers, create, observed};
use evenkeel::state::observed::{ContainerId, ImageFacts, OwnLabels};
use evenkeel::state::plan::Creation;
use evenkeel::state::record::RevisionId;
use evenkeel::state::seen::config_drift;
use serde_json::{Value, json};

/// Every service that the examples of the reference and of the language give, by a name for people.
pub fn services() -> Vec<(String, ServiceId, ServiceSpec)> {
    let mut found = Vec::new();
    for shape in manifest::examples() {
        for example in shape.keys {
            let text = shape.text(example);
            let mut files: BTreeMap<&str, String> =
                manifest::BASE.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
            if text.starts_with("# fleet.toml\n") {
                files.insert("fleet.toml", text);
            } else if text.starts_with("override") {
                files.insert("shop/example.toml", text);
            } else {
                files.insert("shop/example.toml", format!("override = true\n{text}"));
            }
            let files = files
                .into_iter()
                .map(|(path, text)| {
                    (RelPath::new(path).unwrap(), FileContent::Read(text.into_bytes().into()))
                })
                .collect();
            collect(&format!("{}.{}", shape.name, example.0), files, &mut found);
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples");
    for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let files = match std::fs::read(entry.path()) {
            Ok(bytes) => {
                BTreeMap::from([(RelPath::new("shop/app.toml").unwrap(), FileContent::Read(bytes.into()))])
            }
            Err(_) => match evenkeel::source::read_snapshot(&entry.path()) {
                Ok(snapshot) => snapshot.files,
                Err(_) => continue,
            },
        };
        collect(&name, files, &mut found);
    }
    found
}

fn collect(
    name: &str,
    files: BTreeMap<RelPath, FileContent>,
    found: &mut Vec<(String, ServiceId, ServiceSpec)>,
) {
    let snapshot = Snapshot { root: "/srv/desired".to_owned(), files, ..Snapshot::default() };
    let host = HostFacts {
        name: "fra1".to_owned(),
        home: Some("/root".to_owned()),
        api: Some((1, 54)),
        engine_version: Some("29.0".to_owned()),
        ..HostFacts::default()
    };
    let (state, _problems): (_, Vec<Diagnostic>) = load(&snapshot, &host);
    for (id, wanted) in state.services {
        if let Wanted::Run(revision) = wanted {
            let spec = ServiceSpec::clone(&revision.spec);
            if found.iter().all(|(_, known, other)| *known != id || other.container != spec.container) {
                found.push((format!("{name}: {id}"), id, spec));
            }
        }
    }
}

pub fn creation(id: &ServiceId, spec: &ServiceSpec, image: &ImageFacts, owner: &str) -> Creation {
    let hash = SpecHash::of(&spec.container);
    let networks = spec.live.networks.keys().map(|name| (name.clone(), format!("id-of-{name}")));
    Creation {
        name: id.container_name(1),
        spec: spec.container.clone(),
        live: spec.live.clone(),
        labels: OwnLabels {
            hook: None,
            job: None,
            owner: owner.to_owned(),
            service: id.clone(),
            slot: 1,
            revision: RevisionId::of(&hash, &image.id),
            spec: hash,
            image: image.id.clone(),
            image_ref: spec.container.image.clone(),
            image_digest: None,
            source: "shop/web.toml:1".to_owned(),
        },
        image: image.clone(),
        network_ids: networks.collect(),
        parent: Some(ContainerId("ab".repeat(32))),
        inherited: BTreeMap::new(),
        tied: spec
            .container
            .extra
            .ties()
            .map(|(name, _)| (name.clone(), ContainerId("cd".repeat(32))))
            .collect(),
    }
}

/// An image that gives something of everything.
pub fn image() -> ImageFacts {
    let answer: answers::Image = serde_json::from_value(json!({
        "Id": format!("sha256:{}", "1f".repeat(32)), "RepoTags": ["web:1"], "Architecture": "amd64",
        "Config": {
            "Env": ["PATH=/bin", "LANG=C"], "Cmd": ["serve"], "Entrypoint": ["/program"], "User": "1000", "WorkingDir": "/srv",
            "Labels": {"maintainer": "ada"}, "StopSignal": "SIGQUIT", "ExposedPorts": {"8080/tcp": {}},
            "Volumes": {"/var/lib/image": {}}, "Healthcheck": {"Test": ["CMD", "/program", "check"], "Interval": 5_000_000_000_i64},
        },
    }))
    .unwrap();
    observed::image(answer)
}

/// What an engine answers to an inspect of what this request made: RELIABILITY and every engine tried say what it adds.
pub fn inspected(creation: &Creation, old: bool) -> answers::Container {
    let entrypoint = create::needs_entrypoint(&creation.spec)
        .then(|| creation.image.defaults.as_ref().unwrap().entrypoint.clone());
    let api = if old { (1, 41) } else { (1, 51) };
    let request = create::request(creation, api, entrypoint).unwrap();
    let body = serde_json::to_value(&request.body).unwrap();
    let mut config = body.clone();
    let object = config.as_object_mut().unwrap();
    object.remove("HostConfig");
    object.remove("NetworkingConfig");
    let defaults = creation.image.defaults.clone().unwrap();
    let set = |config: &Value, key: &str| config.get(key).is_some_and(|value| !value.is_null());
    let own_entrypoint = body["Entrypoint"].as_array().is_some_and(|words| !words.is_empty());
    if body["Cmd"].as_array().is_none_or(Vec::is_empty) && !own_entrypoint {
        config["Cmd"] = json!(defaults.command);
    }
    if !set(&body, "Entrypoint") {
        config["Entrypoint"] = json!(defaults.entrypoint);
    }
    let mut env: Vec<String> =
        body["Env"].as_array().into_iter().flatten().map(|line| line.as_str().unwrap().to_owned()).collect();
    let names: BTreeSet<String> = env.iter().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    for (name, value) in &defaults.environment {
        if !names.contains(name) {
            env.push(format!("{name}={}", value.expose()));
        }
    }
    config["Env"] = json!(env);
    for (key, value) in [
        ("User", &defaults.user),
        ("WorkingDir", &defaults.working_dir),
        ("StopSignal", &defaults.stop_signal),
    ] {
        if !set(&body, key) {
            config[key] = json!(value);
        }
    }
    let mut labels = body["Labels"].clone();
    for (name, value) in &defaults.labels {
        labels.as_object_mut().unwrap().entry(name.clone()).or_insert(json!(value));
    }
    config["Labels"] = labels;
    // bollard's type has a list of exposed ports; engines answer with a set.
    let exposed: Vec<String> = serde_json::from_value(body["ExposedPorts"].clone()).unwrap_or_else(|_| {
        body["ExposedPorts"].as_object().map(|ports| ports.keys().cloned().collect()).unwrap_or_default()
    });
    config["ExposedPorts"] =
        exposed.into_iter().chain(["8080/tcp".to_owned()]).map(|port| (port, json!({}))).collect();
    if config["Hostname"].is_null() {
        config["Hostname"] = json!("5f5f5f5f5f5f");
    }
    let check = defaults.healthcheck.clone().unwrap();
    let mut health = body["Healthcheck"].clone();
    if health.is_null() {
        health = json!({"Test": check.test, "Interval": check.interval});
    } else if health["Test"] != json!(["NONE"]) {
        if health["Test"].is_null() {
            health["Test"] = json!(check.test);
        }
        if health["Interval"].is_null() {
            health["Interval"] = json!(check.interval);
        }
        if old {
            health.as_object_mut().unwrap().remove("StartInterval");
        }
    }
    config["Healthcheck"] = health;
    let mut host = body["HostConfig"].clone();
    for (key, value) in [
        ("ShmSize", json!(64 << 20)),
        ("LogConfig", json!({"Type": "json-file", "Config": {"max-size": "10m"}})),
        ("Runtime", json!("runc")),
        ("IpcMode", json!("private")),
        ("CgroupnsMode", json!("host")),
        ("MaskedPaths", json!(["/proc/kcore"])),
    ] {
        if host.get(key).is_none_or(Value::is_null) {
            host[key] = value;
        }
    }
    if let Some(memory) = host["Memory"].as_i64().filter(|_| host["MemorySwap"].is_null()) {
        host["MemorySwap"] = json!(memory * 2);
    }
    if host["LogConfig"]["Type"].is_null() {
        host["LogConfig"]["Type"] = json!("json-file");
    }
    if host["Privileged"] == json!(true) {
        let mut options = host["SecurityOpt"].as_array().cloned().unwrap_or_default();
        options.push(json!("label=disable"));
        host["SecurityOpt"] = json!(options);
    }
    let mounts = mounts(&host);
    serde_json::from_value(json!({
        "Id": "5f".repeat(32), "Name": format!("/{}", creation.name), "Created": "2026-11-22T05:33:02.5Z",
        "Image": creation.image.id.0, "State": {"Status": "created"}, "Config": config, "HostConfig": host,
        "NetworkSettings": {"Networks": {}}, "Mounts": mounts,
    }))
    .unwrap()
}

/// The list of what is mounted, from both lists of the request.
fn mounts(host: &Value) -> Vec<Value> {
    let mut found =
        vec![json!({"Type": "volume", "Name": "3c".repeat(32), "Destination": "/var/lib/image", "RW": true})];
    for line in host["Binds"].as_array().into_iter().flatten() {
        let parts: Vec<&str> = line.as_str().unwrap().split(':').collect();
        let options = parts.get(2).copied().unwrap_or_default();
        let propagation = options.split(',').find(|word| word.contains("shared") || word.contains("slave"));
        found.push(json!({"Type": "bind", "Source": parts[0], "Destination": parts[1],
            "RW": !options.split(',').any(|word| word == "ro"), "Propagation": propagation.unwrap_or("rprivate")}));
    }
    for mount in host["Mounts"].as_array().into_iter().flatten() {
        let name = mount["Source"].as_str().map_or_else(|| "4d".repeat(32), str::to_owned);
        let kind = mount["Type"].as_str().unwrap_or_default().to_lowercase();
        let propagation = mount["BindOptions"]["Propagation"].as_str().unwrap_or("rprivate");
        found.push(match kind.as_str() {
            "bind" => json!({"Type": kind, "Source": name, "Destination": mount["Target"],
                "RW": mount["ReadOnly"] != json!(true), "Propagation": propagation}),
            _ => json!({"Type": kind, "Name": name, "Destination": mount["Target"], "RW": mount["ReadOnly"] != json!(true)}),
        });
    }
    found
}

#[test]
fn no_key_of_the_language_shows_as_drift_of_what_was_made_from_it() {
    let (image, services) = (image(), services());
    assert!(services.len() > 60, "only {}", services.len());
    let mut wrong = Vec::new();
    for (name, id, spec) in &services {
        let creation = creation(id, spec, &image, "me");
        for old in [true, false] {
            let found = observed::container(&inspected(&creation, old), "me").unwrap();
            let drift = config_drift(&spec.container, &found, &image).unwrap();
            if !drift.is_empty() {
                wrong.push(format!("{name} (old engine: {old}): {drift:?}"));
            }
            if found.resources != spec.live.resources {
                wrong.push(format!("{name}: {:?} for {:?}", found.resources, spec.live.resources));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), services.len(), wrong.join("\n"));
}
