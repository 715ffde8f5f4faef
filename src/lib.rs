//! evenkeel converges a Docker host to what TOML files say.
//!
//! ```text
//! source::dir  --Snapshot-->  desired::load  --DesiredState-->  controller  --Trigger-->  queue
//!                                                                   |
//!            engine.observe --Observed-->  state::decide  <--Record-- store
//!                                              |
//!                            Decision { record, plan, next, condition }
//!                                              |
//!                     store (durable first) -> execute (engine calls) -> settle -> again
//! ```
//! `desired` and `state` are pure; everything else is a thin shell that feeds them and does what they say.

pub mod artifacts;
mod child;
pub mod cli;
pub mod config;
pub mod controller;
pub mod desired;
pub mod engine;
pub mod images;
pub mod metrics;
pub mod secrets;
pub mod source;
pub mod state;
