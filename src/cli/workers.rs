//! The work beside services that the daemon has.

use std::sync::Arc;

use super::run::EngineKind;
use crate::config::Settings;
use crate::controller::works::{Book, Worker};

/// One of each kind.
pub(super) fn all(settings: &Settings, kind: EngineKind, book: &Arc<Book>) -> Vec<Arc<dyn Worker>> {
    let _ = (settings, kind, book);
    vec![]
}
