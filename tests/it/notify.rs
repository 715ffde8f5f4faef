//! People are told: the daemon against an address that takes what it is sent, or does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::cli::evenkeel;

/// Heads and bodies of the requests that came. Answers with these codes in turn, then with 200.
struct Listener {
    port: u16,
    came: Receiver<(String, serde_json::Value)>,
}

impl Listener {
    fn new(mut codes: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, came) = channel();
        codes.reverse();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let (mut head, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if lines.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                            break;
                        }
                        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                            length = text.trim().parse().unwrap();
                        }
                        head.push_str(&line);
                    }
                    if head.is_empty() {
                        break;
                    }
                    let mut body = vec![0; length];
                    lines.read_exact(&mut body).unwrap();
                    let code = codes.pop().unwrap_or(200);
                    write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n").unwrap();
                    if sender.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                        return;
                    }
                }
            }
        });
        Self { port, came }
    }

    fn next(&self) -> (String, serde_json::Value) {
        self.came.recv_timeout(Duration::from_secs(30)).expect("nobody was told")
    }
}

/// A daemon on a simulated engine with these files, until dropped.
struct Host {
    dir: tempfile::TempDir,
    daemon: Child,
}

impl Host {
    fn start(files: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("desired").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let daemon = Self::command(&dir, &["run", "--engine", "simulated", "--listen", "off"])
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { dir, daemon }
    }

    fn command(dir: &tempfile::TempDir, args: &[&str]) -> std::process::Command {
        let mut command = evenkeel(args);
        command
            .current_dir(dir.path())
            .env("EVENKEEL_STATE", dir.path().join("state"))
            .env("EVENKEEL_CONFIG", "/dev/null")
            .env("EVENKEEL_HOST", "fra1");
        command
    }

    fn say(&self, args: &[&str]) -> String {
        let output = Self::command(&self.dir, args).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    fn until(&self, what: &str, so: impl Fn() -> bool) {
        let start = Instant::now();
        while !so() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "{what}:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _reaped = self.daemon.wait();
    }
}

const WEB: &str = "[services.web]\nimage = \"web:1\"\ndeploy.update_config.monitor = \"100ms\"\n";

#[test]
fn an_update_is_told_to_those_who_want_to_know_and_tried_again_when_it_is_not_taken() {
    let ops = Listener::new(vec![503]);
    let all = Listener::new(vec![]);
    let host = Host::start(&[
        (
            "shop/app.toml",
            format!(
                "{WEB}[notify.ops]\nurl = \"http://127.0.0.1:{}/hook/s3cret\"\nevents = [\"update.committed\"]\nheaders = {{ Authorization = \"Bearer t0ken\" }}\n",
                ops.port
            ),
        ),
        ("all.toml", format!("[notify.all]\nurl = \"http://127.0.0.1:{}/\"\n", all.port)),
        ("other/app.toml", WEB.replace("web", "else")),
    ]);
    let (head, body) = ops.next();
    assert!(head.starts_with("POST /hook/s3cret HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer t0ken"), "{head}");
    assert_eq!(
        (&body["event"], &body["project"], &body["name"], &body["host"], &body["image"]),
        (&"update.committed".into(), &"shop".into(), &"web".into(), &"fra1".into(), &"web:1".into()),
        "{body}"
    );
    assert!(body["text"].as_str().unwrap().starts_with("[fra1] shop/web: update.committed"), "{body}");
    // It was answered with 503.
    assert_eq!(ops.next().1, body);
    // Those at the root hear of every project.
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < 4 {
        let (_, body) = all.next();
        let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        heard.insert(format!("{}/{} {}", word("project"), word("name"), word("event")));
    }
    let expected = [
        "other/else update.committed",
        "other/else update.started",
        "shop/web update.committed",
        "shop/web update.started",
    ];
    assert_eq!(heard, expected.map(str::to_owned).into());
    // A file that breaks is everybody's affair.
    std::fs::write(host.dir.path().join("desired/other/app.toml"), "[services\n").unwrap();
    let (_, body) = all.next();
    assert_eq!((&body["event"], &body["name"]), (&"files.broken".into(), &"other/app.toml".into()), "{body}");
    let log = std::fs::read_to_string(host.dir.path().join("log")).unwrap();
    assert!(!log.contains("s3cret") && !log.contains("t0ken"), "{log}");
}

#[test]
fn a_message_can_be_tried_and_the_answer_says_nothing_of_the_address() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ops = Listener::new(vec![]);
    let host = Host::start(&[(
        "shop/app.toml",
        format!(
            "[notify.ops]\nurl = \"http://127.0.0.1:{}/\"\nevents = [\"job.failed\"]\n[notify.gone]\nurl = \"http://127.0.0.1:{gone}/s3cret\"\n",
            ops.port
        ),
    )]);
    host.until("the files are read", || host.say(&["notify"]).contains("shop/ops: job.failed"));
    assert!(host.say(&["notify"]).contains("shop/gone: everything"));
    let said = host.say(&["notify", "--test", "shop/ops"]);
    assert!(said.contains("shop/ops: the message was taken"), "{said}");
    assert_eq!(ops.next().1["event"], "test");
    let said = host.say(&["notify", "--test", "shop/gone"]);
    assert!(said.contains("shop/gone: the message was not taken") && !said.contains("s3cret"), "{said}");
    let said = host.say(&["notify", "--test", "shop/nobody"]);
    assert!(said.contains("there is no notify `shop/nobody`"), "{said}");
    let said = host.say(&["notify", "--json"]);
    assert!(said.contains("\"shop/ops\"") && !said.contains("s3cret"), "{said}");
}
