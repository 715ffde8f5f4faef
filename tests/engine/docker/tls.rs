//! TLS with certificates on both sides, against a server that is not ours: OpenSSL's own, which serves files.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel::engine::docker::connect;
use evenkeel::engine::{EngineError, EngineFacts, Observe};
use evenkeel::state::plan::Failure;

use crate::support::tls::{certificates, client_folder, has_openssl};
use crate::support::wait::free_port;

/// Set in the process that the test starts of itself; the environment of a process cannot be changed safely from within.
const INSIDE: &str = "EVENKEEL_TEST_TLS_PORT";

/// Stops the server with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path, port: u16) -> Server {
    fs::create_dir_all(folder.join("v1.41")).unwrap();
    fs::write(folder.join("version"), r#"{"Version":"9.9","ApiVersion":"1.41"}"#).unwrap();
    fs::write(folder.join("v1.41/info"), r#"{"ID":"tls"}"#).unwrap();
    let words = format!(
        "s_server -accept 127.0.0.1:{port} -cert server.pem -key server-key.pem -CAfile ca.pem -Verify 1 -verify_return_error -WWW -quiet"
    );
    let mut call = Command::new("openssl");
    call.args(words.split(' ')).current_dir(folder).stdin(Stdio::null());
    Server(call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// What the engine at the port says, asked by a process with these certificates.
fn ask_with(certificates: &Path, port: u16) -> String {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "docker::tls::certificates_are_shown_and_asked_for_and_a_stranger_is_refused",
            "--nocapture",
        ])
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certificates)
        .env(INSIDE, port.to_string())
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

async fn inside(port: &str) {
    let ask = async || -> Result<EngineFacts, EngineError> {
        connect(Some(&format!("tcp://127.0.0.1:{port}")), "me")?.facts().await
    };
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match ask().await {
            Ok(facts) => return println!("ANSWER {} {}", facts.version, facts.id),
            // The server may not listen yet.
            Err(error) if error.message.contains("refused") && Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                assert!(matches!(error.kind, Failure::Unreachable | Failure::Unknown), "{error}");
                return println!("FAILED {error}");
            }
        }
    }
}

#[tokio::test]
async fn certificates_are_shown_and_asked_for_and_a_stranger_is_refused() {
    if let Ok(port) = std::env::var(INSIDE) {
        return inside(&port).await;
    }
    if !has_openssl() {
        return;
    }
    let (root, strangers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(root.path());
    certificates(strangers.path());
    let (ours, theirs) = (root.path(), strangers.path());
    let port = free_port();
    let _server = serve(ours, port);
    let answer = ask_with(&client_folder(&ours.join("good"), ours, Some(ours)), port);
    assert!(answer.contains("ANSWER 9.9 tls"), "{answer}");
    // A server of an authority that we were not told to trust, a client that has no certificate, and one of another's.
    for (name, authority, client) in
        [("stranger", theirs, Some(ours)), ("nobody", ours, None), ("pretender", ours, Some(theirs))]
    {
        let answer = ask_with(&client_folder(&ours.join(name), authority, client), port);
        assert!(answer.contains("FAILED") && !answer.contains("ANSWER"), "{name}: {answer}");
    }
}
