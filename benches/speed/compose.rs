//! docker compose, for comparison: that of Debian trixie, unpacked by scripts/engines.sh beside its engine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub struct Compose {
    program: PathBuf,
    pub version: String,
}

impl Compose {
    /// `None`: it can't be had here (no network, no Debian), which the report then says.
    pub fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join("target/engines/26.1/bin/docker-compose");
        if !program.exists() {
            let mut fetch = Command::new(root.join("scripts/engines.sh"));
            fetch.arg("26.1").stdout(Stdio::null()).status().ok().filter(|status| status.success())?;
        }
        let output = Command::new(&program).args(["version", "--short"]).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(Self { program, version })
    }

    fn call(&self, folder: &Path, project: &str, arguments: &[&str]) -> Command {
        // In a shell, which tells the CPU time of its children.
        let mut command = Command::new("sh");
        command.args(["-c", r#""$@" >/dev/null 2>compose.log || exit 1; times"#, "sh"]);
        command.arg(&self.program).args(["--project-name", project, "--progress", "quiet"]).args(arguments);
        command.current_dir(folder).stdin(Stdio::null());
        command
    }

    /// `up -d`: how long it took, and its CPU time.
    pub fn up(&self, folder: &Path, project: &str) -> (Duration, Duration) {
        let began = Instant::now();
        let output = self.call(folder, project, &["up", "--detach"]).output().expect("sh");
        let took = began.elapsed();
        let log = std::fs::read_to_string(folder.join("compose.log")).unwrap_or_default();
        assert!(output.status.success(), "docker compose up: {log}");
        let text = String::from_utf8_lossy(&output.stdout);
        let cpu = text.lines().nth(1).unwrap_or_default().split_whitespace().map(minutes).sum();
        (took, cpu)
    }

    pub fn down(&self, folder: &Path, project: &str) {
        let _ = self.call(folder, project, &["down", "--timeout", "1"]).output();
    }
}

/// `0m0.120s`.
fn minutes(text: &str) -> Duration {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap_or(("0", "0"));
    let minutes: f64 = minutes.parse().unwrap_or_default();
    let seconds: f64 = seconds.parse().unwrap_or_default();
    Duration::from_secs_f64(minutes * 60.0 + seconds)
}
