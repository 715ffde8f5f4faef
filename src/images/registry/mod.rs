//! What a registry has: its tags, and what each stands for. Spoken is the HTTP API V2, as the OCI distribution specification has it.
//!
//! The engine pulls; this only looks, so that nothing is pulled in vain and a tag can be chosen among many. Logins are those of the
//! pulls. A registry is asked politely: never faster than its pace ([`pace`]), and not at all for as long as it says.

mod ask;
mod auth;
mod client;
mod error;
mod manifest;
pub mod pace;
mod repository;
pub mod transport;
mod wire;

pub use ask::Registries;
pub use client::{Client, Settings};
pub use error::{RegistryError, Trouble};
pub use manifest::{Found, Platform};
pub use repository::Repository;
