//! The gate: has this start of this container proved itself? And the rules of what a container that stopped should do.

use super::observed::{ContainerStatus, EngineSession, Health, ObservedContainer};
use super::record::GateWindow;
use super::time::Mono;
use crate::desired::spec::{RestartPolicy, UpdateConfig};

/// What a look through the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not running, and nothing is known against it.
    NotStarted,
    /// Look again at this instant at the latest.
    Pending {
        until: Mono,
        waiting_for: &'static str,
    },
    Healthy,
    /// Ended with 0 and its restart policy leaves it so.
    Completed,
    Failed(String),
}

/// How often a pending gate without events is looked at, in milliseconds (RELIABILITY.md N1: 2 s while updating).
const LOOK_EVERY: u64 = 2_000;

/// Looks at one container. `window` is what the last look left, and is changed to what this look leaves.
///
/// The window must be uninterrupted: the same start, the same restart count, in one engine session. A new session makes a new
/// window (inconclusive); anything else that moved is a failure (RELIABILITY.md S5, E19, E22, V9).
pub fn look(
    container: &ObservedContainer,
    window: &mut Option<GateWindow>,
    policy: RestartPolicy,
    update: &UpdateConfig,
    session: EngineSession,
    now: Mono,
) -> Verdict {
    if window.as_ref().is_some_and(|open| open.session != session) {
        *window = None;
    }
    match container.status {
        ContainerStatus::Running => look_at_running(container, window, update, session, now),
        // Between two starts of a crash loop; under probation (`no`) the engine never gets here by itself.
        ContainerStatus::Restarting => Verdict::Failed(format!("crash loop: {}", exit_text(container))),
        ContainerStatus::Paused => Verdict::Pending { until: now.after(LOOK_EVERY), waiting_for: "unpause" },
        ContainerStatus::Exited => match window {
            None => Verdict::NotStarted,
            Some(open) if open.started_at.is_some() && open.started_at != container.started_at => {
                Verdict::NotStarted
            }
            Some(_) if container.exit_code == 0 && !restarts_after(policy, 0) => Verdict::Completed,
            Some(open) => {
                open.ended = true;
                Verdict::Failed(exit_text(container))
            }
        },
        ContainerStatus::Created | ContainerStatus::Dead | ContainerStatus::Removing => Verdict::NotStarted,
    }
}

fn look_at_running(
    container: &ObservedContainer,
    window: &mut Option<GateWindow>,
    update: &UpdateConfig,
    session: EngineSession,
    now: Mono,
) -> Verdict {
    if window.as_ref().is_some_and(|open| open.ended) {
        *window = None;
    }
    let open = window.get_or_insert_with(|| GateWindow {
        since: now,
        session,
        started_at: container.started_at,
        restart_count: container.restart_count,
        passed: false,
        passed_at: None,
        ended: false,
    });
    if open.started_at.is_none() {
        // Opened when the start was answered; this is the first look.
        open.started_at = container.started_at;
        open.restart_count = container.restart_count;
    }
    if open.started_at != container.started_at || open.restart_count != container.restart_count {
        let text = format!("it restarted while it was being watched ({} restarts)", container.restart_count);
        return Verdict::Failed(text);
    }
    let (deadline, waiting_for) = match container.health {
        Health::Healthy => return pass(open, now),
        Health::Starting if container.probe.is_some() => {
            (open.since.after(update.healthy_within_ms), "its probe")
        }
        Health::Unhealthy => return Verdict::Failed(unhealthy_text(container)),
        Health::Starting => (open.since.after(update.healthy_within_ms), "its health check"),
        Health::None => (open.since.after(update.monitor_ms), "the monitor window"),
    };
    if now < deadline {
        return Verdict::Pending { until: deadline.min(now.after(LOOK_EVERY)), waiting_for };
    }
    if container.health == Health::None {
        return pass(open, now);
    }
    Verdict::Failed(format!(
        "not healthy within {}{}",
        seconds(update.healthy_within_ms),
        log_suffix(container)
    ))
}

fn pass(window: &mut GateWindow, now: Mono) -> Verdict {
    window.passed = true;
    window.passed_at.get_or_insert(now);
    Verdict::Healthy
}

/// Does its restart policy want a container that ended with `exit_code` to run again?
#[must_use]
pub fn restarts_after(policy: RestartPolicy, exit_code: i64) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { .. } => exit_code != 0,
    }
}

/// `exited with 1 after 0.4 s`, for reasons.
#[must_use]
pub fn exit_text(container: &ObservedContainer) -> String {
    let mut text = format!("exited with {}", container.exit_code);
    if container.oom_killed {
        text.push_str(" (out of memory)");
    }
    if let (Some(from), Some(to)) = (container.started_at, container.finished_at)
        && to.0 > from.0
    {
        let tenths = (to.0 - from.0) / 100_000_000;
        text.push_str(&format!(" after {}.{} s", tenths / 10, tenths % 10));
    }
    if !container.error.is_empty() {
        text.push_str(&format!(": {}", container.error));
    }
    text
}

fn unhealthy_text(container: &ObservedContainer) -> String {
    if super::probe::is_failing(container) {
        return format!("its probe fails{}", log_suffix(container));
    }
    format!("its health check says unhealthy{}", log_suffix(container))
}

fn log_suffix(container: &ObservedContainer) -> String {
    let log = container.probe.as_ref().map_or(&container.health_log, |seen| &seen.last);
    let line = log.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": {line}")).unwrap_or_default()
}

/// `1.5 s`, `3 min`.
#[must_use]
pub fn seconds(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        _ if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}
