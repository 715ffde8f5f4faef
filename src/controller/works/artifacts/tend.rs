//! One artifact: what is due, and doing it.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::hooks::{HookFailure, Told};
use super::source::{Missing, Source, told};
use super::{ArtifactRow, ArtifactWorker, Condition, Tries, Verb, VersionRow};
use crate::artifacts::entry::Limits;
use crate::artifacts::place::{Place, Seen, Switched};
use crate::artifacts::unpack::{Look, unpack};
use crate::artifacts::{Fault, owner};
use crate::controller::host::Host;
use crate::controller::news::News;
use crate::controller::store::{Note, decoded};
use crate::desired::work::{ArtifactSpec, WorkId, Works};
use crate::engine::EngineError;

/// The kind of its notes.
const NOTE: &str = "artifact";
/// A command after a switch that was cut off by an end of evenkeel is begun once more, and then left.
const HOOK_TRIES: u32 = 2;
/// Pieces of an archive on their way between the engine and the disk.
const PIECES: usize = 64;

/// What is remembered beyond what can be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// An operator went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<Pin>,
    /// Not tried again while it is what is wanted, and defined as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Rejected>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    id: String,
    /// What was wanted then: another wish ends it.
    wanted: String,
    definition: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rejected {
    id: String,
    definition: String,
    why: String,
    /// Of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// What a look comes to: a condition, a sentence, and what a command printed.
struct Outcome(Condition, String, Option<String>);

impl Outcome {
    fn of(condition: Condition, text: impl Into<String>) -> Self {
        Self(condition, text.into(), None)
    }
}

pub(super) struct Tending<'a> {
    worker: &'a ArtifactWorker,
    host: &'a Host,
    id: &'a WorkId,
    spec: &'a Arc<ArtifactSpec>,
    place: Place,
}

impl<'a> Tending<'a> {
    pub(super) fn new(
        worker: &'a ArtifactWorker,
        host: &'a Host,
        id: &'a WorkId,
        spec: &'a Arc<ArtifactSpec>,
    ) -> Self {
        let place = Place::new(&spec.to, spec.swap, &host.owner, &id.to_string());
        Self { worker, host, id, spec, place }
    }

    /// Looks, and does what is due.
    pub(super) async fn look(&self) -> ArtifactRow {
        let (outcome, seen) = self.tend().await;
        self.row(outcome, seen)
    }

    pub(super) async fn only_look(&self) -> ArtifactRow {
        only_seen(self.id, self.spec, self.seen(false).await)
    }

    fn row(&self, outcome: Outcome, seen: Seen) -> ArtifactRow {
        row(self.id, self.spec, outcome, seen)
    }

    async fn seen(&self, prepare: bool) -> Result<Seen, Fault> {
        let place = self.place.clone();
        blocking(move || if prepare { place.prepare() } else { place.look() }).await
    }

    async fn tend(&self) -> (Outcome, Seen) {
        let mut seen = match self.seen(false).await {
            Ok(seen) => seen,
            Err(fault) => return (Outcome::of(Condition::Failed, fault.to_string()), Seen::default()),
        };
        if let Some(tries) =
            self.worker.tries(self.id).filter(|tries| self.host.clock.now().mono < tries.again)
        {
            return (Outcome::of(Condition::Failed, tries.text), seen);
        }
        let outcome = match self.bring(&mut seen).await {
            Ok(outcome) => {
                self.worker.set_tries(self.id, None);
                outcome
            }
            Err(text) => {
                let count = self.worker.tries(self.id).map_or(0, |tries| tries.count).saturating_add(1);
                let pause = 5_000_u64.saturating_mul(1 << count.min(6)).min(300_000);
                let again = self.host.clock.now().mono.after(pause);
                self.worker.set_tries(self.id, Some(Tries { count, again, text: text.clone() }));
                self.host.metrics.artifact_swapped(self.id, "failed");
                if count == 1 {
                    self.tell("artifact.failed", &text);
                }
                Outcome::of(Condition::Failed, text)
            }
        };
        (outcome, seen)
    }

    /// An error: it is tried again after a pause.
    async fn bring(&self, seen: &mut Seen) -> Result<Outcome, String> {
        if seen.journal.open.is_some() {
            *seen = self.seen(true).await.map_err(|fault| fault.to_string())?;
        }
        if let Some(outcome) = self.after(seen).await? {
            return Ok(outcome);
        }
        let mut memory = self.memory().await?;
        let source = match self.worker.source(self.host, self.id, &self.spec.from, true).await {
            Ok(source) => source,
            Err(Missing::Wait(why)) => return Ok(Outcome::of(Condition::Waiting, why)),
            Err(Missing::Failed(why)) => return Err(why),
        };
        let wanted = self.version_of(&source)?;
        let definition = self.spec.definition();
        if memory.pinned.as_ref().is_some_and(|pin| pin.wanted != wanted || pin.definition != definition) {
            memory.pinned = None;
            self.remember(&memory).await?;
        }
        if let Some(pin) = &memory.pinned {
            let text = format!(
                "went back to {}, and stays there until its source or its definition changes, or `evenkeel artifacts release {}`",
                pin.id, self.id
            );
            if seen.current.as_ref() != Some(&pin.id) || !seen.as_wanted {
                if !seen.whole.contains(&pin.id) {
                    let text =
                        format!("{} is not here any more: `evenkeel artifacts release {}`", pin.id, self.id);
                    return Ok(Outcome::of(Condition::Failed, text));
                }
                let image = seen
                    .journal
                    .versions
                    .get(&pin.id)
                    .map(|version| version.image.clone())
                    .unwrap_or_default();
                let pinned = pin.id.clone();
                self.switch(seen, &pinned, &image, false).await?;
                self.host.metrics.artifact_swapped(self.id, "rolled-back");
            }
            return Ok(Outcome::of(Condition::Held, text));
        }
        let rejected = memory.rejected.as_ref();
        if let Some(rejected) = rejected.filter(|old| old.id == wanted && old.definition == definition) {
            return Ok(self.rejected(rejected));
        }
        if seen.current.as_ref() == Some(&wanted) && seen.as_wanted {
            return Ok(Outcome::of(Condition::Ready, format!("{} is in place", source.name)));
        }
        self.put(seen, &source, &wanted).await
    }

    /// The same files with the same look are the same version.
    fn version_of(&self, source: &Source) -> Result<String, String> {
        let look = self.spec_look()?;
        let mut digest = Sha256::new();
        digest.update(&source.image.0);
        digest.update(format!("\n{}\n{look:?}", self.spec.path));
        Ok(hex::encode(digest.finalize()).get(..12).unwrap_or_default().to_owned())
    }

    fn spec_look(&self) -> Result<Look, String> {
        let owner = self.spec.owner.as_deref().map(owner::resolve).transpose()?;
        Ok(Look { owner, mode: self.spec.mode })
    }

    async fn put(&self, seen: &mut Seen, source: &Source, wanted: &str) -> Result<Outcome, String> {
        *seen = self.seen(true).await.map_err(|fault| fault.to_string())?;
        if !seen.whole.iter().any(|id| id == wanted) {
            match self.stage(source, wanted).await {
                Ok(()) => {}
                Err(Fault::Refused(why)) => return self.reject(wanted, why.into(), "refused").await,
                Err(fault @ Fault::Io { .. }) => return Err(fault.to_string()),
            }
        }
        self.switch(seen, wanted, &source.name, !self.spec.after_switch.is_empty()).await?;
        if let Some(outcome) = self.after(seen).await? {
            return Ok(outcome);
        }
        self.host.metrics.artifact_swapped(self.id, "switched");
        self.tell("artifact.switched", &format!("{} is in place", source.name));
        Ok(Outcome::of(Condition::Ready, format!("{} is in place", source.name)))
    }

    async fn reject(&self, id: &str, failure: HookFailure, result: &str) -> Result<Outcome, String> {
        let HookFailure { why, output } = failure;
        let rejected =
            Rejected { id: id.to_owned(), definition: self.spec.definition(), why: why.clone(), output };
        let outcome = self.rejected(&rejected);
        let mut memory = self.memory().await?;
        memory.rejected = Some(rejected);
        self.remember(&memory).await?;
        self.host.metrics.artifact_swapped(self.id, result);
        self.tell("artifact.failed", &why);
        Ok(outcome)
    }

    fn tell(&self, event: &'static str, reason: &str) {
        self.host.tell(News::of_work(event, self.id, reason, self.host.clock.now().wall));
    }

    fn rejected(&self, rejected: &Rejected) -> Outcome {
        let text = format!(
            "{}; not tried again until its source or its definition changes, or `evenkeel artifacts retry {}`",
            rejected.why, self.id
        );
        Outcome(Condition::Rejected, text, rejected.output.clone())
    }

    /// Copies the files out of the image, beside what is in place.
    async fn stage(&self, source: &Source, id: &str) -> Result<(), Fault> {
        let engine = &self.worker.engine;
        let away = |error: EngineError| Fault::Io {
            what: format!("copy out of {}", source.name),
            error: io::Error::other(error.to_string()),
        };
        let container = engine.hold(&source.image, &self.id.to_string()).await.map_err(away)?;
        let staged = self.stage_from(&container, source, id).await;
        if let Err(error) = engine.release(&container).await {
            tracing::warn!(container = container.short(), %error, "a container that files were copied out of stays for now");
        }
        staged
    }

    async fn stage_from(
        &self,
        container: &crate::state::observed::ContainerId,
        source: &Source,
        id: &str,
    ) -> Result<(), Fault> {
        let refused = |error: EngineError| match error.kind {
            crate::state::plan::Failure::NotFound => {
                Fault::Refused(format!("{} is not in {}", self.spec.path, source.name))
            }
            _ => Fault::Io {
                what: format!("copy out of {}", source.name),
                error: io::Error::other(error.to_string()),
            },
        };
        let mut stream = self.worker.engine.archive(container, &self.spec.path).await.map_err(refused)?;
        let look = self.spec_look().map_err(Fault::Refused)?;
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let (place, spec, id) = (self.place.clone(), Arc::clone(self.spec), id.to_owned());
        let writing = tokio::task::spawn_blocking(move || {
            let archive = Pieces { receiver, rest: Bytes::new() };
            place
                .stage(&id, |root| unpack(archive, root, &spec.path, &look, &spec.require, Limits::default()))
        });
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| io::Error::other(error.to_string()));
            let failed = piece.is_err();
            // Whoever writes has seen enough, or cannot go on: it says which.
            if sender.send(piece).await.is_err() || failed {
                break;
            }
        }
        drop(sender);
        writing.await.unwrap_or_else(|error| {
            Err(Fault::Io { what: "unpack".to_owned(), error: io::Error::other(error) })
        })
    }

    async fn switch(&self, seen: &mut Seen, id: &str, image: &str, hooks: bool) -> Result<(), String> {
        tracing::info!(artifact = %self.id, version = id, image, "switching");
        let (place, mut now_seen, at) = (self.place.clone(), seen.clone(), self.host.clock.now().wall);
        let (id, image) = (id.to_owned(), image.to_owned());
        let (result, after) = blocking(move || {
            let result = place.switch(&mut now_seen, &id, &image, hooks, at);
            Ok((result, now_seen))
        })
        .await
        .map_err(|fault| fault.to_string())?;
        *seen = after;
        match result {
            Ok(Switched::InOne) => Ok(()),
            Ok(Switched::InTwo) => {
                tracing::warn!(artifact = %self.id, to = self.spec.to, "this file system cannot exchange: for a moment nothing was in place; `swap = \"symlink\"` needs one rename everywhere");
                Ok(())
            }
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Commands that a switch is to be followed by, and what is too old. Something: the switch was taken back.
    async fn after(&self, seen: &mut Seen) -> Result<Option<Outcome>, String> {
        if let Some(open) = seen.journal.open.clone() {
            let told = Told { id: &open.id, before: open.before.as_deref() };
            let done = usize::try_from(open.done).unwrap_or(usize::MAX);
            for (number, hook) in self.spec.after_switch.iter().enumerate().skip(done) {
                let tries = self.note(seen, |place, seen| place.begin_hook(seen)).await?;
                if tries > HOOK_TRIES {
                    tracing::warn!(artifact = %self.id, command = hook.command.first(), "it was cut off twice, and is left");
                    self.note(seen, move |place, seen| place.end_hook(seen, number)).await?;
                    continue;
                }
                let ended = tokio::select! {
                    ended = self.worker.hook(self.host, self.id, self.spec, hook, &told) => ended,
                    // Most likely it is what restarts evenkeel: it must not be begun again by the next one.
                    () = self.host.stopped() => Ok(()),
                };
                match ended {
                    Ok(()) => {}
                    Err(failure) if hook.abort => {
                        return self.take_back(seen, &open.id, open.before.clone(), failure).await.map(Some);
                    }
                    Err(failure) => {
                        tracing::warn!(artifact = %self.id, "after_switch: {}; it goes on, as the files say", failure.why);
                    }
                }
                self.note(seen, move |place, seen| place.end_hook(seen, number)).await?;
                if self.host.stopping() {
                    return Ok(Some(Outcome::of(Condition::Progressing, "evenkeel is being stopped")));
                }
            }
            self.note(seen, |place, seen| place.close(seen)).await?;
        }
        let keep = usize::try_from(self.spec.keep).unwrap_or(usize::MAX);
        if seen.as_wanted {
            let dropped = self.note(seen, move |place, seen| place.drop_old(seen, keep)).await?;
            if dropped > 0 {
                self.host.metrics.pruned("artifact", dropped as u64);
            }
        }
        Ok(None)
    }

    async fn take_back(
        &self,
        seen: &mut Seen,
        id: &str,
        before: Option<String>,
        failure: HookFailure,
    ) -> Result<Outcome, String> {
        let here = before.filter(|before| seen.whole.contains(before));
        let Some(before) = here else {
            // There is nothing to go back to: what is in place stays, and it is said.
            self.note(seen, |place, seen| place.close(seen)).await?;
            let why = format!("{}; there is nothing to put back", failure.why);
            return self.reject(id, HookFailure { why, ..failure }, "hook-failed").await;
        };
        let image =
            seen.journal.versions.get(&before).map(|version| version.image.clone()).unwrap_or_default();
        // Remembered first: ended in between, the new one must not be put in place once more.
        let outcome = self.reject(id, failure, "put-back").await?;
        self.switch(seen, &before, &image, false).await?;
        // Nobody is to go back to it by mistake.
        let bad = id.to_owned();
        self.note(seen, move |place, seen| place.forget(seen, &bad)).await?;
        Ok(outcome)
    }

    async fn note<T: Send + 'static>(
        &self,
        seen: &mut Seen,
        act: impl FnOnce(&Place, &mut Seen) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, String> {
        let (place, mut next) = (self.place.clone(), seen.clone());
        let (result, next) = blocking(move || {
            let result = act(&place, &mut next)?;
            Ok((result, next))
        })
        .await
        .map_err(|fault| fault.to_string())?;
        *seen = next;
        Ok(result)
    }

    async fn memory(&self) -> Result<Memory, String> {
        let notes = self.host.records.notes(NOTE).await.map_err(|error| error.to_string())?;
        Ok(decoded::<Memory>(NOTE, notes).remove(&self.id.to_string()).unwrap_or_default())
    }

    async fn remember(&self, memory: &Memory) -> Result<(), String> {
        let note = Note::of(NOTE, self.id.to_string(), memory).map_err(|error| error.to_string())?;
        self.host
            .records
            .set_notes(vec![note])
            .await
            .map_err(|error| format!("it could not be written down: {error}"))
    }

    /// Whether a word makes sense now. For a rollback: the version it goes to.
    pub(super) async fn check(&self, verb: Verb, to: Option<&str>) -> Result<Option<String>, String> {
        if verb != Verb::Rollback {
            return Ok(None);
        }
        let seen = self.seen(false).await.map_err(|fault| fault.to_string())?;
        let there = || seen.whole.iter().filter(|id| Some(*id) != seen.current.as_ref());
        match to {
            Some(start) => {
                let mut found = there().filter(|id| id.starts_with(start));
                match (found.next(), found.next()) {
                    (Some(one), None) => Ok(Some(one.clone())),
                    (None, _) => Err(format!(
                        "no version of {} that is not in place begins with `{start}`: `evenkeel artifacts` lists them",
                        self.id
                    )),
                    (Some(_), Some(_)) => {
                        Err(format!("several versions begin with `{start}`: give more of it"))
                    }
                }
            }
            None => self
                .place
                .previous(&seen)
                .map(Some)
                .ok_or_else(|| format!("{} has no earlier version here", self.id)),
        }
    }

    /// Takes a word in; the next look carries it out.
    pub(super) async fn obey(&self, verb: Verb, to: Option<&str>) -> Result<(), String> {
        let target = self.check(verb, to).await?;
        let mut memory = self.memory().await?;
        match (verb, target) {
            (Verb::Rollback, Some(id)) => {
                let wanted = match self.worker.source(self.host, self.id, &self.spec.from, false).await {
                    Ok(source) => self.version_of(&source)?,
                    Err(Missing::Wait(why) | Missing::Failed(why)) => {
                        return Err(format!(
                            "what is wanted now is not known, so nobody could tell when this ends: {why}"
                        ));
                    }
                };
                memory.pinned = Some(Pin { id, wanted, definition: self.spec.definition() });
            }
            (Verb::Rollback, None) | (Verb::Release, _) => memory.pinned = None,
            (Verb::Retry, _) => memory = Memory::default(),
        }
        self.remember(&memory).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| {
        Err(Fault::Io { what: "work on files".to_owned(), error: io::Error::other(error) })
    })
}

/// What comes in pieces, read by a thread.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let size = self.rest.len().min(into.len());
        let piece = self.rest.split_to(size);
        if let Some(into) = into.get_mut(..size) {
            into.copy_from_slice(&piece);
        }
        Ok(size)
    }
}

fn row(
    id: &WorkId,
    spec: &ArtifactSpec,
    Outcome(condition, message, output): Outcome,
    seen: Seen,
) -> ArtifactRow {
    let current = seen.current.clone();
    let journal = &seen.journal;
    let since = journal.swaps.last().filter(|swap| Some(&swap.id) == current.as_ref()).map(|swap| swap.at);
    let mut order: Vec<&String> = Vec::new();
    for swap in journal.swaps.iter().rev() {
        if !order.contains(&&swap.id) {
            order.push(&swap.id);
        }
    }
    let versions = order.into_iter().filter_map(|id| {
        let version = journal.versions.get(id)?;
        let (image, since) = (version.image.clone(), version.since);
        Some(VersionRow { id: id.clone(), image, since, current: current.as_ref() == Some(id) })
    });
    ArtifactRow {
        artifact: id.to_string(),
        condition,
        message,
        output,
        from: told(&spec.from),
        to: spec.to.clone(),
        image: current.as_ref().and_then(|id| Some(journal.versions.get(id)?.image.clone())),
        versions: versions.collect(),
        current,
        since,
    }
}

fn only_seen(id: &WorkId, spec: &ArtifactSpec, seen: Result<Seen, Fault>) -> ArtifactRow {
    match seen {
        Ok(seen) => {
            let condition = if seen.as_wanted { Condition::Ready } else { Condition::Waiting };
            let text = if seen.as_wanted { "in place" } else { "nothing is in place" };
            row(id, spec, Outcome::of(condition, text), seen)
        }
        Err(fault) => row(id, spec, Outcome::of(Condition::Failed, fault.to_string()), Seen::default()),
    }
}

/// What is in place, as the files beside it tell; nothing else is asked, and nothing changed.
#[must_use]
pub fn seen_rows(works: &Works, owner: &str) -> Vec<ArtifactRow> {
    let wanted = works.artifacts.iter().filter_map(|(id, work)| Some((id, work.wanted()?)));
    let seen =
        |spec: &ArtifactSpec, id: &WorkId| Place::new(&spec.to, spec.swap, owner, &id.to_string()).look();
    wanted.map(|(id, spec)| only_seen(id, spec, seen(spec, id))).collect()
}
