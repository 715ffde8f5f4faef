//! Text that may be a secret.
//!
//! Every value of `environment` is treated as one: people put passwords there, and nothing tells them apart. Its `Debug` and
//! `Display` show a short digest, enough to see that it changed and nothing more (invariant I14).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Text that must not be printed. Serialises as itself, because the store and the engine need it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sensitive(String);

impl Sensitive {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the engine's request and for hashing, never for people.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `sha256:1a2b3c4d`: the same text always shows the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let sum = Sha256::digest(self.0.as_bytes());
        format!("sha256:{}", hex::encode(&sum[..4]))
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest())
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest())
    }
}
