//! A look with everything around it: what is known before, and what is written down after.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::followers::{Followable, Follower, Leader, shown};
use super::look::{Looked, Looking, Outcome, Standing, led, look};
use super::memory::{FOLLOWED, LOOKED, Looks, SEEN, Seen, key_of, note_of};
use super::timing::Ended;
use crate::controller::clock::Clock;
use crate::controller::host::Host;
use crate::controller::records::{Records, RecordsError};
use crate::controller::store::Note;
use crate::controller::trigger::Inbox;
use crate::controller::works::Book;
use crate::desired::work::answers::{Answer, Answers, Asker};
use crate::engine::Observe;
use crate::images::registry::{Registries, Trouble};
use crate::metrics::Metrics;
use crate::state::images::Followed;
use crate::state::record::Record;
use crate::state::time::Timestamp;

/// What is to be looked at, and what is known of it.
pub(super) struct Task {
    pub place: Followable,
    pub followers: Vec<Follower>,
    pub seen: Seen,
    pub looks: Looks,
    pub list: bool,
    /// Of everybody: who takes over another one's tag needs that one's.
    pub followed: BTreeMap<Asker, Followed>,
}

/// What is known after it.
pub(super) struct Done {
    pub place: Followable,
    /// `None`: as before.
    pub seen: Option<Seen>,
    pub looks: Looks,
    pub followed: Vec<(Asker, Followed)>,
    pub ended: Ended,
    pub listed: bool,
}

/// What a look stands on beside its task.
pub(super) struct Around<'a> {
    pub registries: &'a dyn Registries,
    pub engine: &'a dyn Observe,
    pub clock: &'a dyn Clock,
    pub metrics: &'a Arc<Metrics>,
    pub records: &'a dyn Records,
    pub inbox: &'a Inbox,
    pub book: &'a Book,
}

pub(super) async fn run(host: &Host, registries: &dyn Registries, book: &Book, task: Task) -> Done {
    let around = Around {
        registries,
        engine: &*host.engine,
        clock: &*host.clock,
        metrics: &host.metrics,
        records: &*host.records,
        inbox: &host.inbox,
        book,
    };
    one(&around, task).await
}

/// Looks, and writes down what came of it. A store that takes no writes is a look that failed: what was chosen is not told of either.
pub(super) async fn one(around: &Around<'_>, task: Task) -> Done {
    let (place, looks, list) = (task.place.clone(), task.looks.clone(), task.list);
    match whole(around, task).await {
        Ok(done) => done,
        Err(error) => Done {
            place,
            seen: None,
            looks: Looks { trouble: Some(error.to_string()), ..looks },
            followed: Vec::new(),
            ended: Ended::Failed,
            listed: list,
        },
    }
}

async fn whole(around: &Around<'_>, task: Task) -> Result<Done, RecordsError> {
    let Task { place, followers, seen: before, looks, list, followed: known } = task;
    let answers = around.book.answers();
    let mut standings = Vec::new();
    for follower in followers {
        standings.push(standing(around.records, &answers, &known, follower).await?);
    }
    let looking = Looking {
        registries: around.registries,
        engine: around.engine,
        clock: around.clock,
        metrics: around.metrics,
        place: &place,
        list,
    };
    let Looked { seen, outcomes, trouble } = look(&looking, before.clone(), &standings).await;
    let (mut changed, mut due, mut unknown) = (Vec::new(), None::<Timestamp>, None);
    for Standing { follower, .. } in &standings {
        match outcomes.get(&follower.asker) {
            Some(Outcome::Take(chosen)) => {
                tracing::info!(
                    service = shown(&follower.asker),
                    "{}:{} is chosen ({})",
                    follower.name,
                    chosen.tag,
                    chosen.digest
                );
                changed.push((follower.asker.clone(), Some(follower.answer(chosen))));
            }
            Some(Outcome::Stay(stay)) => due = [due, stay.due].into_iter().flatten().min(),
            Some(Outcome::Unknown(why)) => unknown = Some(why.clone()),
            None => {}
        }
    }
    let now = around.clock.now().wall;
    let ended = match trouble.as_ref().map(|trouble| trouble.trouble) {
        Some(Trouble::Limited { for_ms }) => Ended::Limited { for_ms },
        Some(_) => Ended::Failed,
        None if unknown.is_some() => Ended::Failed,
        None => Ended::Well { due },
    };
    let told = trouble.map(|trouble| trouble.to_string()).or(unknown);
    let well = told.is_none();
    let after = Looks {
        well: if well { Some(now) } else { looks.well },
        trouble: told.or_else(|| nothing(&standings, &outcomes, &place)),
        gone: None,
    };
    let mut notes = vec![note_of(LOOKED, place.key(), &after)?];
    if seen != before {
        notes.push(note_of(SEEN, place.key(), &seen)?);
    }
    let followed: Vec<(Asker, Followed)> =
        standings.into_iter().map(|standing| (standing.follower.asker, standing.followed)).collect();
    for (asker, now) in &followed {
        if known.get(asker) != Some(now) {
            notes.push(note_of(FOLLOWED, key_of(asker)?, now)?);
        }
    }
    write(around, changed, notes).await?;
    Ok(Done { seen: (seen != before).then_some(seen), place, looks: after, followed, ended, listed: list })
}

/// Why somebody has no image at all, although the registry answered.
fn nothing(
    standings: &[Standing],
    outcomes: &BTreeMap<Asker, Outcome>,
    place: &Followable,
) -> Option<String> {
    let without = standings.iter().any(|standing| {
        let early = matches!(standing.led, Some(Err(_)));
        let stays =
            matches!(outcomes.get(&standing.follower.asker), Some(Outcome::Stay(stay)) if stay.due.is_none());
        standing.answer.is_none() && stays && !early
    });
    let why = || format!("no tag of {} is one that the policy picks", place.key());
    without.then(why)
}

async fn write(
    around: &Around<'_>,
    changed: Vec<(Asker, Option<Answer>)>,
    notes: Vec<Note>,
) -> Result<(), RecordsError> {
    around.book.write(around.records, around.inbox, changed, notes).await.map(drop)
}

/// All that is known of one who follows, with what became of its answer.
pub(super) async fn standing(
    records: &dyn Records,
    answers: &Answers,
    known: &BTreeMap<Asker, Followed>,
    follower: Follower,
) -> Result<Standing, RecordsError> {
    let record = match follower.service() {
        Some(id) => records.load(id).await?,
        None => Record::default(),
    };
    let mut followed = known.get(&follower.asker).cloned().unwrap_or_default();
    let given = answers.0.get(&follower.asker);
    let answer = follower.chosen(given);
    let image = given.map(|given| given.image.as_str());
    followed.learn(&follower.definition, image.zip(answer.as_ref()), &record);
    let led = match &follower.leader {
        None => None,
        Some(leader) => {
            let record = match leader {
                Leader::Chosen { id, .. } => records.load(id).await?,
                Leader::Said(_) | Leader::None(_) => Record::default(),
            };
            let of = |asker: &Asker| known.get(asker).cloned().unwrap_or_default();
            Some(led(leader, answers, &of, &record))
        }
    };
    Ok(Standing { follower, followed, record, answer, led })
}
