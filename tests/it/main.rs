//! The integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ci;
mod cli;
mod config;
mod convert;
mod credentials;
mod diagnostics;
mod differences;
mod documents;
mod e2e_alone;
mod e2e_commands;
mod e2e_dockerd;
mod e2e_elsewhere;
mod e2e_engine;
mod e2e_files;
mod e2e_git;
mod e2e_objects;
mod e2e_probe;
mod e2e_prometheus;
mod e2e_tcp;
mod e2e_update;
mod examples;
mod execute;
mod fleet;
mod fleet_hosts;
mod foreground;
mod forms;
mod git;
mod keys;
mod layering;
mod load;
mod load_again;
mod metrics;
mod monitoring;
mod mutants;
mod observation;
mod packaging;
mod plan;
mod queue;
mod reconcile;
mod reference;
mod registry;
mod rig;
mod run;
mod saved;
mod schema;
mod server;
mod source;
mod store;
mod supervised;
mod tour;
mod validate;
mod without_engine;

#[path = "../support/mod.rs"]
mod support;
