//! Reading.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::fault::{Call, Look, engine_error};
use super::streams::{Demux, Lines, cut_up};
use super::wire::WireError;
use super::{Docker, path_segment};
use crate::engine::convert::{answers, baked, events, observed};
use crate::engine::{
    ContainerFilter, EngineError, EngineEvent, EngineFacts, LogChunk, LogOptions, Observe, READ_DEADLINE,
    Result,
};
use crate::state::observed::{
    ContainerId, ContainerSummary, ExecId, ExecSeen, ImageFacts, ImageId, ObservedContainer, ObservedNetwork,
    ObservedVolume, OwnLabels, label,
};
use crate::state::plan::Failure;
use crate::state::time::Timestamp;

/// Deadline of "who are you": it is also the liveness probe.
const FACTS_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes remembered of what a followed log delivered last.
const REMEMBERED: usize = 64 << 10;

#[async_trait]
impl Observe for Docker {
    async fn facts(&self) -> Result<EngineFacts> {
        let ask = async {
            let (version, api) = self.wire.version().await?;
            let info: answers::Info = self.wire.get_in(api, "/info", FACTS_DEADLINE).await?;
            Ok((version, api, info))
        };
        let late = || Err(WireError::Late(FACTS_DEADLINE));
        let asked = tokio::time::timeout(FACTS_DEADLINE, ask).await.unwrap_or_else(|_| late());
        let (version, api, info) = asked.map_err(|error| {
            engine_error("ask the engine at", self.address(), Call::Read, &error, Look::Blind)
        })?;
        Ok(EngineFacts {
            version: version.version,
            api,
            id: info.id,
            root_dir: info.docker_root_dir,
            os: version.os,
            architecture: version.arch,
            live_restore: info.live_restore_enabled,
            simulated: false,
            clock: info.system_time.parse().ok().map(|at: jiff::Timestamp| Timestamp(at.as_millisecond())),
        })
    }

    async fn list_containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        let labels: Vec<String> =
            filter.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut filters = json!({});
        if !labels.is_empty() {
            filters["label"] = json!(labels);
        }
        if !filter.ids.is_empty() {
            filters["id"] = json!(filter.ids);
        }
        let path = format!("/containers/json?all=1&filters={}", encoded(&filters.to_string()));
        let rows: Vec<answers::ListedContainer> = self.read("list", "containers", &path).await?;
        Ok(rows.into_iter().map(observed::summary).collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ObservedContainer>> {
        let Some(answer) = self.raw_container("inspect", &id.0).await? else { return Ok(None) };
        match observed::container(&answer, &self.owner) {
            Ok(container) => Ok(Some(container)),
            Err(why) => {
                let name = answer.name.trim_start_matches('/');
                Err(EngineError::new("inspect", name, Failure::Conflict, why.to_string()))
            }
        }
    }

    async fn inspect_as(&self, id: &ContainerId, labels: &OwnLabels) -> Result<Option<ObservedContainer>> {
        let path = format!("/containers/{}/json", path_segment("inspect", &id.0)?);
        let Some(answer) = self.read_existing::<serde_json::Value>("inspect", &id.0, &path).await? else {
            return Ok(None);
        };
        let others = baked::others(&answer);
        let container: answers::Container = serde_json::from_value(answer).map_err(|error| {
            EngineError::new(
                "inspect",
                id.short(),
                Failure::Internal,
                format!("an answer of another kind: {error}"),
            )
        })?;
        let mut container = observed::container_as(&container, labels.clone());
        if let Some(baked) = &mut container.baked {
            Arc::make_mut(baked).others = others;
        }
        Ok(Some(container))
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        Ok(self.raw_image("inspect image", reference).await?.map(observed::image))
    }

    async fn repository_tags(&self, repository: &str) -> Result<BTreeMap<String, ImageId>> {
        let filters = json!({ "reference": [repository] }).to_string();
        let path = format!("/images/json?filters={}", encoded(&filters));
        let images: Vec<answers::ListedImage> = self.read("list images of", repository, &path).await?;
        Ok(observed::tags_of(repository, images))
    }

    async fn networks_named(&self, name: &str) -> Result<Vec<ObservedNetwork>> {
        // The engine's filter finds names that contain the text.
        let networks = self.networks(name, &json!({ "name": [name] })).await?;
        self.with_containers(networks.into_iter().filter(|network| network.name == name)).await
    }

    async fn owned_networks(&self, owner: &str) -> Result<Vec<ObservedNetwork>> {
        let filter = format!("{}={owner}", label::OWNER);
        let networks = self.networks("ours", &json!({ "label": [filter] })).await?;
        self.with_containers(networks.into_iter()).await
    }

    async fn volume(&self, name: &str) -> Result<Option<ObservedVolume>> {
        let path = format!("/volumes/{}", path_segment("inspect volume", name)?);
        let answer: Option<answers::Volume> = self.read_existing("inspect volume", name, &path).await?;
        Ok(answer.map(observed::volume))
    }

    async fn inspect_exec(&self, exec: &ExecId) -> Result<Option<ExecSeen>> {
        self.look_at_exec(exec).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let fail = |error: &WireError| engine_error("watch", "events", Call::Read, error, Look::Blind);
        // The engine accepts the request a moment before it subscribes; asking for everything since a moment before that
        // closes the gap. The moment is one of the engine's own clock, and what comes twice does no harm.
        let since = self.wire.engine_second().await.map_err(|error| fail(&error))?;
        let filters = json!({ "type": ["container", "network", "volume", "image"] }).to_string();
        let path = format!("/events?since={since}&filters={}", encoded(&filters));
        let body = self.wire.open(&path, READ_DEADLINE).await.map_err(|error| fail(&error))?;
        let last = Arc::clone(&self.last_event);
        let cut = move |lines: &mut Lines, bytes: Bytes| {
            let lines = lines.push(&bytes);
            if let Some(line) = lines.last() {
                last.note(line);
            }
            lines.iter().filter_map(|line| events::event(line)).collect()
        };
        let stream = cut_up(body, Lines::default(), cut, |_| Vec::new());
        Ok(stream.map(move |item| item.map_err(|error| fail(&error))).boxed())
    }

    async fn is_same_process(&self) -> Result<bool> {
        let Some(at) = self.last_event.at() else { return Ok(false) };
        let at = format!("{}.{:09}", at / 1_000_000_000, at % 1_000_000_000);
        let path = format!("/events?since={at}&until={at}");
        let fail =
            |error: &WireError| engine_error("recognise", "the engine", Call::Read, error, Look::Blind);
        let ask = async {
            let mut body = self.wire.open(&path, READ_DEADLINE).await?;
            let mut lines = Lines::default();
            while let Some(bytes) = body.next().await {
                if lines.push(&bytes?).iter().any(|line| self.last_event.is(line)) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let late = || Err(WireError::Late(READ_DEADLINE));
        tokio::time::timeout(READ_DEADLINE, ask)
            .await
            .unwrap_or_else(|_| late())
            .map_err(|error| fail(&error))
    }

    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        let Some(container) = self.raw_container("read logs of", &id.0).await? else {
            return Err(EngineError::new("read logs of", id.short(), Failure::NotFound, "it does not exist"));
        };
        let terminal = container.config.tty;
        let chunks = self.log_stream(id, options, terminal).await?;
        if options.follow { Ok(self.with_last_chunk(chunks, id, options, terminal)) } else { Ok(chunks) }
    }
}

impl Docker {
    pub(super) async fn raw_image(
        &self,
        op: &'static str,
        reference: &str,
    ) -> Result<Option<answers::Image>> {
        let path = format!("/images/{}/json", path_segment(op, reference)?);
        self.read_existing(op, reference, &path).await
    }

    pub(super) async fn networks(
        &self,
        object: &str,
        filters: &serde_json::Value,
    ) -> Result<Vec<answers::Network>> {
        let path = format!("/networks?filters={}", encoded(&filters.to_string()));
        self.read("list networks", object, &path).await
    }

    /// The list has no containers in it, so each network is inspected; one that went meanwhile is left out.
    pub(super) async fn with_containers(
        &self,
        networks: impl Iterator<Item = answers::Network> + Send,
    ) -> Result<Vec<ObservedNetwork>> {
        let mut found = Vec::new();
        for network in networks {
            let path = format!("/networks/{}", path_segment("inspect network", &network.id)?);
            let answer: Option<answers::Network> =
                self.read_existing("inspect network", &network.name, &path).await?;
            found.extend(answer.map(observed::network));
        }
        Ok(found)
    }

    async fn log_stream(
        &self,
        id: &ContainerId,
        options: &LogOptions,
        terminal: bool,
    ) -> Result<BoxStream<'static, Result<LogChunk>>> {
        let op = "read logs of";
        let LogOptions { follow, tail, timestamps, since } = options;
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let mut path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&follow={}&timestamps={}&tail={tail}",
            path_segment(op, &id.0)?,
            u8::from(*follow),
            u8::from(*timestamps),
        );
        if let Some(since) = since {
            path.push_str(&format!("&since={since}"));
        }
        let short = id.short().to_owned();
        let fail = move |error: WireError| engine_error(op, &*short, Call::Read, &error, Look::Blind);
        let body = match self.wire.open(&path, READ_DEADLINE).await {
            Ok(body) if *follow => body,
            Ok(body) => with_idle_deadline(body),
            Err(error) => return Err(fail(error)),
        };
        let finish = |demux: &mut Demux| demux.finish().into_iter().collect();
        let chunks = cut_up(body, Demux::new(terminal), Demux::push, finish);
        Ok(chunks.map(move |item| item.map_err(&fail)).boxed())
    }

    /// Docker 20.10 loses the last piece of a followed log when the container exits without a line end. So when it has
    /// ended, the last line is read once more, and handed on if it is such a piece and has not been.
    fn with_last_chunk(
        &self,
        chunks: BoxStream<'static, Result<LogChunk>>,
        id: &ContainerId,
        options: &LogOptions,
        terminal: bool,
    ) -> BoxStream<'static, Result<LogChunk>> {
        let delivered: Arc<Mutex<Delivered>> = Arc::default();
        let noting = Arc::clone(&delivered);
        let chunks = chunks.inspect(move |item| {
            noting.lock().unwrap_or_else(PoisonError::into_inner).note(item);
        });
        let (engine, id) = (self.clone(), id.clone());
        let again = LogOptions { follow: false, tail: Some(1), ..options.clone() };
        let missing = async move {
            if delivered.lock().unwrap_or_else(PoisonError::into_inner).broken {
                return Vec::new();
            }
            // Best effort: the container may be gone by now.
            let Ok(last) = engine.log_stream(&id, &again, terminal).await else { return Vec::new() };
            let last: Vec<LogChunk> = last.filter_map(|item| async { item.ok() }).collect().await;
            let delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
            last.into_iter().filter(|chunk| delivered.misses(chunk)).map(Ok).collect()
        };
        chunks.chain(stream::once(missing).flat_map(stream::iter)).boxed()
    }
}

/// The end of what a followed log delivered, by stream.
#[derive(Debug, Default)]
struct Delivered {
    ends: [Vec<u8>; 2],
    /// It ended with an error: whoever reads will read again.
    broken: bool,
}

impl Delivered {
    fn note(&mut self, item: &Result<LogChunk>) {
        let Ok(chunk) = item else {
            self.broken = true;
            return;
        };
        let [out, err] = &mut self.ends;
        let end = if chunk.stderr { err } else { out };
        end.extend_from_slice(&chunk.bytes);
        let excess = end.len().saturating_sub(REMEMBERED);
        end.drain(..excess);
    }

    fn misses(&self, chunk: &LogChunk) -> bool {
        let [out, err] = &self.ends;
        let end = if chunk.stderr { err } else { out };
        !chunk.bytes.is_empty() && !chunk.bytes.ends_with(b"\n") && !end.ends_with(&chunk.bytes)
    }
}

/// A log that is read to its end must not hang when the engine stalls within it.
fn with_idle_deadline(
    body: BoxStream<'static, std::result::Result<Bytes, WireError>>,
) -> BoxStream<'static, std::result::Result<Bytes, WireError>> {
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match tokio::time::timeout(READ_DEADLINE, body.next()).await {
            Ok(Some(item)) => Some((item, Some(body))),
            Ok(None) => None,
            Err(_) => Some((Err(WireError::Late(READ_DEADLINE)), None)),
        }
    })
    .boxed()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> LogChunk {
        LogChunk { stderr: false, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn only_an_unfinished_line_that_was_not_delivered_is_missing() {
        for (delivered, last, missing) in [
            (&["a\n"][..], "b", true),
            (&["a\n", "b"], "b", false),
            (&["a\nb"], "b", false),
            (&["a\n"], "a\n", false),
            (&[], "a", true),
            (&["a"], "", false),
        ] {
            let mut noted = Delivered::default();
            delivered.iter().for_each(|text| noted.note(&Ok(chunk(text))));
            assert_eq!(noted.misses(&chunk(last)), missing, "{delivered:?} {last:?}");
        }
        let mut noted = Delivered::default();
        noted.note(&Ok(LogChunk { stderr: true, ..chunk("b") }));
        assert!(noted.misses(&chunk("b")), "the other stream's output is not this one's");
    }
}
