//! What a service manager is told, as sd_notify(3) has it: that evenkeel runs, that its loop turns, and how the services are.
//!
//! Ready means "the loop runs", not "everything is converged": an engine or a registry that is down at boot is waited for, and must
//! not make the service manager give up.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::metrics::api::{Api, StatusReport};
use crate::state::condition::ConditionKind;

/// How often the words for people are renewed when no watchdog asks for more.
const WORDS_EVERY: Duration = Duration::from_secs(10);
/// In the first moments everything changes, and people look.
const FIRST: (u32, Duration) = (15, Duration::from_secs(1));

/// Says that evenkeel is ready, and from then on that it is alive, as often as the watchdog asks for. The task ends when it is aborted.
#[must_use]
pub(super) fn follow(api: Arc<dyn Api>) -> JoinHandle<()> {
    say(&[NotifyState::Ready]);
    // Three words within the time in which one must come.
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(WORDS_EVERY, |limit| (limit / 3).min(WORDS_EVERY));
    tokio::spawn(async move {
        let mut said = String::new();
        let mut turns = 0_u32;
        loop {
            match api.healthy() {
                Ok(()) if watchdog.is_some() => say(&[NotifyState::Watchdog]),
                Ok(()) => {}
                // No word: a loop that hangs is for the service manager to end.
                Err(why) => tracing::error!(why, "the watchdog is not told that all is well"),
            }
            let words = words(&api.status());
            if words != said {
                say(&[NotifyState::Status(&words)]);
                said = words;
            }
            turns = turns.saturating_add(1);
            tokio::time::sleep(if turns <= FIRST.0 { every.min(FIRST.1) } else { every }).await;
        }
    })
}

/// A signal to stop has come.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Without a service manager this does nothing.
fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// `12 services: 10 ready, 1 held, 1 rolled-back`, for `systemctl status`.
fn words(report: &StatusReport) -> String {
    let services = &report.services;
    if !report.host.engine.up {
        return format!("the engine does not answer; {} services known", services.len());
    }
    let counts: Vec<String> = ConditionKind::ALL
        .iter()
        .map(|kind| (services.iter().filter(|row| row.condition.kind == *kind).count(), kind.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    match services.len() {
        0 => "no services".to_owned(),
        1 => format!("1 service: {}", counts.join(", ")),
        many => format!("{many} services: {}", counts.join(", ")),
    }
}
