//! The memory of a simulated evenkeel: survives its death, can refuse, can be lost, and can panic under a pass.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use evenkeel::controller::records::{Forgetful, Records, RecordsError};
use evenkeel::desired::ident::ServiceId;
use evenkeel::state::observed::EngineSession;
use evenkeel::state::record::{HistoryEntry, Record};

use super::world::World;

pub struct Store {
    world: Arc<World>,
    kept: Mutex<Arc<Forgetful>>,
}

impl Store {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, kept: Mutex::default() }
    }

    pub fn lose(&self) {
        *self.kept.lock().unwrap() = Arc::default();
    }

    fn kept(&self) -> Arc<Forgetful> {
        Arc::clone(&self.kept.lock().unwrap())
    }

    fn refuse_if_asked(&self) -> Result<(), RecordsError> {
        if self.world.with(|state| state.unwritable) {
            return Err(RecordsError("disk full".to_owned()));
        }
        Ok(())
    }

    pub async fn record(&self, service: &ServiceId) -> Record {
        self.kept().load(service).await.unwrap()
    }
}

#[async_trait]
impl Records for Store {
    async fn load(&self, service: &ServiceId) -> Result<Record, RecordsError> {
        self.kept().load(service).await
    }
    async fn save(
        &self,
        service: &ServiceId,
        record: &Record,
        history: &[HistoryEntry],
    ) -> Result<(), RecordsError> {
        if self.world.with(|state| state.panics.remove(&service.to_string())) {
            self.world.tell(format!("the pass for {service} panics"));
            // Without the message that a panic prints.
            std::panic::resume_unwind(Box::new("as the story says"));
        }
        self.refuse_if_asked()?;
        self.kept().save(service, record, history).await?;
        self.world.died_at_save(service).await;
        Ok(())
    }
    async fn forget(&self, service: &ServiceId) -> Result<(), RecordsError> {
        self.refuse_if_asked()?;
        self.kept().forget(service).await
    }
    async fn services(&self) -> Result<Vec<ServiceId>, RecordsError> {
        self.kept().services().await
    }
    async fn history(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<(ServiceId, HistoryEntry)>, RecordsError> {
        self.kept().history(service, limit).await
    }
    async fn session(&self) -> Result<EngineSession, RecordsError> {
        self.kept().session().await
    }
    async fn set_session(&self, session: EngineSession) -> Result<(), RecordsError> {
        self.refuse_if_asked()?;
        self.kept().set_session(session).await
    }
}
