//! Images that are built here. A loop of its own looks at sources and base images, and makes what is due, one after the other; what is good
//! goes into the [`Book`](super::Book), from where services take it. A build that fails touches nothing that runs.
//!
//! Killed at any moment, nothing is lost or done twice: what is begun is in the store before the engine hears of it, the engine gives an image its
//! name when it is whole, and the next process finds by that name whether there is one.

mod bases;
mod board;
mod finish;
mod log;
mod look;
mod make;
pub mod report;
mod round;
mod site;
mod wanted;
mod worker;

pub use board::{Board, Outcome};
pub use log::part;
pub use round::{Demand, Demands, Round};
pub use site::{Parts, Site, Tell};
pub use wanted::{Wanted, wanted};
pub use worker::Builds;

/// The kind of its notes in the store.
pub const KIND: &str = "build";
