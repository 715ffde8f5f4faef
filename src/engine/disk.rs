//! What the engine keeps on its disk, whoever put it there, and the removal of volumes, which nothing else may ask for.

use async_trait::async_trait;

use super::Result;
use crate::state::prune::Stock;

/// See the module.
#[async_trait]
pub trait Disk: Send + Sync + 'static {
    /// Every image that is no mere step of a build, and every container, of everybody. Reads only.
    async fn stock(&self) -> Result<Stock>;
    /// Removes a volume that no container has. A missing one is fine.
    async fn remove_volume(&self, name: &str) -> Result<()>;
}
