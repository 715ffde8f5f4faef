//! One simulated container: a value, and how it looks from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::app::{Behaviour, CheckTimes};
use crate::desired::spec::{Protocol, Resources, RestartPolicy};
use crate::state::baked::Baked;
use crate::state::observed::{
    ContainerId, ContainerStatus, ContainerSummary, Health, ImageId, ObservedContainer, ObservedEndpoint,
    OwnLabels,
};
use crate::state::time::EngineStamp;

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// `None`: every address.
    pub ip: Option<IpAddr>,
    pub port: u16,
    pub protocol: Protocol,
}

impl HostPort {
    /// On every address, TCP.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self { ip: None, port, protocol: Protocol::Tcp }
    }

    /// Two that cannot be held at a time.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        self.port == other.port
            && self.protocol == other.protocol
            && (any(self.ip) || any(other.ip) || self.ip == other.ip)
    }
}

/// A published port as asked for: any of a range, or whatever is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedPort {
    pub ip: Option<IpAddr>,
    /// First and last; `None`: any free one.
    pub range: Option<(u16, u16)>,
    pub protocol: Protocol,
}

/// A stop that was asked for and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// When the process will be gone, on the host's clock.
    pub due: u64,
    pub code: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: ContainerId,
    pub name: String,
    /// What our labels say; `None`: somebody else's.
    pub own: Option<OwnLabels>,
    /// Every label, ours among them.
    pub labels: BTreeMap<String, String>,
    pub image: ImageId,
    pub status: ContainerStatus,
    pub exit_code: i64,
    pub error: String,
    pub oom_killed: bool,
    pub started_at: Option<EngineStamp>,
    pub finished_at: Option<EngineStamp>,
    pub created_at: EngineStamp,
    pub restart_count: u32,
    /// As last reported: an ended container keeps it.
    pub health: Health,
    pub check: Option<CheckTimes>,
    pub restart: RestartPolicy,
    pub resources: Resources,
    pub networks: BTreeMap<String, ObservedEndpoint>,
    pub network_mode: String,
    /// The id of the first network it was created on, which newer engines need for ever.
    pub first_network: Option<String>,
    /// The container whose network namespace it joins.
    pub parent: Option<ContainerId>,
    /// Other containers that its request names, and whether they must run for it to start.
    pub tied: BTreeMap<ContainerId, bool>,
    pub volumes: BTreeMap<String, String>,
    pub stop_timeout: Option<u32>,
    /// How it was made, where that is known.
    pub baked: Option<Arc<Baked>>,
    pub ports: BTreeSet<WantedPort>,
    /// What it holds now.
    pub held: BTreeSet<HostPort>,
    pub script: Behaviour,
    /// The engine's `HasBeenManuallyStopped`.
    pub manually_stopped: bool,
    /// When the process was started, on the host's clock.
    pub run_since: u64,
    /// When the engine starts it again, while `restarting`.
    pub restart_at: Option<u64>,
    /// Milliseconds of the last restart delay.
    pub backoff: u64,
    pub stopping: Option<Stopping>,
    pub log: Vec<(EngineStamp, String)>,
}

impl Container {
    /// Looks as an inspect shows it; `None`: not one of ours.
    #[must_use]
    pub fn observed(&self) -> Option<ObservedContainer> {
        self.own.clone().map(|labels| self.observed_as(labels))
    }

    /// The same with these labels in place of its own.
    #[must_use]
    pub fn observed_as(&self, labels: OwnLabels) -> ObservedContainer {
        let health_log = match self.health {
            Health::Unhealthy => "simulated check failed".to_owned(),
            _ => String::new(),
        };
        ObservedContainer {
            id: self.id.clone(),
            name: self.name.clone(),
            labels,
            status: self.status,
            exit_code: self.exit_code,
            error: self.error.clone(),
            oom_killed: self.oom_killed,
            started_at: self.started_at,
            finished_at: self.finished_at,
            created_at: self.created_at,
            restart_count: self.restart_count,
            health: self.health,
            health_log,
            restart: self.restart,
            resources: self.resources.clone(),
            networks: self.networks.clone(),
            network_mode: self.network_mode.clone(),
            tied: self.tied.keys().map(|id| id.0.clone()).collect(),
            image: self.image.clone(),
            volumes: self.volumes.clone(),
            stop_timeout: self.stop_timeout,
            probe: None,
            baked: self.baked.clone(),
        }
    }

    /// The row of the list.
    #[must_use]
    pub fn summary(&self) -> ContainerSummary {
        ContainerSummary {
            id: self.id.clone(),
            names: vec![self.name.clone()],
            labels: self.labels.clone(),
            status: self.status,
            image: self.image.clone(),
            host_ports: self.held.iter().map(|held| (held.port, held.protocol.as_str().to_owned())).collect(),
        }
    }

    /// The process runs (or is frozen): it holds what it was given.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.status, ContainerStatus::Running | ContainerStatus::Paused)
    }

    /// Milliseconds since the process was started.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.run_since)
    }

    /// Would the engine start it again after it ended by itself with `code`?
    pub(super) fn restarts_after(&self, code: i64) -> bool {
        match self.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max_retries } => {
                code != 0 && (max_retries == 0 || self.restart_count < max_retries)
            }
        }
    }

    /// When something next happens to it by itself.
    pub(super) fn next_due(&self, now: u64) -> Option<u64> {
        let stop = self.stopping.map(|stopping| stopping.due);
        let restart = self.restart_at.filter(|_| self.status == ContainerStatus::Restarting);
        let (exit, health) = match self.status {
            ContainerStatus::Running => (
                self.script.exits_after.map(|(after, _)| self.run_since.saturating_add(after)),
                self.health_due(now),
            ),
            _ => (None, None),
        };
        [stop, restart, exit, health].into_iter().flatten().min()
    }

    /// When its reported health next changes: at once where it is behind, as when another container's turn came at the same moment.
    fn health_due(&self, now: u64) -> Option<u64> {
        let (check, age) = (self.check?, self.age(now));
        if check.health(&self.script, age) != self.health {
            return Some(now);
        }
        check.next_turn(&self.script, age).map(|turn| self.run_since.saturating_add(turn))
    }
}
