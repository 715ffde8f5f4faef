//! What every command needs first: settings, a log, a runtime, and the answer to "is there a daemon?".

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::out;
use crate::config::{DaemonFlags, Flags, LogFormat, Settings};
use crate::controller::store::Store;
use crate::metrics::client::{Client, ClientError};

/// Settings of this call, with the log set up by them; an exit code when they cannot be used.
pub(super) fn settings(flags: &Flags, daemon: Option<&DaemonFlags>) -> Result<Settings, i32> {
    let settings = Settings::load(flags, daemon).map_err(out::fail)?;
    // A command says what it does itself; the daemon's log is what the daemon says.
    let quiet = daemon.is_none() && settings.log_level == "info";
    log_to_stderr(&settings, if quiet { "warn" } else { &settings.log_level });
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}

fn log_to_stderr(settings: &Settings, level: &str) {
    let words = std::env::var("RUST_LOG").ok().filter(|words| !words.trim().is_empty());
    let filter = words
        .and_then(|words| EnvFilter::try_new(words).ok())
        .or_else(|| EnvFilter::try_new(level).ok())
        .unwrap_or_else(|| EnvFilter::default().add_directive(LevelFilter::INFO.into()));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let clamp = filter_fn(|meta| may_be_logged(meta.target(), *meta.level()));
    let base = tracing_subscriber::registry().with(filter).with(clamp);
    // A second log is not wanted: whoever was first (a test) keeps it.
    let _first = match settings.log_format {
        LogFormat::Text => base.with(lines).try_init(),
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
    };
}

/// Below `info`, the engine's client and the HTTP library log whole requests, environment values included: never, whatever
/// anybody asks for (invariant I14).
fn may_be_logged(target: &str, level: tracing::Level) -> bool {
    let leaky = ["bollard", "hyper", "hyper_util", "h2", "rustls"];
    let name = target.split("::").next().unwrap_or(target);
    level <= tracing::Level::INFO || !leaky.contains(&name)
}

/// Runs a command's future on one thread: a command waits, it does not compute.
pub(super) fn block_on(work: impl Future<Output = i32>) -> i32 {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => out::fail(format_args!("cannot start: {error}")),
    }
}

/// Who answers for this host.
pub(super) enum Host {
    /// The running daemon.
    Daemon(Client),
    /// Nobody: the command looks for itself, without changing anything.
    Alone(Box<Store>),
}

impl Host {
    /// # Errors
    /// An exit code, after saying why: a socket that may not be opened, a store that cannot be read.
    pub(super) async fn find(settings: &Settings) -> Result<Self, i32> {
        match Client::find(&settings.socket).await.map_err(client_failed)? {
            Some(client) => Ok(Self::Daemon(client)),
            None => {
                let store =
                    Store::open_read_only(&settings.state).map_err(|error| out::fail(chain(&error)))?;
                Ok(Self::Alone(Box::new(store)))
            }
        }
    }
}

/// An error with its causes: `can't save to x: disk full`.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Prints what the daemon (or the way to it) answered and returns the exit code for it.
pub(super) fn client_failed(error: ClientError) -> i32 {
    out::fail(chain(&error))
}

#[cfg(test)]
mod tests {
    use super::may_be_logged;
    use tracing::Level;

    #[test]
    fn request_bodies_are_never_logged() {
        for target in ["bollard", "bollard::docker", "hyper::proto::h1", "hyper_util::client", "h2"] {
            assert!(!may_be_logged(target, Level::DEBUG) && !may_be_logged(target, Level::TRACE), "{target}");
            assert!(may_be_logged(target, Level::INFO) && may_be_logged(target, Level::ERROR), "{target}");
        }
        assert!(may_be_logged("evenkeel::controller", Level::TRACE));
        assert!(may_be_logged("hyperion", Level::TRACE), "only whole names are meant");
    }
}
