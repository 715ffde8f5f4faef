//! What is told of one who follows an image. Asks nobody: it is read off what was seen.

use std::collections::BTreeMap;

use super::followers::{kind, shown};
use super::look::{Standing, Unled};
use super::memory::{Looks, Seen};
use crate::desired::work::{ImagePolicy, Pick};
use crate::metrics::images::{ImageRow, PassedRow, TagRow};
use crate::state::images::{Chosen, Current, Ranker, Round, Turn, Why, choose, update_kind};
use crate::state::time::Timestamp;

/// Most tags that are told one by one.
const MOST_PASSED: usize = 20;

pub(super) fn row(standing: &Standing, seen: &Seen, looks: &Looks, now: Timestamp) -> ImageRow {
    let Standing { follower, followed, record, answer, led } = standing;
    let current = standing.current();
    let mut row = ImageRow {
        service: shown(&follower.asker),
        kind: kind(&follower.asker).to_owned(),
        image: follower.name.clone(),
        policy: policy(&follower.policy),
        chosen: answer.as_ref().map(tag_row),
        serving: current.as_ref().filter(|current| answer.as_ref() != Some(*current)).map(tag_row),
        looked: looks.well,
        trouble: looks.trouble.clone(),
        ..ImageRow::default()
    };
    if let Some(Err(Unled::Trouble(why))) = led {
        row.trouble.get_or_insert_with(|| why.clone());
    }
    if let (Some(answer), Some(failed)) =
        (answer, answer.as_ref().and_then(|answer| followed.failed.get(&answer.digest)))
    {
        row.passed.push(PassedRow {
            tag: answer.tag.clone(),
            why: format!("it failed here: {}", failed.reason),
            due: None,
        });
    } else if let (Some(answer), Some(waiting)) = (answer, &record.awaiting) {
        let kept = record.revisions.iter().find(|kept| kept.id == waiting.revision);
        if kept.is_some_and(|kept| kept.spec.container.image == follower.answer(answer).image) {
            let why = format!("it waits for `evenkeel approve {}`", row.service);
            row.passed.push(PassedRow { tag: answer.tag.clone(), why, due: None });
        }
    }
    match (&follower.ranker, led) {
        (Some(ranker), _) => ranked(&mut row, standing, seen, ranker, now),
        (None, Some(Ok(tag))) => {
            row.allowed = Some(tag.clone());
            row.newest = Some(tag.clone());
        }
        (None, _) => {}
    }
    row
}

fn ranked(row: &mut ImageRow, standing: &Standing, seen: &Seen, ranker: &Ranker, now: Timestamp) {
    let current = standing.current().map(|now| Chosen { digest: seen.known(&now.digest), ..now });
    let best =
        |ranker: &Ranker| ranker.ranked(seen.sightings.tags()).first().map(|(_, tag)| (*tag).to_owned());
    row.allowed = best(ranker);
    row.newest = best(&ranker.unbounded());
    let asked: BTreeMap<String, String> = seen
        .sightings
        .tags()
        .filter_map(|tag| Some((tag.to_owned(), seen.sightings.digest(tag)?.to_owned())))
        .collect();
    let failed = &standing.followed.failed;
    let rejected =
        |digest: &str| failed.keys().any(|failed| failed == digest || seen.known(failed) == digest);
    let turn = choose(Round {
        ranker,
        min_age_ms: standing.follower.policy.min_age_ms,
        downgrade: standing.follower.policy.downgrade,
        sightings: &seen.sightings,
        asked: &asked,
        current: current.as_ref().map(|Chosen { tag, digest }| Current { tag, digest }),
        rejected: &rejected,
        now,
    });
    let passed = match turn {
        Turn::Take { chosen, mut passed } => {
            // The next look would take it; a look that could not be finished is told on its own.
            passed.truncate(MOST_PASSED);
            row.passed.push(PassedRow {
                tag: chosen.tag,
                why: "the next look takes it".to_owned(),
                due: None,
            });
            passed
        }
        Turn::Stay(stay) => stay.passed,
        Turn::Ask(tag) => {
            row.passed.push(PassedRow {
                tag,
                why: "what it stands for was not asked yet".to_owned(),
                due: None,
            });
            Vec::new()
        }
    };
    for (tag, why) in passed.into_iter().take(MOST_PASSED) {
        if row.passed.iter().any(|known| known.tag == tag) {
            continue;
        }
        row.passed.push(match why {
            Why::TooYoung(due) => PassedRow { tag, why: "younger than `min_age`".to_owned(), due: Some(due) },
            Why::Rejected => {
                let reason = failed.values().find(|failed| failed.tag == tag);
                let reason = reason.map(|failed| format!(": {}", failed.reason)).unwrap_or_default();
                PassedRow { tag, why: format!("it failed here{reason}"), due: None }
            }
        });
    }
    if let Some(newest) = row.newest.clone().filter(|newest| row.allowed.as_ref() != Some(newest))
        && let Err(unfit) = ranker.rank(&newest)
    {
        row.passed.insert(0, PassedRow { tag: newest, why: unfit.told().to_owned(), due: None });
    }
    if let (Some(current), Some(newest)) = (&current, &row.newest) {
        let digest = seen.sightings.digest(newest).unwrap_or_default();
        let unknown = digest.is_empty() && *newest == current.tag;
        let older = ranker.unbounded();
        // The newest tag may have been withdrawn: what is left is no update.
        let back = older.rank(newest).ok() < older.rank(&current.tag).ok();
        if !unknown && !back {
            let now = Current { tag: &current.tag, digest: &current.digest };
            row.update = update_kind(now, Current { tag: newest, digest });
        }
    }
}

fn tag_row(chosen: &Chosen) -> TagRow {
    TagRow { tag: chosen.tag.clone(), digest: chosen.digest.clone() }
}

/// A policy as it is told: the way it picks.
fn policy(policy: &ImagePolicy) -> String {
    match &policy.pick {
        Pick::Semver { range, .. } => format!("semver {range}"),
        Pick::Timestamp { format: None } => "timestamp".to_owned(),
        Pick::Timestamp { format: Some(format) } => format!("timestamp {format}"),
        Pick::Number { pattern } => format!("number {pattern}"),
        Pick::Text { pattern } => format!("text {pattern}"),
        Pick::SameAs(service) => format!("same as {service}"),
    }
}
