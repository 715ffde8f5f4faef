//! Probes of simulated containers: their scripts say when they are well.

use super::fault::Op;
use super::host::Host;
use crate::engine::{EngineError, ProbeAnswer, Result};
use crate::state::observed::{ContainerId, ContainerStatus};
use crate::state::plan::Failure;

impl Host {
    /// Tries a container. Whoever has a script that says so is well from then on, and ails from then on, whatever is tried.
    pub fn probe(&mut self, id: &ContainerId) -> Result<ProbeAnswer> {
        self.read(Op::Inspect, id.short(), |host| {
            let Some(found) = host.containers.get(id) else {
                return Err(EngineError::new(
                    "probe",
                    id.short(),
                    Failure::NotFound,
                    "the container is gone",
                ));
            };
            if found.status != ContainerStatus::Running {
                return Ok(Err("connection refused".to_owned()));
            }
            let age = found.age(host.now);
            let well = found.script.healthy_after.is_some_and(|from| from <= age)
                && found.script.ails_after.is_none_or(|from| age < from);
            Ok(if well { Ok(()) } else { Err("the simulated probe failed".to_owned()) })
        })
    }
}
