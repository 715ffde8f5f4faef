//! When something happened, as whoever listens to the engine sees it: for contenders that do not tell.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wire::Wire;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Event {
    pub at: Instant,
    pub action: String,
    pub id: String,
    pub name: String,
}

pub struct Events(Receiver<Event>);

impl Events {
    /// Of containers with this label, from now on.
    pub fn of(label: &str) -> Self {
        let filters = format!(r#"{{"type":["container"],"label":["{label}"]}}"#);
        let encoded = filters
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22")
            .replace('[', "%5B")
            .replace(']', "%5D");
        let mut stream = Wire::open().follow(&format!("/events?filters={encoded}"));
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut rest = Vec::new();
            while let Some(chunk) = stream.chunk() {
                let at = Instant::now();
                rest.extend(chunk);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                    let text = |pointer: &str| {
                        event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
                    };
                    let told = Event {
                        at,
                        action: text("/Action"),
                        id: text("/Actor/ID"),
                        name: text("/Actor/Attributes/name"),
                    };
                    if sender.send(told).is_err() {
                        return;
                    }
                }
            }
        });
        Self(receiver)
    }

    /// Forgets what came so far.
    pub fn drain(&self) {
        while self.0.try_recv().is_ok() {}
    }

    /// The next event that fits.
    pub fn next(&self, fits: impl Fn(&Event) -> bool) -> Event {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.0.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) if fits(&event) => return event,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the event never came")
                }
            }
        }
    }
}
