//! Proofs that need an optimised build: every reachable state, and thousands of simulated hosts. `make test` runs them with the budgets of
//! a change, `make prove` with large ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod converge;
mod explore;
mod fuzz;
mod specs;
mod store;

#[path = "../fuzz_targets/mod.rs"]
mod fuzz_targets;
