//! Asking registries: Debian's on loopback, plain, with a password and over TLS, and one of the test's own that says whatever the test wants.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use async_trait::async_trait;
use evenkeel::desired::secret::Sensitive;
use evenkeel::engine::registry::{Login, RegistryAuth};
use evenkeel::images::registry::{Client, Found, Platform, Repository, Settings, Trouble};
use sha2::{Digest, Sha256};

use crate::support::Host;
use crate::support::docker::docker;
use crate::support::registry::{PASSWORD, Registry, USER};
use crate::support::tls;

/// Logins by registry.
#[derive(Default)]
struct Logins(BTreeMap<String, Login>);

#[async_trait]
impl RegistryAuth for Logins {
    async fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        Ok(self.0.get(registry).cloned())
    }
}

fn password(user: &str, password: &str) -> Login {
    Login::Password { user: user.to_owned(), password: Sensitive::new(password) }
}

fn client(logins: &[(&str, Login)], certificates: &Path) -> Client {
    let logins = logins.iter().map(|(registry, login)| ((*registry).to_owned(), login.clone())).collect();
    let settings = Settings { plain_http: Vec::new(), certificates: certificates.to_owned() };
    Client::new(settings, Arc::new(Logins(logins)))
}

fn anonymous() -> Client {
    client(&[], Path::new("/nonexistent"))
}

/// One request, as the registry of the test's own got it.
#[derive(Debug, Clone)]
struct Asked {
    /// `GET /v2/...`
    what: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// Status, headers, body; a body may be announced longer than it is.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: Option<usize>,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into(), announced: None }
}

impl Answer {
    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A registry that answers what the test says. Its requests are kept.
struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    fn new(script: impl Fn(&Asked, u16) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = read(&stream) else { continue };
                if !request.what.ends_with(" /v2/") {
                    kept.lock().unwrap().push(request.clone());
                }
                write(stream, &request, &script(&request, port));
            }
        });
        Self { port, asked }
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn repository(&self) -> Repository {
        Repository::of(&format!("127.0.0.1:{}/acme/web", self.port)).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// `None`: not HTTP, as the first bytes of TLS.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let what = line.strip_suffix(" HTTP/1.1\r\n")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut lines, &mut body).ok()?;
    Some(Asked { what, headers, body: String::from_utf8(body).ok()? })
}

fn write(mut stream: TcpStream, request: &Asked, answer: &Answer) {
    let length = answer.announced.unwrap_or(answer.body.len());
    let mut head =
        format!("HTTP/1.1 {} x\r\nContent-Length: {length}\r\nConnection: close\r\n", answer.status);
    answer.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    if !request.what.starts_with("HEAD") {
        let _ = stream.write_all(&answer.body);
    }
}

fn digest(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

#[tokio::test]
async fn a_real_registry_plain_locked_and_over_tls() {
    let Some(host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(mut registry) = Registry::start(folder.path()) else { return };
    let mut digests = BTreeMap::new();
    for tag in ["1.0", "1.1", "latest"] {
        let reference = registry.reference(&format!("acme/web:{tag}"));
        let version = if tag == "latest" { "1.1" } else { tag };
        host.image_named(&reference, version, &[], &[]);
        docker(&["push", "--quiet", &reference]);
        let pushed = docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &reference]);
        digests.insert(tag, pushed.trim().split_once('@').unwrap().1.to_owned());
        docker(&["image", "rm", &reference]);
    }
    let repository = Repository::of(&registry.reference("acme/web")).unwrap();
    let amd64 = Platform::read("linux/amd64").unwrap();

    let nowhere = Repository::of(&registry.reference("acme/nothing")).unwrap();

    let check = async |client: &Client| {
        let mut tags = client.tags(&repository).await.unwrap();
        tags.sort();
        assert_eq!(tags, ["1.0", "1.1", "latest"]);
        for (tag, digest) in &digests {
            let plain = Found { digest: digest.clone(), image: None };
            assert_eq!(client.find(&repository, tag, None).await.unwrap(), plain);
            // One image and no index: there is nothing to choose.
            assert_eq!(client.find(&repository, tag, Some(&amd64)).await.unwrap(), plain);
        }
        let missing = client.find(&repository, "9.9", None).await.unwrap_err();
        assert_eq!(missing.trouble, Trouble::NotFound, "{missing}");
        assert_eq!(client.tags(&nowhere).await.unwrap_err().trouble, Trouble::NotFound);
    };
    check(&anonymous()).await;

    registry.lock();
    let refused = anonymous().tags(&repository).await.unwrap_err();
    assert_eq!(refused.trouble, Trouble::Unauthorized);
    assert!(refused.message.contains("docker login"), "{refused}");
    let wrong = client(&[(&registry.name(), password(USER, "wrong"))], folder.path());
    assert_eq!(wrong.tags(&repository).await.unwrap_err().trouble, Trouble::Unauthorized);
    let knows = [(registry.name(), password(USER, PASSWORD))];
    let knows: Vec<(&str, Login)> =
        knows.iter().map(|(name, login)| (name.as_str(), login.clone())).collect();
    check(&client(&knows, folder.path())).await;

    if !tls::has_openssl() {
        return;
    }
    let authority = folder.path().join("authority");
    fs::create_dir_all(&authority).unwrap();
    tls::certificates(&authority);
    registry.over_tls(&authority);
    // Whose authority nobody knows is not believed.
    let stranger = client(&knows, folder.path()).tags(&repository).await.unwrap_err();
    assert_eq!(stranger.trouble, Trouble::Unavailable, "{stranger:?}");
    assert!(stranger.message.contains("certificate"), "{stranger:?}");
    let trusted = folder.path().join("certs.d").join(registry.name());
    fs::create_dir_all(&trusted).unwrap();
    fs::copy(authority.join("ca.pem"), trusted.join("ca.crt")).unwrap();
    check(&client(&knows, &folder.path().join("certs.d"))).await;

    registry.down();
    let down = client(&knows, &folder.path().join("certs.d")).tags(&repository).await.unwrap_err();
    assert_eq!(down.trouble, Trouble::Unavailable, "{down}");
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end_or_not_at_all() {
    let pages = Scripted::new(|asked, port| {
        let page = |tags: &str| answer(200, format!(r#"{{"name":"acme/web","tags":[{tags}]}}"#));
        match asked.what.as_str() {
            "GET /v2/acme/web/tags/list?n=1000" => {
                page(r#""1.0","1.1""#).with("Link", "</v2/acme/web/tags/list?n=2&last=1.1>; rel=\"next\"")
            }
            "GET /v2/acme/web/tags/list?n=2&last=1.1" => page(r#""1.2","../x","""#).with(
                "Link",
                format!("<http://127.0.0.1:{port}/v2/acme/web/tags/list?n=2&last=1.2>; rel=\"next\""),
            ),
            "GET /v2/acme/web/tags/list?n=2&last=1.2" => page(r#""1.3""#),
            _ => answer(404, ""),
        }
    });
    let tags = anonymous().tags(&pages.repository()).await.unwrap();
    assert_eq!(tags, ["1.0", "1.1", "1.2", "1.3"], "what is no tag is left out");

    let cut = Scripted::new(|asked, _| {
        if asked.what.contains("last") {
            return Answer { announced: Some(500), ..answer(200, r#"{"tags":["1.1""#) };
        }
        answer(200, r#"{"tags":["1.0"]}"#).with("Link", "</v2/acme/web/tags/list?last=1.0>; rel=\"next\"")
    });
    assert_eq!(anonymous().tags(&cut.repository()).await.unwrap_err().trouble, Trouble::Unavailable);

    let circle = Scripted::new(|_, _| {
        answer(200, r#"{"tags":[]}"#).with("Link", "</v2/acme/web/tags/list?last=x>; rel=\"next\"")
    });
    assert_eq!(anonymous().tags(&circle.repository()).await.unwrap_err().trouble, Trouble::Invalid);
    let empty = Scripted::new(|_, _| answer(200, r#"{"name":"acme/web","tags":null}"#));
    assert_eq!(anonymous().tags(&empty.repository()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_is_fetched_once_and_only_the_registry_gets_it() {
    for identity in [false, true] {
        let registry = Scripted::new(move |asked, port| {
            if asked.what.contains("/token") {
                let right = if identity {
                    asked.what == "POST /token"
                        && asked.body.contains("grant_type=refresh_token")
                        && asked.body.ends_with("refresh_token=canary%2D5d1")
                } else {
                    // someone:canary-5d1
                    asked.header("authorization") == "Basic c29tZW9uZTpjYW5hcnktNWQx"
                        && asked.what.contains("scope=repository%3Aacme%2Fweb%3Apull")
                        && asked.what.contains("service=reg")
                };
                return if right {
                    answer(200, r#"{"access_token":"t0k","expires_in":300}"#)
                } else {
                    answer(401, "")
                };
            }
            if asked.header("authorization") != "Bearer t0k" {
                let challenge = format!(
                    "Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"reg\",scope=\"repository:acme/web:pull\""
                );
                return answer(401, "").with("WWW-Authenticate", challenge);
            }
            if asked.what.contains("/manifests/moved") {
                return answer(307, "").with("Location", format!("http://localhost:{port}/elsewhere"));
            }
            answer(200, r#"{"tags":["1.0"]}"#)
        });
        let login = if identity {
            Login::IdentityToken(Sensitive::new("canary-5d1"))
        } else {
            password("someone", "canary-5d1")
        };
        let client = client(&[(&registry.name(), login)], Path::new("/nonexistent"));
        for _ in 0..3 {
            client.tags(&registry.repository()).await.unwrap();
        }
        let asked = registry.asked();
        assert_eq!(asked.iter().filter(|asked| asked.what.contains("/token")).count(), 1, "{asked:?}");
        let _ = client.find(&registry.repository(), "moved", None).await;
        let elsewhere: Vec<Asked> =
            registry.asked().into_iter().filter(|asked| asked.what.contains("/elsewhere")).collect();
        assert!(!elsewhere.is_empty());
        assert!(elsewhere.iter().all(|asked| asked.header("authorization").is_empty()), "{elsewhere:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart_and_tells_no_secret() {
    let index = |number: u8| {
        format!(
            r#"{{"manifests":[{{"digest":"{}","platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
            digest(&[number])
        )
    };
    let registry = Scripted::new(move |asked, port| {
        let tag = asked.what.rsplit('/').next().unwrap_or_default();
        match tag {
            "busy" => answer(429, r#"{"errors":[{"message":"too many"}]}"#).with("Retry-After", "7"),
            "broken" => answer(500, "<html>canary-token</html>"),
            "denied" => answer(403, r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#),
            "gone" => answer(404, r#"{"errors":[{"message":"manifest unknown"}]}"#),
            "teapot" => answer(418, ""),
            "liar" => answer(200, index(1)).with("Docker-Content-Digest", digest(b"other")),
            "good" => answer(200, index(1)).with("Docker-Content-Digest", digest(index(1).as_bytes())),
            "silent" => answer(200, index(1)),
            "windows" => answer(200, index(1).replace("linux", "windows")),
            "html" => answer(200, "<html>"),
            "away" => answer(307, "").with("Location", "ftp://127.0.0.1/x"),
            "circle" => answer(307, "")
                .with("Location", format!("http://127.0.0.1:{port}/v2/acme/web/manifests/circle")),
            "odd" => answer(401, "").with("WWW-Authenticate", "Negotiate"),
            "sends" => answer(401, "").with("WWW-Authenticate", "Bearer realm=\"ftp://x/\""),
            _ => answer(404, ""),
        }
    });
    let amd64 = Platform::read("linux/amd64").unwrap();
    for (tag, expected) in [
        ("broken", Trouble::Unavailable),
        ("denied", Trouble::Unauthorized),
        ("gone", Trouble::NotFound),
        ("teapot", Trouble::Invalid),
        ("liar", Trouble::Invalid),
        ("windows", Trouble::Invalid),
        ("html", Trouble::Invalid),
        ("away", Trouble::Invalid),
        ("circle", Trouble::Invalid),
        ("odd", Trouble::Unauthorized),
        ("sends", Trouble::Invalid),
    ] {
        let error = anonymous().find(&registry.repository(), tag, Some(&amd64)).await.unwrap_err();
        assert_eq!(error.trouble, expected, "{tag}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let good = Found { digest: digest(index(1).as_bytes()), image: Some(digest(&[1])) };
    for tag in ["good", "silent"] {
        assert_eq!(anonymous().find(&registry.repository(), tag, Some(&amd64)).await.unwrap(), good);
        let plain = Found { image: None, ..good.clone() };
        assert_eq!(anonymous().find(&registry.repository(), tag, None).await.unwrap(), plain);
    }
    // Left alone for as long as it said, and not asked meanwhile.
    let client = anonymous();
    let busy = client.find(&registry.repository(), "busy", None).await.unwrap_err();
    assert_eq!(busy.trouble, Trouble::Limited { for_ms: 7_000 }, "{busy}");
    assert!(busy.message.contains("left alone for 7 s"), "{busy}");
    let before = registry.asked().len();
    let later = client.find(&registry.repository(), "good", None).await.unwrap_err();
    assert!(matches!(later.trouble, Trouble::Limited { for_ms: 1..=7_000 }), "{later}");
    assert_eq!(registry.asked().len(), before);
}
