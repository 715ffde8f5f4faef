//! Waiting for the end of a container.

use async_trait::async_trait;

use super::Result;
use crate::state::observed::ContainerId;

/// Hears of an end the moment it comes. Nothing is decided by it: it only says when to look, and who waits looks now and then anyway.
#[async_trait]
pub trait Wait: Send + Sync + 'static {
    /// Returns when the container does not run (any more), or is gone. Without a deadline: drop it to stop waiting.
    ///
    /// # Errors
    /// The engine cannot be asked, or the line broke while it was waited.
    async fn ended(&self, id: &ContainerId) -> Result<()>;
}
