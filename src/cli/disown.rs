//! `evenkeel disown`: gives a service or a project back as it runs.

use clap::Args;

use super::adopt::alone;
use super::context::{block_on, chain, client_failed, settings};
use super::{code, out};
use crate::config::Flags;
use crate::controller::disown::disown;
use crate::metrics::adoption::DisownReport;
use crate::metrics::client::Client;
use crate::say;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel disown shop/web         the service: its containers run on, evenkeel leaves them alone
  evenkeel disown shop             the project, with its networks and volumes

While files still define it, it is left alone until it leaves them; evenkeel adopt takes it again.")]
pub struct DisownArgs {
    /// `project/service`, or a whole project
    what: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags, args: &DisownArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        let report = match Client::find(&settings.socket).await {
            Ok(Some(client)) => client.disown(&args.what).await.map_err(|error| chain(&error)),
            Ok(None) => match alone(&settings).await {
                Ok(host) => disown(&host, &args.what).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            },
            Err(error) => return client_failed(error),
        };
        match report {
            Ok(report) if args.json => out::json(&report),
            Ok(report) => show(&report),
            Err(error) => out::fail(error),
        }
    })
}

fn show(report: &DisownReport) -> i32 {
    let services = report.services.join(", ");
    say!("{services}: given back, with {} containers that run on", report.containers.len());
    for (kind, names) in [("network", &report.networks), ("volume", &report.volumes)] {
        for name in names {
            say!("{kind} {name}: given back");
        }
    }
    if !report.still_defined.is_empty() {
        say!(
            "files still define {}: take them out when it suits; until then they are left alone",
            report.still_defined.join(", ")
        );
    }
    code::OK
}
