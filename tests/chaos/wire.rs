//! Just enough of HTTP/1.1 to tell one message on a socket from the next, and to ask one question.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The first line and the headers of a message, as they came.
#[derive(Debug, Clone)]
pub struct Head {
    pub bytes: Vec<u8>,
}

/// How the end of a message is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Nothing,
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Head {
    /// `None`: the other side closed before it said anything.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            from.read_until(b'\n', &mut bytes)?;
            match &bytes[before..] {
                [] if before == 0 => return Ok(None),
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                b"\r\n" => return Ok(Some(Self { bytes })),
                _ => {}
            }
        }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// A word of the first line: method and target of a request, or (as 1) the status of an answer.
    pub fn word(&self, index: usize) -> String {
        let text = self.text();
        let line = text.lines().next().unwrap_or_default();
        line.split(' ').nth(index).unwrap_or_default().to_owned()
    }

    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.text().lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    fn framed(&self) -> Option<Body> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Body::Chunked);
        }
        self.header("content-length").and_then(|value| value.parse().ok()).map(Body::Length)
    }

    pub fn body_of_request(&self) -> Body {
        self.framed().unwrap_or(Body::Nothing)
    }

    pub fn body_of_answer(&self, method: &str) -> Body {
        match self.status() {
            100..=199 | 204 | 304 => Body::Nothing,
            _ if method == "HEAD" => Body::Nothing,
            _ => self.framed().unwrap_or(Body::UntilClosed),
        }
    }
}

/// One chunk with its frame; an empty payload is the last one.
pub struct Chunk {
    pub framed: Vec<u8>,
    pub payload: std::ops::Range<usize>,
}

impl Chunk {
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut framed = Vec::new();
        from.read_until(b'\n', &mut framed)?;
        let size = String::from_utf8_lossy(&framed);
        let size = size.trim().split(';').next().unwrap_or_default();
        let size =
            usize::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let start = framed.len();
        framed.resize(start + size + 2, 0);
        from.read_exact(&mut framed[start..])?;
        Ok(Self { framed, payload: start..start + size })
    }

    pub fn of(payload: &[u8]) -> Vec<u8> {
        [format!("{:x}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
    }
}

/// Hands a body on, piece by piece as it comes, in its frame.
pub fn copy_body(body: Body, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    match body {
        Body::Nothing => {}
        Body::Length(length) => {
            if io::copy(&mut from.take(length), to)? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Body::Chunked => loop {
            let chunk = Chunk::read(from)?;
            to.write_all(&chunk.framed)?;
            if chunk.payload.is_empty() {
                break;
            }
        },
        Body::UntilClosed => {
            io::copy(from, to)?;
        }
    }
    to.flush()
}

/// Reads a body without its frame.
fn read_body(body: Body, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if body == Body::Chunked {
        loop {
            let chunk = Chunk::read(from)?;
            if chunk.payload.is_empty() {
                return Ok(read);
            }
            read.extend_from_slice(&chunk.framed[chunk.payload]);
        }
    }
    copy_body(body, from, &mut read)?;
    Ok(read)
}

/// Asks a server on a socket one question: status and body.
pub fn ask(socket: &Path, target: &str, patience: Duration) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = read_body(head.body_of_answer("GET"), &mut reader)?;
    Ok((head.status(), body))
}

/// For the query of a target.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
