//! PURE. What is, what was, what next: observations and records in, decisions out. No async, no clock, no I/O, no panics.

mod adopt;
pub mod adoption;
mod approval;
mod back;
pub mod baked;
pub mod condition;
pub mod create;
pub mod decide;
pub mod diff;
mod down;
mod drift;
pub mod gate;
pub mod guard;
pub mod hooks;
pub mod images;
pub mod live;
pub mod network;
pub mod observed;
pub mod operator;
pub mod order;
mod pause;
pub mod plan;
pub mod probe;
pub mod record;
pub mod register;
mod retire;
mod roll;
pub mod seen;
pub mod settle;
mod slot;
pub mod status;
pub mod target;
pub mod time;
mod wait;
pub mod words;

pub use target::lookups;
