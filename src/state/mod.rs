//! PURE. What is, what was, what next: observations and records in, decisions out. No async, no clock, no I/O, no panics.

pub mod condition;
pub mod decide;
pub mod diff;
pub mod gate;
pub mod live;
pub mod observed;
pub mod order;
pub mod plan;
pub mod record;
pub mod target;
pub mod time;

pub use target::lookups;
