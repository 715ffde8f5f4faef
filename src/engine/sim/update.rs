//! Changing and removing containers that exist.

use super::fault::Op;
use super::host::{Host, refuse_dying};
use crate::desired::ident::is_name;
use crate::desired::spec::{Resources, RestartPolicy};
use crate::engine::{EngineError, Result};
use crate::state::observed::{ContainerId, ContainerStatus};
use crate::state::plan::Failure;

impl Host {
    /// What every change of a stored container needs: it exists, is not half gone, and there is room to write it down.
    fn check_writable(&self, op: Op, id: &ContainerId) -> Result<()> {
        let container = self.container(op, id)?;
        refuse_dying(op, container)?;
        if self.disk_full {
            let text = "write: no space left on device";
            return Err(EngineError::new(op.as_str(), &container.name, Failure::NoSpace, text));
        }
        Ok(())
    }

    pub(super) fn run_set_restart(&mut self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.check_writable(Op::SetRestart, id)?;
        self.container_mut(Op::SetRestart, id)?.restart = policy;
        self.emit_container(id, "update");
        Ok(())
    }

    pub(super) fn run_set_resources(&mut self, id: &ContainerId, resources: &Resources) -> Result<()> {
        self.check_writable(Op::SetResources, id)?;
        self.container_mut(Op::SetResources, id)?.resources = resources.clone();
        self.emit_container(id, "update");
        Ok(())
    }

    /// Files are not simulated, and whatever runs here knows what to do with a signal.
    pub(super) fn run_deliver(&mut self, id: &ContainerId, signal: Option<&str>) -> Result<()> {
        let container = self.container(Op::Deliver, id)?;
        if signal.is_some() && !container.status.is_up() {
            let text = format!("Container {} is not running", id.0);
            return Err(EngineError::new(Op::Deliver.as_str(), &container.name, Failure::Conflict, text));
        }
        if signal.is_some() {
            self.emit_container(id, "kill");
        }
        Ok(())
    }

    pub(super) fn run_rename(&mut self, id: &ContainerId, name: &str) -> Result<()> {
        let container = self.container(Op::Rename, id)?;
        let refuse =
            |kind, text: String| Err(EngineError::new(Op::Rename.as_str(), &container.name, kind, text));
        if !is_name(name) {
            return refuse(Failure::Invalid, format!("Invalid container name ({name})"));
        }
        if container.name == name {
            return Ok(());
        }
        if let Some(holder) = self.named(name) {
            let text = format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\".",
                holder.id.0
            );
            return refuse(Failure::Conflict, text);
        }
        // The engine looks for a network sandbox that is gone between two starts, and calls that 404 (RELIABILITY.md fact 9).
        if let (ContainerStatus::Restarting, Some(kind)) =
            (container.status, self.profile.rename_between_restarts)
        {
            return refuse(kind, "sandbox not found".to_owned());
        }
        self.check_writable(Op::Rename, id)?;
        self.container_mut(Op::Rename, id)?.name = name.to_owned();
        self.emit_container(id, "rename");
        Ok(())
    }

    pub(super) fn run_remove(&mut self, id: &ContainerId, force: bool) -> Result<()> {
        let Some(container) = self.containers.get(id) else { return Ok(()) };
        let refuse =
            |kind, text: &str| Err(EngineError::new(Op::Remove.as_str(), &container.name, kind, text));
        match container.status {
            // Force ends what is half removed and nothing else, so that nothing that runs is killed by it.
            status if status.is_up() => {
                return refuse(Failure::Conflict, "You cannot remove a running container. Stop it first.");
            }
            ContainerStatus::Removing => {
                return refuse(Failure::InProgress, "removal of container is already in progress");
            }
            ContainerStatus::Dead if !force => {
                return refuse(
                    Failure::Conflict,
                    "the container is half removed: only a forced removal ends it",
                );
            }
            _ => {}
        }
        self.discard(id);
        Ok(())
    }

    /// Ends and removes a container in whatever state it is.
    pub(super) fn discard(&mut self, id: &ContainerId) {
        self.kill_container(id);
        self.emit_container(id, "destroy");
        self.containers.remove(id);
        self.hung.remove(id);
    }
}
