//! `[source.NAME]`: where the desired state comes from. A directory, a repository, or several of them side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::file::scalar;
use super::keys::nearest;
use super::{ConfigError, Settings, duration, size};
use crate::source::git::{self, GitSettings, Login, Remote, Verify};

/// More often than this nobody's forge should be asked; that is what webhooks are for. Milliseconds.
const POLL_LEAST_MS: u64 = 10_000;

/// One source of the desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Directory { name: String, path: PathBuf },
    Git(Box<GitSettings>),
}

impl Source {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Directory { name, .. } => name,
            Self::Git(git) => &git.name,
        }
    }

    /// For people.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Directory { path, .. } => path.display().to_string(),
            Self::Git(git) => {
                let branch = git.branch.as_ref().map(|branch| format!("#{branch}")).unwrap_or_default();
                let path = if git.path.is_empty() { String::new() } else { format!(":{}", git.path) };
                format!("{}{branch}{path}", git.remote.shown())
            }
        }
    }
}

/// Means another branch or tag of the repository than the settings do.
///
/// # Errors
/// There is no repository, or more than one, or it is no name.
pub fn at(sources: &mut [Source], name: &str) -> Result<(), String> {
    let name = git::reference(name)?;
    let mut repositories = sources.iter_mut().filter_map(|source| match source {
        Source::Git(git) => Some(git),
        Source::Directory { .. } => None,
    });
    match (repositories.next(), repositories.next()) {
        (Some(git), None) => git.branch = Some(name),
        (None, _) => return Err("no repository is followed: name one with --repo".to_owned()),
        (Some(_), Some(_)) => {
            return Err("there are several repositories: say which one is meant with --repo".to_owned());
        }
    }
    Ok(())
}

/// `repo`, `branch` and `path` at the top, which make a source named `git`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Single {
    pub url: Option<String>,
    pub branch: Option<String>,
    pub path: Option<String>,
}

/// Which of the settings about sources were given, and whether for this run only (a flag, a variable).
#[derive(Debug, Default)]
pub(super) struct Given {
    desired: Option<bool>,
    repo: Option<bool>,
}

impl Given {
    pub(super) fn note(&mut self, key: &str, place: &str) {
        let here = place.starts_with("--") || place.starts_with("EVENKEEL_");
        match key {
            "desired" => self.desired = Some(here),
            "repo" => self.repo = Some(here),
            _ => {}
        }
    }
}

/// An address for `repo`, checked as far as it can be by itself.
pub(super) fn address(text: &str) -> Result<(), String> {
    Remote::new(text, Login::None).map(drop)
}

/// One `[source.NAME]` as written.
pub(super) struct Table {
    name: String,
    place: String,
    keys: BTreeMap<String, (String, String)>,
}

/// The keys of a `[source.NAME]`.
pub const KEYS: [&str; 15] = [
    "dir",
    "url",
    "branch",
    "path",
    "poll",
    "timeout",
    "max_size",
    "submodules",
    "token_file",
    "token_user",
    "ssh_key_file",
    "known_hosts_file",
    "allowed_signers_file",
    "keyring_file",
    "webhook_secret_file",
];

/// Every `[source.NAME]` of the file, in the order of its names.
pub(super) fn tables(path: &str, text: &str, errors: &mut Vec<ConfigError>) -> Vec<Table> {
    let line = |byte: usize| {
        let before = text.get(..byte).unwrap_or(text);
        format!("{path}:{}", before.matches('\n').count() + 1)
    };
    // What is wrong with the file as a whole has been told already.
    let Ok(whole) = DeTable::parse(text) else { return Vec::new() };
    let Some((key, value)) = whole.get_ref().iter().find(|(key, _)| key.get_ref() == "source") else {
        return Vec::new();
    };
    let mut wrong = |place: String, message: String| errors.push(ConfigError { place, message });
    let DeValue::Table(named) = value.get_ref() else {
        wrong(line(key.span().start), "source must be tables: [source.NAME]".to_owned());
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in named {
        let place = line(name.span().start);
        let DeValue::Table(inner) = value.get_ref() else {
            let message = format!("source.{} must be a table: [source.NAME] with dir or url", name.get_ref());
            wrong(place, message);
            continue;
        };
        if !GitSettings::is_name(name.get_ref()) {
            let message =
                format!("`{}` cannot name a source: lower-case letters, digits, - and _", name.get_ref());
            wrong(place, message);
            continue;
        }
        let mut keys = BTreeMap::new();
        for (key, value) in inner {
            let place = line(key.span().start);
            let known = KEYS.contains(&key.get_ref().as_ref());
            match scalar(value.get_ref()) {
                Some(text) if known => {
                    keys.insert(key.get_ref().to_string(), (text, place));
                }
                None if known => {
                    wrong(
                        place,
                        format!("source.{}.{} must be text or a number", name.get_ref(), key.get_ref()),
                    );
                }
                _ => {
                    let hint = nearest(key.get_ref(), KEYS.iter().copied());
                    let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
                    wrong(place, format!("a source has no `{}`{hint}", key.get_ref().escape_debug()));
                }
            }
        }
        found.push(Table { name: name.get_ref().to_string(), place, keys });
    }
    found
}

/// Where the desired state comes from. What a flag or a variable names stands instead of what the file lists.
pub(super) fn resolve(
    settings: &Settings,
    given: &Given,
    tables: Vec<Table>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Source> {
    let only_here = given.desired == Some(true) || given.repo == Some(true);
    let mut found: BTreeMap<String, Source> = BTreeMap::new();
    for table in tables {
        let name = table.name.clone();
        match table.source() {
            Ok(source) => {
                found.insert(name, source);
            }
            Err(error) => errors.push(error),
        }
    }
    // Options of the repository in the file count for one named on the command line, if it is the same.
    let named = settings.repo.url.as_deref();
    let same = found.values().find_map(|source| match source {
        Source::Git(git) if named.is_none_or(|url| git.remote.url() == url) => Some((**git).clone()),
        Source::Git(_) | Source::Directory { .. } => None,
    });
    let wanted = settings.repo != Single::default();
    let repo = if wanted { single(&settings.repo, same, errors) } else { None };
    if only_here {
        found.clear();
    }
    if let Some(repo) = repo {
        found.insert(repo.name().to_owned(), repo);
    }
    let directory = given.desired.is_some_and(|here| here || !only_here);
    let mut sources: Vec<Source> = found.into_values().collect();
    if directory || sources.is_empty() {
        sources.insert(0, Source::Directory { name: "desired".to_owned(), path: settings.desired.clone() });
    }
    sources
}

fn single(own: &Single, same: Option<GitSettings>, errors: &mut Vec<ConfigError>) -> Option<Source> {
    let mut git = match (same, &own.url) {
        (Some(git), _) => git,
        (None, Some(url)) => match Remote::new(url, Login::None) {
            Ok(remote) => GitSettings::new("git", remote),
            // It has been told where it was read.
            Err(_) => return None,
        },
        (None, None) => {
            let message =
                "branch and path are those of a repository: name it with --repo or in [source.NAME]";
            errors.push(ConfigError { place: "--branch, --path".to_owned(), message: message.to_owned() });
            return None;
        }
    };
    if own.branch.is_some() {
        git.branch.clone_from(&own.branch);
    }
    if let Some(path) = &own.path {
        git.path.clone_from(path);
    }
    Some(Source::Git(Box::new(git)))
}

impl Table {
    fn take(&mut self, key: &str) -> Option<(String, String)> {
        self.keys.remove(key)
    }

    fn file(&mut self, key: &str) -> Option<PathBuf> {
        self.take(key).map(|(text, _)| absolute(Path::new(&text)))
    }

    fn source(mut self) -> Result<Source, ConfigError> {
        let own = |place: &str, message: String| ConfigError { place: place.to_owned(), message };
        if let Some((dir, place)) = self.take("dir") {
            if let Some((key, _)) = self.keys.first_key_value() {
                let message = format!("source.{}: a source with `dir` has no `{key}`", self.name);
                return Err(own(&place, message));
            }
            return Ok(Source::Directory { name: self.name, path: PathBuf::from(dir) });
        }
        let Some((url, place)) = self.take("url") else {
            let message = format!("source.{} needs dir = \"/path\" or url = \"https://...\"", self.name);
            return Err(own(&self.place, message));
        };
        let login = self.login().map_err(|why| own(&place, why))?;
        let told = |why: String| own(&place, format!("source.{}.url: {why}", self.name));
        let remote = Remote::new(&url, login).map_err(told)?;
        let mut git = GitSettings::new(&self.name, remote);
        git.verify = self.verify().map_err(|why| own(&place, why))?;
        git.webhook_secret_file = self.file("webhook_secret_file");
        for (key, (text, place)) in std::mem::take(&mut self.keys) {
            let set = match key.as_str() {
                "branch" => git::reference(&text).map(|value| git.branch = Some(value)),
                "path" => git::folder(&text).map(|value| git.path = value),
                "poll" => at_least(&text, POLL_LEAST_MS).map(|value| git.poll_ms = value),
                "timeout" => at_least(&text, 1_000).map(|value| git.timeout_ms = value),
                "max_size" => size(&text).map(|value| git.max_size = value),
                "submodules" => yes_or_no(&text).map(|value| git.submodules = value),
                _ => Ok(()),
            };
            set.map_err(|why| own(&place, format!("source.{}.{key}: {why}", self.name)))?;
        }
        Ok(Source::Git(Box::new(git)))
    }

    fn login(&mut self) -> Result<Login, String> {
        let (token, user) = (self.file("token_file"), self.take("token_user"));
        let (key, known_hosts) = (self.file("ssh_key_file"), self.file("known_hosts_file"));
        match (token, key) {
            (Some(_), Some(_)) => {
                Err(format!("source.{} has a token_file and an ssh_key_file: one is used", self.name))
            }
            // GitHub's word for a token; others take any.
            (Some(file), None) => {
                Ok(Login::Token { file, user: user.map_or("x-access-token".to_owned(), |(user, _)| user) })
            }
            (None, Some(file)) => Ok(Login::Key { file, known_hosts }),
            (None, None) if known_hosts.is_some() => Err(format!(
                "source.{}: known_hosts_file goes with ssh_key_file; without it ssh's own set-up counts",
                self.name
            )),
            (None, None) => Ok(Login::None),
        }
    }

    fn verify(&mut self) -> Result<Verify, String> {
        match (self.file("allowed_signers_file"), self.file("keyring_file")) {
            (Some(_), Some(_)) => Err(format!(
                "source.{} has an allowed_signers_file and a keyring_file: one is used",
                self.name
            )),
            (Some(allowed_signers), None) => Ok(Verify::Ssh { allowed_signers }),
            (None, Some(keyring)) => Ok(Verify::Gpg { keyring }),
            (None, None) => Ok(Verify::Off),
        }
    }
}

/// Git works in another directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "write true or false".to_owned())
}

fn at_least(text: &str, least_ms: u64) -> Result<u64, String> {
    let value = duration(text)?;
    if value < least_ms { Err(format!("the least is {} s", least_ms / 1_000)) } else { Ok(value) }
}
