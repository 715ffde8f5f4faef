//! Running `git`, so that a hostile repository can at worst fail to load.
//!
//! Git does the transport (as git-sync does), so that ssh configurations, known hosts, proxies and credential helpers of this
//! user work. Everything that would run a program of the repository's choice, ask a person, or recurse is switched off on the command line,
//! which wins over every configuration file. Tokens are never on a command line or in a variable: a helper of one line reads
//! the file when git asks.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::error::GitError;
use super::running::{Outcome, Running};
use super::settings::{Login, Remote};

/// Environment that git and ssh need to reach people's own set-up. Everything else, above all what begins with `GIT_`, is dropped.
const PASSED: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_PROXY_COMMAND",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
];

/// What one call of git may cost.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub time: Duration,
    /// Bytes of its answer.
    pub answer: u64,
    /// A folder that grows while it works, and how many bytes it may grow by.
    pub growth: Option<(PathBuf, u64)>,
}

/// Starts git with the same hardening every time.
#[derive(Debug, Clone)]
pub(super) struct Git {
    /// The bare repository; `None` for calls without one.
    repository: Option<PathBuf>,
    config: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    secrets: Vec<String>,
    stop: Arc<AtomicBool>,
}

impl Git {
    pub(super) fn new(remote: &Remote, stop: &Arc<AtomicBool>) -> Self {
        let mut config: Vec<String> = [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.symlinks=false",
            "submodule.recurse=false",
            "fetch.recurseSubmodules=false",
            "fetch.writeCommitGraph=false",
            "fetch.fsckObjects=true",
            "fetch.prune=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "protocol.version=2",
            "protocol.allow=never",
            "http.lowSpeedLimit=1",
            "http.lowSpeedTime=30",
            "advice.detachedHead=false",
        ]
        .map(str::to_owned)
        .into();
        config.push(format!("protocol.{}.allow=always", remote.transport()));
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("LC_ALL", "C".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_OPTIONAL_LOCKS", "0".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            // Nobody is there to answer: ssh gets this instead of the terminal, and it says no at once.
            ("SSH_ASKPASS", "/bin/false".into()),
            ("SSH_ASKPASS_REQUIRE", "force".into()),
        ];
        match &remote.login {
            Login::None => {}
            Login::Token { file, user } => {
                let scope = remote.origin().unwrap_or_default();
                config.push(format!("credential.{scope}.helper="));
                config.push(format!("credential.{scope}.helper={}", helper(file, user)));
            }
            Login::Key { file, known_hosts } => {
                let mut ssh = format!("ssh -o BatchMode=yes -o IdentitiesOnly=yes -i {}", quoted(file));
                if let Some(known) = known_hosts {
                    ssh.push_str(&format!(
                        " -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}",
                        quoted(known)
                    ));
                }
                environment.push(("GIT_SSH_COMMAND", ssh.into()));
            }
        }
        Self { repository: None, config, environment, secrets: remote.secrets(), stop: Arc::clone(stop) }
    }

    /// What ends every git of this source.
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) fn within(mut self, repository: &Path) -> Self {
        self.repository = Some(repository.to_owned());
        self
    }

    pub(super) fn with_config(mut self, entry: String) -> Self {
        self.config.push(entry);
        self
    }

    pub(super) fn with_variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        for name in PASSED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        for entry in &self.config {
            command.arg("-c").arg(entry);
        }
        if let Some(repository) = &self.repository {
            command.arg("--git-dir").arg(repository);
        }
        command.args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs git and returns its answer.
    ///
    /// # Errors
    /// It is not there, says no, takes too long, answers or fetches too much, or evenkeel is being stopped.
    pub(super) fn ask(
        &self,
        what: &'static str,
        arguments: &[&str],
        bounds: &Bounds,
    ) -> Result<Vec<u8>, GitError> {
        self.ask_with(what, arguments, None, bounds)
    }

    /// The same, with something to read for it.
    pub(super) fn ask_with(
        &self,
        what: &'static str,
        arguments: &[&str],
        input: Option<Vec<u8>>,
        bounds: &Bounds,
    ) -> Result<Vec<u8>, GitError> {
        let Outcome { status, answer, words } = self.run(what, arguments, input, bounds)?;
        if status.success() {
            return Ok(answer);
        }
        let told = self.readable(&words);
        let told = match (told.is_empty(), status.signal()) {
            (true, Some(signal)) => format!("it was ended by signal {signal}"),
            (true, None) => format!("it ended with {}", status.code().unwrap_or(-1)),
            (false, _) => told,
        };
        Err(GitError::Failed { what, told })
    }

    /// Runs git and returns how it ended, what it answered and what it said.
    pub(super) fn run(
        &self,
        what: &'static str,
        arguments: &[&str],
        input: Option<Vec<u8>>,
        bounds: &Bounds,
    ) -> Result<Outcome, GitError> {
        let mut command = self.command(arguments);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GitError::NoGit,
            _ => GitError::Start(error.to_string()),
        })?;
        Running::of(child, input, bounds)?.wait(what, bounds, &self.stop)
    }

    /// Git's words in one line, without what it was told in the address.
    pub(super) fn readable(&self, words: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(words).into_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<String> = lines
            .map(|line| line.strip_prefix("remote: ").unwrap_or(line))
            .map(|line| line.strip_prefix("fatal: ").unwrap_or(line))
            .map(|line| line.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""))
            .collect();
        let mut text = lines.join("; ");
        if let Some((at, _)) = text.char_indices().nth(600) {
            text.truncate(at);
            text.push('…');
        }
        text
    }
}

/// A helper of one line: git runs it with the word `get`, and it prints the token from its file.
fn helper(file: &Path, user: &str) -> String {
    let file = quoted(file);
    let user = user.replace(['\'', '\n'], "");
    format!(
        "!f() {{ test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' '{user}' \"$(cat {file})\"; }}; f"
    )
}

/// A path as one word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
