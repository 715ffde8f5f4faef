//! The images that were chosen or made, shared by the workers that find them and the loader that puts them in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::controller::records::{Records, RecordsError};
use crate::controller::store::{Note, Store, StoreError};
use crate::controller::trigger::{Inbox, Trigger};
use crate::desired::work::answers::{Answer, Answers, Asker};

/// The kind of its notes in the store.
const KIND: &str = "answer";

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    answers: Mutex<Arc<Answers>>,
    /// Something changed since the desired state was last made with it.
    stale: AtomicBool,
}

impl Book {
    /// What was found before, by any run of evenkeel.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        let notes = store.notes(KIND)?;
        let mut answers = BTreeMap::new();
        for (key, body) in notes {
            match (serde_json::from_str::<Asker>(&key), serde_json::from_value::<Answer>(body)) {
                (Ok(asker), Ok(answer)) => drop(answers.insert(asker, answer)),
                _ => tracing::warn!(key, "what was chosen before cannot be read, and is chosen anew"),
            }
        }
        Ok(Self { answers: Mutex::new(Arc::new(Answers(answers))), stale: AtomicBool::new(false) })
    }

    #[must_use]
    pub fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes answers down, durably first, and wakes the daemon if they say something else than before. `None`: there is no answer any
    /// more. `notes` become durable with them: what the answer was found by.
    ///
    /// # Errors
    /// Nothing was written, and the old answers stand.
    pub async fn write(
        &self,
        records: &dyn Records,
        inbox: &Inbox,
        changed: Vec<(Asker, Option<Answer>)>,
        mut notes: Vec<Note>,
    ) -> Result<bool, RecordsError> {
        let mut next = Answers::clone(&self.answers());
        for (asker, answer) in &changed {
            let before = match answer {
                Some(answer) => next.0.insert(asker.clone(), answer.clone()),
                None => next.0.remove(asker),
            };
            if before == *answer {
                continue;
            }
            let told = |error: serde_json::Error| RecordsError(format!("an image cannot be noted: {error}"));
            let key = serde_json::to_string(asker).map_err(told)?;
            notes.push(match answer {
                Some(answer) => Note::of(KIND, key, answer).map_err(told)?,
                None => Note::forget(KIND, key),
            });
        }
        if !notes.is_empty() {
            records.set_notes(notes).await?;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may have written meanwhile: what they said stands.
        let mut current = Answers::clone(&answers);
        let mut differs = false;
        for (asker, answer) in changed {
            differs |= current.0.get(&asker) != answer.as_ref();
            match answer {
                Some(answer) => drop(current.0.insert(asker, answer)),
                None => drop(current.0.remove(&asker)),
            }
        }
        if differs {
            *answers = Arc::new(current);
            drop(answers);
            self.stale.store(true, Ordering::SeqCst);
            inbox.post(Trigger::Answers);
        }
        Ok(differs)
    }

    /// Whether a desired state that was made before this would be another one now.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }

    /// The answers to load a desired state with. What is written from here on makes it stale.
    #[must_use]
    pub fn for_load(&self) -> Arc<Answers> {
        self.stale.store(false, Ordering::SeqCst);
        self.answers()
    }
}
