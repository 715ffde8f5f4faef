//! docker compose, to have projects that evenkeel did not start: version 2 from Debian trixie, and version 1 where the machine has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::docker::aim;
use super::machine;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

pub struct Compose {
    program: PathBuf,
    pub project: String,
    pub folder: PathBuf,
}

impl Compose {
    /// `None` where it cannot be had; that is said.
    pub fn new(version: Version, project: &str, folder: &Path) -> Option<Self> {
        Some(Self { program: program(version)?, project: project.to_owned(), folder: folder.to_owned() })
    }

    /// What it printed. A failure is the test's failure.
    pub fn call(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.args(["--project-name", &self.project]).args(arguments);
        command.current_dir(&self.folder).stdin(Stdio::null());
        aim(&mut command);
        let output = command.output().expect("docker compose runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "docker compose {}: {err}", arguments.join(" "));
        out.trim().to_owned()
    }
}

impl Drop for Compose {
    /// What it started and nobody adopted. A container that is evenkeel's goes with the test's host, by its label.
    fn drop(&mut self) {
        let mut command = Command::new(&self.program);
        command.args([
            "--project-name",
            &self.project,
            "down",
            "--timeout",
            "1",
            "--volumes",
            "--remove-orphans",
        ]);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        aim(&mut command);
        let _best_effort = command.status();
    }
}

/// Where it is; `None` where it cannot be had, and that is said.
pub fn program(version: Version) -> Option<PathBuf> {
    let program = match version {
        Version::One => one(),
        Version::Two => two(),
    };
    if program.is_none() {
        machine::skip(&format!(
            "docker compose, version {version:?}, cannot be had here: nothing was adopted from it"
        ));
    }
    program
}

fn two() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let program = root.join("target/engines/26.1/bin/docker-compose");
            if !program.exists() {
                let mut fetch = Command::new(root.join("scripts/engines.sh"));
                fetch.arg("26.1").stdout(Stdio::null()).status().ok().filter(|status| status.success())?;
            }
            Some(program)
        })
        .clone()
}

/// The one in Python, under its old name.
fn one() -> Option<PathBuf> {
    let output = Command::new("docker-compose").args(["version", "--short"]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).starts_with("1.").then(|| PathBuf::from("docker-compose"))
}
