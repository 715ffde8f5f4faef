//! What the controller asks of its memory. The store on disk implements it; so does plain memory, for `plan` and for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use thiserror::Error;

use super::store::{Note, Store, StoreError};
use crate::desired::ident::ServiceId;
use crate::state::observed::EngineSession;
use crate::state::record::{HistoryEntry, Record};
use crate::state::register::Register;

/// The memory could not be read or written. Nothing is done to a container while that is so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct RecordsError(pub String);

/// The durable memory of all services. A call that returned `Ok` survives a power failure (invariant I5).
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// An unknown service has an empty record.
    async fn load(&self, service: &ServiceId) -> Result<Record, RecordsError>;
    /// The record and what is to be told of it, both or neither.
    async fn save(
        &self,
        service: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError>;
    /// Drops the record of a service that is gone; its history stays.
    async fn forget(&self, service: &ServiceId) -> Result<(), RecordsError>;
    /// Every service with a record.
    async fn services(&self) -> Result<Vec<ServiceId>, RecordsError>;
    /// Newest first, at most `limit`, of one service or of all.
    async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<(ServiceId, HistoryEntry)>, RecordsError>;
    /// The last engine session known to any run of evenkeel. A new process goes on with it: that *we* were restarted says
    /// nothing about requests the engine still has.
    async fn session(&self) -> Result<EngineSession, RecordsError>;
    async fn set_session(&self, session: EngineSession) -> Result<(), RecordsError>;
    /// What is remembered of work beside services, by key.
    async fn notes(&self, kind: &'static str) -> Result<BTreeMap<String, serde_json::Value>, RecordsError> {
        let _ = kind;
        Ok(BTreeMap::new())
    }
    /// Remembers and forgets, all or nothing.
    async fn set_notes(&self, notes: Vec<Note>) -> Result<(), RecordsError> {
        let _ = notes;
        Err(RecordsError("this memory takes no notes".to_owned()))
    }
    /// What was adopted and what was given back.
    async fn register(&self) -> Result<Register, RecordsError> {
        Ok(Register::default())
    }
    /// Another register with the records that go with it, all or nothing. `None`: a record that is dropped.
    async fn set_register(&self, register: &Register, changed: &[Changed]) -> Result<(), RecordsError> {
        let _ = register;
        for Changed { service, record, history } in changed {
            match record {
                Some(record) => self.save(service, record, history).await?,
                None => self.forget(service).await?,
            }
        }
        Ok(())
    }
}

/// What becomes of one service's record.
#[derive(Debug, Clone)]
pub struct Changed {
    pub service: ServiceId,
    pub record: Option<Record>,
    pub history: Vec<HistoryEntry>,
}

/// Memory that forgets with the process: for `plan`, whose future must leave no trace, and for tests.
#[derive(Debug, Default)]
pub struct Forgetful {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<ServiceId, Record>,
    history: Vec<(ServiceId, HistoryEntry)>,
    session: EngineSession,
    notes: BTreeMap<(&'static str, String), serde_json::Value>,
}

impl Forgetful {
    #[must_use]
    pub fn with(records: BTreeMap<ServiceId, Record>) -> Self {
        Self { kept: Mutex::new(Kept { records, ..Kept::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Records for Forgetful {
    async fn load(&self, service: &ServiceId) -> Result<Record, RecordsError> {
        Ok(self.lock().records.get(service).cloned().unwrap_or_default())
    }
    async fn save(
        &self,
        service: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError> {
        let mut kept = self.lock();
        kept.records.insert(service.clone(), record.clone());
        kept.history.extend(history.iter().map(|entry| (service.clone(), entry.clone())));
        Ok(())
    }
    async fn forget(&self, service: &ServiceId) -> Result<(), RecordsError> {
        self.lock().records.remove(service);
        Ok(())
    }
    async fn services(&self) -> Result<Vec<ServiceId>, RecordsError> {
        Ok(self.lock().records.keys().cloned().collect())
    }
    async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<(ServiceId, HistoryEntry)>, RecordsError> {
        let kept = self.lock();
        let rows = kept.history.iter().rev().filter(|(id, _)| service.is_none_or(|wanted| wanted == id));
        Ok(rows.take(limit).cloned().collect())
    }
    async fn session(&self) -> Result<EngineSession, RecordsError> {
        Ok(self.lock().session)
    }
    async fn set_session(&self, session: EngineSession) -> Result<(), RecordsError> {
        self.lock().session = session;
        Ok(())
    }
    async fn notes(&self, kind: &'static str) -> Result<BTreeMap<String, serde_json::Value>, RecordsError> {
        let kept = self.lock();
        let own = kept.notes.iter().filter(|((of, _), _)| *of == kind);
        Ok(own.map(|((_, key), body)| (key.clone(), body.clone())).collect())
    }
    async fn set_notes(&self, notes: Vec<Note>) -> Result<(), RecordsError> {
        let mut kept = self.lock();
        for Note { kind, key, body } in notes {
            match body {
                Some(body) => drop(kept.notes.insert((kind, key), body)),
                None => drop(kept.notes.remove(&(kind, key))),
            }
        }
        Ok(())
    }
}

const SESSION: &str = "engine-session";

/// The store on disk. Its calls block for a write or two, so they run where blocking is allowed.
#[derive(Debug, Clone)]
pub struct Durable(Arc<Store>);

impl Durable {
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let store = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done.map_err(|error| RecordsError(with_causes(&error))),
            Err(error) => Err(RecordsError(format!("a call to the store did not end: {error}"))),
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[async_trait]
impl Records for Durable {
    async fn load(&self, service: &ServiceId) -> Result<Record, RecordsError> {
        let id = service.clone();
        self.run(move |store| Ok(store.record(&id)?.unwrap_or_default())).await
    }
    async fn save(
        &self,
        service: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError> {
        let (id, record, history) = (service.clone(), record.clone(), history.to_vec());
        self.run(move |store| store.save(&id, &record, &history).map(drop)).await
    }
    async fn forget(&self, service: &ServiceId) -> Result<(), RecordsError> {
        let id = service.clone();
        self.run(move |store| store.forget(&id)).await
    }
    async fn services(&self) -> Result<Vec<ServiceId>, RecordsError> {
        self.run(|store| Ok(store.load_all()?.into_keys().collect())).await
    }
    async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<(ServiceId, HistoryEntry)>, RecordsError> {
        let id = service.cloned();
        let rows = self.run(move |store| store.history(id.as_ref(), limit)).await?;
        Ok(rows.into_iter().map(|row| (row.service, row.entry)).collect())
    }
    async fn session(&self) -> Result<EngineSession, RecordsError> {
        let stored = self.run(|store| store.meta(SESSION)).await?;
        Ok(EngineSession(stored.and_then(|text| text.parse().ok()).unwrap_or_default()))
    }
    async fn set_session(&self, session: EngineSession) -> Result<(), RecordsError> {
        self.run(move |store| store.set_meta(SESSION, &session.0.to_string())).await
    }
    async fn notes(&self, kind: &'static str) -> Result<BTreeMap<String, serde_json::Value>, RecordsError> {
        self.run(move |store| store.notes(kind)).await
    }
    async fn set_notes(&self, notes: Vec<Note>) -> Result<(), RecordsError> {
        self.run(move |store| store.set_notes(&notes)).await
    }
    async fn register(&self) -> Result<Register, RecordsError> {
        self.run(Store::register).await
    }
    async fn set_register(&self, register: &Register, changed: &[Changed]) -> Result<(), RecordsError> {
        let (register, changed) = (register.clone(), changed.to_vec());
        self.run(move |store| {
            let rows = changed.iter().map(|row| (&row.service, row.record.as_ref(), row.history.as_slice()));
            store.set_register(&register, rows)
        })
        .await
    }
}
