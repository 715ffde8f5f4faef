//! Pruning: look at everything, decide (`state::prune`), and do no more than that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Ground;
use crate::controller::host::Host;
use crate::controller::store::{Note, decoded};
use crate::controller::wish::Wish;
use crate::desired::Wanted;
use crate::desired::ident::ServiceId;
use crate::desired::work::answers::Answers;
use crate::desired::work::{ArtifactSource, Runs};
use crate::state::observed::ImageId;
use crate::state::prune::{Disposal, Grounds, Pruning, Rule, named};
use crate::state::record::Record;
use crate::state::time::Timestamp;

/// Notes: since when an image has been found unused.
const UNUSED: &str = "unused";
/// Lines of history that are looked through for what services have had.
const HISTORY: usize = 20_000;

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    pub at: Timestamp,
    pub rule: Rule,
    /// Removed; in a preview: what would be.
    pub goes: Vec<Disposal>,
    pub failed: Vec<Failed>,
    /// Why nothing was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What could not be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub what: Disposal,
    pub why: String,
}

impl PruneReport {
    pub(super) fn of(rule: Rule, host: &Host, goes: Vec<Disposal>) -> Self {
        Self { at: host.clock.now().wall, rule, goes, ..Self::default() }
    }

    pub(super) fn failed(rule: Rule, host: &Host, trouble: String) -> Self {
        Self { trouble: Some(trouble), ..Self::of(rule, host, Vec::new()) }
    }
}

/// Decides what may go now. What was found unused is remembered, so that its time counts.
///
/// # Errors
/// A sentence: something could not be read, or a file does not load, and without it nobody knows what is needed.
pub async fn look(host: &Host, ground: &Ground, rule: Rule) -> Result<Pruning, String> {
    // The stock first: what comes into use from here on is in what is read after it.
    let stock = ground.engine.stock().await.map_err(|error| error.to_string())?;
    let wish = host.wish().ok_or("the desired state was not read yet; try again in a moment")?;
    if let Some(file) = wish.state.broken.keys().next() {
        return Err(format!(
            "nothing is pruned while {file} does not load, because what it names may be needed"
        ));
    }
    let records = records(host).await?;
    let noted = host.records.notes(UNUSED).await.map_err(|error| error.to_string())?;
    let unused: BTreeMap<ImageId, Timestamp> =
        decoded(UNUSED, noted).into_iter().map(|(id, at)| (ImageId(id), at)).collect();
    let grounds = Grounds {
        owner: &host.owner,
        now: host.clock.now().wall,
        rule,
        records: &records,
        wanted: &wanted(&wish, &ground.book.answers()),
        had: &had(host, None).await?,
        unused: &unused,
        paused: &paused(&wish, &records, host.clock.now().wall),
    };
    let pruning = crate::state::prune::prune(&stock, &grounds);
    remember(host, &unused, &pruning.unused).await;
    Ok(pruning)
}

/// Removes what may go, and of that only what was shown before, where something was.
///
/// # Errors
/// See [`look`]; what could not be removed is in the report.
pub async fn prune(
    host: &Host,
    ground: &Ground,
    rule: Rule,
    only: Option<&BTreeSet<String>>,
) -> Result<PruneReport, String> {
    let mut goes = look(host, ground, rule).await?.goes;
    goes.retain(|disposal| only.is_none_or(|only| only.contains(id(disposal))));
    Ok(carry_out(host, rule, goes).await)
}

/// What a disposal is told apart by.
#[must_use]
pub fn id(disposal: &Disposal) -> &str {
    match disposal {
        Disposal::Image { id, .. } => &id.0,
        Disposal::Container { id, .. } => &id.0,
    }
}

pub(super) async fn carry_out(host: &Host, rule: Rule, goes: Vec<Disposal>) -> PruneReport {
    let mut report = PruneReport::of(rule, host, Vec::new());
    for disposal in goes {
        if host.stopping() {
            break;
        }
        match dispose(host, &disposal).await {
            Ok(()) => {
                let kind = if matches!(disposal, Disposal::Image { .. }) { "image" } else { "container" };
                host.metrics.pruned(kind, 1);
                report.goes.push(disposal);
            }
            Err(error) => {
                tracing::warn!(what = id(&disposal), %error, "could not be pruned");
                report.failed.push(Failed { what: disposal, why: error.to_string() });
            }
        }
    }
    report
}

/// Without force: what came into use a moment ago, the engine does not let go.
async fn dispose(host: &Host, disposal: &Disposal) -> crate::engine::Result<()> {
    match disposal {
        Disposal::Container { id, name, why } => {
            tracing::info!(container = name, because = why, "pruning");
            host.engine.remove(id, false).await
        }
        Disposal::Image { id, names, why, .. } => {
            tracing::info!(image = id.short(), names = names.join(", "), because = why, "pruning");
            if names.is_empty() {
                return host.engine.untag(&id.0).await;
            }
            for name in names {
                host.engine.untag(name).await?;
            }
            Ok(())
        }
    }
}

pub(super) async fn records(host: &Host) -> Result<BTreeMap<ServiceId, Record>, String> {
    let mut records = BTreeMap::new();
    for id in host.records.services().await.map_err(|error| error.to_string())? {
        let record = host.records.load(&id).await.map_err(|error| error.to_string())?;
        records.insert(id, record);
    }
    Ok(records)
}

/// Every image that the files or an answer name.
pub(super) fn wanted(wish: &Wish, answers: &Answers) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = answers.0.values().map(|answer| answer.image.clone()).collect();
    let mut spec = |spec: &crate::desired::spec::ServiceSpec| names.extend(named(spec).map(str::to_owned));
    for wanted in wish.state.services.values() {
        if let Wanted::Run(revision) = wanted {
            spec(&revision.spec);
        }
    }
    let works = &wish.state.works;
    for chosen in works.chosen.values() {
        spec(&chosen.spec);
    }
    for job in works.jobs.values().filter_map(|job| job.wanted()) {
        if let Runs::Container { spec: own, .. } = &job.runs {
            spec(own);
        }
    }
    for artifact in works.artifacts.values().filter_map(|artifact| artifact.wanted()) {
        if let ArtifactSource::Image(image) = &artifact.from {
            names.insert(image.clone());
        }
        names.extend(artifact.after_switch.iter().filter_map(|hook| hook.image.clone()));
    }
    names
}

/// References that services (or this one) have had.
pub(super) async fn had(host: &Host, service: Option<&ServiceId>) -> Result<BTreeSet<String>, String> {
    let rows = host.records.history(service, HISTORY).await.map_err(|error| error.to_string())?;
    Ok(rows.into_iter().map(|(_, entry)| entry.image).filter(|image| !image.is_empty()).collect())
}

fn paused(wish: &Wish, records: &BTreeMap<ServiceId, Record>, now: Timestamp) -> BTreeSet<ServiceId> {
    let paused = |id: &&ServiceId| wish.paused(id, wish.state.services.get(*id), now).is_some();
    records.keys().filter(paused).cloned().collect()
}

/// Too little of it is harmless: an image's time begins anew.
async fn remember(host: &Host, before: &BTreeMap<ImageId, Timestamp>, now: &BTreeMap<ImageId, Timestamp>) {
    let gone = before.keys().filter(|id| !now.contains_key(*id)).map(|id| Note::forget(UNUSED, &*id.0));
    let new = now.iter().filter(|(id, at)| before.get(*id) != Some(*at));
    let new = new.filter_map(|(id, at)| Note::of(UNUSED, &*id.0, at).ok());
    let notes: Vec<Note> = gone.chain(new).collect();
    if notes.is_empty() {
        return;
    }
    if let Err(error) = host.records.set_notes(notes).await {
        tracing::debug!(%error, "what is unused could not be written down");
    }
}
