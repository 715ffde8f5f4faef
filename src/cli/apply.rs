//! `evenkeel apply`: converge once, wait for the gates, say how it ended.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::assemble::{self, Loaded, Word, load};
use super::context::{block_on, chain, client_failed, settings};
use super::order::exit_code;
use super::service::pick_all;
use super::show::{one_line, word};
use super::sources::Take;
use super::{build, code, out, progress, saved};
use crate::config::sources::Source;
use crate::config::{Flags, Settings, duration};
use crate::controller::apply::{Application, ApplyOutcome, ApplyReport, apply};
use crate::controller::clock::SystemClock;
use crate::controller::records::{Durable, Records};
use crate::controller::store::Store;
use crate::controller::works::Book;
use crate::controller::works::images::{Alone, Whom};
use crate::desired::ident::ServiceId;
use crate::engine::{Engine, Observe};
use crate::metrics::Metrics;
use crate::metrics::api::{GuardStatus, StatusReport};
use crate::metrics::client::Client;
use crate::secrets::Secrets;
use crate::source::read_snapshot;
use crate::state::condition::{Condition, ConditionKind, ServiceStatus};
use crate::{note, say};

/// How often a daemon is asked how far it is, and how long nothing may change before that counts as settled.
const LOOK: Duration = Duration::from_millis(500);
const STEADY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel apply                   converge this host once, and wait until everything has proved itself
  evenkeel apply web               only this service and what it needs
  evenkeel apply plan.json         exactly what `evenkeel plan -o plan.json` showed, or nothing
  evenkeel apply --timeout 5m --json
  evenkeel apply --allow-removals  also remove what the guard would hold back

Ends with 0 when all is as wanted, 1 on errors, 3 when a revision failed and was put back, 4 when a guard, a hold, a pause or a
closed window kept something from being done or a saved plan does not hold any more, 5 when the time was up.")]
pub struct ApplyArgs {
    /// Only these, with what they need (`project/service`, or `service` where that is clear); or one file with a saved plan
    services: Vec<String>,
    /// Longest to wait
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    timeout: u64,
    /// Consent to the removals that the guard holds back
    #[arg(long, short = 'y', visible_alias = "yes")]
    allow_removals: bool,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &ApplyArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let plan = match &*args.services {
        [one] if Path::new(one).is_file() => Some(Path::new(one)),
        _ => None,
    };
    block_on(async {
        match (Client::find(&settings.socket).await, plan) {
            (Ok(Some(_)), Some(_)) => {
                note!(
                    "a daemon runs here and converges this host by itself: a saved plan is for hosts without one"
                );
                code::REFUSED
            }
            (Ok(None), Some(file)) => carry_out(&settings, args, file).await,
            (Ok(Some(client)), None) => through_daemon(&client, &settings, args).await,
            (Ok(None), None) => here(&settings, args).await,
            (Err(error), _) => client_failed(error),
        }
    })
}

async fn here(settings: &Settings, args: &ApplyArgs) -> i32 {
    match converge(settings, args).await {
        Ok((report, errors)) => {
            show(&report, args.json);
            let code = outcome_code(report.outcome);
            // The others went on; what does not load is an error all the same.
            if errors && code == code::OK { code::ERROR } else { code }
        }
        Err(error) => out::fail(error),
    }
}

/// What is needed to converge, again and again.
struct Site<'a> {
    settings: &'a Settings,
    secrets: Arc<Secrets>,
    engine: Arc<dyn Engine>,
    word: Word,
    records: Arc<dyn Records>,
    book: Arc<Book>,
    loaded: Loaded,
    only: BTreeSet<ServiceId>,
    timeout: u64,
    json: bool,
}

impl Site<'_> {
    async fn apply(&self, consent: Option<String>) -> Result<ApplyReport, String> {
        let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
        let (engine, records) = (Arc::clone(&self.engine), Arc::clone(&self.records));
        let (shown, _screen) = progress::fitting(self.json);
        let parts = assemble::parts(self.settings, (engine, &self.word), records, metrics, shown);
        let application = Application {
            desired: self.loaded.desired.clone(),
            only: self.only.clone(),
            deadline_ms: self.timeout,
            consent,
            unchanged: assemble::unchanged(&self.loaded.directories),
        };
        apply(parts, application).await.map_err(|error| error.to_string())
    }

    /// Builds what the services need first. Returns whether something could not be built: then it stays as it is.
    async fn build(&mut self) -> Result<bool, String> {
        let needed = build::Needed {
            settings: self.settings,
            secrets: &self.secrets,
            engine: Arc::clone(&self.engine),
            records: Arc::clone(&self.records),
            book: Arc::clone(&self.book),
            only: &self.only,
            json: self.json,
        };
        let (changed, failed) = build::needed(needed, &self.loaded.desired).await?;
        if changed {
            // A commit that is read again is the same one.
            self.loaded = load(self.settings, &self.word, &self.secrets, Take::Newest)?;
        }
        Ok(failed)
    }

    /// Once more with consent, where the guard asks for it and somebody gives it.
    async fn apply_with_consent(&self, args: &ApplyArgs) -> Result<ApplyReport, String> {
        let report = self.apply(None).await?;
        match report.guard.clone() {
            Some(guard) if args.allow_removals || (!args.json && agreed(&guard)) => {
                self.apply(Some(guard.token)).await
            }
            _ => Ok(report),
        }
    }
}

/// Whether registries are asked for those services whose image was never chosen. Everything else is as it was chosen last: newer images
/// are for a daemon, or `evenkeel images --check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    Looked,
    AsKnown,
}

async fn site<'a>(
    settings: &'a Settings,
    timeout: u64,
    json: bool,
    images: Images,
) -> Result<Site<'a>, String> {
    let secrets = assemble::secrets(settings, false);
    let engine = assemble::engine(settings, &secrets)?;
    let word = Word::of(Arc::clone(&engine) as Arc<dyn Observe>).await;
    let mut loaded = load(settings, &word, &secrets, Take::Newest)?;
    let store = Store::open(&settings.state, &settings.instance).map_err(|error| chain(&error))?;
    let store = Arc::new(store);
    let records: Arc<dyn Records> = Arc::new(Durable::new(Arc::clone(&store)));
    let book = Arc::new(Book::read(&store).map_err(|error| chain(&error))?);
    if images == Images::Looked {
        let alone = Alone { records: &*records, book: &book, clock: &SystemClock };
        let registries = assemble::registries(settings, &secrets);
        let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
        let looked = alone.look(&loaded.desired, &Whom::Unanswered, &*registries, &*engine, &metrics).await;
        let found = looked.map_err(|error| error.to_string())?;
        for (service, why) in &found.troubles {
            note!("{service} has no image yet: {}", one_line(why));
        }
        if found.changed {
            loaded = load(settings, &word, &secrets, Take::Applied)?;
        }
    }
    let only = BTreeSet::new();
    Ok(Site { settings, secrets, engine, word, records, book, loaded, only, timeout, json })
}

/// Returns the report, and whether the files have errors.
async fn converge(settings: &Settings, args: &ApplyArgs) -> Result<(ApplyReport, bool), String> {
    let mut site = site(settings, args.timeout, args.json, Images::Looked).await?;
    for problem in &site.loaded.problems {
        note!("{}", one_line(&problem.headline()));
    }
    let known: Vec<ServiceId> = site.loaded.desired.services.keys().cloned().collect();
    site.only = pick_all(&args.services, &known)?.into_iter().collect();
    let failed = site.build().await?;
    let report = site.apply_with_consent(args).await?;
    Ok((report, failed || site.loaded.problems.iter().any(|problem| problem.is_error())))
}

/// Carries out a saved plan, if everything is as it was when it was made.
async fn carry_out(settings: &Settings, args: &ApplyArgs, file: &Path) -> i32 {
    let checked = async {
        let plan = saved::read(file)?;
        let mut site = site(settings, args.timeout, args.json, Images::AsKnown).await?;
        site.only = saved::only(&plan);
        let (engine, loaded) = (&*site.engine, &site.loaded);
        let gone = site.only.iter().find(|id| !loaded.desired.services.contains_key(*id));
        let digest = &loaded.snapshot.revision.digest;
        let objections = match gone {
            Some(id) => vec![format!("no file defines {id} any more")],
            None => {
                let made = saved::make(settings, engine, &*site.records, &loaded.desired, &site.only).await?;
                saved::objections(&plan, settings, digest, &site.only, &made)
            }
        };
        Ok::<_, String>((site, objections))
    };
    let (site, objections) = match checked.await {
        Ok(checked) => checked,
        Err(error) => return out::fail(error),
    };
    if !objections.is_empty() {
        note!("{} does not hold any more, and nothing was done:", file.display());
        objections.iter().for_each(|text| note!("  {}", one_line(text)));
        note!("look at it again: evenkeel plan -o {}", file.display());
        return code::REFUSED;
    }
    match site.apply_with_consent(args).await {
        Ok(report) => {
            show(&report, args.json);
            outcome_code(report.outcome)
        }
        Err(error) => out::fail(error),
    }
}

/// Converges one service after its record was changed by hand.
///
/// # Errors
/// A sentence: it could not begin.
pub(super) async fn one(
    settings: &Settings,
    id: &ServiceId,
    timeout: u64,
    json: bool,
) -> Result<ApplyReport, String> {
    let mut site = site(settings, timeout, json, Images::AsKnown).await?;
    site.only.insert(id.clone());
    site.apply(None).await
}

/// Asks on a terminal; anywhere else nobody agreed.
fn agreed(guard: &GuardStatus) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    note!("{}", one_line(&guard.reason));
    note!("remove {}? Volumes stay. [y/N]", guard.services.join(", "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

pub(super) fn outcome_code(outcome: ApplyOutcome) -> i32 {
    match outcome {
        ApplyOutcome::Converged => code::OK,
        ApplyOutcome::RolledBack => code::ROLLED_BACK,
        ApplyOutcome::Refused => code::REFUSED,
        ApplyOutcome::TimedOut => code::TIMED_OUT,
        ApplyOutcome::Failed => code::ERROR,
    }
}

pub(super) fn show(report: &ApplyReport, json: bool) {
    if json {
        out::json(report);
        return;
    }
    for (object, condition) in &report.objects {
        line(object, condition);
    }
    for service in &report.services {
        line(&service.service, &service.condition);
    }
    if let Some(guard) = &report.guard {
        waits(guard);
    }
    say!("{}", conclusion(report));
}

fn line(name: &str, condition: &Condition) {
    say!("{name} is {}: {}", word(condition), one_line(&condition.message));
}

fn waits(guard: &GuardStatus) {
    note!("{}", one_line(&guard.reason));
    note!("left as they are: {}; to let them go: evenkeel apply --allow-removals", guard.services.join(", "));
}

fn conclusion(report: &ApplyReport) -> String {
    let steps = report.actions.len();
    let what = match report.outcome {
        ApplyOutcome::Converged if steps == 0 => return "nothing to do".to_owned(),
        ApplyOutcome::Converged => "converged",
        ApplyOutcome::RolledBack => "a revision failed and was put back (evenkeel why tells more)",
        ApplyOutcome::Refused => "something was kept from being done",
        ApplyOutcome::TimedOut => "the time is up before everything settled; run it again to go on",
        ApplyOutcome::Failed => "something failed (evenkeel why tells more)",
    };
    let plural = if steps == 1 { "step" } else { "steps" };
    format!("{what}, {steps} {plural} taken")
}

/// The daemon has the state: it is asked to look now, and watched until everything has settled.
async fn through_daemon(client: &Client, settings: &Settings, args: &ApplyArgs) -> i32 {
    match watched(client, settings, args).await {
        Ok((report, settled)) => {
            if args.json {
                out::json(&report);
            } else {
                report.services.iter().for_each(|row| line(&row.service, &row.condition));
                report.host.guard.iter().for_each(waits);
            }
            daemon_code(&report, settled)
        }
        Err(code) => code,
    }
}

async fn watched(
    client: &Client,
    settings: &Settings,
    args: &ApplyArgs,
) -> Result<(StatusReport, bool), i32> {
    let first = client.status().await.map_err(client_failed)?;
    let known: Vec<ServiceId> =
        first.services.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
    let only: BTreeSet<String> =
        pick_all(&args.services, &known).map_err(out::fail)?.iter().map(ToString::to_string).collect();
    client.sync().await.map_err(client_failed)?;
    if !args.json {
        note!("a daemon runs (instance {}): it was told to look now", first.host.instance);
    }
    // The files as they are now, where the daemon reads the same: it must have seen them before anything is said of them.
    // Of several sources, or a repository, the daemon tells itself when it has asked them.
    let wanted = match settings.sources.as_slice() {
        [Source::Directory { path, .. }] => read_snapshot(path).ok().map(|snapshot| snapshot.revision.digest),
        _ => None,
    };
    let sources = first.host.desired.sources;
    let asked = super::sync::all_tried(client, &sources, Duration::from_millis(args.timeout)).await?;
    for source in asked.iter().filter(|source| source.trouble.is_some()) {
        note!("{}: {}", source.name, one_line(source.trouble.as_deref().unwrap_or_default()));
    }
    let start = Instant::now();
    let mut steady = (Instant::now(), Vec::<Condition>::new());
    let mut consented = false;
    loop {
        let mut report = client.status().await.map_err(client_failed)?;
        if let (true, false, Some(guard)) = (args.allow_removals, consented, &report.host.guard) {
            client.approve(&guard.token).await.map_err(client_failed)?;
            consented = true;
        }
        report.services.retain(|row| only.is_empty() || only.contains(&row.service));
        let now: Vec<Condition> = report.services.iter().map(|row| row.condition.clone()).collect();
        if now != steady.1 {
            steady = (Instant::now(), now);
        }
        let seen = wanted.as_ref().is_none_or(|digest| {
            // What is behind it counts how often the same files meant something else (`controller/refresh.rs`).
            report.host.desired.revision.split('-').next() == Some(digest)
        }) || start.elapsed() > 3 * STEADY;
        let settled = |row: &ServiceStatus| row.condition.kind.is_settled();
        if seen && steady.0.elapsed() >= STEADY && report.services.iter().all(settled) {
            return Ok((report, true));
        }
        if start.elapsed() >= Duration::from_millis(args.timeout) {
            return Ok((report, false));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn daemon_code(report: &StatusReport, settled: bool) -> i32 {
    let codes: BTreeSet<i32> = report.services.iter().map(|row| exit_code(row.condition.kind)).collect();
    let kept = |row: &ServiceStatus| {
        matches!(
            row.condition.kind,
            ConditionKind::Held
                | ConditionKind::Paused
                | ConditionKind::AwaitingApproval
                | ConditionKind::AwaitingWindow
        )
    };
    let held = report.services.iter().any(kept);
    let files = !report.host.desired.broken_files.is_empty() || report.host.desired.trouble.is_some();
    if codes.contains(&code::ERROR) || files {
        code::ERROR
    } else if !settled {
        code::TIMED_OUT
    } else if codes.contains(&code::ROLLED_BACK) {
        code::ROLLED_BACK
    } else if codes.contains(&code::REFUSED) || held || report.host.guard.is_some() {
        code::REFUSED
    } else {
        code::OK
    }
}
