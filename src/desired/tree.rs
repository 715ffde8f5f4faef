//! What a commit holds beside its state files: everything services may mount, by path, with the commit that last touched it.
//!
//! A container sees a file that was there when it started; another file put in its place it does not see. So what is mounted
//! from a repository is part of the service: a change of it replaces. A file, and a folder mounted read-only, is mounted from a copy
//! that never changes and is named by its content, so that going back to the previous revision brings back its files,
//! too. A folder that the service may write to stays at one path for ever, because what it wrote is in there.

use std::collections::BTreeMap;
use std::ops::Bound;

use sha2::{Digest, Sha256};

use super::snapshot::{Commit, RelPath};
use super::spec::{MountSource, ServiceSpec};

/// Links followed on the way to one file, as the kernel has it.
const LINKS: u32 = 40;

/// One file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Git's name of the content.
    pub oid: String,
    pub kind: BlobKind,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobKind {
    File,
    Executable,
    /// A symbolic link, with where it leads.
    Link(String),
    /// Another repository, which is not fetched.
    Submodule,
}

/// Every file of a commit, below the path that is the desired state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Folder of the copies that never change, on this host.
    pub copies: String,
    pub entries: BTreeMap<RelPath, Blob>,
    /// Newest first.
    pub commits: Vec<Commit>,
    /// The newest commit that touched each file, as its place in `commits`.
    pub touched: BTreeMap<RelPath, usize>,
}

/// What has to be on the disk before a service can mount it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    pub kind: PinKind,
    /// Path below the pinned place (`""` for a single file) and below the root of the source.
    pub files: Vec<(String, RelPath)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinKind {
    /// A copy at this absolute path, `<copies>/<digest>/<name>`: once there it never changes.
    Copy(String),
    /// The folder at its own path below the root; what else is in there is not touched.
    Live(RelPath),
}

/// Where a path of a commit leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Led<'a> {
    /// Also a submodule.
    File(&'a RelPath, &'a Blob),
    Folder(String),
    /// Nothing of this name is in the commit.
    Absent,
    /// A link on the way leads out of the commit, in a circle, or to nothing.
    Nowhere(String),
}

/// What a service mounts from a tree.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    pub pins: Vec<Pin>,
    /// By target of the mount.
    mounts: Vec<(String, Content)>,
}

/// Where the content of a mount lies on the host.
#[derive(Debug)]
struct Content {
    path: String,
    /// For a place whose content changes.
    content: Option<String>,
}

impl Pinned {
    /// Binds the mounts to their content.
    pub(super) fn bind(self, spec: &mut ServiceSpec) {
        for (target, bound) in self.mounts {
            let mount = spec.container.mounts.get_mut(&target);
            if let Some(MountSource::Bind { path, content, .. }) = mount.map(|mount| &mut mount.source) {
                *path = bound.path;
                if bound.content.is_some() {
                    *content = bound.content;
                }
            }
        }
    }
}

impl Tree {
    /// The newest commit that touched one of these files.
    pub fn last_touched<'a>(&self, files: impl Iterator<Item = &'a str>) -> Option<&Commit> {
        // A file of a submodule was touched when the submodule was.
        let touched = |file: &str| {
            let above = file.match_indices('/').rev().filter_map(|(at, _)| file.get(..at));
            std::iter::once(file).chain(above).find_map(|path| self.touched.get(path))
        };
        let newest = files.filter_map(touched).min()?;
        self.commits.get(*newest)
    }

    /// What of the tree, whose files lie below `root` on the host, a service needs on the disk, and by target of its mounts what binds them
    /// to their content. A service that mounts nothing of it costs nothing.
    ///
    /// # Errors
    /// A sentence: a mount leads out of the repository, or into one that is not fetched.
    pub(super) fn pin(&self, spec: &ServiceSpec, root: &str) -> Result<Pinned, String> {
        let mut pinned = Pinned::default();
        for (target, mount) in &spec.container.mounts {
            let MountSource::Bind { path, .. } = &mount.source else { continue };
            let below = path.strip_prefix(root).map(|rest| rest.trim_start_matches('/'));
            let Some(below) = below.filter(|_| is_below(path, root)) else { continue };
            let (pin, bound) = match self.resolve(below)? {
                Led::Absent | Led::Nowhere(_) => continue,
                Led::File(file, _) => self.copied(vec![(String::new(), file.clone())], below),
                Led::Folder(folder) => {
                    let files = self.below(&folder)?;
                    match RelPath::new(&folder).filter(|_| !mount.read_only) {
                        Some(live) => {
                            let bound = Content {
                                path: format!("{root}/{live}"),
                                content: Some(self.digest(&files)),
                            };
                            (Pin { kind: PinKind::Live(live), files }, bound)
                        }
                        None => self.copied(files, below),
                    }
                }
            };
            pinned.pins.push(pin);
            pinned.mounts.push((target.clone(), bound));
        }
        Ok(pinned)
    }

    /// A folder as the context of a build: what has to be on the disk, where it is then, and the newest commit that touched it. Its links are
    /// kept as they are, wherever they lead.
    pub(super) fn context(&self, place: &str) -> Option<(Pin, String, Option<String>)> {
        let Led::Folder(folder) = self.follow(place) else { return None };
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let own = self.range(&folder).filter(|(_, blob)| blob.kind != BlobKind::Submodule);
        let files: Vec<(String, RelPath)> = own
            .map(|(path, _)| (path.as_str().get(skip..).unwrap_or_default().to_owned(), path.clone()))
            .collect();
        let commit = self.last_touched(files.iter().map(|(_, path)| path.as_str()));
        let commit = commit.map(|commit| commit.id.clone());
        let (pin, bound) = self.copied(files, place);
        Some((pin, bound.path, commit))
    }

    /// A copy that never changes.
    fn copied(&self, files: Vec<(String, RelPath)>, below: &str) -> (Pin, Content) {
        let path = self.copy(&self.digest(&files), below);
        (Pin { kind: PinKind::Copy(path.clone()), files }, Content { path, content: None })
    }

    fn copy(&self, digest: &str, below: &str) -> String {
        let name = below.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("all");
        format!("{}/{digest}/{name}", self.copies)
    }

    /// Where a service's mount leads.
    fn resolve(&self, path: &str) -> Result<Led<'_>, String> {
        match self.follow(path) {
            Led::File(file, blob) if blob.kind == BlobKind::Submodule => Err(format!(
                "`{file}` is a submodule, and submodules are not fetched: put the files into the repository itself"
            )),
            Led::Nowhere(why) => Err(why),
            led => Ok(led),
        }
    }

    /// Follows links, part by part, and never out of the commit.
    #[must_use]
    pub fn follow(&self, path: &str) -> Led<'_> {
        let mut done: Vec<String> = Vec::new();
        let mut open: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = open.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if done.pop().is_none() {
                        return Led::Nowhere(format!("`{path}` leads out of the repository"));
                    }
                    continue;
                }
                _ => done.push(part),
            }
            let here = done.join("/");
            match self.entries.get_key_value(here.as_str()) {
                Some((_, Blob { kind: BlobKind::Link(target), .. })) => {
                    links += 1;
                    if links > LINKS {
                        return Led::Nowhere(format!("the link `{here}` leads in a circle"));
                    }
                    if target.is_empty() || target.starts_with('/') {
                        return Led::Nowhere(format!("the link `{here}` leads out of the repository"));
                    }
                    done.pop();
                    open.extend(target.split('/').rev().map(str::to_owned));
                }
                // What is said to be in a submodule is that submodule, as far as this commit is concerned.
                Some((file, blob)) if blob.kind == BlobKind::Submodule => return Led::File(file, blob),
                Some(_) | None => {}
            }
        }
        let here = done.join("/");
        if let Some((file, blob)) = self.entries.get_key_value(here.as_str()) {
            return Led::File(file, blob);
        }
        match (self.range(&here).next(), links) {
            (Some(_), _) => Led::Folder(here),
            (None, 0) => Led::Absent,
            (None, _) => Led::Nowhere(format!("`{path}` is a link that leads nowhere")),
        }
    }

    fn range<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a RelPath, &'a Blob)> + use<'a> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.entries.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        from.take_while(move |(path, _)| path.as_str().starts_with(&start))
    }

    /// Every file of a folder. Links in it are kept as links, if they lead to something in the tree.
    fn below(&self, folder: &str) -> Result<Vec<(String, RelPath)>, String> {
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let mut files = Vec::new();
        for (path, blob) in self.range(folder) {
            match &blob.kind {
                BlobKind::Submodule => continue,
                BlobKind::Link(_) => {
                    self.resolve(path.as_str())?;
                }
                BlobKind::File | BlobKind::Executable => {}
            }
            files.push((path.as_str().get(skip..).unwrap_or_default().to_owned(), path.clone()));
        }
        Ok(files)
    }

    fn digest(&self, files: &[(String, RelPath)]) -> String {
        let mut digest = Sha256::new();
        digest.update(b"evenkeel files 1\n");
        for (name, path) in files {
            let Some(blob) = self.entries.get(path) else { continue };
            let kind = match &blob.kind {
                BlobKind::File | BlobKind::Submodule => "file",
                BlobKind::Executable => "executable",
                BlobKind::Link(_) => "link",
            };
            digest.update(format!("{kind} {} {} {name}\n", blob.oid, name.len()));
        }
        let mut text = hex::encode(digest.finalize());
        text.truncate(32);
        text
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
