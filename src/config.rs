//! The daemon's own settings: `evenkeel.toml`, `EVENKEEL_*`, flags.
//!
//! A later source wins key by key: defaults, then the file, then the environment, then flags. Every setting is read from text
//! by one parser, wherever it was written, so that all three sources accept the same words and complain alike.

mod file;
mod keys;
pub mod sources;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::images::registry;
use crate::state::decide::Limits;
pub use keys::{Names, names};
pub use units::{duration, size, threshold};

/// Where the file is looked for when nobody names one. It need not be there.
pub const DEFAULT_FILE: &str = "/etc/evenkeel/evenkeel.toml";

/// Flags every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (evenkeel.toml, EVENKEEL_*; see docs/operations.md)")]
pub struct Flags {
    /// File with the daemon's settings [default: /etc/evenkeel/evenkeel.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the desired state [default: ./desired if it is there, else /etc/evenkeel/desired]
    #[arg(long, global = true, value_name = "DIR")]
    pub desired: Option<String>,
    /// Git repository with the desired state, instead of a directory
    #[arg(long, global = true, value_name = "URL")]
    pub repo: Option<String>,
    /// Branch or tag of --repo [default: the repository's own]
    #[arg(long, global = true, value_name = "NAME")]
    pub branch: Option<String>,
    /// Folder of --repo that is the desired state [default: its root]
    #[arg(long, global = true, value_name = "DIR")]
    pub path: Option<String>,
    /// Directory of evenkeel's memory [default: /var/lib/evenkeel]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<String>,
    /// Instance id, written into the owner label of everything made [default: evenkeel]
    #[arg(long, global = true, value_name = "ID")]
    pub instance: Option<String>,
    /// Name of this host in fleet.toml [default: the host name]
    #[arg(long, global = true, value_name = "NAME")]
    pub host: Option<String>,
    /// Address of the engine [default: DOCKER_HOST, else unix:///var/run/docker.sock]
    #[arg(long, global = true, value_name = "URL")]
    pub docker_host: Option<String>,
    /// Local socket of the running daemon [default: <state>/evenkeel.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<String>,
    /// Shape of log lines: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Least level logged: error, warn, info, debug, trace, or a tracing filter [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// Flags of the daemon alone.
#[derive(Debug, Clone, Default, Args)]
pub struct DaemonFlags {
    /// Address of metrics and status, or `off` [default: 127.0.0.1:9877]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// How changes of the files are noticed: inotify or poll (network file systems) [default: inotify]
    #[arg(long, value_name = "HOW")]
    pub watch: Option<String>,
    /// Services worked on at a time [default: 4]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<String>,
    /// Pulls at a time [default: 4]
    #[arg(long, value_name = "N")]
    pub pulls: Option<String>,
}

/// Everything the daemon is told about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub desired: PathBuf,
    /// `repo`, `branch` and `path` outside of a `[source.*]`.
    pub repo: sources::Single,
    /// Where the desired state comes from: never empty.
    pub sources: Vec<sources::Source>,
    pub state: PathBuf,
    /// Where the files of secrets lie, in memory.
    pub secrets_dir: PathBuf,
    /// The key with which this host opens encrypted files.
    pub age_key_file: PathBuf,
    /// The owner label's value. Explicit, never derived from a folder: two instances on one host must differ.
    pub instance: String,
    pub host: String,
    /// `None`: the engine's client decides (`DOCKER_HOST`, then the usual socket).
    pub docker_host: Option<String>,
    pub listen: Listen,
    pub socket: PathBuf,
    pub log_format: LogFormat,
    pub log_level: String,
    pub watch: WatchKind,
    /// Services worked on at a time.
    pub concurrency: usize,
    /// Pulls at a time.
    pub pulls: usize,
    pub limits: Limits,
    pub intervals: Intervals,
    /// How registries are asked about images that are followed.
    pub registries: registry::Settings,
    /// What is odd but no error: told once, at start.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    Off,
    On(SocketAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKind {
    Inotify,
    Poll,
}

/// Milliseconds each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The whole host is looked at this often, whatever the events say.
    pub resync_ms: u64,
    /// The files are read this often, whatever the watch says.
    pub rescan_ms: u64,
}

/// A setting that cannot be used: where it was written, which it is, what is wrong and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `evenkeel.toml:7`, `EVENKEEL_LISTEN`, `--listen`.
    pub place: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Every problem, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n       " };
            write!(f, "{end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What the settings are made of, so that tests can say it instead of the process's surroundings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Path and text of the file, if there is one.
    pub file: Option<(String, String)>,
    pub environment: BTreeMap<String, String>,
    /// `(key, text)`: `("listen", "off")`. What was left out is not in here.
    pub flags: Vec<(&'static str, String)>,
    /// `./desired` is a directory.
    pub local_desired: bool,
    pub host_name: String,
}

impl Settings {
    /// Reads the file, the environment and the host name of this process.
    ///
    /// # Errors
    /// Every setting that cannot be used, whatever its source.
    pub fn load(flags: &Flags, daemon: Option<&DaemonFlags>) -> Result<Self, ConfigErrors> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(key, _)| key.starts_with("EVENKEEL_"))
            .collect();
        let named = flags.config.clone().or_else(|| environment.get("EVENKEEL_CONFIG").map(PathBuf::from));
        let file = read_file(named.as_deref()).map_err(|error| ConfigErrors(vec![error]))?;
        Self::resolve(&Sources {
            file,
            environment,
            flags: flags.given(daemon),
            local_desired: Path::new("desired").is_dir(),
            host_name: host_name(),
        })
    }

    /// Puts the sources together: flags over environment over file over defaults.
    ///
    /// # Errors
    /// Every setting that cannot be used, whatever its source.
    pub fn resolve(sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut settings = Self::defaults(sources);
        let (mut entries, mut errors) = match &sources.file {
            Some((path, text)) => file::entries(path, text),
            None => (Vec::new(), Vec::new()),
        };
        entries.extend(keys::from_environment(&sources.environment));
        entries.extend(keys::from_flags(&sources.flags));
        let mut given = sources::Given::default();
        let mut socket_given = false;
        for Entry { key, place, text } in entries {
            socket_given |= key.path == "socket";
            given.note(key.path, &place);
            if let Err(why) = (key.set)(&mut settings, &text) {
                errors
                    .push(ConfigError { place, message: format!("{} cannot be {text:?}: {why}", key.path) });
            }
        }
        if !socket_given {
            settings.socket = settings.state.join("evenkeel.sock");
        }
        settings.fill_in_secrets();
        settings.warnings = keys::unknown_variables(&sources.environment);
        let tables = match &sources.file {
            Some((path, text)) => sources::tables(path, text, &mut errors),
            None => Vec::new(),
        };
        settings.sources = sources::resolve(&settings, &given, tables, &mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }

    /// What follows from other settings where nobody said it.
    fn fill_in_secrets(&mut self) {
        if self.secrets_dir.as_os_str().is_empty() {
            self.secrets_dir = Path::new("/run/evenkeel").join(&self.instance).join("secrets");
        }
        if self.age_key_file.as_os_str().is_empty() {
            self.age_key_file = self.state.join("age.key");
        }
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.secrets_dir = absolute(&self.secrets_dir);
        self.age_key_file = absolute(&self.age_key_file);
    }

    fn defaults(sources: &Sources) -> Self {
        let local = sources.local_desired;
        Self {
            desired: PathBuf::from(if local { "desired" } else { "/etc/evenkeel/desired" }),
            repo: sources::Single::default(),
            sources: Vec::new(),
            state: PathBuf::from("/var/lib/evenkeel"),
            secrets_dir: PathBuf::new(),
            age_key_file: PathBuf::new(),
            instance: "evenkeel".to_owned(),
            host: sources.host_name.clone(),
            docker_host: None,
            listen: Listen::On(SocketAddr::from(([127, 0, 0, 1], 9877))),
            socket: PathBuf::new(),
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            watch: WatchKind::Inotify,
            concurrency: 4,
            pulls: 4,
            limits: Limits::default(),
            intervals: Intervals { resync_ms: 300_000, rescan_ms: 20_000 },
            registries: registry::Settings::default(),
            warnings: Vec::new(),
        }
    }
}

/// One setting as one source gives it.
struct Entry {
    key: &'static keys::Key,
    place: String,
    text: String,
}

impl Flags {
    fn given(&self, daemon: Option<&DaemonFlags>) -> Vec<(&'static str, String)> {
        let Self {
            config: _,
            desired,
            repo,
            branch,
            path,
            state,
            instance,
            host,
            docker_host,
            socket,
            log_format,
            log_level,
        } = self;
        let mut given = vec![
            ("desired", desired),
            ("repo", repo),
            ("branch", branch),
            ("path", path),
            ("state", state),
            ("instance", instance),
            ("host", host),
            ("docker_host", docker_host),
            ("socket", socket),
            ("log.format", log_format),
            ("log.level", log_level),
        ];
        if let Some(DaemonFlags { listen, watch, concurrency, pulls }) = daemon {
            given.extend([
                ("listen", listen),
                ("watch", watch),
                ("concurrency.services", concurrency),
                ("concurrency.pulls", pulls),
            ]);
        }
        given.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect()
    }
}

/// The file named, which must then be there, or the default one, which need not.
fn read_file(named: Option<&Path>) -> Result<Option<(String, String)>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let place = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((place, text))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError { message: format!("cannot read the settings: {error}"), place }),
    }
}

/// The kernel's word; `localhost` where it has none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
