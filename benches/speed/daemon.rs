//! The real daemon, what it says of itself, and what it costs.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Host;
use crate::support::wait::{free_port, page};

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Starts `evenkeel run` as anybody would: default intervals and log level.
    pub fn start(host: &Host) -> Self {
        Self::through(host, None, &[])
    }

    pub fn through(host: &Host, engine: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(host.root().join("daemon.log"))
            .expect("a log");
        let mut command: Command = host.command();
        command.env("EVENKEEL_LOG_LEVEL", "info").envs(variables.iter().copied());
        if let Some(engine) = engine {
            command.env("DOCKER_HOST", engine);
        }
        command.args(["run", "--listen", &format!("127.0.0.1:{port}")]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let daemon = Self { child: command.spawn().expect("evenkeel"), port };
        daemon.until("it is ready", || page(port, "/readyz").map(drop));
        daemon
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain until {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn rows(&self) -> Vec<Value> {
        let text = page(self.port, "/v1/status").unwrap_or_default();
        let status: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        status["services"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until this service is as its file says, and its container has its plain name.
    pub fn until_ready(&self, service: &str, image: &str) {
        self.until(&format!("{service} is ready with {image}"), || {
            let row = self.rows().into_iter().find(|row| row["service"] == service)?;
            (row["condition"]["kind"] == "ready" && row["image"] == image).then_some(())
        });
    }

    /// Waits until so many services are ready.
    pub fn until_all_ready(&self, count: usize) {
        self.until(&format!("{count} services are ready"), || {
            let ready = self.rows().iter().filter(|row| row["condition"]["kind"] == "ready").count();
            (ready == count).then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn reload(&self) {
        let _ = Command::new("kill").args(["-HUP", &self.pid().to_string()]).status();
    }

    /// CPU time used so far, all threads, those that ended included.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
        // The kernel tells it in hundredths of a second, whatever its own clock.
        Duration::from_millis(ticks * 10)
    }

    /// KiB in memory now.
    pub fn resident(&self) -> u64 {
        status_kib(&self.pid().to_string(), "VmRSS:")
    }

    pub fn end(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/<process>/status`, in KiB.
pub fn status_kib(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
