//! What happens, for whoever wants to be told: short facts that the passes and the workers drop as they go. Nobody waits for anybody: who
//! listens too slowly misses some, and is told how many.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

use super::host::Host;
use crate::desired::ident::{ProjectName, ServiceId};
use crate::desired::snapshot::Commit;
use crate::desired::work::WorkId;
use crate::state::condition::{Condition, ConditionKind};
use crate::state::jobs::{self, RunEnd};
use crate::state::record::{HistoryEntry, HistoryEvent};
use crate::state::time::Timestamp;

/// Facts that are kept for those who listen slowly.
const KEPT: usize = 1_024;

/// One fact. Holds nothing that programs printed, and no values of an environment (invariant I14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// One of those that `[notify.X] events` may name: `update.rolled-back`.
    pub event: &'static str,
    pub at: Timestamp,
    /// `None`: of the whole host.
    pub project: Option<ProjectName>,
    /// The service, job, build, artifact or file.
    pub name: String,
    /// A sentence.
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

impl News {
    /// Of a job, build or artifact.
    #[must_use]
    pub fn of_work(event: &'static str, id: &WorkId, reason: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event,
            at,
            project: Some(id.project.clone()),
            name: id.name.to_string(),
            reason: reason.into(),
            image: String::new(),
            revision: None,
            commit: None,
        }
    }

    /// The end of a job's run. What is tried again is not told, nor what somebody ended on purpose.
    #[must_use]
    pub fn of_run(id: &WorkId, end: &RunEnd) -> Option<Self> {
        let event = match end.result {
            jobs::Result::Succeeded => "job.succeeded",
            jobs::Result::Failed | jobs::Result::TimedOut | jobs::Result::Broken | jobs::Result::Lost
                if end.last =>
            {
                "job.failed"
            }
            _ => return None,
        };
        let reason = match end.text.is_empty() {
            true => end.result.word().to_owned(),
            false => format!("{}: {}", end.result.word(), end.text),
        };
        Some(Self::of_work(event, id, reason, end.at))
    }

    /// A file of the desired state that does not load.
    #[must_use]
    pub fn of_file(file: &str, reason: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event: "files.broken",
            at,
            project: None,
            name: file.to_owned(),
            reason: reason.into(),
            image: String::new(),
            revision: None,
            commit: None,
        }
    }

    /// A line of a service's history, if it is one that people are told of.
    #[must_use]
    pub fn of_history(id: &ServiceId, entry: &HistoryEntry) -> Option<Self> {
        let event = match entry.event {
            HistoryEvent::Started => "update.started",
            HistoryEvent::Committed => "update.committed",
            HistoryEvent::Rejected => "update.rejected",
            HistoryEvent::RolledBack => "update.rolled-back",
            HistoryEvent::Removed => "service.removed",
            HistoryEvent::Held
            | HistoryEvent::Released
            | HistoryEvent::Retried
            | HistoryEvent::Awaiting
            | HistoryEvent::Approved
            | HistoryEvent::HookRan
            | HistoryEvent::HookFailed
            | HistoryEvent::Updated
            | HistoryEvent::Repaired
            | HistoryEvent::Adopted
            | HistoryEvent::Drifted
            | HistoryEvent::Disowned => return None,
        };
        Some(Self {
            event,
            at: entry.at,
            project: Some(id.project.clone()),
            name: id.service.to_string(),
            reason: entry.reason.clone(),
            image: entry.image.clone(),
            revision: entry.number,
            commit: entry.commit.clone(),
        })
    }

    /// A service that does not do well any more, or does again. What is on its way is neither.
    #[must_use]
    pub fn of_condition(id: &ServiceId, before: Health, now: &Condition, at: Timestamp) -> Option<Self> {
        let event = match (before, Health::of(now.kind)) {
            (Health::Good, Health::Bad) => "service.degraded",
            (Health::Bad, Health::Good) => "service.recovered",
            _ => return None,
        };
        Some(Self {
            event,
            at,
            project: Some(id.project.clone()),
            name: id.service.to_string(),
            reason: now.message.clone(),
            image: String::new(),
            revision: None,
            commit: None,
        })
    }
}

/// What a condition says of a service's health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Good,
    Bad,
    /// Nothing: it stays what it was.
    Unsaid,
}

impl Health {
    #[must_use]
    pub fn of(kind: ConditionKind) -> Self {
        match kind {
            ConditionKind::Ready | ConditionKind::Completed => Self::Good,
            ConditionKind::Degraded | ConditionKind::Failed => Self::Bad,
            ConditionKind::Progressing
            | ConditionKind::Waiting
            | ConditionKind::RolledBack
            | ConditionKind::Held
            | ConditionKind::Paused
            | ConditionKind::AwaitingApproval
            | ConditionKind::AwaitingWindow
            | ConditionKind::Frozen
            | ConditionKind::Orphaned
            | ConditionKind::Removed => Self::Unsaid,
        }
    }
}

/// Where facts are dropped.
#[derive(Debug)]
pub struct Feed {
    sender: broadcast::Sender<News>,
    /// What was last told of each service.
    health: Mutex<BTreeMap<ServiceId, Health>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: broadcast::channel(KEPT).0, health: Mutex::default() }
    }
}

impl Feed {
    pub fn tell(&self, news: News) {
        // Nobody listens: then nobody wants to know.
        let _nobody = self.sender.send(news);
    }

    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.sender.subscribe()
    }

    /// The condition of a service as it is now.
    pub fn condition(&self, id: &ServiceId, now: &Condition, at: Timestamp) {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(id).copied().unwrap_or_default();
        let health = Health::of(now.kind);
        if health != Health::Unsaid && health != before {
            all.insert(id.clone(), health);
        }
        drop(all);
        if let Some(news) = News::of_condition(id, before, now, at) {
            self.tell(news);
        }
    }

    /// The service is gone.
    pub fn forget(&self, id: &ServiceId) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Host {
    /// Tells whoever wants to know.
    pub fn tell(&self, news: News) {
        self.news.tell(news);
    }

    /// Tells what the lines of a history say.
    pub fn tell_history(&self, id: &ServiceId, lines: &[HistoryEntry]) {
        lines.iter().filter_map(|line| News::of_history(id, line)).for_each(|news| self.tell(news));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_is_told_when_it_is_not_tried_again() {
        let id = WorkId::new("shop", "nightly").unwrap();
        let told = |result, last| {
            let end = RunEnd {
                result,
                at: Timestamp(1),
                took_ms: None,
                code: None,
                text: "exit code 1".to_owned(),
                tail: "what it printed".to_owned(),
                number: 1,
                last,
            };
            News::of_run(&id, &end).map(|news| {
                assert!(!format!("{news:?}").contains("printed"));
                (news.event, news.reason)
            })
        };
        assert_eq!(told(jobs::Result::Failed, true), Some(("job.failed", "failed: exit code 1".to_owned())));
        assert_eq!(told(jobs::Result::Failed, false), None);
        assert_eq!(told(jobs::Result::Stopped, true), None);
        assert_eq!(told(jobs::Result::Succeeded, true).map(|told| told.0), Some("job.succeeded"));
    }

    #[test]
    fn a_service_on_its_way_is_neither_degraded_nor_recovered() {
        let id = ServiceId::new("shop", "web").unwrap();
        let told = |before, kind| {
            let now = Condition::new(kind, "Reason", "why");
            News::of_condition(&id, before, &now, Timestamp(1)).map(|news| news.event)
        };
        assert_eq!(told(Health::Good, ConditionKind::Degraded), Some("service.degraded"));
        assert_eq!(told(Health::Bad, ConditionKind::Ready), Some("service.recovered"));
        for kind in [ConditionKind::Progressing, ConditionKind::RolledBack, ConditionKind::Waiting] {
            assert_eq!(told(Health::Good, kind), None);
            assert_eq!(told(Health::Bad, kind), None);
        }
        assert_eq!(told(Health::Bad, ConditionKind::Failed), None, "once is enough");
    }
}
