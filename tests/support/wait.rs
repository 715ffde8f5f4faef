//! Waiting with a deadline, for what no clock of ours can hurry: the engine, the kernel, another process.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Far above what anything here takes on two busy cores, so that only what never comes runs into it.
pub const DEADLINE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// Looks until it finds something, and fails with `what` after [`DEADLINE`].
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_wait(DEADLINE, look).unwrap_or_else(|| panic!("waited {DEADLINE:?} in vain until {what}"))
}

pub fn try_wait<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(LOOK);
    }
}

/// Looks for a while and fails as soon as a look differs from the first: for claims that something does *not* happen.
pub fn stays<T: PartialEq + Debug>(what: &str, period: Duration, mut look: impl FnMut() -> T) -> T {
    let first = look();
    let end = Instant::now() + period;
    while Instant::now() < end {
        thread::sleep(LOOK);
        let now = look();
        assert_eq!(first, now, "should have stayed: {what}");
    }
    first
}

/// A port of 127.0.0.1 that was free a moment ago, below the range the kernel hands out by itself.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(18_000..32_000);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Status and body, or `None` when nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The body of a page answered with 200.
pub fn page(port: u16, path: &str) -> Option<String> {
    get(port, path).filter(|(status, _)| *status == 200).map(|(_, body)| body)
}
