//! Builds: what makes one due, in which order they are made, what their images are called, and which are kept. What a source holds and
//! what the engine does is found out elsewhere; here it is judged.

pub mod dockerfile;
mod due;
mod graph;
mod lines;
mod names;
mod record;

pub use due::{Cause, Verdict, backoff_ms, causes, judge};
pub use graph::{Graph, Node, graph};
pub use names::{Facts, branch_in_tag, keep_repository, name_of, rendered, stamp, uses_git};
pub use record::{BuildRecord, Dropped, Failed, InHand, Inputs, Made};

#[cfg(test)]
mod tests;
