//! Files of ours that containers mount, put there before the engine looks for them: they lie in memory, and are gone after a reboot.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard::query_parameters::KillContainerOptions;

use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::desired::spec::MountSource;
use crate::engine::files::{Files, FilesError};
use crate::engine::{EngineError, Result, WRITE_DEADLINE};
use crate::state::observed::ContainerId;
use crate::state::plan::{Creation, Failure};

impl Docker {
    /// Who keeps the files of secrets and configs; without it a container that mounts one cannot be made.
    #[must_use]
    pub fn with_files(mut self, files: Arc<dyn Files>) -> Self {
        self.files = Some(files);
        self
    }

    /// Before a container is made: what it mounts, with the content that it is to begin with.
    pub(super) async fn files_for_creation(&self, creation: &Creation) -> Result<()> {
        let binds = creation.spec.mounts.values().filter_map(|mount| match &mount.source {
            MountSource::Bind { path, .. } => Some(path.clone()),
            _ => None,
        });
        let paths: Vec<String> = binds.filter(|path| !creation.live.files.contains_key(path)).collect();
        let live: BTreeMap<String, String> =
            creation.live.files.iter().map(|(path, file)| (path.clone(), file.content.clone())).collect();
        self.with_keeper("create", &creation.name, move |files| {
            files.ensure(&paths)?;
            if live.is_empty() { Ok(()) } else { files.rewrite(&live) }
        })
        .await
    }

    /// Before a container is started: nobody but its own mounts says what it needs.
    pub(super) async fn files_for_start(&self, id: &ContainerId) -> Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        let Some(seen) = self.raw_container("start", &id.0).await? else { return Ok(()) };
        let paths: Vec<String> = seen
            .mounts
            .into_iter()
            .filter(|mount| mount.r#type == "bind")
            .map(|mount| mount.source)
            .collect();
        self.with_keeper("start", id.short(), move |files| files.ensure(&paths)).await
    }

    /// See [`crate::engine::Engine::deliver`].
    pub(super) async fn deliver_files(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        path_segment("deliver", &id.0)?;
        let contents = files.clone();
        self.with_keeper("deliver", id.short(), move |files| files.rewrite(&contents)).await?;
        let Some(signal) = signal else { return Ok(()) };
        let options = KillContainerOptions { signal: signal.to_owned() };
        let call = self.client.kill_container(&id.0, Some(options));
        match self.send(WRITE_DEADLINE, call).await {
            Ok(()) => Ok(()),
            Err(error @ WireError::Refused { .. }) => {
                Err(self.judged("deliver", id, Call::Write, &error).await.0)
            }
            Err(error) => Err(engine_error("deliver", id.short(), Call::Write, &error, Look::Blind)),
        }
    }

    async fn with_keeper(
        &self,
        op: &'static str,
        object: &str,
        work: impl FnOnce(&dyn Files) -> std::result::Result<(), FilesError> + Send + 'static,
    ) -> Result<()> {
        let Some(files) = self.files.clone() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || work(&*files)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(FilesError { kind, message })) => Err(EngineError::new(op, object, kind, message)),
            Err(error) => Err(EngineError::new(op, object, Failure::Internal, error.to_string())),
        }
    }
}
