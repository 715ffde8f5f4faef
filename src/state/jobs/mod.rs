//! Jobs: work that runs and ends.
//!
//! [`decide()`] is total, deterministic and clockless: what is wanted, what is remembered (the journal of runs), what the engine shows and what
//! time it is go in; the journal as it must be on the disk and the next engine calls come out. [`settle()`] takes in what came of a call.
//!
//! A run is in the journal before anything is asked of the engine, and so is each further thing that is asked. Its container has a name that no other
//! run has, and labels that say which run it is: whoever finds it knows. A container is made, then started, in two requests. That a start was
//! asked for is remembered until it is known what came of it; a container whose start was never answered and that does not run is removed, which
//! the engine refuses of one that runs, and made anew. So a run is neither lost nor doubled, whoever dies in between.
//!
//! - `when`: occurrences. - `trigger`: which runs there are to be. - `begin`: what a run waits for. - `follow`: one step of a run further.
//! - `settle`: what came of it. - `view`: for people.

mod begin;
mod decide;
mod exec;
mod follow;
mod order;
mod record;
mod run;
mod settle;
mod trigger;
pub mod view;
pub mod when;

pub use begin::container_name;
pub use decide::{Exit, Inputs, JobDecision, JobStep, Seen, Wants, decide, lookups};
pub use order::stop_by_hand;
pub use record::{JobMemo, JobRecord, Trouble};
pub use run::{Result, Run, RunCause, RunEnd, RunId, Stage, StopCause};
pub use settle::{JobOutcome, settle};
pub use trigger::{Ended, by_hand, ends};
