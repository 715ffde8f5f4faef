//! Can the secrets be opened, and is there a place in memory for them?

use std::collections::BTreeSet;

use super::Finding;
use crate::cli::assemble;
use crate::config::Settings;
use crate::desired::DesiredState;
use crate::desired::provided::{Cipher, Provided};
use crate::secrets::open::{how_to_get, is_installed};
use crate::secrets::{Place, Secrets};

/// What the files need on this host; nothing where they have no secrets and no configs.
pub(super) fn all(settings: &Settings, state: &DesiredState) -> Vec<Finding> {
    let used: Vec<&Provided> = state.provided.values().filter(|provided| provided.is_used()).collect();
    if used.is_empty() {
        return Vec::new();
    }
    let secrets = assemble::secrets(settings, true);
    let ciphers: BTreeSet<Cipher> = used.iter().filter_map(|provided| provided.origin.cipher()).collect();
    let mut findings = vec![place(&secrets)];
    findings.extend(ciphers.iter().map(|cipher| program(*cipher)));
    if !ciphers.is_empty() {
        findings.push(key(&secrets, ciphers.contains(&Cipher::Age)));
    }
    findings
}

fn place(secrets: &Secrets) -> Finding {
    let path = secrets.folder.path().display();
    match secrets.folder.look() {
        Ok(Place::Good) => Finding::ok("secrets", format!("files of secrets are kept in memory, in {path}")),
        Ok(Place::Missing) => {
            Finding::ok("secrets", format!("files of secrets will be kept in memory, in {path}"))
        }
        Ok(Place::OnDisk) => Finding::warn(
            "secrets",
            format!("{path} would be on a disk"),
            "evenkeel mounts a tmpfs there if it may; else set secrets_dir to a folder on one (most systems have /run)",
        ),
        Err(error) => Finding::fail(
            "secrets",
            format!("it cannot be told whether {path} is in memory: {error}"),
            "set secrets_dir to a folder that evenkeel may look at",
        ),
    }
}

fn program(cipher: Cipher) -> Finding {
    let name = cipher.as_str();
    if is_installed(name) {
        return Finding::ok(
            "secrets",
            format!("the program `{name}`, which opens encrypted files, is there"),
        );
    }
    let found = format!("files are encrypted with `{name}`, and this program is not on this host");
    Finding::fail("secrets", found, how_to_get(cipher))
}

fn key(secrets: &Secrets, needed: bool) -> Finding {
    let path = secrets.opener.key_file().display();
    match secrets.opener.check_key() {
        Ok(()) => Finding::ok("secrets", format!("the key {path} is there, and nobody else may read it")),
        Err(_) if !needed && !secrets.opener.key_file().exists() => {
            Finding::ok("secrets", format!("there is no key at {path}: `sops` uses another key service"))
        }
        Err(why) => Finding::fail("secrets", why, "evenkeel secret key"),
    }
}
