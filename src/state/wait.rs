//! What must be there before a container is made or started: dependencies, networks, volumes, the owner of a shared network.

use super::condition::{Condition, ConditionKind};
use super::decide::Pass;
use super::observed::{DependencyProgress, DependencyState, ObservedService};
use super::roll::Roll;
use crate::desired::ident::ServiceName;
use crate::desired::spec::{Dependency, DependencyCondition, MountSource, NetworkMode, ServiceSpec};

/// Is the condition met?
#[must_use]
pub fn met(dependency: &Dependency, state: &DependencyState) -> bool {
    use DependencyProgress::{Completed, Healthy, Running, RunningWithoutCheck};
    match dependency.condition {
        DependencyCondition::ServiceStarted => {
            matches!(state.progress, Running | Healthy | RunningWithoutCheck | Completed)
        }
        DependencyCondition::ServiceHealthy => state.progress == Healthy,
        DependencyCondition::ServiceCompletedSuccessfully => state.progress == Completed,
    }
}

/// Why a dependency holds its dependents back; `None`: it does not.
fn obstacle(name: &ServiceName, dependency: &Dependency, state: Option<&DependencyState>) -> Option<String> {
    let Some(state) = state.filter(|state| state.desired) else {
        return dependency.required.then(|| format!("{name}, which is not wanted on this host"));
    };
    if met(dependency, state) {
        return None;
    }
    let (failed, why) = match (dependency.condition, state.progress) {
        (_, DependencyProgress::Failed) => (true, format!("{name}, which failed")),
        (DependencyCondition::ServiceHealthy, DependencyProgress::RunningWithoutCheck) => (
            false,
            format!(
                "{name} to be healthy, which it can never be: neither it nor its image has a healthcheck; use \"service_started\""
            ),
        ),
        (DependencyCondition::ServiceHealthy, _) => (false, format!("{name} to be healthy")),
        (DependencyCondition::ServiceStarted, _) => (false, format!("{name} to start")),
        (DependencyCondition::ServiceCompletedSuccessfully, _) => (false, format!("{name} to complete")),
    };
    // `required = false`: a failed one is no obstacle, one on its way is (Compose only warns when it is not there at all).
    (dependency.required || !failed).then_some(why)
}

impl Pass<'_> {
    /// The first thing that is not there yet; remembers since when, because every wait has a deadline (I7).
    pub(super) fn waiting_for(&mut self, spec: &ServiceSpec) -> Option<Condition> {
        if let Some(text) = self.inputs.observed.foreign.values().next() {
            return Some(Condition::new(ConditionKind::Failed, "NameConflict", text.clone()));
        }
        let found = self.missing_object(spec).or_else(|| self.unmet_dependency(spec));
        let Some((reason, text)) = found else {
            self.memo.waiting_since = None;
            return None;
        };
        let now = self.inputs.now.mono;
        let deadline = self.memo.waiting_since.get_or_insert(now).after(self.inputs.limits.dependency_ms);
        if now < deadline {
            self.look_at(deadline);
            return Some(Condition::new(ConditionKind::Waiting, reason, format!("waits for {text}")));
        }
        // Past the deadline it goes on waiting, since whatever it waits for triggers it; but nobody should wait for it.
        let limit = super::gate::seconds(self.inputs.limits.dependency_ms);
        Some(Condition::new(
            ConditionKind::Failed,
            "DependencyTimeout",
            format!("has waited for more than {limit} for {text}; starts when that is there"),
        ))
    }

    fn missing_object(&self, spec: &ServiceSpec) -> Option<(&'static str, String)> {
        missing_object(spec, self.inputs.observed)
    }

    fn unmet_dependency(&self, spec: &ServiceSpec) -> Option<(&'static str, String)> {
        unmet_dependency(spec, self.inputs.observed)
    }

    fn tie_is_down(&self, spec: &ServiceSpec) -> Option<String> {
        tie_is_down(spec, self.inputs.observed)
    }

    /// A container cannot be started into a namespace of one that does not run.
    pub(super) fn parent_is_down(&self, roll: &Roll<'_>) -> Option<Condition> {
        if let Some(text) = self.tie_is_down(roll.spec()) {
            let text = format!("waits for {text}");
            return Some(Condition::new(ConditionKind::Waiting, "DependencyNotReady", text));
        }
        let NetworkMode::Service(parent) = &roll.spec().container.network_mode else { return None };
        let down = self.inputs.observed.parent.as_ref().is_none_or(|owner| !owner.running);
        down.then(|| {
            Condition::new(
                ConditionKind::Waiting,
                "DependencyNotReady",
                format!("waits for {parent}, whose network it shares, to run"),
            )
        })
    }
}

/// The first thing that a container of this spec waits for, in words that fit behind "waits for".
pub(super) fn missing(spec: &ServiceSpec, observed: &ObservedService) -> Option<String> {
    missing_object(spec, observed).or_else(|| unmet_dependency(spec, observed)).map(|(_, text)| text)
}

fn missing_object(spec: &ServiceSpec, observed: &ObservedService) -> Option<(&'static str, String)> {
    let networks = spec.live.networks.keys().filter(|_| spec.container.network_mode == NetworkMode::Networks);
    if let Some(name) =
        networks.into_iter().find(|name| observed.networks.get(*name).is_none_or(Vec::is_empty))
    {
        return Some(("NetworkMissing", format!("network {name}")));
    }
    let volumes = spec.container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some(name),
        _ => None,
    });
    let mut missing = volumes.filter(|name| observed.volumes.get(*name).is_none_or(Option::is_none));
    missing.next().map(|name| ("VolumeMissing", format!("volume {name}")))
}

fn unmet_dependency(spec: &ServiceSpec, observed: &ObservedService) -> Option<(&'static str, String)> {
    if let NetworkMode::Service(parent) = &spec.container.network_mode
        && observed.parent.as_ref().is_none_or(|owner| !owner.running)
    {
        return Some(("DependencyNotReady", format!("{parent}, whose network it shares, to run")));
    }
    if let Some(text) = tie_is_down(spec, observed) {
        return Some(("DependencyNotReady", text));
    }
    let dependencies = &observed.dependencies;
    let mut obstacles = spec
        .policy
        .depends_on
        .iter()
        .filter_map(|(name, dependency)| obstacle(name, dependency, dependencies.get(name)));
    obstacles.next().map(|text| ("DependencyNotReady", text))
}

/// Of the containers that its request names: the first that is not there, or does not run and must.
fn tie_is_down(spec: &ServiceSpec, observed: &ObservedService) -> Option<String> {
    let tied = &observed.tied;
    let mut down = spec
        .container
        .extra
        .ties()
        .filter(|(name, tie)| tied.get(*name).is_none_or(|other| tie.needs_running() && !other.running));
    down.next().map(|(name, tie)| format!("{name}, {}, to run", tie.words()))
}
