//! Planning against a saved observation: no engine, no store, no daemon.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assemble::Loaded;
use super::service::pick_all;
use super::sources::{self, Facts, Take};
use crate::config::sources::Source;
use crate::config::{Flags, Settings};
use crate::controller::observation::Observation;
use crate::controller::saved::SavedPlan;
use crate::desired::ident::ServiceId;
use crate::desired::snapshot::HostFacts;
use crate::desired::{self, SourcesLoader};
use crate::note;

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
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let facts = observation.facts(environment.collect());
        let known = facts.clone();
        let settings = &as_there(settings, &observation);
        let read = sources::read(settings, Take::Preview, &(Arc::new(move || known.clone()) as Facts))?;
        // A repository is mounted from below evenkeel's own state, a directory from where it lies on that host.
        let of_repository = read.snapshot.tree.is_some();
        if of_repository == observation.repositories.is_empty() {
            let (there, flag) =
                if of_repository { ("directory", "--desired DIR") } else { ("repository", "--repo URL") };
            note!(
                "{} reads its files from a {there}: without {flag}, files that services mount look like changes",
                observation.host
            );
        }
        let snapshot = if of_repository { read.snapshot } else { observation.placed(read.snapshot) };
        let mut loader = SourcesLoader::default();
        loader.set_answers(Arc::new(observation.images()));
        let asking = loader.load(&snapshot, &facts).state;
        let facts = HostFacts { answers: observation.answers(&asking), ..facts };
        let desired::Loaded { state: desired, diagnostics: problems, pins: _ } =
            loader.load(&snapshot, &facts);
        let directories = read.directories;
        Ok(Self { observation, loaded: Loaded { snapshot, directories, desired, problems } })
    }

    /// # Errors
    /// A sentence: a service that was named is in no file.
    pub(super) async fn plan(&self, services: &[String]) -> Result<SavedPlan, String> {
        let Loaded { snapshot, desired, problems: _, directories: _ } = &self.loaded;
        let known: Vec<ServiceId> = desired.services.keys().cloned().collect();
        let only: BTreeSet<ServiceId> = pick_all(services, &known)?.into_iter().collect();
        let plan = self.observation.plan(desired, &snapshot.revision.digest, &only).await;
        plan.map_err(|error| error.to_string())
    }
}

/// What is mounted from a repository lies below evenkeel's memory, by the repository's name: those of the observed host count.
fn as_there(settings: &Settings, observation: &Observation) -> Settings {
    let mut settings = Settings { state: PathBuf::from(&observation.state), ..settings.clone() };
    let own = sources::repositories(&settings.sources);
    if let ([name], [_]) = (&*observation.repositories, &*own) {
        for source in &mut settings.sources {
            if let Source::Git(git) = source {
                git.name.clone_from(name);
            }
        }
    }
    settings
}
