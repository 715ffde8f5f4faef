//! The loop beside the daemon's, and what people ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::board::Board;
use super::log;
use super::report::{BuildAccepted, BuildRequest};
use super::round::{Demand, Demands, Round};
use super::site::{Parts, Site, lock};
use super::wanted::wanted;
use crate::controller::host::Host;
use crate::controller::works::{Book, Worker};
use crate::desired::work::answers::Asker;
use crate::engine::build::Build;
use crate::images::registry::Client;
use crate::metrics::api::{ApiError, ApiErrorKind, WorkQuery};
use crate::source::git::Remote;

/// Builds what the desired state says.
pub struct Builds {
    pub maker: Arc<dyn Build>,
    pub registry: Arc<Client>,
    pub book: Arc<Book>,
    /// For logs and copies of repositories.
    pub folder: PathBuf,
    pub logins: Vec<Remote>,
    board: Arc<Board>,
    demands: Mutex<Demands>,
    number: AtomicU64,
    wake: Notify,
}

impl Builds {
    #[must_use]
    pub fn new(
        maker: Arc<dyn Build>,
        registry: Arc<Client>,
        book: Arc<Book>,
        folder: PathBuf,
        logins: Vec<Remote>,
    ) -> Self {
        Self {
            maker,
            registry,
            book,
            folder,
            logins,
            board: Arc::default(),
            demands: Mutex::default(),
            number: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    async fn site(&self, host: &Host) -> Option<Site> {
        let parts = Parts {
            engine: Arc::clone(&host.engine),
            maker: Arc::clone(&self.maker),
            registry: Arc::clone(&self.registry),
            records: Arc::clone(&host.records),
            book: Arc::clone(&self.book),
            inbox: Arc::clone(&host.inbox),
            clock: Arc::clone(&host.clock),
            metrics: Arc::clone(&host.metrics),
            news: Arc::clone(&host.news),
            disk_free: Arc::clone(&host.disk_free),
            room: host.limits.disk_pressure,
            folder: self.folder.clone(),
            board: Arc::clone(&self.board),
            logins: self.logins.clone(),
            tell: None,
        };
        match Site::new(parts).await {
            Ok(site) => Some(site),
            Err(error) => {
                tracing::error!(%error, "what was built before cannot be read: nothing is built until evenkeel is started anew");
                None
            }
        }
    }

    async fn rounds(&self, host: &Host, site: &Site) {
        let mut wishes = host.wishes();
        loop {
            let Some(wish) = wishes.borrow_and_update().clone() else {
                if wishes.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.board.names(wish.images.iter());
            let demands = std::mem::take(&mut *lock(&self.demands));
            let all = wanted(&wish.state, host.clock.now().wall);
            let seen = wishes.clone();
            let overtaken = move || seen.has_changed().unwrap_or(true);
            let round = Round { site, wanted: &all, demands, only: None, overtaken: &overtaken };
            let ended = round.run().await;
            {
                let mut demands = lock(&self.demands);
                for (asker, demand) in ended.left {
                    demands.entry(asker).or_insert(demand);
                }
            }
            tokio::select! {
                changed = wishes.changed() => if changed.is_err() { return },
                () = self.wake.notified() => {}
                () = host.clock.sleep_until(ended.next) => {}
            }
        }
    }

    fn pick(&self, text: &str) -> Result<Asker, ApiError> {
        self.board.named(text).map_err(|why| ApiError::new(ApiErrorKind::NotFound, why))
    }

    fn build(&self, request: BuildRequest) -> Result<BuildAccepted, ApiError> {
        let BuildRequest { names, reference, no_push } = request;
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        let chosen: Vec<Asker> = match names.as_slice() {
            [] if reference.is_some() => {
                let why = "say which build is to be made of another branch";
                return Err(ApiError::new(ApiErrorKind::Invalid, why));
            }
            [] => self.board.reports().into_iter().map(|(asker, _)| asker).collect(),
            names => names.iter().map(|name| self.pick(name)).collect::<Result<_, _>>()?,
        };
        let demand = Demand { number, forced: !names.is_empty(), no_push, reference };
        let mut demands = lock(&self.demands);
        for asker in &chosen {
            self.board.asked(asker, number);
            demands.insert(asker.clone(), demand.clone());
        }
        drop(demands);
        self.wake.notify_one();
        let names = chosen.iter().map(crate::state::builds::name_of).collect();
        Ok(BuildAccepted { number, names })
    }
}

#[async_trait]
impl Worker for Builds {
    fn kind(&self) -> &'static str {
        "builds"
    }

    async fn run(self: Arc<Self>, host: Arc<Host>) {
        let Some(site) = self.site(&host).await else { return };
        tokio::select! {
            () = self.rounds(&host, &site) => {}
            // A build that is cut off is found and begun anew by the next process: what was begun is noted.
            () = host.stopped() => site.stop(),
        }
    }

    async fn show(&self, _host: &Arc<Host>, asked: &WorkQuery, local: bool) -> Result<Value, ApiError> {
        if let Some(id) = asked.get("log") {
            if !local {
                let why = "what builders print is shown on this host only";
                return Err(ApiError::new(ApiErrorKind::Forbidden, why));
            }
            let name = asked.get("name").map(String::as_str).unwrap_or_default();
            let (asker, from) =
                (self.pick(name)?, asked.get("from").and_then(|from| from.parse().ok()).unwrap_or(0));
            let (folder, id) = (self.folder.clone(), id.clone());
            let read = tokio::task::spawn_blocking(move || log::part(&folder, &asker, &id, from)).await;
            let gone =
                |why: String| ApiError::new(ApiErrorKind::NotFound, format!("there is no such log: {why}"));
            let part =
                read.map_err(|error| gone(error.to_string()))?.map_err(|error| gone(error.to_string()))?;
            return Ok(json!(part));
        }
        let all: BTreeMap<Asker, _> = self.board.reports().into_iter().collect();
        let reports: Vec<_> = match asked.get("name") {
            Some(name) => {
                let asker = self.pick(name)?;
                all.into_iter().filter(|(own, _)| *own == asker).map(|(_, report)| report).collect()
            }
            None => all.into_values().collect(),
        };
        Ok(json!(reports))
    }

    async fn order(&self, _host: &Arc<Host>, verb: &str, order: Value) -> Result<Value, ApiError> {
        match verb {
            "build" => {
                let invalid =
                    |error: serde_json::Error| ApiError::new(ApiErrorKind::Invalid, error.to_string());
                let request = serde_json::from_value(order).map_err(invalid)?;
                Ok(json!(self.build(request)?))
            }
            other => Err(ApiError::new(ApiErrorKind::NotFound, format!("builds have no `{other}`"))),
        }
    }
}
