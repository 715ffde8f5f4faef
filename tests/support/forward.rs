//! A socket in front of the engine's: absent, there, cut, as a test wants it. The engine itself is never touched.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::machine;

pub struct Forwarder {
    path: PathBuf,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

impl Forwarder {
    /// Nothing listens until [`Forwarder::open`].
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: Arc::new(AtomicBool::new(false)),
            connections: Arc::new(Mutex::new(Vec::new())),
        }
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// From now on the engine answers here.
    pub fn open(&self) {
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.open.store(true, Ordering::SeqCst);
        let (open, connections) = (Arc::clone(&self.open), Arc::clone(&self.connections));
        thread::spawn(move || {
            while open.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((client, _)) => forward(client, &connections),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
    }

    /// The socket is gone and every connection is cut, as when an engine is killed.
    pub fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        let _ = std::fs::remove_file(&self.path);
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.cut();
    }
}

fn forward(client: UnixStream, connections: &Mutex<Vec<UnixStream>>) {
    let _ = client.set_nonblocking(false);
    let Ok(engine) = UnixStream::connect(machine::socket()) else { return };
    for (from, to) in [(&client, &engine), (&engine, &client)] {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    connections.lock().unwrap().extend([client, engine]);
}
