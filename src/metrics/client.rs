//! The command line's side of the local socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::NON_ALPHANUMERIC;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::adoption::{AdoptRequest, AdoptionReport, DisownReport, DisownRequest};
use super::api::{
    Accepted, ApiError, ApiErrorKind, Approval, ApproveRequest, Command, HistoryRow, HoldRequest,
    RollbackRequest, StatusReport, WhyReport, WorkQuery,
};
use crate::desired::ident::ServiceId;

/// An answer of the daemon's own; the longest is the status of a host full of services.
const ANSWER_BYTES: usize = 16 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum ClientError {
    #[error("cannot open {path}: {source}; run it as the user that runs evenkeel (root, mostly)")]
    Denied { path: String, source: std::io::Error },
    #[error("the daemon behind {path} does not answer: {why}")]
    Silent { path: String, why: String },
    #[error(transparent)]
    Refused(#[from] ApiError),
}

/// A running daemon, reached by its socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// `Ok(None)`: no daemon runs (there is no socket, or a killed one left it behind).
    ///
    /// # Errors
    /// When there is a socket that may not be opened.
    pub async fn find(socket: &Path) -> Result<Option<Self>, ClientError> {
        use std::io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
        match UnixStream::connect(socket).await {
            Ok(_) => Ok(Some(Self { socket: socket.to_owned() })),
            Err(error)
                if matches!(error.kind(), NotFound | ConnectionRefused | NotADirectory | InvalidInput) =>
            {
                Ok(None)
            }
            Err(source) => Err(ClientError::Denied { path: socket.display().to_string(), source }),
        }
    }

    /// # Errors
    /// When the daemon refuses or does not answer; so for every method here.
    pub async fn status(&self) -> Result<StatusReport, ClientError> {
        self.call(Method::GET, "/v1/status", &()).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn why(&self, service: &ServiceId) -> Result<WhyReport, ClientError> {
        self.call(Method::GET, &format!("/v1/services/{service}"), &()).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, ClientError> {
        let service = service.map(|id| format!("&service={id}")).unwrap_or_default();
        self.call(Method::GET, &format!("/v1/history?limit={limit}{service}"), &()).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn command(&self, service: &ServiceId, command: &Command) -> Result<Accepted, ClientError> {
        let path = |verb: &str| format!("/v1/services/{service}/{verb}");
        match command {
            Command::Rollback { to } => {
                self.call(Method::POST, &path("rollback"), &RollbackRequest { to: to.clone() }).await
            }
            Command::Retry => self.call(Method::POST, &path("retry"), &()).await,
            Command::Hold { message, for_ms } => {
                let request = HoldRequest { message: message.clone(), for_ms: *for_ms };
                self.call(Method::POST, &path("hold"), &request).await
            }
            Command::Release => self.call(Method::POST, &path("release"), &()).await,
            Command::Approve { revision } => {
                let request = ApproveRequest { revision: revision.clone() };
                self.call(Method::POST, &path("approve"), &request).await
            }
        }
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn approve(&self, token: &str) -> Result<Accepted, ClientError> {
        self.call(Method::POST, "/v1/approve", &Approval { token: token.to_owned() }).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn sync(&self) -> Result<Accepted, ClientError> {
        self.call(Method::POST, "/v1/sync", &()).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn adopt(&self, request: &AdoptRequest) -> Result<AdoptionReport, ClientError> {
        self.call(Method::POST, "/v1/adopt", request).await
    }

    /// # Errors
    /// See [`Client::status`].
    pub async fn disown(&self, what: &str) -> Result<DisownReport, ClientError> {
        self.call(Method::POST, "/v1/disown", &DisownRequest { what: what.to_owned() }).await
    }

    /// What there is to say of a kind of work.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub async fn work<T: DeserializeOwned>(&self, kind: &str, asked: &WorkQuery) -> Result<T, ClientError> {
        let text = |text: &str| percent_encoding::utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            asked.iter().map(|(key, value)| format!("{}={}", text(key), text(value))).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        self.call(Method::GET, &format!("/v1/work/{kind}{mark}{}", pairs.join("&")), &()).await
    }

    /// An operator's word about a kind of work.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub async fn work_order<T: DeserializeOwned>(
        &self,
        kind: &str,
        verb: &str,
        order: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.call(Method::POST, &format!("/v1/work/{kind}/{verb}"), order).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(DEADLINE, self.exchange(method, path, body)).await;
        let (status, body) = match answer {
            Ok(answer) => answer.map_err(|why| self.silent(why))?,
            Err(_) => return Err(self.silent(format!("nothing came for {} s", DEADLINE.as_secs()))),
        };
        if status == StatusCode::OK {
            let parsed = serde_json::from_slice(&body);
            return parsed.map_err(|error| {
                self.silent(format!("its answer is of another kind ({error}); is it another version?"))
            });
        }
        let error = serde_json::from_slice::<ApiError>(&body);
        Err(ClientError::Refused(error.unwrap_or_else(|_| {
            ApiError::new(ApiErrorKind::Internal, format!("the daemon answered {status}"))
        })))
    }

    fn silent(&self, why: String) -> ClientError {
        ClientError::Silent { path: self.socket.display().to_string(), why }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<(StatusCode, Bytes), String> {
        let text = |error: hyper::Error| error.to_string();
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
        let driver = tokio::spawn(connection);
        // `()` is `null`: no body at all.
        let body = match serde_json::to_vec(body) {
            Ok(body) if body == b"null" => Vec::new(),
            Ok(body) => body,
            Err(error) => return Err(error.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "evenkeel")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(text)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        driver.abort();
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}
