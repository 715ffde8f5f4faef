//! SHELL: registry credentials and image retention.

pub mod credentials;
