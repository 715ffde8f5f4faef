//! The real engine: Docker (or what speaks its API), through bollard.
//!
//! - [`connect()`]: where the engine is. - `wire`: the HTTP line. - `observe`: reading, through small structs of our own.
//! - `write`, `create`, `pull`: what changes something, through bollard. - [`fault`]: what a failure means.
//!
//! # Guarantees
//! Every call has a deadline that covers the whole of it, but for the streams (`events`, followed `logs`), which the caller
//! cuts by dropping them. A call that changes something runs to its end in a task of its own, even when the caller's
//! future is dropped: an abandoned request may be carried out or not, differently from one engine version to the next
//! (RELIABILITY.md fact 1). A call whose answer never came is `Unknown`, one that never left is `Unreachable`.

mod build;
mod buildx;
pub mod connect;
mod copy;
mod create;
mod disk;
mod exec;
pub mod fault;
mod files;
mod inventory;
mod observe;
mod probe;
mod pull;
mod push;
pub mod streams;
mod wait;
pub mod wire;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

pub use connect::connect;
use fault::{Call, Look, engine_error};
use streams::LastEvent;
use wire::{Wire, WireError, within};

use super::convert::{answers, observed};
use super::files::Files;
use super::registry::RegistryAuth;
use super::{EngineError, READ_DEADLINE, Result};
use crate::state::observed::{ContainerId, ExecId};
use crate::state::plan::Failure;

/// Longer than any deadline of ours: bollard's own would end with the headers and know nothing of grace periods.
const NO_DEADLINE_SECONDS: u64 = 1 << 33;

/// A connection to one engine. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Docker {
    client: bollard::Docker,
    wire: Arc<Wire>,
    /// The instance whose objects are ours.
    owner: Arc<str>,
    logins: Option<Arc<dyn RegistryAuth>>,
    files: Option<Arc<dyn Files>>,
    /// Networks are made one at a time: before API 1.44 the engine makes a second one of the same name without a word.
    networks: Arc<Mutex<()>>,
    /// The last event of any stream.
    last_event: Arc<LastEvent>,
    /// Commands of probes that took too long and were left to themselves.
    lingering: Arc<std::sync::Mutex<BTreeMap<ContainerId, ExecId>>>,
}

impl Docker {
    fn new(wire: Arc<Wire>, owner: &str) -> Result<Self> {
        let line = Arc::clone(&wire);
        let transport = move |request| {
            let line = Arc::clone(&line);
            async move { line.transport(request).await }
        };
        let client = bollard::Docker::connect_with_custom_transport(
            transport,
            Some(wire.base()),
            NO_DEADLINE_SECONDS,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| EngineError::new("connect", wire.address(), Failure::Invalid, error.to_string()))?;
        Ok(Self {
            client,
            wire,
            owner: owner.into(),
            logins: None,
            files: None,
            networks: Arc::default(),
            last_event: Arc::default(),
            lingering: Arc::default(),
        })
    }

    /// Where pulls get their logins from; without it they are anonymous.
    #[must_use]
    pub fn with_logins(mut self, logins: Arc<dyn RegistryAuth>) -> Self {
        self.logins = Some(logins);
        self
    }

    /// The engine's address as people write it: `unix:///var/run/docker.sock`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.wire.address()
    }

    /// A read, judged.
    async fn read<T: serde::de::DeserializeOwned + answers::Answer>(
        &self,
        op: &'static str,
        object: &str,
        path: &str,
    ) -> Result<T> {
        let answer = self.wire.get(path, READ_DEADLINE).await;
        answer.map_err(|error| engine_error(op, object, Call::Read, &error, Look::Blind))
    }

    /// A read of something that may not exist: `None` only when the engine says that this very thing does not.
    async fn read_existing<T: serde::de::DeserializeOwned + answers::Answer>(
        &self,
        op: &'static str,
        object: &str,
        path: &str,
    ) -> Result<Option<T>> {
        match self.wire.get(path, READ_DEADLINE).await {
            Ok(answer) => Ok(Some(answer)),
            Err(WireError::Refused { status: 404, message }) if is_absence(&message) => Ok(None),
            // A 404 about something else (a proxy's, an unknown path) says nothing about the object.
            Err(error @ WireError::Refused { status: 404, .. }) => {
                Err(EngineError::new(op, object, Failure::Internal, error.to_string()))
            }
            Err(error) => Err(engine_error(op, object, Call::Read, &error, Look::Blind)),
        }
    }

    /// One request through bollard, with a deadline around all of it.
    async fn send<T>(
        &self,
        deadline: Duration,
        request: impl Future<Output = std::result::Result<T, bollard::errors::Error>>,
    ) -> std::result::Result<T, WireError> {
        // Asked for now, so that a failure here is known to have happened before anything was sent.
        self.wire.api().await?;
        within(deadline, async { request.await.map_err(|error| self.wire.error(error)) }).await
    }

    /// The container as it is, ours or not; `None` when it is gone.
    async fn raw_container(&self, op: &'static str, id: &str) -> Result<Option<answers::Container>> {
        let path = format!("/containers/{}/json", path_segment(op, id)?);
        self.read_existing(op, id, &path).await
    }

    /// Looks at the container that a refused call was about, to tell what the refusal means.
    async fn judged(
        &self,
        op: &'static str,
        id: &ContainerId,
        call: Call,
        error: &WireError,
    ) -> (EngineError, Option<answers::Container>) {
        let (look, seen) = match error {
            WireError::Refused { .. } if !error.is_version_refusal() => {
                match self.raw_container(op, &id.0).await {
                    Ok(Some(seen)) => {
                        let look = Look::There {
                            status: observed::status(&seen.state),
                            exit_code: seen.state.exit_code,
                        };
                        (look, Some(seen))
                    }
                    Ok(None) => (Look::Gone, None),
                    Err(_) => (Look::Blind, None),
                }
            }
            _ => (Look::Blind, None),
        };
        (engine_error(op, id.short(), call, error, look), seen)
    }
}

fn is_attached(container: &answers::Container, network_id: &str) -> bool {
    container.network_settings.networks.values().any(|endpoint| endpoint.network_id == network_id)
}

/// Runs a call that changes something to its end, whatever becomes of the caller.
async fn to_its_end<T: Send + 'static>(
    op: &'static str,
    object: &str,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(call).await {
        Ok(result) => result,
        Err(error) => {
            let why =
                format!("the task that carried it out ended early ({error}); look again before repeating it");
            Err(EngineError::new(op, object, Failure::Unknown, why))
        }
    }
}

/// The engine's words for "there is no such thing", in every version tried, and not a web server's "page not found".
fn is_absence(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let says_so = message.contains("no such") || message.contains("not found");
    says_so && !message.contains("page not found") && !message.contains("<html")
}

/// Lets only text into a path that cannot change the path: ids, names and image references.
fn path_segment<'a>(op: &'static str, text: &'a str) -> Result<&'a str> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/' | b'@');
    let sound = !text.is_empty()
        && text.len() <= 1024
        && text.bytes().all(plain)
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if sound {
        return Ok(text);
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(EngineError::new(op, shown, Failure::Invalid, "this is not a name, an id or an image reference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_ids_and_references_get_into_a_path() {
        for good in
            ["a", "web-1", "sha256:00ff", "ghcr.io/acme/web:1.2", "localhost:5000/a/b@sha256:00", "shop_data"]
        {
            assert_eq!(path_segment("inspect", good), Ok(good));
        }
        for bad in ["", "../etc", "a/../b", "a//b", "a b", "a?b", "a#b", "a%2e", "/a", "a/", "ä", "a\n", "."]
        {
            assert_eq!(path_segment("inspect", bad).unwrap_err().kind, Failure::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn absence_is_what_the_engine_says_about_the_thing_itself() {
        for (message, expected) in [
            ("No such container: 5f1e", true),
            ("No such image: web:1", true),
            ("network 5f1e not found", true),
            ("get data: no such volume", true),
            ("page not found", false),
            ("<html><title>404 Not Found</title>", false),
            ("the engine gave no reason", false),
        ] {
            assert_eq!(is_absence(message), expected, "{message}");
        }
    }
}
