//! What is known of the sources of the desired state: written by those who follow them, read for status.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::metrics::api::SourceStatus;

/// See the module.
#[derive(Debug, Default)]
pub struct SourceBoard {
    sources: Mutex<BTreeMap<String, SourceStatus>>,
}

impl SourceBoard {
    /// Changes what is said of a source, which is new if it was not known.
    pub fn set(&self, name: &str, change: impl FnOnce(&mut SourceStatus)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let status = sources
            .entry(name.to_owned())
            .or_insert_with(|| SourceStatus { name: name.to_owned(), ..SourceStatus::default() });
        change(status);
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<SourceStatus> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
