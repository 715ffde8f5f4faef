//! What is wanted enters the record as a revision, and its image the host.

use std::sync::Arc;

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::diff;
use super::observed::ImageId;
use super::plan::{Failure, Step};
use super::record::{HistoryEvent, KeptRevision, RevisionId, RevisionVerdict};
use super::target::{self, PullDue};
use crate::desired::{Revision, Wanted};

impl Pass<'_> {
    /// The wanted revision enters the record, as the intent when it is not the good one already.
    pub(super) fn adopt_desired(&mut self, id: &RevisionId) {
        if !matches!(self.inputs.desired, Some(Wanted::Run(_))) {
            return;
        }
        self.enter_desired(id);
        let good = self.record.good.as_ref() == Some(id);
        if !good && self.record.intent.as_ref() != Some(id) {
            self.record.intent = Some(id.clone());
            self.memo.rollout_since = Some(self.inputs.now.mono);
            self.memo.slot_passed_at = None;
            let cause = target::kept(&self.record, id).map(|kept| kept.cause.clone()).unwrap_or_default();
            self.note(HistoryEvent::Started, Some(id.clone()), cause);
        } else if good {
            self.record.intent = None;
        }
    }

    /// The wanted revision enters the record.
    pub(super) fn enter_desired(&mut self, id: &RevisionId) {
        let Some(Wanted::Run(wanted)) = self.inputs.desired else { return };
        if let Some(kept) = self.record.revisions.iter_mut().find(|kept| kept.id == *id) {
            // Same container spec by hash; limits, networks and policy may have changed and belong to it now.
            // The commit is the one that brought the revision, not the last one that touched its file.
            let commit = kept.spec.source.commit.clone();
            kept.spec = Arc::clone(&wanted.spec);
            if commit.is_some() && commit != kept.spec.source.commit {
                Arc::make_mut(&mut kept.spec).source.commit = commit;
            }
        } else if let Some(image) = self.image_of(wanted, id) {
            let cause = self.cause_of(wanted);
            self.record.sequence += 1;
            let pulled = self
                .memo
                .pulled
                .as_ref()
                .is_some_and(|(reference, _)| *reference == wanted.spec.container.image);
            self.record.revisions.push(KeptRevision {
                id: id.clone(),
                number: self.record.sequence,
                hash: wanted.hash.clone(),
                spec: Arc::clone(&wanted.spec),
                image,
                digest: self.inputs.observed.image.as_ref().and_then(|facts| facts.digests.first().cloned()),
                pulled,
                verdict: RevisionVerdict::Candidate,
                cause,
                since: self.inputs.now.wall,
                good_since: None,
                evidence: None,
            });
        }
    }

    fn image_of(&self, wanted: &Revision, id: &RevisionId) -> Option<ImageId> {
        let observed = self.inputs.observed;
        let local = observed.image.as_ref().map(|facts| &facts.id);
        let running = observed.containers.iter().map(|container| &container.labels.image);
        local.into_iter().chain(running).find(|image| RevisionId::of(&wanted.hash, image) == *id).cloned()
    }

    /// Why this revision is wanted: the fields that differ from what was wanted before, and the place.
    pub(super) fn cause_of(&self, wanted: &Revision) -> String {
        let place = wanted.spec.source.told();
        let before = self
            .record
            .intent
            .as_ref()
            .or(self.record.good.as_ref())
            .and_then(|id| target::kept(&self.record, id))
            // Nothing was ever good: what was tried last is what people compare with.
            .or(self.record.revisions.last());
        match before {
            None => format!("new in {place}"),
            Some(before) => {
                let all = diff::differences(&before.spec, &wanted.spec);
                let replacing: Vec<_> =
                    all.into_iter().filter(|difference| difference.effect == diff::Effect::Replace).collect();
                if replacing.is_empty() {
                    let image = &wanted.spec.container.image;
                    format!("{image} means another image now")
                } else {
                    format!("{} ({place})", diff::summary(&replacing))
                }
            }
        }
    }

    /// Plans a pull when one is due and nothing else is to be done. `None`: no pull would help.
    pub(super) fn plan_pull(&mut self, settled: bool) -> Option<Condition> {
        let Some(Wanted::Run(wanted)) = self.inputs.desired else { return None };
        let image = wanted.spec.container.image.clone();
        let due = target::pull_due(
            wanted,
            self.inputs.observed,
            &self.record,
            &self.memo,
            settled,
            self.inputs.now.mono,
        );
        let failing = self.memo.pull.as_ref().map(|trouble| (trouble.kind, trouble.text.clone()));
        match due {
            PullDue::No => return None,
            PullDue::At(at) => self.look_at(at),
            PullDue::Now(cause) => {
                let platform = wanted.spec.container.platform.clone();
                self.step(None, Step::Pull { image: image.clone(), platform }, cause);
            }
        }
        Some(match failing {
            Some((kind, text)) => pull_failed(&image, kind, &text),
            None => Condition::new(ConditionKind::Progressing, "ImagePull", format!("pulling {image}")),
        })
    }

    pub(super) fn image_missing(&self) -> Condition {
        let image = self.inputs.desired.and_then(wanted_image).unwrap_or_default();
        let text = format!(
            "image {image} is not on this host and pull_policy is never: `docker pull {image}` or `docker load`, or change pull_policy"
        );
        Condition::new(ConditionKind::Failed, "ImageMissing", text)
    }
}

fn pull_failed(image: &str, kind: Failure, text: &str) -> Condition {
    let next = match kind {
        Failure::Unauthorized => "`docker login` as the user evenkeel runs as, or correct the name; ",
        Failure::NotFound => "push it, or correct the name; ",
        Failure::NoSpace => "free some space where the engine keeps its files; ",
        _ => "",
    };
    let reason = format!("ImagePull{}", kind.as_str());
    let text = format!("cannot pull {image}: {text}; {next}it is tried again");
    Condition::new(ConditionKind::Waiting, &reason, text)
}

fn wanted_image(wanted: &Wanted) -> Option<String> {
    match wanted {
        Wanted::Run(revision) => Some(revision.spec.container.image.clone()),
        Wanted::Frozen(_) => None,
    }
}
