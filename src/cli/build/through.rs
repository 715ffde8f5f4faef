//! The daemon builds; its log is shown meanwhile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use super::{BuildArgs, Told, conclude};
use crate::cli::context::client_failed;
use crate::cli::show::clean;
use crate::cli::{code, out};
use crate::controller::works::builds::report::{BuildAccepted, BuildReport, BuildRequest, LogPart};
use crate::metrics::api::WorkQuery;
use crate::metrics::client::{Client, ClientError};
use crate::note;

/// Between two looks at the daemon's log.
const LOOK: Duration = Duration::from_millis(300);

/// Logs as far as they were shown, by name and id.
#[derive(Default)]
struct Shown(BTreeMap<(String, String), u64>);

pub(super) async fn build(client: &Client, args: &BuildArgs) -> i32 {
    match watched(client, args).await {
        Ok(code) => code,
        Err(error) => client_failed(error),
    }
}

async fn watched(client: &Client, args: &BuildArgs) -> Result<i32, ClientError> {
    let request =
        BuildRequest { names: args.names.clone(), reference: args.reference.clone(), no_push: args.no_push };
    let accepted: BuildAccepted = client.work_order("builds", "build", &request).await?;
    let start = Instant::now();
    let mut shown = Shown::default();
    loop {
        let reports: Vec<BuildReport> = client.work("builds", &WorkQuery::new()).await?;
        for report in &reports {
            shown.more(client, report, args.json).await?;
        }
        let own: Vec<&BuildReport> =
            reports.iter().filter(|report| accepted.names.contains(&report.name)).collect();
        let told: Vec<Told> = own.iter().filter_map(|report| answered(report, accepted.number)).collect();
        if told.len() == own.len() {
            return Ok(conclude(&told, args.json));
        }
        if start.elapsed() >= Duration::from_millis(args.timeout) {
            conclude(&told, args.json);
            note!("the time is up; the daemon goes on (evenkeel build --list)");
            return Ok(code::TIMED_OUT);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn answered(report: &BuildReport, number: u64) -> Option<Told> {
    let answer = report.answer.as_ref().filter(|answer| answer.number >= number)?;
    Some(Told { name: report.name.clone(), outcome: answer.outcome.clone()? })
}

impl Shown {
    /// What the build in hand printed since the last look, and the rest of those that ended meanwhile.
    async fn more(&mut self, client: &Client, report: &BuildReport, json: bool) -> Result<(), ClientError> {
        if json {
            return Ok(());
        }
        let begun = report.building.as_ref().map(|building| building.id.clone());
        if let Some(id) = &begun {
            let key = (report.name.clone(), id.clone());
            if let Entry::Vacant(new) = self.0.entry(key) {
                let why =
                    report.building.as_ref().map(|building| building.causes.join("; ")).unwrap_or_default();
                note!("{}: building {id}: {why}", report.name);
                new.insert(0);
            }
        }
        let open: Vec<(String, String)> =
            self.0.keys().filter(|(name, _)| *name == report.name).cloned().collect();
        for key in open {
            loop {
                let from = self.0.get(&key).copied().unwrap_or_default();
                let asked = [("name", key.0.clone()), ("log", key.1.clone()), ("from", from.to_string())];
                let asked = asked.map(|(key, value)| (key.to_owned(), value)).into();
                let part: LogPart = match client.work("builds", &asked).await {
                    Ok(part) => part,
                    // It was not kept.
                    Err(ClientError::Refused(_)) => break,
                    Err(error) => return Err(error),
                };
                if part.text.is_empty() {
                    break;
                }
                out::print(format_args!("{}", clean(&part.text)));
                self.0.insert(key.clone(), part.next);
            }
            if begun.as_ref() != Some(&key.1) {
                self.0.remove(&key);
            }
        }
        Ok(())
    }
}
