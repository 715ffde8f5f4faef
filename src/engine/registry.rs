//! What an engine needs to know to pull from a registry that asks who is there.

use async_trait::async_trait;

use crate::desired::secret::Sensitive;

/// The login for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: String,
        password: Sensitive,
    },
    /// An OAuth refresh token, which a credential helper returns for the user `<token>`.
    IdentityToken(Sensitive),
}

/// Where logins come from. Asked anew for every pull, so that a `docker login` counts at once.
#[async_trait]
pub trait RegistryAuth: Send + Sync + 'static {
    /// The login for a registry (`docker.io`, `ghcr.io`, `localhost:5000`); `None`: pull anonymously.
    ///
    /// # Errors
    /// One sentence about what could not be asked, without anything secret in it.
    async fn login(&self, registry: &str) -> Result<Option<Login>, String>;
}

/// The registry that an image reference names, by the rule of Docker's reference grammar: the first component is a host
/// only when it contains a dot or a colon, or is `localhost`.
#[must_use]
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::registry_of;

    #[test]
    fn the_first_component_is_a_host_only_when_it_looks_like_one() {
        for (image, registry) in [
            ("nginx", "docker.io"),
            ("nginx:1.27", "docker.io"),
            ("library/nginx", "docker.io"),
            ("ghcr.io/acme/web:1", "ghcr.io"),
            ("localhost/web", "localhost"),
            ("localhost:5000/web:2", "localhost:5000"),
            ("acme/web@sha256:00", "docker.io"),
            ("docker.io/acme/web", "docker.io"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }
}
