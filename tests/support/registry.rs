//! A registry of the test's own on loopback: Debian's docker-registry with its files in the test's folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::docker::docker;
use super::machine;
use super::private_engine::PrivateEngine;
use super::wait::{free_port, wait_for};

/// The one user of a locked registry.
pub const USER: &str = "someone";
pub const PASSWORD: &str = "canary-71c2";
/// `user:password` as `docker login` keeps it.
pub const LOGIN: &str = "c29tZW9uZTpjYW5hcnktNzFjMg==";
/// The same in htpasswd's form.
const PASSWORDS: &str = "someone:$2y$05$abcdefghijklmnopqrstuuohExOvS8/atwT8cCBYP3DU1CsGYNMEi\n";

pub struct Registry {
    port: u16,
    /// What runs a command where the registry is: nothing, or `nsenter` with its words.
    prefix: Vec<String>,
    folder: PathBuf,
    locked: bool,
    /// Folder of [`super::tls::certificates`].
    tls: Option<PathBuf>,
    child: Option<Child>,
}

impl Registry {
    /// `None` where docker-registry is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        Self::start_with(folder, Vec::new())
    }

    /// The same on the loopback of an engine of the test's own.
    pub fn start_beside(folder: &Path, engine: &PrivateEngine) -> Option<Self> {
        Self::start_with(folder, engine.prefix())
    }

    fn start_with(folder: &Path, prefix: Vec<String>) -> Option<Self> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            machine::skip("docker-registry is not installed; nothing about a registry was tested here");
            return None;
        }
        let folder = folder.join("registry");
        let mut registry = Self { port: free_port(), prefix, folder, locked: false, tls: None, child: None };
        fs::create_dir_all(&registry.folder).unwrap();
        registry.up();
        Some(registry)
    }

    /// Starts it again on the same port with the same images.
    pub fn up(&mut self) {
        let config = self.folder.join("config.yml");
        let auth = if self.locked {
            let passwords = self.folder.join("passwords");
            fs::write(&passwords, PASSWORDS).unwrap();
            format!("auth:\n  htpasswd: {{ realm: test, path: {} }}\n", passwords.display())
        } else {
            String::new()
        };
        let tls = self.tls.as_ref().map_or_else(String::new, |folder| {
            let folder = folder.display();
            format!("  tls: {{ certificate: {folder}/server.pem, key: {folder}/server-key.pem }}\n")
        });
        let text = format!(
            "version: 0.1\n{auth}log: {{ level: warn }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\nhttp:\n  addr: 127.0.0.1:{}\n{tls}",
            self.folder.join("files").display(),
            self.port
        );
        fs::write(&config, text).unwrap();
        let log = File::create(self.folder.join("log")).unwrap();
        let mut command = self.command("docker-registry");
        command.arg("serve").arg(config).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        // Over TLS it says in plain words that it was not spoken to over TLS.
        let answers = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{0} && printf 'GET /v2/ HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q HTTP <&3",
            self.port
        );
        wait_for("the registry answers", || {
            let asked = self.command("bash").args(["-c", &answers]).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        });
    }

    fn command(&self, program: &str) -> Command {
        let words: Vec<&str> = self.prefix.iter().map(String::as_str).chain([program]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command
    }

    /// From now on it asks for credentials: those of [`USER`].
    pub fn lock(&mut self) {
        self.down();
        self.locked = true;
        self.up();
    }

    /// From now on it speaks TLS, with the server's certificate of this folder.
    pub fn over_tls(&mut self, certificates: &Path) {
        self.down();
        self.tls = Some(certificates.to_owned());
        self.up();
    }

    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `127.0.0.1:<port>`, as logins name it.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:<port>/<name>`
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Pushes a local image and forgets it locally, so that only the registry has it.
    pub fn take(&self, reference: &str) {
        docker(&["push", "--quiet", reference]);
        docker(&["image", "rm", reference]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.down();
    }
}
