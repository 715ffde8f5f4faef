//! SHELL, inbound: where the desired state is read from. Publishes whole snapshots; an error is never an empty snapshot.

pub mod context;
pub mod debounce;
pub mod dir;
mod dir_watch;
mod file;
pub mod git;
mod known;
mod payload;
pub mod read;
mod several;

pub use dir::{DirSource, Published, Settings, Update, Updates};
pub use read::{SourceError, read_payload, read_snapshot};
pub use several::combine;
