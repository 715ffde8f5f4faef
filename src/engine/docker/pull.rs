//! Pulling an image.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::{Docker, path_segment, to_its_end};
use crate::engine::registry::{Login, registry_of};
use crate::engine::{EngineError, Observe, PullProgress, Result};
use crate::state::observed::ImageFacts;
use crate::state::plan::Failure;

/// Without a sign of progress for so long, a pull has failed: a registry that dies within one is otherwise reported after
/// minutes (75 s measured), or never.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);
/// Progress messages that may wait for the terminal; more are dropped, they are only for people.
const PROGRESS_QUEUE: usize = 256;

impl Docker {
    /// The pull goes on when the caller goes away; what is dropped then is only the progress.
    pub(super) async fn pull_image(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        let image = with_tag(path_segment("pull", image)?);
        let (sender, mut receiver) = mpsc::channel(PROGRESS_QUEUE);
        let (engine, name, platform) = (self.clone(), image.clone(), platform.map(str::to_owned));
        let work =
            to_its_end("pull", &image, async move { engine.pull_to_end(&name, platform, &sender).await });
        tokio::pin!(work);
        loop {
            tokio::select! {
                // Progress first, so that nothing of it comes after the end.
                biased;
                Some(step) = receiver.recv() => progress(step),
                result = &mut work => return result,
            }
        }
    }

    async fn pull_to_end(
        &self,
        image: &str,
        platform: Option<String>,
        progress: &mpsc::Sender<PullProgress>,
    ) -> Result<ImageFacts> {
        let registry = registry_of(image);
        let (login, trouble) = self.login(registry).await;
        if let Err(error) = self.run_pull(image, platform, login, progress).await {
            let mut failed = engine_error("pull", image, Call::Pull, &error, Look::Blind);
            if let (Failure::Unauthorized, Some(trouble)) = (failed.kind, trouble) {
                failed.message = format!("{} (no login was sent: {trouble})", failed.message);
            }
            return Err(failed);
        }
        // The stream's word is not enough: it may end early without an error.
        self.inspect_image(image).await?.ok_or_else(|| {
            EngineError::new("pull", image, Failure::Registry, "the pull ended, and the image is not there")
        })
    }

    /// The login, or what kept us from asking for one; a pull is then tried without, as Docker's own client does.
    pub(super) async fn login(&self, registry: &str) -> (Option<DockerCredentials>, Option<String>) {
        let Some(logins) = &self.logins else { return (None, None) };
        match logins.login(registry).await {
            Ok(login) => (login.map(|login| credentials(login, registry)), None),
            Err(text) => (None, Some(text)),
        }
    }

    async fn run_pull(
        &self,
        image: &str,
        platform: Option<String>,
        login: Option<DockerCredentials>,
        progress: &mpsc::Sender<PullProgress>,
    ) -> std::result::Result<(), WireError> {
        self.wire.api().await?;
        let options = CreateImageOptions {
            from_image: Some(image.to_owned()),
            platform: platform.unwrap_or_default(),
            ..CreateImageOptions::default()
        };
        let mut stream = Box::pin(self.client.create_image(Some(options), None, login));
        loop {
            match tokio::time::timeout(IDLE_DEADLINE, stream.next()).await {
                Ok(Some(Ok(step))) => drop(progress.try_send(shown(step))),
                Ok(Some(Err(error))) => return Err(self.wire.error(error)),
                Ok(None) => return Ok(()),
                Err(_) => return Err(WireError::Late(IDLE_DEADLINE)),
            }
        }
    }
}

/// Asked for a name alone, the engine pulls every tag there is.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

fn credentials(login: Login, registry: &str) -> DockerCredentials {
    let server = match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    let mut credentials =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    match login {
        Login::Password { user, password } => {
            credentials.username = Some(user);
            credentials.password = Some(password.expose().to_owned());
        }
        Login::IdentityToken(token) => credentials.identitytoken = Some(token.expose().to_owned()),
    }
    credentials
}

fn shown(step: CreateImageInfo) -> PullProgress {
    let detail = step.progress_detail.unwrap_or_default();
    let bytes = |count: Option<i64>| u64::try_from(count.unwrap_or_default()).unwrap_or_default();
    PullProgress {
        layer: step.id.unwrap_or_default(),
        status: step.status.unwrap_or_default(),
        current: bytes(detail.current),
        total: bytes(detail.total),
    }
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn a_bare_name_is_pulled_as_latest_and_never_as_all_tags() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("localhost:5000/web:1", "localhost:5000/web:1"),
            ("acme/web@sha256:00", "acme/web@sha256:00"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }
}
