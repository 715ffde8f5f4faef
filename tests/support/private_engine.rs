//! An engine of the test's own, to be killed and restarted at will: dockerd with its own files, sockets and network namespace.
//! (In a namespace of its own, because a second dockerd would rewrite the packet filter rules of the first.)

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::docker::{self, try_docker};
use super::machine;
use super::wait::{DEADLINE, try_wait, wait_for};

pub struct PrivateEngine {
    folder: PathBuf,
    /// Holds the network namespace while no dockerd does.
    namespace: Child,
    dockerd: Option<Child>,
    driver: String,
    live_restore: bool,
    /// Further arguments of dockerd, from its next start on.
    pub flags: Vec<String>,
}

impl PrivateEngine {
    /// `None`, and a line that says so, where dockerd may not be started. From here on this thread's `docker` calls go to it.
    pub fn start(live_restore: bool) -> Option<Self> {
        let driver = try_docker(&["info", "--format", "{{.Driver}}"]).ok()?;
        let mut engine = Self::prepare(driver, live_restore)?;
        engine.up();
        Some(engine)
    }

    /// The same on a disk of its own of so many megabytes, which can be filled.
    pub fn start_on_small_disk(megabytes: u32) -> Option<Self> {
        let mut engine = Self::prepare("vfs".to_owned(), false)?;
        let data = engine.path("data");
        fs::create_dir_all(&data).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(&data);
        if !mount.output().is_ok_and(|out| out.status.success()) {
            machine::skip("a disk of the test's own needs the right to mount one");
            return None;
        }
        engine.up();
        Some(engine)
    }

    /// Takes every byte that is left where the engine keeps its files.
    pub fn fill_disk(&self) {
        use std::io::Write;
        let mut ballast = File::create(self.path("data/ballast")).unwrap();
        // The last piece is written in part, until not a byte more goes.
        for size in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn free_disk(&self) {
        fs::remove_file(self.path("data/ballast")).unwrap();
    }

    fn prepare(driver: String, live_restore: bool) -> Option<Self> {
        let is_root =
            fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let there = ["dockerd", "unshare", "nsenter"]
            .iter()
            .all(|name| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success()));
        if !is_root || !there {
            machine::skip("an engine of the test's own needs root, dockerd, unshare and nsenter");
            return None;
        }
        // A short path: the name of a unix socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("eke").tempdir().ok()?.keep();
        fs::write(folder.join("daemon.json"), "{}").ok()?;
        let namespace = Command::new("unshare").args(["--net", "sleep", "1000000"]).spawn().ok()?;
        let engine = Self { folder, namespace, dockerd: None, driver, live_restore, flags: Vec::new() };
        // Until `unshare` has done its work the process is still in the host's own namespace, and an engine must never start there.
        let own = fs::read_link("/proc/self/ns/net").ok()?;
        let theirs = format!("/proc/{}/ns/net", engine.namespace.id());
        wait_for("the namespace is made", || {
            fs::read_link(&theirs).ok().filter(|namespace| *namespace != own)
        });
        // Published ports of 127.0.0.1 need it.
        let loopback = engine.inside(&["ip", "link", "set", "lo", "up"]).output();
        assert!(
            loopback.is_ok_and(|out| out.status.success()),
            "`ip link set lo up` in the new namespace (iproute2)"
        );
        docker::use_engine(Some(engine.address()));
        Some(engine)
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path("s").display())
    }

    /// The same as a path.
    pub fn socket(&self) -> PathBuf {
        self.path("s")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What runs a command inside the namespace.
    pub fn prefix(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.namespace.id()), "--".to_owned()]
    }

    fn inside(&self, words: &[&str]) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args(words).stdin(Stdio::null());
        command
    }

    /// Starts dockerd without waiting until it answers.
    pub fn boot(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let mut command = self.inside(&["dockerd"]);
        command
            .arg(flag("config-file", &self.path("daemon.json")))
            .arg(flag("data-root", &self.path("data")))
            .arg(flag("exec-root", &self.path("exec")))
            .arg(flag("pidfile", &self.path("pid")))
            .arg(format!("--host={}", self.address()))
            .arg(format!("--storage-driver={}", self.driver))
            .arg("--cgroup-parent=/evenkeel-test")
            .args(&self.flags);
        if self.live_restore {
            command.arg("--live-restore");
        }
        // One that was killed left it behind.
        let _ = fs::remove_file(self.path("pid"));
        self.dockerd = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    pub fn up(&mut self) {
        self.boot();
        let answer = try_wait(DEADLINE, || try_docker(&["version"]).ok());
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        assert!(answer.is_some(), "the private engine does not answer; its last lines, backwards: {end:#?}");
    }

    /// SIGKILL: as a crash, or as the kernel does when memory is short.
    pub fn kill(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            let _ = dockerd.kill();
            let _ = dockerd.wait();
        }
        // Its containerd ends with it, but a moment later, and a dockerd started in between takes the dying one for alive.
        let _ = try_wait(Duration::from_secs(5), || self.containerd().is_none().then_some(()));
    }

    /// The process id of the private containerd until nothing is left of it: one that is ending has no command line any more.
    fn containerd(&self) -> Option<String> {
        let pid = fs::read_to_string(self.path("exec/containerd/containerd.pid")).ok()?.trim().to_owned();
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (command.is_empty() || command.contains(&self.folder.display().to_string())).then_some(pid)
    }

    /// SIGTERM: as an upgrade does it.
    pub fn stop(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            let _ = Command::new("kill").args(["-TERM", &dockerd.id().to_string()]).status();
            if try_wait(Duration::from_secs(60), || dockerd.try_wait().ok().flatten()).is_none() {
                let _ = dockerd.kill();
                let _ = dockerd.wait();
            }
        }
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if self.dockerd.is_none() || try_docker(&["version"]).is_err() {
            self.kill();
            self.boot();
            let _ = try_wait(Duration::from_secs(30), || try_docker(&["version"]).ok());
        }
        if let Ok(all) = try_docker(&["ps", "--all", "--quiet"]) {
            for id in all.lines() {
                let _ = try_docker(&["rm", "--force", "--volumes", id]);
            }
        }
        self.stop();
        docker::use_engine(None);
        // The containerd of a dockerd that was killed outlives it.
        if let Some(pid) = self.containerd() {
            let _ = Command::new("kill").args(["-KILL", &pid]).output();
        }
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = self.folder.display().to_string();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if point.starts_with(&ours) {
                let _ = Command::new("umount").args(["--lazy", point]).output();
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
