//! Who signed a commit.
//!
//! Git checks the signature itself; what is ours is that only the keys of the file named in the settings count, and that a
//! signature of the other kind, which this user's own key rings might know, does not.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::command::Git;
use super::error::GitError;
use super::repository::Repository;
use super::settings::Verify;

/// Checks a commit. Returns who signed it, `None` when nobody is asked for.
///
/// # Errors
/// [`GitError::Unverified`] with what is wrong with the signature, or what is missing to check it.
pub(super) fn verify(
    repository: &Repository,
    how: &Verify,
    commit: &str,
) -> Result<Option<String>, GitError> {
    let unverified = |why: String| GitError::Unverified { commit: short(commit), why };
    let git = match how {
        Verify::Off => return Ok(None),
        Verify::Ssh { allowed_signers } => {
            readable(allowed_signers).map_err(unverified)?;
            ssh(repository, allowed_signers)
        }
        Verify::Gpg { keyring } => {
            readable(keyring).map_err(unverified)?;
            gpg(repository, keyring)?
        }
    };
    let format = "--format=%G?%x00%GS%x00%GF%x00%GK";
    let arguments = ["log", "-1", "--no-show-signature", format, commit, "--"];
    let outcome = git.run("log", &arguments, None, &repository.local())?;
    let answer = String::from_utf8_lossy(&outcome.answer).trim().to_owned();
    let mut fields = answer.split('\0');
    let mut next = || fields.next().unwrap_or_default().to_owned();
    let (verdict, signer, fingerprint, key) = (next(), next(), next(), next());
    let who = if signer.is_empty() { fingerprint } else { signer };
    let key = if key.is_empty() { String::new() } else { format!(" (key {key})") };
    match (verdict.as_str(), how) {
        // The key ring of its own holds the allowed keys and no others, so whether people vouched for them does not matter.
        ("G", _) | ("U", Verify::Gpg { .. }) => Ok(Some(who)),
        ("N", Verify::Ssh { .. }) => Err(unverified("it has no SSH signature".to_owned())),
        ("N", _) => Err(unverified("it is not signed".to_owned())),
        ("U", _) => {
            Err(unverified(format!("it is signed with a key that is not among the allowed signers{key}")))
        }
        ("B", _) => Err(unverified(format!("its signature is bad{key}: it was changed after it was signed"))),
        ("X" | "Y", _) => Err(unverified(format!("its signature or key has expired{key}"))),
        ("R", _) => Err(unverified(format!("its key was revoked{key}"))),
        _ => {
            let told = git.readable(&outcome.words);
            let told = if told.is_empty() { String::new() } else { format!(": {told}") };
            Err(unverified(format!("its signature cannot be checked{key}{told}")))
        }
    }
}

fn short(commit: &str) -> String {
    commit.get(..8).unwrap_or(commit).to_owned()
}

fn readable(path: &Path) -> Result<(), String> {
    fs::File::open(path).map(drop).map_err(|error| {
        format!("{} cannot be read ({})", path.display(), crate::source::file::plain(&error))
    })
}

fn ssh(repository: &Repository, allowed_signers: &Path) -> Git {
    repository
        .git()
        .with_config("gpg.openpgp.program=/bin/false".to_owned())
        .with_config("gpg.program=/bin/false".to_owned())
        .with_config("gpg.x509.program=/bin/false".to_owned())
        .with_config("gpg.ssh.program=ssh-keygen".to_owned())
        .with_config("gpg.minTrustLevel=undefined".to_owned())
        .with_config(format!("gpg.ssh.allowedSignersFile={}", allowed_signers.display()))
}

/// A key ring made anew from the file each time: keys that were taken out of the file are out.
fn gpg(repository: &Repository, keyring: &Path) -> Result<Git, GitError> {
    let ring = repository.home().join("keys");
    if ring.exists() {
        fs::remove_dir_all(&ring).map_err(|error| GitError::disk("remove", &ring, &error))?;
    }
    let made = fs::DirBuilder::new().mode(0o700).create(&ring);
    made.map_err(|error| GitError::disk("make", &ring, &error))?;
    let refused =
        |why: String| GitError::Refused(format!("cannot read the keys of {}: {why}", keyring.display()));
    let outcome = Command::new("gpg")
        .arg("--homedir")
        .arg(&ring)
        .args(["--batch", "--quiet", "--no-autostart", "--import", "--"])
        .arg(keyring)
        .stdin(Stdio::null())
        .output();
    let outcome = outcome.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            refused("the program `gpg` is not here: install it (Debian: apt install gnupg)".to_owned())
        }
        _ => refused(error.to_string()),
    })?;
    if !outcome.status.success() {
        return Err(refused(repository.git().readable(&outcome.stderr)));
    }
    let git = repository
        .git()
        .with_config("gpg.ssh.program=/bin/false".to_owned())
        .with_config("gpg.x509.program=/bin/false".to_owned())
        .with_config("gpg.openpgp.program=gpg".to_owned())
        .with_config("gpg.minTrustLevel=undefined".to_owned())
        .with_variable("GNUPGHOME", ring);
    Ok(git)
}
