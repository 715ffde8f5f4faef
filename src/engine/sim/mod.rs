//! The simulated engine: for tests, for `plan`, and for machines without an engine.
//!
//! [`Host`] is all of it as one plain value: synchronous, deterministic, copied and compared at will. [`Sim`] shares a host behind the
//! `Engine` trait. The contract suite (`tests/engine`) makes the same assertions about it and about a real engine; where real
//! engines differ, the simulation does what one of them does, or the worse.

mod actors;
pub mod app;
mod baked;
pub mod call;
pub mod container;
mod copy_on_write;
mod create;
mod death;
pub mod exec;
pub mod fault;
mod host;
pub mod image;
mod lifecycle;
mod logs;
mod network;
mod probe;
mod profile;
mod requests;
mod seed;
mod serve;
mod shared;
mod update;

pub use app::{Behaviour, CheckTimes};
pub use container::{Container, HostPort, WantedPort};
pub use copy_on_write::CopyOnWrite;
pub use create::Foreign;
pub use death::Revival;
pub use fault::{Fault, Moment, Op};
pub use host::{Host, Network};
pub use image::{Registry, made_up};
pub use profile::Profile;
pub use seed::{Wants, seed};
pub use shared::{Sim, realtime};
