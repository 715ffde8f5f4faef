//! SHELL. The loop: queue, backoff, reconcile, execute, store, clock.
