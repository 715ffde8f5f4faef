//! The checker's own view of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::rules::{Promises, Row, Sample};
use crate::wire::{ask, escaped};

/// Longer than the engine takes for anything asked here, unless the container asked about hangs.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Look {
    socket: PathBuf,
    owner: String,
}

impl Look {
    pub fn new(socket: PathBuf, owner: &str) -> Self {
        Self { socket, owner: owner.to_owned() }
    }

    /// `None`: the engine says that there is no such thing.
    fn get(&self, target: &str) -> io::Result<Option<Value>> {
        let (status, body) = ask(&self.socket, target, PATIENCE)?;
        match status {
            200 => Ok(Some(serde_json::from_slice(&body)?)),
            404 => Ok(None),
            other => Err(io::Error::other(format!("{target}: {other}"))),
        }
    }

    fn rows(&self) -> io::Result<Vec<Row>> {
        let filter = format!("{{\"label\":[\"dev.evenkeel.owner={}\"]}}", self.owner);
        let list = self.get(&format!("/containers/json?all=1&filters={}", escaped(&filter)))?;
        let list = list.unwrap_or_default();
        Ok(list.as_array().into_iter().flatten().map(row).collect())
    }

    /// One list, and the objects that were promised.
    pub fn list(&self, promises: &Promises) -> io::Result<Sample> {
        self.with_objects(self.rows()?, promises)
    }

    /// The same with every container inspected twice: what counts as running did so, without a break, at one instant between.
    pub fn closely(&self, promises: &Promises) -> io::Result<Sample> {
        let mut rows = self.rows()?;
        let starts = |rows: &[Row]| -> io::Result<Vec<Option<String>>> {
            rows.iter().map(|row| self.running_since(&row.id)).collect()
        };
        let (before, after) = (starts(&rows)?, starts(&rows)?);
        for (row, (before, after)) in rows.iter_mut().zip(before.into_iter().zip(after)) {
            row.running = before.is_some() && before == after;
        }
        self.with_objects(rows, promises)
    }

    fn running_since(&self, id: &str) -> io::Result<Option<String>> {
        let seen = self.get(&format!("/containers/{id}/json"))?.unwrap_or_default();
        let state = &seen["State"];
        Ok((state["Status"] == "running").then(|| state["StartedAt"].to_string()))
    }

    fn with_objects(&self, containers: Vec<Row>, promises: &Promises) -> io::Result<Sample> {
        let mut images = BTreeMap::new();
        for id in &promises.images {
            if let Some(seen) = self.get(&format!("/images/{id}/json"))? {
                let tags = seen["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let ours = tags.filter(|tag| tag.starts_with("evenkeel/")).map(str::to_owned).collect();
                images.insert(id.clone(), ours);
            }
        }
        let mut volumes = BTreeSet::new();
        for name in &promises.volumes {
            if self.get(&format!("/volumes/{name}"))?.is_some() {
                volumes.insert(name.clone());
            }
        }
        Ok(Sample { containers, images, volumes, foreign: self.foreign(promises.foreign.keys())? })
    }

    /// What makes each of these objects (`containers/ID`, `volumes/NAME`, `networks/ID`, `images/ID`) what it is.
    pub fn foreign<'a>(
        &self,
        objects: impl Iterator<Item = &'a String>,
    ) -> io::Result<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        for object in objects {
            let target = match object.split_once('/') {
                Some(("containers" | "images", _)) => format!("/{object}/json"),
                _ => format!("/{object}"),
            };
            if let Some(seen) = self.get(&target)? {
                found.insert(object.clone(), fingerprint(&seen));
            }
        }
        Ok(found)
    }
}

fn row(json: &Value) -> Row {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ports = json["Ports"].as_array().into_iter().flatten();
    Row {
        id: text(&json["Id"]),
        name: text(&json["Names"][0]),
        service: text(&json["Labels"]["dev.evenkeel.service"]),
        running: json["State"] == "running",
        ports: ports.filter_map(|port| u16::try_from(port["PublicPort"].as_u64()?).ok()).collect(),
    }
}

/// Who it is, when it was made and started, and what it carries; nothing that moves by itself.
fn fingerprint(seen: &Value) -> String {
    let parts = [
        "/Id",
        "/Name",
        "/Created",
        "/CreatedAt",
        "/Labels",
        "/RepoTags",
        "/State/StartedAt",
        "/State/Status",
        "/RestartCount",
        "/Config/Labels",
        "/HostConfig/RestartPolicy",
        "/HostConfig/Memory",
        "/Mounts",
    ];
    let shown = parts.iter().filter_map(|part| seen.pointer(part)).map(Value::to_string);
    let networks = seen.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let networks = networks.map(|all| all.keys().cloned().collect::<Vec<_>>().join(","));
    shown.chain(networks).collect::<Vec<_>>().join(" ")
}
