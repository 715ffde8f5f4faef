//! `[policy.window]`: roll-outs begin while it is open.
//!
//! As with an approval, only what takes the place of something waits, and what goes away. A first deployment, repairs, what is changed
//! in place and every way back go on at any time, and so does a roll-out that was begun.

use super::condition::{Condition, ConditionKind};
use super::decide::{Pass, Removal};
use super::record::RevisionId;
use super::target;
use super::time::Timestamp;
use crate::desired::timing::{Opening, Window};

impl Pass<'_> {
    /// The window, where it is closed now, and until when. Asks for another look then.
    fn closed_window(&mut self) -> Option<(&Window, String)> {
        let (window, now) = (self.inputs.window?, self.inputs.now);
        let until = match window.at(now.wall.0) {
            Opening::Open => return None,
            Opening::At(opens) => {
                self.look_at(now.at(Timestamp(opens)));
                format!("which opens at {}", Timestamp(opens))
            }
            Opening::Never => "which never opens".to_owned(),
        };
        Some((window, until))
    }

    pub(super) fn needs_window(&mut self, id: &RevisionId) -> bool {
        let record = &self.record;
        // What is under way goes on; what somebody let through is not asked about again.
        if [record.good.as_ref(), record.intent.as_ref(), record.hurried.as_ref()].contains(&Some(id)) {
            return false;
        }
        let serves = record.good.is_some()
            || self.inputs.observed.containers.iter().any(|container| {
                let revision = &container.labels.revision;
                container.status.is_up() && revision != id && !target::is_rejected(record, revision)
            });
        serves && self.closed_window().is_some()
    }

    pub(super) fn outside_window(&mut self, id: &RevisionId) -> Condition {
        let (number, image, cause) = target::kept(&self.record, id)
            .map(|kept| (kept.number, kept.spec.container.image.clone(), kept.cause.clone()))
            .unwrap_or_default();
        let service = self.inputs.id;
        let window = self.closed_window().map(|(window, until)| format!("{window}, {until}"));
        let text = format!(
            "r{number} {id} ({image}) waits for its window {}: {cause}; sooner: `evenkeel approve {service} --revision {id}`",
            window.unwrap_or_default()
        );
        Condition::new(ConditionKind::AwaitingWindow, "OutsideWindow", text)
    }

    /// What no file wants any more goes while the window is open.
    pub(super) fn orphan_outside_window(&mut self) -> Option<Condition> {
        if self.inputs.observed.containers.is_empty() || self.inputs.removal != Removal::Allowed {
            return None;
        }
        let (window, until) = self.closed_window()?;
        let text =
            format!("no file wants it any more, and its removal waits for the window {window}, {until}");
        Some(Condition::new(ConditionKind::AwaitingWindow, "OutsideWindow", text))
    }
}
