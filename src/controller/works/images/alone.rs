//! The same without a daemon: one look, and what is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::followers::{Followers, kind, shown};
use super::memory::Memory;
use super::round::{Around, Task, one, standing};
use super::{look::Standing, report};
use crate::controller::clock::Clock;
use crate::controller::records::{Records, RecordsError};
use crate::controller::trigger::Inbox;
use crate::controller::works::Book;
use crate::desired::DesiredState;
use crate::engine::Observe;
use crate::images::registry::Registries;
use crate::metrics::Metrics;
use crate::metrics::images::ImageRow;

/// What is needed to look without a daemon.
pub struct Alone<'a> {
    pub records: &'a dyn Records,
    pub book: &'a Book,
    pub clock: &'a dyn Clock,
}

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Somebody has another image than before: the desired state is to be loaded again.
    pub changed: bool,
    /// Who has none yet, or could not be looked at, and why.
    pub troubles: Vec<(String, String)>,
}

/// Whom to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Who has no answer for its image.
    Unanswered,
    /// These, by name; none: all.
    These(BTreeSet<String>),
}

impl Alone<'_> {
    /// What there is to tell, from what is remembered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rows(&self, state: &DesiredState) -> Result<Vec<ImageRow>, RecordsError> {
        let memory = Memory::read(self.records).await?;
        let answers = self.book.answers();
        let Followers { by_place, unfit } = Followers::of(state);
        let mut rows = Vec::new();
        for (place, followers) in by_place {
            let (seen, looks) = (memory.seen(&place), memory.looks(&place));
            for follower in followers {
                let standing: Standing = standing(self.records, &answers, &memory.followed, follower).await?;
                rows.push(report::row(&standing, &seen, &looks, self.clock.now().wall));
            }
        }
        rows.extend(unfit.into_iter().map(|(asker, why)| ImageRow {
            service: shown(&asker),
            kind: kind(&asker).to_owned(),
            trouble: Some(why),
            ..ImageRow::default()
        }));
        rows.sort_by_key(ImageRow::key);
        Ok(rows)
    }

    /// Looks once, and writes down what was found as the daemon does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn look(
        &self,
        state: &DesiredState,
        whom: &Whom,
        registries: &dyn Registries,
        engine: &dyn Observe,
        metrics: &Arc<Metrics>,
    ) -> Result<Found, RecordsError> {
        let before = self.book.answers();
        let mut found = Found::default();
        let Followers { by_place, unfit } = Followers::of(state);
        found.troubles.extend(unfit.iter().map(|(asker, why)| (shown(asker), why.clone())));
        // Who takes over another one's tag comes after it.
        let (led, free): (Vec<_>, Vec<_>) =
            by_place.into_iter().partition(|(_, all)| all.iter().any(|follower| follower.leader.is_some()));
        for (place, followers) in free.into_iter().chain(led) {
            let mut memory = Memory::read(self.records).await?;
            let meant = |asked: &super::Follower| match whom {
                Whom::These(names) => names.is_empty() || names.contains(&shown(&asked.asker)),
                Whom::Unanswered => asked.chosen(self.book.answers().0.get(&asked.asker)).is_none(),
            };
            if !followers.iter().any(meant) {
                continue;
            }
            let followers: Vec<_> = followers.into_iter().filter(meant).collect();
            let names: Vec<String> = followers.iter().map(|follower| shown(&follower.asker)).collect();
            let task = Task {
                seen: memory.seen(&place),
                looks: memory.looks(&place),
                list: true,
                followed: std::mem::take(&mut memory.followed),
                place,
                followers,
            };
            let around = Around {
                registries,
                engine,
                clock: self.clock,
                metrics,
                records: self.records,
                inbox: &Inbox::default(),
                book: self.book,
            };
            if let Some(why) = one(&around, task).await.looks.trouble {
                found.troubles.extend(names.into_iter().map(|name| (name, why.clone())));
            }
        }
        found.changed = self.book.answers() != before;
        Ok(found)
    }
}
