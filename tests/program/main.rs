//! The one program inside every test and example image: a small static HTTP server that can be told to misbehave.
//!
//! Built from the standard library alone, so that images need neither a registry nor a base:
//! `rustc --edition 2021 -O -C target-feature=+crt-static -C panic=abort main.rs -o program`
//!
//! ```text
//! program [serve]            serve HTTP, as the environment says (below)
//! program check [URL]        GET; exit 0 on status 200, else 1 (default URL: http://127.0.0.1:$PORT/healthz)
//! program get URL            GET and print the body
//! program write PATH TEXT    make the folders, write the file
//! program append PATH TEXT   the same, at the end of the file
//! program read PATH          print the file
//! program sleep MS           wait, then exit 0
//! program fail [CODE]        exit at once (default 1)
//! program ok                 exit 0 at once
//! ```
//!
//! Called by any other name (a link to it in the image) it stands in for a program that is not there: the main process of a container
//! runs until it is told to stop, or ends well at once with STAND_IN_ENDS=1; any other, such as a health check, ends well at once.
//!
//! Environment of `serve` (times in milliseconds):
//! PORT (8080), TEXT and VERSION (shown on `/`), START_DELAY_MS, EXIT_AFTER_MS with EXIT_CODE (1), NEVER_HEALTHY=1,
//! HEALTHY_AFTER_MS, UNHEALTHY_AFTER_MS, IGNORE_TERM=1, TERM_DELAY_MS, ALLOC_MB, COUNT_FILE (a file that counts the starts, shown on `/`),
//! UPSTREAM (a URL whose body is shown on `/`), REQUIRE_FILE (exit 1 unless it exists).
//!
//! Paths: `/`, `/healthz`, `/version`, `/env/NAME`, `/file?PATH`, `/stat?PATH` (mode uid gid), `/hups` (how often SIGHUP came), `/get?URL`, `/exit/CODE`, `/sick`, `/well`.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

extern "C" {
    fn signal(number: i32, action: usize) -> usize;
    fn _exit(code: i32) -> !;
    fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
    fn usleep(microseconds: u32) -> i32;
}

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;
const IGNORE: usize = 1;

static TERM_DELAY_MS: AtomicU64 = AtomicU64::new(0);
/// Set by `/sick` and taken back by `/well`.
static SICK: AtomicBool = AtomicBool::new(false);

static HUPS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_hup(_: i32) {
    HUPS.fetch_add(1, Ordering::SeqCst);
}

/// Only async-signal-safe calls in here.
extern "C" fn on_term(_: i32) {
    let line = b"stopping on a signal\n";
    unsafe {
        write(1, line.as_ptr(), line.len());
        for _ in 0..TERM_DELAY_MS.load(Ordering::Relaxed) {
            usleep(1000);
        }
        _exit(0)
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // As PID 1 a signal without a handler is ignored by the kernel, so every long-running command sets one.
    obey_signals();
    let called = env::args().next().unwrap_or_default();
    if !called.is_empty() && Path::new(&called).file_name().is_none_or(|name| name != "program" && name != "tool") {
        stand_in(&called);
    }
    match words.as_slice() {
        [] | ["serve"] => serve(),
        ["check"] => check(&format!("http://127.0.0.1:{}/healthz", port())),
        ["check", url] => check(url),
        ["get", url] => match get(url) {
            Ok((status, body)) => {
                print!("{body}");
                exit(if status == 200 { 0 } else { 1 })
            }
            Err(error) => fail(&format!("cannot get {url}: {error}")),
        },
        ["write", path, text] => finish(put(path, text, false)),
        ["append", path, text] => finish(put(path, text, true)),
        ["read", path] => match fs::read_to_string(path) {
            Ok(text) => print!("{text}"),
            Err(error) => fail(&format!("cannot read {path}: {error}")),
        },
        ["sleep", time] => thread::sleep(Duration::from_millis(time.parse().unwrap_or(0))),
        ["fail"] => {
            eprintln!("told to fail");
            exit(1)
        }
        ["fail", code] => {
            eprintln!("told to fail with {code}");
            exit(code.parse().unwrap_or(1))
        }
        ["ok"] => println!("told to succeed"),
        other => fail(&format!("unknown command: {}", other.join(" "))),
    }
}

/// What is executed in a running container has a parent outside of it; so has the main process, but that is the first there is,
/// unless it shares processes with others, and then the image's entrypoint tells it.
fn stand_in(called: &str) -> ! {
    let is_main = std::process::id() == 1 || std::os::unix::process::parent_id() != 0 || called == "/stand-in";
    if !is_main || is_set("STAND_IN_ENDS") {
        exit(0)
    }
    unsafe {
        for number in [SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH].into_iter().chain(34..=64) {
            signal(number, on_term as *const () as usize);
        }
    }
    println!("standing in for {called}");
    loop {
        thread::park();
    }
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(1)
}

fn finish(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        fail(&error.to_string());
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|text| !text.is_empty() && text != "0")
}

fn port() -> u16 {
    number("PORT").and_then(|port| u16::try_from(port).ok()).unwrap_or(8080)
}

fn obey_signals() {
    TERM_DELAY_MS.store(number("TERM_DELAY_MS").unwrap_or(0), Ordering::Relaxed);
    let action = if is_set("IGNORE_TERM") { IGNORE } else { on_term as *const () as usize };
    unsafe {
        signal(SIGTERM, action);
        signal(SIGINT, action);
        signal(SIGHUP, on_hup as *const () as usize);
    }
}

fn put(path: &str, text: &str, append: bool) -> io::Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file =
        fs::OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path)?;
    writeln!(file, "{text}")
}

fn after(delay: Option<u64>, act: impl FnOnce() + Send + 'static) {
    if let Some(delay) = delay {
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(delay));
            act();
        });
    }
}

fn serve() {
    if let Ok(path) = env::var("REQUIRE_FILE") {
        if !Path::new(&path).exists() {
            fail(&format!("{path} is missing"));
        }
    }
    let starts = env::var("COUNT_FILE").ok().map(|path| count_start(&path));
    after(number("EXIT_AFTER_MS"), || {
        let code = number("EXIT_CODE").and_then(|code| i32::try_from(code).ok()).unwrap_or(1);
        eprintln!("told to exit with {code}");
        exit(code)
    });
    let ballast = vec![1u8; number("ALLOC_MB").unwrap_or(0) as usize * 1024 * 1024];
    thread::sleep(Duration::from_millis(number("START_DELAY_MS").unwrap_or(0)));
    let born = Instant::now();
    let listener = match TcpListener::bind(("0.0.0.0", port())) {
        Ok(listener) => listener,
        Err(error) => fail(&format!("cannot listen on port {}: {error}", port())),
    };
    println!("version {} serves port {}", env::var("VERSION").unwrap_or_default(), port());
    for stream in listener.incoming().flatten() {
        let starts = starts.clone();
        thread::spawn(move || {
            let _ = answer(stream, born, starts.as_deref());
        });
    }
    drop(ballast);
}

/// How often this volume has seen a start, this one included.
fn count_start(path: &str) -> String {
    let before: u64 = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let now = (before + 1).to_string();
    if let Err(error) = put(path, &now, false) {
        fail(&format!("cannot write {path}: {error}"));
    }
    now
}

fn healthy(born: Instant) -> bool {
    let age = born.elapsed().as_millis() as u64;
    !is_set("NEVER_HEALTHY")
        && !SICK.load(Ordering::Relaxed)
        && number("HEALTHY_AFTER_MS").is_none_or(|from| age >= from)
        && number("UNHEALTHY_AFTER_MS").is_none_or(|until| age < until)
}

fn answer(mut stream: TcpStream, born: Instant, starts: Option<&str>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut chunk = [0u8; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < 16 * 1024 {
        match stream.read(&mut chunk)? {
            0 => break,
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let (status, body) = page(&path, born, starts);
    let reason = if status == 200 { "OK" } else { "Not" };
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page(path: &str, born: Instant, starts: Option<&str>) -> (u16, String) {
    if path == "/" {
        return (200, front(starts));
    }
    if path == "/version" {
        return (200, env::var("VERSION").unwrap_or_default());
    }
    if path == "/healthz" {
        return if healthy(born) { (200, "healthy\n".to_owned()) } else { (503, "not healthy\n".to_owned()) };
    }
    if path == "/sick" || path == "/well" {
        SICK.store(path == "/sick", Ordering::Relaxed);
        return (200, "noted\n".to_owned());
    }
    if let Some(name) = path.strip_prefix("/env/") {
        return env::var(name).map_or((404, "not set\n".to_owned()), |value| (200, value));
    }
    if let Some(file) = path.strip_prefix("/file?") {
        return fs::read_to_string(file).map_or((404, "no such file\n".to_owned()), |text| (200, text));
    }
    if let Some(file) = path.strip_prefix("/stat?") {
        return fs::metadata(file).map_or((404, "no such file\n".to_owned()), |meta| {
            (200, format!("{:o} {} {}", meta.mode() & 0o7777, meta.uid(), meta.gid()))
        });
    }
    if path == "/hups" {
        return (200, HUPS.load(Ordering::SeqCst).to_string());
    }
    if let Some(url) = path.strip_prefix("/get?") {
        return match get(url) {
            Ok(found) => found,
            Err(error) => (502, format!("cannot get {url}: {error}\n")),
        };
    }
    if let Some(code) = path.strip_prefix("/exit/") {
        exit(code.parse().unwrap_or(1))
    }
    (404, "no such page\n".to_owned())
}

fn front(starts: Option<&str>) -> String {
    let text = env::var("TEXT").unwrap_or_else(|_| "Hello.".to_owned());
    let mut page = format!("{text}\nversion {}\n", env::var("VERSION").unwrap_or_default());
    if let Some(starts) = starts {
        page.push_str(&format!("started {starts} times with this volume\n"));
    }
    if let Ok(url) = env::var("UPSTREAM") {
        match get(&url) {
            Ok((_, body)) => page.push_str(&format!("{url} says: {}\n", body.trim_end().replace('\n', "; "))),
            Err(error) => page.push_str(&format!("{url} does not answer: {error}\n")),
        }
    }
    page
}

fn check(url: &str) {
    match get(url) {
        Ok((200, _)) => println!("healthy"),
        Ok((status, body)) => fail(&format!("status {status}: {}", body.trim_end())),
        Err(error) => fail(&format!("cannot get {url}: {error}")),
    }
}

fn get(url: &str) -> io::Result<(u16, String)> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) =
        rest.split_once('/').map_or((rest, String::from("/")), |(host, path)| (host, format!("/{path}")));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}
