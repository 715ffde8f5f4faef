//! `protect` and `rollout.approve`: what is not done before somebody says so.
//!
//! Only what takes the place of something is held back: a first deployment, repairs, limits changed in place and the way back to
//! the good revision are not. A word of an operator's that names a revision (`rollback`, `retry`) is consent to that revision.

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::observed::ObservedContainer;
use super::record::{Awaiting, HistoryEvent, KeptRevision, RevisionId};
use super::target::{self, Aim, Why};
use crate::desired::Wanted;
use crate::desired::spec::Policy;

impl Pass<'_> {
    /// The aim, unless it needs a word that nobody has given, or a window that is closed: then what serves stays the aim.
    pub(super) fn with_consent(&mut self, aim: Aim) -> Aim {
        let (waiting, window) = match &aim {
            Aim::Run { revision, why: Why::Desired } if self.needs_approval(revision) => {
                (revision.clone(), false)
            }
            Aim::Run { revision, why: Why::Desired } if self.needs_window(revision) => {
                (revision.clone(), true)
            }
            _ => {
                self.record.awaiting = None;
                return aim;
            }
        };
        self.enter_desired(&waiting);
        let known = self.record.awaiting.as_ref();
        if known.is_none_or(|known| known.revision != waiting || known.window != window) {
            self.record.awaiting =
                Some(Awaiting { revision: waiting.clone(), since: self.inputs.now.wall, window });
            let cause = target::kept(&self.record, &waiting).map(|kept| kept.cause.clone());
            self.note(HistoryEvent::Awaiting, Some(waiting.clone()), cause.unwrap_or_default());
        }
        if window {
            // What is under way was begun while the window was open.
            return target::fall_back(&self.record, Why::OutsideWindow(waiting));
        }
        let good = self.record.good.as_ref().filter(|good| target::kept(&self.record, good).is_some());
        let why = Why::Unapproved(waiting);
        match good {
            Some(good) => Aim::Run { revision: good.clone(), why },
            None => Aim::Nothing { why },
        }
    }

    fn needs_approval(&self, id: &RevisionId) -> bool {
        let record = &self.record;
        // What is under way was begun before anybody asked for approval, or with it.
        if [record.good.as_ref(), record.intent.as_ref(), record.approved.as_ref()].contains(&Some(id)) {
            return false;
        }
        let Some(Wanted::Run(wanted)) = self.inputs.desired else { return false };
        let Policy { protect, approve, .. } = &wanted.spec.policy;
        // The protection of what serves counts as well: else one edit could take it off and replace.
        let asked = *protect || *approve || self.serving().any(|kept| kept.spec.policy.protect);
        let replaced = |container: &ObservedContainer| {
            container.started_at.is_some() && container.labels.revision != *id
        };
        asked && (record.good.is_some() || self.inputs.observed.containers.iter().any(replaced))
    }

    /// Kept revisions that serve, or have containers here.
    fn serving(&self) -> impl Iterator<Item = &KeptRevision> {
        let containers = &self.inputs.observed.containers;
        let good = self.record.good.as_ref();
        self.record.revisions.iter().filter(move |kept| {
            good == Some(&kept.id) || containers.iter().any(|found| found.labels.revision == kept.id)
        })
    }

    pub(super) fn unapproved(&self, id: &RevisionId) -> Condition {
        let waiting = target::kept(&self.record, id);
        let protected = waiting.into_iter().chain(self.serving()).any(|kept| kept.spec.policy.protect);
        let reason = if protected { "Protected" } else { "ApprovalAsked" };
        let (number, image, cause) = waiting
            .map(|kept| (kept.number, kept.spec.container.image.as_str(), kept.cause.as_str()))
            .unwrap_or_default();
        let text = format!(
            "r{number} {id} ({image}) waits for approval: {cause}; to agree to exactly this: `evenkeel approve {} --revision {id}`",
            self.inputs.id
        );
        Condition::new(ConditionKind::AwaitingApproval, reason, text)
    }

    /// A protected service is never removed, whatever the files and the guard say.
    pub(super) fn protected_orphan(&self) -> Option<Condition> {
        let here = !self.inputs.observed.containers.is_empty();
        let protected = here && self.serving().any(|kept| kept.spec.policy.protect);
        let text = "no file wants it any more, and it is protected: it stays as it is, unattended; put it back into the files, or put it back without `protect` and then take it away";
        protected.then(|| Condition::new(ConditionKind::Orphaned, "Protected", text))
    }
}
