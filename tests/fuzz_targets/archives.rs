//! Archives out of images: whatever they say, nothing is made outside of the folder they go into, nothing leads out of it, and nothing in it is
//! more than files, folders and links with plain modes.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use evenkeel::artifacts::entry::Limits;
use evenkeel::artifacts::unpack::{Look, unpack};

const BLOCK: usize = 512;
const LIMITS: Limits = Limits { entries: 50, bytes: 1 << 20 };

pub fn check(input: &[u8]) {
    // In memory, where there is such a place: flushing a disk a thousand times is no part of the claim.
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("evenkeel-fuzz-").tempdir_in(base).unwrap();
    let root = dir.path().join("root");
    let told = unpack(Cursor::new(signed(input)), &root, "/srv/html", &Look::default(), &[], LIMITS);
    let beside: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(beside.iter().all(|path| *path == root), "{beside:?}");
    let finished = told.is_ok();
    assert!(!finished || fs::symlink_metadata(&root).is_ok(), "what was taken is there");
    if fs::symlink_metadata(&root).is_ok() {
        look(&root, &root, finished);
    }
}

/// With the check sums that the headers should have: else hardly any change gets past the first look.
fn signed(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK) {
        if block.get(257..262) == Some(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fn look(root: &Path, path: &Path, finished: bool) {
    let seen = fs::symlink_metadata(path).unwrap();
    let kind = seen.file_type();
    assert!(kind.is_file() || kind.is_dir() || kind.is_symlink(), "{} is something else", path.display());
    if kind.is_symlink() {
        // Only of what was taken as a whole: links are judged together.
        if let (true, Ok(end)) = (finished, fs::canonicalize(path)) {
            assert!(end.starts_with(root), "{} leads to {}", path.display(), end.display());
        }
        return;
    }
    assert_eq!(seen.permissions().mode() & 0o7000, 0, "{}", path.display());
    if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(root, &entry.unwrap().path(), finished);
        }
    }
}
