//! One error for every engine call: which call, on what, what kind, what the engine said.

use thiserror::Error;

use crate::state::plan::Failure;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{op} {object}: {message}")]
pub struct EngineError {
    /// The engine call, in the engine's word: `create`, `start`, `pull`.
    pub op: &'static str,
    /// What it was about: a container's name or short id, an image reference, a network.
    pub object: String,
    pub kind: Failure,
    /// The engine's own words, or ours when it gave none.
    pub message: String,
}

impl EngineError {
    #[must_use]
    pub fn new(
        op: &'static str,
        object: impl Into<String>,
        kind: Failure,
        message: impl Into<String>,
    ) -> Self {
        Self { op, object: object.into(), kind, message: message.into() }
    }
}
