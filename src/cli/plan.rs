//! `evenkeel plan`: what would be done, and why. It is given an engine that cannot write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::assemble::{Loaded, Word, load};
use super::context::{block_on, chain, settings};
use super::observed::Remote;
use super::run::EngineKind;
use super::saved::{Made, make, write};
use super::service::pick_all;
use super::show::one_line;
use super::sources::Take;
use super::{code, look, out};
use crate::config::{Flags, Settings, sources};
use crate::controller::clock;
use crate::controller::preview::{ObjectPlan, PlanReport, PlannedStep, ServiceAction, ServicePlan};
use crate::controller::records::Durable;
use crate::controller::saved::{SavedPlan, Subject};
use crate::controller::store::Store;
use crate::desired::ident::ServiceId;
use crate::engine::{Observe, sim};
use crate::state::diff::{Effect, FieldDifference};
use crate::{note, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel plan                    what would change on this host, field by field, with cause and order
  evenkeel plan web                only this service and what it needs
  evenkeel plan --detailed-exitcode || echo \"ends with 2 when there is something to do\"
  evenkeel plan --engine simulated what an empty host would get; needs no engine
  evenkeel plan --observed fra1.json what host fra1 would do (evenkeel observe > fra1.json, there); needs no engine
  evenkeel plan -o plan.json       save it; `evenkeel apply plan.json` does exactly this, or refuses
  evenkeel plan --ref my-branch    what merging this branch of the repository would do here
  evenkeel plan --json | jq '.services[] | select(.action != \"none\")'

It only reads: with or without a running daemon, it changes nothing.")]
pub struct PlanArgs {
    /// Only these, with what they need (`project/service`, or `service` where that is clear)
    services: Vec<String>,
    /// Plan for this host, or for an empty one that exists in memory only
    #[arg(long, value_enum, default_value_t = EngineKind::Docker)]
    engine: EngineKind,
    /// Plan for the host that `evenkeel observe` saved in this file, without any engine
    #[arg(long, value_name = "FILE", conflicts_with = "engine")]
    observed: Option<PathBuf>,
    /// Save the plan to this file too, for `evenkeel apply FILE`
    #[arg(long, short, value_name = "FILE", conflicts_with = "engine")]
    output: Option<PathBuf>,
    /// Plan for this branch or tag of the repository, as if it were merged
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
    /// End with 2 when something would be done
    #[arg(long)]
    detailed_exitcode: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    pending: bool,
    #[serde(flatten)]
    report: &'a PlanReport,
    /// What is wrong in the files.
    problems: Vec<String>,
}

pub(super) fn run(flags: &Flags, args: &PlanArgs) -> i32 {
    let mut settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Some(Err(why)) = args.reference.as_ref().map(|name| sources::at(&mut settings.sources, name)) {
        return out::fail(format_args!("--ref: {why}"));
    }
    block_on(async {
        let planned = match &args.observed {
            Some(file) => remote(&settings, flags, args, file).await,
            None => plan(&settings, args).await,
        };
        match planned {
            Ok(made) => finish(&made, args),
            Err(error) => out::fail(error),
        }
    })
}

/// A plan with the files it is for.
struct Planned {
    report: PlanReport,
    loaded: Loaded,
    /// To be written down.
    saved: SavedPlan,
}

/// The plan that another host would make.
async fn remote(settings: &Settings, flags: &Flags, args: &PlanArgs, file: &Path) -> Result<Planned, String> {
    let remote = Remote::load(settings, flags, file)?;
    let saved = remote.plan(&args.services).await?;
    if !args.json {
        note!("as host {} was at {}", remote.observation.host, remote.observation.at());
    }
    Ok(Planned { report: saved.report.clone(), loaded: remote.loaded, saved })
}

async fn plan(settings: &Settings, args: &PlanArgs) -> Result<Planned, String> {
    let engine: Arc<dyn Observe> = match args.engine {
        EngineKind::Docker => look::engine(settings)?,
        EngineKind::Simulated => Arc::new(sim::Sim::from(sim::Host::any_image())),
    };
    let word = Word::of(Arc::clone(&engine)).await;
    let loaded = load(settings, &word, &super::assemble::secrets(settings, true), Take::Preview)?;
    let known: Vec<ServiceId> = loaded.desired.services.keys().cloned().collect();
    let only: BTreeSet<ServiceId> = pick_all(&args.services, &known)?.into_iter().collect();
    let store = match args.engine {
        EngineKind::Docker => Store::open_read_only(&settings.state),
        EngineKind::Simulated => Store::in_memory(&settings.instance),
    };
    let store = Durable::new(Arc::new(store.map_err(|error| chain(&error))?));
    let Made { report, basis } = make(settings, &*engine, &store, &loaded.desired, &only).await?;
    let (host, instance) = (&settings.host, &settings.instance);
    let desired = &loaded.snapshot.revision.digest;
    let subject = Subject { host, instance, desired, only: &only, at: clock::wall() };
    let saved = SavedPlan::new(&subject, basis, report.clone());
    Ok(Planned { report, loaded, saved })
}

fn finish(planned: &Planned, args: &PlanArgs) -> i32 {
    let Planned { report, loaded, saved } = planned;
    if args.json {
        let problems = loaded.problems.iter().map(|problem| problem.headline()).collect();
        out::json(&Printed { pending: report.pending(), report, problems });
    } else {
        if args.engine == EngineKind::Simulated {
            note!("SIMULATED ENGINE: this is the plan for an empty host, not for this one");
        }
        for problem in &loaded.problems {
            note!("{}", one_line(&problem.headline()));
        }
        show(report);
    }
    if loaded.problems.iter().any(|problem| problem.is_error()) {
        if args.output.is_some() {
            note!("the files have errors, so no plan was saved");
        }
        return code::ERROR;
    }
    if let Some(file) = &args.output {
        if let Err(error) = write(file, saved) {
            return out::fail(error);
        }
        note!("saved; on host {}: evenkeel apply {}", saved.host, file.display());
    }
    let waiting = report.pending() || report.guard.is_some();
    if args.detailed_exitcode && waiting { code::CHANGES } else { code::OK }
}

fn show(report: &PlanReport) {
    report.objects.iter().for_each(object);
    let width = report.services.iter().map(|plan| plan.service.len()).max().unwrap_or(0);
    for plan in &report.services {
        service(plan, width);
    }
    if let Some(guard) = &report.guard {
        let style = out::BAD;
        say!("{style}!{style:#} {}", one_line(&guard.reason));
        say!(
            "    to let {} go: evenkeel apply --allow-removals, or evenkeel approve {}",
            guard.services.join(", "),
            guard.token
        );
    }
    for image in &report.assumed_images {
        note!("{image} is not on this host: the plan assumes that it can be pulled");
    }
    if report.unsettled {
        note!("the plan ends before everything is settled: something waits for longer than two hours");
    }
    say!("{}", summary(report));
}

/// Marker, words, and the colour of both.
fn words(action: ServiceAction) -> (char, &'static str, anstyle::Style) {
    match action {
        ServiceAction::None => ('=', "unchanged", out::DIM),
        ServiceAction::Create => ('+', "create", out::GOOD),
        ServiceAction::Replace => ('~', "replace", out::CHANGE),
        ServiceAction::Scale => ('~', "scale", out::CHANGE),
        ServiceAction::Update => ('~', "update in place", out::CHANGE),
        ServiceAction::Start => ('~', "start", out::CHANGE),
        ServiceAction::Remove => ('-', "remove", out::BAD),
        ServiceAction::Frozen => ('!', "frozen: its file does not load", out::BAD),
        ServiceAction::NotRun => ('!', "left as it is: not run by this version", out::CHANGE),
        ServiceAction::Held => ('!', "held", out::CHANGE),
        ServiceAction::Paused => ('!', "paused", out::CHANGE),
        ServiceAction::AwaitingApproval => ('!', "waits for approval", out::CHANGE),
        ServiceAction::AwaitingWindow => ('!', "waits for its window", out::CHANGE),
        ServiceAction::Kept => ('!', "kept, though no file wants it", out::CHANGE),
        ServiceAction::Refused => ('!', "removal waits for consent", out::BAD),
        ServiceAction::Blocked => ('!', "blocked", out::BAD),
    }
}

fn service(plan: &ServicePlan, width: usize) {
    let (marker, word, style) = words(plan.action);
    let order = plan.order.as_ref().map(|order| format!(" ({order})")).unwrap_or_default();
    let dim = out::DIM;
    say!(
        "{style}{marker}{style:#} {:<width$}  {style}{word}{style:#}{order}  {dim}{}{dim:#}",
        plan.service,
        plan.source
    );
    differences(&plan.differences);
    steps(&plan.steps);
    let told = matches!(plan.action, ServiceAction::None) || plan.condition.is_none();
    if let (false, Some(condition)) = (told, &plan.condition) {
        // What is paused is so now; the others end so when the steps are taken.
        let now = matches!(
            plan.action,
            ServiceAction::Paused | ServiceAction::AwaitingApproval | ServiceAction::AwaitingWindow
        );
        let then = if now { "" } else { "then " };
        say!("    {then}{}: {}", super::show::word(condition), one_line(&condition.message));
    }
}

fn differences(differences: &[FieldDifference]) {
    let width = differences.iter().map(|found| found.path.len()).max().unwrap_or(0);
    for FieldDifference { path, old, new, effect } in differences {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "not set".to_owned(), one_line);
        let cost = match effect {
            Effect::Replace => "",
            Effect::Live => "  (in place)",
            Effect::None => "  (touches no container)",
        };
        say!("    {path:<width$}  {} -> {}{cost}", value(old), value(new));
    }
}

/// Each with its cause, a long one once: `as 2` is the cause of the second step.
fn steps(steps: &[PlannedStep]) {
    let dim = out::DIM;
    for (index, step) in steps.iter().enumerate() {
        let before = steps.iter().take(index).map(|earlier| &*earlier.cause).enumerate();
        let same = before.filter_map(|(at, cause)| Some((at + 1, step.cause.strip_prefix(cause)?))).next();
        let cause = match same {
            Some((at, "")) => format!("as {at}"),
            Some((at, rest)) if rest.starts_with("; ") => format!("as {at}{}", one_line(rest)),
            _ => one_line(&step.cause),
        };
        say!("    {:>2}. {}  {dim}({cause}){dim:#}", index + 1, one_line(&step.step));
    }
}

fn object(plan: &ObjectPlan) {
    let (marker, style) = if plan.steps.is_empty() { ('!', out::BAD) } else { ('+', out::GOOD) };
    say!("{style}{marker}{style:#} {}", plan.object);
    for step in &plan.steps {
        say!("    {} ({})", one_line(&step.step), one_line(&step.cause));
    }
    if let Some(condition) = &plan.condition {
        say!("    {}: {}", super::show::word(condition), one_line(&condition.message));
    }
}

fn summary(report: &PlanReport) -> String {
    use ServiceAction as Action;
    let count =
        |wanted: &[Action]| report.services.iter().filter(|plan| wanted.contains(&plan.action)).count();
    let held_back = [
        Action::Frozen,
        Action::NotRun,
        Action::Held,
        Action::Paused,
        Action::AwaitingApproval,
        Action::AwaitingWindow,
        Action::Kept,
        Action::Refused,
        Action::Blocked,
    ];
    let parts = [
        (count(&[Action::Replace]), "to replace"),
        (count(&[Action::Create]), "to create"),
        (count(&[Action::Scale, Action::Update, Action::Start]), "to change"),
        (count(&[Action::Remove]), "to remove"),
        (count(&held_back), "left as they are"),
        (count(&[Action::None]), "unchanged"),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    match (told.is_empty(), report.pending()) {
        (true, _) => "no services".to_owned(),
        (false, true) => told.join(", "),
        (false, false) => format!("{}: nothing to do", told.join(", ")),
    }
}
