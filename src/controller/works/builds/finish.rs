//! What follows when an image is whole: names, the push, the book. Every step may be done again, so a killed evenkeel begins here anew.

use std::time::Duration;

use super::board::Outcome;
use super::site::{Site, note};
use crate::desired::work::BuildSpec;
use crate::desired::work::answers::{Answer, Asker};
use crate::engine::EngineError;
use crate::engine::build::Tell;
use crate::state::builds::{BuildRecord, Dropped, Failed, InHand, Inputs, Made, backoff_ms, causes, name_of};
use crate::state::observed::ImageId;
use crate::state::plan::Failure;

/// Printed by nobody.
const SILENT: Tell<'static> = &|_| {};

impl Site {
    /// Brings to its end what an earlier process, or an earlier push, left. `None`: there is nothing of the kind.
    pub(super) async fn resume(&self, asker: &Asker, spec: &BuildSpec, now: &Inputs) -> Option<Outcome> {
        let record = self.record(asker);
        let hand = record.hand.clone()?;
        let image = match self.engine.inspect_image(&hand.keep).await {
            Ok(image) => image,
            Err(error) => return Some(Outcome::Refused { why: error.to_string() }),
        };
        let outdated = !causes(&spec.policy.track, Some(&hand.inputs), now).is_empty();
        match image {
            Some(_) if !outdated || hand.aside => Some(self.finish(asker, spec.policy.keep, SILENT).await),
            found => {
                // Half an image has no name; one that is whole but made of something older is made anew.
                let mut record = record;
                record.hand = None;
                if let Some(image) = found {
                    record.dropped.push(Dropped { name: hand.keep, image_id: image.id });
                }
                match self.save(asker, record).await {
                    Ok(()) => None,
                    Err(error) => Some(Outcome::Refused { why: error.to_string() }),
                }
            }
        }
    }

    /// Gives the image in hand its names, pushes it, and tells the book.
    pub(super) async fn finish(&self, asker: &Asker, keep: u32, tell: Tell<'_>) -> Outcome {
        let record = self.record(asker);
        let Some(hand) = record.hand.clone() else {
            return Outcome::Refused { why: "nothing is in hand".to_owned() };
        };
        let image_id = match self.engine.inspect_image(&hand.keep).await {
            Ok(Some(image)) => image.id,
            Ok(None) => {
                let why = "the image was taken away before it was put to use".to_owned();
                return self.failed(asker, &hand.id, hand.inputs, why, true).await;
            }
            Err(error) => return Outcome::Refused { why: error.to_string() },
        };
        if let Some(same) = same_as_before(&record, &hand, &image_id) {
            return self.unchanged(asker, record, &hand, same).await;
        }
        match self.named(asker, &hand, &image_id, tell).await {
            Ok(digest) => self.succeed(asker, record, hand, image_id, digest, keep).await,
            Err(error) => self.not_pushed(asker, record, hand, &error).await,
        }
    }

    /// Names, and what the registry says of the first of them.
    async fn named(
        &self,
        asker: &Asker,
        hand: &InHand,
        image: &ImageId,
        tell: Tell<'_>,
    ) -> Result<Option<String>, EngineError> {
        for name in &hand.names {
            let (repository, tag) = split(name);
            self.engine.tag(image, repository, tag).await?;
        }
        if !hand.push {
            return Ok(None);
        }
        self.board.change(asker, |report| {
            if let Some(building) = &mut report.building {
                "push".clone_into(&mut building.stage);
            }
        });
        let mut digest = None;
        for name in &hand.names {
            tell(&format!("\nevenkeel: pushing {name}\n"));
            let pushed = self.maker.push(name, tell).await?;
            digest.get_or_insert(pushed);
        }
        Ok(digest)
    }

    async fn unchanged(
        &self,
        asker: &Asker,
        mut record: BuildRecord,
        hand: &InHand,
        image: String,
    ) -> Outcome {
        record.confirm(hand.inputs.clone());
        record.logs.insert(0, hand.id.clone());
        if let Err(error) = self.save(asker, record).await {
            return Outcome::Refused { why: error.to_string() };
        }
        if let Err(error) = self.engine.untag(&hand.keep).await {
            tracing::warn!(%error, "a name of an image that nobody needs is left");
        }
        let took = Duration::from_millis(hand.took_ms);
        self.ended(asker, "unchanged", took, self.clock.now().wall);
        self.try_after(asker, None);
        Outcome::Unchanged { id: hand.id.clone(), image }
    }

    async fn succeed(
        &self,
        asker: &Asker,
        mut record: BuildRecord,
        hand: InHand,
        image_id: ImageId,
        digest: Option<String>,
        keep: u32,
    ) -> Outcome {
        let first = hand.names.first().cloned().unwrap_or_else(|| hand.keep.clone());
        if hand.aside {
            record.hand = None;
            record.dropped.push(Dropped { name: hand.keep, image_id });
            return match self.save(asker, record).await {
                Ok(()) => {
                    self.sweep(asker).await;
                    Outcome::Built { id: hand.id, image: first }
                }
                Err(error) => Outcome::Refused { why: error.to_string() },
            };
        }
        // A name that moves from image to image would roll out before anybody says so; ours never moves.
        let image = match &digest {
            Some(digest) => format!("{first}@{digest}"),
            None if hand.dated => first,
            None => hand.keep.clone(),
        };
        let answer = Answer { image: image.clone(), tag: hand.tag.clone(), local: digest.is_none() };
        let names = std::iter::once(hand.keep.clone()).chain(hand.names.iter().cloned()).collect();
        let now = self.clock.now().wall;
        let took_ms = hand.took_ms;
        let id = hand.id.clone();
        let made = Made {
            id: hand.id,
            image: image.clone(),
            image_id,
            tag: hand.tag,
            names,
            inputs: hand.inputs,
            causes: hand.causes,
            commit: hand.commit,
            at: now,
            took_ms,
            digest,
        };
        record.succeed(made, keep);
        let told = async {
            let changed = vec![(asker.clone(), Some(answer))];
            let notes = vec![note(asker, &record)?];
            self.book.write(&*self.records, &self.inbox, changed, notes).await
        };
        if let Err(error) = told.await {
            // It is in hand still, and is taken up again.
            return Outcome::Refused { why: error.to_string() };
        }
        self.remember(asker, record);
        self.try_after(asker, None);
        self.ended(asker, "built", Duration::from_millis(took_ms), now);
        tracing::info!(build = name_of(asker), id, image, "an image is there");
        self.sweep(asker).await;
        Outcome::Built { id, image }
    }

    /// The image is whole, and kept: only the push is tried again.
    async fn not_pushed(
        &self,
        asker: &Asker,
        mut record: BuildRecord,
        hand: InHand,
        error: &EngineError,
    ) -> Outcome {
        let why = error.to_string();
        let now = self.clock.now();
        let failed = Failed {
            id: hand.id.clone(),
            at: now.wall,
            inputs: hand.inputs.clone(),
            why: why.clone(),
            transient: error.kind != Failure::Invalid,
            tries: 0,
        };
        record.fail(failed);
        let tries = record.failed.as_ref().map_or(1, |failed| failed.tries);
        let took = Duration::from_millis(hand.took_ms);
        let id = hand.id.clone();
        record.hand = Some(hand);
        self.try_after(asker, Some(now.mono.after(backoff_ms(tries))));
        self.ended(asker, "failed", took, now.wall);
        tracing::warn!(build = name_of(asker), id, why, "an image was built, and could not be put to use");
        if let Err(error) = self.save(asker, record).await {
            tracing::error!(%error, "a failed push is not remembered");
        }
        Outcome::Failed { id: Some(id), why }
    }

    /// What is current is noted where it names base images that nobody knew when it was built.
    pub(super) async fn note_current(&self, asker: &Asker, inputs: Inputs) {
        let mut record = self.record(asker);
        let Some(newest) = record.made.first_mut() else { return };
        if newest.inputs == inputs && record.failed.is_none() {
            return;
        }
        newest.inputs = inputs;
        record.failed = None;
        if let Err(error) = self.save(asker, record).await {
            tracing::warn!(%error, "what a build is made of is not remembered");
        }
    }

    /// Whether the newest good image is gone from the engine, and cannot be had back from its registry.
    pub(super) async fn is_lost(&self, asker: &Asker, record: &BuildRecord) -> bool {
        let Some(made) = record.newest() else { return false };
        let Some(keep) = made.names.first() else { return false };
        match self.engine.inspect_image(keep).await {
            Ok(Some(image)) if image.id == made.image_id => false,
            Err(_) => false,
            Ok(_) => {
                let (repository, tag) = split(keep);
                if self.engine.tag(&made.image_id, repository, tag).await.is_ok() {
                    return false;
                }
                let back = match &made.digest {
                    Some(_) => self.engine.pull(&made.image, None, &|_| {}).await.ok(),
                    None => None,
                };
                match back {
                    Some(image) => self.engine.tag(&image.id, repository, tag).await.is_err(),
                    None => {
                        tracing::warn!(
                            build = name_of(asker),
                            "its image was taken from the engine, and is built anew"
                        );
                        true
                    }
                }
            }
        }
    }

    /// Takes names away that went out of use. One that the files name, or that means another image by now, stays.
    pub(super) async fn sweep(&self, asker: &Asker) {
        let mut record = self.record(asker);
        let mut left = Vec::new();
        for dropped in std::mem::take(&mut record.dropped) {
            if self.board.is_named(&dropped.name) {
                left.push(dropped);
                continue;
            }
            let gone = match self.engine.inspect_image(&dropped.name).await {
                Ok(Some(image)) if image.id == dropped.image_id => self.engine.untag(&dropped.name).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = gone {
                tracing::debug!(%error, name = dropped.name, "a name of an old image stays for now");
                left.push(dropped);
            }
        }
        if left.len() == self.record(asker).dropped.len() {
            return;
        }
        record.dropped = left;
        if let Err(error) = self.save(asker, record).await {
            tracing::warn!(%error, "names that were taken away are not noted");
        }
    }
}

/// The reference that stands, where the image is the one before and nothing of its name is new.
fn same_as_before(record: &BuildRecord, hand: &InHand, image: &ImageId) -> Option<String> {
    let newest = record.newest()?;
    let same = newest.image_id == *image && (hand.dated || newest.tag == hand.tag) && !hand.aside;
    let pushed = !hand.push || newest.digest.is_some();
    (same && pushed).then(|| newest.image.clone())
}

fn split(name: &str) -> (&str, &str) {
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    match name.get(slash..).and_then(|last| last.find(':')) {
        Some(at) => (name.get(..slash + at).unwrap_or(name), name.get(slash + at + 1..).unwrap_or_default()),
        None => (name, "latest"),
    }
}
