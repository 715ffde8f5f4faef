//! What each path answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::webhook::{self, Hook, Kind};
use crate::desired::ident::ServiceId;
use crate::metrics::Metrics;
use crate::metrics::adoption::DisownRequest;
use crate::metrics::api::{
    Api, ApiError, ApiErrorKind, Approval, ApproveRequest, Command, HoldRequest, RollbackRequest, WorkQuery,
};

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Whoever reaches the address: may read.
    Network,
    /// The owner of the socket: may order.
    Local,
}

/// Bytes of a request's body: the longest order is a hold with a message.
const BODY_BYTES: usize = 16 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const HISTORY_LIMIT: usize = 100;
const HISTORY_MOST: usize = 1000;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The text format's own type, version included: scrapers negotiate by it.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = "evenkeel\n\n/metrics\n/healthz\n/readyz\n/v1/status\n/v1/services/PROJECT/SERVICE\n/v1/history?service=PROJECT/SERVICE&limit=N\n";

type Answer = Response<Full<Bytes>>;

/// A path that exists.
enum Route {
    Index,
    Metrics,
    Health,
    Ready,
    Status,
    Why(ServiceId),
    History,
    Order(ServiceId, Verb),
    Approve,
    Sync,
    Adopt,
    Disown,
    Webhook(Kind),
    /// A kind of work: images, builds, jobs, artifacts.
    Work(String),
    WorkOrder(String, String),
}

#[derive(Clone, Copy)]
enum Verb {
    Rollback,
    Retry,
    Hold,
    Release,
    Approve,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        Some(match parts.as_slice() {
            [""] => Self::Index,
            ["metrics"] => Self::Metrics,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["v1", "status"] => Self::Status,
            ["v1", "history"] => Self::History,
            ["v1", "approve"] => Self::Approve,
            ["v1", "sync"] => Self::Sync,
            ["v1", "adopt"] => Self::Adopt,
            ["v1", "disown"] => Self::Disown,
            ["v1", "webhook", kind] => Self::Webhook(Kind::of(kind)?),
            ["v1", "work", kind] => Self::Work((*kind).to_owned()),
            ["v1", "work", kind, verb] => Self::WorkOrder((*kind).to_owned(), (*verb).to_owned()),
            ["v1", "services", project, service] => Self::Why(ServiceId::new(project, service)?),
            ["v1", "services", project, service, verb] => {
                let verb = match *verb {
                    "rollback" => Verb::Rollback,
                    "retry" => Verb::Retry,
                    "hold" => Verb::Hold,
                    "release" => Verb::Release,
                    "approve" => Verb::Approve,
                    _ => return None,
                };
                Self::Order(ServiceId::new(project, service)?, verb)
            }
            _ => return None,
        })
    }

    fn writes(&self) -> bool {
        matches!(
            self,
            Self::Order(..)
                | Self::Approve
                | Self::Sync
                | Self::Adopt
                | Self::Disown
                | Self::Webhook(_)
                | Self::WorkOrder(..)
        )
    }
}

pub(super) struct Routes {
    api: Arc<dyn Api>,
    metrics: Arc<Metrics>,
    hooks: Vec<Hook>,
}

impl Routes {
    pub(super) fn new(api: Arc<dyn Api>, metrics: Arc<Metrics>, hooks: Vec<Hook>) -> Self {
        Self { api, metrics, hooks }
    }

    /// Total: every request gets an answer.
    pub(super) async fn answer(&self, origin: Origin, request: Request<Incoming>) -> Answer {
        let mut answer = match self.route(origin, request).await {
            Ok(answer) => answer,
            Err(error) => refusal(&error),
        };
        // A status that is shown from a cache is a lie.
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn route(&self, origin: Origin, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let Some(route) = Route::of(request.uri().path()) else {
            return Err(ApiError::new(
                ApiErrorKind::NotFound,
                "there is nothing at this path; see / for what there is",
            ));
        };
        let method = request.method();
        if !route.writes() {
            return match *method {
                Method::GET | Method::HEAD => self.read(origin, route, request.uri().query()).await,
                _ => Ok(wrong_method("GET, HEAD")),
            };
        }
        if *method != Method::POST {
            return Ok(wrong_method("POST"));
        }
        if let Route::Webhook(kind) = route {
            return self.webhook(kind, request).await;
        }
        if origin == Origin::Network {
            let message = "orders are taken on the local socket only: run the command on the host itself";
            return Err(ApiError::new(ApiErrorKind::Forbidden, message));
        }
        self.write(route, request.into_body()).await
    }

    /// Signed by itself, so it may come from anywhere.
    async fn webhook(&self, kind: Kind, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let (head, body) = request.into_parts();
        match webhook::receive(&self.hooks, kind, &head.headers, body).await {
            Ok(accepted) => {
                self.metrics.webhook(kind.as_str(), "accepted");
                let mut answer = json(&accepted)?;
                *answer.status_mut() = StatusCode::ACCEPTED;
                Ok(answer)
            }
            Err(refused) => {
                self.metrics.webhook(kind.as_str(), refused.result);
                Err(refused.error)
            }
        }
    }

    async fn read(&self, origin: Origin, route: Route, query: Option<&str>) -> Result<Answer, ApiError> {
        match route {
            Route::Metrics => match self.metrics.render() {
                Ok(text) => Ok(answer(StatusCode::OK, EXPOSITION, text)),
                Err(error) => Err(ApiError::new(ApiErrorKind::Internal, error.to_string())),
            },
            Route::Health => Ok(probe(self.api.healthy())),
            Route::Ready => Ok(probe(self.api.ready())),
            Route::Status => json(&self.api.status()),
            Route::Why(service) => {
                let mut report = self.api.why(&service).await?;
                if origin == Origin::Network {
                    report.revisions.iter_mut().for_each(|revision| revision.evidence = None);
                    report.hooks.iter_mut().for_each(|hook| hook.output = None);
                }
                json(&report)
            }
            Route::History => {
                let (service, limit) = history_query(query.unwrap_or_default())?;
                json(&self.api.history(service.as_ref(), limit).await?)
            }
            Route::Work(kind) => {
                let asked = work_query(query.unwrap_or_default())?;
                json(&self.api.work(&kind, &asked, origin == Origin::Local).await?)
            }
            Route::Index
            | Route::WorkOrder(..)
            | Route::Order(..)
            | Route::Approve
            | Route::Sync
            | Route::Adopt
            | Route::Disown
            | Route::Webhook(_) => Ok(answer(StatusCode::OK, TEXT, INDEX)),
        }
    }

    async fn write(&self, route: Route, body: Incoming) -> Result<Answer, ApiError> {
        let body = read_body(body).await?;
        let accepted = match route {
            Route::Order(service, verb) => self.api.command(&service, command(verb, &body)?).await?,
            Route::Approve => self.api.approve(&parse::<Approval>(&body)?.token).await?,
            Route::WorkOrder(kind, verb) => {
                let order = parse::<serde_json::Value>(&body)?;
                return json(&self.api.work_order(&kind, &verb, order).await?);
            }
            Route::Adopt => return json(&self.api.adopt(&parse(&body)?).await?),
            Route::Disown => return json(&self.api.disown(&parse::<DisownRequest>(&body)?.what).await?),
            _ => self.api.sync().await?,
        };
        json(&accepted)
    }
}

fn command(verb: Verb, body: &[u8]) -> Result<Command, ApiError> {
    Ok(match verb {
        Verb::Rollback => Command::Rollback { to: parse::<RollbackRequest>(body)?.to },
        Verb::Retry => Command::Retry,
        Verb::Hold => {
            let HoldRequest { message, for_ms } = parse(body)?;
            Command::Hold { message, for_ms }
        }
        Verb::Release => Command::Release,
        Verb::Approve => Command::Approve { revision: parse::<ApproveRequest>(body)?.revision },
    })
}

async fn read_body(body: Incoming) -> Result<Bytes, ApiError> {
    let invalid = |message: &str| ApiError::new(ApiErrorKind::Invalid, message);
    match tokio::time::timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::new(ApiErrorKind::TooLarge, format!("the body is larger than {BODY_BYTES} bytes")))
        }
        Ok(Err(_)) => Err(invalid("the body ended early")),
        Err(_) => Err(invalid("the body did not come in time")),
    }
}

/// An empty body is an empty object: an order without particulars. A list is not an object, though serde would take it for one.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
        .and_then(|fields| serde_json::from_value(fields.into()))
        .map_err(|error| {
            ApiError::new(ApiErrorKind::Invalid, format!("the body is not what is expected here: {error}"))
        })
}

fn history_query(query: &str) -> Result<(Option<ServiceId>, usize), ApiError> {
    let invalid = |message: String| ApiError::new(ApiErrorKind::Invalid, message);
    let (mut service, mut limit) = (None, HISTORY_LIMIT);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("service", text)) => {
                let text = text.replace("%2F", "/").replace("%2f", "/");
                let id = ServiceId::parse(&text);
                service = Some(id.ok_or_else(|| invalid("service must be PROJECT/SERVICE".to_owned()))?);
            }
            Some(("limit", text)) => {
                let number = text.parse().ok().filter(|number| (1..=HISTORY_MOST).contains(number));
                limit = number
                    .ok_or_else(|| invalid(format!("limit must be a number from 1 to {HISTORY_MOST}")))?;
            }
            _ => return Err(invalid("only service and limit can be asked for".to_owned())),
        }
    }
    Ok((service, limit))
}

fn work_query(query: &str) -> Result<WorkQuery, ApiError> {
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.map(std::borrow::Cow::into_owned)
            .map_err(|_| ApiError::new(ApiErrorKind::Invalid, "what is asked for is not UTF-8".to_owned()))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        })
        .collect()
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn json(value: &impl Serialize) -> Result<Answer, ApiError> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(answer(StatusCode::OK, JSON, body)),
        Err(error) => Err(ApiError::new(ApiErrorKind::Internal, error.to_string())),
    }
}

fn probe(state: Result<(), String>) -> Answer {
    match state {
        Ok(()) => answer(StatusCode::OK, TEXT, "ok\n"),
        Err(why) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let error = ApiError::new(ApiErrorKind::Invalid, format!("this path takes {allowed} only"));
    let mut answer = refusal(&error);
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn refusal(error: &ApiError) -> Answer {
    let status = match error.kind {
        ApiErrorKind::NotFound => StatusCode::NOT_FOUND,
        ApiErrorKind::Conflict => StatusCode::CONFLICT,
        ApiErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ApiErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ApiErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ApiErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ApiErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ApiErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer(status, JSON, serde_json::to_vec(error).unwrap_or_default())
}
