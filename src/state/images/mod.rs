//! Which tag of an image to run: what `image_policy` says, applied to what a registry says it has.
//!
//! Registries do not tell when a tag was pushed, and what an image says of its own age is the word of whoever built it. So the age of an
//! image is the time since *we* first saw that tag with that digest ([`Sightings`]): a tag that is pushed again begins anew.

mod pick;
mod rank;
mod sightings;
mod standing;

pub use pick::{Chosen, Current, Round, Stay, Turn, UpdateKind, Why, choose, update_kind};
pub use rank::{Rank, Ranker, Unfit};
pub use sightings::{Sighting, Sightings};
pub use standing::{Failed, Followed, current, pinned, runs};
