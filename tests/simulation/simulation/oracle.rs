//! Where a story must end, whatever happened in it: as the files say, or at the last good revision with a reason.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::sim::{Container, Host};
use evenkeel::metrics::api::StatusReport;
use evenkeel::state::condition::{ConditionKind, ServiceStatus};
use evenkeel::state::observed::ContainerStatus;

use super::files::Files;
use super::play::Play;
use super::story::{Kind, Service, Story};
use super::watch::of_service;

/// The end of one story, in a form that two can be compared in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    pub conditions: BTreeMap<String, String>,
    pub containers: Vec<String>,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    /// Tags that keep images.
    pub kept: BTreeSet<String>,
}

impl Ending {
    pub fn of(play: &Play) -> Self {
        let services = play.report().map(|report| report.services).unwrap_or_default();
        let conditions = services
            .iter()
            .map(|row| {
                let condition = format!("{} {}", row.condition.kind.as_str(), row.condition.reason);
                (row.service.clone(), condition)
            })
            .collect();
        let foreign = play.world.with(|state| state.foreign.clone());
        play.world.sim.with(|host| {
            let ours =
                host.containers.values().filter(|one| one.own.is_some() && !foreign.contains_key(&one.id));
            let mut containers: Vec<String> = ours.map(|one| line(host, one)).collect();
            containers.sort();
            let tags = host.images.values().flat_map(|facts| facts.tags.clone());
            Self {
                conditions,
                containers,
                networks: host.networks.values().map(|network| network.name.clone()).collect(),
                volumes: host.volumes.keys().cloned().collect(),
                kept: tags.filter(|tag| tag.starts_with("evenkeel/")).collect(),
            }
        })
    }
}

fn line(host: &Host, one: &Container) -> String {
    let own = one.own.as_ref();
    let image = own.map(|own| own.image_ref.clone()).unwrap_or_default();
    let revision = own.map(|own| own.revision.short().to_owned()).unwrap_or_default();
    let networks: Vec<String> = one
        .networks
        .iter()
        .map(|(name, at)| {
            let there = if host.networks.contains_key(&at.network_id) { "" } else { " (gone)" };
            format!("{name}{there} as {:?}", at.aliases)
        })
        .collect();
    format!(
        "{} {image} {revision} {:?} restart {:?} memory {:?} networks {networks:?} volumes {:?}",
        one.name, one.status, one.restart, one.resources.memory, one.volumes
    )
}

/// What its own definition and those of what it needs come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It must serve.
    Firm,
    /// Its revision cannot serve.
    Bad,
    /// Its image cannot be had.
    Missing,
    /// It may wait for ever for something that cannot serve.
    Blocked,
    Absent,
}

/// `blamed`: those that somebody else did something to.
pub fn fit(story: &Story, files: &Files, blamed: &BTreeSet<String>, index: usize) -> Fit {
    let service = &files.defined[index];
    if !files.present[index] {
        return Fit::Absent;
    }
    if story.kind(service) == Kind::Missing {
        return Fit::Missing;
    }
    // Without a check nobody finds out that it is never healthy.
    let good = story.is_good(service) || (story.kind(service) == Kind::NeverHealthy && !service.check);
    if !good {
        return Fit::Bad;
    }
    // A job that was killed stays failed until its definition changes: its restart policy says so.
    if service.job && blamed.contains(&service.id()) {
        return Fit::Blocked;
    }
    let needed = service.needs.iter().map(|(other, _)| *other).chain(service.parent);
    for other in needed {
        if fit(story, files, blamed, other) != Fit::Firm || files.defined[other].replicas == 0 {
            return Fit::Blocked;
        }
    }
    Fit::Firm
}

/// Everything that is not as it must be at the end.
pub async fn judge(play: &Play) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(report) = play.report() else { return vec!["evenkeel does not run at the end".to_owned()] };
    let files = play.world.files().1;
    let story = &play.world.story;
    let blamed = play.world.with(|state| state.blamed.clone());
    for (index, service) in files.defined.iter().enumerate() {
        let row = report.services.iter().find(|row| row.service == service.id());
        if let Err(text) = judge_service(play, fit(story, &files, &blamed, index), service, row) {
            wrong.push(format!("{}: {text}", service.id()));
        }
        let (project, name) = (format!("p{}", service.project), &service.name);
        let record = play.store.record(&ServiceId::new(&project, name).unwrap()).await;
        if record.hold.is_some() || record.rolling_back.is_some() {
            wrong.push(format!("{}: its record is not at rest: {record:#?}", service.id()));
        }
        let fine = fit(story, &files, &blamed, index) == Fit::Firm && service.replicas > 0;
        if fine && let Some(good) = &record.good {
            let tag = format!("evenkeel/p{}-{}:{}", service.project, service.name, good.short());
            if !play.world.sim.with(|host| host.images.values().any(|facts| facts.tags.contains(&tag))) {
                wrong.push(format!("{}: the tag that keeps its image is missing: {tag} (I11)", service.id()));
            }
        }
    }
    wrong.extend(judge_objects(play, &files, &report));
    wrong
}

fn judge_service(
    play: &Play,
    fit: Fit,
    service: &Service,
    row: Option<&ServiceStatus>,
) -> Result<(), String> {
    let foreign = play.world.with(|state| state.foreign.clone());
    let id = service.id();
    let (containers, lines) = play.world.sim.with(|host| {
        let own: Vec<Container> =
            of_service(host, &id).filter(|one| !foreign.contains_key(&one.id)).cloned().collect();
        let lines: Vec<String> = own.iter().map(|one| line(host, one)).collect();
        (own, lines)
    });
    let listed = lines.join("\n    ");
    if fit == Fit::Absent {
        return match (containers.is_empty(), row) {
            (true, None) => Ok(()),
            _ => Err(format!("no file wants it, and it is there: {row:?}\n    {listed}")),
        };
    }
    let row = row.ok_or("it has no status")?;
    let condition = &row.condition;
    let said = format!("{} {}: {}", condition.kind.as_str(), condition.reason, condition.message);
    if condition.reason.is_empty() || condition.message.is_empty() {
        return Err(format!("its condition gives no reason: {said}"));
    }
    let kind = condition.kind;
    let fine = match fit {
        Fit::Firm if service.job && service.replicas > 0 => kind == ConditionKind::Completed,
        Fit::Firm => kind == ConditionKind::Ready,
        Fit::Bad => {
            kind == ConditionKind::RolledBack
                || kind == ConditionKind::Failed
                || service.replicas == 0 && kind == ConditionKind::Ready
        }
        Fit::Missing => {
            matches!(kind, ConditionKind::Waiting | ConditionKind::Progressing)
                && condition.reason.starts_with("ImagePull")
                || service.replicas == 0 && kind == ConditionKind::Ready
        }
        Fit::Blocked | Fit::Absent => kind.is_settled() || kind == ConditionKind::Waiting,
    };
    if !fine {
        return Err(format!("it is {said}, and should be {fit:?}\n    {listed}"));
    }
    if fit == Fit::Firm {
        as_wanted(service, &containers).map_err(|text| format!("{text}\n    {listed}"))
    } else {
        sane(play, &containers)
    }
}

/// Exactly the wanted containers, each exactly as wanted.
fn as_wanted(service: &Service, containers: &[Container]) -> Result<(), String> {
    if containers.len() != service.replicas as usize {
        return Err(format!("{} containers for {} replicas", containers.len(), service.replicas));
    }
    for slot in 1..=service.replicas {
        let name = format!("p{}-{}-{slot}", service.project, service.name);
        let one = containers.iter().find(|one| one.name == name);
        let one = one.ok_or_else(|| format!("{name} is missing"))?;
        let image = one.own.as_ref().map(|own| own.image_ref.clone()).unwrap_or_default();
        let status = if service.job { ContainerStatus::Exited } else { ContainerStatus::Running };
        let memory = (service.memory > 0).then(|| u64::from(service.memory) << 20);
        let checks = [
            (image == service.image(), "image"),
            (one.status == status, "status"),
            (
                format!("{:?}", one.restart).to_lowercase().starts_with(&service.restart.replace('-', "")),
                "restart policy",
            ),
            (one.resources.memory == memory, "memory"),
            (service.parent.is_some() || one.networks.len() == 1 + usize::from(service.network), "networks"),
        ];
        if let Some((_, what)) = checks.iter().find(|(so, _)| !so) {
            return Err(format!("{name}: {what} is not as wanted"));
        }
    }
    Ok(())
}

/// A service that cannot be as wanted runs nothing that is known not to work, and nothing twice.
fn sane(play: &Play, containers: &[Container]) -> Result<(), String> {
    let mut slots = BTreeSet::new();
    for one in containers.iter().filter(|one| one.status.is_up()) {
        let Some(own) = &one.own else { continue };
        if !slots.insert(own.slot) {
            return Err(format!("slot {} runs twice", own.slot));
        }
        if matches!(play.world.story.images.get(&own.image_ref), Some(Kind::Crash(_) | Kind::BadCommand)) {
            return Err(format!("{} runs {}", one.name, own.image_ref));
        }
    }
    Ok(())
}

fn judge_objects(play: &Play, files: &Files, report: &StatusReport) -> Vec<String> {
    let mut wrong = Vec::new();
    let present = files.defined.iter().zip(&files.present).filter(|(_, present)| **present);
    play.world.sim.with(|host| {
        let mut names: Vec<&String> = host.networks.values().map(|network| &network.name).collect();
        names.sort();
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            wrong.push(format!("two networks are called {}", pair[0]));
        }
        for (service, _) in present.filter(|(service, _)| service.network) {
            let name = format!("p{}_{}-net", service.project, service.name);
            if !names.contains(&&name) {
                wrong.push(format!("network {name} is missing"));
            }
        }
    });
    if let Some(guard) = &report.host.guard {
        wrong.push(format!("a removal still waits for consent: {guard:?}"));
    }
    wrong
}
