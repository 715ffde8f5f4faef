//! PURE. The border between the engine's API and our words: specs become request bodies, answers become observations.
//!
//! Requests use bollard's generated types. Answers are read into small structs of our own ([`answers`]): the generated ones
//! have closed enums, and one word that a newer engine adds would make a whole list unreadable.

pub mod answers;
pub mod baked;
pub mod create;
pub mod events;
mod extra;
pub mod labels;
pub mod mounts;
pub mod network;
pub mod observed;
pub mod resources;
