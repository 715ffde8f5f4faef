//! A socket before the engine's that notes what is asked.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::wire::socket;

type Calls = Arc<Mutex<Vec<String>>>;

pub struct Proxy {
    path: PathBuf,
    calls: Calls,
}

impl Proxy {
    /// Listens until the program ends.
    pub fn listen(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let calls = Calls::default();
        let noted = Arc::clone(&calls);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(engine) = UnixStream::connect(socket()) {
                    forward(client, engine, &noted);
                }
            }
        });
        Self { path: path.to_owned(), calls }
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// `GET /v1.41/...` of each request since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().expect("nobody panics holding it"))
    }
}

fn forward(client: UnixStream, engine: UnixStream, calls: &Calls) {
    let (Ok(mut from_client), Ok(mut to_engine)) = (client.try_clone(), engine.try_clone()) else { return };
    let noted = Arc::clone(calls);
    thread::spawn(move || {
        let mut chunk = [0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut chunk) {
            note(&chunk[..read], &noted);
            if to_engine.write_all(&chunk[..read]).is_err() {
                break;
            }
        }
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let (mut from_engine, mut to_client) = (engine, client);
    thread::spawn(move || {
        let _ = io::copy(&mut from_engine, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
}

/// Heads are small and sent at once: the line of a request is never cut between two reads.
fn note(bytes: &[u8], calls: &Calls) {
    let text = String::from_utf8_lossy(bytes);
    let requests = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1")).map(str::to_owned);
    calls.lock().expect("nobody panics holding it").extend(requests);
}
