//! Files of ours that containers mount: what an engine on this host needs before it can make or start one.

use std::collections::BTreeMap;

use crate::state::plan::Failure;

/// Why a file could not be put where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesError {
    /// `Invalid`: it can never be, whoever tries. Everything else may be better later.
    pub kind: Failure,
    /// A sentence without anything secret in it.
    pub message: String,
}

/// Keeps the files of secrets and configs. These functions block.
pub trait Files: Send + Sync + 'static {
    /// Puts the files at these paths, as far as they are of ours, where they are missing; others are not looked at.
    ///
    /// # Errors
    /// One of them cannot be made.
    fn ensure(&self, paths: &[String]) -> Result<(), FilesError>;

    /// Puts other content, by its name, into files, in place: who has one open sees it.
    ///
    /// # Errors
    /// One of them cannot be written.
    fn rewrite(&self, contents: &BTreeMap<String, String>) -> Result<(), FilesError>;
}
