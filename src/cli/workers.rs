//! The work beside services that the daemon has.

use std::path::PathBuf;
use std::sync::Arc;

use super::run::EngineKind;
use crate::config::Settings;
use crate::controller::works::messages::Notify;
use crate::controller::works::{Book, Worker};

/// Where the engine has the authorities of registries, too.
const CERTIFICATES: &str = "/etc/docker/certs.d";

/// One of each kind.
pub(super) fn all(settings: &Settings, kind: EngineKind, book: &Arc<Book>) -> Vec<Arc<dyn Worker>> {
    let _ = (kind, book);
    vec![Arc::new(Notify::new(settings.host.clone(), PathBuf::from(CERTIFICATES)))]
}
