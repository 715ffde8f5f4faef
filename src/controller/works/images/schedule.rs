//! What is looked at next, and what comes of it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::followers::{Followable, Follower, Followers};
use super::look::Unled;
use super::round::{self, Done};
use super::timing::{self, Timing};
use super::{Group, Images, Inner};
use crate::controller::host::Host;
use crate::state::time::Mono;

/// How often it is seen whether the service whose tag is taken over runs another one. Milliseconds.
const LEADER_MS: u64 = 5_000;
/// The same while another one is on its way there. Milliseconds.
const LEADER_EARLY_MS: u64 = 1_000;

impl Images {
    /// Takes over who follows what now. Who has no answer for its image, or another definition than before, is looked at at once.
    pub(super) fn take_over(&self, host: &Host) {
        let Some(wish) = host.wish() else { return };
        let now = host.clock.now();
        let answers = self.book.answers();
        let mut inner = self.inner();
        if inner.state.as_ref().is_some_and(|known| Arc::ptr_eq(known, &wish)) {
            return;
        }
        let followers = Followers::of(&wish.state);
        let mut before = std::mem::take(&mut inner.groups);
        for (place, followers) in followers.by_place {
            let known = before.remove(&place);
            let looks = inner.memory.looks(&place);
            let urgent = followers.iter().any(|follower| {
                let unanswered = follower.chosen(answers.0.get(&follower.asker)).is_none();
                let same = known
                    .as_ref()
                    .and_then(|group| group.followers.iter().find(|other| other.asker == follower.asker));
                let another =
                    known.is_some() && same.is_none_or(|same| !same.policy.picks_as(&follower.policy));
                let new = !inner.memory.followed.contains_key(&follower.asker);
                unanswered || another || new
            });
            let every = timing::every(followers.iter().map(|follower| follower.policy.every_ms));
            let (timing, looking, looks) = match known {
                Some(group) => (group.timing.changed(every, urgent, now.mono), group.looking, group.looks),
                None => (Timing::new(every, urgent, looks.well, now), false, 0),
            };
            inner.groups.insert(place, Group { followers, timing, looking, looks });
        }
        inner.unfit = followers.unfit;
        inner.state = Some(wish);
    }

    /// Begins what is due. Returns when the next look is.
    pub(super) fn begin(self: &Arc<Self>, host: &Arc<Host>, looks: &mut JoinSet<Done>) -> Option<Mono> {
        let now = host.clock.now().mono;
        let mut inner = self.inner();
        let mut next: Option<Mono> = None;
        let Inner { groups, memory, .. } = &mut *inner;
        for (place, group) in groups.iter_mut().filter(|(_, group)| !group.looking) {
            let due = group.timing.due();
            if due > now {
                next = Some(next.map_or(due, |earlier| earlier.min(due)));
                continue;
            }
            group.looking = true;
            let task = round::Task {
                place: place.clone(),
                followers: group.followers.clone(),
                seen: memory.seen(place),
                looks: memory.looks(place),
                list: group.timing.lists(now),
                followed: memory.followed.clone(),
            };
            group.timing.begun();
            let (this, host) = (Arc::clone(self), Arc::clone(host));
            looks.spawn(async move {
                let _turn = this.turns.acquire().await;
                round::run(&host, &*this.registries, &this.book, task).await
            });
        }
        next
    }

    pub(super) fn end(&self, host: &Host, done: Done) {
        let now = host.clock.now();
        let mut inner = self.inner();
        if let Some(group) = inner.groups.get_mut(&done.place) {
            group.looking = false;
            group.looks += 1;
            group.timing.looked(&done.ended, done.listed, now);
        }
        let key = done.place.key();
        if let Some(seen) = done.seen {
            inner.memory.seen.insert(key.clone(), seen);
        }
        told(
            &key,
            inner.memory.looks.get(&key).and_then(|looks| looks.trouble.as_ref()),
            done.looks.trouble.as_ref(),
        );
        inner.memory.looks.insert(key, done.looks);
        for (asker, followed) in done.followed {
            inner.memory.set_followed(&asker, followed);
        }
    }

    /// Who takes over the tag of another service is looked at as soon as that one runs another tag. Returns when to see again.
    pub(super) async fn follow_leaders(&self, host: &Host) -> Option<Mono> {
        let led: Vec<(Followable, Follower)> = {
            let inner = self.inner();
            let all = inner.groups.iter().filter(|(_, group)| !group.looking);
            all.flat_map(|(place, group)| {
                let led = group.followers.iter().filter(|follower| follower.leader.is_some());
                led.map(move |follower| (place.clone(), follower.clone()))
            })
            .collect()
        };
        if led.is_empty() {
            return None;
        }
        let now = host.clock.now().mono;
        let (answers, followed) = (self.book.answers(), self.inner().memory.followed.clone());
        let mut again = None;
        for (place, follower) in led {
            let Ok(standing) = round::standing(&*host.records, &answers, &followed, follower).await else {
                continue;
            };
            let early = standing.led == Some(Err(Unled::Early));
            let at = now.after(if early { LEADER_EARLY_MS } else { LEADER_MS });
            again = Some(again.map_or(at, |earlier: Mono| earlier.min(at)));
            let Some(Ok(tag)) = &standing.led else { continue };
            let current = standing.answer.as_ref().map(|answer| &answer.tag);
            if current != Some(tag)
                && let Some(group) = self.inner().groups.get_mut(&place)
            {
                group.timing.for_tag(tag, now);
            }
        }
        again
    }
}

/// A trouble is told once, and its end.
fn told(key: &str, before: Option<&String>, now: Option<&String>) {
    match (before, now) {
        (before, Some(why)) if before != Some(why) => {
            tracing::warn!(repository = key, "{why}; what was chosen before stands");
        }
        (Some(_), None) => tracing::info!(repository = key, "the registry answers again"),
        _ => {}
    }
}
