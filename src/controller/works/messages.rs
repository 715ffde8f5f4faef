//! Tells people: `[notify.X]`. One message is one POST of JSON to the address; what cannot be delivered is tried a few times and then counted
//! as failed, because a message that comes an hour late helps nobody. Nothing waits for it, and nothing is decided by it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Worker;
use crate::controller::host::Host;
use crate::controller::news::News;
use crate::desired::work::{NotifySpec, WorkId};
use crate::images::registry::transport::Transport;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};

/// Waits between tries.
const AGAIN: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];
/// Messages that wait for one address. More than this is a flood that nobody reads.
const WAITING: usize = 200;

/// See the module.
pub struct Notify {
    line: Arc<Transport>,
    /// The host's name in the desired state, for the message.
    host_name: String,
}

/// One message on its way.
struct Message {
    id: WorkId,
    spec: Arc<NotifySpec>,
    body: Bytes,
}

impl Notify {
    /// `certificates`: folders of further authorities, by host.
    #[must_use]
    pub fn new(host_name: String, certificates: PathBuf) -> Self {
        Self { line: Arc::new(Transport::new(certificates)), host_name }
    }

    fn body(&self, host: &Host, news: &News) -> Option<Bytes> {
        let News { event, project, name, reason, .. } = news;
        let what = project.as_ref().map_or_else(|| name.clone(), |project| format!("{project}/{name}"));
        let mut body = serde_json::to_value(news).ok()?;
        let fields = body.as_object_mut()?;
        fields.insert("host".to_owned(), json!(self.host_name));
        fields.insert("instance".to_owned(), json!(host.owner));
        // What chat programs show.
        fields.insert("text".to_owned(), json!(format!("[{}] {what}: {event}: {reason}", self.host_name)));
        Some(Bytes::from(serde_json::to_vec(&body).ok()?))
    }

    /// Puts one fact into the box of everybody who wants to be told.
    fn distribute(&self, host: &Arc<Host>, news: &News, boxes: &mut Boxes, tasks: &mut JoinSet<()>) {
        let Some(wish) = host.wish() else { return };
        let Some(body) = self.body(host, news) else { return };
        boxes.retain(|id, _| wish.state.works.notify.contains_key(id));
        for (id, work) in &wish.state.works.notify {
            let Some(spec) = work.wanted() else { continue };
            if !spec.wants(id, news.event, news.project.as_ref()) {
                continue;
            }
            let letter = boxes.entry(id.clone()).or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(WAITING);
                tasks.spawn(deliver_all(Arc::clone(host), Arc::clone(&self.line), receiver));
                sender
            });
            let message = Message { id: id.clone(), spec: Arc::clone(spec), body: body.clone() };
            if letter.try_send(message).is_err() {
                host.metrics.notified(id, "dropped");
                tracing::warn!(notify = %id, event = news.event, "too many messages wait; this one is dropped");
            }
        }
    }
}

type Boxes = BTreeMap<WorkId, mpsc::Sender<Message>>;

/// In order, one after the other.
async fn deliver_all(host: Arc<Host>, line: Arc<Transport>, mut messages: mpsc::Receiver<Message>) {
    while let Some(Message { id, spec, body }) = messages.recv().await {
        let mut waits = AGAIN.iter();
        loop {
            let why = match deliver(&line, &spec, body.clone()).await {
                Ok(()) => {
                    host.metrics.notified(&id, "delivered");
                    break;
                }
                Err(why) => why,
            };
            let Some(wait) = waits.next() else {
                host.metrics.notified(&id, "failed");
                tracing::warn!(notify = %id, why, "nobody could be told; that is not tried any more");
                break;
            };
            tracing::debug!(notify = %id, why, "nobody could be told yet");
            tokio::time::sleep(*wait).await;
        }
    }
}

/// The error says what happened and nothing of the address, which may hold a token.
async fn deliver(line: &Transport, spec: &NotifySpec, body: Bytes) -> Result<(), String> {
    let uri: Uri = spec.url.expose().parse().map_err(|_| "the address cannot be read".to_owned())?;
    let name = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut request = Request::post(uri)
        .header("content-type", "application/json")
        .header("user-agent", concat!("evenkeel/", env!("CARGO_PKG_VERSION")));
    for (header, value) in &spec.headers {
        request = request.header(header.as_str(), value.expose());
    }
    let request = request.body(Full::new(body)).map_err(|_| "a header cannot be sent".to_owned())?;
    let answer = line.post(&name, request).await?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("the answer was {status}")) }
}

#[async_trait]
impl Worker for Notify {
    fn kind(&self) -> &'static str {
        "notify"
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let mut news = host.news.listen();
        let (mut boxes, mut tasks) = (Boxes::new(), JoinSet::new());
        loop {
            tokio::select! {
                biased;
                () = host.stopped() => return,
                heard = news.recv() => match heard {
                    Ok(news) => self.distribute(&host, &news, &mut boxes, &mut tasks),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "so much happened at once that some of it is told to nobody");
                    }
                    Err(RecvError::Closed) => return,
                },
                Some(_ended) = tasks.join_next() => {}
            }
        }
    }

    async fn show(&self, host: &Arc<Host>, _asked: &WorkQuery, _local: bool) -> Result<Value, ApiError> {
        let wish = host.wish();
        let rows = wish.iter().flat_map(|wish| &wish.state.works.notify).map(|(id, work)| {
            let events = work.wanted().map(|spec| &spec.events);
            json!({ "name": id.to_string(), "loads": work.wanted().is_some(), "events": events })
        });
        Ok(rows.collect::<Vec<_>>().into())
    }

    async fn order(&self, host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        let name = order.get("name").and_then(Value::as_str).unwrap_or_default();
        let wish = host.wish();
        let found = wish.iter().flat_map(|wish| &wish.state.works.notify);
        let target = found.into_iter().find(|(id, _)| id.to_string() == name);
        match (verb, target) {
            ("test", Some((id, work))) => {
                let Some(spec) = work.wanted() else {
                    let text = format!("notify {id} does not load; see `evenkeel validate`");
                    return Err(ApiError::new(ApiErrorKind::Conflict, text));
                };
                let at = host.clock.now().wall;
                let news = News::of_work("test", id, "a message to try whether it comes", at);
                let body = self.body(host, &news).unwrap_or_default();
                match deliver(&self.line, spec, body).await {
                    Ok(()) => Ok(json!({ "message": format!("{id}: the message was taken") })),
                    Err(why) => {
                        let text = format!("{id}: the message was not taken: {why}");
                        Err(ApiError::new(ApiErrorKind::Unavailable, text))
                    }
                }
            }
            ("test", None) => {
                let text = format!("there is no notify `{name}`; it is called PROJECT/NAME");
                Err(ApiError::new(ApiErrorKind::NotFound, text))
            }
            _ => Err(ApiError::new(ApiErrorKind::NotFound, format!("notify cannot `{verb}`; it can test"))),
        }
    }
}
