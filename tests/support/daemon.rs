//! The real binary, running.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::host::Host;
use super::wait::{DEADLINE, free_port, page, try_wait};

pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Metrics and status.
    pub port: u16,
}

impl Daemon {
    /// Starts `evenkeel run` with further arguments; does not wait for anything.
    pub fn start(host: &Host, arguments: &[&str]) -> Self {
        let port = free_port();
        let log = host.root().join("daemon.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command: Command = host.command();
        command
            .args(["run", "--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self { child: command.spawn().unwrap(), log, port }
    }

    /// Everything it has logged, earlier daemons of the same host included.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn metrics(&self) -> Option<String> {
        page(self.port, "/metrics")
    }

    /// The value of one series, written as in the exposition.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {name}");
    }

    pub fn reload(&self) {
        self.signal("-HUP");
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// SIGTERM, and its way out.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// SIGTERM without waiting.
    pub fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// SIGKILL: no chance to do anything more.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let ended = try_wait(DEADLINE, || self.child.try_wait().ok().flatten());
        ended.unwrap_or_else(|| panic!("evenkeel run does not end:\n{}", self.log()))
    }

    pub fn wait_within(&mut self, deadline: Duration) -> Option<ExitStatus> {
        try_wait(deadline, || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(80);
            eprintln!("--- the daemon's last lines\n{}", lines.get(from..).unwrap_or_default().join("\n"));
        }
    }
}
