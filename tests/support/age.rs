//! `age`, `sops` and a stand-in for it, in folders for PATH.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with Debian's `age` and `age-keygen`; `None` where they cannot be had.
pub fn age() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(project.join("scripts/age.sh")).output().unwrap();
    if !fetched.status.success() {
        super::machine::skip(&format!("no age: {}", String::from_utf8_lossy(&fetched.stderr)));
        return None;
    }
    Some(project.join("target/age/usr/bin"))
}

/// The folder with the real `sops`; `None` where it cannot be had.
pub fn sops() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(project.join("scripts/sops.sh")).output().unwrap();
    if !fetched.status.success() {
        super::machine::skip(&format!("no sops: {}", String::from_utf8_lossy(&fetched.stderr)));
        return None;
    }
    Some(project.join("target/sops/bin"))
}

/// A `sops` that takes the calls of the real one and no others: it opens what [`sops_sealed`] made, when it is given the key.
pub fn put_sops(folder: &Path) {
    let text = "#!/bin/sh\n\
        [ \"$*\" = '--decrypt --input-type yaml --output-type yaml /dev/stdin' ] || { echo \"called with $*\" >&2; exit 64; }\n\
        [ -r \"$SOPS_AGE_KEY_FILE\" ] || { echo 'Failed to get the data key required to decrypt the SOPS file.' >&2; exit 128; }\n\
        read -r first </dev/stdin\n\
        [ \"$first\" = 'sealed: true' ] || { echo 'sops metadata not found' >&2; exit 1; }\n\
        rev\n";
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("sops");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What [`put_sops`]'s program opens.
pub fn sops_sealed(plain: &str) -> String {
    let lines: Vec<String> = plain.lines().map(|line| line.chars().rev().collect()).collect();
    format!("sealed: true\n{}\n", lines.join("\n"))
}
