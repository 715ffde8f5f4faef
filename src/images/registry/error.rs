//! What can go wrong with a registry, by what it means for us.

use std::fmt;

use thiserror::Error;

/// A question to a registry that got no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{registry}: {message}")]
pub struct RegistryError {
    /// The registry, as it is named in image references.
    pub registry: String,
    pub trouble: Trouble,
    /// A sentence, with what to do about it where something can be done. Never has anything secret in it.
    pub message: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It does not know us, or does not let us.
    Unauthorized,
    /// No such repository, or no such tag in it.
    NotFound,
    /// We asked too often. It is left alone for so many milliseconds.
    Limited { for_ms: u64 },
    /// It is down, or far too slow, or cut the answer off.
    Unavailable,
    /// Its answer is none: not of the API, or not what its digest says.
    Invalid,
}

impl Trouble {
    /// For labels of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not-found",
            Self::Limited { .. } => "limited",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RegistryError {
    pub(super) fn new(registry: &str, trouble: Trouble, message: impl Into<String>) -> Self {
        Self { registry: registry.to_owned(), trouble, message: message.into() }
    }
}
