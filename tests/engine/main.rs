//! One contract, several engines: the same assertions about the simulated and the real engine, so that the simulation stays
//! honest. Where engines differ an assertion names a set: it is the set that `state` must cope with.
//!
//! Every assertion is a function over a [`bench::Bench`]; `contract!` makes a test of it for each engine. Simulated ones run in
//! virtual time. Real ones need a Docker engine, clean up behind them, and say `SKIPPED` where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes tests of assertions: `simulated::<name>`, the same under the profile of each engine, and `real::<name>`.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        contract!(@simulated simulated, $($name),*);
        contract!(@simulated simulated_20_10, $($name),*);
        contract!(@simulated simulated_26_1, $($name),*);
        contract!(@simulated simulated_28_5, $($name),*);
        mod real {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bench) = crate::real::Real::new().await {
                    super::$name(&bench).await;
                }
            })*
        }
    };
    (@simulated $engine:ident, $($name:ident),*) => {
        mod $engine {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(&crate::simulated::engines::$engine()).await;
            })*
        }
    };
}

mod bench;
mod create;
mod docker;
mod endings;
mod events;
mod facts;
mod facts_private;
mod health;
mod image;
mod lifecycle;
mod network;
mod ports;
mod profile;
mod real;
mod registry;
mod restart;
mod simulated;
// Shared with the end-to-end tests, which use more of it.
#[allow(unused_imports)]
#[path = "../support/mod.rs"]
mod support;
mod table;
mod update;
