//! The kept revisions of a service, for the commands that show them.

use super::context::{Host, chain, client_failed};
use super::out;
use super::service::pick;
use super::show::{Cell, Table, one_line, revision};
use crate::config::Settings;
use crate::desired::ident::ServiceId;
use crate::metrics::api::RevisionRow;
use crate::state::record::RevisionVerdict;

/// Kept revisions, newest first.
///
/// # Errors
/// An exit code, after saying why.
pub(super) async fn of(settings: &Settings, service: &str) -> Result<Vec<RevisionRow>, i32> {
    match Host::find(settings).await? {
        Host::Daemon(client) => {
            let status = client.status().await.map_err(client_failed)?;
            let known: Vec<ServiceId> =
                status.services.iter().filter_map(|row| ServiceId::parse(&row.service)).collect();
            let id = pick(service, &known).map_err(out::fail)?;
            client.why(&id).await.map(|report| report.revisions).map_err(client_failed)
        }
        Host::Alone(store) => {
            let records = store.load_all().map_err(|error| out::fail(chain(&error)))?;
            let id = pick(service, &records.keys().cloned().collect::<Vec<_>>()).map_err(out::fail)?;
            let record = records.get(&id).cloned().unwrap_or_default();
            let good = record.good.as_ref();
            let rows = record.revisions.iter().rev();
            Ok(rows.map(|kept| RevisionRow::of(kept, good == Some(&kept.id))).collect())
        }
    }
}

/// What came of it, in a word or two.
pub(super) fn outcome(row: &RevisionRow) -> (&'static str, anstyle::Style) {
    match &row.verdict {
        RevisionVerdict::Good if row.good => ("good, the one to go back to", out::GOOD),
        RevisionVerdict::Good => ("was good", out::DIM),
        RevisionVerdict::Candidate => ("not proved yet", out::CHANGE),
        RevisionVerdict::Rejected { .. } => ("rejected", out::BAD),
    }
}

pub(super) fn show(rows: &[RevisionRow]) {
    let header = ["REVISION", "IMAGE", "DIGEST", "SINCE", "GOOD SINCE", "OUTCOME", "REASON"];
    let mut lines = Table::new(&header);
    for row in rows {
        let (word, style) = outcome(row);
        let reason = match &row.verdict {
            RevisionVerdict::Rejected { reason, .. } => reason,
            RevisionVerdict::Good | RevisionVerdict::Candidate => &row.cause,
        };
        lines.row([
            revision(Some(row.number), Some(&row.id)).into(),
            row.image.as_str().into(),
            digest(row).into(),
            row.since.to_string().into(),
            row.good_since.map_or_else(|| "-".to_owned(), |at| at.to_string()).into(),
            Cell::styled(word, style),
            one_line(reason).into(),
        ]);
    }
    lines.print();
}

/// The digest it was pulled by; a local build has none, and its image's id says the same.
fn digest(row: &RevisionRow) -> String {
    let digest = row.digest.as_deref().and_then(|digest| digest.rsplit_once('@')).map(|(_, digest)| digest);
    let short = digest.and_then(|digest| digest.get(..19));
    short.map_or_else(|| format!("id {}", row.image_id), str::to_owned)
}
