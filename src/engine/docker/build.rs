//! Building with the engine's own builder. The request is written here and not by bollard, which knows neither `ulimits` nor more than one name or
//! line for the hosts file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::fault::{Call, Look, engine_error, failed_build};
use super::streams::Lines;
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::desired::work::BuildSpec;
use crate::engine::build::{Build, BuildOrder, Pack, Tell};
use crate::engine::{EngineError, Observe, Result};
use crate::state::plan::Failure;

/// Pieces of the context that wait to be sent.
const QUEUE: usize = 16;
const PIECE: usize = 64 << 10;

/// One line of what the engine says while it builds or pushes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    stream: Option<String>,
    status: Option<String>,
    id: Option<String>,
    #[serde(rename = "progressDetail")]
    progress: Option<serde_json::Value>,
    error: Option<String>,
    pub aux: Option<serde_json::Value>,
}

impl Said {
    /// For people; progress of single layers is left out.
    fn text(&self) -> Option<String> {
        if let Some(text) = &self.stream {
            return Some(text.clone());
        }
        let status = self.status.as_ref()?;
        let counts = self.progress.as_ref().and_then(serde_json::Value::as_object);
        if counts.is_some_and(|counts| !counts.is_empty()) {
            return None;
        }
        let id = self.id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
        Some(format!("{id}{status}\n"))
    }
}

#[async_trait]
impl Build for Docker {
    async fn build(&self, order: &BuildOrder, tell: Tell<'_>) -> Result<()> {
        path_segment("build", &order.name)?;
        let needs = order.buildkit.clone().or_else(|| order.spec.needs_buildkit());
        if let Some(what) = needs {
            return self.build_with_buildx(order, &what, tell).await;
        }
        let judged = |error: &WireError| match error {
            WireError::Stream(message) => {
                EngineError::new("build", &order.name, failed_build(message), message.clone())
            }
            // Too large a request, or a Dockerfile that is none.
            WireError::Refused { status: 400..=499, .. } => {
                EngineError::new("build", &order.name, Failure::Invalid, error.to_string())
            }
            WireError::Refused { message, .. } => {
                EngineError::new("build", &order.name, failed_build(message), message.clone())
            }
            error => engine_error("build", &order.name, Call::Pull, error, Look::Blind),
        };
        let mut headers = vec![("content-type", "application/x-tar".to_owned())];
        headers.push(("x-registry-config", self.registry_config(order).await));
        let path = format!("/build?{}", query(&order.spec, &order.dockerfile, &order.name));
        let (body, packing) = packed(&order.context);
        let opened = self.wire.open_upload(&path, &headers, bollard::body_try_stream(body)).await;
        let built = match opened {
            Ok(answer) => listen(answer, tell, |_| {}).await,
            Err(error) => Err(error),
        };
        // What keeps the context from being read is the better reason than a request that broke off.
        let packing = packing.await.unwrap_or(Ok(()));
        if let (Err(_), Err(error)) = (&built, packing)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(EngineError::new("build", &order.name, Failure::Internal, error.to_string()));
        }
        built.map_err(|error| judged(&error))?;
        match self.inspect_image(&order.name).await? {
            Some(_) => Ok(()),
            None => {
                let why = "the build ended, and its image is not there";
                Err(EngineError::new("build", &order.name, Failure::Internal, why))
            }
        }
    }

    async fn push(&self, reference: &str, tell: Tell<'_>) -> Result<String> {
        self.push_image(reference, tell).await
    }
}

impl Docker {
    /// Logins for the registries of the base images. One that cannot be had is left out: the pull then says that it is denied.
    async fn registry_config(&self, order: &BuildOrder) -> String {
        let mut config = BTreeMap::new();
        for registry in &order.registries {
            if let (Some(login), _) = self.login(registry).await {
                let server = login.serveraddress.clone().unwrap_or_else(|| registry.clone());
                config.insert(server, login);
            }
        }
        URL_SAFE.encode(serde_json::to_vec(&config).unwrap_or_default())
    }
}

/// The parameters of the request.
fn query(spec: &BuildSpec, dockerfile: &str, name: &str) -> String {
    let options = &spec.options;
    let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
    let args: BTreeMap<&String, Option<&str>> =
        spec.args.iter().map(|(name, value)| (name, value.as_ref().map(|value| value.expose()))).collect();
    let mut pairs = vec![
        ("version", "1".to_owned()),
        ("t", name.to_owned()),
        ("dockerfile", dockerfile.to_owned()),
        ("rm", flag(true)),
        ("forcerm", flag(true)),
        ("nocache", flag(options.no_cache)),
        ("buildargs", json!(args).to_string()),
        ("labels", json!(spec.labels).to_string()),
        ("cachefrom", json!(options.cache_from).to_string()),
    ];
    if options.pull {
        pairs.push(("pull", flag(true)));
    }
    pairs.extend(spec.target.clone().map(|target| ("target", target)));
    pairs.extend(options.network.clone().map(|network| ("networkmode", network)));
    pairs.extend(options.platforms.first().cloned().map(|platform| ("platform", platform)));
    pairs.extend(options.shm_size.map(|size| ("shmsize", size.to_string())));
    pairs.extend(options.extra_hosts.iter().cloned().map(|host| ("extrahosts", host)));
    if !options.ulimits.is_empty() {
        let limits: Vec<serde_json::Value> = options
            .ulimits
            .iter()
            .map(|(name, limit)| json!({ "Name": name, "Soft": limit.soft, "Hard": limit.hard }))
            .collect();
        pairs.push(("ulimits", json!(limits).to_string()));
    }
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    pairs.join("&")
}

type Packing = tokio::task::JoinHandle<io::Result<()>>;

/// The archive, piece by piece, while it is written. The writer ends when nobody takes it any more.
fn packed(context: &Pack) -> (BoxStream<'static, io::Result<Bytes>>, Packing) {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(QUEUE);
    let context = context.clone();
    let packing = tokio::task::spawn_blocking(move || {
        let mut pieces = io::BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
        let packed = context(&mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = &packed {
            // The engine must not take what was sent for the whole.
            let _gone = sender.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
        }
        packed
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (stream.boxed(), packing)
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears the engine out. An error that it tells inside a good answer is an error.
pub(super) async fn listen(
    mut answer: BoxStream<'static, std::result::Result<Bytes, WireError>>,
    tell: Tell<'_>,
    mut aux: impl FnMut(&serde_json::Value) + Send,
) -> std::result::Result<(), WireError> {
    let mut lines = Lines::default();
    while let Some(piece) = answer.next().await {
        for line in lines.push(&piece?) {
            let Ok(said) = serde_json::from_slice::<Said>(&line) else { continue };
            if let Some(text) = said.text() {
                tell(&text);
            }
            if let Some(found) = &said.aux {
                aux(found);
            }
            if let Some(error) = said.error {
                return Err(WireError::Stream(error));
            }
        }
    }
    Ok(())
}
