//! What must hold in every sample. Pure: the tests at the end feed it samples that break each rule.

use std::collections::{BTreeMap, BTreeSet};

/// One container of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub name: String,
    pub service: String,
    pub running: bool,
    /// Published on the host.
    pub ports: BTreeSet<u16>,
}

/// What one look at the engine showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub containers: Vec<Row>,
    /// Of the promised ones, by id: the tags with which evenkeel keeps them; absent when the image is gone.
    pub images: BTreeMap<String, Vec<String>>,
    /// Of the promised ones, those that exist.
    pub volumes: BTreeSet<String>,
    /// Of the guarded ones, what makes them what they are.
    pub foreign: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Never two running containers of an exclusive service, nor two with one host port.
    OneHolder,
    /// A service that has run is never without any container.
    NotLost,
    /// A service that is replaced start-first always has a running container.
    NeverDown,
    /// What is not evenkeel's is not touched.
    Foreign,
    /// The image to go back to is there, under a tag of evenkeel's.
    PreviousImage,
    /// No volume goes once it is there.
    Volume,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub text: String,
}

#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// Services of which one container at a time may run.
    pub exclusive: BTreeSet<String>,
    /// Services that serve without a break.
    pub never_down: BTreeSet<String>,
    pub images: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub foreign: BTreeMap<String, String>,
    /// Rules that do not hold for the time being.
    pub pardoned: BTreeSet<Rule>,
}

impl Promises {
    /// Those that a list of containers is enough for.
    pub fn of_containers(self) -> Self {
        Self { images: BTreeSet::new(), volumes: BTreeSet::new(), foreign: BTreeMap::new(), ..self }
    }
}

/// What earlier samples showed.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    has_run: BTreeSet<String>,
    /// Images that have had a keep tag.
    kept: BTreeSet<String>,
    /// Volumes that were there.
    volumes: BTreeSet<String>,
}

pub fn judge(promises: &Promises, memory: &mut Memory, sample: &Sample) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |rule: Rule, text: String| {
        if !promises.pardoned.contains(&rule) {
            found.push(Violation { rule, text });
        }
    };
    let running: Vec<&Row> = sample.containers.iter().filter(|row| row.running).collect();
    memory.has_run.extend(running.iter().map(|row| row.service.clone()));
    for (index, one) in running.iter().enumerate() {
        for two in &running[index + 1..] {
            let exclusive = one.service == two.service && promises.exclusive.contains(&one.service);
            if exclusive || !one.ports.is_disjoint(&two.ports) {
                broken(Rule::OneHolder, format!("{} and {} run at once", one.name, two.name));
            }
        }
    }
    for service in &memory.has_run {
        if !sample.containers.iter().any(|row| row.service == *service) {
            broken(Rule::NotLost, format!("{service} has no container at all"));
        }
        if promises.never_down.contains(service) && !running.iter().any(|row| row.service == *service) {
            broken(Rule::NeverDown, format!("no container of {service} runs"));
        }
    }
    for (name, before) in &promises.foreign {
        let now = sample.foreign.get(name).map_or("gone", String::as_str);
        if now != before {
            broken(Rule::Foreign, format!("{name} was {before} and is {now}"));
        }
    }
    for image in &promises.images {
        let tags = sample.images.get(image);
        if tags.is_some_and(|tags| !tags.is_empty()) {
            memory.kept.insert(image.clone());
        } else if tags.is_none() || memory.kept.contains(image) {
            broken(Rule::PreviousImage, format!("{image} has the keep tags {tags:?}"));
        }
    }
    memory.volumes.extend(sample.volumes.iter().cloned());
    for volume in promises.volumes.intersection(&memory.volumes) {
        if !sample.volumes.contains(volume) {
            broken(Rule::Volume, format!("volume {volume} is gone"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, service: &str, running: bool, port: u16) -> Row {
        let ports = if port == 0 { BTreeSet::new() } else { BTreeSet::from([port]) };
        Row { id: id.into(), name: id.into(), service: service.into(), running, ports }
    }

    fn sample(containers: Vec<Row>) -> Sample {
        Sample { containers, ..Sample::default() }
    }

    /// The rules that these samples, one after another, break.
    fn broken(promises: &Promises, samples: &[Sample]) -> Vec<Rule> {
        let mut memory = Memory::default();
        samples.iter().flat_map(|sample| judge(promises, &mut memory, sample)).map(|v| v.rule).collect()
    }

    fn exclusive() -> Promises {
        Promises { exclusive: BTreeSet::from(["web".to_owned()]), ..Promises::default() }
    }

    #[test]
    fn a_replacement_as_it_should_be_breaks_nothing() {
        let steps = [
            sample(vec![]),
            sample(vec![row("old", "web", true, 80)]),
            sample(vec![row("old", "web", true, 80), row("new", "web", false, 0)]),
            sample(vec![row("old", "web", false, 0), row("new", "web", false, 0)]),
            sample(vec![row("old", "web", false, 0), row("new", "web", true, 80)]),
        ];
        assert_eq!(broken(&exclusive(), &steps), []);
    }

    #[test]
    fn two_running_containers_of_an_exclusive_service_are_seen() {
        let two = sample(vec![row("old", "web", true, 0), row("new", "web", true, 0)]);
        assert_eq!(broken(&exclusive(), std::slice::from_ref(&two)), [Rule::OneHolder]);
        assert_eq!(broken(&Promises::default(), &[two]), [], "start-first may have two");
    }

    #[test]
    fn two_services_with_one_port_are_seen() {
        let two = sample(vec![row("a", "web", true, 80), row("b", "shop", true, 80)]);
        assert_eq!(broken(&Promises::default(), &[two]), [Rule::OneHolder]);
    }

    #[test]
    fn a_service_without_any_container_is_seen_when_it_has_run() {
        let ran = sample(vec![row("old", "web", true, 80)]);
        assert_eq!(broken(&exclusive(), &[sample(vec![]), ran, sample(vec![])]), [Rule::NotLost]);
    }

    #[test]
    fn a_break_in_a_start_first_service_is_seen() {
        let promises = Promises { never_down: BTreeSet::from(["web".to_owned()]), ..Promises::default() };
        let steps = [sample(vec![row("old", "web", true, 0)]), sample(vec![row("old", "web", false, 0)])];
        assert_eq!(broken(&promises, &steps), [Rule::NeverDown]);
    }

    #[test]
    fn a_foreign_object_that_changed_or_went_is_seen() {
        let foreign = |text: &str| BTreeMap::from([("canary".to_owned(), text.to_owned())]);
        let promises = Promises { foreign: foreign("started 1"), ..Promises::default() };
        let with = |text: &str| Sample { foreign: foreign(text), ..Sample::default() };
        let steps = [with("started 1"), with("started 2"), Sample::default()];
        assert_eq!(broken(&promises, &steps), [Rule::Foreign, Rule::Foreign]);
    }

    #[test]
    fn a_previous_image_that_lost_its_tag_or_went_is_seen() {
        let promises = Promises { images: BTreeSet::from(["sha256:1".to_owned()]), ..Promises::default() };
        let with = |tags: &[&str]| Sample {
            images: BTreeMap::from([("sha256:1".to_owned(), tags.iter().map(|t| (*t).to_owned()).collect())]),
            ..Sample::default()
        };
        let steps = [with(&[]), with(&["evenkeel/a-web:1"]), with(&[]), Sample::default()];
        assert_eq!(broken(&promises, &steps), [Rule::PreviousImage, Rule::PreviousImage]);
    }

    #[test]
    fn a_volume_that_went_is_seen() {
        let promises = Promises { volumes: BTreeSet::from(["data".to_owned()]), ..Promises::default() };
        let there = Sample { volumes: promises.volumes.clone(), ..Sample::default() };
        let steps = [Sample::default(), there, Sample::default()];
        assert_eq!(broken(&promises, &steps), [Rule::Volume], "not before it was made");
    }

    #[test]
    fn what_is_pardoned_is_not_counted_and_the_rest_is() {
        let mut promises = exclusive();
        promises.pardoned.insert(Rule::NotLost);
        let two = sample(vec![row("old", "web", true, 0), row("new", "web", true, 0)]);
        assert_eq!(broken(&promises, &[two, sample(vec![])]), [Rule::OneHolder]);
    }
}
