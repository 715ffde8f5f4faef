//! The work beside services that the daemon has.

use std::path::PathBuf;
use std::sync::Arc;

use super::run::EngineKind;
use crate::config::Settings;
use crate::controller::works::jobs::Jobs;
use crate::controller::works::messages::Notify;
use crate::controller::works::{Book, Worker};
use crate::engine::docker;
use crate::engine::wait::Wait;

/// Where the engine has the authorities of registries, too.
const CERTIFICATES: &str = "/etc/docker/certs.d";

/// One of each kind.
pub(super) fn all(settings: &Settings, kind: EngineKind, book: &Arc<Book>) -> Vec<Arc<dyn Worker>> {
    vec![
        Arc::new(Notify::new(settings.host.clone(), PathBuf::from(CERTIFICATES))),
        jobs(settings, kind, book),
    ]
}

fn jobs(settings: &Settings, kind: EngineKind, book: &Arc<Book>) -> Arc<dyn Worker> {
    // Without a line of its own it looks more often: why there is none the engine itself has told.
    let wait = match kind {
        EngineKind::Docker => docker::connect(settings.docker_host.as_deref(), &settings.instance).ok(),
        EngineKind::Simulated => None,
    };
    let wait = wait.map(|engine| Arc::new(engine) as Arc<dyn Wait>);
    Arc::new(Jobs::new(Arc::clone(book), wait, jiff::tz::TimeZone::system()))
}
