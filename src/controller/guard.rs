//! The guard of removals over time: what is known on this host, who consented to what, and what was let go.
//!
//! The verdict itself is pure (`state::guard`). Here is what it depends on, and one thing more: a removal that was allowed
//! stays allowed while the desired state stays what it is. Otherwise a consent to six removals would lapse after the first,
//! because five are another set than six.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::wish::Wish;
use crate::desired::ident::ServiceId;
use crate::metrics::api::GuardStatus;
use crate::state::guard::{Known, RemovalVerdict, removals};
use crate::state::time::Mono;

/// A removal that waits for time to pass is looked at again no sooner than this. Milliseconds.
const LOOK_AGAIN_MS: u64 = 1_000;

/// Why an unwanted service stays for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// For people.
    pub text: String,
    /// When time alone may change that.
    pub again: Option<Mono>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<ServiceId, Known>,
    /// The whole host was listed once: before that, "half of the services" means nothing.
    complete: bool,
    consent: Option<String>,
    /// Let go under the desired state that came at this instant.
    allowed: BTreeSet<ServiceId>,
    allowed_under: Option<Mono>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Gatekeeper {
    inner: Mutex<Inner>,
}

impl Gatekeeper {
    /// What a look at one service found.
    pub fn note(&self, id: &ServiceId, has_containers: bool, source: &str) {
        let mut inner = self.lock();
        let known = inner
            .known
            .entry(id.clone())
            .or_insert_with(|| Known { has_containers, source: source.to_owned() });
        known.has_containers = has_containers;
        if !source.is_empty() {
            source.clone_into(&mut known.source);
        }
    }

    /// The whole host was listed and every record read: verdicts may be given.
    pub fn complete(&self) {
        self.lock().complete = true;
    }

    /// Nothing is left of it.
    pub fn forget(&self, id: &ServiceId) {
        let mut inner = self.lock();
        inner.known.remove(id);
        inner.allowed.remove(id);
    }

    /// Every service with containers or a record here.
    #[must_use]
    pub fn known(&self) -> BTreeSet<ServiceId> {
        self.lock().known.keys().cloned().collect()
    }

    /// It is known which file defines it.
    #[must_use]
    pub fn has_source(&self, id: &ServiceId) -> bool {
        self.lock().known.get(id).is_some_and(|known| !known.source.is_empty())
    }

    /// Takes an operator's consent. Returns the services it lets go; `None`: nothing waits under this token.
    pub fn approve(&self, wish: &Wish, token: &str, now: Mono) -> Option<BTreeSet<ServiceId>> {
        let waiting: BTreeSet<ServiceId> = self
            .verdicts(wish, now)
            .into_iter()
            .filter(|(_, verdict)| matches!(verdict, RemovalVerdict::Refused { token: asked, .. } if asked == token))
            .map(|(id, _)| id)
            .collect();
        if waiting.is_empty() {
            return None;
        }
        self.lock().consent = Some(token.to_owned());
        Some(waiting)
    }

    /// Takes a consent without looking whether anything waits for it: it counts for exactly the removals it names.
    pub fn consent(&self, token: &str) {
        self.lock().consent = Some(token.to_owned());
    }

    /// Lets one unwanted service go, because somebody asked for that by its name, while the desired state stays what it is.
    pub fn let_go(&self, wish: &Wish, id: &ServiceId) {
        let mut inner = self.lock();
        if inner.allowed_under != Some(wish.since) {
            inner.allowed.clear();
            inner.allowed_under = Some(wish.since);
        }
        inner.allowed.insert(id.clone());
    }

    /// May this unwanted service go? `None`: yes.
    #[must_use]
    pub fn held(&self, wish: &Wish, id: &ServiceId, now: Mono) -> Option<Held> {
        if !self.lock().complete {
            let text = "nothing is removed before the whole host was looked at once".to_owned();
            return Some(Held { text, again: Some(now.after(1_000)) });
        }
        let Some(verdict) = self.verdicts(wish, now).remove(id) else {
            // Wanted by what was read meanwhile: without a verdict nothing goes.
            let text = "the desired state changed while it was looked at".to_owned();
            return Some(Held { text, again: Some(now.after(1_000)) });
        };
        let again = match &verdict {
            RemovalVerdict::Allowed => return None,
            // The source says when it has read the same again; this is only the net below that.
            RemovalVerdict::NotYet { wait_ms } => Some(now.after((*wait_ms).max(LOOK_AGAIN_MS))),
            RemovalVerdict::Frozen | RemovalVerdict::Refused { .. } | RemovalVerdict::Kept { .. } => None,
        };
        Some(Held { text: verdict.text(), again })
    }

    /// The verdict for every unwanted service, with what was let go already.
    #[must_use]
    pub fn verdicts(&self, wish: &Wish, now: Mono) -> BTreeMap<ServiceId, RemovalVerdict> {
        let mut inner = self.lock();
        if inner.allowed_under != Some(wish.since) {
            inner.allowed.clear();
            inner.allowed_under = Some(wish.since);
        }
        let quiet = wish.quiet_ms(now);
        let mut verdicts = removals(&wish.state, &inner.known, quiet, inner.consent.as_deref());
        for (id, verdict) in &mut verdicts {
            if *verdict == RemovalVerdict::Allowed && inner.complete {
                inner.allowed.insert(id.clone());
            } else if inner.allowed.contains(id) {
                *verdict = RemovalVerdict::Allowed;
            }
        }
        verdicts
    }

    /// What waits for consent, for status and metrics.
    #[must_use]
    pub fn waiting(&self, wish: &Wish, now: Mono) -> Option<GuardStatus> {
        let mut status: Option<GuardStatus> = None;
        for (id, verdict) in self.verdicts(wish, now) {
            if let RemovalVerdict::Refused { why, token } = verdict {
                let status =
                    status.get_or_insert_with(|| GuardStatus { token, services: Vec::new(), reason: why });
                status.services.push(id.to_string());
            }
        }
        status
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{DesiredState, Wanted};

    fn id(name: &str) -> ServiceId {
        ServiceId::new("p", name).unwrap()
    }

    fn wish(names: &[&str], since: u64) -> Wish {
        let services = names.iter().map(|name| (id(name), Wanted::Frozen(Vec::new()))).collect();
        Wish::new(DesiredState { services, ..DesiredState::default() }, Mono(since)).confirmed()
    }

    fn keeper(names: &[&str]) -> Gatekeeper {
        let keeper = Gatekeeper::default();
        names.iter().for_each(|name| keeper.note(&id(name), true, "p/all.toml"));
        keeper.complete();
        keeper
    }

    #[test]
    fn consent_to_a_set_holds_until_the_last_of_it_is_gone() {
        let (keeper, wish, now) = (keeper(&["a", "b", "c", "d"]), wish(&["a"], 0), Mono(20_000));
        let token = keeper.waiting(&wish, now).unwrap().token;
        assert!(keeper.held(&wish, &id("b"), now).is_some());
        assert_eq!(keeper.approve(&wish, "000000", now), None);
        assert_eq!(keeper.approve(&wish, &token, now).unwrap().len(), 3);
        for name in ["b", "c", "d"] {
            assert_eq!(keeper.held(&wish, &id(name), now), None, "{name}");
            keeper.forget(&id(name));
        }
    }

    #[test]
    fn another_desired_state_ends_what_was_allowed_under_the_last() {
        let keeper = keeper(&["a", "b", "c"]);
        assert_eq!(keeper.held(&wish(&["a", "b"], 0), &id("c"), Mono(20_000)), None);
        let mut next = wish(&["a", "b"], 20_001);
        next.confirmed = false;
        let held = keeper.held(&next, &id("c"), Mono(20_002)).unwrap();
        assert_eq!(held.again, Some(Mono(30_001)), "the quiet period begins anew");
        assert!(keeper.held(&next, &id("c"), Mono(60_000)).is_some(), "and time alone does not end it");
    }

    #[test]
    fn nothing_goes_before_the_whole_host_is_known() {
        let keeper = Gatekeeper::default();
        keeper.note(&id("a"), true, "p/all.toml");
        assert!(keeper.held(&wish(&["b"], 0), &id("a"), Mono(20_000)).is_some());
    }
}
