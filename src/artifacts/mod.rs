//! SHELL: files out of an image, put in their place on the host in one rename.
//!
//! `<to>.d/` beside the target holds what was copied, one entry for each version, and a journal. A version is unpacked under another name,
//! checked, made durable, and only then gets its own; what has its own name is whole. The switch is one rename: of a link to `<to>`, or of the files
//! themselves, exchanged with those in place. So whoever reads sees the old files or the new, whenever evenkeel, or the machine, ends.
//!
//! - [`entry`]: what of an archive is let in. - [`unpack`]: an archive becomes files. - [`place`]: versions, the switch, the way back.
//! - [`journal`]: what is remembered beside the files. - [`owner`]: names of users on this host.

pub mod entry;
pub mod journal;
pub mod owner;
pub mod place;
pub mod unpack;

use std::fmt;
use std::io;
use std::path::Path;

/// Why files could not be put in place.
#[derive(Debug)]
pub enum Fault {
    /// Another try may go well: a disk, a permission, an archive that ended early.
    Io { what: String, error: io::Error },
    /// As they are they never go in: what an archive holds, a file that is required and missing, a target that is somebody else's.
    Refused(String),
}

impl Fault {
    pub(crate) fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |error| Self::Io { what, error }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, error } => write!(f, "cannot {what}: {error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

pub type Result<T> = std::result::Result<T, Fault>;
