//! The context of a build: every file that its builder is given, with a digest that says nothing but what is in them. The same content
//! gives the same digest, whatever the time stamps, the owner, the order on the disk, or the place.

mod ignore;
mod pack;
mod scan;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use ignore::Ignore;
pub use pack::{Extra, Packed};
pub use scan::{Known, Limits};

/// Why a context cannot be used.
#[derive(Debug, Error)]
pub enum ContextError {
    #[error("the context {0} is not there", .path.display())]
    Missing { path: PathBuf },
    #[error("the context {0} is not a folder", .path.display())]
    NoFolder { path: PathBuf },
    #[error("{0} cannot be read: {source}", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the context {0} has {why}; leave out with a .dockerignore what the build does not need", .path.display())]
    TooLarge { path: PathBuf, why: String },
    #[error("{0}: {why}", .path.display())]
    Ignore { path: PathBuf, why: String },
    /// Whoever takes the context is gone.
    #[error("the context could not be handed over: {0}")]
    Write(std::io::Error),
}

/// One entry of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the root, as bytes of the file system, with `/`.
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File {
        size: u64,
        /// SHA-256 of the content.
        digest: [u8; 32],
    },
    Link(Vec<u8>),
}

/// A context as it was read.
#[derive(Debug, Clone)]
pub struct Context {
    pub root: PathBuf,
    /// By path.
    pub entries: Vec<Entry>,
    /// The text of the file that says what is left out, if there is one.
    pub ignore: Option<Vec<u8>>,
    /// Bytes of all files.
    pub size: u64,
}

/// Reads a file of a context that may not be huge: a Dockerfile.
///
/// # Errors
/// It is not there, too large, or not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ContextError> {
    use std::io::Read;
    const MOST: u64 = 4 << 20;
    let unreadable = |source| ContextError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// The commit that a folder is at, and its branch, where it lies in somebody's work tree. No git is run there: its settings are not ours.
#[must_use]
pub fn commit_of_folder(folder: &Path) -> Option<(Option<String>, Option<String>)> {
    let folder = std::fs::canonicalize(folder).ok()?;
    let git = folder.ancestors().map(|above| above.join(".git")).find(|git| git.is_dir())?;
    let read = |name: &str| read_text(&git.join(name)).ok();
    let whole = |text: &str| {
        let text = text.trim();
        let oid = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        oid.then(|| text.to_owned())
    };
    let head = read("HEAD")?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return Some((whole(&head), None)) };
    // A name leads nowhere else.
    let harmless = reference.starts_with("refs/") && !reference.split('/').any(|part| part == "..");
    let loose = harmless.then(|| read(reference)).flatten().and_then(|text| whole(&text));
    let packed = || {
        let packed = read("packed-refs")?;
        packed.lines().find_map(|line| whole(line.strip_suffix(reference)?))
    };
    let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
    Some((loose.or_else(packed), branch))
}
