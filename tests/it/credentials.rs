//! Logins from Docker's client configuration, with helpers that are scripts of this test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use evenkeel::desired::secret::Sensitive;
use evenkeel::engine::registry::{Login, RegistryAuth};
use evenkeel::images::credentials::DockerConfig;
use serde_json::json;
use tempfile::TempDir;

/// `user:pass` and `hub:secret` as `docker login` writes them.
const USER_PASS: &str = "dXNlcjpwYXNz";
const HUB_SECRET: &str = "aHViOnNlY3JldA==";

fn password(user: &str, password: &str) -> Option<Login> {
    Some(Login::Password { user: user.to_owned(), password: Sensitive::new(password) })
}

struct Folder(TempDir);

impl Folder {
    fn with(config: &serde_json::Value) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.config(), config.to_string()).unwrap();
        folder
    }
    fn config(&self) -> PathBuf {
        self.0.path().join("config.json")
    }
    fn helper(&self, name: &str, script: &str) {
        let path = self.0.path().join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

async fn login(config: &Path, registry: &str) -> Result<Option<Login>, String> {
    DockerConfig::at(config).login(registry).await
}

#[tokio::test]
async fn logins_are_found_under_every_name_that_a_registry_has() {
    let folder = Folder::with(&json!({"auths": {
        "ghcr.io": {"auth": USER_PASS},
        "https://index.docker.io/v1/": {"auth": HUB_SECRET},
        "token.example": {"identitytoken": "t0ken"},
        "empty.example": {},
    }}));
    for (registry, expected) in [
        ("ghcr.io", password("user", "pass")),
        ("docker.io", password("hub", "secret")),
        ("registry-1.docker.io", password("hub", "secret")),
        ("token.example", Some(Login::IdentityToken(Sensitive::new("t0ken")))),
        ("empty.example", None),
        ("unknown.example", None),
    ] {
        assert_eq!(login(&folder.config(), registry).await, Ok(expected), "{registry}");
    }
}

#[tokio::test]
async fn a_login_made_later_counts_at_once_and_no_file_means_no_login() {
    let folder = Folder::with(&json!({}));
    let config = DockerConfig::at(&folder.config());
    assert_eq!(config.login("ghcr.io").await, Ok(None));
    fs::write(folder.config(), json!({"auths": {"ghcr.io": {"auth": USER_PASS}}}).to_string()).unwrap();
    assert_eq!(config.login("ghcr.io").await, Ok(password("user", "pass")));
    fs::remove_file(folder.config()).unwrap();
    assert_eq!(config.login("ghcr.io").await, Ok(None));
}

#[tokio::test]
async fn what_is_damaged_is_said_without_what_is_in_it() {
    let folder = Folder::with(&json!({"auths": {"ghcr.io": {"auth": "%%%s3cr3t%%%"}}}));
    let text = login(&folder.config(), "ghcr.io").await.unwrap_err();
    assert!(text.contains("docker login ghcr.io") && !text.contains("s3cr3t"), "{text}");
    fs::write(folder.config(), "{ s3cr3t").unwrap();
    let text = login(&folder.config(), "ghcr.io").await.unwrap_err();
    assert!(text.contains("config.json") && !text.contains("s3cr3t"), "{text}");
}

/// Helpers are found in `PATH`, which only a process of one's own may change: the test runs itself again with it set.
#[tokio::test]
async fn helpers_are_asked_and_what_they_print_stays_with_them() {
    let config = json!({
        "credHelpers": {"ghcr.io": "good", "token.example": "token", "none.example": "none", "bad.example": "bad",
            "odd.example": "odd", "gone.example": "gone"},
        "credsStore": "good",
    });
    let Some(path) = std::env::var_os("EVENKEEL_TEST_CREDENTIALS") else {
        let folder = Folder::with(&config);
        folder.helper("good", r#"read server; echo "{\"Username\":\"u\",\"Secret\":\"for $server\"}""#);
        folder.helper("token", r#"read server; echo "{\"Username\":\"<token>\",\"Secret\":\"t\"}""#);
        folder.helper("none", "read server; echo 'credentials not found in native keychain'; exit 1");
        folder.helper("bad", "read server; echo s3cr3t; echo s3cr3t >&2; exit 1");
        folder.helper("odd", "read server; echo s3cr3t");
        let path = format!("{}:{}", folder.0.path().display(), std::env::var("PATH").unwrap());
        let ended = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "credentials::helpers_are_asked_and_what_they_print_stays_with_them",
                "--nocapture",
            ])
            .env("PATH", path)
            .env("EVENKEEL_TEST_CREDENTIALS", folder.config())
            .output()
            .unwrap();
        let printed =
            String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && printed.contains("1 passed"), "{printed}");
        return;
    };
    let path = Path::new(&path);
    assert_eq!(login(path, "ghcr.io").await, Ok(password("u", "for ghcr.io")));
    assert_eq!(login(path, "token.example").await, Ok(Some(Login::IdentityToken(Sensitive::new("t")))));
    assert_eq!(login(path, "none.example").await, Ok(None));
    assert_eq!(login(path, "docker.io").await, Ok(password("u", "for https://index.docker.io/v1/")));
    for (registry, words) in [
        ("bad.example", "`docker-credential-bad` failed"),
        ("odd.example", "not one"),
        ("gone.example", "is it in PATH?"),
    ] {
        let text = login(path, registry).await.unwrap_err();
        assert!(text.contains(words) && !text.contains("s3cr3t"), "{registry}: {text}");
    }
}
