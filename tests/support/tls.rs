//! Certificates of the test's own, made by OpenSSL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine;

/// Says so where there is none.
pub fn has_openssl() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        machine::skip("there is no openssl to make certificates with; nothing about TLS was tested here");
    }
    there
}

fn openssl(folder: &Path, words: &str) {
    let ended = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// An authority, a server certificate for 127.0.0.1 and a client certificate: `ca`, `server`, `client`, each `.pem` and `-key.pem`.
pub fn certificates(folder: &Path) {
    fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=authority"));
    for name in ["server", "client"] {
        openssl(folder, &format!("req {key} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"));
        let authority = "-CA ca.pem -CAkey ca-key.pem -CAcreateserial";
        openssl(
            folder,
            &format!("x509 -req -in {name}.csr {authority} -out {name}.pem -days 2 -extfile ext"),
        );
    }
}

/// A folder as `DOCKER_CERT_PATH` wants it: whom to trust, and who one is.
pub fn client_folder(to: &Path, authority: &Path, client: Option<&Path>) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    fs::copy(authority.join("ca.pem"), to.join("ca.pem")).unwrap();
    if let Some(client) = client {
        fs::copy(client.join("client.pem"), to.join("cert.pem")).unwrap();
        fs::copy(client.join("client-key.pem"), to.join("key.pem")).unwrap();
    }
    to.to_owned()
}
