//! SHELL. The loop: queue, backoff, reconcile, execute, store, clock.

pub mod backoff;
pub mod clock;
pub mod queue;
