//! `[credentials]`: the files' word wins over Docker's own `config.json`.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;

use super::Secrets;
use super::vault::Shelf;
use crate::desired::DesiredState;
use crate::desired::provided::{Credential, UNOPENED, Word};
use crate::desired::secret::Sensitive;
use crate::engine::registry::{Login, RegistryAuth};

/// Docker Hub's names.
const HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// Logins of the desired state, and others for hosts of which it says nothing.
pub struct Logins {
    secrets: Arc<Secrets>,
    others: Arc<dyn RegistryAuth>,
}

impl Logins {
    #[must_use]
    pub fn new(secrets: Arc<Secrets>, others: Arc<dyn RegistryAuth>) -> Self {
        Self { secrets, others }
    }
}

#[async_trait]
impl RegistryAuth for Logins {
    async fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        match self.secrets.login(registry)? {
            Some(login) => Ok(Some(login)),
            None => self.others.login(registry).await,
        }
    }
}

impl Secrets {
    pub(super) fn set_credentials(&self, state: &DesiredState) {
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = state.credentials.clone();
    }

    /// The login for a registry that the files say; `None` when they say none.
    ///
    /// # Errors
    /// A sentence: its value cannot be had.
    pub fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        let known = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        let hub = HUB.contains(&registry);
        let found = known.iter().find(|(host, _)| *host == registry || (hub && HUB.contains(&host.as_str())));
        let Some((host, Credential { username, password, token, ssh_key: _, place })) = found else {
            return Ok(None);
        };
        let value = |word: &Option<Word>| {
            word.as_ref()
                .map(|word| self.word(word))
                .transpose()
                .map_err(|why| format!("the login for {host} ({place}) cannot be used: {why}"))
        };
        let (user, password, token) = (value(username)?, value(password)?, value(token)?);
        Ok(match (user, password.or_else(|| token.clone()), token) {
            (Some(user), Some(password), _) => {
                Some(Login::Password { user, password: Sensitive::new(password) })
            }
            (None, _, Some(token)) => Some(Login::IdentityToken(Sensitive::new(token))),
            // A key for Git is none for a registry.
            _ => None,
        })
    }

    fn word(&self, word: &Word) -> Result<String, String> {
        let (id, name) = match word {
            Word::Plain(text) => return Ok(text.clone()),
            Word::Secret(id, name) if name == UNOPENED => {
                return Err(format!("the secret {id} is not to be had"));
            }
            Word::Secret(id, name) => (id, name),
        };
        let value = self.vault.get(Shelf::Values, name)?;
        let value = value.ok_or_else(|| format!("the value of the secret {id} is gone"))?;
        let text = String::from_utf8(value).map_err(|_| format!("the secret {id} is no text"))?;
        // People's editors end a file with a new line, and no password has one.
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}
