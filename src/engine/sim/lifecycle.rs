//! Starting, ending and restarting: what a container's process does and what the engine does about it.

use std::collections::BTreeSet;

use super::container::{Container, HostPort, Stopping, WantedPort};
use super::fault::Op;
use super::host::{Host, refuse_dying};
use crate::engine::{EngineError, Result};
use crate::state::observed::{ContainerId, ContainerStatus, Health};
use crate::state::plan::Failure;

/// The engine's restart delay: 100 ms, doubled each time, at most a minute; a run of ten seconds starts it anew.
const BACKOFF_FIRST: u64 = 100;
const BACKOFF_MOST: u64 = 60_000;
const BACKOFF_FORGIVEN_AFTER: u64 = 10_000;
/// The engine's grace period when nobody names one, in seconds.
const GRACE: u32 = 10;
/// Where the engine begins to look for a free port of its own choice.
const FIRST_EPHEMERAL: u16 = 32_768;

impl Host {
    pub(super) fn run_start(&mut self, id: &ContainerId) -> Result<()> {
        let container = self.container(Op::Start, id)?;
        refuse_dying(Op::Start, container)?;
        match container.status {
            // A container that is just being stopped counts as running too, and ends all the same (RELIABILITY.md fact 9).
            ContainerStatus::Running | ContainerStatus::Restarting => return Ok(()),
            ContainerStatus::Paused => {
                let text = "cannot start a paused container, try unpause instead";
                return Err(EngineError::new(Op::Start.as_str(), &container.name, Failure::Conflict, text));
            }
            _ => {}
        }
        if self.disk_full {
            let name = container.name.clone();
            return Err(EngineError::new(
                Op::Start.as_str(),
                name,
                Failure::NoSpace,
                "no space left on device",
            ));
        }
        if let Some(container) = self.containers.get_mut(id) {
            container.restart_count = 0;
            container.backoff = 0;
            container.manually_stopped = false;
        }
        self.begin(id)
    }

    /// Starts the process, by order or by policy. A failure leaves the container as it was, with the reason kept in it.
    pub(super) fn begin(&mut self, id: &ContainerId) -> Result<()> {
        match self.obstacle(id) {
            Ok(held) => {
                self.set_running(id, held);
                Ok(())
            }
            Err((kind, text)) => {
                let container = self.container_mut(Op::Start, id)?;
                container.exit_code = if kind == Failure::Invalid { 127 } else { 128 };
                container.error.clone_from(&text);
                Err(EngineError::new(Op::Start.as_str(), &container.name, kind, text))
            }
        }
    }

    /// What the container would hold, or why it cannot start. Networks come before the command, as in the engine.
    fn obstacle(&self, id: &ContainerId) -> std::result::Result<BTreeSet<HostPort>, (Failure, String)> {
        let Some(container) = self.containers.get(id) else {
            return Err((Failure::NotFound, format!("No such container: {}", id.0)));
        };
        let gone = container.networks.values().find(|at| !self.networks.contains_key(&at.network_id));
        if let Some(endpoint) = gone {
            return Err((Failure::NotFound, format!("network {} not found", endpoint.network_id)));
        }
        let first = container.first_network.as_ref().filter(|_| !self.profile.rejoins_a_network_made_anew);
        if let Some(first) = first.filter(|first| !self.networks.contains_key(*first)) {
            return Err((
                Failure::NotFound,
                format!("could not find a network matching network mode {first}"),
            ));
        }
        if let Some(parent) = &container.parent {
            match self.containers.get(parent) {
                None => {
                    let kind = self.profile.start_without_parent;
                    return Err((kind, format!("No such container: {}", parent.0)));
                }
                Some(other) if !other.is_running() => {
                    let text = format!("cannot join network of a non running container: {}", parent.0);
                    return Err((Failure::Conflict, text));
                }
                Some(_) => {}
            }
        }
        for (other, needs_running) in &container.tied {
            match self.containers.get(other) {
                Some(found) if *needs_running && !found.is_running() => {
                    let text = format!("container {} is not running", other.0);
                    return Err((Failure::Conflict, text));
                }
                None if *needs_running => {
                    return Err((
                        self.profile.start_without_parent,
                        format!("No such container: {}", other.0),
                    ));
                }
                _ => {}
            }
        }
        let held = self.allocate(container)?;
        match &container.script.start_error {
            Some((kind, text)) => Err((*kind, text.clone())),
            None => Ok(held),
        }
    }

    fn allocate(&self, container: &Container) -> std::result::Result<BTreeSet<HostPort>, (Failure, String)> {
        let mut held = BTreeSet::new();
        for wanted in &container.ports {
            let (first, last) = wanted.range.unwrap_or((FIRST_EPHEMERAL, u16::MAX));
            let port = |port| HostPort { ip: wanted.ip, port, protocol: wanted.protocol };
            let free = (first..=last).map(port).find(|port| {
                !held.iter().any(|own: &HostPort| own.clashes(port)) && self.port_holder(port).is_none()
            });
            let Some(free) = free else {
                return Err((Failure::PortBusy, busy(wanted, self.port_holder(&port(first)))));
            };
            held.insert(free);
        }
        Ok(held)
    }

    /// Who holds a port of the host, in words.
    #[must_use]
    pub fn port_holder(&self, port: &HostPort) -> Option<&'static str> {
        let clashes = |other: &HostPort| other.clashes(port);
        if self.containers.values().any(|container| container.held.iter().any(clashes)) {
            return Some("port is already allocated");
        }
        // A leak counts from the restart on: before it the engine that leaked the port is dead.
        if self.leaked.iter().any(|(leak, restarts)| *restarts > 0 && clashes(leak)) {
            return Some("port is already allocated");
        }
        self.listeners.iter().any(clashes).then_some("bind: address already in use")
    }

    fn set_running(&mut self, id: &ContainerId, held: BTreeSet<HostPort>) {
        let stamp = self.stamp();
        let now = self.now;
        let Some(container) = self.containers.get_mut(id) else { return };
        container.status = ContainerStatus::Running;
        container.held = held;
        container.exit_code = 0;
        container.error.clear();
        container.oom_killed = false;
        container.started_at = Some(stamp);
        container.run_since = now;
        container.restart_at = None;
        container.stopping = None;
        container.health = if container.check.is_some() { Health::Starting } else { Health::None };
        self.print(id);
        self.emit_container(id, "start");
    }

    /// Whatever is due for a container at this moment.
    pub(super) fn play(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get(id) else { return };
        if let Some(stopping) = container.stopping.filter(|stopping| stopping.due <= self.now) {
            self.finish_stop(id, stopping.code);
            return;
        }
        match container.status {
            ContainerStatus::Restarting if container.restart_at.is_some_and(|at| at <= self.now) => {
                self.restart_by_policy(id);
            }
            ContainerStatus::Running => {
                let age = container.age(self.now);
                match container.script.exits_after.filter(|(after, _)| *after <= age) {
                    Some((_, code)) => self.end_by_itself(id, code),
                    None => self.look_at_health(id),
                }
            }
            _ => {}
        }
    }

    fn look_at_health(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(check) = container.check else { return };
        let health = check.health(&container.script, container.age(now));
        if container.health != health {
            container.health = health;
            self.emit_container(id, "health_status");
        }
    }

    /// The process is gone. The container keeps its last health (RELIABILITY.md E21).
    fn set_exited(&mut self, id: &ContainerId, code: i64) {
        let stamp = self.stamp();
        let Some(container) = self.containers.get_mut(id) else { return };
        container.status = ContainerStatus::Exited;
        container.exit_code = code;
        container.finished_at = Some(stamp);
        container.held.clear();
        container.restart_at = None;
        container.stopping = None;
        self.emit_container(id, "die");
    }

    /// The process ended without anybody asking the engine for it.
    pub(super) fn end_by_itself(&mut self, id: &ContainerId, code: i64) {
        let Some(container) = self.containers.get(id) else { return };
        if !container.is_running() {
            return;
        }
        let again = container.stopping.is_none() && container.restarts_after(code);
        let (age, oom) = (container.age(self.now), container.script.oom);
        if oom {
            self.emit_container(id, "oom");
        }
        self.set_exited(id, code);
        let now = self.now;
        let Some(container) = self.containers.get_mut(id) else { return };
        container.oom_killed = oom;
        if again {
            container.backoff = match container.backoff {
                0 => BACKOFF_FIRST,
                _ if age >= BACKOFF_FORGIVEN_AFTER => BACKOFF_FIRST,
                last => (last * 2).min(BACKOFF_MOST),
            };
            container.status = ContainerStatus::Restarting;
            container.restart_count += 1;
            container.restart_at = Some(now.saturating_add(container.backoff));
        }
    }

    /// A restart that fails is the last one: the engine never tries it again (RELIABILITY.md E3).
    fn restart_by_policy(&mut self, id: &ContainerId) {
        if self.begin(id).is_err()
            && let Some(container) = self.containers.get_mut(id)
        {
            container.status = ContainerStatus::Exited;
            container.restart_at = None;
        }
    }

    pub(super) fn run_stop(&mut self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        if let Some(wait) = self.begin_stop(id, grace)? {
            self.advance(wait);
        }
        Ok(())
    }

    /// Sends the stop signal. Milliseconds until the process is gone; `None`: it is already.
    pub(super) fn begin_stop(&mut self, id: &ContainerId, grace: Option<u32>) -> Result<Option<u64>> {
        let now = self.now;
        let container = self.container_mut(Op::Stop, id)?;
        match container.status {
            ContainerStatus::Running | ContainerStatus::Paused => {}
            ContainerStatus::Restarting => {
                container.manually_stopped = true;
                container.status = ContainerStatus::Exited;
                container.restart_at = None;
                // In restart backoff there is no process to die: this is the only event (RELIABILITY.md E4).
                self.emit_container(id, "stop");
                return Ok(None);
            }
            _ => return Ok(None),
        }
        let (ms, code) = container.script.stops_in(grace.or(container.stop_timeout).unwrap_or(GRACE));
        let due = now.saturating_add(ms);
        let sooner = container.stopping.filter(|earlier| earlier.due <= due);
        let stopping = sooner.unwrap_or(Stopping { due, code });
        container.stopping = Some(stopping);
        container.status = ContainerStatus::Running;
        self.emit_container(id, "kill");
        if stopping.due <= now {
            self.finish_stop(id, stopping.code);
            return Ok(None);
        }
        Ok(Some(stopping.due - now))
    }

    fn finish_stop(&mut self, id: &ContainerId, code: i64) {
        if let Some(container) = self.containers.get_mut(id) {
            container.manually_stopped = true;
        }
        self.set_exited(id, code);
        self.emit_container(id, "stop");
    }

    /// `docker kill`: ends the container whatever its policy.
    pub(super) fn kill_container(&mut self, id: &ContainerId) {
        let kills_paused = self.profile.kills_what_is_paused;
        let Some(container) = self.containers.get_mut(id) else { return };
        match container.status {
            ContainerStatus::Paused if !kills_paused => {}
            ContainerStatus::Restarting => {
                container.manually_stopped = true;
                container.status = ContainerStatus::Exited;
                container.restart_at = None;
            }
            _ if container.is_running() => {
                container.manually_stopped = true;
                self.emit_container(id, "kill");
                self.set_exited(id, 137);
            }
            _ => {}
        }
    }
}

fn busy(wanted: &WantedPort, holder: Option<&str>) -> String {
    let ip = wanted.ip.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string());
    let port = wanted.range.map_or(0, |(first, _)| first);
    let why = holder.unwrap_or("port is already allocated");
    format!("driver failed programming external connectivity: Bind for {ip}:{port} failed: {why}")
}
