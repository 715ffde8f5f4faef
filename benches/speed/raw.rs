//! The engine's own share: the bare calls, with nothing between them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::wire::Wire;

/// What a container of a benchmark is made of.
pub struct Spec<'a> {
    pub image: &'a str,
    pub network: &'a str,
    pub alias: &'a str,
    /// Host port for the program's 8080.
    pub port: Option<u16>,
    /// Found by this label when it is cleaned up.
    pub label: (&'a str, &'a str),
}

impl Spec<'_> {
    fn body(&self) -> Value {
        let ports = self.port.map(|port| json!({ "8080/tcp": [{ "HostPort": port.to_string() }] }));
        json!({
            "Image": self.image,
            "Labels": { self.label.0: self.label.1 },
            "ExposedPorts": { "8080/tcp": {} },
            "HostConfig": {
                "NetworkMode": self.network,
                "PortBindings": ports.unwrap_or_else(|| json!({})),
                "RestartPolicy": { "Name": "unless-stopped" },
            },
            "NetworkingConfig": { "EndpointsConfig": { self.network: { "Aliases": [self.alias] } } },
        })
    }

    pub fn create(&self, wire: &mut Wire, name: &str) -> String {
        let made = wire.must("POST", &format!("/containers/create?name={name}"), Some(&self.body()));
        made["Id"].as_str().expect("an id").to_owned()
    }
}

pub fn start(wire: &mut Wire, id: &str) {
    wire.must("POST", &format!("/containers/{id}/start"), None);
}

pub fn stop(wire: &mut Wire, id: &str) {
    wire.must("POST", &format!("/containers/{id}/stop?t=10"), None);
}

pub fn rename(wire: &mut Wire, id: &str, name: &str) {
    wire.must("POST", &format!("/containers/{id}/rename?name={name}"), None);
}

pub fn remove(wire: &mut Wire, id: &str) {
    wire.must("DELETE", &format!("/containers/{id}?force=1"), None);
}

pub fn create_network(wire: &mut Wire, name: &str, label: (&str, &str)) -> String {
    let body = json!({ "Name": name, "CheckDuplicate": true, "Labels": { label.0: label.1 } });
    wire.must("POST", "/networks/create", Some(&body))["Id"].as_str().expect("an id").to_owned()
}

/// Docker 20.10 may lose an endpoint when containers are removed side by side, and then holds the network to be in use until that
/// endpoint is taken off by force. One that stays all the same is left to the engine's next start: nothing joins it again.
pub fn remove_network(wire: &mut Wire, id: &str) {
    let path = format!("/networks/{id}");
    for _ in 0..3 {
        let answer = wire.call("DELETE", &path, None);
        if answer.status != 403 {
            assert!(answer.status < 300 || answer.status == 404, "DELETE {path}: {}", answer.status);
            return;
        }
        let seen = wire.must("GET", &path, None);
        for (container, endpoint) in seen["Containers"].as_object().into_iter().flatten() {
            for name in [container.as_str(), endpoint["Name"].as_str().unwrap_or_default()] {
                let body = json!({ "Container": name, "Force": true });
                wire.call("POST", &format!("{path}/disconnect"), Some(&body));
            }
        }
    }
    eprintln!("the network {id} could not be removed: the engine says that it is in use");
}

/// Creates and starts this many containers, so many at a time, each on its worker's own connection. Returns their ids.
pub fn fleet<'s>(
    count: usize,
    workers: usize,
    spec: &(dyn Fn() -> Spec<'s> + Sync),
    name: &str,
) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut wire = Wire::open();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let id = spec().create(&mut wire, &format!("{name}-{number}"));
                    start(&mut wire, &id);
                    made.lock().expect("no worker panicked").push(id);
                }
            });
        }
    });
    made.into_inner().expect("no worker panicked")
}

/// Removes them, eight at a time.
pub fn remove_all(ids: &[String]) {
    thread::scope(|scope| {
        for part in ids.chunks(ids.len().div_ceil(8).max(1)) {
            scope.spawn(move || {
                let mut wire = Wire::open();
                part.iter().for_each(|id| remove(&mut wire, id));
            });
        }
    });
}
