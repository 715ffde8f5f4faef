//! A socket between evenkeel and the engine that stops at a request a test names, and does to the event stream what it is told.

use std::io::{self, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::wait::DEADLINE;
use crate::wire::{Body, Chunk, Head, copy_body};

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `create`, `start`, `stop`, `update`, `rename`, `remove`, `tag`, `untag`, `pull`, ...
    pub op: String,
    pub target: String,
}

/// When a request is stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// The engine has not seen it.
    Before,
    /// The engine has it and has not answered.
    During,
    /// The engine has answered, and evenkeel has not heard it.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As if nothing had been.
    Go,
    /// Both connections are closed.
    Drop,
}

/// Which request is stopped at, counted from the moment the trap is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The k-th, from 1.
    Number(usize),
    /// The first of this kind.
    First(&'static str),
}

/// What becomes of the engine's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    Pass,
    /// The stream stands, and nothing comes.
    Swallow,
    /// The stream ends after so long, again and again.
    CutAfter(Duration),
    /// So many lines a second that the engine never said, beside those it does say.
    Flood(u32),
}

struct Armed {
    at: At,
    moment: Moment,
    seen: usize,
    hit: Sender<Request>,
    verdict: Receiver<Verdict>,
}

struct Shared {
    engine: PathBuf,
    trap: Mutex<Option<Armed>>,
    requests: Mutex<Vec<Request>>,
    events: Mutex<Events>,
    /// A line for the flood.
    line: Mutex<Vec<u8>>,
    open: AtomicBool,
}

pub struct Proxy {
    path: PathBuf,
    shared: Arc<Shared>,
}

/// A trap that is set.
pub struct Trap {
    caught: Receiver<Request>,
    verdict: Sender<Verdict>,
}

impl Trap {
    /// The request that is held, if one is by now.
    pub fn caught(&self) -> Option<Request> {
        self.caught.try_recv().ok()
    }

    pub fn wait(&self) -> Request {
        self.caught.recv_timeout(DEADLINE).expect("the request that the trap waits for comes")
    }

    pub fn release(self, verdict: Verdict) {
        let _ = self.verdict.send(verdict);
    }
}

impl Proxy {
    pub fn start(path: &Path, engine: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let shared = Arc::new(Shared {
            engine: engine.to_owned(),
            trap: Mutex::new(None),
            requests: Mutex::new(Vec::new()),
            events: Mutex::new(Events::Pass),
            line: Mutex::new(Vec::new()),
            open: AtomicBool::new(true),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !own.open.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&own);
                // Whoever hangs up has hung up; the next connection is another one.
                thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Self { path: path.to_owned(), shared }
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Replaces a trap that was set before.
    pub fn trap(&self, at: At, moment: Moment) -> Trap {
        let ((hit, caught), (verdict, sent)) = (channel(), channel());
        *self.shared.trap.lock().unwrap() = Some(Armed { at, moment, seen: 0, hit, verdict: sent });
        Trap { caught, verdict }
    }

    pub fn disarm(&self) {
        *self.shared.trap.lock().unwrap() = None;
    }

    /// The requests that changed something since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// Counts for streams that stand already, too.
    pub fn events(&self, events: Events) {
        *self.shared.events.lock().unwrap() = events;
    }

    /// What a flood consists of.
    pub fn flood_line(&self, line: &str) {
        *self.shared.line.lock().unwrap() = format!("{line}\n").into_bytes();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.open.store(false, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = UnixStream::connect(&self.path);
    }
}

/// What a request does, or `None` when it only asks.
fn request(head: &Head) -> Option<Request> {
    let (method, target) = (head.word(0), head.word(1));
    let path = target.split('?').next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.first().is_some_and(|part| part.starts_with("v1.")) {
        parts.remove(0);
    }
    let last = parts.last().copied().unwrap_or_default();
    let op = match (method.as_str(), parts.first().copied().unwrap_or_default()) {
        ("GET" | "HEAD", _) => return None,
        ("DELETE", "containers") => "remove".to_owned(),
        ("DELETE", "images") => "untag".to_owned(),
        ("DELETE", kind) => format!("remove {kind}"),
        ("POST", "containers") => last.to_owned(),
        ("POST", "images") if last == "create" => "pull".to_owned(),
        ("POST", "images") => last.to_owned(),
        (_, kind) => format!("{last} {kind}"),
    };
    Some(Request { op, target })
}

impl Shared {
    fn note(&self, request: &Request) {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(armed) = self.trap.lock().unwrap().as_mut() {
            let counts = match armed.at {
                At::Number(_) => true,
                At::First(op) => op == request.op,
            };
            armed.seen += usize::from(counts);
        }
    }

    /// Holds the request if it is the one, and says what becomes of it.
    fn stop_at(&self, request: Option<&Request>, moment: Moment) -> Verdict {
        let Some(request) = request else { return Verdict::Go };
        let armed = {
            let mut trap = self.trap.lock().unwrap();
            let fits = trap.as_ref().is_some_and(|armed| {
                armed.moment == moment
                    && match armed.at {
                        At::Number(number) => armed.seen == number,
                        At::First(op) => armed.seen == 1 && op == request.op,
                    }
            });
            // Told while it is locked: whoever takes the trap away knows then whether it has caught anything.
            match trap.take_if(|_| fits) {
                Some(armed) => {
                    let _ = armed.hit.send(request.clone());
                    armed
                }
                None => return Verdict::Go,
            }
        };
        // A test that has gone away wants nothing more.
        armed.verdict.recv().unwrap_or(Verdict::Go)
    }
}

/// One connection of evenkeel: its requests, one after another, each on a connection of its own to the engine.
fn serve(shared: &Shared, client: UnixStream) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut to_client = client;
    while let Some(head) = Head::read(&mut from_client)? {
        let mut sent = head.bytes.clone();
        copy_body(head.body_of_request(), &mut from_client, &mut sent)?;
        let request = request(&head);
        if let Some(request) = &request {
            shared.note(request);
        }
        if shared.stop_at(request.as_ref(), Moment::Before) == Verdict::Drop {
            return Ok(());
        }
        let mut engine = UnixStream::connect(&shared.engine)?;
        engine.write_all(&sent)?;
        if shared.stop_at(request.as_ref(), Moment::During) == Verdict::Drop {
            return Ok(());
        }
        let mut from_engine = BufReader::new(engine);
        let answer = Head::read(&mut from_engine)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let body = answer.body_of_answer(&head.word(0));
        if head.word(1).split('?').next().is_some_and(|path| path.ends_with("/events")) {
            to_client.write_all(&answer.bytes)?;
            return pump_events(shared, from_engine, to_client);
        }
        if request.is_none() {
            to_client.write_all(&answer.bytes)?;
            copy_body(body, &mut from_engine, &mut to_client)?;
        } else {
            let mut whole = answer.bytes.clone();
            copy_body(body, &mut from_engine, &mut whole)?;
            if shared.stop_at(request.as_ref(), Moment::After) == Verdict::Drop {
                return Ok(());
            }
            to_client.write_all(&whole)?;
        }
        if body == Body::UntilClosed {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands events on as told; ends with the engine, with evenkeel, or when the stream is to be cut.
fn pump_events(
    shared: &Shared,
    from_engine: BufReader<UnixStream>,
    mut client: UnixStream,
) -> io::Result<()> {
    let born = Instant::now();
    let engine = from_engine.get_ref().try_clone()?;
    let (chunks, ready) = channel();
    thread::spawn(move || {
        let mut from_engine = from_engine;
        while let Ok(chunk) = Chunk::read(&mut from_engine) {
            if chunks.send(chunk).is_err() {
                return;
            }
        }
    });
    let over = |client: &UnixStream| {
        let _ = engine.shutdown(std::net::Shutdown::Both);
        let _ = client.shutdown(std::net::Shutdown::Both);
        Ok(())
    };
    loop {
        let chunk = ready.recv_timeout(Duration::from_millis(20));
        let events = *shared.events.lock().unwrap();
        match events {
            Events::CutAfter(period) if born.elapsed() > period => return over(&client),
            Events::Flood(rate) => {
                let line = Chunk::of(&shared.line.lock().unwrap());
                client.write_all(&line.repeat(rate as usize / 50))?;
            }
            _ => {}
        }
        match chunk {
            Ok(_) if events == Events::Swallow => {}
            Ok(chunk) => client.write_all(&chunk.framed)?,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return over(&client),
        }
    }
}
