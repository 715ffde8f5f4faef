//! Planning against a saved observation: no engine, no store, no daemon.

use std::collections::BTreeSet;
use std::path::Path;

use super::assemble::Loaded;
use super::context::chain;
use super::service::pick_all;
use crate::config::{Flags, Settings};
use crate::controller::observation::Observation;
use crate::controller::saved::SavedPlan;
use crate::desired;
use crate::desired::ident::ServiceId;
use crate::source::read_snapshot;

/// What was observed, and the files as the observed host would read them.
pub(super) struct Remote {
    pub observation: Observation,
    pub loaded: Loaded,
}

impl Remote {
    /// # Errors
    /// A sentence: the observation or the files cannot be read, or the observation is one of another host.
    pub(super) fn load(settings: &Settings, flags: &Flags, file: &Path) -> Result<Self, String> {
        let place = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("the observation {place} cannot be read: {error}"))?;
        let observation =
            Observation::parse(&text).map_err(|error| format!("{place} cannot be used: {error}"))?;
        if let Some(host) = flags.host.as_ref().filter(|host| **host != observation.host) {
            let seen = &observation.host;
            return Err(format!("{place} is an observation of host {seen}, not of {host}: leave --host out"));
        }
        let snapshot = read_snapshot(&settings.desired).map_err(|error| chain(&error))?;
        let snapshot = observation.placed(snapshot);
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let (desired, problems) = desired::load(&snapshot, &observation.facts(environment.collect()));
        Ok(Self { observation, loaded: Loaded { snapshot, desired, problems } })
    }

    /// # Errors
    /// A sentence: a service that was named is in no file.
    pub(super) async fn plan(&self, services: &[String]) -> Result<SavedPlan, String> {
        let Loaded { snapshot, desired, problems: _ } = &self.loaded;
        let known: Vec<ServiceId> = desired.services.keys().cloned().collect();
        let only: BTreeSet<ServiceId> = pick_all(services, &known)?.into_iter().collect();
        let plan = self.observation.plan(desired, &snapshot.revision.digest, &only).await;
        plan.map_err(|error| error.to_string())
    }
}
