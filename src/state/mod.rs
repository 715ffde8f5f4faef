//! PURE. What is, what was, what next: observations and records in, decisions out. No async, no clock, no I/O, no panics.

pub mod condition;
pub mod decide;
pub mod observed;
pub mod plan;
pub mod record;
pub mod time;
