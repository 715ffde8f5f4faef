//! An engine that misbehaves: it stalls, hangs up, cuts its answers short, refuses versions, speaks words no one knows.
//!
//! It is a socket with a script behind it, so these need no engine. Time is paused: a deadline of minutes passes at once.

use std::path::Path;
use std::sync::{Arc, Mutex};

use evenkeel::desired::secret::Sensitive;
use evenkeel::engine::docker::{Docker, connect};
use evenkeel::engine::registry::{Login, RegistryAuth};
use evenkeel::engine::{ContainerFilter, Engine, EngineError, Observe};
use evenkeel::state::observed::{ContainerId, ContainerStatus};
use evenkeel::state::plan::Failure;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// How the engine answers one request.
#[derive(Debug, Clone)]
enum Answer {
    /// Status and body.
    Whole(u16, String),
    /// Status, and a body that never comes.
    Stalled(u16),
    /// Status, a body cut off, and the line too.
    Cut(u16, String),
    /// Takes the request and hangs up.
    HangUp,
    /// Takes the request and says nothing.
    Silent,
}

type Script = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// The engine, and the request heads it has seen.
struct Fake {
    docker: Docker,
    heads: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Fake {
    /// Answers as the script says; what it leaves open as an engine of `version` would.
    fn new(version: &'static str, script: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let (heads, script): (Arc<Mutex<Vec<String>>>, Script) = (Arc::default(), Arc::new(script));
        let listener = UnixListener::bind(&path).unwrap();
        let noted = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, version, Arc::clone(&script), Arc::clone(&noted)));
            }
        });
        Self { docker: docker_at(&path), heads, _folder: folder }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn docker_at(path: &Path) -> Docker {
    connect(Some(&format!("unix://{}", path.display())), "me").unwrap()
}

async fn serve(mut stream: UnixStream, version: &str, script: Script, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0; 512];
        match stream.read(&mut byte).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&byte[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap().push(head.clone());
    let line = head.lines().next().unwrap_or_default().to_owned();
    let usual = || match line.as_str() {
        _ if line.starts_with("GET /version") => Answer::Whole(
            200,
            format!(r#"{{"Version":"1","ApiVersion":"{version}","MinAPIVersion":"1.12"}}"#),
        ),
        _ if line.contains("/_ping") => Answer::Whole(200, "OK".to_owned()),
        _ => Answer::Whole(404, r#"{"message":"No such container: x"}"#.to_owned()),
    };
    let date = "Date: Sun, 22 Nov 2026 06:00:00 GMT\r\n";
    match script(&line).unwrap_or_else(usual) {
        Answer::Whole(status, body) => {
            let text = format!("HTTP/1.1 {status} X\r\n{date}Content-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Answer::Stalled(status) => {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\n{{");
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Answer::Cut(status, body) => {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 100);
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Answer::HangUp => {}
        Answer::Silent => std::future::pending::<()>().await,
    }
}

fn id() -> ContainerId {
    ContainerId("5f".repeat(32))
}

/// Answers every request whose first line contains the words.
fn on(words: &'static str, answer: Answer) -> impl Fn(&str) -> Option<Answer> + Send + Sync + 'static {
    move |line| line.contains(words).then(|| answer.clone())
}

fn kind<T>(answer: Result<T, EngineError>) -> Failure {
    match answer {
        Ok(_) => panic!("it was no failure"),
        Err(error) => error.kind,
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_too_old_is_asked_who_it_is_and_nothing_else() {
    let fake = Fake::new("1.40", on("/info", Answer::Whole(200, r#"{"ID":"old"}"#.to_owned())));
    assert_eq!(fake.docker.facts().await.unwrap().api, (1, 40), "doctor tells what it is");
    let error = fake.docker.list_containers(&ContainerFilter::default()).await.unwrap_err();
    assert_eq!(error.kind, Failure::Unreachable);
    assert!(error.message.contains("1.40") && error.message.contains("upgrade the engine"), "{error}");
    assert_eq!(kind(fake.docker.start(&id()).await), Failure::Unreachable);
    assert_eq!(kind(fake.docker.events().await.map(drop)), Failure::Unreachable);
    let asked = |words: &str| fake.heads().iter().any(|head| head.contains(words));
    assert!(asked("/info") && !asked("/containers") && !asked("/events"), "{:?}", fake.heads());
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_unknown_and_one_that_never_left_is_not() {
    for answer in [Answer::HangUp, Answer::Silent] {
        let fake = Fake::new("1.41", on("POST", answer.clone()));
        assert_eq!(kind(fake.docker.start(&id()).await), Failure::Unknown, "{answer:?}");
        assert_eq!(kind(fake.docker.stop(&id(), Some(5)).await), Failure::Unknown, "{answer:?}");
        assert_eq!(kind(fake.docker.rename(&id(), "b").await), Failure::Unknown, "{answer:?}");
    }
    for answer in [Answer::HangUp, Answer::Silent, Answer::Stalled(200), Answer::Whole(200, "{}".to_owned())]
    {
        let fake = Fake::new("1.41", on("GET /version", answer.clone()));
        assert_eq!(kind(fake.docker.start(&id()).await), Failure::Unreachable, "{answer:?}");
        assert!(!fake.heads().iter().any(|head| head.starts_with("POST")), "{answer:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = docker_at(&folder.path().join("none.sock"));
    assert_eq!(kind(missing.start(&id()).await), Failure::Unreachable);
    assert_eq!(kind(missing.inspect(&id()).await), Failure::Unreachable);
    assert_eq!(kind(missing.facts().await), Failure::Unreachable);
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert_eq!(kind(docker_at(&dead).start(&id()).await), Failure::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn no_read_hangs_and_none_takes_a_failure_for_absence() {
    let odd = "page not found".to_owned();
    for (answer, expected) in [
        (Answer::Silent, Failure::Unknown),
        (Answer::Stalled(200), Failure::Unknown),
        (Answer::Stalled(404), Failure::Unknown),
        (Answer::HangUp, Failure::Unreachable),
        (Answer::Cut(200, "{\"Id\":".to_owned()), Failure::Unreachable),
        (Answer::Whole(200, "{\"Id\":".to_owned()), Failure::Internal),
        (Answer::Whole(200, "[]".to_owned()), Failure::Internal),
        (Answer::Whole(404, odd), Failure::Internal),
        (Answer::Whole(503, String::new()), Failure::Unreachable),
        (Answer::Whole(500, "{\"message\":\"broken\"}".to_owned()), Failure::Internal),
    ] {
        let fake = Fake::new("1.41", on("/containers/", answer.clone()));
        assert_eq!(kind(fake.docker.inspect(&id()).await), expected, "{answer:?}");
    }
    let fake = Fake::new("1.41", |_| None);
    assert_eq!(fake.docker.inspect(&id()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_stop_is_its_grace_and_half_a_minute() {
    let fake = Fake::new("1.41", on("/stop", Answer::Silent));
    fake.docker.facts().await.unwrap_err();
    let before = tokio::time::Instant::now();
    assert_eq!(kind(fake.docker.stop(&id(), Some(600)).await), Failure::Unknown);
    let took = before.elapsed().as_secs();
    assert!((630..=640).contains(&took), "{took}");
    assert!(fake.heads().iter().any(|head| head.contains("t=600")));
}

#[tokio::test(start_paused = true)]
async fn the_version_spoken_is_in_every_path_and_asked_anew_when_refused() {
    let fake = Fake::new("1.60", on("/containers/json", Answer::Whole(200, "[]".to_owned())));
    fake.docker.list_containers(&ContainerFilter::default()).await.unwrap();
    kind(fake.docker.start(&id()).await);
    let lines: Vec<String> =
        fake.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("/version")).count(), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("/version") || line.contains(" /v1.51/")), "{lines:?}");

    let refusal = r#"{"message":"client version 1.41 is too old. Minimum supported API version is 1.44"}"#;
    let fake = Fake::new("1.41", on("/start", Answer::Whole(400, refusal.to_owned())));
    for _ in 0..2 {
        assert_eq!(kind(fake.docker.start(&id()).await), Failure::Unreachable, "nothing was done");
    }
    let asked = fake.heads().iter().filter(|head| head.starts_with("GET /version")).count();
    assert_eq!(asked, 2);
}

#[tokio::test(start_paused = true)]
async fn words_that_no_one_knows_do_not_lose_a_list() {
    let list = r#"[{"Id":"a","Names":["/x"],"State":"hibernating","Labels":null,"Ports":null,"New":[1]},
        {"Id":"b","Names":null,"State":"stopped"}]"#;
    let fake = Fake::new("1.41", on("/containers/json", Answer::Whole(200, list.to_owned())));
    let rows = fake.docker.list_containers(&ContainerFilter::default()).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.id.0.as_str(), row.status)).collect();
    assert_eq!(found, [("a", ContainerStatus::Running), ("b", ContainerStatus::Exited)]);
}

#[tokio::test(start_paused = true)]
async fn odd_lines_do_not_end_the_events_and_a_lost_connection_does() {
    let event = |name: &str| {
        format!(r#"{{"Type":"container","Action":"die","Actor":{{"ID":"{name}","Attributes":{{}}}}}}"#)
    };
    let body = format!("{}\nnot json\n{{\"Type\":\"galaxy\"}}\n{}\n{{\"Type\":", event("a"), event("b"));
    let fake = Fake::new("1.41", on("/events", Answer::Cut(200, body)));
    let events: Vec<_> = fake.docker.events().await.unwrap().collect().await;
    let found: Vec<_> =
        events.iter().map(|item| item.as_ref().map(|e| e.object.clone()).map_err(|e| e.kind)).collect();
    assert_eq!(found, [Ok("a".to_owned()), Ok("b".to_owned()), Err(Failure::Unreachable)]);
    let request = fake.heads().into_iter().find(|head| head.contains("/events")).unwrap();
    assert!(request.contains("since=1795327200"), "the engine's own second: {request}");

    let fake = Fake::new("1.41", on("/events", Answer::Whole(500, String::new())));
    assert_eq!(kind(fake.docker.events().await.map(|_| ())), Failure::Internal);
}

struct OneLogin;

#[async_trait::async_trait]
impl RegistryAuth for OneLogin {
    async fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        assert_eq!(registry, "registry.example:5000");
        // In base64 this text has both letters that the two alphabets do not share.
        Ok(Some(Login::Password { user: "me".to_owned(), password: Sensitive::new("a?>~~??>>~ÿÿ") }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_arrives_in_the_alphabet_that_the_engine_reads() {
    let fake = Fake::new("1.41", on("/images/create", Answer::Whole(200, String::new())));
    let docker = fake.docker.clone().with_logins(Arc::new(OneLogin));
    let error = docker.pull("registry.example:5000/web:1", None, &|_| {}).await.unwrap_err();
    assert!(!error.to_string().contains("a?>"), "{error}");
    let head =
        fake.heads().into_iter().find(|head| head.contains("/images/create")).unwrap().to_ascii_lowercase();
    let login = head.lines().find(|line| line.starts_with("x-registry-auth: ")).unwrap();
    assert!(!login.contains(['+', '/']) && login.contains(['-', '_']), "{login}");
    assert!(head.contains("fromimage=registry.example%3a5000%2fweb%3a1"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_no_success_before_the_image_is_there_and_an_error_in_its_stream_is_one() {
    let progress = r#"{"status":"Pulling","id":"layer","progressDetail":{"current":1,"total":2}}"#;
    for (body, expected) in [
        (progress.to_owned(), Failure::Registry),
        (
            format!(
                "{progress}\n{{\"errorDetail\":{{\"message\":\"unauthorized: no\"}},\"error\":\"unauthorized: no\"}}\n"
            ),
            Failure::Unauthorized,
        ),
        (
            "{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"x\"}\n".to_owned(),
            Failure::NoSpace,
        ),
    ] {
        let script = move |line: &str| match line {
            _ if line.contains("/images/create") => Some(Answer::Whole(200, body.clone())),
            _ if line.contains("/images/") => {
                Some(Answer::Whole(404, r#"{"message":"No such image: web:1"}"#.into()))
            }
            _ => None,
        };
        let fake = Fake::new("1.41", script);
        assert_eq!(kind(fake.docker.pull("registry.example/web:1", None, &|_| {}).await), expected);
    }
    let fake = Fake::new("1.41", on("/images/create", Answer::Stalled(200)));
    let before = tokio::time::Instant::now();
    assert_eq!(kind(fake.docker.pull("registry.example/web:1", None, &|_| {}).await), Failure::Registry);
    assert!((60..70).contains(&before.elapsed().as_secs()));
}
