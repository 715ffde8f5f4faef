//! Where the engine is: `DOCKER_HOST`, a Docker context, or the usual socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Docker;
use super::wire::{Dial, Wire};
use crate::engine::EngineError;
use crate::state::plan::Failure;

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// A way to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    /// `host:port`; `tls` when the scheme itself says so.
    Tcp {
        authority: String,
        tls: bool,
    },
}

/// What was found about where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    host: String,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem`, if TLS was asked for.
    certificates: Option<PathBuf>,
}

/// What the environment says, as a value, so that the rules can be tried without one.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    docker_host: Option<String>,
    docker_context: Option<String>,
    tls_verify: bool,
    cert_path: Option<PathBuf>,
    /// `$DOCKER_CONFIG`, else `~/.docker`.
    config: Option<PathBuf>,
}

impl Surroundings {
    fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || text("HOME").map(|home| Path::new(&home).join(".docker"));
        Self {
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            tls_verify: text("DOCKER_TLS_VERIFY").is_some(),
            cert_path: text("DOCKER_CERT_PATH").map(PathBuf::from),
            config: text("DOCKER_CONFIG").map(PathBuf::from).or_else(home),
        }
    }
}

/// Prepares the connection to an engine; nothing is sent yet, so an engine that is down is no error here.
///
/// The address is, in Docker's own order: `host`, `$DOCKER_HOST`, the context named by `$DOCKER_CONTEXT` or chosen with
/// `docker context use`, `/var/run/docker.sock`. Understood are `unix://<path>`, `tcp://<host>:<port>` and `https://...`.
/// A TCP connection uses TLS when `$DOCKER_TLS_VERIFY` or `$DOCKER_CERT_PATH` is set or the context has certificates; the
/// engine's certificate is then always verified, against `ca.pem` of the folder or else the system's authorities.
///
/// # Errors
/// `Invalid` when the address or the certificates cannot be used, with what to do about it.
pub fn connect(host: Option<&str>, owner: &str) -> Result<Docker, EngineError> {
    let around = Surroundings::from_environment();
    let endpoint = endpoint(host, &around).map_err(|text| refused("engine address", text))?;
    let address = parse(&endpoint.host).map_err(|text| refused(&endpoint.host, text))?;
    let wire = match (address, endpoint.certificates) {
        (Address::Unix(path), _) => {
            let base = format!("unix://{}", hex::encode(path.to_string_lossy().as_bytes()));
            Wire::new(Dial::unix(), base, endpoint.host)
        }
        (Address::Tcp { authority, tls: false }, None) => {
            Wire::new(Dial::tcp(), format!("http://{authority}"), endpoint.host)
        }
        (Address::Tcp { authority, .. }, folder) => {
            let config = tls(folder.as_deref()).map_err(|text| refused(&endpoint.host, text))?;
            Wire::new(Dial::tls(config), format!("https://{authority}"), endpoint.host)
        }
    };
    Docker::new(Arc::new(wire), owner)
}

fn refused(object: &str, text: String) -> EngineError {
    EngineError::new("connect", object, Failure::Invalid, text)
}

fn endpoint(host: Option<&str>, around: &Surroundings) -> Result<Endpoint, String> {
    let config = around.config.as_deref();
    let certificates = (around.tls_verify || around.cert_path.is_some())
        .then(|| around.cert_path.clone().or(around.config.clone()))
        .flatten();
    if let Some(host) = host.map(str::to_owned).or_else(|| around.docker_host.clone()) {
        return Ok(Endpoint { host, certificates });
    }
    let chosen = around.docker_context.clone().or_else(|| current_context(config));
    match (chosen, config) {
        (Some(name), Some(config)) if name != "default" => context(&name, config),
        _ => Ok(Endpoint { host: DEFAULT_HOST.to_owned(), certificates }),
    }
}

fn parse(host: &str) -> Result<Address, String> {
    let (scheme, rest) = match host.split_once("://") {
        Some(parts) => parts,
        None if host.starts_with('/') => ("unix", host),
        None => ("tcp", host),
    };
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Address::Unix(PathBuf::from(rest))),
        "unix" => Err("a unix address needs an absolute path: unix:///var/run/docker.sock".to_owned()),
        "tcp" | "http" | "https" => tcp(rest, scheme == "https"),
        "ssh" => Err("ssh is not spoken here; forward the socket yourself \
                      (ssh -L /run/remote-docker.sock:/var/run/docker.sock user@host) and name that socket"
            .to_owned()),
        other => Err(format!(
            "`{other}` is not an address that can be used; write unix://<path> or tcp://<host>:<port>"
        )),
    }
}

fn tcp(rest: &str, tls: bool) -> Result<Address, String> {
    let authority = rest.trim_end_matches('/');
    let uri: http::uri::Authority =
        authority.parse().map_err(|_| format!("`{authority}` is not <host>:<port>"))?;
    if authority.contains('@') {
        return Err("an engine's address has no user in it".to_owned());
    }
    if uri.port_u16().is_none() {
        return Err(format!("the port is missing: tcp://{authority}:2375, or :2376 with TLS"));
    }
    Ok(Address::Tcp { authority: authority.to_owned(), tls })
}

/// `docker context use` leaves its choice in the client's settings.
fn current_context(config: Option<&Path>) -> Option<String> {
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "currentContext")]
        current_context: Option<String>,
    }
    let text = std::fs::read(config?.join("config.json")).ok()?;
    let settings: Settings = serde_json::from_slice(&text).ok()?;
    settings.current_context.filter(|name| !name.is_empty())
}

/// Contexts are kept in folders named by the SHA-256 of their name.
fn context(name: &str, config: &Path) -> Result<Endpoint, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: std::collections::BTreeMap<String, MetaEndpoint>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct MetaEndpoint {
        host: Option<String>,
    }
    let folder = hex::encode(Sha256::digest(name));
    let path = config.join("contexts/meta").join(&folder).join("meta.json");
    let unusable = |why: String| {
        format!(
            "Docker's context `{name}` cannot be used ({why}); set DOCKER_HOST or choose another with `docker context use`"
        )
    };
    let text = std::fs::read(&path).map_err(|error| unusable(format!("{}: {error}", path.display())))?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    let host = meta.endpoints.get("docker").and_then(|endpoint| endpoint.host.clone());
    let certificates = config.join("contexts/tls").join(&folder).join("docker");
    Ok(Endpoint {
        host: host.ok_or_else(|| unusable("it has no Docker endpoint".to_owned()))?,
        certificates: certificates.is_dir().then_some(certificates),
    })
}

fn tls(folder: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let file = |name: &str| folder.map(|folder| folder.join(name)).filter(|path| path.exists());
    let mut roots = rustls::RootCertStore::empty();
    match file("ca.pem") {
        Some(path) => {
            for certificate in certificates(&path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    // The provider is named here, so that this does not depend on anyone having installed one for the process.
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
    match (file("cert.pem"), file("key.pem")) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(&certificate)?;
            let secret = PrivateKeyDer::from_pem_file(&key)
                .map_err(|_| format!("{} holds no private key that can be read", key.display()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| format!("{}: {error}", certificate.display()))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("of cert.pem and key.pem only one is there; a client certificate needs both".to_owned()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: String| format!("{} cannot be read as certificates: {error}", path.display());
    let list: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?.collect();
    match list {
        Ok(list) if list.is_empty() => Err(unreadable("there is none in it".to_owned())),
        Ok(list) => Ok(list),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_dockers_and_a_wrong_one_says_what_to_write() {
        let unix = |path: &str| Ok(Address::Unix(PathBuf::from(path)));
        let tcp = |authority: &str, tls| Ok(Address::Tcp { authority: authority.to_owned(), tls });
        for (text, expected) in [
            ("unix:///var/run/docker.sock", unix("/var/run/docker.sock")),
            ("/run/podman/podman.sock", unix("/run/podman/podman.sock")),
            ("tcp://10.0.0.1:2375", tcp("10.0.0.1:2375", false)),
            ("tcp://10.0.0.1:2375/", tcp("10.0.0.1:2375", false)),
            ("10.0.0.1:2375", tcp("10.0.0.1:2375", false)),
            ("tcp://[::1]:2375", tcp("[::1]:2375", false)),
            ("https://engine.example:2376", tcp("engine.example:2376", true)),
            ("unix://docker.sock", Err("absolute path")),
            ("tcp://10.0.0.1", Err("the port is missing")),
            ("tcp://user@10.0.0.1:2375", Err("no user")),
            ("tcp://10.0.0.1:2375/prefix", Err("not <host>:<port>")),
            ("ssh://user@host", Err("forward the socket")),
            ("npipe:////./pipe/docker_engine", Err("unix://<path> or tcp://<host>:<port>")),
        ] {
            match (parse(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(words)) => assert!(found.contains(words), "{text}: {found}"),
                (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn the_address_comes_from_the_flag_the_environment_the_context_or_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path();
        let meta = config.join("contexts/meta").join(hex::encode(Sha256::digest("far")));
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///far.sock","SkipTLSVerify":false}}}"#,
        )
        .unwrap();
        let bare = Surroundings { config: Some(config.to_owned()), ..Surroundings::default() };
        let host = |flag: Option<&str>, around: &Surroundings| endpoint(flag, around).map(|found| found.host);
        assert_eq!(host(None, &bare).unwrap(), DEFAULT_HOST);

        std::fs::write(config.join("config.json"), r#"{"currentContext":"far"}"#).unwrap();
        assert_eq!(host(None, &bare).unwrap(), "unix:///far.sock");

        let default = Surroundings { docker_context: Some("default".to_owned()), ..bare.clone() };
        assert_eq!(host(None, &default).unwrap(), DEFAULT_HOST);
        let gone = Surroundings { docker_context: Some("gone".to_owned()), ..bare.clone() };
        assert!(host(None, &gone).unwrap_err().contains("context `gone`"));

        let set = Surroundings { docker_host: Some("tcp://a:1".to_owned()), ..bare.clone() };
        assert_eq!(host(None, &set).unwrap(), "tcp://a:1");
        assert_eq!(host(Some("unix:///flag"), &set).unwrap(), "unix:///flag");
    }

    #[test]
    fn certificates_are_asked_for_by_the_environment_and_half_a_pair_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let around = Surroundings { cert_path: Some(folder.path().to_owned()), ..Surroundings::default() };
        assert_eq!(
            endpoint(Some("tcp://a:1"), &around).unwrap().certificates.as_deref(),
            Some(folder.path())
        );
        let verify = Surroundings { tls_verify: true, config: Some("/c".into()), ..Surroundings::default() };
        assert_eq!(endpoint(Some("tcp://a:1"), &verify).unwrap().certificates, Some("/c".into()));
        assert_eq!(endpoint(Some("tcp://a:1"), &Surroundings::default()).unwrap().certificates, None);

        std::fs::write(folder.path().join("key.pem"), "x").unwrap();
        assert!(tls(Some(folder.path())).unwrap_err().contains("only one is there"));
        std::fs::write(folder.path().join("ca.pem"), "x").unwrap();
        assert!(tls(Some(folder.path())).unwrap_err().contains("ca.pem"));
    }
}
