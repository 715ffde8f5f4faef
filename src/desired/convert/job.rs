//! `[jobs.<name>]`.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::{ServiceId, ServiceName};
use crate::desired::manifest;
use crate::desired::node::{Node, Table};
use crate::desired::suggest::nearest;
use crate::desired::work::schedule::{self, Fault, Schedule};
use crate::desired::work::{Ending, Exec, ImageSource, JobSpec, KeepRuns, Overlap, Runs, Trigger, WorkId};

use super::keys::Parent;
use super::objects::{errors, place};
use super::read::{Field, Fields, Reader};
use super::{Context, environment, image_policy, service};

/// Keys of a job that hold for a command within a service, too.
const WITHIN: [&str; 22] = [
    "command",
    "user",
    "working_dir",
    "environment",
    "env_file",
    "privileged",
    "schedule",
    "timezone",
    "after",
    "on_change",
    "exec_in",
    "overlap",
    "catch_up",
    "start_within",
    "timeout",
    "retries",
    "retry_delay",
    "jitter",
    "keep",
    "on_hosts",
    "profiles",
    "paused",
];

/// Takes what only a container of its own could use out of the defaults of a job that has none.
pub fn defaults_within(defaults: &Table) -> Table {
    let entries = defaults.entries.iter().filter(|entry| WITHIN.contains(&entry.key.as_str()));
    Table { entries: entries.cloned().collect(), header: defaults.header.clone() }
}

/// The spec of one job. `jobs` are those of the project, each with the place of its header.
#[must_use]
pub fn job(
    id: &WorkId,
    table: &Table,
    jobs: &BTreeMap<String, Span>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<JobSpec> {
    let before = errors(diagnostics);
    let mut reader = Reader { context, diagnostics };
    let fields = Fields::new(table, format!("jobs.{}", id.name));
    reader.check(&fields, "Job", &[Parent { path: "", shape: "File" }]);
    let spec = read(&mut reader, id, &fields, jobs);
    if errors(diagnostics) == before { spec } else { None }
}

fn read(
    reader: &mut Reader<'_, '_>,
    id: &WorkId,
    fields: &Fields<'_>,
    jobs: &BTreeMap<String, Span>,
) -> Option<JobSpec> {
    let runs = match fields.get("exec_in") {
        Some(field) => exec(reader, fields, &field),
        None => container(reader, id, fields),
    };
    let trigger = trigger(reader, id, fields, jobs);
    let timezone = match fields.get("timezone") {
        None => Some(None),
        Some(field) => zone(reader, &field).map(Some),
    };
    let time = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.duration(&field)).map(|time| time / 1_000_000)
    };
    let overlap =
        fields.get("overlap").map(|field| reader.choice(&field, "way to overlap", manifest::Overlap::WORDS));
    let catch_up = fields
        .get("catch_up")
        .map(|field| reader.choice(&field, "way to catch up", manifest::CatchUp::WORDS));
    let count = |reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str| {
        let count = fields.get(key).and_then(|field| reader.whole(&field, 0, 1000))?;
        u32::try_from(count).ok()
    };
    let mut keep = KeepRuns::default();
    if let Some(field) = fields.get("keep")
        && let Some(inner) = reader.table(&field, "keep = { success = 3, failure = 5 }")
    {
        reader.check(&inner, "KeepRuns", &[Parent { path: &fields.path, shape: "Job" }]);
        keep.success = count(reader, &inner, "success").unwrap_or(keep.success);
        keep.failure = count(reader, &inner, "failure").unwrap_or(keep.failure);
    }
    Some(JobSpec {
        trigger: trigger?,
        timezone: timezone?,
        overlap: match overlap.flatten() {
            Some("queue") => Overlap::Queue,
            Some("replace") => Overlap::Replace,
            Some("allow") => Overlap::Allow,
            _ => Overlap::Skip,
        },
        catch_up: catch_up.flatten() == Some("once"),
        start_within_ms: time(reader, "start_within"),
        timeout_ms: time(reader, "timeout"),
        retries: count(reader, fields, "retries").unwrap_or_default(),
        retry_delay_ms: time(reader, "retry_delay").unwrap_or(10_000),
        jitter_ms: time(reader, "jitter").unwrap_or_default(),
        keep,
        paused: fields.get("paused").and_then(|field| reader.flag(&field)).unwrap_or(false),
        source: place(fields),
        runs: runs?,
    })
}

/// A container of its own, like one of a service.
fn container(reader: &mut Reader<'_, '_>, id: &WorkId, fields: &Fields<'_>) -> Option<Runs> {
    let image = image_policy::source(reader, fields, "Job");
    let as_service = ServiceId { project: id.project.clone(), service: id.name.clone() };
    let spec = service::read(reader, &as_service, fields);
    let deploy = fields.get("deploy").and_then(|field| field.node.as_table());
    for key in ["replicas", "mode", "update_config", "restart_policy"] {
        if let Some(entry) = deploy.and_then(|deploy| deploy.get(key)) {
            let message = format!("`deploy.{key}` is for services");
            let label = "a job has one container a run";
            reader.report(Diagnostic::error("misplaced", entry.key_span.clone(), message, label));
        }
    }
    Some(Runs::Container { spec: Box::new(spec?), image: image? })
}

/// A command in a running container.
fn exec(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, within: &Field<'_>) -> Option<Runs> {
    let known = manifest::keys("Job");
    for entry in &fields.table.entries {
        if known.contains(&entry.key) && !WITHIN.contains(&entry.key.as_str()) {
            let message = format!("`{}` is about a container of its own", entry.key);
            let told = Diagnostic::error(
                "conflicting-values",
                entry.key_span.clone(),
                message,
                "drop one of the two",
            );
            reader.report(told.also(within.key.clone(), "runs in one that is there"));
        }
    }
    let service = image_policy::service(reader, within, &Fields::new(fields.table, String::new()));
    let command = service::words_of(reader, fields, "command");
    if fields.get("command").is_none() {
        let message = format!("{} does not say what to run", fields.path);
        let label = "`command` is missing";
        reader.report(Diagnostic::error("missing-key", fields.table.header.clone(), message, label));
    }
    let mut files = BTreeSet::new();
    let text = |reader: &mut Reader<'_, '_>, key: &str| {
        fields.get(key).and_then(|field| reader.filled(&field).map(str::to_owned))
    };
    let (user, working_dir) = (text(reader, "user"), text(reader, "working_dir"));
    Some(Runs::Exec(Exec {
        environment: environment::environment(reader, fields, &mut files),
        privileged: fields.get("privileged").and_then(|field| reader.flag(&field)).unwrap_or(false),
        service: service?,
        command: command?,
        user,
        working_dir,
    }))
}

fn trigger(
    reader: &mut Reader<'_, '_>,
    id: &WorkId,
    fields: &Fields<'_>,
    jobs: &BTreeMap<String, Span>,
) -> Option<Trigger> {
    let change = match fields.get("on_change") {
        None => None,
        Some(field) => reader.flag(&field)?.then_some(field),
    };
    let all: Vec<Field<'_>> =
        [fields.get("schedule"), fields.get("after"), change].into_iter().flatten().collect();
    match all.as_slice() {
        [] => Some(Trigger::Hand),
        [only] => match only.name() {
            "schedule" => schedule(reader, only).map(Trigger::Schedule),
            "after" => after(reader, id, only, jobs).map(Trigger::After),
            _ => Some(Trigger::Change),
        },
        [first, second, ..] => {
            let message = format!("`{}` and `{}` both start the job", first.path, second.path);
            let told =
                Diagnostic::error("conflicting-values", second.key.clone(), message, "drop one of the two");
            reader.report(told.also(first.key.clone(), "the other one"));
            None
        }
    }
}

fn schedule(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<Schedule> {
    let text = reader.filled(field)?;
    match Schedule::parse(text) {
        Ok(schedule) => Some(schedule),
        Err(fault) => {
            reader.report(bad_cron(field.node, fault));
            None
        }
    }
}

/// What is said of a text that is no schedule.
#[must_use]
pub fn bad_cron(node: &Node, fault: Fault) -> Diagnostic {
    let length = node.as_str().map_or(fault.end, str::len);
    let span = node.part(fault.start, fault.end.min(length));
    let told = Diagnostic::error("bad-cron", span, fault.message, fault.label);
    told.help("minute hour day-of-month month day-of-week; \"30 2 * * *\" is 02:30 every day")
}

fn zone(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    if let Some(known) = schedule::zone(text) {
        return Some(known.to_owned());
    }
    reader.report(unknown_zone(field.node.span.clone(), text));
    None
}

/// What is said of a zone that does not exist.
#[must_use]
pub fn unknown_zone(span: Span, text: &str) -> Diagnostic {
    let near = schedule::near_zone(text);
    let label =
        near.map_or_else(|| "write \"Europe/Berlin\"".to_owned(), |near| format!("did you mean \"{near}\"?"));
    let message = format!("unknown time zone `{}`", text.escape_debug());
    Diagnostic::error("bad-timezone", span, message, label)
        .help("IANA names; an offset such as \"+02:00\" has no daylight saving")
}

fn after(
    reader: &mut Reader<'_, '_>,
    id: &WorkId,
    field: &Field<'_>,
    jobs: &BTreeMap<String, Span>,
) -> Option<BTreeMap<ServiceName, Ending>> {
    let table = reader.table(field, "after = { report = \"succeeded\" }")?;
    let mut all = BTreeMap::new();
    for (name, item) in table.all() {
        let ending = reader.choice(&item, "way to end", manifest::Ending::WORDS);
        if name == id.name.as_str() {
            let message = format!("job `{name}` would wait for itself");
            reader.report(Diagnostic::error("dependency-cycle", item.key.clone(), message, "drop it"));
            continue;
        }
        if !jobs.contains_key(name) {
            let near =
                nearest(name, jobs.keys().map(String::as_str).filter(|other| *other != id.name.as_str()));
            let label = near.map_or_else(
                || "no file of the project has it".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("no job `{}` in project `{}`", name.escape_debug(), reader.context.project);
            reader.report(Diagnostic::error("unknown-job", item.key.clone(), message, label));
            continue;
        }
        let (Some(name), Some(ending)) = (ServiceName::new(name), ending) else { continue };
        let ending = match ending {
            "failed" => Ending::Failed,
            "finished" => Ending::Finished,
            _ => Ending::Succeeded,
        };
        all.insert(name, ending);
    }
    if all.is_empty() && table.all().next().is_none() {
        reader.error("missing-key", field.node, format!("`{}` names no job", field.path), "after which one?");
        return None;
    }
    Some(all)
}

/// What a service or job says of its image, beside everything else that it says. Kept apart, because a service whose image is
/// chosen is not run like the others.
#[must_use]
pub fn image_source(
    id: &ServiceId,
    table: &Table,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ImageSource> {
    let mut reader = Reader { context, diagnostics };
    image_policy::source(&mut reader, &Fields::new(table, format!("services.{}", id.service)), "Service")
}
