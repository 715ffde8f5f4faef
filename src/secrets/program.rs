//! Running `age` and `sops`: no shell, values through pipes only, an end in time, and nothing of theirs but the answer is believed.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::child::{kill, listen};

/// What one call may take. Opening a file of a megabyte takes a moment; a key on a token or in a cloud takes longer.
const DEADLINE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
pub const ANSWER_CAP: u64 = 1 << 20;
/// Of what a program says of its troubles. Bytes.
const WORDS_CAP: u64 = 4 << 10;
/// What these programs need of our surroundings: where things are, and how `sops` reaches its key services.
const PASSED: [&str; 4] = ["PATH", "HOME", "USER", "TMPDIR"];
const PASSED_BEGINNINGS: [&str; 6] = ["SOPS_", "AWS_", "GOOGLE_", "AZURE_", "VAULT_", "GNUPG"];

/// A program that did not do its work: a sentence, without what it read or wrote.
pub type Failed = String;

/// A call of a program.
pub struct Program<'a> {
    name: &'a str,
    command: Command,
    /// How it is called for, when it is not there.
    help: &'a str,
}

impl<'a> Program<'a> {
    pub fn new(name: &'a str, help: &'a str) -> Self {
        let mut command = Command::new(name);
        command.env_clear();
        for (key, value) in std::env::vars_os() {
            let known = key.to_str().is_some_and(|key| {
                PASSED.contains(&key) || PASSED_BEGINNINGS.iter().any(|start| key.starts_with(start))
            });
            if known {
                command.env(key, value);
            }
        }
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        Self { name, command, help }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and returns its answer.
    ///
    /// # Errors
    /// It is not there, says no, takes too long, or answers too much.
    pub fn run(mut self, input: Vec<u8>) -> Result<Vec<u8>, Failed> {
        let Self { name, help, .. } = self;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("the program `{name}` is not on this host: {help}"),
            _ => format!("`{name}` cannot be started: {error}"),
        })?;
        let (sender, ended) = channel();
        let answer = listen(child.stdout.take(), ANSWER_CAP, Some(sender));
        let words = listen(child.stderr.take(), WORDS_CAP, None);
        if let Some(mut pipe) = child.stdin.take() {
            // Written beside the reading, or both pipes could be full at once.
            std::thread::spawn(move || drop(pipe.write_all(&input)));
        }
        let late = ended.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
        if late {
            kill(&mut child);
        }
        let (answer, complete) = answer.join().unwrap_or_default();
        if !complete {
            kill(&mut child);
        }
        let status = child.wait().map_err(|error| format!("`{name}` cannot be waited for: {error}"))?;
        let (words, _) = words.join().unwrap_or_default();
        if late {
            return Err(format!("`{name}` gave no answer within {} s", DEADLINE.as_secs()));
        }
        if !complete {
            return Err(format!("what `{name}` gave is larger than {} MiB", ANSWER_CAP >> 20));
        }
        if !status.success() {
            return Err(format!("`{name}` refused: {}", readable(&words)));
        }
        Ok(answer)
    }
}

/// The first words of a program in one line.
fn readable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    // sops tells of every key in a list, and why it did not fit in a column.
    let reasons: Vec<&str> =
        lines().filter_map(|line| line.strip_prefix("- | ").or_else(|| line.strip_prefix("| "))).collect();
    let line = match reasons.as_slice() {
        [] => lines().take(2).collect::<Vec<_>>().join("; "),
        reasons => reasons.join(" "),
    };
    let plain: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
    let plain = plain.strip_prefix("age: error: ").unwrap_or(&plain).to_owned();
    if plain.is_empty() { "it did not say why".to_owned() } else { plain }
}
