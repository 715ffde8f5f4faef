//! Secrets and configs: what the files say of them, and what the host has to find out before services can have them.
//!
//! Loading opens nothing. It asks ([`Ask`]), the shell answers with a name for the content ([`Answers`]), and only that name is in a
//! spec: a keyed digest, so that a changed value changes the spec and nobody can look a value up by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::ident::{ProjectName, ServiceId};

/// Stands for the name of a content that nobody has looked at: `validate` on a machine that has no keys.
pub const UNOPENED: &str = "unopened";
/// The slug of what is said when the host cannot give what the files ask for. Nothing is wrong with the file that asks: only who needs it is
/// left as it is.
pub const UNAVAILABLE: &str = "secret-unavailable";

/// A spec whose files need a name longer than this is made by nobody of ours.
const ID_DIGITS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProvidedKind {
    Config,
    Secret,
}

impl ProvidedKind {
    /// The table that declares it, and the key of a service that uses it.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Config => "configs",
            Self::Secret => "secrets",
        }
    }
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secret => "secret",
        }
    }
}

/// Which secret or config; printed as `shop/secrets/db-password`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProvidedId {
    pub project: ProjectName,
    pub kind: ProvidedKind,
    pub key: String,
}

impl fmt::Display for ProvidedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.kind.table(), self.key)
    }
}

/// Bytes that must not be printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content(Arc<[u8]>);

impl Content {
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }
    /// The bytes themselves: for the file of a container, never for people.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// The program that opens an encrypted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cipher {
    Age,
    Sops,
}

impl Cipher {
    /// The program, and the key of the language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Sops => "sops",
        }
    }
}

/// Where a content comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The files say it (`content`), or it is a file of the desired state.
    Here(Content),
    /// A variable of the controller's environment or of the files, with its value where it has one.
    Variable(String, Option<Content>),
    /// An encrypted file of the desired state; the name tells what kind of file it is.
    Sealed(Cipher, String, Content),
    /// A file of the host, encrypted or not.
    HostFile(Option<Cipher>, String),
    /// Put on the host by `evenkeel secret set`.
    Store(String),
}

impl Origin {
    /// The key of the language that says so.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Here(_) => "file",
            Self::Variable(..) => "environment",
            Self::Sealed(cipher, ..) | Self::HostFile(Some(cipher), _) => cipher.as_str(),
            Self::HostFile(None, _) => "file",
            Self::Store(_) => "external",
        }
    }
    /// The program that is needed to open it.
    #[must_use]
    pub fn cipher(&self) -> Option<Cipher> {
        match self {
            Self::Sealed(cipher, ..) | Self::HostFile(Some(cipher), _) => Some(*cipher),
            _ => None,
        }
    }
}

/// What the shell is to find out: the content of a secret or a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub id: ProvidedId,
    pub origin: Origin,
}

impl Ask {
    /// Tells by a salted digest whether two asks are about the same, without telling what about. What is not in the ask (the content of a
    /// file of the host) does not count.
    #[must_use]
    pub fn fingerprint(&self, salt: &str) -> String {
        let (word, name, bytes): (&str, &str, &[u8]) = match &self.origin {
            Origin::Here(content) => ("here", "", content.expose()),
            Origin::Variable(name, _) => ("variable", name, b""),
            Origin::Sealed(cipher, name, content) => (cipher.as_str(), name, content.expose()),
            Origin::HostFile(_, path) => ("host", path, b""),
            Origin::Store(name) => ("store", name, b""),
        };
        let mut digest = Sha256::new();
        for part in [salt.as_bytes(), self.id.to_string().as_bytes(), word.as_bytes(), name.as_bytes(), bytes]
        {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digits = hex::encode(digest.finalize());
        digits.get(..ID_DIGITS).unwrap_or(&digits).to_owned()
    }
}

/// The name of a content, or why there is none: a sentence.
pub type Answer = Result<String, String>;

/// What the shell has found out so far. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(Arc<BTreeMap<Ask, Answer>>);

impl Answers {
    #[must_use]
    pub fn new(answers: BTreeMap<Ask, Answer>) -> Self {
        Self(Arc::new(answers))
    }
    /// `None`: nobody has looked.
    #[must_use]
    pub fn get(&self, ask: &Ask) -> Option<&Answer> {
        self.0.get(ask)
    }
}

/// A secret or a config that the desired state declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    pub origin: Origin,
    /// Services of this host that use it.
    pub users: BTreeSet<ServiceId>,
    /// A login uses it.
    pub login: bool,
    /// `shop/web.toml:3`.
    pub place: String,
}

impl Provided {
    /// Something on this host uses it: what is only for other hosts is not opened, and need not be openable.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.login || !self.users.is_empty()
    }
}

/// `[credentials."host"]`: each value is written out or the secret of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    pub username: Option<Word>,
    pub password: Option<Word>,
    pub token: Option<Word>,
    pub ssh_key: Option<Word>,
    /// `fleet.toml:3`.
    pub place: String,
}

/// A value of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Plain(String),
    /// The name of its content, [`UNOPENED`] while nobody has looked.
    Secret(ProvidedId, String),
}

/// A file that a container mounts, by what its path says: which content, with which permissions, whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKey {
    /// The name of a content, or of a file whose content changes under a running container: `live-<digits>-<key>`.
    pub stem: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What the name of a file whose content changes begins with.
const LIVE: &str = "live-";

impl FileKey {
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.stem.starts_with(LIVE)
    }

    /// Reads the last part of a path.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(4, '.');
        let (gid, uid, mode, stem) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let named = Self {
            stem: stem.to_owned(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
        };
        // Only what is written exactly so is one of ours: the name is part of a path.
        (!stem.is_empty() && !stem.contains('/') && named.to_string() == name).then_some(named)
    }

    /// The name of a file that keeps its name while its content changes. `owner` tells containers apart that must not share it.
    #[must_use]
    pub fn live(owner: &str, key: &str, mode: u32, uid: u32, gid: u32) -> Self {
        let digits = hex::encode(Sha256::digest(owner));
        Self { stem: format!("{LIVE}{}-{key}", digits.get(..16).unwrap_or(&digits)), mode, uid, gid }
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stem, mode, uid, gid } = self;
        write!(f, "{stem}.{mode:04o}.{uid}.{gid}")
    }
}

/// The folder of these files on this host, with what it is below.
#[must_use]
pub fn file_name_below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/').filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_has_to_be_in_the_file() {
        for name in ["0a1b.0444.0.0", "live-00ff-app.ini.0400.1000.1000"] {
            let parsed = FileKey::parse(name).unwrap();
            assert_eq!(parsed.to_string(), name);
        }
        assert!(FileKey::parse("live-00ff-app.ini.0400.1000.1000").unwrap().is_live());
        for name in
            ["", "a", "a.0444.0", ".0444.0.0", "a.444.0.0", "a.0444.00.0", "a.0999.0.0", "x/a.0444.0.0"]
        {
            assert_eq!(FileKey::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn what_is_in_a_folder_is_told_from_what_is_not() {
        assert_eq!(file_name_below("/run/x", "/run/x/a.0444.0.0"), Some("a.0444.0.0"));
        assert_eq!(file_name_below("/run/x/", "/run/x/a"), Some("a"));
        for path in ["/run/x", "/run/xy/a", "/run/x/a/b", "/run/a"] {
            assert_eq!(file_name_below("/run/x", path), None, "{path}");
        }
    }

    #[test]
    fn a_content_is_not_printed() {
        assert_eq!(format!("{:?}", Origin::Here(Content::new(*b"hunter2"))), "Here((7 bytes))");
    }
}
