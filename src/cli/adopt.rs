//! `evenkeel adopt`: shows what would be taken over, asks, and takes it over as it runs.

mod by_hand;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::assemble::{self, Word, load};
use super::context::{block_on, chain, client_failed, settings};
use super::show::one_line;
use super::sources::Take;
use super::{code, out};
use crate::config::{Flags, Settings};
use crate::controller::adopt::{adopt, by_itself};
use crate::controller::host::Host;
use crate::controller::progress::Silent;
use crate::controller::records::Durable;
use crate::controller::store::Store;
use crate::engine::Observe;
use crate::metrics::Metrics;
use crate::metrics::adoption::{
    AdoptRequest, AdoptionReport, ContainerRequest, ObjectAdoption, ServiceAdoption,
};
use crate::metrics::client::Client;
use crate::state::adoption::Consequence;
use crate::state::diff::{Effect, FieldDifference};
use crate::{note, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel adopt shop                          what docker compose started as `shop`: shows it, asks, takes it over
  evenkeel adopt shop --dry-run                only shows it
  evenkeel adopt shop --yes --replace          without asking; what the files say otherwise is rolled out at once
  evenkeel adopt --container web -o desired/shop/web.toml --as shop/web
                                               writes down a container that was started by hand

No container is restarted, changed or renamed by being adopted. Where the files differ in what only a new container can change, the service is held
as it runs until its definition changes or `evenkeel release`.")]
pub struct AdoptArgs {
    /// The project, as docker compose calls it and a folder of the desired state is called
    #[arg(required_unless_present = "container")]
    project: Option<String>,
    /// A container that was started by hand: its definition is written as TOML
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    container: Option<String>,
    /// What the container becomes; with files that define it, it is adopted as that
    #[arg(long = "as", value_name = "PROJECT/SERVICE", requires = "container")]
    service: Option<String>,
    /// Where to write the definition [default: standard output]
    #[arg(long, short, value_name = "FILE", requires = "container")]
    output: Option<PathBuf>,
    /// Roll out at once what differs, instead of holding the service as it runs
    #[arg(long)]
    replace: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only show what would be taken over
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &AdoptArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        let mut request = AdoptRequest {
            project: args.project.clone().unwrap_or_default(),
            replace: args.replace,
            ..AdoptRequest::default()
        };
        if let Some(name) = &args.container {
            match by_hand::write_down(&settings, args, name).await {
                Ok(Some((project, service))) => {
                    request.project = project;
                    request.container = Some(ContainerRequest { name: name.clone(), service });
                }
                Ok(None) => return code::OK,
                Err(error) => return out::fail(error),
            }
        }
        match Client::find(&settings.socket).await {
            Ok(Some(client)) => through(&Way::Daemon(client), request, args).await,
            Ok(None) => match alone(&settings).await {
                Ok(host) => through(&Way::Alone(Box::new(host)), request, args).await,
                Err(error) => out::fail(error),
            },
            Err(error) => client_failed(error),
        }
    })
}

/// Who takes over.
enum Way {
    Daemon(Client),
    Alone(Box<Host>),
}

impl Way {
    async fn adopt(&self, request: &AdoptRequest) -> Result<AdoptionReport, String> {
        match self {
            Self::Daemon(client) => client.adopt(request).await.map_err(|error| chain(&error)),
            Self::Alone(host) => adopt(host, request).await.map_err(|error| error.to_string()),
        }
    }
}

/// A host of our own, under the store's lock.
pub(super) async fn alone(settings: &Settings) -> Result<Host, String> {
    let store = Store::open(&settings.state, &settings.instance).map_err(|error| chain(&error))?;
    let secrets = assemble::secrets(settings, false);
    let engine = assemble::engine(settings, &secrets)?;
    let word = Word::of(Arc::clone(&engine) as Arc<dyn Observe>).await;
    let loaded = load(settings, &word, &secrets, Take::Newest)?;
    for problem in &loaded.problems {
        note!("{}", one_line(&problem.headline()));
    }
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let records = Arc::new(Durable::new(Arc::new(store)));
    by_itself(assemble::parts(settings, (engine, &word), records, metrics, Arc::new(Silent)), loaded.desired)
        .await
}

async fn through(way: &Way, mut request: AdoptRequest, args: &AdoptArgs) -> i32 {
    let shown = match patiently(way, &request, args.output.is_some()).await {
        Ok(report) => report,
        Err(error) => return out::fail(error),
    };
    if args.dry_run || shown.is_empty() {
        if args.json {
            return out::json(&shown);
        }
        show(&shown);
        return code::OK;
    }
    if !args.json {
        show(&shown);
    }
    let consent = args.yes || (!args.json && agreed(&shown));
    if !consent {
        note!("nothing was adopted; without being asked: evenkeel adopt {} --yes", shown.project);
        return code::REFUSED;
    }
    request.token = Some(shown.token);
    match way.adopt(&request).await {
        Ok(report) if args.json => out::json(&report),
        Ok(report) => {
            say!("{}", conclusion(&report, matches!(way, Way::Daemon(_))));
            code::OK
        }
        Err(error) => out::fail(error),
    }
}

/// A daemon sees a file a moment after it was written.
async fn patiently(way: &Way, request: &AdoptRequest, just_written: bool) -> Result<AdoptionReport, String> {
    let mut answer = way.adopt(request).await;
    for _ in 0..20 {
        let seen = answer.as_ref().is_ok_and(|report| !report.services.is_empty());
        if seen || !just_written || matches!(way, Way::Alone(_)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        answer = way.adopt(request).await;
    }
    answer
}

fn show(report: &AdoptionReport) {
    if report.is_empty() {
        say!("nothing of {} is to be adopted", report.project);
    }
    report.services.iter().for_each(show_service);
    for (kind, objects) in [("network", &report.networks), ("volume", &report.volumes)] {
        for ObjectAdoption { name, differences } in objects {
            say!("{kind} {name}");
            differences.iter().for_each(show_difference);
        }
    }
    for text in &report.notes {
        say!("note: {}", one_line(text));
    }
}

fn show_service(service: &ServiceAdoption) {
    let containers: Vec<String> =
        service.containers.iter().map(|one| format!("{} ({}, {})", one.name, one.id, one.state)).collect();
    say!("{}: {}", service.service, containers.join(", "));
    for difference in &service.differences {
        show_difference(difference);
    }
    let then = match service.consequence {
        Consequence::Nothing => "as the files say: nothing changes",
        Consequence::InPlace => "then changed in place, without a restart",
        Consequence::Held => {
            "held as it runs until its definition changes or `evenkeel release`; --replace rolls the files out now"
        }
        Consequence::RolledOut => "then replaced by what the files say",
    };
    say!("    {then}");
}

fn show_difference(difference: &FieldDifference) {
    let FieldDifference { path, old, new, effect } = difference;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    let cost = match effect {
        Effect::Replace => "  (a new container)",
        Effect::Live | Effect::None => "",
    };
    say!("    {path}: {} -> {}{cost}", one_line(&text(old)), one_line(&text(new)));
}

/// Asks on a terminal; anywhere else nobody agreed.
fn agreed(report: &AdoptionReport) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    note!("adopt {}? Nothing is restarted by it. [y/N]", report.project);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn conclusion(report: &AdoptionReport, daemon: bool) -> String {
    let containers: usize = report.services.iter().map(|service| service.containers.len()).sum();
    let held = report.services.iter().filter(|service| service.consequence == Consequence::Held).count();
    let mut text = format!("adopted {} as it runs: {containers} containers", report.project);
    if held > 0 {
        text.push_str(&format!(", {held} services held (evenkeel status)"));
    }
    let pending = report
        .services
        .iter()
        .any(|service| matches!(service.consequence, Consequence::InPlace | Consequence::RolledOut));
    if pending && !daemon {
        text.push_str("; evenkeel apply, or evenkeel run, brings it to what the files say");
    }
    text
}
