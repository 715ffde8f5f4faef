//! What of an archive is let in. The archive comes out of an image, and an image is whoever's: nothing in it may lead to anything outside of the
//! folder that it is unpacked into, neither now nor when the files are read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Bounds on what is unpacked: an archive can be made larger than any disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub entries: usize,
    /// Of all files together.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, bytes: 64 << 30 }
    }
}

/// Folders in folders.
const DEPTH: usize = 128;
const NAME_BYTES: usize = 255;
const LINKS_FOLLOWED: usize = 40;

/// What an entry says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    Folder,
    File {
        size: u64,
    },
    Symlink {
        target: &'a [u8],
    },
    /// Another name of a file of this archive.
    Hardlink {
        target: &'a [u8],
    },
    /// A device, a pipe, or what nobody has heard of.
    Other,
}

/// What is made of it, by its path below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Make {
    Folder(PathBuf),
    File(PathBuf),
    Symlink { at: PathBuf, target: PathBuf },
    Hardlink { at: PathBuf, to: PathBuf },
}

type Parts = Vec<Vec<u8>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File,
    /// Relative to its folder.
    Link(Parts),
}

/// Lets entries in, one after the other, and remembers what is there.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    /// The path that was copied, in the image: links to what lies below it are made relative.
    source: Parts,
    /// The name that every path of the archive begins with.
    top: Option<Vec<u8>>,
    nodes: BTreeMap<Parts, Node>,
    bytes: u64,
}

impl Gate {
    /// `source`: the absolute path that was copied out of the image.
    #[must_use]
    pub fn new(source: &str, limits: Limits) -> Self {
        let source = source.split('/').filter(|part| !part.is_empty() && *part != ".");
        Self {
            limits,
            source: source.map(|part| part.as_bytes().to_vec()).collect(),
            top: None,
            nodes: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Whether the entry may be made, and as what.
    ///
    /// # Errors
    /// Why nothing of the archive is taken.
    pub fn admit(&mut self, path: &[u8], kind: Kind<'_>) -> Result<Make, String> {
        let at = self.below_top(path)?;
        if self.nodes.len() >= self.limits.entries {
            return Err(format!("it has more than {} entries", self.limits.entries));
        }
        let told = || String::from_utf8_lossy(path).escape_debug().to_string();
        self.parents(&at).map_err(|why| format!("`{}`: {why}", told()))?;
        let (node, make) = match kind {
            Kind::Folder => (Node::Folder, Make::Folder(joined(&at))),
            Kind::File { size } => {
                self.bytes = self.bytes.saturating_add(size);
                if self.bytes > self.limits.bytes {
                    return Err(format!("its files are larger than {} bytes together", self.limits.bytes));
                }
                (Node::File, Make::File(joined(&at)))
            }
            Kind::Symlink { target } => {
                let target = self.inner(&at, target).map_err(|why| format!("the link `{}` {why}", told()))?;
                (Node::Link(target.clone()), Make::Symlink { at: joined(&at), target: joined(&target) })
            }
            Kind::Hardlink { target } => {
                let to = self.below_top(target)?;
                if self.nodes.get(&to) != Some(&Node::File) {
                    return Err(format!("`{}` is another name of something that is no file of it", told()));
                }
                (Node::File, Make::Hardlink { at: joined(&at), to: joined(&to) })
            }
            Kind::Other => {
                return Err(format!(
                    "`{}` is a device, a pipe or something else that is no file, folder or link",
                    told()
                ));
            }
        };
        match self.nodes.get(&at) {
            None => drop(self.nodes.insert(at, node)),
            // A folder may be told of twice; nothing else comes in the place of something.
            Some(Node::Folder) if node == Node::Folder => {}
            Some(_) => return Err(format!("`{}` is in it twice", told())),
        }
        Ok(make)
    }

    /// Whether something is at the top, and no link leads out by way of another.
    ///
    /// # Errors
    /// Why nothing of the archive is taken.
    pub fn finish(&self) -> Result<(), String> {
        if !self.nodes.contains_key(&Vec::new()) {
            return Err("it is empty".to_owned());
        }
        for (at, node) in &self.nodes {
            if let Node::Link(target) = node {
                let mut folder = at.clone();
                folder.pop();
                if !self.stays_inside(folder, target) {
                    let path = joined(at);
                    return Err(format!("the link `{}` leads out of it by way of another", path.display()));
                }
            }
        }
        Ok(())
    }

    /// Whether there is something at this path, links followed.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let parts: Parts = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(|part| part.as_bytes().to_vec())
            .collect();
        self.walk(Vec::new(), &parts).is_some_and(|(at, _)| self.nodes.contains_key(&at))
    }

    /// Every path begins with the name of what was copied; what follows is taken.
    fn below_top(&mut self, path: &[u8]) -> Result<Parts, String> {
        let told = || String::from_utf8_lossy(path).escape_debug().to_string();
        if path.starts_with(b"/") || path.contains(&0) {
            return Err(format!("`{}` is not a path within it", told()));
        }
        let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        let first = parts.next().unwrap_or_default();
        let rest: Parts = parts.map(<[u8]>::to_vec).collect();
        let outside = |part: &[u8]| part == b".." || part.len() > NAME_BYTES;
        if outside(first) || rest.iter().any(|part| outside(part)) || rest.len() > DEPTH {
            return Err(format!("`{}` is not a path within it", told()));
        }
        match &self.top {
            None => self.top = Some(first.to_vec()),
            Some(top) if top == first => {}
            Some(_) => return Err(format!("`{}` lies beside what was asked for", told())),
        }
        Ok(rest)
    }

    /// Every folder on the way is one of ours. Those that the archive does not tell of are made.
    fn parents(&mut self, at: &[Vec<u8>]) -> Result<(), String> {
        for length in 0..at.len() {
            let above = at.get(..length).unwrap_or_default();
            match self.nodes.get(above) {
                None => drop(self.nodes.insert(above.to_vec(), Node::Folder)),
                Some(Node::Folder) => {}
                Some(_) => return Err("what it lies in is no folder".to_owned()),
            }
        }
        Ok(())
    }

    /// Where a link leads, relative to its folder. What leads to a place of the image below what was copied leads there.
    fn inner(&self, at: &[Vec<u8>], target: &[u8]) -> Result<Parts, String> {
        if target.is_empty() || target.contains(&0) || target.len() > 4095 {
            return Err("leads nowhere".to_owned());
        }
        let told = || String::from_utf8_lossy(target).escape_debug().to_string();
        let outside = || format!("leads to `{}`, outside of what is copied", told());
        let depth = at.len().saturating_sub(1);
        let parts = || target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        if target.starts_with(b"/") {
            let mut rest: Parts = Vec::new();
            for part in parts() {
                if part == b".." {
                    rest.pop();
                } else {
                    rest.push(part.to_vec());
                }
            }
            let below = rest.strip_prefix(self.source.as_slice()).ok_or_else(outside)?;
            let up = std::iter::repeat_n(b"..".to_vec(), depth);
            let path: Parts = up.chain(below.iter().cloned()).collect();
            // A link to the root itself from the root's own folder.
            return if at.is_empty() {
                Err(outside())
            } else {
                Ok(if path.is_empty() { vec![b".".to_vec()] } else { path })
            };
        }
        let mut level = depth;
        for part in parts() {
            match part {
                b".." if level == 0 => return Err(outside()),
                b".." => level -= 1,
                _ => level += 1,
            }
        }
        if at.is_empty() {
            return Err(format!("is all there is, and leads to `{}`: name that path instead", told()));
        }
        let path: Parts = parts().map(<[u8]>::to_vec).collect();
        Ok(if path.is_empty() { vec![b".".to_vec()] } else { path })
    }

    fn stays_inside(&self, folder: Parts, target: &Parts) -> bool {
        self.walk(folder, target).is_some()
    }

    /// Follows a path from a folder, links too. `None`: it leaves, or goes round in circles for ever. Beyond what is not there nothing
    /// can be followed.
    fn walk(&self, from: Parts, path: &Parts) -> Option<(Parts, usize)> {
        let mut here = from;
        let mut open: Vec<Vec<u8>> = path.iter().rev().cloned().collect();
        let mut followed = 0;
        while let Some(part) = open.pop() {
            match part.as_slice() {
                b"." => {}
                b".." => {
                    here.pop()?;
                }
                _ => {
                    here.push(part);
                    if let Some(Node::Link(target)) = self.nodes.get(&here) {
                        followed += 1;
                        if followed > LINKS_FOLLOWED {
                            return None;
                        }
                        here.pop();
                        open.extend(target.iter().rev().cloned());
                    }
                }
            }
        }
        Some((here, followed))
    }
}

fn joined(parts: &[Vec<u8>]) -> PathBuf {
    parts.iter().map(|part| OsStr::from_bytes(part)).collect()
}
