//! Proofs that need an optimised build: every reachable state, and thousands of simulated hosts. `make test` runs them with the budgets of
//! a change, `make prove` with large ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]


#[path = "../fuzz_targets/mod.rs"]

mod converge;
mod explore;
mod fuzz;
mod fuzz_targets;
mod specs;
mod store;
