//! The engine that tests of a real one run on: the machine's own, or the one `scripts/on-engine.sh` puts in its place.

use std::path::PathBuf;

const OWN: &str = "/var/run/docker.sock";

/// Set where an engine was asked for by name: then nothing that is about an engine may be skipped.
fn asked_for() -> Option<String> {
    std::env::var("TEST_ENGINE").ok().filter(|address| !address.is_empty())
}

/// The address for `DOCKER_HOST`; `None`: whatever Docker's own command line goes to.
pub fn address() -> Option<String> {
    asked_for()
}

/// Its socket.
pub fn socket() -> PathBuf {
    let address = asked_for();
    PathBuf::from(address.as_deref().and_then(|address| address.strip_prefix("unix://")).unwrap_or(OWN))
}

/// Says that a test shows nothing here, and why. Fails where an engine was asked for by name.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(asked_for().is_none(), "{reason}");
    eprintln!("SKIPPED: {reason}");
}
