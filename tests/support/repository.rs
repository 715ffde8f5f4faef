//! A Git repository of a test's own, as somebody at their desk would have it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Repository {
    pub path: PathBuf,
    /// Of whoever works in it: its configuration is this test's.
    home: PathBuf,
}

impl Repository {
    /// An empty repository with the branch `main`, in a folder that does not exist yet.
    pub fn new(path: &Path) -> Self {
        let home = path.with_extension("home");
        fs::create_dir_all(path).unwrap();
        fs::create_dir_all(&home).unwrap();
        let repository = Self { path: path.to_owned(), home };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (key, value) in [
            ("user.name", "Ada Lovelace"),
            ("user.email", "ada@example.org"),
            ("commit.gpgsign", "false"),
            ("gc.auto", "0"),
        ] {
            repository.git(&["config", key, value]);
        }
        repository
    }

    /// The same repository, for somebody else who works in it.
    pub fn at(path: &Path, home: &Path) -> Self {
        Self { path: path.to_owned(), home: home.to_owned() }
    }

    pub fn url(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.path)
            .env("HOME", &self.home)
            .env("GNUPGHOME", self.home.join("gnupg"))
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Runs git in it and returns what it printed.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits everything as it lies there and returns the commit.
    #[track_caller]
    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.head()
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn home(&self) -> &Path {
        &self.home
    }
}
