//! The engine's own end and return, as measured in RELIABILITY.md section 0 (facts 2 to 4) and its experiments E5 and E6.

use super::call::Call;
use super::container::HostPort;
use super::host::Host;
use crate::desired::spec::RestartPolicy;
use crate::state::observed::{ContainerId, ContainerStatus};

/// In which order the engine starts containers when it comes back: nobody can rely on one, and who holds a port depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revival {
    #[default]
    OldestFirst,
    NewestFirst,
}

/// How the engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGKILL, or the power went.
    Killed,
    /// SIGTERM: it stops its containers in order.
    Ordered,
}

impl Host {
    /// SIGKILL: nothing answers until [`Host::restart`]. Requests under way are gone, and so is the history of events.
    pub fn kill(&mut self) {
        self.alive = false;
        self.pending.clear();
        self.hung.clear();
        self.forget_events();
    }

    /// The engine comes back after it was killed.
    pub fn restart(&mut self) {
        self.restart_in(Revival::OldestFirst);
    }

    /// The engine comes back after it was killed, and starts containers in this order.
    pub fn restart_in(&mut self, order: Revival) {
        self.come_back(End::Killed, order);
    }

    /// Killed and back at once.
    pub fn crash(&mut self) {
        self.kill();
        self.restart();
    }

    /// Stopped in order (SIGTERM) and back at once.
    pub fn restart_orderly(&mut self) {
        self.kill();
        self.come_back(End::Ordered, Revival::OldestFirst);
    }

    fn come_back(&mut self, end: End, order: Revival) {
        self.alive = true;
        self.session.0 += 1;
        // A leak lives through the restart after it, and no longer.
        self.leaked.retain(|_, restarts| *restarts == 0);
        self.leaked.values_mut().for_each(|restarts| *restarts += 1);
        let mut ids: Vec<_> =
            self.containers.values().map(|container| (container.created_at, container.id.clone())).collect();
        ids.sort();
        if order == Revival::NewestFirst {
            ids.reverse();
        }
        if !self.facts.live_restore {
            for (_, id) in &ids {
                self.end_with_engine(id, end);
            }
        }
        for (_, id) in &ids {
            self.revive(id);
        }
    }

    /// What became of a container that was up when the engine ended.
    fn end_with_engine(&mut self, id: &ContainerId, end: End) {
        let stamp = self.stamp();
        let Some(container) = self.containers.get_mut(id) else { return };
        if !container.status.is_up() {
            return;
        }
        container.exit_code = match end {
            End::Ordered if !container.script.ignores_term => container.script.stop_code,
            _ => 137,
        };
        // After SIGKILL the engine takes its own clean-up for a stop by hand, so `unless-stopped` stays down (fact 3).
        container.manually_stopped |= end == End::Killed && container.restart == RestartPolicy::UnlessStopped;
        container.status = ContainerStatus::Exited;
        container.finished_at = Some(stamp);
        container.held.clear();
        container.restart_at = None;
        container.stopping = None;
    }

    /// Starts what the engine believes it must: `always` and `on-failure` even when somebody had stopped them (fact 2).
    fn revive(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let again = container.status == ContainerStatus::Exited
            && match container.restart {
                RestartPolicy::No => false,
                RestartPolicy::Always => true,
                RestartPolicy::UnlessStopped => !container.manually_stopped,
                RestartPolicy::OnFailure { .. } => container.exit_code != 0,
            };
        if again {
            container.restart_count = 0;
            container.backoff = 0;
            // A port that another one took first leaves it `exited`, with the reason in it.
            let _ = self.begin(id);
        }
    }

    /// What a request leaves behind when the engine is killed in the middle of it. Its caller marks the engine dead.
    pub(super) fn break_off(&mut self, call: &Call) {
        match call {
            Call::Start(id) => self.leak_ports_of(id),
            Call::Stop { id, .. } => {
                if let Some(container) = self.containers.get_mut(id).filter(|one| one.is_running()) {
                    container.manually_stopped = true;
                }
            }
            Call::Remove { id, .. } => {
                if let Some(container) = self.containers.get_mut(id)
                    && !container.status.is_up()
                {
                    container.status = ContainerStatus::Dead;
                }
            }
            // The others are either done or not; `Moment::Before` and `Moment::After` are both.
            _ => {}
        }
    }

    fn leak_ports_of(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get(id).filter(|container| !container.status.is_up()) else {
            return;
        };
        let fixed = container.ports.iter().filter_map(|wanted| {
            let (port, _) = wanted.range.filter(|(first, last)| first == last)?;
            Some(HostPort { ip: wanted.ip, port, protocol: wanted.protocol })
        });
        let fixed: Vec<HostPort> = fixed.filter(|port| self.port_holder(port).is_none()).collect();
        for port in fixed {
            self.leaked.insert(port, 0);
        }
    }
}
