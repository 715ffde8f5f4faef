//! The line to registries: HTTP with TLS as the engine has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// For one question and its whole answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// A registry that cannot be connected to by then is down.
const CONNECT: Duration = Duration::from_secs(8);
/// The most that is read of an answer: a page of tags or a manifest.
pub(super) const ANSWER_CAP: usize = 4 << 20;

type Line = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One line a host, because each may have certificates of its own.
pub struct Transport {
    /// Folders of certificates by host, in Docker's layout: `<host>/*.crt`, `<host>/*.cert` with `<host>/*.key`.
    certificates: PathBuf,
    lines: Mutex<BTreeMap<String, Line>>,
}

impl Transport {
    pub fn new(certificates: PathBuf) -> Self {
        Self { certificates, lines: Mutex::default() }
    }

    /// Sends a request and reads its whole answer. `host` is whose certificates count.
    ///
    /// # Errors
    /// What happened on the way, without anything of the request's headers in it.
    pub async fn send(&self, host: &str, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String> {
        let shown = shown(request.uri());
        self.post(host, request).await.map_err(|why| format!("{shown}: {why}"))
    }

    /// The same for an address that is nobody's business.
    ///
    /// # Errors
    /// What happened on the way, without the address.
    pub async fn post(&self, host: &str, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String> {
        let line = self.line(host)?;
        let exchange = async {
            let answer = line.request(request).await.map_err(|error| whole(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_CAP).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no whole answer within {} s", DEADLINE.as_secs())),
        }
    }

    fn line(&self, host: &str) -> Result<Line, String> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(host) {
            return Ok(line.clone());
        }
        let config = tls(&self.certificates.join(host))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnector::from((http, config));
        let line: Line = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(10))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        lines.insert(host.to_owned(), line.clone());
        Ok(line)
    }

    /// Certificates are read anew.
    pub fn forget(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// An address for people: without the query, which may hold what is nobody's business.
fn shown(uri: &Uri) -> String {
    format!(
        "{}://{}{}",
        uri.scheme_str().unwrap_or("https"),
        uri.authority().map_or("", |a| a.as_str()),
        uri.path()
    )
}

/// An error with its causes: the outermost alone says only that there was one.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The system's authorities and those in the folder; a client certificate if there is one.
fn tls(folder: &Path) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in files(folder, "crt") {
        for certificate in certificates(&path)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
    let Some(own) = files(folder, "cert").into_iter().next() else {
        return Ok(builder.with_no_client_auth());
    };
    let key = own.with_extension("key");
    let secret = PrivateKeyDer::from_pem_file(&key)
        .map_err(|_| format!("{} is there, and {} holds no private key", own.display(), key.display()))?;
    builder
        .with_client_auth_cert(certificates(&own)?, secret)
        .map_err(|error| format!("{}: {error}", own.display()))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable =
        |error: &dyn std::fmt::Display| format!("{} cannot be read as certificates: {error}", path.display());
    let list: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?.collect();
    list.map_err(|error| unreadable(&error))
}
