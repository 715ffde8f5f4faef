//! Parts of a [`ContainerSpec`](super::ContainerSpec): its check, ports, network, log, devices and limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::ident::ServiceName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healthcheck {
    /// The image's own check, if it has one.
    Inherit,
    /// `disable = true` or `test = ["NONE"]`.
    Disabled,
    /// Fields left `None` come from the image's check, else from the engine's defaults.
    Set(HealthcheckSpec),
}

/// Durations in nanoseconds, the engine's unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthcheckSpec {
    /// `["CMD", ...]` or `["CMD-SHELL", "..."]`; empty: the image's test with the timings below.
    pub test: Vec<String>,
    pub interval: Option<u64>,
    pub timeout: Option<u64>,
    pub start_period: Option<u64>,
    /// API 1.44.
    pub start_interval: Option<u64>,
    pub retries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    pub port: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    pub container: ContainerPort,
    /// `None`: every address.
    pub host_ip: Option<std::net::IpAddr>,
    /// First and last host port the engine may take; `None`: any free one.
    pub host_port: Option<(u16, u16)>,
}

impl PortBinding {
    /// The one fixed host port, if this binding has exactly one: what two containers cannot hold at a time.
    #[must_use]
    pub fn fixed(&self) -> Option<u16> {
        self.host_port.filter(|(first, last)| first == last).map(|(first, _)| first)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The networks in [`LiveSpec::networks`](super::LiveSpec::networks).
    Networks,
    /// The engine's default bridge.
    Bridge,
    Host,
    None,
    /// The network namespace of another service of the project: recreated whenever that one's container is.
    Service(ServiceName),
    /// The network namespace of a container by name, not ours to follow.
    Container(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host: String,
    pub container: String,
    pub permissions: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}
