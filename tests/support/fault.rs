//! Something between evenkeel, the engine and a registry that does what networks and registries do on bad days.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// Every answer is this status, with further headers.
    Status(u16, String),
    /// Answers end in their middle.
    Cut,
    /// No answer comes.
    Slow,
    /// Manifests are said to have this digest.
    Lie(String),
    /// Nobody answers.
    Down,
}

pub struct Faulty {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Faulty {
    /// In front of `upstream`, `127.0.0.1:port`.
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, asked) = (Arc::new(Mutex::new(Fault::Nothing)), Arc::new(Mutex::new(Vec::new())));
        let (told, kept, upstream) = (Arc::clone(&fault), Arc::clone(&asked), upstream.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (fault, asked, upstream) = (Arc::clone(&told), Arc::clone(&kept), upstream.clone());
                thread::spawn(move || serve(client, &upstream, &fault, &asked));
            }
        });
        Self { port, fault, asked }
    }

    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// `GET /v2/...` of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, upstream: &str, fault: &Mutex<Fault>, asked: &Mutex<Vec<String>>) {
    let Ok(lines) = client.try_clone() else { return };
    let mut lines = BufReader::new(lines);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        // What speaks TLS sends bytes that are no text.
        if lines.read_line(&mut head).unwrap_or(0) == 0 || head.len() > 64 << 10 {
            return;
        }
    }
    let what = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().unwrap().push(what.clone());
    let now = fault.lock().unwrap().clone();
    match &now {
        Fault::Down => return,
        Fault::Status(status, more) => {
            let _ =
                write!(client, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n{more}\r\n");
            return;
        }
        Fault::Slow => {
            while *fault.lock().unwrap() == Fault::Slow {
                thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        Fault::Nothing | Fault::Cut | Fault::Lie(_) => {}
    }
    let Ok(mut server) = TcpStream::connect(upstream) else { return };
    let kept =
        head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:") && !line.is_empty());
    let request: String = kept.map(|line| format!("{line}\r\n")).collect();
    let _ = write!(server, "{request}Connection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = server.read_to_end(&mut answer);
    if let Fault::Lie(digest) = &now
        && what.contains("/manifests/")
    {
        let text = String::from_utf8_lossy(&answer);
        let end = text.find("\r\n\r\n").unwrap_or_default();
        let lied: String = text[..end]
            .lines()
            .map(|line| match line.to_ascii_lowercase().starts_with("docker-content-digest:") {
                true => format!("Docker-Content-Digest: {digest}\r\n"),
                false => format!("{line}\r\n"),
            })
            .collect();
        answer = [lied.as_bytes(), b"\r\n", &answer[end + 4..]].concat();
    }
    if now == Fault::Cut {
        answer.truncate(answer.len().saturating_sub(5).min(200));
    }
    let _ = client.write_all(&answer);
    let _ = client.shutdown(Shutdown::Both);
}
