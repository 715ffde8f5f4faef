//! What a run waits for before it begins: its turn, an image, networks, the services it depends on.

use super::decide::{JobStep, Pass, Seen};
use super::record::Ending;
use super::run::{Result, Run, RunCause, RunId, Stage, StopCause};
use crate::desired::hash::SpecHash;
use crate::desired::ident::ServiceId;
use crate::desired::spec::{LiveSpec, NetworkMode, PullPolicy, RestartPolicy, ServiceSpec};
use crate::desired::work::{JobSpec, Overlap, Runs};
use crate::state::live;
use crate::state::observed::{ContainerStatus, ImageFacts, OwnLabels};
use crate::state::plan::{Creation, Failure};
use crate::state::record::RevisionId;
use crate::state::target::backoff_ms;
use crate::state::time::Timestamp;
use crate::state::wait;

/// How often it is looked whether what a run waits for is there. Milliseconds.
const LOOK_MS: u64 = 1_000;
/// The same of what others tell of when it changes.
const TOLD_MS: u64 = 10_000;
/// Tries of a pull that fails for a reason that does not pass by itself, and of one that may.
const TRIES: (u32, u32) = (3, 6);

impl Pass<'_> {
    pub(super) fn begin(&mut self, id: &RunId, run: &Run, seen: &Seen) {
        let now = self.inputs.now.wall;
        let Some(job) = self.job().cloned() else { return };
        if self.too_late(id, run, &job) || run.due > now {
            return;
        }
        if let Some(place) = self.inputs.paused {
            return self.wait(id, format!("nothing is changed here: {place} says paused"), TOLD_MS);
        }
        if !self.has_turn(id, run, &job) {
            return;
        }
        match &job.runs {
            Runs::Exec(exec) => {
                let serves = seen.within.as_ref().filter(|within| within.status == ContainerStatus::Running);
                let Some(within) = serves else {
                    return self.wait(id, format!("waits for services.{} to run", exec.service), LOOK_MS);
                };
                let exec = crate::desired::probe::Exec {
                    command: exec.command.clone(),
                    user: exec.user.clone(),
                    working_dir: exec.working_dir.clone(),
                    environment: exec.environment.clone(),
                    privileged: exec.privileged,
                };
                let image = within.labels.image_ref.clone();
                self.edit(id, |run| {
                    run.stage = Stage::Intended;
                    run.image = Some(image);
                });
                self.step(id, JobStep::MakeExec { id: within.id.clone(), exec: Box::new(exec) });
            }
            Runs::Container { .. } => self.make(id, run, &job, seen),
        }
    }

    /// A scheduled run that could not begin in time is a missed one.
    fn too_late(&mut self, id: &RunId, run: &Run, job: &JobSpec) -> bool {
        let (RunCause::Schedule { at }, Some(within), 1) = (&run.cause, job.start_within_ms, run.attempt)
        else {
            return false;
        };
        let limit = at.0.saturating_add_unsigned(within).max(run.due.0.saturating_add(1_000));
        if self.inputs.now.wall.0 <= limit {
            self.look_at_wall(limit.saturating_add(1));
            return false;
        }
        self.record.missed += 1;
        self.record.last_missed = Some(*at);
        self.record.runs.remove(id);
        true
    }

    /// `overlap`.
    fn has_turn(&mut self, id: &RunId, run: &Run, job: &JobSpec) -> bool {
        let first = |other: &Run, name: &RunId| {
            other.has_begun() || (other.due <= self.inputs.now.wall && (other.due, name) < (run.due, id))
        };
        let others: Vec<(RunId, bool)> = self
            .record
            .open()
            .filter(|(name, other)| *name != id && first(other, name))
            .map(|(name, other)| (name.clone(), other.has_begun()))
            .collect();
        let Some((before, _)) = others.first().filter(|_| job.overlap != Overlap::Allow) else { return true };
        // A try of a run that goes on is that run.
        let goes_on = run.attempt > 1;
        let patient = goes_on || !matches!(run.cause, RunCause::Schedule { .. } | RunCause::After(_));
        match job.overlap {
            Overlap::Skip if !patient => {
                self.record.skipped += 1;
                self.record.runs.remove(id);
            }
            Overlap::Replace if !goes_on => {
                for (other, _) in &others {
                    self.replaced(other);
                }
                self.wait(id, format!("waits for run {before}, which it replaces, to end"), LOOK_MS);
            }
            _ => self.wait(id, format!("waits for run {before} to end"), LOOK_MS),
        }
        false
    }

    /// Another one comes in its place.
    fn replaced(&mut self, other: &RunId) {
        let Some(run) = self.record.runs.get(other).cloned() else { return };
        let text = "the next run came in its place".to_owned();
        match run.stage {
            Stage::Waiting if run.attempt == 1 => {
                self.record.skipped += 1;
                self.record.runs.remove(other);
            }
            // A command cannot be ended through the engine: it goes on, and nobody waits for it.
            _ if run.exec.is_some() || run.stage == Stage::Waiting => {
                let ending = Ending { text, ..Ending::default() };
                self.record.finish(other, Result::Replaced, ending, None, self.inputs.now);
            }
            // It is being stopped already.
            _ if run.stop.is_some() => return,
            _ => self.edit(other, |run| run.stop = Some(StopCause::Replaced)),
        }
        self.look_in(0);
    }

    /// The container of a run that is its turn, or that was about to be made.
    pub(super) fn make(&mut self, id: &RunId, run: &Run, job: &JobSpec, seen: &Seen) {
        let Some(spec) = self.inputs.spec else {
            return self.wait(id, "waits for its image, which is not chosen or made yet".to_owned(), TOLD_MS);
        };
        if let Some(text) = seen.around.foreign.values().next() {
            return self.wait(id, text.clone(), LOOK_MS);
        }
        if let Some(text) = wait::missing(spec, &seen.around) {
            return self.wait(id, format!("waits for {text}"), LOOK_MS);
        }
        let Some(image) = self.image(id, run, spec, seen) else { return };
        if let Some(trouble) = self.memo.troubles.get(id) {
            let due = trouble.last.after(backoff_ms(trouble.count, 60_000));
            if self.inputs.now.mono < due {
                let text = format!("could not be made, and is tried again: {}", trouble.text);
                self.memo.waits.insert(id.clone(), text);
                return self.look_at(due);
            }
        }
        let reference = spec.container.image.clone();
        self.memo.waits.remove(id);
        self.edit(id, |run| {
            run.stage = Stage::Intended;
            run.image = Some(reference);
        });
        let creation = self.creation(id, job, spec, image, seen);
        self.step(id, JobStep::Create(Box::new(creation)));
    }

    /// The image as it is now. A registry that cannot be asked loses no run while there is an image to run.
    fn image(&mut self, id: &RunId, run: &Run, spec: &ServiceSpec, seen: &Seen) -> Option<ImageFacts> {
        let here = seen.around.image.clone();
        let platform = spec.container.platform.clone();
        let now = self.inputs.now;
        let stale = |period_s: u64| {
            let old = |at: Timestamp| {
                now.wall.0.saturating_sub(at.0)
                    >= i64::try_from(period_s).unwrap_or(i64::MAX).saturating_mul(1000)
            };
            self.record.pulled.is_none_or(old)
        };
        let wants = match spec.policy.pull {
            PullPolicy::Missing | PullPolicy::Never => false,
            PullPolicy::Always => true,
            PullPolicy::Every(period) => stale(period),
        };
        // Once a run, and not of one whose container may be there already.
        let wants = wants && run.stage == Stage::Waiting && !self.memo.pulled.contains(id);
        let reference = match &here {
            Some(image) if !wants => {
                let mounts = seen.around.mounted_images.iter();
                match mounts.into_iter().find(|(_, there)| !**there) {
                    None => return Some(image.clone()),
                    Some((missing, _)) => missing.clone(),
                }
            }
            _ => spec.container.image.clone(),
        };
        if here.is_none() && spec.policy.pull == PullPolicy::Never {
            self.wait(
                id,
                format!("waits for image {reference}, which is not on this host and is never pulled"),
                LOOK_MS,
            );
            return None;
        }
        let trouble = self.memo.pulls.get(id).cloned();
        let failed = trouble.as_ref().map(|trouble| trouble.text.as_str());
        if let Some(why) = self.inputs.pressure.or(failed) {
            if here.is_some() && reference == spec.container.image {
                let remark = format!("ran in the image that was here, because it could not be pulled: {why}");
                self.edit(id, |run| run.remark = Some(remark));
                self.memo.pulled.insert(id.clone());
                self.memo.pulls.remove(id);
                return here;
            }
            if self.inputs.pressure.is_some() {
                self.wait(id, format!("waits for image {reference}: {why}"), TOLD_MS);
                return None;
            }
        }
        if let Some(trouble) = trouble {
            let lasting =
                matches!(trouble.kind, Failure::NotFound | Failure::Unauthorized | Failure::Invalid);
            if trouble.count >= if lasting { TRIES.0 } else { TRIES.1 } {
                let text = format!("image {reference} cannot be pulled: {}", trouble.text);
                let ending = Ending { text, ..Ending::default() };
                let job = self.job().cloned();
                self.record.finish(id, Result::Broken, ending, job.as_ref(), now);
                self.look_in(0);
                return None;
            }
            let due = trouble.last.after(backoff_ms(trouble.count, 300_000));
            if now.mono < due {
                let text =
                    format!("waits for image {reference}, which cannot be pulled yet: {}", trouble.text);
                self.memo.waits.insert(id.clone(), text);
                self.look_at(due);
                return None;
            }
        }
        self.memo.waits.insert(id.clone(), format!("pulls {reference}"));
        self.step(id, JobStep::Pull { image: reference, platform });
        None
    }

    fn creation(
        &self,
        id: &RunId,
        job: &JobSpec,
        spec: &ServiceSpec,
        image: ImageFacts,
        seen: &Seen,
    ) -> Creation {
        let own = ServiceId { project: self.inputs.id.project.clone(), service: self.inputs.id.name.clone() };
        let hash = SpecHash::of(&spec.container);
        let labels = OwnLabels {
            owner: self.inputs.owner.to_owned(),
            revision: RevisionId::of(&hash, &image.id),
            spec: hash,
            image: image.id.clone(),
            image_ref: spec.container.image.clone(),
            image_digest: image.digests.first().cloned(),
            source: job.source.label(),
            // Labels count slots from one.
            slot: 1,
            hook: None,
            job: Some(id.clone()),
            service: own.clone(),
        };
        let around = &seen.around;
        let names = spec.live.networks.keys();
        let network_ids = names
            .filter_map(|name| Some((name.clone(), live::network_id(around, name, self.inputs.owner)?)))
            .collect();
        let parent = match spec.container.network_mode {
            NetworkMode::Service(_) => around.parent.as_ref().map(|parent| parent.id.clone()),
            _ => None,
        };
        let tied = spec.container.extra.ties();
        let tied = tied.filter_map(|(name, _)| Some((name.clone(), around.tied.get(name)?.id.clone())));
        Creation {
            name: container_name(&own, id),
            spec: spec.container.clone(),
            live: LiveSpec { restart: RestartPolicy::No, container_name: None, ..spec.live.clone() },
            labels,
            network_ids,
            parent,
            tied: tied.collect(),
            inherited: std::collections::BTreeMap::new(),
            image,
        }
    }
}

/// `<project>-<job>-<utc>`.
#[must_use]
pub fn container_name(job: &ServiceId, run: &RunId) -> String {
    format!("{}-{}-{run}", job.project, job.service)
}
