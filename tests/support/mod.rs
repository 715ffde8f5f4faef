//! What end-to-end tests stand on: a host of their own on the real engine, the real binary, and clean-up whatever happens.
//!
//! Every test gets a [`Host`]: a project name and an owner label nobody else has, a directory of desired state, a directory of
//! evenkeel's memory, images built from `tests/program`. Dropping it removes every container, network, volume and image it made.
//! Where no engine answers, [`Host::new`] says so and the test ends: nothing was shown, nothing is claimed.
#![allow(dead_code)]

pub mod age;
pub mod compose;
pub mod daemon;
pub mod docker;
pub mod fault;
pub mod files;
pub mod forge;
pub mod forward;
pub mod host;
pub mod machine;
pub mod moving;
pub mod private_engine;
pub mod registry;
pub mod repository;
pub mod stand_in;
pub mod tls;
pub mod wait;

pub use daemon::Daemon;
pub use host::Host;
pub use wait::{stays, wait_for};
