//! Pushing an image.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::build::listen;
use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::engine::build::Tell;
use crate::engine::registry::registry_of;
use crate::engine::{EngineError, Result};
use crate::state::plan::Failure;

/// A push that takes longer has failed: the engine reports progress, but not while a registry keeps it waiting.
const DEADLINE: Duration = Duration::from_secs(3600);

impl Docker {
    /// See [`crate::engine::build::Build::push`].
    pub(super) async fn push_image(&self, reference: &str, tell: Tell<'_>) -> Result<String> {
        let (name, tag) = split(path_segment("push", reference)?);
        let (login, trouble) = self.login(registry_of(reference)).await;
        let login = serde_json::to_vec(&login.unwrap_or_default()).unwrap_or_default();
        let headers = [("x-registry-auth", URL_SAFE.encode(login))];
        let tag = utf8_percent_encode(tag, NON_ALPHANUMERIC);
        let path = format!("/images/{name}/push?tag={tag}");
        let mut digest = None;
        let pushed = async {
            let body = bollard::body_full(Bytes::new());
            let answer = self.wire.open_upload(&path, &headers, body).await?;
            let noted = |aux: &serde_json::Value| {
                if let Some(found) = aux.get("Digest").and_then(serde_json::Value::as_str) {
                    digest = Some(found.to_owned());
                }
            };
            listen(answer, tell, noted).await
        };
        let pushed = tokio::time::timeout(DEADLINE, pushed).await.unwrap_or(Err(WireError::Late(DEADLINE)));
        if let Err(error) = pushed {
            let mut failed = engine_error("push", reference, Call::Pull, &error, Look::Blind);
            if let (Failure::Unauthorized, Some(trouble)) = (failed.kind, trouble) {
                failed.message = format!("{} (no login was sent: {trouble})", failed.message);
            }
            return Err(failed);
        }
        let missing = "the push ended, and the registry said no digest";
        digest.ok_or_else(|| EngineError::new("push", reference, Failure::Registry, missing))
    }
}

/// Name and tag.
fn split(reference: &str) -> (&str, &str) {
    let slash = reference.rfind('/').map_or(0, |at| at + 1);
    match reference.get(slash..).and_then(|last| last.find(':')) {
        Some(at) => {
            let (name, tag) = reference.split_at(slash + at);
            (name, tag.trim_start_matches(':'))
        }
        None => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_port_is_no_tag() {
        for (reference, name, tag) in [
            ("acme/app:1", "acme/app", "1"),
            ("127.0.0.1:5000/acme/app", "127.0.0.1:5000/acme/app", "latest"),
            ("127.0.0.1:5000/app:x", "127.0.0.1:5000/app", "x"),
        ] {
            assert_eq!(split(reference), (name, tag), "{reference}");
        }
    }
}
