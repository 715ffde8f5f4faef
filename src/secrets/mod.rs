//! SHELL: values of secrets and configs. Opens what the files ask for, keeps it, and puts it where containers find it.
//!
//! - `open`, `program`: encrypted files, by `age` and `sops`. - `answer`: what a load asks. - `vault`: values at rest. - `folder`: the files that
//!   containers mount. - `logins`: `[credentials]`.
//!
//! A value has a name made of its content and a key of this host ([`vault::Vault::name`]); the name is in the spec, the path of the
//! file says the name and the permissions, and so whoever needs the file again (after a reboot, for a rollback) needs no more than the path.

mod answer;
mod folder;
mod logins;
pub mod open;
mod program;
pub mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::desired::provided::{
    Answers, Ask, Credential, FileKey, Origin, ProvidedId, UNOPENED, file_name_below,
};
use crate::desired::spec::{MountSource, ServiceSpec};
use crate::engine::files::{Files, FilesError};
use crate::state::plan::Failure;
pub use folder::{Folder, Place};
pub use logins::Logins;
use open::Opener;
use vault::{Shelf, Vault};

/// What nobody needs stays this long: a revision that is being made is in no record yet.
const GRACE: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Debug)]
pub struct Secrets {
    pub vault: Vault,
    pub folder: Folder,
    pub opener: Opener,
    read_only: bool,
    /// The name of what was opened, by what it is for and a digest of the encrypted file.
    opened: Mutex<BTreeMap<(ProvidedId, String), String>>,
    last: Mutex<Answers>,
    asked: Mutex<Vec<Ask>>,
    credentials: RwLock<BTreeMap<String, Credential>>,
    /// One writes at a time, or two could put the same file.
    writing: Mutex<()>,
}

impl Secrets {
    /// `read_only`: nothing is kept and nothing is put anywhere.
    #[must_use]
    pub fn new(state: &Path, folder: &Path, key_file: &Path, read_only: bool) -> Self {
        Self {
            vault: Vault::new(state, read_only),
            folder: Folder::new(folder),
            opener: Opener::new(key_file),
            read_only,
            opened: Mutex::default(),
            last: Mutex::default(),
            asked: Mutex::default(),
            credentials: RwLock::default(),
            writing: Mutex::default(),
        }
    }

    /// The part of a path that says what has to be in the file, if it is one of ours.
    fn file_name(&self, path: &str) -> Option<FileKey> {
        let folder = self.folder.path().to_str()?;
        FileKey::parse(file_name_below(folder, path)?)
    }

    fn ensure_one(&self, name: &FileKey) -> Result<(), FilesError> {
        let later = |message: String| FilesError { kind: Failure::Internal, message };
        let written = |error: std::io::Error| {
            let place = self.folder.path().display();
            later(format!("a file for a secret cannot be written in {place}: {error}"))
        };
        let there = self.folder.has(name);
        if there && !name.is_live() {
            return Ok(());
        }
        let content = if name.is_live() {
            let noted = self.vault.get(Shelf::Live, &name.stem).map_err(later)?;
            noted.and_then(|noted| String::from_utf8(noted).ok())
        } else {
            Some(name.stem.clone())
        };
        if content.is_none() && there {
            return Ok(());
        }
        let value = self.value(content.as_deref())?;
        if there {
            return self.folder.write_over(name, &value).map_err(written);
        }
        self.folder.put(name, &value).map_err(written)
    }

    /// The value of this name. Never another one in its stead: an older revision with a newer value is none that was ever tried.
    fn value(&self, name: Option<&str>) -> Result<Vec<u8>, FilesError> {
        let gone = || FilesError {
            kind: Failure::Invalid,
            message: format!(
                "the value that a secret or config of this revision had is not on this host any more (it was in {}), so it cannot be started as it was: deploy a newer revision",
                self.vault.dir().display()
            ),
        };
        let name = name.filter(|name| *name != UNOPENED).ok_or_else(gone)?;
        let value = self.vault.get(Shelf::Values, name);
        value.map_err(|message| FilesError { kind: Failure::Internal, message })?.ok_or_else(gone)
    }

    /// Puts back every file that one of these specs needs, after a reboot; how many could not be.
    pub fn restore<'a>(&self, specs: impl Iterator<Item = &'a ServiceSpec>) -> usize {
        let paths: BTreeSet<String> = specs.flat_map(binds).collect();
        paths.into_iter().filter(|path| self.ensure(std::slice::from_ref(path)).is_err()).count()
    }

    /// Removes files and values that none of these specs needs and that nothing wanted now has.
    pub fn clear<'a>(&self, specs: impl Iterator<Item = &'a ServiceSpec>) -> usize {
        let mut files = BTreeSet::new();
        let mut values = BTreeSet::new();
        for spec in specs {
            for name in binds(spec).filter_map(|path| self.file_name(&path)) {
                values.insert(name.stem.clone());
                files.insert(name.to_string());
            }
            values.extend(spec.live.files.values().map(|file| file.content.clone()));
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        values.extend(asked.iter().filter_map(|ask| last.get(ask)?.as_ref().ok().cloned()));
        let live: BTreeSet<String> =
            values.iter().filter(|name| name.starts_with("live-")).cloned().collect();
        for stem in &live {
            let noted = self.vault.get(Shelf::Live, stem).ok().flatten();
            values.extend(noted.and_then(|noted| String::from_utf8(noted).ok()));
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // A file of a revision that is about to be made is known by its value only.
        let needed = |name: &str| {
            files.contains(name) || FileKey::parse(name).is_some_and(|name| values.contains(&name.stem))
        };
        self.folder.clear(&needed, GRACE)
            + self.vault.clear(Shelf::Values, &|name| values.contains(name), GRACE)
            + self.vault.clear(Shelf::Live, &|name| live.contains(name), GRACE)
    }

    /// Whether a value can be had, for a list. Opens nothing.
    #[must_use]
    pub fn is_present(&self, origin: &Origin) -> Option<bool> {
        match origin {
            Origin::Here(_) => Some(true),
            Origin::Variable(_, value) => Some(value.is_some()),
            Origin::Store(name) => Some(self.vault.has(Shelf::Store, name)),
            Origin::HostFile(None, path) => Some(PathBuf::from(path).is_file()),
            Origin::Sealed(..) => None,
            Origin::HostFile(Some(_), path) => (!PathBuf::from(path).is_file()).then_some(false),
        }
    }

    /// The name of each content that the last load asked for.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<Ask, String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named = asked.into_iter().filter_map(|ask| {
            let name = last.get(&ask)?.as_ref().ok()?.clone();
            Some((ask, name))
        });
        named.collect()
    }

    /// How the last load went for it: why it cannot be had.
    #[must_use]
    pub fn trouble(&self, ask: &Ask) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.get(ask)?.as_ref().err().cloned()
    }
}

impl Files for Secrets {
    fn ensure(&self, paths: &[String]) -> Result<(), FilesError> {
        let names: Vec<FileKey> = paths.iter().filter_map(|path| self.file_name(path)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.folder.prepare().map_err(|message| FilesError { kind: Failure::Internal, message })?;
        names.iter().try_for_each(|name| self.ensure_one(name))
    }

    fn rewrite(&self, contents: &BTreeMap<String, String>) -> Result<(), FilesError> {
        let later = |message: String| FilesError { kind: Failure::Internal, message };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.folder.prepare().map_err(later)?;
        for (path, content) in contents {
            let name = self.file_name(path).filter(FileKey::is_live);
            let name = name.ok_or_else(|| later(format!("{path} is not a file of evenkeel's")))?;
            // Noted first: whatever becomes of this process, the file is brought to it at the next start.
            self.value(Some(content))?;
            self.vault.put(Shelf::Live, &name.stem, content.as_bytes()).map_err(later)?;
            self.ensure_one(&name)?;
        }
        Ok(())
    }
}

/// The paths of the host that a service mounts.
fn binds(spec: &ServiceSpec) -> impl Iterator<Item = String> + '_ {
    spec.container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Bind { path, .. } => Some(path.clone()),
        _ => None,
    })
}
