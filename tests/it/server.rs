//! The HTTP server: what each path answers, who may order, and that no client can hurt it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use evenkeel::desired::ident::ServiceId;
use evenkeel::metrics::Metrics;
use evenkeel::metrics::api::{
    Accepted, Api, ApiError, ApiErrorKind, Command, HistoryRow, HookRow, HostStatus, RevisionRow,
    StatusReport, WhyReport,
};
use evenkeel::metrics::client::{Client, ClientError};
use evenkeel::metrics::server::{BindError, Server};
use evenkeel::state::condition::{Condition, ConditionKind, ServiceStatus};
use evenkeel::state::record::{HistoryEvent, RevisionVerdict};
use evenkeel::state::time::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

/// A controller that knows one service and writes down what it is told.
#[derive(Default)]
struct Fake {
    told: Mutex<Vec<String>>,
    unready: bool,
}

pub fn web_status() -> ServiceStatus {
    ServiceStatus {
        service: "shop/web".to_owned(),
        condition: Condition::new(ConditionKind::RolledBack, "GateFailed", "exited with 1"),
        since: Timestamp(1_000),
        desired_replicas: 1,
        running: 1,
        ready: 1,
        image: "nginx:1".to_owned(),
        revision: Some("aaaaaaaa".to_owned()),
        revision_number: Some(1),
        rejected: Some("bbbbbbbb".to_owned()),
        awaiting: None,
        order: "stop-first".to_owned(),
        commit: None,
        source: "shop/web.toml:3".to_owned(),
        containers: Vec::new(),
        next_look_ms: None,
    }
}

fn failed_hook() -> HookRow {
    HookRow {
        hook: "pre_start 1".to_owned(),
        revision: "bbbbbbbb".to_owned(),
        container: None,
        began: Timestamp(1),
        told: "pre_start 1 ended with 1".to_owned(),
        output: Some("password=hunter2".to_owned()),
    }
}

fn rejected() -> RevisionRow {
    RevisionRow {
        number: 2,
        id: "bbbbbbbb".to_owned(),
        image: "nginx:2".to_owned(),
        image_id: "cccccccccccc".to_owned(),
        digest: None,
        good: false,
        verdict: RevisionVerdict::Rejected { reason: "exited with 1".to_owned(), at: Timestamp(2_000) },
        cause: "shop/web.toml:3 changed image".to_owned(),
        commit: None,
        source: "shop/web.toml:3".to_owned(),
        since: Timestamp(1_500),
        good_since: None,
        evidence: Some("password=hunter2".to_owned()),
    }
}

#[async_trait]
impl Api for Fake {
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }
    fn ready(&self) -> Result<(), String> {
        if self.unready { Err("the engine does not answer".to_owned()) } else { Ok(()) }
    }
    fn status(&self) -> StatusReport {
        let host = HostStatus { instance: "test".to_owned(), ..HostStatus::default() };
        StatusReport { host, services: vec![web_status()] }
    }
    async fn why(&self, service: &ServiceId) -> Result<WhyReport, ApiError> {
        if service.to_string() != "shop/web" {
            return Err(ApiError::new(ApiErrorKind::NotFound, format!("there is no service {service}")));
        }
        Ok(WhyReport {
            status: web_status(),
            last_change: None,
            hold: None,
            awaiting: None,
            hooks: vec![failed_hook()],
            revisions: vec![rejected()],
            unsettled: Vec::new(),
            problems: Vec::new(),
        })
    }
    async fn history(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<HistoryRow>, ApiError> {
        self.told.lock().unwrap().push(format!("history {service:?} {limit}"));
        Ok(vec![HistoryRow {
            service: "shop/web".to_owned(),
            at: Timestamp(1),
            event: HistoryEvent::Committed,
            revision: None,
            number: None,
            image: "nginx:1".to_owned(),
            commit: None,
            reason: String::new(),
        }])
    }
    async fn command(&self, service: &ServiceId, command: Command) -> Result<Accepted, ApiError> {
        self.told.lock().unwrap().push(format!("{service} {command:?}"));
        Ok(Accepted { message: "taken".to_owned() })
    }
    async fn approve(&self, token: &str) -> Result<Accepted, ApiError> {
        if token == "abc" {
            Ok(Accepted { message: "agreed".to_owned() })
        } else {
            Err(ApiError::new(ApiErrorKind::NotFound, "nothing waits under this token"))
        }
    }
    async fn sync(&self) -> Result<Accepted, ApiError> {
        self.told.lock().unwrap().push("sync".to_owned());
        Ok(Accepted::default())
    }
}

struct Running {
    address: std::net::SocketAddr,
    socket: PathBuf,
    api: Arc<Fake>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _dir: TempDir,
}

async fn start(unready: bool) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("state/evenkeel.sock");
    let server = Server::bind(Some(([127, 0, 0, 1], 0).into()), Some(&socket)).await.unwrap();
    let address = server.address().unwrap();
    let api = Arc::new(Fake { unready, ..Fake::default() });
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::new().unwrap());
    let task = tokio::spawn(server.serve(Arc::clone(&api) as Arc<dyn Api>, metrics, stop.clone()));
    Running { address, socket, api, stop, task, _dir: dir }
}

/// Status code, headers in lower case, body.
async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> (u16, String, String) {
    // The server may answer and hang up before it has read all of it.
    let _cut = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl Running {
    async fn tcp(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        speak(TcpStream::connect(self.address).await.unwrap(), &request(method, path, body)).await
    }
    async fn unix(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        speak(UnixStream::connect(&self.socket).await.unwrap(), &request(method, path, body)).await
    }
}

#[tokio::test]
async fn every_path_answers_by_method_and_listener() {
    let server = start(false).await;
    // (method, path, over tcp, over the socket)
    let table = [
        ("GET", "/", 200, 200),
        ("GET", "/metrics", 200, 200),
        ("GET", "/healthz", 200, 200),
        ("GET", "/readyz", 200, 200),
        ("GET", "/v1/status", 200, 200),
        ("GET", "/v1/services/shop/web", 200, 200),
        ("GET", "/v1/services/shop/nosuch", 404, 404),
        ("GET", "/v1/services/shop/..", 404, 404),
        ("GET", "/v1/services/shop/we%20b", 404, 404),
        ("GET", "/v1/services/shop", 404, 404),
        ("GET", "/v1/history", 200, 200),
        ("GET", "/v1/history?service=shop/web&limit=3", 200, 200),
        ("GET", "/v1/history?service=shop%2Fweb", 200, 200),
        ("GET", "/v1/history?limit=0", 400, 400),
        ("GET", "/v1/history?limit=x", 400, 400),
        ("GET", "/v1/history?color=red", 400, 400),
        ("GET", "/metrics/", 404, 404),
        ("GET", "/nothing", 404, 404),
        ("POST", "/metrics", 405, 405),
        ("DELETE", "/v1/status", 405, 405),
        ("GET", "/v1/sync", 405, 405),
        ("PUT", "/v1/services/shop/web/retry", 405, 405),
        ("POST", "/v1/services/shop/web/explode", 404, 404),
        ("POST", "/v1/services/shop/web/retry", 403, 200),
        ("POST", "/v1/services/shop/web/rollback", 403, 200),
        ("POST", "/v1/services/shop/web/hold", 403, 200),
        ("POST", "/v1/services/shop/web/release", 403, 200),
        ("POST", "/v1/approve", 403, 400),
        ("POST", "/v1/sync", 403, 200),
    ];
    for (method, path, tcp, unix) in table {
        let (status, head, body) = server.tcp(method, path, "").await;
        assert_eq!(status, tcp, "{method} {path} over tcp: {body}");
        assert!(head.contains("cache-control: no-store"), "{method} {path}: {head}");
        assert_eq!(head.contains("allow: "), status == 405, "{method} {path}: {head}");
        if status >= 400 {
            let error: ApiError = serde_json::from_str(&body).unwrap();
            assert!(!error.message.is_empty(), "{method} {path}");
        }
        assert_eq!(server.unix(method, path, "").await.0, unix, "{method} {path} over the socket");
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let server = start(false).await;
    for path in ["/metrics", "/healthz", "/v1/status"] {
        let (status, head, body) = server.tcp("HEAD", path, "").await;
        assert_eq!((status, body.as_str()), (200, ""), "{path}");
        assert!(head.contains("content-type: ") && !head.contains("content-length: 0"), "{path}: {head}");
    }
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format() {
    let server = start(false).await;
    let (_, head, body) = server.tcp("GET", "/metrics", "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("\nevenkeel_build_info{"), "{body}");
}

#[tokio::test]
async fn a_controller_that_is_not_ready_says_why() {
    let server = start(true).await;
    let (status, _, body) = server.tcp("GET", "/readyz", "").await;
    assert_eq!((status, body.as_str()), (503, "the engine does not answer\n"));
    assert_eq!(server.tcp("GET", "/healthz", "").await.0, 200);
}

#[tokio::test]
async fn log_lines_leave_by_the_local_socket_only() {
    let server = start(false).await;
    let path = "/v1/services/shop/web";
    assert!(!server.tcp("GET", path, "").await.2.contains("hunter2"));
    assert!(server.unix("GET", path, "").await.2.contains("hunter2"));
}

#[tokio::test]
async fn an_order_over_the_network_reaches_nobody() {
    let server = start(false).await;
    for verb in ["retry", "rollback", "hold", "release"] {
        server.tcp("POST", &format!("/v1/services/shop/web/{verb}"), "{}").await;
    }
    server.tcp("POST", "/v1/sync", "").await;
    assert_eq!(*server.api.told.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused() {
    let server = start(false).await;
    let table = [
        ("/v1/services/shop/web/hold", "{\"mesage\":\"x\"}", 400),
        ("/v1/services/shop/web/hold", "[]", 400),
        ("/v1/services/shop/web/rollback", "{\"to\":3}", 400),
        ("/v1/approve", "{\"token\":\"abc\"}", 200),
        ("/v1/approve", "{\"token\":\"old\"}", 404),
        ("/v1/approve", "not json", 400),
    ];
    for (path, body, expected) in table {
        assert_eq!(server.unix("POST", path, body).await.0, expected, "{path} {body}");
    }
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let server = start(false).await;
    let body = format!("{{\"message\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(server.unix("POST", "/v1/services/shop/web/hold", &body).await.0, 413);
    let header = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(64_000));
    let (status, _, _) = speak(TcpStream::connect(server.address).await.unwrap(), header.as_bytes()).await;
    assert_eq!(status, 431);
    let garbage =
        speak(TcpStream::connect(server.address).await.unwrap(), b"\x16\x03\x01\x00 hello\r\n\r\n").await;
    assert_eq!(garbage.0, 400);
    assert_eq!(server.tcp("GET", "/healthz", "").await.0, 200, "it goes on serving");
}

#[tokio::test]
async fn a_slow_client_is_cut_off_and_keeps_nobody_waiting() {
    let server = start(false).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /metrics HTT").await.unwrap();
    assert_eq!(server.tcp("GET", "/healthz", "").await.0, 200, "others are served meanwhile");
    // From here on nothing but the deadline moves the clock.
    tokio::time::pause();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(60), slow.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection is still open after a minute");
}

#[tokio::test]
async fn a_taken_port_is_an_error_at_start_that_says_what_to_do() {
    let server = start(false).await;
    let error = Server::bind(Some(server.address), None).await.err().unwrap().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_goes_with_the_daemon() {
    let server = start(false).await;
    let mode = std::fs::metadata(&server.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Server::bind(None, Some(&server.socket)).await.err().unwrap();
    assert!(matches!(second, BindError::Taken { .. }), "{second}");
    server.stop.cancel();
    server.task.await.unwrap();
    assert!(!server.socket.exists());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let stale = dir.path().join("a.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let server = Server::bind(None, Some(&stale)).await.unwrap();
    assert!(UnixStream::connect(&stale).await.is_ok());
    drop(server);
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "precious").unwrap();
    let error = Server::bind(None, Some(&file)).await.err().unwrap().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let long = dir.path().join("x".repeat(120));
    let error = Server::bind(None, Some(&long)).await.err().unwrap().to_string();
    assert!(error.contains("--socket"), "{error}");
}

#[tokio::test]
async fn an_answer_under_way_survives_the_shutdown() {
    let server = start(false).await;
    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0_u8; 12];
    open.read_exact(&mut first).await.unwrap();
    server.stop.cancel();
    let mut rest = String::new();
    open.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("shop/web"), "{rest}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_client_speaks_what_the_server_understands() {
    let server = start(false).await;
    let client = Client::find(&server.socket).await.unwrap().unwrap();
    let web = ServiceId::new("shop", "web").unwrap();
    assert_eq!(client.status().await.unwrap().services, vec![web_status()]);
    assert_eq!(client.why(&web).await.unwrap().revisions, vec![rejected()]);
    assert_eq!(client.history(Some(&web), 7).await.unwrap().len(), 1);
    let hold = Command::Hold { message: Some("black friday".to_owned()), for_ms: Some(60_000) };
    let rollback = Command::Rollback { to: Some("r1".to_owned()) };
    for command in [&hold, &rollback, &Command::Retry, &Command::Release] {
        assert_eq!(client.command(&web, command).await.unwrap().message, "taken");
    }
    client.sync().await.unwrap();
    assert_eq!(client.approve("abc").await.unwrap().message, "agreed");
    let refused = client.approve("old").await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused(error) if error.kind == ApiErrorKind::NotFound),
        "{refused}"
    );
    let told = server.api.told.lock().unwrap().clone();
    assert!(told[0].ends_with("7"), "{told:?}");
    let orders: Vec<String> = [hold, rollback, Command::Retry, Command::Release]
        .iter()
        .map(|c| format!("shop/web {c:?}"))
        .collect();
    assert_eq!(told[1..5], orders[..]);
    assert_eq!(told[5], "sync");
}

#[tokio::test]
async fn no_daemon_is_an_answer_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Client::find(&dir.path().join("none.sock")).await.unwrap().is_none());
    let stale = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(Client::find(&stale).await.unwrap().is_none());
}
