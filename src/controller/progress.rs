//! What a pass tells while it works, for a terminal. Says nothing that decides anything.

use super::trigger::Key;
use crate::desired::ident::ServiceId;
use crate::engine::PullProgress;
use crate::state::condition::Condition;
use crate::state::plan::{Outcome, Planned};

/// Called from passes that run at the same time, so implementations lock for themselves and return at once.
pub trait Progress: Send + Sync + 'static {
    /// A step is about to be taken; `words` say it with names instead of ids.
    fn step(&self, _service: &ServiceId, _planned: &Planned, _words: &str) {}
    /// The same for a network or a volume.
    fn object_step(&self, _key: &Key, _planned: &Planned, _words: &str) {}
    /// It came to this.
    fn outcome(&self, _service: &ServiceId, _planned: &Planned, _outcome: &Outcome) {}
    /// The service's condition, whenever it changed.
    fn condition(&self, _service: &ServiceId, _condition: &Condition) {}
    fn pull(&self, _service: &ServiceId, _image: &str, _progress: &PullProgress) {}
}

/// Nobody watches.
pub struct Silent;

impl Progress for Silent {}
