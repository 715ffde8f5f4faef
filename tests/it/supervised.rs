//! Under a service manager: what it is told, and that the unit's restrictions leave the engine within reach.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Host;
use crate::support::wait::{DEADLINE, try_wait};

/// The end on which the service manager listens.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    fn hears(&mut self, word: &str) {
        let came = try_wait(DEADLINE, || {
            let mut buffer = [0; 4096];
            if let Ok(size) = self.socket.recv(&mut buffer) {
                self.heard.extend(String::from_utf8_lossy(&buffer[..size]).lines().map(str::to_owned));
            }
            self.heard.iter().position(|line| line.starts_with(word))
        });
        let at = came.unwrap_or_else(|| panic!("`{word}` never came; heard {:?}", self.heard));
        self.heard.drain(..=at);
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn unit() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/evenkeel.service")).unwrap()
}

#[test]
fn the_service_manager_is_told_ready_alive_and_stopping() {
    let host = Host::without_engine();
    host.write("web.toml", "[services.web]\nimage = \"web:1\"\n");
    let path = host.root().join("notify");
    let mut manager = Manager::at(&path);
    let child = host
        .command()
        .args(["run", "--engine", "simulated", "--listen", "off"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id();
    let mut child = Ended(child);
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    manager.hears("STATUS=1 service: 1 ready");
    let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap();
    assert!(sent.success());
    manager.hears("STOPPING=1");
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("SKIPPED: no systemd-analyze on this machine; the unit file was not checked");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evenkeel.service");
    // The program's place on this machine, because its being there is checked too.
    std::fs::write(&file, unit().replace("/usr/bin/evenkeel", env!("CARGO_BIN_EXE_evenkeel"))).unwrap();
    let ended = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("evenkeel.service")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

#[test]
fn with_the_units_capabilities_alone_the_engine_is_reached_and_the_state_kept() {
    let Some(host) = Host::new() else { return };
    assert!(unit().contains("CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN\n"));
    let image = host.image("1.0", &[], &[]);
    host.write("web.toml", &crate::support::files::plain("web", &image, ""));
    let bare = host.command();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--bounding-set=-all,+dac_read_search,+dac_override,+chown",
            "--inh-caps=-all",
            "--no-new-privs",
        ])
        .arg(bare.get_program())
        .arg("apply");
    command.envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(host.serving("web").is_some());
}
