//! What is remembered beside the files: in `<to>.d/.evenkeel`, so that it is lost only with them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::unpack::sync;
use super::{Fault, Result};
use crate::state::time::Timestamp;

pub const NAME: &str = ".evenkeel";
/// A switch that nobody remembers is no use to anybody.
const SWAPS_KEPT: usize = 100;

/// What a file or folder is known by, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    pub device: u64,
    pub number: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// The instance of evenkeel.
    pub owner: String,
    /// `project/name`.
    pub artifact: String,
    /// Versions by id.
    pub versions: BTreeMap<String, Version>,
    /// Newest last.
    pub swaps: Vec<Swapped>,
    /// A switch whose end was not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub inode: Inode,
    /// What it was copied out of, for people.
    pub image: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    pub id: String,
    pub at: Timestamp,
}

/// Written before the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub id: String,
    /// What was in place before.
    pub before: Option<String>,
    /// Commands that are to run after it.
    pub hooks: bool,
    /// How many of them are over.
    #[serde(default)]
    pub done: u32,
    /// How often the next one was begun.
    #[serde(default)]
    pub tries: u32,
}

impl Journal {
    /// `Ok(None)`: there is none.
    ///
    /// # Errors
    /// It cannot be read: then nobody knows whose the folder is.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Fault::io("read", &path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Fault::Refused(format!(
                "{} is damaged ({error}), so nobody knows what {} holds: look at it, and move the folder away",
                path.display(),
                folder.display()
            ))
        })
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// The old one stands.
    pub fn write(&mut self, folder: &Path) -> Result<()> {
        let surplus = self.swaps.len().saturating_sub(SWAPS_KEPT);
        self.swaps.drain(..surplus);
        let (path, fresh) = (folder.join(NAME), folder.join(format!("{NAME}.new")));
        let text = serde_json::to_vec(self)
            .map_err(|error| Fault::Refused(format!("the journal cannot be written: {error}")))?;
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&fresh);
        let written = written.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        written.map_err(Fault::io("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(Fault::io("write", &path))?;
        sync(folder)
    }
}
