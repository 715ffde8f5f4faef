//! Files out of an image, and commands that are run once in one: containers that serve nothing, made for a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{ExecEnd, Result};
use crate::desired::secret::Sensitive;
use crate::state::observed::{ContainerId, ImageId};

/// A command in a container of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub image: ImageId,
    pub command: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub environment: BTreeMap<String, Option<Sensitive>>,
    /// A path of the host that it sees, at the same path, and cannot write to.
    pub sees: String,
}

/// See the module. Every container made here carries our owner label and the label `copy`, and is gone at the end; what a crash left is
/// found by [`Copy::leftovers`].
#[async_trait]
pub trait Copy: Send + Sync + 'static {
    /// Makes a container of an image that is never started. `whose`: for people, and for the label.
    async fn hold(&self, image: &ImageId, whose: &str) -> Result<ContainerId>;
    /// The archive (tar) of a path in it. Whatever happens after this returned ends the stream with an error.
    async fn archive(&self, id: &ContainerId, path: &str) -> Result<BoxStream<'static, Result<Bytes>>>;
    /// Removes it, whether it runs or not.
    async fn release(&self, id: &ContainerId) -> Result<()>;
    /// Containers of this instance that were made here and are still there.
    async fn leftovers(&self) -> Result<Vec<ContainerId>>;
    /// Runs a command in a container of its own and waits for its end, `limit` at most; then it is killed.
    async fn once(&self, once: &Once, whose: &str, limit: Duration) -> Result<ExecEnd>;
}
