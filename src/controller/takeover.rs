//! Taking over another desired state: load it, tell what is wrong with it, and find out whom it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::host::Host;
use super::inbound::Loader;
use super::news::News;
use super::trigger::Key;
use super::wish::Wish;
use crate::desired::DesiredState;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::provided::UNAVAILABLE;
use crate::metrics::LoadGauges;
use crate::metrics::api::DesiredStatus;
use crate::source::{Published, SourceError, Update};

/// Takes a word of the source over. Returns the keys for which something else is wanted now. An error changes nothing that
/// is wanted: what was read last stands (invariant I3).
pub async fn take(host: &Host, load: &Loader, update: Update) -> BTreeSet<Key> {
    match update {
        Ok(published) => take_snapshot(host, load, published).await,
        Err(error) => {
            unreadable(host, &error);
            BTreeSet::new()
        }
    }
}

fn unreadable(host: &Host, error: &SourceError) {
    tracing::error!(%error, "the desired state cannot be read; what was read last stands");
    host.metrics.desired_unreadable();
    host.metrics.desired_readable(false);
    host.board.set_host(|status| status.desired.trouble = Some(error.to_string()));
}

async fn take_snapshot(host: &Host, load: &Loader, published: Published) -> BTreeSet<Key> {
    let Published { snapshot, quiet_ms } = published;
    host.metrics.watch_event();
    host.metrics.desired_readable(true);
    let revision = snapshot.revision.digest.clone();
    let before = host.wish();
    let known = host.board.host().desired.revision == revision;
    if let Some(wish) = before.as_ref().filter(|_| known) {
        host.board.set_host(|status| status.desired.trouble = None);
        return if quiet_ms >= host.limits.removal_quiet_ms && !wish.confirmed {
            confirm(host, wish)
        } else {
            BTreeSet::new()
        };
    }
    // A fault in the loader must not end the loop: whatever it is, what was read before stands.
    let work = Arc::clone(load);
    let loaded = tokio::task::spawn_blocking(move || work(&snapshot)).await;
    let (mut state, diagnostics) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "loading the desired state panicked: this is a mistake in evenkeel, please report it");
            host.metrics.desired_unreadable();
            let text = "loading it panicked, which is a mistake in evenkeel; what was read before stands";
            host.board.set_host(|status| status.desired.trouble = Some(text.to_owned()));
            return BTreeSet::new();
        }
    };
    tell(host, revision, &state, &diagnostics);
    super::disown::settle(host, &mut state).await;
    let now = host.clock.now().mono;
    let since = crate::state::time::Mono(now.0.saturating_sub(quiet_ms));
    let wish = Wish::after(state, since, before.as_deref());
    take_wish(host, if quiet_ms >= host.limits.removal_quiet_ms { wish.confirmed() } else { wish })
}

/// Puts a desired state in force. Returns the keys it concerns.
pub fn take_wish(host: &Host, wish: Wish) -> BTreeSet<Key> {
    let wish = Arc::new(wish);
    let before = host.set_wish(Arc::clone(&wish));
    let mut keys = wish.changed(before.as_deref());
    keys.extend(unwanted(host, &wish));
    keys
}

/// Read again, unchanged, after the quiet period: removals may go.
fn confirm(host: &Host, wish: &Wish) -> BTreeSet<Key> {
    let confirmed = wish.clone().confirmed();
    let keys = unwanted(host, &confirmed);
    host.set_wish(Arc::new(confirmed));
    keys
}

/// Services that are here and not wanted.
fn unwanted(host: &Host, wish: &Wish) -> BTreeSet<Key> {
    let known = host.guard.known().into_iter();
    known.filter(|id| !wish.state.services.contains_key(id)).map(Key::Service).collect()
}

fn tell(host: &Host, revision: String, state: &DesiredState, diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().filter(|found| found.is_error()).count();
    let now = host.clock.now();
    host.metrics.desired_loaded(LoadGauges {
        errors,
        broken_files: state.broken.len(),
        services: state.services.len(),
        secrets_unavailable: diagnostics.iter().filter(|found| found.slug == UNAVAILABLE).count(),
        at: now.wall,
    });
    for found in diagnostics {
        if found.is_error() {
            tracing::error!("{}", found.headline());
        } else {
            tracing::warn!("{}", found.headline());
        }
    }
    tracing::info!(
        services = state.services.len(),
        broken_files = state.broken.len(),
        errors,
        "the desired state was read"
    );
    let known = host.board.host().desired.broken_files;
    for (file, told) in state.broken.iter().filter(|(file, _)| !known.contains(*file)) {
        let reason = told.first().map(Diagnostic::headline).unwrap_or_default();
        host.tell(News::of_file(file, reason, now.wall));
    }
    let mut problems: Vec<&Diagnostic> = diagnostics.iter().collect();
    problems.sort_by_key(|found| !found.is_error());
    host.board.set_host(|status| {
        status.desired = DesiredStatus {
            path: std::mem::take(&mut status.desired.path),
            revision,
            loaded: Some(now.wall),
            services: state.services.len(),
            broken_files: state.broken.keys().cloned().collect(),
            problems: problems.iter().map(|found| found.headline()).collect(),
            trouble: None,
            sources: Vec::new(),
        };
    });
}

/// Tells what waits for consent.
pub fn refresh_guard(host: &Host) {
    let Some(wish) = host.wish() else { return };
    let waiting = host.guard.waiting(&wish, host.clock.now().mono);
    host.metrics.guard_refused(waiting.as_ref().map_or(0, |guard| guard.services.len()));
    let news = waiting
        .as_ref()
        .filter(|guard| host.board.host().guard.is_none_or(|before| before.token != guard.token));
    if let Some(guard) = news {
        tracing::warn!(
            token = guard.token,
            services = guard.services.join(", "),
            "{}; to go ahead: `evenkeel approve {}`",
            guard.reason,
            guard.token
        );
    }
    host.board.set_guard(waiting);
}
