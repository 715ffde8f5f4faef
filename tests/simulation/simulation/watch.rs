//! What must hold at every moment: looked at before and after every call that changes something.

use evenkeel::engine::sim::{Container, Host, Op};
use evenkeel::state::observed::{ContainerId, ContainerStatus, Health, label};

use super::world::World;
use crate::rig::OWNER;

/// A call is about to be carried out.
pub fn before(world: &World, op: Op, service: &str, about: Option<&ContainerId>) {
    let now = world.now();
    if op != Op::Pull {
        world.with(|state| state.last_write = now);
    }
    let Some(id) = about else { return };
    let foreign = world.with(|state| state.foreign.get(id).cloned());
    if let Some(name) = foreign {
        world.violated(format!("{} is asked of {name}, which is not ours (S1)", op.as_str()));
        return;
    }
    let Some(index) = world.index(service) else { return };
    let cause = world.with(|state| state.causes.get(service).cloned()).unwrap_or_default();
    let retires = cause == "no file wants it any more";
    if retires && matches!(op, Op::Stop | Op::Remove) && !world.may_go(index) {
        world.violated(format!(
            "{} of {service}, which the files want or do not tell about (S3)",
            op.as_str()
        ));
    }
    if op == Op::Stop && !retires {
        one_serves(world, index, service, id);
    }
}

/// Start-first: what serves is stopped only when another one serves (I10).
fn one_serves(world: &World, index: usize, service: &str, id: &ContainerId) {
    let wanted = world.files().1;
    let starts_first = world.story.services[index].start_first();
    let disturbed = world.with(|state| state.disturbed.contains_key(service));
    if !starts_first || disturbed || wanted.defined[index].replicas == 0 {
        return;
    }
    let serves = |one: &Container| {
        one.status == ContainerStatus::Running
            && one.stopping.is_none()
            && matches!(one.health, Health::None | Health::Healthy)
    };
    let alone = world.sim.with(|host| {
        let target = host.containers.get(id).is_some_and(|one| serves(one));
        let others = of_service(host, service).filter(|one| one.id != *id && serves(one));
        target && others.count() == 0
    });
    if alone {
        world.violated(format!("the last serving container of {service} is stopped (I10)"));
    }
}

pub fn before_network_removal(world: &World, id: &str) {
    let foreign = world.sim.with(|host| {
        let network = host.networks.get(id)?;
        (network.labels.get(label::OWNER).map(String::as_str) != Some(OWNER)).then(|| network.name.clone())
    });
    if let Some(name) = foreign {
        world.violated(format!("network {name} is removed, which is not ours (S1)"));
    }
}

pub fn of_service<'a>(host: &'a Host, service: &'a str) -> impl Iterator<Item = &'a Container> {
    host.containers.values().map(|one| &**one).filter(move |one| {
        one.own.as_ref().is_some_and(|own| own.service.to_string() == service && own.owner == OWNER)
    })
}

/// Something changed, by whomever.
pub fn after(world: &World) {
    let mut wrong = Vec::new();
    let (by_hand, foreign) = world.with(|state| (state.by_hand.clone(), state.foreign.clone()));
    let seen = world.sim.with(|host| {
        for service in world.story.services.iter().filter(|service| service.exclusive()) {
            let id = service.id();
            let up = of_service(host, &id)
                .filter(|one| one.status.is_up() && !foreign.contains_key(&one.id))
                .count();
            if up > 1 && !by_hand.contains(&id) {
                wrong.push(format!("{up} containers of {id} run at a time (I17)"));
            }
        }
        for (id, name) in &foreign {
            if !host.containers.contains_key(id) {
                wrong.push(format!("{name}, which is not ours, is gone (S1)"));
            }
        }
        let ours = |one: &&Container| one.own.is_some() && !foreign.contains_key(&one.id);
        let containers: Vec<(ContainerId, String)> = host
            .containers
            .values()
            .map(|one| &**one)
            .filter(ours)
            .filter_map(|one| Some((one.id.clone(), one.own.as_ref()?.service.to_string())))
            .collect();
        let volumes: Vec<String> = host.volumes.keys().cloned().collect();
        (containers, volumes)
    });
    world.with(|state| {
        for (id, service) in seen.0 {
            if state.known.insert(id) {
                *state.creates.entry(service).or_default() += 1;
            }
        }
        for gone in state.volumes.iter().filter(|name| !seen.1.contains(name)) {
            wrong.push(format!("volume {gone} is gone (I12)"));
        }
        state.volumes.extend(seen.1);
    });
    wrong.into_iter().for_each(|text| world.violated(text));
}
