//! A service that the files call paused: looked at, told about, and left as it is.

use super::condition::{Condition, ConditionKind};
use super::decide::{Decision, Inputs, Pass};
use super::plan::Next;
use super::register;
use super::target;
use super::time::Timestamp;
use crate::desired::{Paused, Wanted};

/// What a decision comes to when nothing may be done. Remembered is only what is over anyway; what would be done is worked out
/// and told, and thrown away with everything that it would have written down.
pub(super) fn look_only(inputs: Inputs<'_>, paused: Paused<'_>) -> Decision {
    let would = Pass::new(inputs).run();
    if would.condition.kind == ConditionKind::Removed && would.plan.is_empty() {
        // Nothing of it is on the host.
        return would;
    }
    let mut look = Pass::new(inputs);
    let rest = match would.plan.first() {
        Some(first) => {
            let cause = other_revision(&look).unwrap_or_else(|| first.cause.to_string());
            format!("else it would be acted upon, because {cause}")
        }
        None => format!("it is {}: {}", would.condition.kind.as_str(), would.condition.message),
    };
    let place = paused.why;
    let until = paused.until.map(Timestamp);
    let released = place.starts_with(register::RELEASED);
    let (reason, text) = match released {
        // What the files would make of it is of no interest: somebody said that it is not evenkeel's.
        true => ("Disowned", place.to_owned()),
        false => ("Paused", format!("nothing is changed while it is paused ({}); {rest}", told(paused))),
    };
    look.forget_the_gone();
    // Nobody has looked through them without a break.
    look.memo.gates.clear();
    let changed = look.record != *inputs.record;
    Decision {
        record: look.record,
        memo: look.memo,
        plan: Vec::new(),
        next: match until {
            _ if changed => Next::Again,
            Some(until) => Next::At(inputs.now.at(until)),
            None => Next::AwaitChange,
        },
        condition: Condition::new(ConditionKind::Paused, reason, text),
        history: Vec::new(),
    }
}

/// What differs, where the files want another revision than the one that is good: says more than the first step's own cause.
fn other_revision(look: &Pass<'_>) -> Option<String> {
    let Some(Wanted::Run(wanted)) = look.inputs.desired else { return None };
    let good = look.record.good.as_ref().and_then(|id| target::kept(&look.record, id));
    good.is_none_or(|good| good.hash != wanted.hash).then(|| look.cause_of(wanted))
}

/// Where it is said, and when it ends by itself.
pub(super) fn told(paused: Paused<'_>) -> String {
    match paused.until {
        Some(until) => format!("{}, until {}", paused.why, Timestamp(until)),
        None => paused.why.to_owned(),
    }
}
