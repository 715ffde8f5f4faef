//! The operator's commands as changes of a record. Pure: the shell saves the record and triggers a pass.

use super::record::{
    HistoryEntry, HistoryEvent, Hold, KeptRevision, Memo, Record, RevisionId, RevisionVerdict,
};
use super::target;
use super::time::Timestamp;

/// A changed record with the line that history gets.
pub type Operated = Result<(Record, HistoryEntry), String>;

/// Goes back to an earlier revision and stays there until the desired state of the service changes or `release`. Without `to`: the last
/// good one before the one that serves. `to`: the start of a revision's id, or its number.
pub fn rollback(record: &Record, to: Option<&str>, reason: &str, now: Timestamp) -> Operated {
    let serving = record.good.as_ref();
    let kept = match to {
        Some(text) => find(record, text)?,
        None => {
            let mut earlier = record
                .revisions
                .iter()
                .rev()
                .filter(|kept| Some(&kept.id) != serving && kept.good_since.is_some());
            // Mid-roll-out the good one itself is what "back" means.
            let good = record.intent.as_ref().and(serving).and_then(|id| target::kept(record, id));
            good.or_else(|| earlier.next())
                .ok_or("there is no earlier revision that was good; `evenkeel history` lists what is known")?
        }
    };
    let mut record = record.clone();
    let id = kept.id.clone();
    if let Some(again) = record.revisions.iter_mut().find(|revision| revision.id == id)
        && matches!(again.verdict, RevisionVerdict::Rejected { .. })
    {
        again.verdict = RevisionVerdict::Candidate;
    }
    record.intent = None;
    record.hold = Some(Hold {
        revision: Some(id),
        until_wish_changes: record.wish.clone(),
        expires: None,
        reason: reason.to_owned(),
        since: now,
    });
    let entry = entry(kept, HistoryEvent::Held, reason, now);
    Ok((record, entry))
}

/// Lets a rejected revision be tried again, or starts what ended, and forgets failed starts.
pub fn retry(record: &Record, now: Timestamp) -> Operated {
    let mut changed = record.clone();
    let mut retried = None;
    for kept in &mut changed.revisions {
        if matches!(kept.verdict, RevisionVerdict::Rejected { .. }) {
            kept.verdict = RevisionVerdict::Candidate;
            kept.evidence = None;
            changed.hooks.retain(|run| run.key.revision != kept.id || !run.failed());
            retried = Some(kept.clone());
        }
    }
    // Whoever asks for it again has seen what it is.
    changed.approved = retried.as_ref().map(|kept: &KeptRevision| kept.id.clone());
    changed.hurried.clone_from(&changed.approved);
    changed.completed = None;
    if retried.is_none() {
        // What ended and was left so is started as if we had stopped it; what is up is not concerned, and taken out again.
        changed.stopped.extend(record.containers.iter().cloned());
    }
    let subject = retried.or_else(|| record.good.as_ref().and_then(|id| target::kept(record, id)).cloned());
    match subject {
        Some(kept) => {
            let entry = entry(&kept, HistoryEvent::Retried, "asked for by hand", now);
            Ok((changed, entry))
        }
        None => {
            Err("nothing of this service was rejected and nothing of it is known: there is nothing to retry"
                .to_owned())
        }
    }
}

/// Consents to the revision that waits: exactly that one. `revision`: the start of its id or its number; a word about another one
/// than the one that waits now is refused.
pub fn approve(record: &Record, revision: Option<&str>, now: Timestamp) -> Operated {
    let Some(waiting) = &record.awaiting else {
        return Err("no revision of it waits for approval; `evenkeel status` shows what does".to_owned());
    };
    let Some(kept) = target::kept(record, &waiting.revision).cloned() else {
        return Err(format!("revision {} is not in the record", waiting.revision));
    };
    if let Some(text) = revision
        && find(record, text)?.id != kept.id
    {
        return Err(format!(
            "what waits for approval is revision {} ({}), not {text}: look at it (`evenkeel why`), then approve that one",
            kept.id, kept.spec.container.image
        ));
    }
    let mut changed = record.clone();
    changed.awaiting = None;
    let reason = if waiting.window {
        changed.hurried = Some(kept.id.clone());
        "approved by hand, outside of its window"
    } else {
        changed.approved = Some(kept.id.clone());
        "approved by hand"
    };
    let entry = entry(&kept, HistoryEvent::Approved, reason, now);
    Ok((changed, entry))
}

/// Keeps the service on what is good, whatever the files say, until `release` (or `expires`). Repairs go on.
pub fn hold(record: &Record, reason: &str, expires: Option<Timestamp>, now: Timestamp) -> Operated {
    let mut changed = record.clone();
    let revision = record.hold.as_ref().and_then(|hold| hold.revision.clone());
    changed.hold =
        Some(Hold { revision, until_wish_changes: None, expires, reason: reason.to_owned(), since: now });
    let kept = record.good.as_ref().and_then(|id| target::kept(record, id)).cloned();
    let line = match kept {
        Some(kept) => entry(&kept, HistoryEvent::Held, reason, now),
        None => HistoryEntry {
            at: now,
            revision: None,
            number: None,
            event: HistoryEvent::Held,
            image: String::new(),
            reason: reason.to_owned(),
            commit: None,
        },
    };
    Ok((changed, line))
}

/// Ends a hold or a rollback by hand: the files decide again.
pub fn release(record: &Record, now: Timestamp) -> Operated {
    let Some(hold) = &record.hold else {
        return Err("it is not held: the files decide already".to_owned());
    };
    let mut changed = record.clone();
    changed.hold = None;
    let reason = format!("the hold ({}) was released by hand", hold.reason);
    let line = HistoryEntry {
        at: now,
        revision: hold.revision.clone(),
        number: None,
        event: HistoryEvent::Released,
        image: String::new(),
        reason,
        commit: None,
    };
    Ok((changed, line))
}

/// What `retry` clears beside the record.
pub fn forget_attempts(memo: &mut Memo) {
    memo.starts.clear();
    memo.gates.clear();
    memo.pull = None;
    memo.trouble = None;
    memo.housekeeping = None;
    memo.waiting_since = None;
}

fn find<'a>(record: &'a Record, text: &str) -> Result<&'a KeptRevision, String> {
    let by_number = |kept: &&KeptRevision| text.trim_start_matches(['r', '#']).parse() == Ok(kept.number);
    let by_id = |kept: &&KeptRevision| text.len() >= 4 && kept.id.as_str().starts_with(text);
    let found: Vec<&KeptRevision> = match record.revisions.iter().find(by_number) {
        Some(kept) => vec![kept],
        None => record.revisions.iter().filter(by_id).collect(),
    };
    match found.as_slice() {
        [kept] => Ok(kept),
        [] => {
            let known: Vec<String> =
                record.revisions.iter().map(|kept| format!("{} ({})", kept.number, kept.id)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!("no kept revision is called `{text}`; kept: {known}"))
        }
        _ => Err(format!("`{text}` is the start of several revisions; give more digits, or the number")),
    }
}

fn entry(kept: &KeptRevision, event: HistoryEvent, reason: &str, now: Timestamp) -> HistoryEntry {
    let id: RevisionId = kept.id.clone();
    HistoryEntry {
        at: now,
        revision: Some(id),
        number: Some(kept.number),
        event,
        image: kept.spec.container.image.clone(),
        reason: reason.to_owned(),
        commit: kept.spec.source.commit.clone(),
    }
}
