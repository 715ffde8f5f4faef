//! Waiting for the end of a container.

use async_trait::async_trait;
use futures_util::StreamExt;

use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::engine::wait::Wait;
use crate::engine::{READ_DEADLINE, Result};
use crate::state::observed::ContainerId;

#[async_trait]
impl Wait for Docker {
    async fn ended(&self, id: &ContainerId) -> Result<()> {
        let op = "wait for";
        let failed = |error: &WireError| engine_error(op, id.short(), Call::Read, error, Look::Blind);
        let path = format!("/containers/{}/wait?condition=not-running", path_segment(op, &id.0)?);
        // The engine answers at once that it waits, and says the rest when it is over.
        let mut body = match self.wire.open_post(&path, String::new(), READ_DEADLINE).await {
            Ok(body) => body,
            Err(WireError::Refused { status: 404, .. }) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        while let Some(piece) = body.next().await {
            piece.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}
