//! What other people and tools do to the host meanwhile. None of it can fail by script.

use std::collections::BTreeSet;

use super::host::Host;
use crate::desired::spec::RestartPolicy;
use crate::state::observed::{ContainerId, ContainerStatus, ImageId};

impl Host {
    /// `docker stop`.
    pub fn docker_stop(&mut self, id: &ContainerId) {
        let _ = self.run_stop(id, None);
    }

    /// `docker start`.
    pub fn docker_start(&mut self, id: &ContainerId) {
        let _ = self.run_start(id);
    }

    /// `docker kill`: final under every policy (RELIABILITY.md E4).
    pub fn docker_kill(&mut self, id: &ContainerId) {
        self.kill_container(id);
    }

    /// `docker pause`.
    pub fn docker_pause(&mut self, id: &ContainerId) {
        if let Some(container) = self.containers.get_mut(id)
            && container.status == ContainerStatus::Running
        {
            container.status = ContainerStatus::Paused;
            self.emit_container(id, "pause");
        }
    }

    /// `docker unpause`.
    pub fn docker_unpause(&mut self, id: &ContainerId) {
        if let Some(container) = self.containers.get_mut(id)
            && container.status == ContainerStatus::Paused
        {
            container.status = ContainerStatus::Running;
            self.emit_container(id, "unpause");
        }
    }

    /// `docker rm -f`.
    pub fn docker_rm_f(&mut self, id: &ContainerId) {
        self.discard(id);
    }

    /// `docker rename`.
    pub fn docker_rename(&mut self, id: &ContainerId, name: &str) {
        let _ = self.run_rename(id, name);
    }

    /// `docker update --restart`.
    pub fn docker_update_restart(&mut self, id: &ContainerId, policy: RestartPolicy) {
        let _ = self.run_set_restart(id, policy);
    }

    /// `kill -9` of the process from the host: a crash, which the restart policy answers.
    pub fn process_dies(&mut self, id: &ContainerId, code: i64) {
        self.end_by_itself(id, code);
    }

    /// `docker container prune`: everything that does not run goes, the staged new one and the stopped previous one too.
    pub fn container_prune(&mut self) {
        let idle = |status| {
            matches!(status, ContainerStatus::Created | ContainerStatus::Exited | ContainerStatus::Dead)
        };
        let gone: Vec<ContainerId> = self
            .containers
            .values()
            .filter(|container| idle(container.status))
            .map(|container| container.id.clone())
            .collect();
        for id in gone {
            self.discard(&id);
        }
    }

    /// `docker network prune`: a stopped container does not count as a user of its network.
    pub fn network_prune(&mut self) {
        let ids: Vec<String> = self.networks.keys().cloned().collect();
        for id in ids {
            // The built-in ones and those in use refuse.
            let _ = self.run_remove_network(&id);
        }
    }

    /// `docker image prune -a`: a stopped or created container does count.
    pub fn image_prune_all(&mut self) {
        let used: BTreeSet<ImageId> =
            self.containers.values().map(|container| container.image.clone()).collect();
        self.images.retain(|id, _| used.contains(id));
    }

    /// `docker system prune -a`.
    pub fn system_prune_all(&mut self) {
        self.container_prune();
        self.network_prune();
        self.image_prune_all();
    }

    /// `docker rmi -f`: the reference goes even while containers use the image.
    pub fn docker_rmi_f(&mut self, reference: &str) {
        let full = super::image::full_reference(reference);
        let Some(id) = self.resolve(&full).map(|facts| facts.id.clone()) else { return };
        self.drop_tag(&full);
        let in_use =
            self.containers.values().any(|container| container.image == id && container.is_running());
        if self.images.get(&id).is_some_and(|facts| facts.tags.is_empty()) && !in_use {
            self.images.remove(&id);
        }
    }

    /// Somebody removed the data folder: everything is gone.
    pub fn wipe(&mut self) {
        self.kill();
        self.containers.clear();
        self.images.clear();
        self.volumes.clear();
        self.networks.retain(|_, network| matches!(network.name.as_str(), "bridge" | "host" | "none"));
        self.restart();
    }
}
