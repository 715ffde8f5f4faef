//! `[configs.<name>]`, `[secrets.<name>]`, `[credentials."<host>"]`, and how a service takes them.

use schemars::JsonSchema;

use super::value::*;

/// A file with settings that services may have. Exactly one of `file`, `content`, `environment` and `external`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// A file, relative to the TOML file, or a file of the host.
    pub file: Option<Filled>,
    /// The text itself.
    pub content: Option<Text>,
    /// A variable that holds the text: of the files, else of evenkeel's own environment.
    pub environment: Option<Filled>,
    /// It is put on the host: `evenkeel secret set NAME`.
    pub external: Option<External>,
    /// Its name there, when it is not this one.
    pub name: Option<Filled>,
}

/// A file with something that nobody else may read. Exactly one of `file`, `environment`, `age`, `sops` and `external`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Secret {
    /// A file, relative to the TOML file, or a file of the host.
    pub file: Option<Filled>,
    /// A variable that holds the value: of the files, else of evenkeel's own environment.
    pub environment: Option<Filled>,
    /// A file encrypted with `age`, opened with the host's key.
    pub age: Option<Filled>,
    /// A file encrypted with `sops`, opened with the host's key.
    pub sops: Option<Filled>,
    /// It is put on the host: `evenkeel secret set NAME`.
    pub external: Option<External>,
    /// Its name there, when it is not this one.
    pub name: Option<Filled>,
}

/// The long form of an entry of `secrets` or `configs`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Grant {
    /// Its name in `[secrets]` or `[configs]`.
    pub source: Filled,
    /// The file in the container: `/run/secrets/<source>` of a secret, `/<source>` of a config.
    pub target: Option<Filled>,
    /// Number of the user whose file it is (0).
    pub uid: Option<FileOwner>,
    /// Number of the group whose file it is (0).
    pub gid: Option<FileOwner>,
    /// Its permission bits: `0o400` (`0o444`).
    pub mode: Option<Mode>,
    /// When its content changes: `replace` the container (the default), or put the new content in place and send a signal, such as `SIGHUP`.
    pub on_change: Option<OnChange>,
}

/// A login at a registry or a Git server. A value `"secret:<name>"` is that secret of the project.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Credential {
    /// The user.
    pub username: Option<Filled>,
    /// The password: `"secret:registry"`.
    pub password: Option<Filled>,
    /// A token, instead of user and password.
    pub token: Option<Filled>,
    /// An ssh key, for Git.
    pub ssh_key: Option<Filled>,
}
