//! Where the desired state comes from, as the loop sees it.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::select_all;

use crate::desired::DesiredState;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::snapshot::Snapshot;
use crate::source::git::GitSource;
use crate::source::{DirSource, Published, SourceError, Update, Updates, combine};

/// A source of snapshots.
#[async_trait]
pub trait Inbound: Send + 'static {
    /// The next word that has not been heard; `None` when the source has ended. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Update>;
    /// Read again, now.
    fn rescan(&self);
}

/// Makes a desired state of a snapshot. Never fails: what is wrong is in the diagnostics.
pub type Loader = Arc<dyn Fn(&Snapshot) -> (DesiredState, Vec<Diagnostic>) + Send + Sync>;

/// A directory that is followed.
#[derive(Debug)]
pub struct Followed {
    pub source: DirSource,
    pub updates: Updates,
}

#[async_trait]
impl Inbound for Followed {
    async fn next(&mut self) -> Option<Update> {
        self.updates.next().await
    }
    fn rescan(&self) {
        self.source.rescan();
    }
}

/// A repository that is followed.
pub struct Synced {
    pub source: GitSource,
    pub updates: Updates,
}

#[async_trait]
impl Inbound for Synced {
    async fn next(&mut self) -> Option<Update> {
        self.updates.next().await
    }
    fn rescan(&self) {
        self.source.sync();
    }
}

/// Several sources side by side, as one.
pub struct Several {
    parts: Vec<Part>,
    /// Said after the state that it concerns.
    later: VecDeque<SourceError>,
}

struct Part {
    name: String,
    inbound: Box<dyn Inbound>,
    latest: Option<Published>,
    trouble: Option<SourceError>,
    ended: bool,
}

impl Several {
    /// By name, in the order in which they count.
    #[must_use]
    pub fn new(parts: Vec<(String, Box<dyn Inbound>)>) -> Self {
        let part = |(name, inbound)| Part { name, inbound, latest: None, trouble: None, ended: false };
        Self { parts: parts.into_iter().map(part).collect(), later: VecDeque::new() }
    }

    /// What all of them say together; `None` while none has said anything.
    fn together(&self) -> Option<Published> {
        let parts = self.parts.iter().map(|part| {
            let read = part.latest.as_ref().map(|latest| Arc::clone(&latest.snapshot));
            let why = part.trouble.as_ref().map(ToString::to_string);
            (part.name.clone(), read.ok_or_else(|| why.unwrap_or_else(|| "it takes its time".to_owned())))
        });
        let snapshot = Arc::new(combine(parts.collect())?);
        let quiet_ms = self.parts.iter().filter_map(|part| Some(part.latest.as_ref()?.quiet_ms)).min();
        Some(Published { snapshot, quiet_ms: quiet_ms.unwrap_or_default() })
    }

    fn heard(&mut self, index: usize, update: Option<Update>) -> Option<Update> {
        let part = self.parts.get_mut(index)?;
        match update {
            None => {
                part.ended = true;
                return None;
            }
            Some(Ok(published)) => {
                part.latest = Some(published);
                part.trouble = None;
            }
            Some(Err(error)) => {
                let unread = part.latest.is_none();
                part.trouble = Some(error.clone());
                if !unread {
                    return Some(Err(error));
                }
            }
        }
        let together = self.together();
        // One that could be read does not make up for another one that cannot.
        let troubled = self.parts.iter().filter_map(|part| part.trouble.clone());
        self.later = troubled.collect();
        match together {
            Some(published) => Some(Ok(published)),
            None => self.later.pop_front().map(Err),
        }
    }
}

#[async_trait]
impl Inbound for Several {
    async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(error) = self.later.pop_front() {
                return Some(Err(error));
            }
            let open: Vec<usize> = self
                .parts
                .iter()
                .enumerate()
                .filter(|(_, part)| !part.ended)
                .map(|(index, _)| index)
                .collect();
            if open.is_empty() {
                return None;
            }
            let waiting = self.parts.iter_mut().filter(|part| !part.ended).map(|part| part.inbound.next());
            let (update, which, _) = select_all(waiting).await;
            let Some(index) = open.get(which).copied() else { continue };
            if let Some(update) = self.heard(index, update) {
                return Some(update);
            }
        }
    }

    fn rescan(&self) {
        self.parts.iter().for_each(|part| part.inbound.rescan());
    }
}
