//! What is asked of registries, so that others can answer it: a script, in tests.

use async_trait::async_trait;

use super::client::Client;
use super::error::RegistryError;
use super::manifest::{Found, Platform};
use super::repository::Repository;

/// Answers questions about repositories.
#[async_trait]
pub trait Registries: Send + Sync + 'static {
    /// Every tag of a repository.
    ///
    /// # Errors
    /// See [`super::Trouble`]. A list that is not whole is an error.
    async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError>;
    /// What a tag, or a digest, stands for; see [`Client::find`].
    ///
    /// # Errors
    /// See [`super::Trouble`].
    async fn find(
        &self,
        repository: &Repository,
        tag: &str,
        platform: Option<&Platform>,
    ) -> Result<Found, RegistryError>;
    /// Certificates and logins are read anew.
    fn forget(&self) {}
}

#[async_trait]
impl Registries for Client {
    async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        Self::tags(self, repository).await
    }
    async fn find(
        &self,
        repository: &Repository,
        tag: &str,
        platform: Option<&Platform>,
    ) -> Result<Found, RegistryError> {
        Self::find(self, repository, tag, platform).await
    }
    fn forget(&self) {
        Self::forget(self);
    }
}
