//! Encrypted files, opened by the programs that people encrypt them with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::program::Program;
use crate::desired::provided::Cipher;

const AGE_HELP: &str = "install age (Debian and Ubuntu: apt install age)";
const SOPS_HELP: &str = "install sops (https://getsops.io), version 3.7 or later";
/// A failure is believed this long: whoever mends it does not wait, and nobody starts programs without end.
const FAILURE_STANDS: Duration = Duration::from_secs(30);

/// Opens files with the key of this host. What was opened once is not opened again.
#[derive(Debug)]
pub struct Opener {
    key_file: PathBuf,
    /// By the digest of what was opened. Failures with the moment.
    failures: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Opener {
    #[must_use]
    pub fn new(key_file: &Path) -> Self {
        Self { key_file: key_file.to_owned(), failures: Mutex::default() }
    }

    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// Tells one opening from another.
    #[must_use]
    pub fn digest(cipher: Cipher, name: &str, sealed: &[u8]) -> String {
        let mut digest = Sha256::new();
        for part in [cipher.as_str().as_bytes(), kind(name).as_bytes(), sealed] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }

    /// Opens a file.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn open(&self, cipher: Cipher, name: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let digest = Self::digest(cipher, name, sealed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, (at, _)| at.elapsed() < FAILURE_STANDS);
        if let Some((_, why)) = failures.get(&digest) {
            return Err(why.clone());
        }
        let opened = self.ask(cipher, name, sealed);
        if let Err(why) = &opened {
            failures.insert(digest, (Instant::now(), why.clone()));
        }
        opened
    }

    fn ask(&self, cipher: Cipher, name: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        match cipher {
            Cipher::Age => {
                self.check_key()?;
                let program =
                    Program::new("age", AGE_HELP).arg("--decrypt").arg("--identity").arg(&self.key_file);
                program.run(sealed.to_vec())
            }
            Cipher::Sops => {
                let kind = kind(name);
                let mut program = Program::new("sops", SOPS_HELP);
                // Files for other key services than age need no key of ours.
                if self.key_file.exists() {
                    self.check_key()?;
                    program = program.env("SOPS_AGE_KEY_FILE", &self.key_file);
                }
                let words = ["--decrypt", "--input-type", kind, "--output-type", kind, "/dev/stdin"];
                let program = words.into_iter().fold(program, |program, word| program.arg(word));
                program.run(sealed.to_vec()).map_err(|why| match self.check_key() {
                    Err(missing) if !self.key_file.exists() => format!("{why} ({missing})"),
                    _ => why,
                })
            }
        }
    }

    /// The key is there, and nobody else may read it.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn check_key(&self) -> Result<(), String> {
        let path = self.key_file.display();
        let meta = std::fs::metadata(&self.key_file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "this host has no key at {path}: `evenkeel secret key` makes one; files must then be encrypted for it anew"
            ),
            _ => format!("the key {path} cannot be read: {error}"),
        })?;
        if meta.mode() & 0o077 != 0 {
            return Err(format!("others may read the key {path}: chmod 600 {path}"));
        }
        Ok(())
    }

    /// The public half of every key in the file: for whom files are encrypted.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn recipients(&self) -> Result<Vec<String>, String> {
        self.check_key()?;
        let mut key = Vec::new();
        File::open(&self.key_file)
            .and_then(|file| file.take(1 << 16).read_to_end(&mut key))
            .map_err(|error| format!("the key {} cannot be read: {error}", self.key_file.display()))?;
        let answer = Program::new("age-keygen", AGE_HELP).arg("-y").run(key)?;
        let text = String::from_utf8_lossy(&answer);
        let all: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if all.is_empty() {
            return Err(format!("there is no key in {}", self.key_file.display()));
        }
        Ok(all)
    }

    /// Makes a key. Whoever has one keeps it.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn make_key(&self) -> Result<(), String> {
        let key = Program::new("age-keygen", AGE_HELP).run(Vec::new())?;
        let failed =
            |error: std::io::Error| format!("the key {} cannot be written: {error}", self.key_file.display());
        if let Some(folder) = self.key_file.parent() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        super::vault::write_whole(&self.key_file, &key).map_err(failed)
    }
}

/// Encrypts for these recipients.
///
/// # Errors
/// A sentence with what to do.
pub fn encrypt(recipients: &[String], armour: bool, plain: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut program = Program::new("age", AGE_HELP).arg("--encrypt");
    if armour {
        program = program.arg("--armor");
    }
    recipients.iter().fold(program, |program, to| program.arg("--recipient").arg(to)).run(plain)
}

/// Whether a program is on this host.
#[must_use]
pub fn is_installed(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

/// What to do about one that is not.
#[must_use]
pub fn how_to_get(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::Age => AGE_HELP,
        Cipher::Sops => SOPS_HELP,
    }
}

/// `sops`'s word for the kind of a file, told by its name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("yaml" | "yml") => "yaml",
        Some("json") => "json",
        Some("env") => "dotenv",
        Some("ini") => "ini",
        _ => "binary",
    }
}
