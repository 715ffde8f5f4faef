//! A repository as the context of a build: the branch, tag or commit that is asked for, one folder of it, put on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::error::GitError;
use super::log::commit_of;
use super::objects::{entries, tree_of};
use super::repository::{Repository, is_oid};
use super::settings::{GitSettings, Login, Remote, folder, reference};
use super::{place, submodules};
use crate::desired::tree::Tree;

/// Where a context comes from.
pub struct ContextSource {
    settings: GitSettings,
    repository: Repository,
    home: PathBuf,
}

/// A commit of it, on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFound {
    pub commit: String,
    /// What was asked for, or the branch that the repository names.
    pub branch: Option<String>,
    pub folder: PathBuf,
}

impl ContextSource {
    /// `home`: where copies of repositories may be kept. `known`: repositories whose login may be used for others at the same host.
    ///
    /// # Errors
    /// The address, the reference or the folder is none that is used.
    pub fn new(
        url: &str,
        asked: Option<&str>,
        below: &str,
        home: &Path,
        known: &[Remote],
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, GitError> {
        let refused =
            |what: String| move |why: String| GitError::Refused(format!("{what} is not used: {why}"));
        let whole = if url.starts_with("github.com/") { format!("https://{url}") } else { url.to_owned() };
        let plain = Remote::new(&whole, Login::None).map_err(refused(format!("`{url}`")))?;
        let own = known.iter().find(|own| own.origin().is_some() && own.origin() == plain.origin());
        let remote = match own {
            Some(own) => Remote::new(&whole, own.login.clone()).unwrap_or(plain),
            None => plain,
        };
        let mut settings = GitSettings::new("context", remote);
        settings.branch =
            asked.map(reference).transpose().map_err(refused(format!("`{}`", asked.unwrap_or_default())))?;
        settings.path = folder(below).map_err(refused(format!("`{below}`")))?;
        settings.submodules = true;
        let name = hex::encode(Sha256::digest(whole.as_bytes()));
        let home = home.join(name.get(..16).unwrap_or(&name));
        let repository = Repository::new(&settings, &home, stop);
        Ok(Self { settings, repository, home })
    }

    /// The tag with the newest version in a range.
    ///
    /// # Errors
    /// The repository cannot be asked, or has none.
    pub fn newest(&self, range: &str) -> Result<String, GitError> {
        let refused = |why: String| GitError::Refused(why);
        let wanted = semver::VersionReq::parse(range).map_err(|error| refused(error.to_string()))?;
        let tags = self.repository.remote_tags()?;
        let version = |tag: &String| {
            let plain = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
            semver::Version::parse(plain).ok().filter(|version| wanted.matches(version))
        };
        let fitting = tags.iter().filter_map(|tag| Some((version(tag)?, tag)));
        let newest = fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, tag)| tag.clone());
        newest.ok_or_else(|| refused(format!("the repository has no tag with a version in `{range}`")))
    }

    /// The same with another reference.
    #[must_use]
    pub fn at(mut self, reference: &str, stop: &Arc<AtomicBool>) -> Self {
        self.settings.branch = Some(reference.to_owned());
        self.repository = Repository::new(&self.settings, &self.home, stop);
        self
    }

    /// Brings the commit here that is asked for, and puts the folder on the disk.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub fn take(&self) -> Result<ContextFound, GitError> {
        self.repository.prepare()?;
        let (commit, branch) = match &self.settings.branch {
            Some(oid) if is_oid(oid) => {
                self.repository.fetch_commit(&self.settings.remote, oid)?;
                (oid.clone(), None)
            }
            asked => {
                let tip = self.repository.look()?;
                let branch = asked.clone().or_else(|| self.repository.head().ok().flatten());
                (self.repository.fetch(&tip)?, branch)
            }
        };
        let folder = self.export(&commit)?;
        Ok(ContextFound { commit, branch, folder })
    }

    fn export(&self, commit: &str) -> Result<PathBuf, GitError> {
        let told = commit_of(&self.repository, commit)?;
        let root = tree_of(&self.repository, &self.settings, &told)?;
        let below = hex::encode(Sha256::digest(self.settings.path.as_bytes()));
        let below = below.get(..8).unwrap_or(&below);
        let contexts = self.home.join("contexts");
        let name = format!("{}-{below}", root.get(..24).unwrap_or(&root));
        let target = contexts.join(&name).join("context");
        if target.symlink_metadata().is_ok() {
            return Ok(target);
        }
        let mut found = entries(&self.repository, &root)?;
        submodules::expand(&self.repository, &self.settings, &told.id, &mut found)?;
        let files =
            found.files.keys().map(|path| (path.as_str().to_owned(), path.clone())).collect::<Vec<_>>();
        let tree = Tree { entries: found.files, ..Tree::default() };
        fs::create_dir_all(&contexts).map_err(|error| GitError::disk("make", &contexts, &error))?;
        place::copy(&self.repository, &tree, &target, &files)?;
        // Empty, it is a context all the same.
        fs::create_dir_all(&target).map_err(|error| GitError::disk("make", &target, &error))?;
        for entry in fs::read_dir(&contexts).into_iter().flatten().flatten() {
            let other = entry.file_name().to_string_lossy().into_owned();
            if other != name && other.ends_with(&format!("-{below}")) {
                let _gone = fs::remove_dir_all(entry.path());
            }
        }
        Ok(target)
    }
}
