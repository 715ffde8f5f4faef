//! Webhooks of forges: a signed word that a branch moved. All it does is to have the source look now.
//!
//! The signature is checked over the body as it came, in constant time. The body itself is not believed, not even read: which
//! commit is in force is found out from the repository. So a request that is sent again, by whoever saw it, costs one look
//! at the branch, and looks are at least a second apart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use sha2::Sha256;

use crate::metrics::api::{Accepted, ApiError, ApiErrorKind};

/// What the largest forge sends at most. Bytes. It is hashed as it comes and not kept.
const BODY_BYTES: usize = 25 << 20;
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// A shorter secret can be tried out. Bytes.
const SECRET_LEAST: usize = 16;

/// A source that webhooks may wake.
#[derive(Clone)]
pub struct Hook {
    /// Read at every request, so that a new secret counts at once.
    pub secret_file: PathBuf,
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// The sender, which decides how the signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    GitHub,
    GitLab,
    Gitea,
    Forgejo,
    Generic,
}

impl Kind {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "github" => Self::GitHub,
            "gitlab" => Self::GitLab,
            "gitea" => Self::Gitea,
            "forgejo" => Self::Forgejo,
            "generic" => Self::Generic,
            _ => return None,
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Generic => "generic",
        }
    }

    /// The header that holds the signature (or GitLab's token).
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::GitHub => "x-hub-signature-256",
            Self::GitLab => "x-gitlab-token",
            Self::Gitea => "x-gitea-signature",
            Self::Forgejo => "x-forgejo-signature",
            Self::Generic => "x-evenkeel-signature-256",
        }
    }
}

/// Why a request is turned away, and the word for it in the metric.
pub(super) struct Refused {
    pub error: ApiError,
    pub result: &'static str,
}

fn invalid(kind: ApiErrorKind, message: impl Into<String>) -> Refused {
    Refused { error: ApiError::new(kind, message), result: "invalid" }
}

fn refused(message: impl Into<String>) -> Refused {
    Refused { error: ApiError::new(ApiErrorKind::Unauthorized, message), result: "refused" }
}

/// Checks a request and wakes the sources whose secret signed it.
pub(super) async fn receive(
    hooks: &[Hook],
    kind: Kind,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Accepted, Refused> {
    if hooks.is_empty() {
        let message = "no source takes webhooks: set webhook_secret_file in [source.NAME]";
        return Err(invalid(ApiErrorKind::NotFound, message));
    }
    let given = headers.get(kind.header()).and_then(|value| value.to_str().ok());
    let Some(given) = given.map(|given| given.trim().to_owned()) else {
        return Err(refused(format!("the header {} is missing", kind.header())));
    };
    let mut keys = Vec::new();
    for hook in hooks {
        match secret(&hook.secret_file).await {
            Ok(secret) => keys.push((hook, secret)),
            Err(why) => {
                tracing::error!(file = %hook.secret_file.display(), why, "a webhook secret cannot be used")
            }
        }
    }
    if keys.is_empty() {
        let message = "the secret cannot be read on this host: see the log of evenkeel";
        return Err(invalid(ApiErrorKind::Unavailable, message));
    }
    let macs = keys.iter().filter_map(|(_, secret)| mac(secret)).collect();
    let macs = hashed(macs, body).await?;
    let mut woken = 0;
    for ((hook, secret), mac) in keys.iter().zip(macs) {
        let signed = match kind {
            Kind::GitLab => same(secret, given.as_bytes()),
            _ => signature(&given).is_some_and(|signature| mac.verify_slice(&signature).is_ok()),
        };
        if signed {
            (hook.wake)();
            woken += 1;
        }
    }
    if woken == 0 {
        return Err(refused("the signature is wrong: is it the same secret on both sides?"));
    }
    Ok(Accepted { message: "looking at the repository now".to_owned() })
}

async fn secret(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut bytes = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.len() < SECRET_LEAST {
        return Err(format!("it is shorter than {SECRET_LEAST} bytes; make one with: openssl rand -hex 32"));
    }
    Ok(bytes)
}

fn mac(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

/// Both through the same keyed hash, so that comparing takes the same time whatever they are.
fn same(secret: &[u8], given: &[u8]) -> bool {
    let (Some(own), Some(theirs)) = (mac(secret), mac(secret)) else { return false };
    let own = own.chain_update(secret).finalize().into_bytes();
    theirs.chain_update(given).verify_slice(&own).is_ok()
}

fn signature(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("sha256=").unwrap_or(text)).ok()
}

/// Lets the body through the hashes as it comes.
async fn hashed(mut macs: Vec<Hmac<Sha256>>, body: Incoming) -> Result<Vec<Hmac<Sha256>>, Refused> {
    let through = async {
        let mut body = body;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| invalid(ApiErrorKind::Invalid, "the body ended early"))?;
            let Some(bytes) = frame.data_ref() else { continue };
            length += bytes.len();
            if length > BODY_BYTES {
                let message = format!("the body is larger than {} MiB", BODY_BYTES >> 20);
                return Err(invalid(ApiErrorKind::TooLarge, message));
            }
            macs.iter_mut().for_each(|mac| mac.update(bytes));
        }
        Ok(macs)
    };
    match tokio::time::timeout(BODY_DEADLINE, through).await {
        Ok(done) => done,
        Err(_) => Err(invalid(ApiErrorKind::Invalid, "the body did not come in time")),
    }
}
