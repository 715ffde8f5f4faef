//! Logins for registries from Docker's own `config.json`: what `docker login` and credential helpers left there.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use tokio::sync::Semaphore;

use crate::desired::secret::Sensitive;
use crate::engine::registry::{Login, RegistryAuth};

/// A credential helper is a program of its own (it may ask a cloud); one that takes longer than this is given up on.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
/// The most that is read of `config.json`.
const FILE_CAP: u64 = 1 << 20;

/// Docker's client configuration. Read anew for each login, so that a `docker login` counts at once.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// `None`: neither `$DOCKER_CONFIG` nor `$HOME` is set, so there are no logins.
    path: Option<PathBuf>,
    /// One helper at a time: one that hangs keeps its thread, and must not collect all of them.
    asking: Arc<Semaphore>,
}

impl DockerConfig {
    /// The configuration of this process's user: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    #[must_use]
    pub fn of_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = folder("DOCKER_CONFIG").or_else(|| Some(folder("HOME")?.join(".docker")));
        Self { path: config.map(|folder| folder.join("config.json")), asking: Arc::new(Semaphore::new(1)) }
    }

    /// The configuration in one file.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: Some(path.to_owned()), asking: Arc::new(Semaphore::new(1)) }
    }

    async fn ask(&self, path: PathBuf, registry: String) -> Result<Option<Login>, String> {
        let turn = Arc::clone(&self.asking).acquire_owned().await.map_err(|error| error.to_string())?;
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read_login(&path, &registry)
        });
        asked.await.map_err(|_| "the credential helper could not be run".to_owned())?
    }
}

#[async_trait]
impl RegistryAuth for DockerConfig {
    async fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        let Some(path) = self.path.clone() else { return Ok(None) };
        match tokio::time::timeout(HELPER_DEADLINE, self.ask(path, registry.to_owned())).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = HELPER_DEADLINE.as_secs();
                Err(format!("the credential helper for {registry} gave no answer within {seconds} s"))
            }
        }
    }
}

/// Names under which a registry's login may be kept, likeliest first: Docker Hub has three.
fn keys(registry: &str) -> Vec<String> {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
            ["https://index.docker.io/v1/", "index.docker.io", "docker.io"].map(str::to_owned).to_vec()
        }
        other => vec![other.to_owned()],
    }
}

fn read_login(path: &Path, registry: &str) -> Result<Option<Login>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let mut text = Vec::new();
    let read = file.take(FILE_CAP).read_to_end(&mut text);
    read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    for key in keys(registry) {
        match get_credential_from_reader(text.as_slice(), &key) {
            Ok(found) if is_empty(&found) => {}
            Ok(DockerCredential::IdentityToken(token)) => {
                return Ok(Some(Login::IdentityToken(Sensitive::new(token))));
            }
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok(Some(Login::Password { user, password: Sensitive::new(password) }));
            }
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(explained(&error, path, registry)),
        }
    }
    Ok(None)
}

/// Helpers answer an unknown registry with empty fields, too.
fn is_empty(found: &DockerCredential) -> bool {
    match found {
        DockerCredential::IdentityToken(token) => token.is_empty(),
        DockerCredential::UsernamePassword(user, password) => user.is_empty() && password.is_empty(),
    }
}

fn is_absence(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound => true,
        // The protocol of the helpers has no other way to say it than this sentence, on standard output.
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => {
            [stdout, stderr].iter().any(|text| text.contains("credentials not found"))
        }
        _ => false,
    }
}

/// What went wrong, without the helper's output: nobody knows what it prints.
fn explained(error: &CredentialRetrievalError, path: &Path, registry: &str) -> String {
    let path = path.display();
    match error {
        CredentialRetrievalError::HelperFailure { helper, .. } => {
            format!("`{helper}` failed for {registry}; try `echo {registry} | {helper} get`")
        }
        CredentialRetrievalError::HelperCommunicationError => {
            format!("the credential helper that {path} names for {registry} cannot be run; is it in PATH?")
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            format!("the credential helper for {registry} gave an answer that is not one")
        }
        CredentialRetrievalError::CredentialDecodingError => {
            format!("the login for {registry} in {path} is damaged; run `docker login {registry}` again")
        }
        CredentialRetrievalError::CredentialMismatchError => {
            format!(
                "the login for {registry} in {path} says two different things; run `docker login {registry}` again"
            )
        }
        _ => format!("{path} is not a Docker client configuration"),
    }
}
