//! One contract, several engines: the same assertions about the simulated and the real engine, so that the simulation stays honest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
