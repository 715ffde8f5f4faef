//! The running controller as the server and the command line see it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::adopt::adopt;
use super::disown::disown;
use super::host::{Host, Request};
use super::queue::Reason;
use super::trigger::{Key, Signal, Trigger};
use super::works;
use crate::desired::Wanted;
use crate::desired::ident::ServiceId;
use crate::metrics::adoption::{AdoptRequest, AdoptionReport, DisownReport};
use crate::metrics::api::{
    Accepted, Api, ApiError, ApiErrorKind, Command, HistoryRow, StatusReport, WhyReport, WorkQuery,
};

use super::records::RecordsError;

/// A word for a service is taken at its next step boundary. One that takes longer (a pull, a stop with a long grace) is not
/// waited for; the word stands and is taken then.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The loop turns at least every minute: silence for this long means that it is stuck. Milliseconds.
pub const SILENCE_MS: u64 = 180_000;
/// Lines of history that `why` looks through for the last change.
const RECENT: usize = 20;

/// Implements [`Api`] on a [`Host`]. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    host: Arc<Host>,
}

impl Handle {
    #[must_use]
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    fn known(&self, id: &ServiceId) -> Result<(), ApiError> {
        let wanted = self.host.wish().is_some_and(|wish| wish.state.services.contains_key(id));
        if wanted || self.host.board.entry(id).is_some() || self.host.guard.known().contains(id) {
            return Ok(());
        }
        let mut names: Vec<String> = self.host.board.services().iter().map(ToString::to_string).collect();
        let wrong = id.to_string();
        names.sort_by_cached_key(|name| strsim::damerau_levenshtein(name, &wrong));
        let hint = match names.first() {
            Some(nearest) => format!("; did you mean `{nearest}`? `evenkeel status` lists all"),
            None => "; there is none on this host yet".to_owned(),
        };
        Err(ApiError::new(ApiErrorKind::NotFound, format!("there is no service `{id}`{hint}")))
    }

    /// A daemon that was started a moment ago has not read its files, or not looked at the host: worth a moment's patience.
    async fn ready_to_change_hands(&self) {
        for _ in 0..50 {
            if self.host.wish().is_some() && self.host.board.looked() {
                return;
            }
            tokio::time::sleep(ANSWER_WITHIN / 50).await;
        }
    }

    async fn recent(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<HistoryRow>, ApiError> {
        let rows = self.host.records.history(service, limit).await.map_err(unavailable)?;
        Ok(rows.iter().map(|(id, entry)| HistoryRow::of(id, entry)).collect())
    }
}

fn unavailable(error: RecordsError) -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, format!("the store cannot be read: {error}"))
}

#[async_trait]
impl Api for Handle {
    fn healthy(&self) -> Result<(), String> {
        let silence = self.host.clock.now().mono.since(self.host.board.last_turn());
        if silence > SILENCE_MS {
            return Err(format!("the loop has not turned for {} s", silence / 1_000));
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        self.healthy()?;
        let now = self.host.clock.now().mono;
        let status = self.host.board.host();
        if !status.engine.up {
            let why = status.engine.trouble.unwrap_or_else(|| "it was not asked yet".to_owned());
            return Err(format!("the engine does not answer: {why}"));
        }
        if let Some(trouble) = status.desired.trouble {
            return Err(format!("the desired state cannot be read: {trouble}"));
        }
        if self.host.wish().is_none() {
            return Err("the desired state was not read yet".to_owned());
        }
        if !status.store_writable {
            return Err("the store cannot be written".to_owned());
        }
        if !self.host.board.looked() {
            return Err("the first look at the host is not over".to_owned());
        }
        let blind = now.since(self.host.board.last_list());
        if blind > SILENCE_MS {
            return Err(format!("the engine's containers could not be listed for {} s", blind / 1_000));
        }
        Ok(())
    }

    fn status(&self) -> StatusReport {
        self.host.board.report(self.host.clock.now().mono)
    }

    async fn why(&self, service: &ServiceId) -> Result<WhyReport, ApiError> {
        self.known(service)?;
        let now = self.host.clock.now().mono;
        let wanted = service.to_string();
        let status = self.host.board.report(now).services.into_iter().find(|row| row.service == wanted);
        let Some(status) = status else {
            let text = format!("`{service}` was not looked at yet; try again in a moment");
            return Err(ApiError::new(ApiErrorKind::Unavailable, text));
        };
        let record = self.host.records.load(service).await.map_err(unavailable)?;
        let history = self.recent(Some(service), RECENT).await?;
        let wish = self.host.wish();
        let problems = match wish.as_ref().and_then(|wish| wish.wanted(service, &record)).as_deref() {
            Some(Wanted::Frozen(diagnostics)) => diagnostics.iter().map(|found| found.headline()).collect(),
            Some(Wanted::Run(_)) | None => Vec::new(),
        };
        Ok(WhyReport::of(status, &record, history, problems))
    }

    async fn history(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<HistoryRow>, ApiError> {
        self.recent(service, limit).await
    }

    async fn command(&self, service: &ServiceId, command: Command) -> Result<Accepted, ApiError> {
        self.known(service)?;
        let (answer, taken) = oneshot::channel();
        self.host.request(service, Request { command, answer });
        self.host.inbox.post(Trigger::Key(Key::Service(service.clone()), Reason::Operator));
        match tokio::time::timeout(ANSWER_WITHIN, taken).await {
            Ok(Ok(reply)) => reply.map(|message| Accepted { message: format!("{service}: {message}") }),
            Ok(Err(_)) => Err(ApiError::new(
                ApiErrorKind::Unavailable,
                format!("evenkeel is being stopped; nothing was changed for `{service}`"),
            )),
            Err(_) => Ok(Accepted {
                message: format!("{service}: a step is in hand; this is done as soon as it has ended"),
            }),
        }
    }

    async fn approve(&self, token: &str) -> Result<Accepted, ApiError> {
        let now = self.host.clock.now().mono;
        let Some(wish) = self.host.wish() else {
            let text = "the desired state was not read yet, so nothing waits for consent";
            return Err(ApiError::new(ApiErrorKind::NotFound, text));
        };
        let Some(services) = self.host.guard.approve(&wish, token, now) else {
            let waiting = self.host.guard.waiting(&wish, now);
            let hint = match waiting {
                Some(guard) => format!("; what waits is {} ({})", guard.token, guard.services.join(", ")),
                None => "; nothing waits for consent".to_owned(),
            };
            let text = format!("no removal waits under the token `{token}`{hint}");
            return Err(ApiError::new(ApiErrorKind::NotFound, text));
        };
        let names: Vec<String> = services.iter().map(ToString::to_string).collect();
        tracing::info!(token, services = names.join(", "), "an operator consented to these removals");
        for id in services {
            self.host.inbox.post(Trigger::Key(Key::Service(id), Reason::Operator));
        }
        Ok(Accepted { message: format!("removing {}", names.join(", ")) })
    }

    async fn adopt(&self, request: &AdoptRequest) -> Result<AdoptionReport, ApiError> {
        self.ready_to_change_hands().await;
        adopt(&self.host, request).await
    }

    async fn disown(&self, what: &str) -> Result<DisownReport, ApiError> {
        self.ready_to_change_hands().await;
        disown(&self.host, what).await
    }

    async fn work(&self, kind: &str, asked: &WorkQuery, local: bool) -> Result<serde_json::Value, ApiError> {
        works::worker(&self.host, kind)?.show(&self.host, asked, local).await
    }

    async fn work_order(
        &self,
        kind: &str,
        verb: &str,
        order: serde_json::Value,
    ) -> Result<serde_json::Value, ApiError> {
        works::worker(&self.host, kind)?.order(&self.host, verb, order).await
    }

    async fn sync(&self) -> Result<Accepted, ApiError> {
        self.host.inbox.post(Trigger::Signal(Signal::Reload));
        Ok(Accepted { message: "reading the desired state and looking at everything".to_owned() })
    }
}
