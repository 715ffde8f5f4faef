//! Jobs, builds, artifacts and notifications of a project, and services whose image is chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{FOLLOW_UPS, Facts, Loading, look, within};
use crate::desired::convert::{self, Context, GrantedCell};
use crate::desired::diagnostic::{Diagnostic, Severity, Span};
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::interpolate::{self, Lookup, Scope};
use crate::desired::load::Draft;
use crate::desired::merge;
use crate::desired::node::{Entry, Table, Value};
use crate::desired::objects::{Object, Objects};
use crate::desired::redact;
use crate::desired::spec::{ServiceSpec, SourcePlace, Switch};
use crate::desired::variables::ObjectScope;
use crate::desired::work::answers::NOT_CHOSEN;
use crate::desired::work::{Chosen, ImageSource, JobSpec, Runs, Trigger, Work, WorkId};

/// Keys whose texts may hold what is known only when an image is built.
const BUILT: [&str; 2] = ["build", "build_policy"];

/// Keys of a job whose part in a service nobody plays for a job.
const NOT_OF_JOBS: [&str; 5] = ["pre_start", "post_start", "pre_stop", "hooks", "probe"];

/// An object on its way: its table with defaults, and every file that had a part in it.
struct Making {
    id: WorkId,
    table: Table,
    files: BTreeSet<String>,
}

impl Loading<'_> {
    pub(super) fn works(&mut self, objects: &Objects, facts: &Facts<'_>) {
        let places = |known: &BTreeMap<String, Object>| -> BTreeMap<String, Span> {
            known.iter().map(|(name, object)| (name.clone(), object.header().clone())).collect()
        };
        let (jobs, builds) = (places(&objects.jobs), places(&objects.builds));
        for (name, object) in &objects.jobs {
            let Some(making) = self.job(name, object, facts) else { continue };
            let id = making.id.clone();
            let mut tagged = true;
            let work = self.made(making, facts, false, |id, table, context, told| {
                let image = table.get("image").and_then(|entry| entry.value.as_str());
                tagged = image.is_none_or(|image| {
                    image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
                });
                convert::job(id, table, &jobs, context, told)
            });
            if let (
                false,
                Ok((JobSpec { runs: Runs::Container { spec, image: ImageSource::Said }, .. }, _)),
            ) = (tagged, &work)
            {
                let name = spec.container.image.trim_end_matches(":latest");
                self.works.untagged.insert(id.clone(), name.to_owned());
            }
            let zone = facts.fleet.host().and_then(|host| host.timezone.clone());
            let place = |spec: &mut JobSpec, mut source: SourcePlace| {
                if let Runs::Container { spec: inner, .. } = &mut spec.runs {
                    // One place is enough, and where it is written is no part of what it is.
                    source.files.append(&mut std::mem::take(&mut inner.source).files);
                }
                spec.source = source;
                spec.timezone = spec.timezone.take().or(zone);
            };
            let work = placed(work, place);
            self.works.jobs.insert(id, work);
        }
        for (name, object) in &objects.builds {
            let levels = facts.scope.levels.iter().map(|level| &level.build_defaults);
            let Some(making) = self.making("build", name, object, levels, facts) else { continue };
            let id = making.id.clone();
            let work = self.made(making, facts, true, convert::build);
            self.works.builds.insert(id, placed(work, |spec, source| spec.source = source));
        }
        for (name, object) in &objects.artifacts {
            let Some(making) = self.making("artifact", name, object, [].into_iter(), facts) else { continue };
            let id = making.id.clone();
            let work = self.made(making, facts, false, |id, table, context, told| {
                convert::artifact(id, table, &builds, context, told)
            });
            self.works.artifacts.insert(id, placed(work, |spec, source| spec.source = source));
        }
        for (name, object) in &objects.notify {
            let Some(making) = self.making("notification", name, object, [].into_iter(), facts) else {
                continue;
            };
            let id = making.id.clone();
            let work = self.made(making, facts, false, convert::notify);
            self.works.notify.insert(id, placed(work, |spec, source| spec.source = source));
        }
        self.cycles_of_jobs(&jobs);
    }

    fn making<'l>(
        &mut self,
        what: &str,
        name: &str,
        object: &Object,
        defaults: impl Iterator<Item = &'l Table>,
        facts: &Facts<'_>,
    ) -> Option<Making> {
        let Value::Table(table) = &object.node.value else { return None };
        let Some(known) = ServiceName::new(name) else {
            let article = if what.starts_with('a') { "an" } else { "a" };
            let message = format!("`{}` cannot be the name of {article} {what}", name.escape_debug());
            let told = Diagnostic::error("bad-name", object.place.clone(), message, "not a name");
            self.found.push(told.help("letters, digits, `.`, `_` and `-`, starting with a letter or digit"));
            return None;
        };
        let mut making = Making {
            id: WorkId { project: facts.project.clone(), name: known },
            table: table.clone(),
            files: object.files.clone(),
        };
        for level in &facts.scope.levels {
            making.files.extend(level.work_files.iter().cloned());
        }
        defaults.for_each(|defaults| merge::fill(&mut making.table, defaults));
        let fleet = facts.fleet;
        let selector = making.table.remove("on_hosts");
        let here = selector.is_none_or(|entry| fleet.selects(&entry.value, &mut self.found));
        here.then_some(making)
    }

    fn job(&mut self, name: &str, object: &Object, facts: &Facts<'_>) -> Option<Making> {
        let within = object.node.as_table().is_some_and(|table| table.get("exec_in").is_some());
        let levels: Vec<Table> = facts
            .scope
            .levels
            .iter()
            .map(|level| match within {
                true => convert::defaults_within(&level.job_defaults),
                false => level.job_defaults.clone(),
            })
            .collect();
        let making = self.making("job", name, object, levels.iter(), facts)?;
        let Making { id, table, files } = making;
        let mut draft = Draft {
            id: ServiceId { project: id.project.clone(), service: id.name.clone() },
            header: table.header.clone(),
            table,
            files,
            spec: None,
            frozen: Vec::new(),
            paused: None,
        };
        let here = self.meant_here(&mut draft, facts);
        for entry in
            draft.table.entries.iter().filter(|entry| here && NOT_OF_JOBS.contains(&entry.key.as_str()))
        {
            let message =
                format!("jobs.{name}.{} was read and checked, and is not run for jobs yet", entry.key);
            let told = Diagnostic::warning("not-run-yet", entry.key_span.clone(), message, "not run");
            self.works.not_run.push(told);
        }
        here.then_some(Making { id, table: draft.table, files: draft.files })
    }

    /// Replaces variables and converts. What is wrong is told, and freezes the object.
    fn made<T>(
        &mut self,
        making: Making,
        facts: &Facts<'_>,
        builds: bool,
        convert: impl FnOnce(&WorkId, &Table, &Context<'_>, &mut Vec<Diagnostic>) -> Option<T>,
    ) -> Result<(T, SourcePlace), Vec<Diagnostic>> {
        let Making { id, mut table, mut files } = making;
        let broken: Vec<Diagnostic> =
            files.iter().filter_map(|file| self.files.broken.get(file)).flatten().cloned().collect();
        if !broken.is_empty() {
            return Err(broken);
        }
        let (mut told, mut unset) = (Vec::new(), Vec::new());
        let name = id.name.as_str().to_owned();
        let scope = ObjectScope::new(facts.scope, Some(&name));
        let scope = if builds { scope.for_builds() } else { scope };
        let built = take_built(&mut table);
        interpolate::expand_table(&mut table, &scope, &mut told, &mut unset);
        put_built(built, &mut table, &scope, facts, &mut told, &mut unset);
        let expanded = told.len();
        let variables = |name: &str| match scope.get(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::Broken => None,
        };
        let granted = GrantedCell::default();
        let (snapshot, reads) = (self.snapshot, &self.reads);
        let read = |path: &str| look(snapshot, reads, path);
        let context = Context {
            project: facts.project,
            root: &self.snapshot.root,
            networks: &facts.names.networks,
            volumes: &facts.names.volumes,
            definitions: facts.definitions,
            granted: &granted,
            services: facts.services,
            read: &read,
            variables: &variables,
            host: self.host,
            api_socket: facts.scope.api_socket(),
        };
        let spec = convert(&id, &table, &context, &mut told);
        let mut number = 0;
        told.retain(|told| {
            number += 1;
            number <= expanded || !unset.iter().any(|span| within(&told.primary.span, span))
        });
        redact::redact(&mut told, &table, &scope.given.borrow());
        files.append(&mut scope.used.borrow_mut());
        let mut wrong: Vec<Diagnostic> = told.iter().filter(|told| told.is_error()).cloned().collect();
        if self.tell(told, facts.gaps) {
            wrong.retain(|told| !FOLLOW_UPS.contains(&told.slug));
            wrong.extend(facts.gaps.iter().cloned());
        }
        let user = ServiceId { project: id.project.clone(), service: id.name.clone() };
        wrong.extend(self.granted(&user, granted.into_inner(), &mut files, facts));
        let sound = unset.is_empty() || facts.scope.unset() == Severity::Warning;
        let (line, _) = self.positions.of(&table.header.file, table.header.start);
        let source = SourcePlace { file: table.header.file.to_string(), line, files, commit: None };
        match spec.filter(|_| sound && wrong.is_empty()) {
            Some(spec) => Ok((spec, source)),
            None if wrong.is_empty() => {
                let message = "it could not be understood, and no reason was found";
                Err(vec![Diagnostic::error("unexplained", table.header, message, "please report this")])
            }
            None => Err(wrong),
        }
    }

    /// Jobs that start each other in a circle never start.
    fn cycles_of_jobs(&mut self, places: &BTreeMap<String, Span>) {
        let after: BTreeMap<ServiceName, Vec<ServiceName>> = self
            .works
            .jobs
            .iter()
            .filter_map(|(id, work)| match &work.wanted()?.trigger {
                Trigger::After(others) => Some((id.name.clone(), others.keys().cloned().collect())),
                _ => None,
            })
            .collect();
        let mut told: BTreeSet<&ServiceName> = BTreeSet::new();
        for first in after.keys() {
            if told.contains(first) {
                continue;
            }
            let Some(way) = circle(first, &after) else { continue };
            told.extend(way.iter().copied());
            let names: Vec<&str> = way.iter().chain([&first]).map(|name| name.as_str()).collect();
            let message = format!("jobs wait for each other: {}", names.join(" -> "));
            let place = places.get(first.as_str()).cloned().unwrap_or_default();
            let diagnostic =
                Diagnostic::error("dependency-cycle", place, message, "none of them ever starts")
                    .help("one of them needs a schedule, or is run by hand");
            for name in &way {
                let project = self.works.jobs.keys().next().map(|id| id.project.clone());
                let id = project.map(|project| WorkId { project, name: (*name).clone() });
                if let Some(work) = id.and_then(|id| self.works.jobs.get_mut(&id)) {
                    *work = Work::Frozen(vec![diagnostic.clone()]);
                }
            }
            self.found.push(diagnostic);
        }
    }

    /// A service whose image nobody here can choose yet, or whose switch nobody can make: it is right, and stays as it is.
    pub(super) fn chosen(&mut self, draft: &mut Draft, spec: &ServiceSpec, image: ImageSource) {
        let at = |path: &[&str]| {
            let mut table = Some(&draft.table);
            let mut place = draft.header.clone();
            for key in path {
                let Some(entry) = table.and_then(|table| table.get(key)) else { break };
                place = entry.key_span.clone();
                table = entry.value.as_table();
            }
            place
        };
        let (place, why) = match &image {
            _ if spec.policy.rollout.switch == Switch::Alias => {
                let why = "this version does not move names from one set to another";
                let told = not_run(&draft.id, at(&["rollout", "switch"]), why);
                draft.frozen.push(told.clone());
                self.works.not_run.push(told);
                return;
            }
            ImageSource::Policy(_) => (at(&["image_policy"]), "no tag was chosen"),
            ImageSource::Build(_) => (at(&["build"]), "its image was not built"),
            ImageSource::Built(_) => (at(&["image"]), "its image was not built"),
            ImageSource::Said => return,
        };
        let mut told = not_chosen(&draft.id, place, why);
        if matches!(image, ImageSource::Policy(_)) {
            told.message.push_str(" (evenkeel images tells more)");
        }
        draft.frozen.push(told);
        self.works.chosen.insert(draft.id.clone(), Arc::new(Chosen { spec: spec.clone(), image }));
    }
}

/// Why a service is left as it is although its files are right.
fn not_run(id: &ServiceId, place: Span, why: &str) -> Diagnostic {
    let message = format!("services.{} stays as it is: {why} yet", id.service);
    Diagnostic::warning("not-run-yet", place, message, "read and checked, and not acted on")
}

/// Why a service waits although its files are right.
pub(in crate::desired::load) fn not_chosen(id: &ServiceId, place: Span, why: &str) -> Diagnostic {
    let message = format!("services.{} stays as it is: {why} yet", id.service);
    Diagnostic::warning(NOT_CHOSEN, place, message, "waits for its image")
}

/// The way from a job along `after` back to itself.
fn circle<'a>(
    first: &'a ServiceName,
    after: &'a BTreeMap<ServiceName, Vec<ServiceName>>,
) -> Option<Vec<&'a ServiceName>> {
    let mut from: BTreeMap<&ServiceName, &ServiceName> = BTreeMap::new();
    let mut open = vec![first];
    while let Some(name) = open.pop() {
        for next in after.get(name).into_iter().flatten() {
            if next == first {
                let mut way = vec![name];
                while let Some(before) = way.last().and_then(|last| from.get(last)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(next) {
                from.insert(next, name);
                open.push(next);
            }
        }
    }
    None
}

fn placed<T>(
    made: Result<(T, SourcePlace), Vec<Diagnostic>>,
    place: impl FnOnce(&mut T, SourcePlace),
) -> Work<T> {
    match made {
        Ok((mut spec, source)) => {
            place(&mut spec, source);
            Work::Wanted(Arc::new(spec))
        }
        Err(why) => Work::Frozen(why),
    }
}

/// Keys of `image_policy` that are regular expressions, where `$` is the end of the text.
const PATTERNS: [&str; 4] = ["number", "text", "match", "exclude"];

/// A dollar of a regular expression that begins no variable stays what it is: `^build-(\d+)$` needs no second one.
fn spare_dollars(table: &mut Table) {
    let policy = table.entries.iter_mut().find(|entry| entry.key == "image_policy");
    let Some(Value::Table(policy)) = policy.map(|entry| &mut entry.value.value) else { return };
    for entry in policy.entries.iter_mut().filter(|entry| PATTERNS.contains(&entry.key.as_str())) {
        let Value::String(text) = &mut entry.value.value else { continue };
        let mut spared = String::with_capacity(text.len() + 1);
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            spared.push_str(before);
            spared.push('$');
            match after.chars().next() {
                Some('$') => {
                    spared.push('$');
                    rest = after.get(1..).unwrap_or_default();
                    continue;
                }
                Some(next) if next == '{' || next == '_' || next.is_ascii_alphabetic() => {}
                _ => spared.push('$'),
            }
            rest = after;
        }
        spared.push_str(rest);
        *text = spared;
    }
}

/// Takes out what is read with the variables of builds.
pub(super) fn take_built(table: &mut Table) -> Vec<Entry> {
    spare_dollars(table);
    BUILT.iter().filter_map(|key| table.remove(key)).collect()
}

/// Puts it back, with variables replaced but for those that are known only when an image is built.
pub(super) fn put_built(
    built: Vec<Entry>,
    table: &mut Table,
    scope: &ObjectScope<'_>,
    facts: &Facts<'_>,
    told: &mut Vec<Diagnostic>,
    unset: &mut Vec<Span>,
) {
    let own = ObjectScope::new(facts.scope, scope.service).for_builds();
    for mut entry in built {
        interpolate::expand_node(&mut entry.value, &own, told, unset);
        table.entries.push(entry);
    }
    scope.used.borrow_mut().append(&mut own.used.borrow_mut());
    scope.given.borrow_mut().append(&mut own.given.borrow_mut());
}
