//! The line to the engine: one HTTP client, used by bollard for everything that writes and by us for everything that reads.
//!
//! It sits below bollard as its transport, and so mends three things that bollard 0.21.1 does:
//! - it never sends the API version, so every engine answers in its newest dialect: here `/v<version>` is put in front;
//! - it encodes registry logins in the wrong alphabet of base64, and the engine then pulls anonymously without a word;
//! - its deadline ends with the headers, and a stalled body hangs for ever: callers put a deadline around whole calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::BollardRequest;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFuture, TryStreamExt};
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::engine::convert::answers;
use crate::engine::{NEWEST_TESTED_API, OLDEST_API};

type Streamed = std::pin::Pin<
    Box<dyn futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::io::Error>> + Send>,
>;
pub(super) type Body =
    http_body_util::Either<http_body_util::Full<Bytes>, http_body_util::StreamBody<Streamed>>;
type Answer = http::Response<BoxStream<'static, Result<Bytes, WireError>>>;

/// Deadline of the question which API version the engine speaks.
const NEGOTIATION_DEADLINE: Duration = Duration::from_secs(5);
/// The most that an answer which is read whole may weigh: a host with thousands of containers stays far below.
const ANSWER_CAP: usize = 64 << 20;
/// The most that is read of a refusal.
const REFUSAL_CAP: usize = 64 << 10;

/// How a request failed, before anyone judges what that means for the call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// No connection: the request was never taken.
    #[error("the engine at {0} cannot be reached: {1}")]
    Away(String, String),
    /// It lacks what is needed; the request was not sent.
    #[error(
        "the engine at {address} speaks API {}.{} at most, and {}.{} (Docker 20.10) is the oldest that will do: upgrade the engine",
        .api.0, .api.1, OLDEST_API.0, OLDEST_API.1
    )]
    TooOld { address: String, api: (u32, u32) },
    /// The connection broke after the request was sent.
    #[error("the connection to the engine broke before it answered: {0}")]
    Cut(String),
    #[error("no answer from the engine within {} s", .0.as_secs())]
    Late(Duration),
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// An answer that could not be read.
    #[error("the engine's answer cannot be read: {0}")]
    Garbled(String),
    /// An error inside a stream that began well.
    #[error("{0}")]
    Stream(String),
    /// The request could not even be written; nothing was sent.
    #[error("the request cannot be made: {0}")]
    Unsendable(String),
}

/// A way to the engine.
pub(super) enum Dial {
    Unix(Client<UnixConnector, Body>),
    Tcp(Client<HttpConnector, Body>),
    Tls(Client<HttpsConnector<HttpConnector>, Body>),
}

impl Dial {
    // One connection per request, as bollard does: a kept one may be dead without anyone knowing, and a request that
    // fails on it would have an unknown outcome for no reason.
    pub(super) fn unix() -> Self {
        Self::Unix(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(UnixConnector))
    }
    pub(super) fn tcp() -> Self {
        Self::Tcp(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new()))
    }
    pub(super) fn tls(config: rustls::ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnector::from((http, config));
        Self::Tls(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
    fn request(&self, request: BollardRequest) -> ResponseFuture {
        match self {
            Self::Unix(client) => client.request(request),
            Self::Tcp(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

/// The line to one engine.
pub(super) struct Wire {
    dial: Dial,
    /// Scheme and authority of every request: `unix://<hex of the socket's path>`, `http://host:port`.
    base: String,
    /// The address as people write it.
    address: String,
    /// The version to speak. Forgotten whenever the engine was not there: it may come back as another one.
    api: Mutex<Option<(u32, u32)>>,
}

impl Wire {
    pub(super) fn new(dial: Dial, base: String, address: String) -> Self {
        Self { dial, base, address, api: Mutex::new(None) }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn known_api(&self) -> Option<(u32, u32)> {
        *self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget_api(&self) {
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The API version to speak: the engine's own, at most the newest that we tested; asked once per engine. Of one that is too old
    /// nothing more is asked than who it is.
    pub(super) async fn api(&self) -> Result<(u32, u32), WireError> {
        let api = match self.known_api() {
            Some(api) => Ok(api),
            None => match self.version().await {
                Ok((_, api)) => Ok(api),
                Err(error @ (WireError::Refused { .. } | WireError::Away(..))) => Err(error),
                // The call that this was asked for has not been sent, and that is what counts for it.
                Err(error) => Err(WireError::Away(self.address.clone(), error.to_string())),
            },
        }?;
        if api < OLDEST_API {
            // It may have been upgraded by the next time.
            self.forget_api();
            return Err(WireError::TooOld { address: self.address.clone(), api });
        }
        Ok(api)
    }

    /// Asks the engine who it is, and notes what it speaks.
    pub(super) async fn version(&self) -> Result<(answers::Version, (u32, u32)), WireError> {
        let ask = async {
            let version: answers::Version = read_json(self.send_get(None, "/version").await?).await?;
            let api = spoken(&version).ok_or_else(|| {
                WireError::Garbled(format!("it names its API version `{}`", version.api_version))
            })?;
            Ok((version, api))
        };
        let (version, api) = within(NEGOTIATION_DEADLINE, ask).await?;
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = Some(api);
        Ok((version, api))
    }

    /// `GET`, the whole answer, as JSON.
    pub(super) async fn get<T: DeserializeOwned + answers::Answer>(
        &self,
        path: &str,
        deadline: Duration,
    ) -> Result<T, WireError> {
        let api = self.api().await?;
        self.get_in(api, path, deadline).await
    }

    /// The same in this version, whatever else is known of the engine.
    pub(super) async fn get_in<T: DeserializeOwned + answers::Answer>(
        &self,
        api: (u32, u32),
        path: &str,
        deadline: Duration,
    ) -> Result<T, WireError> {
        within(deadline, async { read_json(self.send_get(Some(api), path).await?).await }).await
    }

    /// `GET`, returning when the engine has accepted it; the body is a stream without a deadline.
    pub(super) async fn open(
        &self,
        path: &str,
        deadline: Duration,
    ) -> Result<BoxStream<'static, Result<Bytes, WireError>>, WireError> {
        let api = self.api().await?;
        let answer = within(deadline, self.send_get(Some(api), path)).await?;
        Ok(answer.into_body())
    }

    /// The current second of the engine's clock, which may differ from ours: the `Date` of an answer.
    pub(super) async fn engine_second(&self) -> Result<i64, WireError> {
        let api = self.api().await?;
        let answer = within(NEGOTIATION_DEADLINE, self.send_get(Some(api), "/_ping")).await?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let second = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let second = second.ok_or_else(|| WireError::Garbled("it has no date".to_owned()))?;
        Ok(second.timestamp().as_second())
    }

    /// `POST` of JSON, the whole answer, as JSON.
    pub(super) async fn post<T: DeserializeOwned + answers::Answer>(
        &self,
        path: &str,
        body: String,
        deadline: Duration,
    ) -> Result<T, WireError> {
        let api = self.api().await?;
        within(deadline, async { read_json(self.send_post(api, path, body).await?).await }).await
    }

    /// `POST` of JSON, returning when the engine has accepted it; the body is a stream without a deadline.
    pub(super) async fn open_post(
        &self,
        path: &str,
        body: String,
        deadline: Duration,
    ) -> Result<BoxStream<'static, Result<Bytes, WireError>>, WireError> {
        let api = self.api().await?;
        let answer = within(deadline, self.send_post(api, path, body)).await?;
        Ok(answer.into_body())
    }

    /// `POST` of anything, returning with the engine's first words; the body is a stream without a deadline.
    pub(super) async fn open_upload(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: Body,
    ) -> Result<BoxStream<'static, Result<Bytes, WireError>>, WireError> {
        let api = self.api().await?;
        let mut request = Request::post(self.uri(Some(api), path)?);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|error| WireError::Unsendable(format!("{name}: {error}")))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|error| WireError::Unsendable(error.to_string()))?;
        Ok(self.send(request).await?.into_body())
    }

    async fn send_post(&self, api: (u32, u32), path: &str, body: String) -> Result<Answer, WireError> {
        let request = Request::post(self.uri(Some(api), path)?)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(bollard::body_full(Bytes::from(body)))
            .map_err(|error| WireError::Unsendable(error.to_string()))?;
        self.send(request).await
    }

    fn uri(&self, api: Option<(u32, u32)>, path: &str) -> Result<Uri, WireError> {
        let prefix = api.map(|(major, minor)| format!("/v{major}.{minor}")).unwrap_or_default();
        format!("{}{prefix}{path}", self.base)
            .parse()
            .map_err(|error| WireError::Unsendable(format!("{path}: {error}")))
    }

    async fn send_get(&self, api: Option<(u32, u32)>, path: &str) -> Result<Answer, WireError> {
        let request = Request::get(self.uri(api, path)?)
            .body(bollard::body_full(Bytes::new()))
            .map_err(|error| WireError::Unsendable(error.to_string()))?;
        self.send(request).await
    }

    async fn send(&self, request: BollardRequest) -> Result<Answer, WireError> {
        let answer = self.dial.request(request).await.map_err(|error| self.broken(&error))?;
        let (head, body) = answer.into_parts();
        let body = body.into_data_stream().map_err(|error| WireError::Cut(causes(&error))).boxed();
        if head.status.is_success() {
            return Ok(http::Response::from_parts(head, body));
        }
        let error = refusal(head.status.as_u16(), body).await;
        self.note(&error);
        Err(error)
    }

    /// What bollard sends goes through here.
    pub(super) async fn transport(
        &self,
        request: BollardRequest,
    ) -> Result<<ResponseFuture as TryFuture>::Ok, bollard::errors::Error> {
        // The caller has asked for the version before; when it was forgotten since, nothing was sent yet and it says so.
        let api = self
            .api()
            .await
            .map_err(|error| bollard::errors::Error::SocketNotFoundError(error.to_string()))?;
        let request = prepared(request, api)?;
        Ok(self.dial.request(request).await?)
    }

    fn broken(&self, error: &ClientError) -> WireError {
        if error.is_connect() {
            self.forget_api();
            WireError::Away(self.address.clone(), causes(error))
        } else {
            WireError::Cut(causes(error))
        }
    }

    /// An engine that refuses the version was replaced under us: ask anew with the next request.
    fn note(&self, error: &WireError) {
        if error.is_version_refusal() {
            self.forget_api();
        }
    }

    /// An error of bollard's in our words.
    pub(super) fn error(&self, error: bollard::errors::Error) -> WireError {
        use bollard::errors::Error;
        let error = match error {
            Error::DockerResponseServerError { status_code, message } => {
                WireError::Refused { status: status_code, message: trimmed(&message) }
            }
            Error::DockerStreamError { error } => WireError::Stream(trimmed(&error)),
            Error::HyperLegacyError { err } => self.broken(&err),
            Error::SocketNotFoundError(message) => WireError::Away(self.address.clone(), message),
            Error::IOError { err } => WireError::Cut(causes(&err)),
            Error::HyperResponseError { err } => WireError::Cut(causes(&err)),
            Error::RequestTimeoutError => WireError::Cut("no answer in time".to_owned()),
            // Positions only: the text of a JSON error may quote the body.
            Error::JsonDataError { column, .. } => {
                WireError::Garbled(format!("not as expected at column {column}"))
            }
            Error::JsonSerdeError { err } => WireError::Garbled(json_fault(&err)),
            Error::HttpClientError { .. }
            | Error::URLEncodedError { .. }
            | Error::URLParseError { .. }
            | Error::InvalidURIError { .. }
            | Error::InvalidURIPartsError { .. } => WireError::Unsendable(causes(&error)),
            other => WireError::Garbled(causes(&other)),
        };
        self.note(&error);
        error
    }
}

/// The version in the path, and logins in the alphabet that the engine reads (RFC 4648 section 5).
fn prepared(
    mut request: BollardRequest,
    (major, minor): (u32, u32),
) -> Result<BollardRequest, bollard::errors::Error> {
    let mut parts = request.uri().clone().into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
    parts.path_and_query = Some(format!("/v{major}.{minor}{path}").parse()?);
    *request.uri_mut() = Uri::from_parts(parts)?;
    for name in ["x-registry-auth", "x-registry-config"] {
        if let Some(value) = request.headers_mut().get_mut(name) {
            let url_safe = |byte: &u8| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            };
            let mut fixed =
                HeaderValue::from_bytes(&value.as_bytes().iter().map(url_safe).collect::<Vec<_>>())
                    .map_err(http::Error::from)?;
            fixed.set_sensitive(true);
            *value = fixed;
        }
    }
    Ok(request)
}

/// The engine's version, clamped to what we tested; above that only when the engine no longer speaks anything older.
fn spoken(version: &answers::Version) -> Option<(u32, u32)> {
    let newest = api_version(&version.api_version)?;
    let oldest = api_version(&version.min_api_version).unwrap_or((1, 0));
    Some(newest.min(NEWEST_TESTED_API).max(oldest))
}

fn api_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl WireError {
    /// The engine speaks other versions than the one it was asked in. It looked no further, so nothing was done.
    pub(super) fn is_version_refusal(&self) -> bool {
        matches!(self, Self::Refused { status: 400, message }
            if message.contains("client version") && (message.contains("too new") || message.contains("too old")))
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Puts a deadline around a call, its body included.
pub(super) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    tokio::time::timeout(deadline, call).await.unwrap_or(Err(WireError::Late(deadline)))
}

async fn read_json<T: DeserializeOwned + answers::Answer>(answer: Answer) -> Result<T, WireError> {
    decode(&collected(answer.into_body(), ANSWER_CAP).await?)
}

/// Reads the body of an answer. PURE.
///
/// # Errors
/// `Garbled`, with the place of the fault and nothing of the body.
pub fn decode<T: DeserializeOwned + answers::Answer>(bytes: &[u8]) -> Result<T, WireError> {
    let read: T = serde_json::from_slice(bytes).map_err(|error| WireError::Garbled(json_fault(&error)))?;
    if !read.is_complete() {
        return Err(WireError::Garbled("it does not say what it is about".to_owned()));
    }
    Ok(read)
}

/// Where JSON is at fault, and not what is in it: an answer may hold environment variables.
fn json_fault(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "it ends too early" } else { "it is not as expected" };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

async fn collected(
    mut body: BoxStream<'static, Result<Bytes, WireError>>,
    cap: usize,
) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if bytes.len() + chunk.len() > cap {
            return Err(WireError::Garbled(format!("it is larger than {cap} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The status counts even when the body is cut short.
async fn refusal(status: u16, body: BoxStream<'static, Result<Bytes, WireError>>) -> WireError {
    refused(status, &collected(body, REFUSAL_CAP).await.unwrap_or_default())
}

/// What a refusal says, whatever its body is. PURE.
#[must_use]
pub fn refused(status: u16, bytes: &[u8]) -> WireError {
    let message = match serde_json::from_slice::<answers::Refusal>(bytes) {
        Ok(refusal) if !refusal.message.is_empty() => refusal.message,
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    WireError::Refused { status, message: trimmed(&message) }
}

/// Messages of the engine quote what a spec says: no control characters, no more than people read.
fn trimmed(message: &str) -> String {
    let clean: String =
        message.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
    if clean.is_empty() { "the engine gave no reason".to_owned() } else { clean }
}

/// An error with its causes, once each: the outer ones alone say little (`client error (Connect)`).
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_spoken_is_the_engines_clamped_to_what_was_tested() {
        for (newest, oldest, expected) in [
            ("1.41", "1.12", Some((1, 41))),
            ("1.51", "1.24", Some((1, 51))),
            ("1.53", "1.44", Some(NEWEST_TESTED_API)),
            ("1.60", "1.55", Some((1, 55))),
            ("1.41", "", Some((1, 41))),
            ("", "", None),
            ("41", "", None),
        ] {
            let version = answers::Version {
                api_version: newest.to_owned(),
                min_api_version: oldest.to_owned(),
                ..answers::Version::default()
            };
            assert_eq!(spoken(&version), expected, "{newest} {oldest}");
        }
    }

    #[test]
    fn requests_carry_the_version_and_logins_in_the_engines_alphabet() {
        let request = Request::post("unix://2f72/images/create?fromImage=a%2Fb")
            .header("x-registry-auth", "ab+/c=")
            .body(bollard::body_full(Bytes::new()))
            .unwrap();
        let request = prepared(request, (1, 41)).unwrap();
        assert_eq!(request.uri().to_string(), "unix://2f72/v1.41/images/create?fromImage=a%2Fb");
        let login = &request.headers()["x-registry-auth"];
        assert_eq!(login, "ab-_c=");
        assert!(login.is_sensitive());
    }

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(trimmed(" a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(trimmed(&"x".repeat(5000)).len(), 1000);
        assert_eq!(trimmed(""), "the engine gave no reason");
    }
}
