//! What is remembered of services, jobs and repositories that nobody follows any more goes, after a while: a file that is only being
//! moved must not cost an answer.

use std::collections::BTreeSet;

use super::Images;
use super::followers::{Follower, Followers};
use super::memory::{FOLLOWED, LOOKED, RECORDED, SEEN, key_of, note_of};
use crate::controller::host::Host;
use crate::controller::records::RecordsError;
use crate::controller::store::Note;
use crate::desired::work::answers::{Answer, Asker};
use crate::desired::work::{ImageSource, Runs, Work};
use crate::desired::{DesiredState, Wanted};
use crate::state::time::{Mono, Timestamp};

/// How long what nobody asks for stays. Milliseconds.
const KEEP_MS: i64 = 7 * 86_400_000;
/// Between two looks for it. Milliseconds.
const LOOK_MS: u64 = 3_600_000;

impl Images {
    /// Notes what is gone, and forgets what has been for long. Returns when to look again.
    pub(super) async fn clean(&self, host: &Host) -> Option<Mono> {
        let wish = self.desired()?;
        let now = host.clock.now();
        let due = {
            let mut inner = self.inner();
            if inner.clean_at > now.mono
                && inner.cleaned.as_ref().is_some_and(|of| std::sync::Arc::ptr_eq(of, &wish))
            {
                return Some(inner.clean_at);
            }
            inner.clean_at = now.mono.after(LOOK_MS);
            inner.cleaned = Some(wish.clone());
            inner.clean_at
        };
        // What is in a file that does not load cannot be told from what has left.
        if wish.state.broken.is_empty()
            && let Err(error) = self.forget(host, &wish.state, now.wall).await
        {
            tracing::debug!(%error, "what nobody follows any more is forgotten later");
        }
        Some(due)
    }

    async fn forget(&self, host: &Host, state: &DesiredState, now: Timestamp) -> Result<(), RecordsError> {
        let followers = Followers::of(state);
        let here: BTreeSet<Asker> = followers
            .all()
            .map(|(_, Follower { asker, .. })| asker.clone())
            .chain(followers.unfit.keys().cloned())
            .collect();
        let places: BTreeSet<String> = followers.by_place.keys().map(super::Followable::key).collect();
        let (mut changed, mut notes): (Vec<(Asker, Option<Answer>)>, Vec<Note>) = (Vec::new(), Vec::new());
        let mut memory = self.inner().memory.clone();
        let over = |since: Timestamp| now.0.saturating_sub(since.0) >= KEEP_MS;
        let gone: Vec<Asker> =
            memory.followed.keys().filter(|asker| !here.contains(*asker)).cloned().collect();
        for asker in gone {
            let mut followed = memory.followed(&asker);
            match followed.gone {
                Some(since) if over(since) => {
                    notes.push(Note::forget(FOLLOWED, key_of(&asker)?));
                    notes.push(Note::forget(RECORDED, key_of(&asker)?));
                    if !is_built(state, &asker) {
                        changed.push((asker.clone(), None));
                    }
                    memory.followed.remove(&asker);
                }
                Some(_) => {}
                None => {
                    followed.gone = Some(now);
                    notes.push(note_of(FOLLOWED, key_of(&asker)?, &followed)?);
                    memory.followed.insert(asker, followed);
                }
            }
        }
        let gone: Vec<String> = memory.looks.keys().filter(|key| !places.contains(*key)).cloned().collect();
        for key in gone {
            let mut looks = memory.looks.get(&key).cloned().unwrap_or_default();
            match looks.gone {
                Some(since) if over(since) => {
                    notes.push(Note::forget(LOOKED, key.clone()));
                    notes.push(Note::forget(SEEN, key.clone()));
                    memory.looks.remove(&key);
                    memory.seen.remove(&key);
                }
                Some(_) => {}
                None => {
                    looks.gone = Some(now);
                    notes.push(note_of(LOOKED, key.clone(), &looks)?);
                    memory.looks.insert(key, looks);
                }
            }
        }
        if changed.is_empty() && notes.is_empty() {
            return Ok(());
        }
        self.book.write(&*host.records, &host.inbox, changed, notes).await?;
        // Looks that ended meanwhile are of those who are here.
        let mut inner = self.inner();
        inner.memory.followed.retain(|asker, _| here.contains(asker) || memory.followed.contains_key(asker));
        inner.memory.looks.retain(|key, _| places.contains(key) || memory.looks.contains_key(key));
        inner.memory.seen.retain(|key, _| places.contains(key) || memory.looks.contains_key(key));
        for (asker, followed) in memory.followed.into_iter().filter(|(asker, _)| !here.contains(asker)) {
            inner.memory.followed.insert(asker, followed);
        }
        for (key, looks) in memory.looks.into_iter().filter(|(key, _)| !places.contains(key)) {
            inner.memory.looks.insert(key, looks);
        }
        Ok(())
    }
}

/// Whether somebody else gives its answer now.
fn is_built(state: &DesiredState, asker: &Asker) -> bool {
    match asker {
        Asker::Service(id) => {
            let chosen = state.works.chosen.get(id).map(|chosen| &chosen.image);
            let built = matches!(chosen, Some(ImageSource::Build(_)));
            built || matches!(state.services.get(id), Some(Wanted::Frozen(_)))
        }
        Asker::Job(id) => match state.works.jobs.get(id) {
            Some(Work::Wanted(job)) => {
                matches!(&job.runs, Runs::Container { image: ImageSource::Build(_), .. })
            }
            Some(Work::Frozen(_)) => true,
            None => false,
        },
        Asker::Build(_) => true,
    }
}
