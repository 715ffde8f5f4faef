//! What few services ask for. Everything here is left out of the canonical form while it says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::desired::ident::ServiceName;

/// The rarer part of a [`ContainerSpec`](super::ContainerSpec).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extra {
    /// API 1.43.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub blkio: Blkio,
    /// `host` or `private`.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_parent: Option<String>,
    /// `c 13:* rwm`, in order.
    #[serde(skip_serializing_if = "is_default")]
    pub device_cgroup_rules: Vec<String>,
    /// `gpus`, `deploy.resources.reservations.devices` and CDI names of `devices`.
    #[serde(skip_serializing_if = "is_default")]
    pub device_requests: Vec<DeviceRequest>,
    #[serde(skip_serializing_if = "is_default")]
    pub dns_opt: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub dns_search: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub domainname: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub group_add: BTreeSet<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub ipc: Option<Namespace>,
    /// On the default bridge only; in networks links are names of an [`Endpoint`](super::Endpoint).
    #[serde(skip_serializing_if = "is_default")]
    pub links: BTreeSet<Link>,
    /// Of the network joined first.
    #[serde(skip_serializing_if = "is_default")]
    pub mac_address: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub mem_swappiness: Option<u8>,
    #[serde(skip_serializing_if = "is_default")]
    pub oom_kill_disable: bool,
    /// `None`: the engine's 0.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub pid: Option<Namespace>,
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub stdin_open: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub storage_opt: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub tty: bool,
    /// `systempaths=unconfined`: nothing of `/proc` and `/sys` is masked or read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub unmasked: bool,
    /// `host`.
    #[serde(skip_serializing_if = "is_default")]
    pub userns_mode: Option<String>,
    /// `host`.
    #[serde(skip_serializing_if = "is_default")]
    pub uts: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub volumes_from: Vec<VolumesFrom>,
}

/// Whose namespace a container is in: `ipc` and `pid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    Host,
    /// Its own, that others may join (`ipc`).
    Shareable,
    /// Its own.
    Private,
    /// None at all (`ipc`).
    None,
    /// That of another service of the project.
    Service(ServiceName),
    /// That of a container by name, not ours to follow.
    Container(String),
}

/// A name for another container, that only this one sees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    pub to: Other,
    pub alias: String,
}

/// Mounts everything that another container mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    pub from: Other,
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
}

/// Another container: of a service of the project, or by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Other {
    Service(ServiceName),
    Container(String),
}

/// Devices asked for by what they can do, or by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    #[serde(default, skip_serializing_if = "is_default")]
    pub driver: Option<String>,
    /// -1 is all of them; 0 goes with `device_ids`.
    pub count: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub device_ids: Vec<String>,
    /// All of them must be there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capabilities: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: BTreeMap<String, String>,
}

/// Weights and limits of block devices. Rates are by the device's path, in bytes or operations a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blkio {
    #[serde(skip_serializing_if = "is_default")]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "is_default")]
    pub weight_device: BTreeMap<String, u16>,
    #[serde(skip_serializing_if = "is_default")]
    pub read_bps: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub write_bps: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub read_iops: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub write_iops: BTreeMap<String, u64>,
}

/// How a container depends on another service's container by its id: it is made anew whenever that one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// It lives in this namespace of it (`ipc`, `pid`).
    Namespace(&'static str),
    /// It has a link to it.
    Link,
    /// It mounts what that one mounts.
    Volumes,
}

impl Tie {
    /// The engine refuses to start it while the other one is down.
    #[must_use]
    pub fn needs_running(self) -> bool {
        self != Self::Volumes
    }

    /// It is cut off when the other one starts again, and must start again itself.
    #[must_use]
    pub fn ends_with_a_restart(self) -> bool {
        matches!(self, Self::Namespace(_))
    }

    /// Fits behind the service's name: `db, whose ipc namespace it shares`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Namespace(kind) => format!("whose {kind} namespace it shares"),
            Self::Link => "to which it has a link".to_owned(),
            Self::Volumes => "whose volumes it mounts".to_owned(),
        }
    }
}

impl Extra {
    /// The services whose containers are named by id in the request, beside the owner of a shared network.
    pub fn ties(&self) -> impl Iterator<Item = (&ServiceName, Tie)> {
        let namespaces =
            [("ipc", &self.ipc), ("pid", &self.pid)].into_iter().filter_map(|(kind, namespace)| {
                match namespace {
                    Some(Namespace::Service(name)) => Some((name, Tie::Namespace(kind))),
                    _ => None,
                }
            });
        let links = self.links.iter().filter_map(|link| Some((link.to.service()?, Tie::Link)));
        let volumes = self.volumes_from.iter().filter_map(|from| Some((from.from.service()?, Tie::Volumes)));
        namespaces.chain(links).chain(volumes)
    }
}

impl Other {
    #[must_use]
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Service(name) => Some(name),
            Self::Container(_) => None,
        }
    }
}
