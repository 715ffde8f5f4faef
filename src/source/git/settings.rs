//! How a repository is reached and followed.

use std::path::{Path, PathBuf};

use super::error::GitError;

/// `[source.NAME]` with a `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSettings {
    /// Names the source in status, metrics and on the disk.
    pub name: String,
    pub remote: Remote,
    /// Branch or tag; `None`: what the repository's HEAD is.
    pub branch: Option<String>,
    /// The folder that is the desired state, `""` for the root.
    pub path: String,
    /// Between two polls. Milliseconds.
    pub poll_ms: u64,
    /// For one call of git. Milliseconds.
    pub timeout_ms: u64,
    /// What one fetch may bring. Bytes.
    pub max_size: u64,
    pub verify: Verify,
    /// Fetch submodules, too.
    pub submodules: bool,
    /// Secret of the webhooks that may wake this source.
    pub webhook_secret_file: Option<PathBuf>,
}

/// Whose commits are applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verify {
    /// Everybody's who can push.
    #[default]
    Off,
    /// Signed with a key of this OpenSSH allowed-signers file.
    Ssh { allowed_signers: PathBuf },
    /// Signed with a key of this file of exported public keys.
    Gpg { keyring: PathBuf },
}

/// Where the repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    url: String,
    pub login: Login,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// What this user's git and ssh are set up for.
    #[default]
    None,
    Token {
        file: PathBuf,
        user: String,
    },
    Key {
        file: PathBuf,
        known_hosts: Option<PathBuf>,
    },
}

/// Git's own transports that need no program of somebody's choice.
const SCHEMES: [&str; 5] = ["https", "ssh", "http", "git", "file"];

impl Remote {
    /// Takes an address.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    pub fn new(url: &str, login: Login) -> Result<Self, String> {
        let remote = Self { url: url.trim().to_owned(), login };
        let url = remote.url.as_str();
        if url.is_empty() || url.starts_with('-') || url.chars().any(|c| c.is_control() || c == ' ') {
            return Err("it is no address of a repository".to_owned());
        }
        if remote.transport().is_empty() {
            return Err(format!(
                "write https://host/path, ssh://user@host/path, user@host:path, file:///path or /path; others ({}) are not used",
                url.split(':').next().unwrap_or_default()
            ));
        }
        if remote.password().is_some() {
            return Err("a password in the address would be seen in the list of processes: put it into a file and name that as token_file".to_owned());
        }
        match (&remote.login, remote.transport()) {
            (Login::Token { .. }, "https") => {}
            (Login::Token { .. }, "http") if remote.is_loopback() => {}
            (Login::Token { .. }, "http") => {
                return Err("over plain http everybody on the way could read the token: use https".to_owned());
            }
            (Login::Token { .. }, _) => return Err("token_file is for https".to_owned()),
            (Login::Key { .. }, "ssh") | (Login::None, _) => {}
            (Login::Key { .. }, _) => return Err("ssh_key_file is for ssh".to_owned()),
        }
        Ok(remote)
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For people: without a user's name.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = host.rsplit('@').next().unwrap_or(host);
                format!("{scheme}://{host}/{path}")
            }
            None => self.url.clone(),
        }
    }

    /// `https`, `ssh`, ..., or empty for one that is not used. An address without a scheme is a path or ssh's short form.
    pub(super) fn transport(&self) -> &'static str {
        let url = self.url.as_str();
        if let Some((scheme, rest)) = url.split_once("://") {
            let known = SCHEMES.iter().find(|known| **known == scheme).copied();
            return known.filter(|_| !rest.is_empty()).unwrap_or_default();
        }
        if url.starts_with('/') {
            return "file";
        }
        // `ext::sh -c ...` and the like run a program.
        match url.split_once(':') {
            Some((host, path)) if !host.contains('/') && !path.is_empty() && !path.starts_with(':') => "ssh",
            _ => "",
        }
    }

    /// `https://host:port`, to keep a token to the host it is for.
    pub(super) fn origin(&self) -> Option<String> {
        let (scheme, rest) = self.url.split_once("://")?;
        let host = rest.split('/').next()?;
        let host = host.rsplit('@').next()?;
        Some(format!("{scheme}://{host}"))
    }

    fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() }
    }

    fn is_loopback(&self) -> bool {
        matches!(self.host(), "localhost" | "127.0.0.1") || self.host().starts_with("[::1]")
    }

    fn password(&self) -> Option<&str> {
        let (scheme, rest) = self.url.split_once("://")?;
        let user = rest.split('/').next()?.rsplit_once('@')?.0;
        let secret = user.split_once(':').map(|(_, password)| password);
        // Some forges take a token as the user's name.
        secret.or_else(|| (scheme.starts_with("http") && user.len() >= 20).then_some(user))
    }

    /// What must not be in a message.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.password().map(str::to_owned).into_iter().collect()
    }
}

/// A name of a branch or tag that git cannot take for something else.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence.
pub fn reference(text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad = text.is_empty()
        || text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.ends_with(".lock")
        || text.contains("..")
        || text.contains("@{")
        || text.contains("//")
        || text.chars().any(odd);
    if bad { Err("it is no name of a branch or tag".to_owned()) } else { Ok(text.to_owned()) }
}

/// A folder below the root of the repository, `""` for the root itself.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence.
pub fn folder(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches("./").trim_matches('/');
    let text = if text == "." { "" } else { text };
    let good = text.is_empty()
        || text.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git") && !part.contains('\0'));
    if good { Ok(text.to_owned()) } else { Err("write a folder below the root of the repository".to_owned()) }
}

/// Between two polls. Milliseconds.
const POLL_MS: u64 = 60_000;
/// For one call of git: a first fetch on a slow line. Milliseconds.
const TIMEOUT_MS: u64 = 300_000;
/// What one fetch may bring. Bytes.
const MAX_SIZE: u64 = 512 << 20;

impl GitSettings {
    /// With defaults for everything that has one.
    #[must_use]
    pub fn new(name: &str, remote: Remote) -> Self {
        Self {
            name: name.to_owned(),
            remote,
            branch: None,
            path: String::new(),
            poll_ms: POLL_MS,
            timeout_ms: TIMEOUT_MS,
            max_size: MAX_SIZE,
            verify: Verify::Off,
            submodules: false,
            webhook_secret_file: None,
        }
    }

    /// What a name of a source may be: it is a folder's name, too.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        !text.is_empty()
            && text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
    }

    /// Where this source keeps what it fetched.
    #[must_use]
    pub fn home(&self, state: &Path) -> PathBuf {
        state.join("git").join(&self.name)
    }

    pub(super) fn branch_for_people(&self) -> String {
        self.branch.as_ref().map_or_else(|| "HEAD".to_owned(), |branch| format!("branch or tag `{branch}`"))
    }

    /// Reads a file that a setting names, as a secret: without the line's end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn secret(path: &Path) -> Result<Vec<u8>, GitError> {
        let mut bytes = std::fs::read(path).map_err(|error| GitError::disk("read", path, &error))?;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(bytes)
    }
}
