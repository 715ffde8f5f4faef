//! What must hold (RELIABILITY.md section 3), said of a world, of a decision, of a step that is about to be sent, and of a rest.

use evenkeel::desired::Wanted;
use evenkeel::desired::spec::{RestartPolicy, ServiceSpec};
use evenkeel::engine::sim::Container;
use evenkeel::state::condition::{Condition, ConditionKind};
use evenkeel::state::decide::Decision;
use evenkeel::state::observed::{ContainerId, ContainerStatus, Health, ObservedService};
use evenkeel::state::plan::Step;
use evenkeel::state::record::{Record, RevisionId, RevisionVerdict};
use evenkeel::state::{gate, order};

use super::world::{Scenario, World, is_foreign};

type Held = Result<(), String>;

fn held(so: bool, otherwise: impl FnOnce() -> String) -> Held {
    if so { Ok(()) } else { Err(otherwise()) }
}

/// Of every world, also between two steps of one plan.
pub fn state(scenario: &Scenario, world: &World) -> Held {
    for theirs in scenario.first.host.containers.values().filter(|container| is_foreign(container)) {
        let now = world.host.containers.get(&theirs.id);
        let same = now.is_some_and(|now| {
            now.name == theirs.name && now.restart == theirs.restart && now.status == theirs.status
        });
        held(same, || format!("{} was touched (S1)", theirs.name))?;
    }
    for (service, id) in scenario.services.iter().enumerate() {
        let record = &world.memories[service].record;
        if let Some(good) = &record.good {
            let kept = record.revisions.iter().find(|kept| kept.id == *good);
            let image = kept.is_some_and(|kept| world.host.images.contains_key(&kept.image));
            held(image, || format!("{id}: the good revision or its image is gone (S4)"))?;
        }
        if !scenario.exclusive {
            continue;
        }
        let containers: Vec<&Container> = world.of(id).collect();
        for one in &containers {
            let beside = || containers.iter().filter(|other| other.id != one.id && slot(other) == slot(one));
            let up = one.status.is_up() && beside().any(|other| other.status.is_up());
            held(!up, || format!("{id}: two copies of slot {} run at the same time (S2)", slot(one)))?;
            let armed = |container: &Container| container.restart != RestartPolicy::No;
            let both = armed(one) && beside().any(|other| armed(other));
            held(!both, || format!("{id}: two containers of slot {} have a restart policy (S9)", slot(one)))?;
        }
    }
    Ok(())
}

fn slot(container: &Container) -> u32 {
    container.own.as_ref().map_or(0, |own| own.slot)
}

fn revision(container: &Container) -> Option<&RevisionId> {
    container.own.as_ref().map(|own| &own.revision)
}

/// By the engine's own clock, which no window of evenkeel's can talk into anything.
fn proved(scenario: &Scenario, world: &World, container: &Container, policy: RestartPolicy) -> bool {
    let age = world.host.now.saturating_sub(container.run_since);
    match container.status {
        ContainerStatus::Running if container.check.is_some() => container.health == Health::Healthy,
        ContainerStatus::Running => age >= scenario.monitor_ms,
        ContainerStatus::Exited => container.exit_code == 0 && !gate::restarts_after(policy, 0),
        _ => false,
    }
}

fn spec<'s>(scenario: &'s Scenario, world: &World, service: usize) -> Option<&'s ServiceSpec> {
    match world.wish(scenario, service) {
        Wanted::Run(revision) => Some(&revision.spec),
        Wanted::Frozen(_) => None,
    }
}

fn is_rejected(verdict: &RevisionVerdict) -> bool {
    matches!(verdict, RevisionVerdict::Rejected { .. })
}

fn verdict<'r>(record: &'r Record, id: &RevisionId) -> Option<&'r RevisionVerdict> {
    record.revisions.iter().find(|kept| kept.id == *id).map(|kept| &kept.verdict)
}

/// Of every decision, before anything of it is done.
pub fn decided(scenario: &Scenario, world: &World, service: usize, decision: &Decision) -> Held {
    let (before, after) = (&world.memories[service].record, &decision.record);
    let id = &scenario.services[service];
    if let Some(good) = after.good.as_ref().filter(|good| before.good.as_ref() != Some(good))
        && verdict(before, good) != Some(&RevisionVerdict::Good)
    {
        let kept = before.revisions.iter().find(|kept| kept.id == *good);
        let policy = kept.map_or(RestartPolicy::No, |kept| kept.spec.live.restart);
        let replicas = kept.map_or(1, |kept| kept.spec.policy.replicas);
        for wanted in 1..=replicas {
            let passed = world.of(id).any(|container| {
                slot(container) == wanted
                    && revision(container) == Some(good)
                    && proved(scenario, world, container, policy)
            });
            held(passed, || {
                format!("{id}: {good} was committed and slot {wanted} has not proved itself (S5)")
            })?;
        }
    }
    let same_wish = before.wish == after.wish;
    for (name, chosen, was) in
        [("intent", &after.intent, &before.intent), ("good", &after.good, &before.good)]
    {
        if let Some(chosen) = chosen.as_ref().filter(|chosen| was.as_ref() != Some(chosen)) {
            let rejected = matches!(verdict(before, chosen), Some(RevisionVerdict::Rejected { .. }));
            held(!rejected || !same_wish, || format!("{id}: {chosen} failed and is the {name} again (L4)"))?;
        }
    }
    Ok(())
}

/// Of every decision as long as no application has died by itself: what evenkeel, the engine and people did is no fault of a revision
/// whose software is sound.
pub fn blamed(scenario: &Scenario, world: &World, service: usize, decision: &Decision) -> Held {
    let before = &world.memories[service].record;
    for kept in &decision.record.revisions {
        let RevisionVerdict::Rejected { reason, .. } = &kept.verdict else { continue };
        let anew = !matches!(verdict(before, &kept.id), Some(RevisionVerdict::Rejected { .. }));
        held(!anew || !world.is_sound(kept), || {
            format!("{}: {} is sound and was rejected: {reason} (S5)", scenario.services[service], kept.id)
        })?;
    }
    Ok(())
}

/// Of every step, against the host as it is when the request is sent.
pub fn sent(
    scenario: &Scenario,
    world: &World,
    service: usize,
    observed: &ObservedService,
    step: &Step,
) -> Held {
    let Some(target) = container_of(step) else { return Ok(()) };
    // What is gone already is refused by the look before the act.
    let Some(container) = world.host.containers.get(target).map(|one| &**one) else { return Ok(()) };
    let id = &scenario.services[service];
    let record = &world.memories[service].record;
    let ours = container.own.as_ref().is_some_and(|own| own.service == *id) && !is_foreign(container);
    held(ours, || format!("{step:?} is sent to {}, which is not of {id} (S1)", container.name))?;
    let good = record.good.as_ref();
    let is_good = revision(container) == good;
    let beside: Vec<&Container> =
        world.of(id).filter(|other| other.id != container.id && slot(other) == slot(container)).collect();
    let policy = spec(scenario, world, service).map_or(RestartPolicy::No, |spec| spec.live.restart);
    let passed = |other: &&&Container| proved(scenario, world, other, policy);
    match step {
        Step::Start { .. } => {
            // One that was promoted before its commit may be started once more after an engine's death.
            let probation = container.started_at.is_some() || container.restart == RestartPolicy::No;
            held(probation, || format!("{} has a restart policy before its gate (S9)", container.name))?;
            if scenario.exclusive {
                may_take_over(world, record, container, &beside)?;
            }
            // RELIABILITY.md 5.3 C3, fact 12: what failed is removed before anything else of its slot is started. One that a late create
            // has made since the look was never started.
            let seen = |other: &&Container| observed.containers.iter().any(|seen| seen.id == other.id);
            let failed = |other: &&Container| {
                revision(other).and_then(|id| verdict(record, id)).is_some_and(is_rejected)
            };
            held(!beside.iter().any(|other| seen(other) && failed(other)), || {
                format!("{} is started beside one that failed, without a fence (S8)", container.name)
            })?;
        }
        // What moved between the look and the act is looked at again before anything is started.
        Step::SetRestart { .. } if !is_as_seen(observed, container) => {}
        Step::SetRestart { policy: RestartPolicy::No, .. } => {
            let down = !container.status.is_up() || policy == RestartPolicy::No;
            held(down, || format!("{} loses its restart policy while it serves (S9)", container.name))?;
        }
        Step::SetRestart { .. } => {
            let may = is_good || passed(&&container);
            held(may, || format!("{} gets its restart policy before it proved itself (S9)", container.name))?;
        }
        Step::Stop { .. } if container.status.is_up() => {
            let intent = record.intent.as_ref().filter(|intent| Some(*intent) != good);
            let serves = is_good && intent.is_some();
            let made = observed
                .containers
                .iter()
                .any(|other| other.labels.slot == slot(container) && Some(&other.labels.revision) == intent);
            held(!serves || made, || format!("{} is stopped without a successor (S6)", container.name))?;
            held(!serves || in_its_turn(scenario, world, service, observed, slot(container)), || {
                format!("{} is stopped while another slot is down (5.6)", container.name)
            })?;
            let start_first =
                spec(scenario, world, service).is_some_and(|spec| order::order(spec).start_first);
            let passed = beside.iter().any(|other| revision(other) == intent && passed(&other));
            held(!serves || !start_first || passed, || {
                format!("{} is stopped before its successor proved itself (I10)", container.name)
            })?;
        }
        Step::Remove { dead, .. } => {
            // Not forced, the engine refuses it should it run by now.
            let up = container.status.is_up() && (*dead || is_as_seen(observed, container));
            held(!up, || format!("{} is removed while it runs (S1)", container.name))?;
            let under_way = record.intent.is_some() && record.intent.as_ref() != good;
            let spare = beside.iter().any(|other| revision(other) == good);
            let fenced = record.unsettled.iter().any(|note| note.container == container.id);
            let useless = container.status == ContainerStatus::Dead || container.started_at.is_none();
            let may = !(is_good && under_way) || spare || fenced || useless;
            held(may, || format!("{} is removed before its successor proved itself (S4)", container.name))?;
        }
        _ => {}
    }
    Ok(())
}

/// RELIABILITY.md 5.6: a roll-out takes no more slots down at a time than it may. One that was seen down counts whatever the reason, and so
/// does one that the same plan has stopped already.
fn in_its_turn(
    scenario: &Scenario,
    world: &World,
    service: usize,
    observed: &ObservedService,
    turn: u32,
) -> bool {
    let Some(policy) = spec(scenario, world, service).map(|spec| &spec.policy) else { return true };
    let (id, stopped) = (&scenario.services[service], &world.memories[service].record.stopped);
    let seen_up =
        |number| observed.containers.iter().any(|one| one.labels.slot == number && one.status.is_up());
    let of_slot = |number| world.of(id).filter(move |one| slot(one) == number);
    let taken_down = |number| {
        of_slot(number).any(|one| stopped.contains(&one.id)) && !of_slot(number).any(|one| one.status.is_up())
    };
    let down = |number: &u32| *number != turn && (!seen_up(*number) || taken_down(*number));
    let down = (1..=policy.replicas).filter(down).count();
    down < policy.update.parallelism as usize
}

fn is_as_seen(observed: &ObservedService, container: &Container) -> bool {
    let seen = observed.containers.iter().find(|seen| seen.id == container.id);
    seen.is_some_and(|seen| seen.status == container.status && seen.started_at == container.started_at)
}

/// Nothing else may hold, or come to hold, what a container is about to take.
fn may_take_over(world: &World, record: &Record, container: &Container, beside: &[&Container]) -> Held {
    for other in beside {
        let open = record
            .unsettled
            .iter()
            .any(|note| note.container == other.id && note.session == world.host.session);
        held(!open, || {
            format!("{} is started while a call about {} is unsettled (S8)", container.name, other.name)
        })?;
        let revivable = other.restart != RestartPolicy::No && other.status == ContainerStatus::Exited;
        held(!revivable, || {
            format!("{} is started while the engine may revive {} (S9)", container.name, other.name)
        })?;
    }
    Ok(())
}

fn container_of(step: &Step) -> Option<&ContainerId> {
    match step {
        Step::Start { id }
        | Step::Stop { id, .. }
        | Step::SetRestart { id, .. }
        | Step::SetResources { id, .. }
        | Step::Deliver { id, .. }
        | Step::Rename { id, .. }
        | Step::Connect { id, .. }
        | Step::Disconnect { id, .. }
        | Step::MakeExec { id, .. }
        | Step::StartExec { id, .. }
        | Step::Remove { id, .. } => Some(id),
        Step::SaveLogs { .. }
        | Step::Pull { .. }
        | Step::Keep { .. }
        | Step::Untag { .. }
        | Step::CreateNetwork(_)
        | Step::CreateVolume(_)
        | Step::Create(_)
        | Step::RemoveNetwork { .. } => None,
    }
}

/// Of a world where nothing is left to do: as desired, or as before with the reason told; and nothing left lying about.
pub fn rest(scenario: &Scenario, world: &World, conditions: &[&Condition]) -> Held {
    for (service, condition) in conditions.iter().enumerate() {
        let id = &scenario.services[service];
        let record = &world.memories[service].record;
        match condition.kind {
            ConditionKind::Ready | ConditionKind::RolledBack => serves(scenario, world, service, condition)?,
            ConditionKind::Completed => {}
            // Nothing to go back to, or a restart policy that leaves it so.
            ConditionKind::Failed if matches!(condition.reason.as_str(), "Rejected" | "Exited") => {}
            _ => return Err(format!("{id} rests in {condition:?} (L1)")),
        }
        held(record.intent.is_none() || condition.kind == ConditionKind::Failed, || {
            format!("{id} rests with something still intended (L1)")
        })?;
    }
    Ok(())
}

/// Ended, and its restart policy leaves it so: as when somebody stops it by hand, or a stop that nobody waits for any more is executed
/// late. evenkeel does not start what its policy would not.
fn is_left_so(container: &Container, policy: RestartPolicy) -> bool {
    container.status == ContainerStatus::Exited && !gate::restarts_after(policy, container.exit_code)
}

fn serves(scenario: &Scenario, world: &World, service: usize, condition: &Condition) -> Held {
    let id = &scenario.services[service];
    let record = &world.memories[service].record;
    let kept = record.revisions.iter().find(|kept| Some(&kept.id) == record.good.as_ref());
    let Some(kept) = kept else { return Err(format!("{id} rests and nothing is good (L1)")) };
    let replicas = kept.spec.policy.replicas;
    for wanted in 1..=replicas {
        let mut of_slot = world.of(id).filter(|container| slot(container) == wanted);
        let found = of_slot.next();
        let well = found.is_some_and(|container| {
            revision(container) == Some(&kept.id)
                && (container.status == ContainerStatus::Running
                    && container.restart == kept.spec.live.restart
                    || is_left_so(container, kept.spec.live.restart))
                && container.name == id.container_name(wanted)
        });
        // What ran to its end need not be kept.
        let over = found.is_none() && record.completed.as_ref() == Some(&kept.id);
        let state = |container: &Container| format!("{} {:?}", container.name, container.status);
        held(well || over, || {
            format!("{id} rests as {} and slot {wanted} is {:?} (L1)", condition.reason, found.map(state))
        })?;
        let more = of_slot.next();
        held(more.is_none(), || format!("{id} rests and {:?} was left lying about (L1)", more.map(state)))?;
    }
    // Of each revision that something may go back to, by hand or by itself.
    for kept in record.revisions.iter().filter(|kept| kept.verdict == RevisionVerdict::Good) {
        let tag = format!("{}:{}", id.keep_repository(), kept.id.short());
        let tagged = world.host.images.get(&kept.image).is_some_and(|facts| facts.tags.contains(&tag));
        held(tagged, || format!("{id} rests and nothing keeps the image of revision {} (S4, I11)", kept.id))?;
    }
    Ok(())
}
