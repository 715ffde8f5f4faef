//! The real engine, and everything that can happen to it, to evenkeel and to the line between them while a service is replaced.
//!
//! A [`proxy`] between evenkeel and the engine stops at any request and lets a test do something there: end evenkeel with SIGKILL,
//! end the engine, prune it, fill its disk, lose the answer. So production code needs no hooks for it. A [`checker`] of its own, which
//! shares no line with evenkeel, samples the engine all the while.
//!
//! `cargo test` runs every scenario once over; `PROVE=full` (`make prove`) runs each with every policy, kind and offset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod clock;
mod disk;
mod dockerd;
mod events;
mod hang;
mod kill;
mod proxy;
mod prune;
mod scene;
mod wire;

#[path = "../support/mod.rs"]
#[allow(unused_imports)]
mod support;

/// The whole matrix, or what fits into the time of `make test`?
pub fn full() -> bool {
    std::env::var("PROVE").is_ok_and(|value| value == "full")
}
