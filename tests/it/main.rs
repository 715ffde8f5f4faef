//! The integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod config;
mod converge;
mod convert;
mod credentials;
mod foreground;
mod layering;
mod metrics;
mod plan;
mod queue;
mod rig;
mod run;
mod server;
mod source;
mod specs;
mod store;
