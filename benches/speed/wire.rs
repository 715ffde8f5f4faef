//! The plainest HTTP client there can be: one kept connection to the engine's socket, one request after the other. What it takes
//! for a call is what the engine takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

/// The API version of the oldest engine that evenkeel is tested with; every engine since speaks it or says so.
const API: &str = "/v1.41";

/// `DOCKER_HOST` when it names a socket, else the usual one.
pub fn socket() -> PathBuf {
    let named = std::env::var("DOCKER_HOST").unwrap_or_default();
    named.strip_prefix("unix://").map_or_else(|| PathBuf::from("/var/run/docker.sock"), PathBuf::from)
}

pub struct Wire {
    stream: BufReader<UnixStream>,
}

/// Status and body of an answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Wire {
    pub fn open() -> Self {
        let stream = UnixStream::connect(socket()).expect("the engine's socket");
        Self { stream: BufReader::with_capacity(64 << 10, stream) }
    }

    /// One request and the whole answer.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let length = self.send(method, path, body);
        let body = match length {
            (status, Body::None) => return Answer { status, body: Vec::new() },
            (status, Body::Sized(length)) => {
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).expect("the body");
                return Answer { status, body };
            }
            (status, Body::Chunked) => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk() {
                    body.extend(chunk);
                }
                (status, body)
            }
        };
        Answer { status: body.0, body: body.1 }
    }

    /// The same, where anything but a 2xx or 304 is the end of the benchmark.
    pub fn must(&mut self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.call(method, path, body);
        let good = (200..300).contains(&answer.status) || answer.status == 304;
        assert!(good, "{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Sends a request whose answer is a stream of chunks, for [`Self::chunk`].
    pub fn follow(mut self, path: &str) -> Self {
        let (status, body) = self.send("GET", path, None);
        assert!(status == 200 && matches!(body, Body::Chunked), "{path}: {status}");
        self
    }

    fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Body) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {API}{path} HTTP/1.1\r\nHost: engine\r\n");
        if !body.is_empty() {
            request.push_str("Content-Type: application/json\r\n");
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.stream.get_mut().write_all(request.as_bytes()).expect("the request");
        let status = self.line().split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        let mut length = if status == 204 || status == 304 { Body::None } else { Body::Sized(0) };
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                return (status, length);
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = Body::Sized(text.trim().parse().expect("a length"));
            } else if line.starts_with("transfer-encoding:") && line.contains("chunked") {
                length = Body::Chunked;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line of the answer");
        line.trim_end().to_owned()
    }

    /// The next chunk; `None` at the end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line(), 16).ok()?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).ok()?;
        self.line();
        (size > 0).then_some(chunk)
    }
}

enum Body {
    None,
    Sized(usize),
    Chunked,
}
