//! A hook as a container of its own: once a revision, and kept when it failed.

use std::collections::BTreeMap;

use super::run::{HookEnd, HookKey};
use super::{Went, limit_ms, waits};
use crate::desired::hooks::Hook;
use crate::desired::spec::{ContainerSpec, Healthcheck, LiveSpec, RestartPolicy};
use crate::state::condition::{Condition, ConditionKind};
use crate::state::create;
use crate::state::decide::Pass;
use crate::state::gate;
use crate::state::observed::{ContainerStatus, ImageFacts, ObservedContainer, OwnLabels};
use crate::state::plan::{Creation, Failure, Step};
use crate::state::record::{HistoryEvent, KeptRevision};
use crate::state::target;

/// Tries of what the engine or the registry refuses for a reason that may pass.
const TRIES: u32 = 3;

impl<'a> Pass<'a> {
    pub(super) fn ephemeral(&mut self, key: &HookKey, hook: &Hook, kept: &KeptRevision) -> Went {
        if let Some(run) = self.run_of(key).filter(|run| run.end.is_some()) {
            return if run.failed() { Went::Failed(run.told()) } else { Went::Done };
        }
        let label = key.label();
        let of_it = |container: &&ObservedContainer| {
            container.labels.revision == kept.id && container.labels.hook.as_deref() == Some(&label)
        };
        let known = self.run_of(key).is_some();
        match self.inputs.observed.hooks.iter().find(of_it) {
            None => self.make(key, hook, kept),
            Some(container) => match container.status {
                ContainerStatus::Running | ContainerStatus::Restarting => {
                    self.begin(key);
                    self.watch_over(key, hook, container)
                }
                ContainerStatus::Paused => Went::Under(waits(key)),
                ContainerStatus::Exited if known || container.exit_code == 0 => {
                    self.begin(key);
                    self.take_end(key, container)
                }
                ContainerStatus::Created if known => self.set_going(key, container),
                // Of an earlier try, or of a record that was lost: nobody knows what for.
                ContainerStatus::Created | ContainerStatus::Exited => {
                    self.step(None, remove(container, false), "it is left over from an earlier try");
                    Went::Under(waits(key))
                }
                ContainerStatus::Dead => {
                    self.step(None, remove(container, true), "the engine left it half removed");
                    Went::Under(waits(key))
                }
                ContainerStatus::Removing => {
                    self.look_at(self.inputs.now.mono.after(1_000));
                    Went::Under(waits(key))
                }
            },
        }
    }

    fn make(&mut self, key: &HookKey, hook: &Hook, kept: &KeptRevision) -> Went {
        let observed = self.inputs.observed;
        let image = match &hook.image {
            None => create::image_of(observed, kept).cloned(),
            Some(reference) => observed.hook_images.get(reference).cloned().flatten(),
        };
        let Some(image) = image else { return self.fetch_for(key, hook, kept) };
        self.begin(key);
        if hook.image.is_none() {
            self.keep_image(kept);
        }
        let creation = self.hook_creation(key, hook, kept, image);
        self.step(None, Step::Create(Box::new(creation)), format!("{key} comes now"));
        Went::Under(waits(key))
    }

    fn fetch_for(&mut self, key: &HookKey, hook: &Hook, kept: &KeptRevision) -> Went {
        let image = hook.image.clone().or_else(|| kept.digest.clone());
        let image = image.unwrap_or_else(|| kept.spec.container.image.clone());
        let now = self.inputs.now.mono;
        if let Some(trouble) = self.memo.pull.clone() {
            let lasting = matches!(trouble.kind, Failure::NotFound | Failure::Unauthorized);
            if lasting && trouble.count >= TRIES {
                self.begin(key);
                self.end(key, HookEnd::Broken(format!("cannot pull {image}: {}", trouble.text)));
                return self.told_end(key);
            }
            let due = trouble.last.after(target::backoff_ms(trouble.count, 300_000));
            if now < due {
                self.look_at(due);
                let text = format!(
                    "{key} needs {image}, which cannot be pulled: {}; it is tried again",
                    trouble.text
                );
                return Went::Under(Condition::new(ConditionKind::Waiting, "HookImagePull", text));
            }
        }
        let platform = kept.spec.container.platform.clone().filter(|_| hook.image.is_none());
        self.step(None, Step::Pull { image, platform }, format!("{key} needs it"));
        Went::Under(waits(key))
    }

    fn set_going(&mut self, key: &HookKey, container: &'a ObservedContainer) -> Went {
        if let Some(refused) =
            self.memo.starts.get(&container.id).filter(|tried| !tried.text.is_empty()).cloned()
        {
            if refused.kind.is_permanent() || refused.count >= TRIES {
                self.end(key, HookEnd::Broken(refused.text));
                return self.told_end(key);
            }
            let due = refused.last.after(target::backoff_ms(refused.count, 60_000));
            if self.inputs.now.mono < due {
                self.look_at(due);
                return Went::Under(waits(key));
            }
        } else if self.record.unsettled.iter().any(|note| note.container == container.id) {
            // Whether it will still be started, nobody knows; once it is gone it cannot be. The engine does not remove one that runs.
            self.step(None, remove(container, false), "a call about it was never answered");
            return Went::Under(waits(key));
        }
        self.step(None, Step::Start { id: container.id.clone() }, format!("{key} comes now"));
        Went::Under(waits(key))
    }

    fn watch_over(&mut self, key: &HookKey, hook: &Hook, container: &'a ObservedContainer) -> Went {
        let now = self.inputs.now.mono;
        let until = self.memo.hooks.entry(key.clone()).or_insert(now).after(limit_ms(key.point, hook));
        if now < until {
            self.look_at(until);
            return Went::Under(waits(key));
        }
        self.end(key, HookEnd::TimedOut);
        let step = Step::SaveLogs { id: container.id.clone(), revision: key.revision.clone() };
        self.step(None, step, "it took too long");
        let step = Step::Stop { id: container.id.clone(), grace: container.stop_timeout };
        self.step(None, step, "it took too long");
        self.told_end(key)
    }

    fn take_end(&mut self, key: &HookKey, container: &'a ObservedContainer) -> Went {
        self.end(key, HookEnd::Code(container.exit_code));
        if container.exit_code == 0 {
            self.tidy(None, remove(container, false), "its hook is over");
        } else {
            let step = Step::SaveLogs { id: container.id.clone(), revision: key.revision.clone() };
            self.step(None, step, format!("{key} {}", gate::exit_text(container)));
        }
        self.told_end(key)
    }

    /// What history gets of an end.
    pub(super) fn told_end(&mut self, key: &HookKey) -> Went {
        let Some(run) = self.run_of(key).cloned() else { return Went::Done };
        let event = if run.failed() { HistoryEvent::HookFailed } else { HistoryEvent::HookRan };
        self.note(event, Some(key.revision.clone()), run.told());
        if run.failed() { Went::Failed(run.told()) } else { Went::Done }
    }

    /// The service's container with another command: no published ports, no labels and no names of the service, which stay with whoever
    /// serves.
    fn hook_creation(&self, key: &HookKey, hook: &Hook, kept: &KeptRevision, image: ImageFacts) -> Creation {
        let service = self.inputs.id;
        let mut environment = kept.spec.container.environment.clone();
        environment.extend(hook.exec.environment.clone());
        let base = &kept.spec.container;
        let spec = ContainerSpec {
            image: hook.image.clone().unwrap_or_else(|| base.image.clone()),
            platform: base.platform.clone().filter(|_| hook.image.is_none()),
            command: Some(hook.exec.command.clone()),
            entrypoint: Some(Vec::new()),
            environment,
            labels: BTreeMap::new(),
            user: hook.exec.user.clone().or_else(|| base.user.clone().filter(|_| hook.image.is_none())),
            working_dir: hook.exec.working_dir.clone().or_else(|| base.working_dir.clone()),
            privileged: base.privileged || hook.exec.privileged,
            healthcheck: Healthcheck::Disabled,
            ports: std::collections::BTreeSet::new(),
            expose: std::collections::BTreeSet::new(),
            lifecycle: crate::desired::hooks::Lifecycle::default(),
            ..base.clone()
        };
        let mut live =
            LiveSpec { restart: RestartPolicy::No, container_name: None, ..kept.spec.live.clone() };
        for endpoint in live.networks.values_mut() {
            endpoint.aliases.clear();
            endpoint.ipv4_address = None;
            endpoint.ipv6_address = None;
        }
        let labels = OwnLabels {
            owner: self.inputs.owner.to_owned(),
            service: service.clone(),
            // Labels count slots from one; what tells it from a container that serves is the hook.
            slot: 1,
            revision: kept.id.clone(),
            spec: kept.hash.clone(),
            image: image.id.clone(),
            image_ref: spec.image.clone(),
            image_digest: image.digests.first().cloned(),
            source: kept.spec.source.label(),
            hook: Some(key.label()),
            job: None,
        };
        let inherited = self.inherited_for_hook(kept, &image);
        Creation {
            name: format!("{}-{}-{}.{}", service.project, service.service, key.label(), kept.id.short()),
            network_ids: self.network_ids_of(&kept.spec),
            parent: self.parent_of(&kept.spec),
            tied: self.tied_to(&kept.spec),
            spec,
            live,
            labels,
            image,
            inherited,
        }
    }
}

fn remove(container: &ObservedContainer, dead: bool) -> Step {
    Step::Remove { id: container.id.clone(), dead }
}
