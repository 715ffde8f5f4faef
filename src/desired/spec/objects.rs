//! Networks and volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SourcePlace, is_default};
use crate::desired::ident::ProjectName;

/// A network of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    pub project: ProjectName,
    /// The key in the project's `[networks]` (`default` for the implied one).
    pub key: String,
    /// The engine's name: `<project>_<key>` unless `name` was given.
    pub name: String,
    /// Made elsewhere: must exist, is never created, changed or removed.
    pub external: bool,
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub enable_ipv6: bool,
    /// `None`: the engine's default, which is yes. API 1.48.
    #[serde(default, skip_serializing_if = "is_default")]
    pub enable_ipv4: Option<bool>,
    pub ipam: Ipam,
    pub labels: BTreeMap<String, String>,
    pub source: SourcePlace,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    pub driver: Option<String>,
    pub config: Vec<IpamPool>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamPool {
    pub subnet: Option<String>,
    pub ip_range: Option<String>,
    pub gateway: Option<String>,
    pub aux_addresses: BTreeMap<String, String>,
}

/// A named volume of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub project: ProjectName,
    pub key: String,
    /// The engine's name: `<project>_<key>` unless `name` was given.
    pub name: String,
    pub external: bool,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub source: SourcePlace,
}
