//! SHELL. The loop: queue, backoff, reconcile, execute, store, clock.

pub mod backoff;
pub mod board;
pub mod clock;
pub mod dispatch;
pub mod events;
pub mod execute;
pub mod guard;
pub mod host;
pub mod measured;
pub mod objects;
pub mod observe;
pub mod operate;
pub mod progress;
pub mod queue;
pub mod reconcile;
pub mod records;
pub mod store;
pub mod trigger;
pub mod wish;
