//! SHELL: registries, logins for them, and image retention.

pub mod credentials;
pub mod registry;
