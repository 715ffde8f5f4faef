//! SHELL. The loop: queue, backoff, reconcile, execute, store, clock.

pub mod backoff;
pub mod board;
pub mod clock;
pub mod dispatch;
pub mod events;
pub mod execute;
pub mod guard;
pub mod handle;
pub mod host;
pub mod inbound;
pub mod measured;
pub mod objects;
pub mod observe;
pub mod operate;
pub mod progress;
pub mod queue;
pub mod reconcile;
pub mod records;
pub mod relist;
pub mod run;
pub mod store;
pub mod takeover;
pub mod trigger;
pub mod wish;
