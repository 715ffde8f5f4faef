//! Making images: what an engine, or a builder beside it, is asked for.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::Result;
use crate::desired::work::BuildSpec;

/// Writes the context as an archive. Called in a thread of its own; an error ends the build.
pub type Pack = Arc<dyn Fn(&mut dyn Write) -> std::io::Result<()> + Send + Sync>;
/// Is told what the builder prints, in pieces.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// One image to make.
#[derive(Clone)]
pub struct BuildOrder {
    /// With every variable put in.
    pub spec: BuildSpec,
    /// Where the Dockerfile lies in the archive.
    pub dockerfile: String,
    /// The name that the image gets when it is whole, and not before.
    pub name: String,
    /// What only BuildKit can do of what the Dockerfile says.
    pub buildkit: Option<String>,
    /// Registries of the base images.
    pub registries: BTreeSet<String>,
    pub context: Pack,
    /// Secrets that steps may mount, by their name there: files with the values.
    pub secrets: Vec<(String, PathBuf)>,
    /// For a builder that wants a folder: made and removed again.
    pub folder: PathBuf,
}

/// Builds and pushes. Both can be dropped at any time: what was not whole by then comes to nothing.
#[async_trait]
pub trait Build: Send + Sync + 'static {
    /// Returns when the image is there under its name. A failure of kind `Invalid` comes again with the same context, any other may
    /// not.
    async fn build(&self, order: &BuildOrder, tell: Tell<'_>) -> Result<()>;
    /// Returns what the registry calls the image now: `sha256:...`.
    async fn push(&self, reference: &str, tell: Tell<'_>) -> Result<String>;
}
