//! SHELL. The loop: queue, backoff, reconcile, execute, store, clock.

pub mod backoff;
pub mod clock;
pub mod execute;
pub mod observe;
pub mod progress;
pub mod queue;
pub mod store;
pub mod trigger;
