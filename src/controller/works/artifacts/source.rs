//! Which image an artifact is copied out of now.

use super::ArtifactWorker;
use crate::controller::host::Host;
use crate::desired::ident::ServiceId;
use crate::desired::work::answers::Asker;
use crate::desired::work::{ArtifactSource, WorkId};
use crate::state::observed::ImageId;

/// The image, with what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub image: ImageId,
    pub name: String,
}

/// Why there is none to copy out of.
pub(super) enum Missing {
    /// It comes by itself: a build, a roll-out, room on the disk.
    Wait(String),
    /// A call failed; it is tried again.
    Failed(String),
}

pub(super) fn told(from: &ArtifactSource) -> String {
    match from {
        ArtifactSource::Build(id) => format!("builds.{}", id.name),
        ArtifactSource::Service(name) => format!("services.{name}"),
        ArtifactSource::Image(image) => image.clone(),
    }
}

impl ArtifactWorker {
    /// `fetch`: an image that is not here is pulled.
    pub(super) async fn source(
        &self,
        host: &Host,
        id: &WorkId,
        from: &ArtifactSource,
        fetch: bool,
    ) -> Result<Source, Missing> {
        match from {
            ArtifactSource::Build(build) => {
                let answers = self.book.answers();
                let answer = answers.0.get(&Asker::Build(build.clone()));
                let answer = answer
                    .ok_or_else(|| Missing::Wait(format!("builds.{} was not built yet", build.name)))?;
                self.of_image(host, &answer.image, fetch && !answer.local).await
            }
            // The image, and not the container: what a program has written since it was started is no part of a version.
            ArtifactSource::Service(name) => {
                let service = ServiceId { project: id.project.clone(), service: name.clone() };
                let record =
                    host.records.load(&service).await.map_err(|error| Missing::Failed(error.to_string()))?;
                let good = record
                    .good
                    .as_ref()
                    .and_then(|good| record.revisions.iter().find(|kept| kept.id == *good));
                let kept =
                    good.ok_or_else(|| Missing::Wait(format!("{service} has not proved itself yet")))?;
                Ok(Source { image: kept.image.clone(), name: kept.spec.container.image.clone() })
            }
            ArtifactSource::Image(image) => self.of_image(host, image, fetch).await,
        }
    }

    async fn of_image(&self, host: &Host, reference: &str, fetch: bool) -> Result<Source, Missing> {
        let failed = |error: crate::engine::EngineError| Missing::Failed(error.to_string());
        let found = host.engine.inspect_image(reference).await.map_err(failed)?;
        let facts = match found {
            Some(facts) => facts,
            None if !fetch => return Err(Missing::Wait(format!("{reference} is not on this host"))),
            None => {
                if let Some(text) = host.disk_pressure() {
                    return Err(Missing::Wait(text));
                }
                // The semaphore is never closed; if it were, pulling without a limit is the lesser evil.
                let _permit = host.pulls.acquire().await.ok();
                host.engine.pull(reference, None, &|_| {}).await.map_err(failed)?
            }
        };
        Ok(Source { image: facts.id, name: reference.to_owned() })
    }
}
