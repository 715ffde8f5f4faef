//! Exploring every reachable state: the controller's own `observe`, `decide`, `settle` and `Executor` on the simulated engine, with every
//! fault at every point. What is explored is in `converge.rs`; what must hold is in `check.rs`.

pub mod check;
pub mod engine;
pub mod moves;
pub mod print;
pub mod search;
pub mod trace;
pub mod turn;
pub mod world;
