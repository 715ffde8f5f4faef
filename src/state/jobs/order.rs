//! Operators' words about runs.

use super::record::{Ending, JobRecord};
use super::run::{Result, RunId, Stage, StopCause};
use crate::state::time::Now;

/// Ends a run, or every one that is open. Returns which.
///
/// # Errors
/// There is none, or it cannot be ended.
pub fn stop_by_hand(
    record: &mut JobRecord,
    which: Option<&RunId>,
    now: Now,
) -> std::result::Result<Vec<RunId>, String> {
    let open: Vec<RunId> =
        record.open().map(|(id, _)| id.clone()).filter(|id| which.is_none_or(|which| which == id)).collect();
    if open.is_empty() {
        return Err(match which {
            Some(which) => format!("there is no run {which} that is not over"),
            None => "no run of it is under way".to_owned(),
        });
    }
    for id in &open {
        let Some(run) = record.runs.get_mut(id) else { continue };
        if run.exec.is_some() && run.stage != Stage::Made {
            return Err(format!(
                "run {id} is a command in a service's container, which the engine cannot end: restart the service"
            ));
        }
        if run.stage == Stage::Waiting {
            let text = "somebody stopped it before it began".to_owned();
            record.finish(id, Result::Stopped, Ending { text, ..Ending::default() }, None, now);
        } else {
            run.stop = Some(StopCause::Hand);
        }
    }
    Ok(open)
}
